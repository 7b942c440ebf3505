"""Both R2-SNR figures, one after the other, timed; what `make figure` runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crlb.command_line import parse
from crlb.program import run_command


@dataclass(frozen=True)
class MainFigure:
    """The R2-SNR figure of published conditions and that of stars as a survey observes them.

    Writes those of `experiments.r2_vs_snr` and `experiments.survey`, each into a folder of its own, and what
    all of it took into figure_time.json, with a yardstick of this machine measured in the same run. Both go
    on where they were cut off.

    Examples:
      python -m experiments.main_figure
      python -m experiments.main_figure --recompute-limit
    """

    out: Path = Path("outputs")
    """Folder in which each of the two gets one of its own."""
    preset: Literal["smoke", "cpu", "gpu"] = "cpu"
    """smoke: to see that it runs; cpu: some minutes on two cores; gpu: larger samples."""
    grid: Path | None = None
    """Grid file (HDF5, vacuum wavelengths in Å), for the first figure only; default: the embedded grid."""
    train: bool = False
    """Train the networks now instead of evaluating those shipped: half an hour on two cores."""
    recompute_limit: bool = False
    """Compute the exact posteriors of 1000 test stars for each figure here instead of reading those of all
    10,000 that are shipped: ten minutes on two cores."""
    begun: int | None = None
    """When the command that this is a part of began, s since 1970; default: now."""


def main() -> None:
    """Console entry."""
    run_command(lambda: run(parse(MainFigure, "python -m experiments.main_figure", MainFigure.__doc__ or "")))


def run(asked: MainFigure) -> None:
    """Makes the figures, then prints what they took and the files they left."""
    from experiments.main_figure.job import draw

    timing, paths = draw(asked)
    print(timing.words(), *paths, sep="\n")


if __name__ == "__main__":
    main()
