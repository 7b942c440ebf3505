"""Grids of model spectra, read from and written to HDF5."""

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple, NoReturn

import h5py
import numpy as np
from jaxtyping import Float, Int

from crlb.detector import cell_edges
from crlb.errors import DataError, UsageError
from crlb.files.hdf5 import dataset, open_input, read_numbers
from crlb.files.hdf5_attributes import attribute, text, texts, write_texts
from crlb.files.hdf5_checksum import check_seal, seal
from crlb.files.output import new_file
from crlb.grids.compression import Factors, quantise
from crlb.grids.holes import Policy
from crlb.grids.rounding import is_node
from crlb.grids.spectral_grid import Nodes, SpectralGrid, grid_from_nodes, make_grid
from crlb.labels import SOLAR_SCALED, check_label_names
from crlb.suggest import meant

__all__ = [
    "Nodes",
    "SomeNodes",
    "SpectralGrid",
    "default_grid_path",
    "grid_from_nodes",
    "grid_labels",
    "load_grid",
    "load_nodes",
    "load_slice",
    "make_grid",
    "save_grid",
]

MOST_VALUES, MOST_PER_VALUE = 10**9, 1000  # of a table: in all, and for each value of its factors
GZIP_LEVEL = 9  # the smallest files; grids are written once


def default_grid_path() -> Path:
    """Returns where the embedded grid lies (own LTE synthesis, not BOSZ)."""
    return Path(str(resources.files("crlb") / "data" / "embedded_grid.h5"))


def load_grid(
    path: str | Path, fixed: Mapping[str, float] | None = None, holes: Policy = "refuse"
) -> SpectralGrid:
    """Returns the grid in an HDF5 file.

    The file holds `wave` (n_pix) in vacuum Å, `labels` (n, n_labels) in any order, and `flux` (n, n_pix)
    or its factors `coefficients` (n, k) and `basis` (k, n_pix); optional `cont` likewise (factors
    `cont_coefficients`, `cont_basis`) and `filled` (n), nodes that were interpolated; root attributes
    `label_names`, `wave_medium` = "vacuum", `flux_unit`, `resolving_power`, `source`. Factors of whole
    numbers stand for flux = scale (n) * (coefficients * quantum (k)) @ basis. Files that `save_grid` and
    `crlb grid build` write hold the SHA-256 of their content, too, which is compared.

    Args:
        path: the file.
        fixed: labels held at a value, which must be that of a node (up to the rounding of float32); the grid
            has no axis for them.
        holes: what to do where nodes of the tensor are missing: `refuse` lists them, `drop` leaves out axis
            values, `fill` interpolates (see `crlb.grids.holes`).

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not HDF5, is truncated, lacks something, or its content fails a check, its checksum
            among them.
        UsageError: `fixed` names an unknown label, or a value between the nodes.
    """
    with open_input(path, "grid") as file:
        return _read_grid(file, fixed or {}, holes)


def grid_labels(path: str | Path) -> tuple[str, ...]:
    """Returns the names of all labels of the grid in a file; errors as `load_grid`."""
    with open_input(path, "grid") as file:
        return _label_names(file)


def grid_reach(path: str | Path) -> tuple[float, float, float]:
    """Returns where the spectra of a grid file begin and end, vacuum Å, and their resolving power.

    Raises:
        MissingInputError, DataError: as `load_grid`.
    """
    with open_input(path, "grid") as file:
        _check_medium(file)
        ends = cell_edges(_array(file, "wave", ("n_wave",)))[[0, -1]].tolist()
        return ends[0], ends[1], _positive_number(file, "resolving_power")


def load_slice(
    path: str | Path,
    labels: Sequence[str] | None = None,
    fixed: Mapping[str, float] | None = None,
    holes: Policy = "refuse",
) -> SpectralGrid:
    """Returns the grid in a file with the labels that are not asked for held at a value.

    Args:
        path: the file.
        labels: names of the free labels; None: all but the abundance ratios a_M and C_M.
        fixed: values of other labels, at nodes; a_M and C_M are held at 0 if they are neither free nor here.
        holes: as `load_grid`.

    Raises:
        UsageError: a label is both free and fixed; otherwise as `load_grid`.
    """
    names = grid_labels(path)
    free = [name for name in names if name not in SOLAR_SCALED] if labels is None else list(labels)
    both = [name for name in fixed or {} if name in (labels or ())]
    if both:
        raise UsageError(f"a label is either free or fixed, found both for {', '.join(both)}")
    held = {name: value for name, value in SOLAR_SCALED.items() if name in names and name not in free}
    return load_grid(path, held | dict(fixed or {}), holes)


