"""`crlb grid`: makes and shows grids of model spectra."""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.output import console, unit
from crlb.errors import UsageError
from crlb.files.output import check_output

if TYPE_CHECKING:
    from crlb.grids.grid_file import SpectralGrid


@dataclass(frozen=True)
class Synthesize:
    """Computes a grid of spectra with the built-in LTE synthesis (not BOSZ) and writes it.

    To copy and paste:
      crlb grid synthesize --out grid.h5
      crlb grid synthesize --out few.h5 --T-eff 4000 4250 4500 --log-g 1 1.5 2 --M-H -1 0 --a-M 0 --C-M 0

    A build that was stopped goes on where it was (folder OUT.parts). The defaults make the embedded grid, in
    about an hour of one core.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The grid file to create."""
    T_eff: tuple[float, ...] = tuple(3750.0 + 250 * i for i in range(10))
    """Effective temperatures of the nodes, K."""
    log_g: tuple[float, ...] = tuple(1 + 0.5 * i for i in range(9))
    """log10 of surface gravity in cm/s^2, dex."""
    M_H: tuple[float, ...] = tuple(-2.5 + 0.25 * i for i in range(14))
    """Metallicities relative to the Sun, dex."""
    a_M: tuple[float, ...] = (-0.25, 0.0, 0.25, 0.5)
    """Enhancements of the alpha elements, dex; those other than 0 at every second log g and [M/H] only, the
    rest interpolated and flagged."""
    C_M: tuple[float, ...] = (-0.75, 0.0, 0.25, 0.5)
    """Enhancements of carbon, dex; likewise."""
    rtol: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Largest relative flux error of the compressed file, at any node and pixel; default: as embedded."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        check_output(self.out, self.overwrite)
        axes = {
            "T-eff": self.T_eff,
            "log-g": self.log_g,
            "M-H": self.M_H,
            "a-M": self.a_M,
            "C-M": self.C_M,
        }
        for name, axis in axes.items():
            increasing = all(a < b for a, b in pairwise(axis)) and all(map(math.isfinite, axis))
            if not axis or not increasing:
                raise UsageError(f"--{name} must be increasing values, found {axis}")
        import numpy as np

        from crlb.synthesis.build import RTOL, build_grid

        arrays = tuple(map(np.array, axes.values()))
        build_grid(self.out, axes=arrays, rtol=self.rtol or RTOL, overwrite=self.overwrite)
        print(f"wrote {self.out}")


@dataclass(frozen=True)
class Info:
    """Shows what a grid file holds: axes, wavelengths, resolving power, origin.

    To copy and paste:
      crlb grid info
      crlb grid info grid.h5
    """

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="FILE")] = None
    """The grid file; without it the embedded grid."""

    def __call__(self) -> None:
        from crlb.grids.grid_file import default_grid_path, load_grid

        path = self.file or default_grid_path()
        _print_grid(load_grid(path), path)


def _print_grid(grid: "SpectralGrid", path: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "value", title=escape(str(path)), show_header=False)
    for name, axis in zip(grid.label_names, grid.axes, strict=True):
        table.add_row(f"{name} ({unit(name)})", f"{len(axis)} nodes: " + " ".join(f"{x:g}" for x in axis))
    table.add_row("nodes", str(len(grid.nodes)))
    table.add_row("wave", f"{len(grid.wave)} pixels, {grid.wave[0]:.2f} to {grid.wave[-1]:.2f} Å in vacuum")
    table.add_row("resolving power", f"{grid.resolving_power:g}")
    low, high = zip(*((flux.min(), flux.max()) for flux in grid.spectra.chunks()), strict=True)
    table.add_row("flux", f"{min(low):.3g} to {max(high):.3g} {escape(grid.flux_unit)}")
    table.add_row("continuum", "no" if grid.continuum is None else "yes")
    if grid.filled is not None:
        table.add_row("interpolated nodes", str(int(grid.filled.sum())))
    table.add_row("source", escape(grid.source))
    console().print(table)
