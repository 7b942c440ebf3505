"""A grid of model spectra in memory, checked. Host side, numpy float64."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from crlb.errors import DataError, UsageError
from crlb.files.memory import check_memory
from crlb.grids.compression import Factors
from crlb.grids.holes import Policy, find_holes, listed, mend
from crlb.grids.rounding import ROUNDING, unite_rounded
from crlb.labels import check_label_names

TABLES = 3  # of all spectra, in memory at once while holes are mended


@dataclass(frozen=True, eq=False)
class SpectralGrid:
    """Model spectra on a complete tensor grid of labels; `make_grid` builds one from plain arrays.

    Args:
        wave: vacuum wavelength of the samples, Å, increasing; or of the pixels of a detector, in any order.
        axes: the label values of the nodes, one increasing array per label (spacing may vary).
        spectra: flux per Å at every node, in `flux_unit`, whole or as factors.
        label_names: one name per axis.
        resolving_power: wave / FWHM that the sampling already has.
        flux_unit: unit of the flux, in words.
        source: what computed the spectra, in words.
        continuum: continuum flux, or None.
        filled: nodes that were interpolated, not computed; None if there are none.
        on_pixels: whether the samples are pixels of a detector, whose arms may overlap.

    Raises:
        DataError: wave or an axis does not increase, or holds one node twice (up to rounding); a flux is not
            finite and positive.
    """

    wave: Float[np.ndarray, " n_pix"]
    axes: tuple[np.ndarray, ...]
    spectra: Factors
    label_names: tuple[str, ...]
    resolving_power: float
    flux_unit: str
    source: str
    continuum: Factors | None = None
    filled: Bool[np.ndarray, "*nodes"] | None = None
    on_pixels: bool = False

    def __post_init__(self) -> None:
        check_label_names(self.label_names)
        if not self.on_pixels:
            _check_increasing(self.wave, "wave")
        for name, axis in zip(self.label_names, self.axes, strict=True):
            _check_increasing(axis, f"axis {name}")
            _check_apart(axis, name)
        for name, factors in (("flux", self.spectra), ("cont", self.continuum)):
            if factors is not None:
                _check_shape(name, factors, self.axes, self.wave)
                _check_positive(name, factors, self)

    @property
    def flux(self) -> Float[np.ndarray, "*nodes n_pix"]:
        """Flux of every node as one table."""
        return self.spectra.table()

    @property
    def cont(self) -> Float[np.ndarray, "*nodes n_pix"] | None:
        """Continuum flux of every node as one table, or None."""
        return None if self.continuum is None else self.continuum.table()

    @cached_property
    def nodes(self) -> Float[np.ndarray, "n n_labels"]:
        """Labels of all nodes, last label fastest: the order of `flux.reshape(-1, n_pix)`."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, len(self.axes))

    def cut(self, wave_min: float, wave_max: float) -> "SpectralGrid":
        """Returns the grid on the pixels with wave_min <= wave <= wave_max (Å)."""
        keep = (self.wave >= wave_min) & (self.wave <= wave_max)
        if not keep.any():
            raise UsageError(
                f"no pixel between {wave_min} and {wave_max} Å: "
                f"the grid covers {self.wave[0]:.2f} to {self.wave[-1]:.2f} Å"
            )
        spectra, continuum = (
            factors and factors.replace_rows(factors.rows[:, keep])
            for factors in (self.spectra, self.continuum)
        )
        assert spectra is not None
        return dataclasses.replace(self, wave=self.wave[keep], spectra=spectra, continuum=continuum)

    def take(self, axis: int, index: Sequence[int] | np.ndarray) -> "SpectralGrid":
        """Returns the grid with these nodes of one axis only, in increasing order."""
        chosen = np.asarray(index)
        axes = (*self.axes[:axis], self.axes[axis][chosen], *self.axes[axis + 1 :])
        spectra, continuum = (
            factors and Factors(np.take(factors.coefficients, chosen, axis), factors.basis)
            for factors in (self.spectra, self.continuum)
        )
        assert spectra is not None
        filled = None if self.filled is None else np.take(self.filled, chosen, axis)
        return dataclasses.replace(self, axes=axes, spectra=spectra, continuum=continuum, filled=filled)


def make_grid(
    wave: Float[np.ndarray, " n_pix"],
    axes: tuple[np.ndarray, ...],
    flux: Float[np.ndarray, "*nodes n_pix"],
    label_names: tuple[str, ...],
    resolving_power: float,
    flux_unit: str,
    source: str,
    cont: Float[np.ndarray, "*nodes n_pix"] | None = None,
) -> SpectralGrid:
    """Returns the grid of whole spectra; arguments and errors as `SpectralGrid`."""
    continuum = None if cont is None else Factors(cont)
    return SpectralGrid(wave, axes, Factors(flux), label_names, resolving_power, flux_unit, source, continuum)


def _check_increasing(values: np.ndarray, name: str) -> None:
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(f"{name} must hold finite numbers, at least one")
    if (np.diff(values) <= 0).any():
        worst = int(np.argmax(np.diff(values) <= 0))
        raise DataError(
            f"{name} must increase, but entry {worst} is {values[worst]} and the next {values[worst + 1]}"
        )