class SomeNodes(NamedTuple):
    """Some spectra of a grid: wave in vacuum Å, labels and flux of each node, wave / FWHM of the spectra."""

    wave: Float[np.ndarray, " n_pix"]
    label_names: tuple[str, ...]
    labels: Float[np.ndarray, "n n_labels"]
    flux: Float[np.ndarray, "n n_pix"]
    resolving_power: float


def load_nodes(
    path: str | Path, choose: Callable[[tuple[str, ...], np.ndarray], Int[np.ndarray, " n"]]
) -> SomeNodes:
    """Returns some nodes of the grid in a file; no other spectra are read.

    Args:
        path: the file, as `load_grid`.
        choose: takes label names and the labels of all nodes, returns increasing row numbers.

    Raises:
        MissingInputError, DataError: as `load_grid`; missing nodes do not matter.
    """
    with open_input(path, "grid") as file:
        _check_medium(file)
        wave, labels = _array(file, "wave", ("n_pix",)), _array(file, "labels", ("n", "n_labels"))
        names = _label_names(file)
        rows = choose(names, labels)
        flux = _table(file, "flux", "", rows).table()
        return SomeNodes(wave, names, labels[rows], flux, _positive_number(file, "resolving_power"))


def _check_medium(file: h5py.File) -> None:
    medium = _text(file, "wave_medium")
    if medium != "vacuum":
        raise DataError(f"wave_medium must be 'vacuum', found '{medium}'; convert the wavelengths first")


def _read_grid(file: h5py.File, fixed: Mapping[str, float], holes: Policy) -> SpectralGrid:
    _check_medium(file)
    wave, labels = _array(file, "wave", ("n_pix",)), _array(file, "labels", ("n", "n_labels"))
    if len(wave) < 2:
        raise DataError("wave must hold at least two pixels, found one")
    label_names = _label_names(file)
    if len(label_names) != labels.shape[1]:
        raise DataError(
            f"label_names must give {labels.shape[1]} different names, one per column of labels, found "
            f"{', '.join(label_names)}"
        )
    rows, columns = _slice(labels, label_names, fixed)
    parts = {"flux": _table(file, "flux", "")}
    if "cont" in file or "cont_coefficients" in file:
        parts["cont"] = _table(file, "cont", "cont_")
    for name, factors in parts.items():
        if factors.shape != (len(labels), len(wave)):
            raise DataError(
                f"{name} must have shape ({len(labels)}, {len(wave)}) (labels, wave), found {factors.shape}"
            )
        parts[name] = Factors(factors.coefficients[rows], factors.basis)
    grid = grid_from_nodes(
        wave,
        Nodes(
            labels[np.ix_(rows, columns)],
            parts["flux"],
            parts.get("cont"),
            _flags(file, len(labels))[rows] if "filled" in file else None,
        ),
        label_names=tuple(label_names[i] for i in columns),
        resolving_power=_positive_number(file, "resolving_power"),
        flux_unit=_text(file, "flux_unit"),
        source=_text(file, "source"),
        holes=holes,
    )
    check_seal(file)
    return grid


def _label_names(file: h5py.File) -> tuple[str, ...]:
    label_names = texts(file, "label_names") or _missing(file, "label_names")
    check_label_names(label_names)
    if len(set(label_names)) != len(label_names):
        raise DataError(f"label_names must give different names, found {', '.join(label_names)}")
    return label_names


