"""Parsers of BOSZ files: physical flux on wavelengths with all their digits, whole files only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from crlb.bosz.catalogue import ORIGINAL
from crlb.bosz.columns import CONT, FLUX, WAVE, positions
from crlb.bosz.content import FITS_MAGIC, unpacked
from crlb.bosz.fits_table import parse_fits
from crlb.bosz.names import Node, parse_name
from crlb.bosz.sizes import unpacked_limit
from crlb.bosz.text_table import parse_text
from crlb.bosz.wave_grid import (
    check_original_wave,
    check_rows_2024,
    check_wave_2024,
    spacing_of,
    wave_2017,
    wave_2024,
)
from crlb.errors import DataError, MissingInputError, UsageError
from crlb.wavelengths import air_to_vacuum

PLACEHOLDER = 1.0  # continuum, as stored, where the archive has no flux: far in the blue
APART = 1e-3  # of the continuum: more than rounding
EXCHANGED = 1e-3  # share of the pixels that may lie above the continuum, if still more lie below it
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class BoszSpectrum:
    """One spectrum as it lies in its file, with physical flux.

    Args:
        node: the node that the spectrum is of.
        wave: Å, in the `medium`; use `vacuum_wave` for what the rest of the package expects.
        flux: F_lambda at the stellar surface, erg/s/cm^2/Å.
        cont: continuum of the same kind and unit; 0 where the archive has a placeholder for flux and
            continuum (0 and 1, far in the blue).
        medium: "air" means air above 2000 Å and vacuum below.
        spacing: of the pixels in ln wave; None for the 2024 originals, which are not equally spaced.
    """

    node: Node
    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    cont: Float[np.ndarray, " n_pix"]
    medium: Literal["air", "vacuum"]
    spacing: float | None

    @property
    def vacuum_wave(self) -> Float[np.ndarray, " n_pix"]:
        """Vacuum wavelengths, Å; where they come from air they are no longer equally spaced in ln wave."""
        return self.wave if self.medium == "vacuum" else air_to_vacuum(self.wave)


def read_spectrum(path: str | Path) -> BoszSpectrum:
    """Returns the spectrum in a BOSZ file, whose name says which node it is of.

    What the file is, its content tells: FITS or text, as it is or compressed by gzip, bzip2 or xz.
    F = pi x stored value in 2017, 4 pi H in 2024; the continuum likewise.

    Raises:
        MissingInputError: there is no such file.
        DataError: its name is not one of BOSZ; it is truncated or damaged, of another kind, lacks rows or
            columns, or holds NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"spectrum {path} does not exist or is not a file")
    with naming(path):
        node = parse_name(path.name)
        raw = unpacked(path, unpacked_limit(node))
        needed = (FLUX, CONT) if _is_bare(node) else (WAVE, FLUX, CONT)
        columns = parse_fits(raw, needed) if raw.startswith(FITS_MAGIC) else _text_columns(raw, node)
        return _spectrum(node, columns)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns what is raised inside the block for bad content into a DataError that names the file."""
    try:
        yield
    except (UsageError, DataError) as error:
        raise DataError(f"{path}: {error}") from error


def _is_bare(node: Node) -> bool:
    """Whether the archive's files of this kind have no wavelengths."""
    return node.edition == 2024 and node.resolving_power != ORIGINAL


def _text_columns(raw: bytes, node: Node) -> Columns:
    names, table = parse_text(raw)
    where = positions(names) if len(names) == table.shape[1] else {}
    if {FLUX, CONT} <= set(where) and (WAVE in where or _is_bare(node)):
        return {name: table[:, at] for name, at in where.items()}
    n_columns = table.shape[1]
    if n_columns == 3:
        return dict(zip((WAVE, FLUX, CONT), table.T, strict=True))
    if n_columns == 2 and _is_bare(node):
        return dict(zip((FLUX, CONT), table.T, strict=True))
    needed = "2 columns (flux and continuum)" if _is_bare(node) else "3 columns"
    raise DataError(
        f"the table must have {needed}, found {n_columns}"
        + (", without a heading that names them" if n_columns > 3 else "")
    )


def _spectrum(node: Node, columns: Columns) -> BoszSpectrum:
    flux, cont = columns[FLUX], columns[CONT]
    for name, values in (("flux", flux), ("continuum", cont)):
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise DataError(f"flux and continuum must be finite, but {name} {row} is {values[row]}")
    wave = _wave(node, columns)
    cont = np.where((flux == 0) & (cont == PLACEHOLDER), 0.0, cont)
    above, below = (flux > (1 + APART) * cont).mean(), (flux < (1 - APART) * cont).mean()
    if above > max(below, EXCHANGED):
        raise DataError(
            f"the flux lies above the continuum in {above:.0%} of the pixels, below it in {below:.0%}: are "
            "the columns exchanged, or in different units?"
        )
    factor = np.pi if node.edition == 2017 else 4 * np.pi
    medium: Literal["air", "vacuum"] = "vacuum" if node.edition == 2017 else "air"
    return BoszSpectrum(node, wave, factor * flux, factor * cont, medium, spacing_of(node))


def _wave(node: Node, columns: Columns) -> Float[np.ndarray, " n_pix"]:
    if node.edition == 2017:
        return wave_2017(columns[WAVE], int(node.resolving_power))
    if node.resolving_power == ORIGINAL:
        check_original_wave(columns[WAVE])
        return columns[WAVE]
    power = int(node.resolving_power)
    if WAVE in columns:
        check_wave_2024(columns[WAVE], power)
    check_rows_2024(len(columns[FLUX]), power)
    return wave_2024(power)
