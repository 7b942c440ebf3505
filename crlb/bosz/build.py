"""A folder of BOSZ files -> one grid file, node by node, with what is missing recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import jax
import numpy as np
from jaxtyping import Bool, Float

from crlb.bosz.degrade import Pixels, plan_pixels
from crlb.bosz.names import Node
from crlb.bosz.read import read_spectrum
from crlb.errors import DataError, UsageError
from crlb.files.hdf5_attributes import write_texts
from crlb.files.hdf5_checksum import seal
from crlb.files.output import check_output, new_file
from crlb.files.progress import track
from crlb.grids import holes as hole
from crlb.labels import LABEL_NAMES

Policy = Literal["refuse", "drop", "fill", "keep"]
WAVE_RANGE = (7049.0, 8901.0)  # Å, vacuum: the red arm and some margin, as the embedded grid
FLUX_UNIT = "erg/s/cm2/A at the stellar surface"
PAPERS = {2017: "Bohlin et al. 2017, AJ 153, 234", 2024: "Mészáros et al. 2024, A&A 688, A197"}


@dataclass(frozen=True)
class _Table:
    """The nodes that become the grid: `labels` of those that vary, `fixed` the others."""

    nodes: list[Node]
    paths: list[Path]
    label_names: tuple[str, ...]
    labels: Float[np.ndarray, "n n_labels"]
    fixed: dict[str, float]

    def keep(self, rows: Bool[np.ndarray, " n"]) -> "_Table":
        """The table with these rows only."""
        chosen = [i for i, kept in enumerate(rows) if kept]
        nodes, paths = [self.nodes[i] for i in chosen], [self.paths[i] for i in chosen]
        return _Table(nodes, paths, self.label_names, self.labels[rows], self.fixed)


def build_grid(
    files: Mapping[Node, Path],
    path: str | Path,
    *,
    resolving_power: float | None = None,
    wave_range: tuple[float, float] = WAVE_RANGE,
    holes: Policy = "refuse",
    overwrite: bool = False,
) -> str:
    """Writes a grid file from BOSZ files, one spectrum in memory at a time.

    Labels that have one value only are no axis: `source` and `fixed_labels` name them.

    Args:
        files: spectra of one edition, resolving power and microturbulence, as `crlb.bosz.find` returns them.
        path: the grid file to create.
        resolving_power: wave / FWHM wanted; None keeps that of the files.
        wave_range: lowest and highest vacuum wavelength kept, Å.
        holes: what to do with nodes that are missing from the tensor: "refuse" lists them, "drop" leaves out
            axis values, "fill" interpolates (dataset `filled`), "keep" writes what there is. All but "refuse"
            keep their labels in the dataset `holes`, and say what was done in the attribute `holes`.
        overwrite: whether an existing file may be replaced.

    Returns:
        What was done about holes, in words; empty if there were none.

    Raises:
        OutputError: the file exists, or cannot be created.
        DataError: nodes are missing and refused; a file is unusable; two files are of one node.
        UsageError: an argument cannot be used, or the files are of several kinds.
    """
    check_output(path, overwrite)
    table = _tabulate(files)
    missing = hole.find_holes(table.labels)
    table, report = _deal_with_holes(table, holes) if len(missing) else (table, "")
    plan = hole.fill_plan(table.labels, table.label_names) if report and holes == "fill" else []
    with jax.enable_x64(True), new_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        pixels = plan_pixels(read_spectrum(table.paths[0]), wave_range, resolving_power)
        _describe(file, table, pixels)
        _write_rows(file, table, pixels, len(plan))
        _write_filled(file, table, plan)
        if report:
            file["holes"] = missing
            write_texts(file, holes=report)
        seal(file)
    return report


def _tabulate(files: Mapping[Node, Path]) -> _Table:
    nodes, paths = list(files), list(files.values())
    for name in ("edition", "resolving_power", "microturbulence"):
        kinds = sorted({str(getattr(node, name)) for node in nodes})
        if len(kinds) > 1:
            raise UsageError(
                f"files must agree in {name}, found {', '.join(kinds)}; put each kind into its own folder"
            )
    for first, second, a, b in zip(nodes, nodes[1:], paths, paths[1:], strict=False):
        if first.labels == second.labels:
            raise DataError(f"two files are of one node, {a.name} and {b.name}; remove one")
    labels = np.array([node.labels for node in nodes])
    varies = (labels != labels[0]).any(axis=0)
    if not varies.any():
        raise UsageError("a grid needs at least two spectra that differ in a label, found one")
    columns = list(zip(LABEL_NAMES, labels[0], varies, strict=True))
    fixed = {name: float(value) for name, value, free in columns if not free}
    return _Table(nodes, paths, tuple(n for n, _, free in columns if free), labels[:, varies], fixed)


def _deal_with_holes(table: _Table, holes: Policy) -> tuple[_Table, str]:
    missing = hole.find_holes(table.labels)
    if holes == "refuse":
        raise DataError(hole.refusal(table.labels, table.label_names))
    if holes == "drop":
        keep = hole.complete_part(table.labels)
        return table.keep(keep), hole.drop_report(table.labels, keep, table.label_names)
    if holes == "fill":
        return table, hole.fill_report(table.labels)
    if holes == "keep":
        return table, f"{len(missing)} missing nodes are kept as holes: {hole.listed(missing)}"
    raise UsageError(f"holes must be refuse, drop, fill or keep, found {holes}")


def _describe(file: h5py.File, table: _Table, pixels: Pixels) -> None:
    node = table.nodes[0]
    source = [f"BOSZ {node.edition} ({PAPERS[node.edition]})", f"files of R = {node.resolving_power}"]
    if pixels.kernel_power is not None:
        source.append(f"smoothed with a Gaussian to R = {pixels.resolving_power:g}")
    models = {"ap": "ATLAS9", "mp": "MARCS", "ms": "MARCS"}
    source.append(" and ".join(sorted({models[node.model] for node in table.nodes})))
    source.append(f"microturbulence {node.microturbulence} km/s")
    fixed = [f"{name} = {value:g}" for name, value in table.fixed.items()]
    write_texts(file, label_names=table.label_names, wave_medium="vacuum", flux_unit=FLUX_UNIT)
    write_texts(file, source=", ".join([*source, *fixed]))
    file.attrs["resolving_power"] = pixels.resolving_power
    if fixed:
        write_texts(file, fixed_labels=fixed)
    file["wave"] = pixels.wave


def _write_rows(file: h5py.File, table: _Table, pixels: Pixels, n_filled: int) -> None:
    shape = (len(table.nodes) + n_filled, len(pixels.wave))
    flux, cont = (file.create_dataset(name, shape, np.float32) for name in ("flux", "cont"))
    for i, path in enumerate(track(table.paths, "build", len(table.paths), "spectra")):
        try:
            flux[i], cont[i] = pixels(read_spectrum(path))
        except DataError as error:
            named = str(path) in str(error)
            raise error if named else DataError(f"{path}: {error}") from error


def _write_filled(file: h5py.File, table: _Table, plan: list[hole.Recipe]) -> None:
    n = len(table.nodes)
    labels = np.concatenate([table.labels, hole.find_holes(table.labels)]) if plan else table.labels
    file["labels"] = labels
    if plan:
        file["filled"] = np.arange(len(labels)) >= n
    for name in ("flux", "cont"):
        for i, (rows, weights) in enumerate(plan):
            near = np.stack([file[name][int(row)] for row in rows])
            file[name][n + i] = hole.interpolate_node(near, weights)
