"""What an experiment leaves: a result that knows its table and its figure, and how its numbers were made."""

import os
import platform
import re
import shlex
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import jax
from matplotlib.figure import Figure

from crlb.files.records import Json, Record
from experiments.study.plotting import PAGE, Sheet
from experiments.study.stars import LABEL, SNR_DEFINITION, Sample

HEADINGS = ("Claim", "Command", "Hardware", "Expect")
PACKAGES = ("specvit-jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")


@dataclass(frozen=True, kw_only=True)
class GridName(Record):
    """The grid that spectra are made from."""

    title: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Provenance(Record):
    """How numbers were made; `seconds` is the time of all starts together."""

    command: str = ""
    options: dict[str, Json] = field(default_factory=dict)
    seeds: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    cores: int | None = None
    date: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """What every result has beside its own numbers; `report` fills in what a study leaves empty."""

    experiment: str = ""
    title: str = ""
    claim: str = ""
    expect: str = ""
    preset: str = ""
    size: dict[str, Json] = field(default_factory=dict)
    label: str = LABEL
    snr_definition: str = SNR_DEFINITION
    grid: GridName = field(default_factory=GridName)
    test: Sample = field(default_factory=Sample)
    limit_from: str = ""  # the exact posteriors of the test set, where they are used
    provenance: Provenance = field(default_factory=Provenance)

    @abstractmethod
    def table(self) -> str:
        """The numbers in Markdown."""

    def shown(self) -> str:
        """What is printed when it is done: the numbers, or the first of them."""
        return self.table()

    @abstractmethod
    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """The figure for a page or for a column, drawn from this result alone."""

    @abstractmethod
    def caption(self) -> str:
        """What the figure shows, its terms defined."""


def header(doc: str) -> dict[str, str]:
    """The paragraphs of a docstring that begin with the words of `HEADINGS`, each as one line."""
    found, key = dict.fromkeys(HEADINGS, ""), ""
    for line in doc.splitlines():
        word, _, rest = line.partition(":")
        key = word if word in HEADINGS else key if re.match(r"\s+\S", line) else ""
        text = rest if word in HEADINGS else line
        if key:
            found[key] = f"{found[key]} {text.strip()}".strip()
    return found


def title_of(doc: str) -> str:
    """The first line of a docstring, without its full stop."""
    return doc.strip().splitlines()[0].rstrip(".")


def versions() -> dict[str, str]:
    """Those of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def provenance(
    name: str, options: Mapping[str, Json], seeds: Mapping[str, Json], seconds: float
) -> Provenance:
    """How the numbers of an experiment are made here and now; `seconds`: of all starts."""
    return Provenance(
        command=shlex.join(["python", "-m", f"experiments.{name}", *sys.argv[1:]]),
        options={key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
        seeds=dict(seeds),
        versions=versions(),
        device=str(jax.devices()[0].device_kind),
        cores=os.cpu_count(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
    )