def _slice(
    labels: np.ndarray, label_names: tuple[str, ...], fixed: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The nodes at the fixed labels, and the labels that stay axes; both as indices."""
    rows = np.ones(len(labels), bool)
    for name, value in fixed.items():
        if name not in label_names:
            raise UsageError(
                f"unknown label {name}: this grid has {', '.join(label_names)}{meant(name, label_names)}"
            )
        column = labels[:, label_names.index(name)]
        here = is_node(column, value)
        if not here.any():
            nodes = " ".join(f"{x:g}" for x in np.unique(column))
            raise UsageError(f"{name} can be fixed at a node of the grid only, {nodes}; found {value:g}")
        rows &= here
    columns = np.array([i for i, name in enumerate(label_names) if name not in fixed], int)
    if not len(columns):
        raise UsageError("at least one label must be left free, but all of the grid's are fixed")
    return np.flatnonzero(rows), columns


def _array(file: h5py.File, name: str, dims: tuple[str, ...], rows: np.ndarray | None = None) -> np.ndarray:
    return read_numbers(file, name, dims, rows).astype(np.float64)


def _flags(file: h5py.File, n: int) -> np.ndarray:
    values = dataset(file, "filled")
    if values.dtype.kind not in "bui" or values.shape != (n,):
        raise DataError(f"'filled' must be {n} flags, one per node, found {values.dtype} {values.shape}")
    flags: np.ndarray = values[()]
    return flags.astype(bool)


def _table(file: h5py.File, name: str, prefix: str, rows: np.ndarray | None = None) -> Factors:
    """Reads a table, or these rows of it, stored whole as `name` or as its factors."""
    if f"{prefix}coefficients" not in file:
        return Factors(_array(file, name, ("n", "n_pix"), rows))
    coefficients = _array(file, f"{prefix}coefficients", ("n", "k"), rows)
    basis = _array(file, f"{prefix}basis", ("k", "n_pix"))
    if coefficients.shape[1] != len(basis):
        raise DataError(
            f"{prefix}coefficients {coefficients.shape} and {prefix}basis {basis.shape} must agree in k"
        )
    _check_product(prefix, coefficients, basis)
    if f"{prefix}quantum" in file:
        quantum = _array(file, f"{prefix}quantum", ("k",))
        scale = _array(file, f"{prefix}scale", ("n",), rows)
        if (len(scale), len(quantum)) != coefficients.shape:
            raise DataError(
                f"{prefix}scale and {prefix}quantum must have the lengths of {prefix}coefficients, "
                f"{coefficients.shape}, found {len(scale)} and {len(quantum)}"
            )
        coefficients *= quantum * scale[:, None]
    return Factors(coefficients, basis)


def _check_product(prefix: str, coefficients: np.ndarray, basis: np.ndarray) -> None:
    """Refuses factors that are next to nothing beside the table that they stand for."""
    n_values = len(coefficients) * basis.shape[1]
    if n_values > max(MOST_VALUES, MOST_PER_VALUE * (coefficients.size + basis.size)):
        raise DataError(
            f"{prefix}coefficients {coefficients.shape} and {prefix}basis {basis.shape} stand for "
            f"{n_values:,} values, more than {MOST_PER_VALUE} for each of theirs; store more of the table"
        )


def _missing(file: h5py.File, name: str) -> NoReturn:
    raise DataError(f"root attribute '{name}' is missing; found {', '.join(file.attrs) or 'none'}")


def _text(file: h5py.File, name: str) -> str:
    found = text(file, name)
    return _missing(file, name) if found is None else found


def _positive_number(file: h5py.File, name: str) -> float:
    found = attribute(file, name)
    value = _missing(file, name) if found is None else np.asarray(found)
    if value.size != 1 or value.dtype.kind not in "fiu" or not (np.isfinite(value) & (value > 0)).all():
        raise DataError(f"root attribute '{name}' must be one positive number, found {value}")
    return float(value.reshape(()))


def save_grid(
    grid: SpectralGrid,
    path: str | Path,
    overwrite: bool = False,
    rtol: float | Float[np.ndarray, "*nodes"] | None = None,
) -> None:
    """Writes a grid file in float32, whole or not at all.

    Args:
        grid: what to write.
        path: the file to create, in an existing folder.
        overwrite: whether an existing file may be replaced.
        rtol: None stores `flux` itself; otherwise its factors in whole numbers, within `rtol * flux` at
            all nodes and pixels; one number, or one per node.

    Raises:
        OutputError: the file exists, or cannot be created.
        UsageError: `rtol` is below what the factors can hold.
    """
    with new_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        write_texts(file, label_names=grid.label_names, wave_medium="vacuum", flux_unit=grid.flux_unit)
        write_texts(file, source=grid.source)
        file.attrs["resolving_power"] = grid.resolving_power
        file["wave"] = grid.wave
        file.create_dataset("labels", data=grid.nodes, compression="gzip", shuffle=True)
        if grid.filled is not None:
            file["filled"] = grid.filled.ravel()
        _write_table(file, "flux", "", grid.flux, rtol)
        if grid.cont is not None:
            _write_table(file, "cont", "cont_", grid.cont, rtol)
        seal(file)


def _write_table(
    file: h5py.File, name: str, prefix: str, tensor: np.ndarray, rtol: float | np.ndarray | None
) -> None:
    table = tensor.reshape(-1, tensor.shape[-1])
    if rtol is None:
        file.create_dataset(name, data=table.astype(np.float32))
        return
    parts = quantise(table, rtol if isinstance(rtol, float) else rtol.ravel())
    for part in ("coefficients", "basis"):
        file.create_dataset(
            prefix + part,
            data=getattr(parts, part),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            shuffle=True,
        )
    file[f"{prefix}scale"], file[f"{prefix}quantum"] = parts.scale, parts.quantum
