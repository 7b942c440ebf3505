"""`crlb grid`: makes and shows grids of model spectra."""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.checks import Checks, check_positive
from crlb.errors import UsageError
from crlb.files.checksum import said_of
from crlb.files.records import Record
from crlb.files.text import text_of
from crlb.labels import LABEL_NAMES, unit_of

if TYPE_CHECKING:
    from crlb.grids.grid_file import SpectralGrid

MOST_LOOKED_AT = 256  # nodes of a file whose checksum agrees; all of them take ten seconds


@dataclass(frozen=True)
class Synthesize(Checks):
    """Computes a grid of spectra with the built-in LTE synthesis (not BOSZ) and writes it.

    To copy and paste:
      crlb grid synthesize --out grid.h5
      crlb grid synthesize --out few.h5 --T_eff 4000 4250 4500 --log_g 1 1.5 2 --M_H -1 0 --a_M 0 --C_M 0

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

    def check(self) -> None:
        """Refuses a file that cannot be created, and axes that do not increase."""
        super().check()
        for name, axis in self._axes().items():
            increasing = all(a < b for a, b in pairwise(axis)) and all(map(math.isfinite, axis))
            if not axis or not increasing:
                raise UsageError(f"--{name} must be increasing values, found {axis}")
        if self.rtol is not None:
            check_positive(rtol=self.rtol)

    def __call__(self) -> None:
        import numpy as np

        from crlb.synthesis.build import RTOL, build_grid

        arrays = tuple(map(np.array, self._axes().values()))
        build_grid(self.out, axes=arrays, rtol=self.rtol or RTOL, overwrite=self.overwrite)
        print(f"wrote {self.out}")

    def _axes(self) -> dict[str, tuple[float, ...]]:
        return {name: getattr(self, name) for name in LABEL_NAMES}


@dataclass(frozen=True)
class Info(Checks):
    """Shows what a grid file holds: axes, wavelengths, resolving power, origin.

    To copy and paste:
      crlb grid info
      crlb grid info grid.h5
    """

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="FILE")] = None
    """The grid file; default: the embedded grid."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the file read."""
        return {"FILE": self.file}

    def __call__(self) -> None:
        from crlb.grids.grid_file import default_grid_path, load_grid

        path = self.file or default_grid_path()
        found = describe_sealed(path) or describe_grid(load_grid(path), str(path))
        print(found.table())


@dataclass(frozen=True)
class GridInfo(Record):
    """What a grid holds.

    Args:
        file: where it lies.
        axes: label -> its values at the nodes, in label units.
        n_nodes: number of spectra.
        n_pixels: number of samples of a spectrum.
        wave_range: first and last wavelength, vacuum Å.
        resolving_power: wave / FWHM.
        flux_range: smallest and largest flux of the nodes that were looked at, in `flux_unit`.
        flux_unit: in words.
        has_continuum: whether it holds continua.
        n_filled: nodes that were interpolated; None: the grid has no flags for them.
        source: what computed the spectra, in words.
        checksum: whether the file holds the SHA-256 of its content, which was compared with it.
        looked_at: nodes whose flux was computed; None: all.
    """

    file: str
    axes: dict[str, tuple[float, ...]]
    n_nodes: int
    n_pixels: int
    wave_range: tuple[float, float]
    resolving_power: float
    flux_range: tuple[float, float]
    flux_unit: str
    has_continuum: bool
    n_filled: int | None
    source: str
    checksum: bool = False
    looked_at: int | None = None

    def table(self) -> str:
        """Returns two columns, what and how much, as text."""
        from rich.table import Table

        table = Table("what", "value", title=self.file, show_header=False)
        for name, axis in self.axes.items():
            table.add_row(
                f"{name} ({unit_of(name)})", f"{len(axis)} nodes: " + " ".join(f"{x:g}" for x in axis)
            )
        table.add_row("nodes", str(self.n_nodes))
        span = "{:.2f} to {:.2f} Å in vacuum".format(*self.wave_range)
        table.add_row("wave", f"{self.n_pixels} pixels, {span}")
        table.add_row("resolving power", f"{self.resolving_power:g}")
        some = "" if self.looked_at is None else f", in {self.looked_at} of the nodes"
        table.add_row("flux", "{:.3g} to {:.3g} ".format(*self.flux_range) + self.flux_unit + some)
        table.add_row("continuum", "yes" if self.has_continuum else "no")
        if self.n_filled is not None:
            table.add_row("interpolated nodes", str(self.n_filled))
        table.add_row("source", self.source)
        table.add_row("checksum", said_of(self.checksum))
        return text_of(table)


def describe_sealed(path: Path) -> GridInfo | None:
    """Returns what a grid file holds whose checksum agrees: its spectra were looked at when it was written.

    None: it has no checksum, or nodes are missing, so that all of it must be read.

    Raises:
        MissingInputError, DataError: as `load_grid`; its checksum does not agree.
    """
    import numpy as np

    from crlb.files.hdf5 import open_input
    from crlb.files.hdf5_attributes import text
    from crlb.files.hdf5_checksum import check_seal
    from crlb.grids.grid_file import load_nodes
    from crlb.grids.holes import find_holes

    labels = []

    def some(names: tuple[str, ...], found: np.ndarray) -> np.ndarray:
        labels.append(found)
        return np.unique(np.linspace(0, len(found) - 1, MOST_LOOKED_AT).round().astype(int))

    with open_input(path, "grid") as file:
        if not check_seal(file):
            return None
        flux_unit, source = text(file, "flux_unit") or "", text(file, "source") or ""
        n_filled = int(file["filled"][()].sum()) if "filled" in file else None
        has_continuum = "cont" in file or "cont_coefficients" in file
    nodes = load_nodes(path, some)
    if len(find_holes(labels[0])):
        return None
    axes = zip(nodes.label_names, labels[0].T, strict=True)
    return GridInfo(
        file=str(path),
        axes={name: tuple(np.unique(column).tolist()) for name, column in axes},
        n_nodes=len(labels[0]),
        n_pixels=len(nodes.wave),
        wave_range=(float(nodes.wave[0]), float(nodes.wave[-1])),
        resolving_power=nodes.resolving_power,
        flux_range=(float(nodes.flux.min()), float(nodes.flux.max())),
        flux_unit=flux_unit,
        has_continuum=has_continuum,
        n_filled=n_filled,
        source=source,
        checksum=True,
        looked_at=len(nodes.labels) if len(nodes.labels) < len(labels[0]) else None,
    )


def describe_grid(grid: "SpectralGrid", file: str) -> GridInfo:
    """Returns what a grid read from `file`, which has no checksum, holds."""
    low, high = zip(*((flux.min(), flux.max()) for flux in grid.spectra.chunks()), strict=True)
    return GridInfo(
        file=file,
        axes={name: tuple(axis.tolist()) for name, axis in zip(grid.label_names, grid.axes, strict=True)},
        n_nodes=len(grid.nodes),
        n_pixels=len(grid.wave),
        wave_range=(float(grid.wave[0]), float(grid.wave[-1])),
        resolving_power=float(grid.resolving_power),
        flux_range=(float(min(low)), float(max(high))),
        flux_unit=grid.flux_unit,
        has_continuum=grid.continuum is not None,
        n_filled=None if grid.filled is None else int(grid.filled.sum()),
        source=grid.source,
    )
