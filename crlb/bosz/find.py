"""BOSZ files in a folder, as people have them: compressed or not, some of them twice, others beside them."""

import hashlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crlb.bosz.catalogue import Atmosphere, choose_model, is_within
from crlb.bosz.content import unpacked
from crlb.bosz.names import EXTENSION, Node, parse_name
from crlb.bosz.read import naming
from crlb.bosz.sizes import LIMIT_BESIDE, unpacked_limit
from crlb.bosz.text_table import parse_text
from crlb.bosz.wave_grid import check_wave_2024, rows_of
from crlb.errors import DataError, MissingInputError, UsageError

WAVE_FILE = re.compile(r"bosz2024_wave_r(\d+)\.(?:txt|dat|asc|csv)(?:\.(?:gz|bz2|xz))?", re.IGNORECASE)
WAVE_ROW = 60  # bytes, more than a wavelength needs
LOOKS_LIKE_SPECTRUM = re.compile(rf".*\.{EXTENSION}", re.IGNORECASE)
PACKED = (".gz", ".bz2", ".xz")


def find_spectra(
    folder: str | Path,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    atmosphere: Atmosphere = "auto",
) -> dict[Node, Path]:
    """Returns the BOSZ files in a folder and in folders below it, by node, in the order of their labels.

    Of a file that is there twice with the same content, compressed and unpacked, one is taken; a warning says
    so. Files of the archive with the wavelengths of 2024 spectra are checked against the formula.

    Args:
        folder: where the files lie.
        ranges: lowest and highest value of a label (T_eff in K, others in dex); all there is if absent.
        atmosphere: which model where there are files of both; "auto" prefers MARCS up to 8000 K.

    Raises:
        MissingInputError: the folder does not exist or holds no such file.
        DataError: two files of one name differ, or a file of wavelengths holds other ones.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingInputError(f"folder {folder} does not exist or is not a folder")
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    found = _by_node(files)
    chosen = {node: paths for node, paths in found.items() if _wanted(node, ranges or {}, atmosphere)}
    if not chosen:
        looks = sum(LOOKS_LIKE_SPECTRUM.fullmatch(path.name) is not None for path in files)
        raise MissingInputError(
            f"no BOSZ file within the ranges in {folder}: {looks} files look like spectra, "
            f"{sum(map(len, found.values()))} bear names of BOSZ; download them, or widen the ranges"
        )
    _check_wave_files(files, chosen)
    single = _without_twins(chosen)
    return dict(sorted(single.items(), key=lambda item: item[0].labels))


def _by_node(files: list[Path]) -> dict[Node, list[Path]]:
    found: dict[Node, list[Path]] = {}
    for path in files:
        try:
            node = parse_name(path.name)
        except UsageError:
            continue
        found.setdefault(node, []).append(path)
    return found


def _wanted(node: Node, ranges: Mapping[str, tuple[float, float]], atmosphere: Atmosphere) -> bool:
    inside = all(
        is_within(node.edition, name, getattr(node, name), *bounds) for name, bounds in ranges.items()
    )
    return inside and node.model == choose_model(node.edition, node.T_eff, node.log_g, atmosphere)


def _without_twins(found: dict[Node, list[Path]]) -> dict[Node, Path]:
    """One file per node; a warning tells of the others, whose content is the same."""
    twins = {node: paths for node, paths in found.items() if len(paths) > 1}
    for node, paths in twins.items():
        first, *others = paths
        for other in others:
            if _digest(first, node) != _digest(other, node):
                raise DataError(
                    f"two files are of one node, {first} and {other}, and they differ; remove one"
                )
    chosen = {node: min(paths, key=_is_packed) for node, paths in found.items()}
    if twins:
        node, paths = next(iter(twins.items()))
        warnings.warn(
            f"{len(twins)} spectra are there more than once with the same content, the first as "
            f"{' and '.join(path.name for path in paths)}; {chosen[node].name} is read, likewise for others",
            stacklevel=3,
        )
    return chosen


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(PACKED)


def _digest(path: Path, node: Node) -> bytes:
    with naming(path):
        return hashlib.sha256(unpacked(path, unpacked_limit(node))).digest()


def _check_wave_files(files: list[Path], nodes: Mapping[Node, object]) -> None:
    """Checks the files of wavelengths that lie beside 2024 spectra of their resolving power."""
    powers = {str(node.resolving_power): node for node in nodes if node.edition == 2024}
    for path in files:
        match = WAVE_FILE.fullmatch(path.name)
        if match is None or match[1] not in powers:
            continue
        node = powers[match[1]]
        with naming(path):
            _, table = parse_text(unpacked(path, WAVE_ROW * rows_of(node) + LIMIT_BESIDE))
            if 1 not in table.shape:
                raise DataError(f"wavelengths must stand in one column, found {table.shape[1]}")
            check_wave_2024(np.ravel(table), int(match[1]))
