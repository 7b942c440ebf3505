"""`specvit simulate`: files of observed spectra."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from crlb.errors import UsageError
from crlb.output import check_output
from specvit_jax.cli.arguments import File, Out

Magnitudes = Annotated[tuple[float, float], tyro.conf.arg(metavar="BRIGHT FAINT")]


@dataclass(frozen=True)
class Simulate:
    """Writes observed spectra to a file in the pfsspec layout, their labels uniform over the grid's box.

    To copy and paste:
      specvit simulate --n 10000 --mag 20.5 22.5 --seed 42 --out test.h5
      specvit simulate --n 2000 --mag 18 20 --seed 7 --out cool.h5 --range T_eff=4000:5000 log_g=1:3
    """

    out: Out
    """The file to create (HDF5); pandas.read_hdf opens its table of labels."""
    n: int
    """Number of spectra."""
    mag: Magnitudes = (20.5, 22.5)
    """AB magnitudes in i, drawn uniformly."""
    seed: int = 0
    """Seed of the labels, magnitudes and noise."""
    grid: File = None
    """Grid of model spectra, HDF5; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; without it the built-in ones."""
    labels: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="LABEL [LABEL ...]")] = None
    """Labels that vary; default: all of the grid's but a_M and C_M, which are held at 0."""
    range: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=LOW:HIGH")] = ()
    """Ranges of labels (K for T_eff, dex for the others) instead of the grid's."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        check_output(self.out, self.overwrite)
        ranges = parse_ranges(self.range)
        from specvit_jax.data import make_simulator, simulate

        source = make_simulator(self.grid, self.noise, self.mag, ranges=ranges, labels=self.labels)
        simulate(self.out, source, self.n, self.seed, overwrite=self.overwrite, progress=True)
        print(f"wrote {self.out}")


def parse_ranges(settings: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """``["T_eff=4000:5000"]`` as label -> (low, high).

    Raises:
        UsageError: not of that form.
    """
    ranges = {}
    for setting in settings:
        label, _, limits = setting.partition("=")
        try:
            low, high = (float(text) for text in limits.split(":"))
        except ValueError as error:
            raise UsageError(
                f"--range must read LABEL=LOW:HIGH, say T_eff=4000:5000; got {setting}"
            ) from error
        ranges[label] = (low, high)
    return ranges