def _check_apart(axis: np.ndarray, name: str) -> None:
    near = np.diff(axis) <= ROUNDING * np.abs(axis).max()
    if near.any():
        worst = int(np.argmax(near))
        raise DataError(
            f"axis {name} must hold every node once, but {axis[worst]!r} and {axis[worst + 1]!r} differ by "
            "rounding only; give one of them"
        )


def _check_shape(name: str, factors: Factors, axes: tuple[np.ndarray, ...], wave: np.ndarray) -> None:
    expected = (*map(len, axes), len(wave))
    if factors.shape != expected:
        raise DataError(
            f"{name} must have shape {expected} (nodes of the axes, pixels), found {factors.shape}"
        )


def _check_positive(name: str, factors: Factors, grid: SpectralGrid) -> None:
    start = 0
    for flux in factors.chunks():
        good = np.isfinite(flux) & (flux > 0)
        if not good.all():
            row, pixel = np.unravel_index(int(np.argmin(good)), good.shape)
            where = ", ".join(
                f"{label} {value:g}"
                for label, value in zip(grid.label_names, grid.nodes[start + row], strict=True)
            )
            raise DataError(
                f"{name} must be finite and positive, but {int((~good).sum())} values are not, "
                f"the first is {flux[row, pixel]} at {where}, {grid.wave[pixel]:.2f} Å"
            )
        start += len(flux)


class Nodes(NamedTuple):
    """Model spectra node by node, in any order.

    Args:
        labels: labels of every node.
        flux: flux per Å of every node, whole or as factors.
        cont: continuum flux of every node, or None.
        filled: which nodes were interpolated, not computed; None if none was.
    """

    labels: Float[np.ndarray, "n n_labels"]
    flux: Float[np.ndarray, "n n_pix"] | Factors
    cont: Float[np.ndarray, "n n_pix"] | Factors | None = None
    filled: Bool[np.ndarray, " n"] | None = None


def grid_from_nodes(
    wave: Float[np.ndarray, " n_pix"],
    nodes: Nodes,
    *,
    label_names: tuple[str, ...],
    resolving_power: float,
    flux_unit: str,
    source: str,
    holes: Policy = "refuse",
) -> SpectralGrid:
    """Returns the tensor grid formed by spectra given node by node, in any order.

    Labels that differ by the rounding of float32 are one node.
    Missing nodes are refused, or mended as `crlb.grids.holes.mend` does; a warning reports what was done.

    Raises:
        DataError: a node is missing (the missing ones are listed) or occurs twice.
    """
    if not np.isfinite(nodes.labels).all():
        raise DataError("labels must be finite, found NaN or infinity")
    nodes = nodes._replace(labels=unite_rounded(nodes.labels))
    _check_single(nodes.labels, label_names)
    labels, flux, cont, filled = (
        _mended(nodes, holes, label_names) if len(find_holes(nodes.labels)) else nodes
    )
    axes = tuple(np.unique(column) for column in labels.T)
    shape = tuple(map(len, axes))
    index = [np.searchsorted(axis, column) for axis, column in zip(axes, labels.T, strict=True)]
    order = np.argsort(np.ravel_multi_index(index, shape))

    def tensor(table: np.ndarray | Factors) -> Factors:
        factors = table if isinstance(table, Factors) else Factors(table)
        return Factors(factors.coefficients[order].astype(np.float64).reshape(*shape, -1), factors.basis)

    return SpectralGrid(
        wave=wave.astype(np.float64),
        axes=axes,
        spectra=tensor(flux),
        label_names=label_names,
        resolving_power=resolving_power,
        flux_unit=flux_unit,
        source=source,
        continuum=None if cont is None else tensor(cont),
        filled=None if filled is None else filled[order].reshape(shape),
    )


def _check_single(labels: Float[np.ndarray, "n n_labels"], label_names: tuple[str, ...]) -> None:
    nodes, count = np.unique(labels, axis=0, return_counts=True)
    if (count > 1).any():
        raise DataError(
            f"every node must occur once, but these ({', '.join(label_names)}) occur twice: "
            f"{listed(nodes[count > 1])}"
        )


def _mended(nodes: Nodes, holes: Policy, label_names: tuple[str, ...]) -> Nodes:
    """The table without holes, as whole spectra; a warning reports what was done."""
    n_pix = nodes.flux.shape[-1]
    n_whole = math.prod(len(np.unique(column)) for column in nodes.labels.T)
    check_memory(TABLES * 8 * n_whole * n_pix, f"a grid of {n_whole} nodes and {n_pix} pixels")
    whole = [table.table() if isinstance(table, Factors) else table for table in (nodes.flux, nodes.cont)]
    assert whole[0] is not None
    mended = mend(nodes.labels, whole[0], whole[1], holes, label_names)
    warnings.warn(mended.report, stacklevel=3)
    filled = np.zeros(len(nodes.labels), bool) if nodes.filled is None else nodes.filled
    known = dict(zip(map(tuple, nodes.labels), filled, strict=True))
    before = np.array([known.get(tuple(node), False) for node in mended.labels])
    return Nodes(mended.labels, mended.flux, mended.cont, mended.filled | before)
