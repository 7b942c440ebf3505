"""`specvit report`: what was trained and measured as one page."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crlb.files.output import check_outputs


@dataclass(frozen=True)
class Report:
    """Writes one HTML page of runs, networks and results: interactive, complete in itself, for any browser.

    What was not run is not on it. Each network is tried on single stars for it, which takes some minutes.

    To copy and paste:
      specvit report runs/tiny -o report.html
      specvit report outputs tiny -o report.html --overwrite
      specvit report results docs/r2_vs_snr.json tiny
    """

    sources: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="SOURCE [SOURCE ...]")]
    """Runs, weights files, tiny for the shipped network, folders of results (NAME/results.json in them),
    results in a file of their own (.json). The first network also runs in the page itself."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE", aliases=("-o",))] = Path("report.html")
    """The page to create."""
    overwrite: bool = False
    """Allow the page to be replaced."""

    def __call__(self) -> None:
        from specvit_jax.report import write_report
        from specvit_jax.report.sources import find_sources

        found = find_sources(self.sources)
        check_outputs({"--out": self.out}, found.files(), self.overwrite)

        def say(step: str) -> None:
            print(f"report: {step}", file=sys.stderr, flush=True)

        write_report(found, self.out, overwrite=self.overwrite, say=say)
        print(f"wrote {self.out} ({self.out.stat().st_size / 1e6:.1f} MB)")
