"""Grids of model spectra: checked in memory, read from and written to HDF5. Host side, numpy float64."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float

from crlb.compression import compress
from crlb.errors import DataError, UsageError
from crlb.hdf5 import open_input, read_numbers
from crlb.output import new_file

MAX_HOLES_LISTED = 8


@dataclass(frozen=True)
class SpectralGrid:
    """Model spectra on a complete tensor grid of labels.

    Args:
        wave: vacuum wavelength of the pixels, Å, increasing.
        axes: the label values of the nodes, one increasing array per label (spacing may vary).
        flux: flux per Å at every node, in `flux_unit`.
        label_names: one name per axis.
        resolving_power: wave / FWHM that the sampling already has.
        flux_unit: in words.
        source: what computed the spectra, in words.
        cont: continuum flux, or None.

    Raises:
        DataError: wave or an axis does not increase; a flux is not finite and positive.
    """

    wave: Float[np.ndarray, "n_pix"]
    axes: tuple[np.ndarray, ...]
    flux: Float[np.ndarray, "*nodes n_pix"]
    label_names: tuple[str, ...]
    resolving_power: float
    flux_unit: str
    source: str
    cont: Float[np.ndarray, "*nodes n_pix"] | None = None

    def __post_init__(self) -> None:
        _check_increasing(self.wave, "wave")
        for name, axis in zip(self.label_names, self.axes, strict=True):
            _check_increasing(axis, f"axis {name}")
        _check_shape("flux", self.flux, self.axes, self.wave)
        _check_positive("flux", self.flux, self)
        if self.cont is not None:
            _check_shape("cont", self.cont, self.axes, self.wave)
            _check_positive("cont", self.cont, self)

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
        cont = None if self.cont is None else self.cont[..., keep]
        return dataclasses.replace(self, wave=self.wave[keep], flux=self.flux[..., keep], cont=cont)


def _check_increasing(values: np.ndarray, name: str) -> None:
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(f"{name} must hold finite numbers, at least one")
    if (np.diff(values) <= 0).any():
        worst = int(np.argmax(np.diff(values) <= 0))
        raise DataError(
            f"{name} must increase, but entry {worst} is {values[worst]} and the next {values[worst + 1]}"
        )


def _check_shape(name: str, table: np.ndarray, axes: tuple[np.ndarray, ...], wave: np.ndarray) -> None:
    expected = (*map(len, axes), len(wave))
    if table.shape != expected:
        raise DataError(f"{name} must have shape {expected} (nodes of the axes, pixels), found {table.shape}")


def _check_positive(name: str, table: np.ndarray, grid: SpectralGrid) -> None:
    bad = ~(np.isfinite(table) & (table > 0))
    if not bad.any():
        return
    *node, pixel = np.unravel_index(int(np.argmax(bad)), table.shape)
    where = ", ".join(
        f"{label} {axis[i]:g}" for label, axis, i in zip(grid.label_names, grid.axes, node, strict=True)
    )
    raise DataError(
        f"{name} must be finite and positive, but {int(bad.sum())} values are not, "
        f"the first is {table[(*node, pixel)]} at {where}, {grid.wave[pixel]:.2f} Å"
    )


def grid_from_nodes(
    wave: Float[np.ndarray, "n_pix"],
    flux: Float[np.ndarray, "n n_pix"],
    labels: Float[np.ndarray, "n n_labels"],
    *,
    label_names: tuple[str, ...],
    resolving_power: float,
    flux_unit: str,
    source: str,
    cont: Float[np.ndarray, "n n_pix"] | None = None,
) -> SpectralGrid:
    """Returns the tensor grid formed by spectra given node by node, in any order.

    Raises:
        DataError: a node is missing (the missing ones are listed) or occurs twice.
    """
    if not np.isfinite(labels).all():
        raise DataError("labels must be finite, found NaN or infinity")
    axes = tuple(np.unique(column) for column in labels.T)
    shape = tuple(map(len, axes))
    index = [np.searchsorted(axis, column) for axis, column in zip(axes, labels.T, strict=True)]
    position = np.ravel_multi_index(index, shape)
    _check_complete(position, axes, label_names)
    order = np.argsort(position)

    def tensor(table: np.ndarray) -> np.ndarray:
        return table[order].astype(np.float64).reshape(*shape, -1)

    return SpectralGrid(
        wave=wave.astype(np.float64),
        axes=axes,
        flux=tensor(flux),
        label_names=label_names,
        resolving_power=resolving_power,
        flux_unit=flux_unit,
        source=source,
        cont=None if cont is None else tensor(cont),
    )


def _check_complete(position: np.ndarray, axes: tuple[np.ndarray, ...], label_names: tuple[str, ...]) -> None:
    """Raises DataError unless every node of the tensor occurs once in `position` (flat indices)."""
    shape = tuple(map(len, axes))
    count = np.bincount(position, minlength=int(np.prod(shape)))

    def listed(wanted: np.ndarray) -> str:
        nodes = np.transpose(np.unravel_index(np.flatnonzero(wanted), shape))
        words = [
            "(" + ", ".join(f"{axis[i]:g}" for axis, i in zip(axes, node, strict=True)) + ")"
            for node in nodes[:MAX_HOLES_LISTED]
        ]
        more = len(nodes) - len(words)
        return " ".join(words) + (f" and {more} more" if more else "")

    names = ", ".join(label_names)
    if (count == 0).any():
        raise DataError(
            f"labels must form a complete tensor grid, but {int((count == 0).sum())} of {count.size} nodes "
            f"({names}) are missing: {listed(count == 0)}; add them or leave out an axis value"
        )
    if (count > 1).any():
        raise DataError(f"every node must occur once, but these ({names}) occur twice: {listed(count > 1)}")


def default_grid_path() -> Path:
    """Returns where the embedded grid lies (own LTE synthesis, not BOSZ)."""
    return Path(str(resources.files("crlb") / "data" / "embedded_grid.h5"))


def load_grid(path: str | Path) -> SpectralGrid:
    """Returns the grid in an HDF5 file.

    The file holds `wave` (n_pix) in vacuum Å, `labels` (n, n_labels) in any order, and `flux` (n, n_pix)
    or its factors `coefficients` (n, k) and `basis` (k, n_pix); optional `cont` likewise (factors
    `cont_coefficients`, `cont_basis`); root attributes `label_names`, `wave_medium` = "vacuum",
    `flux_unit`, `resolving_power`, `source`.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not HDF5, is truncated, lacks something, or its content fails a check.
    """
    with open_input(path, "grid") as file:
        return _read_grid(file)


def _read_grid(file: h5py.File) -> SpectralGrid:
    medium = _text(file, "wave_medium")
    if medium != "vacuum":
        raise DataError(f"wave_medium must be 'vacuum', found '{medium}'; convert the wavelengths first")
    wave, labels = _array(file, "wave", ("n_pix",)), _array(file, "labels", ("n", "n_labels"))
    names = np.atleast_1d(_attribute(file, "label_names"))
    label_names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    if len(set(label_names)) != len(label_names) or len(label_names) != labels.shape[1]:
        raise DataError(
            f"label_names must give {labels.shape[1]} different names, one per column of labels, "
            f"found {', '.join(label_names)}"
        )
    has_cont = "cont" in file or "cont_coefficients" in file
    tables = {"flux": _table(file, "flux", "")}
    if has_cont:
        tables["cont"] = _table(file, "cont", "cont_")
    for name, table in tables.items():
        if table.shape != (len(labels), len(wave)):
            raise DataError(
                f"{name} must have shape ({len(labels)}, {len(wave)}) (labels, wave), found {table.shape}"
            )
    return grid_from_nodes(
        wave,
        tables["flux"],
        labels,
        label_names=label_names,
        resolving_power=_positive_number(file, "resolving_power"),
        flux_unit=_text(file, "flux_unit"),
        source=_text(file, "source"),
        cont=tables.get("cont"),
    )


def _array(file: h5py.File, name: str, dims: tuple[str, ...]) -> np.ndarray:
    return read_numbers(file, name, dims).astype(np.float64)


def _table(file: h5py.File, name: str, prefix: str) -> np.ndarray:
    """Reads a table stored whole as `name`, or as the product of its factors."""
    if f"{prefix}coefficients" not in file:
        return _array(file, name, ("n", "n_pix"))
    coefficients = _array(file, f"{prefix}coefficients", ("n", "k"))
    basis = _array(file, f"{prefix}basis", ("k", "n_pix"))
    if coefficients.shape[1] != len(basis):
        raise DataError(
            f"{prefix}coefficients {coefficients.shape} and {prefix}basis {basis.shape} must agree in k"
        )
    return coefficients @ basis


def _attribute(file: h5py.File, name: str) -> Any:
    if name not in file.attrs:
        raise DataError(f"root attribute '{name}' is missing; found {', '.join(file.attrs) or 'none'}")
    return file.attrs[name]


def _text(file: h5py.File, name: str) -> str:
    value = _attribute(file, name)
    return value.decode() if isinstance(value, bytes) else str(value)


def _positive_number(file: h5py.File, name: str) -> float:
    value = np.asarray(_attribute(file, name))
    if value.size != 1 or value.dtype.kind not in "fiu" or not (np.isfinite(value) & (value > 0)).all():
        raise DataError(f"root attribute '{name}' must be one positive number, found {value}")
    return float(value.reshape(()))


def save_grid(
    grid: SpectralGrid, path: str | Path, overwrite: bool = False, rtol: float | None = None
) -> None:
    """Writes a grid file in float32, whole or not at all.

    Args:
        grid: what to write.
        path: the file to create, in an existing folder.
        overwrite: whether an existing file may be replaced.
        rtol: None stores `flux` itself; a number stores its factors, within `rtol * flux` at all nodes.

    Raises:
        OutputError: the file exists, or cannot be created.
        UsageError: `rtol` is below what float32 holds (about 1e-6).
    """
    with new_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["label_names"] = list(grid.label_names)
        file.attrs["wave_medium"] = "vacuum"
        file.attrs["flux_unit"] = grid.flux_unit
        file.attrs["resolving_power"] = grid.resolving_power
        file.attrs["source"] = grid.source
        file["wave"] = grid.wave
        file["labels"] = grid.nodes
        _write_table(file, "flux", "", grid.flux, rtol)
        if grid.cont is not None:
            _write_table(file, "cont", "cont_", grid.cont, rtol)


def _write_table(file: h5py.File, name: str, prefix: str, tensor: np.ndarray, rtol: float | None) -> None:
    table = tensor.reshape(-1, tensor.shape[-1])
    if rtol is None:
        file.create_dataset(name, data=table.astype(np.float32))
        return
    coefficients, basis = compress(table, rtol, np.float32)
    for part, data in (("coefficients", coefficients), ("basis", basis)):
        file.create_dataset(prefix + part, data=data, compression="gzip", shuffle=True)
