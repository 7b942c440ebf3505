"""Parsers of BOSZ files: physical flux on wavelengths with all their digits, whole files only."""

import bz2
import gzip
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Float

from crlb.bosz.catalogue import ORIGINAL, Resolution
from crlb.bosz.names import Node, parse_name
from crlb.errors import DataError, MissingInputError, UsageError
from crlb.wavelengths import air_to_vacuum

# 2017: pixel n of the finest grid lies at 10 Å (1 + 1/300000)^n, as in Kurucz' SYNTHE, from the first n at or
# above 1000 Å to the last one below 320000 Å; other files hold every k-th pixel of it.
FINEST_2017 = 300000
RATIO_2017 = math.log1p(1 / FINEST_2017)  # spacing in ln wave
WAVE_2017 = (1000.0, 320000.0)  # Å
# 2024: 15 R pixels from 500 Å, Mészáros et al. 2024, equations 3 and 4.
WAVE_2024 = (500.0, 320000.0)  # Å
PIXELS_PER_R_2024 = 15
ROW_BYTES = {"fits": 24, "bz2": 9, "gz": 10}  # estimates
ORIGINAL_ROWS, ORIGINAL_ROW_BYTES = 3e6, 15  # estimates
DECIMALS = 5.1e-4  # Å, rounding of the wavelengths in 2017 files
SINGLE = 1.2e-7  # relative rounding of float32, in which some columns are kept
FITS_COLUMNS = ("Wavelength", "SpecificIntensity", "Continuum")


@dataclass(frozen=True)
class BoszSpectrum:
    """One spectrum as it lies in its file, with physical flux.

    Args:
        node: the node that the spectrum is of.
        wave: Å, in the `medium`; use `vacuum_wave` for what the rest of the package expects.
        flux: F_lambda at the stellar surface, erg/s/cm^2/Å.
        cont: continuum of the same kind and unit.
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


def spacing_of(node: Node) -> float | None:
    """Spacing of a file's pixels in ln wave; None for the 2024 originals."""
    if node.resolving_power == ORIGINAL:
        return None
    if node.edition == 2017:
        return _every(node.resolving_power) * RATIO_2017
    return math.log(WAVE_2024[1] / WAVE_2024[0]) / (PIXELS_PER_R_2024 * int(node.resolving_power))


def _every(resolving_power: Resolution) -> int:
    """2017: how many pixels of the finest grid lie between two of a file."""
    return max(1, FINEST_2017 // int(resolving_power) // 2)


def bytes_per_file(node: Node) -> float:
    """Rough size of a node's file, bytes: rows times what a row takes after compression."""
    spacing, suffix = spacing_of(node), node.name.rsplit(".", 1)[-1]
    low, high = WAVE_2017 if node.edition == 2017 else WAVE_2024
    rows = ORIGINAL_ROWS if spacing is None else math.log(high / low) / spacing
    return rows * (ORIGINAL_ROW_BYTES if spacing is None else ROW_BYTES[suffix])


def wave_2024(resolving_power: int) -> Float[np.ndarray, " n_pix"]:
    """Wavelengths of all 2024 files of a resolving power, Å: air above 2000 Å, vacuum below."""
    n_pix = PIXELS_PER_R_2024 * resolving_power
    ratio: np.ndarray = np.exp(np.log(WAVE_2024[1] / WAVE_2024[0]) / n_pix * np.arange(n_pix))
    return WAVE_2024[0] * ratio


def wave_2017(stored: Float[np.ndarray, " n_pix"], resolving_power: int) -> Float[np.ndarray, " n_pix"]:
    """Vacuum wavelengths (Å) with all digits, from those a 2017 file stores with three decimals.

    Raises:
        DataError: the stored wavelengths do not lie on the grid, or do not reach from 1000 to 320000 Å.
    """
    every = _every(resolving_power)
    if not (np.isfinite(stored) & (stored > 0)).all() or stored.size < 2:
        raise DataError("wavelengths must be finite and positive")
    start = round(float(np.log(stored[0] / 10) / RATIO_2017))
    wave: np.ndarray = 10 * np.exp(RATIO_2017 * (start + every * np.arange(len(stored))))
    off = np.abs(stored - wave) - (DECIMALS + SINGLE * wave)
    if (off > 0).any():
        worst = int(np.argmax(off > 0))
        raise DataError(
            f"wavelength {worst} must be {wave[worst]:.3f} Å (every {every}-th of R = {FINEST_2017}), "
            f"found {stored[worst]:.3f}: a row is missing, or the file has another resolving power"
        )
    spacing = np.exp(every * RATIO_2017)
    if wave[0] > WAVE_2017[0] * spacing or wave[-1] < WAVE_2017[1] / spacing**2:
        raise DataError(
            f"wavelengths must reach from {WAVE_2017[0]:g} to {WAVE_2017[1]:g} Å, "
            f"found {wave[0]:.3f} to {wave[-1]:.3f} Å"
        )
    return wave


def read_spectrum(path: str | Path) -> BoszSpectrum:
    """Returns the spectrum in a BOSZ file, recognised by its name.

    F = pi x stored value in 2017, 4 pi H in 2024; the continuum likewise.

    Raises:
        MissingInputError: there is no such file.
        DataError: its name is not one of BOSZ; it is truncated or damaged, lacks rows or holds NaN.
        UsageError: it is FITS and astropy is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"spectrum {path} does not exist or is not a file")
    with _naming(path):
        node = parse_name(path.name)
        table = _read_fits(path) if node.file_format == "fits" else _read_text(path, node)
        return _spectrum(node, table)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns what the parsers below raise for bad content into a DataError that names the file."""
    try:
        yield
    except MissingExtraError:
        raise
    except (UsageError, DataError) as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, Warning) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); download it again") from error


class MissingExtraError(UsageError):
    """An optional package is needed that is not installed."""


def _astropy_fits() -> tuple[ModuleType, type[Warning]]:
    try:
        from astropy.io import fits
        from astropy.utils.exceptions import AstropyWarning
    except ImportError as error:
        raise MissingExtraError(
            "reading FITS files needs astropy: install the extra `astro` (pip install 'specvit-jax[astro]'), "
            "or take the ascii files"
        ) from error
    return fits, AstropyWarning


def _read_fits(path: Path) -> Float[np.ndarray, "n_pix n_columns"]:
    fits, AstropyWarning = _astropy_fits()
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyWarning)  # astropy only warns of a truncated file
        with fits.open(path, memmap=False) as hdus:
            if len(hdus) < 2 or hdus[1].data is None:
                raise DataError("the FITS file must hold a table in its first extension, found none")
            data = hdus[1].data
            absent = [name for name in FITS_COLUMNS if name not in data.names]
            if absent:
                raise DataError(f"column {absent[0]} is missing; the table has {', '.join(data.names)}")
            return np.stack([np.asarray(data[name], np.float64) for name in FITS_COLUMNS], axis=1)


def _read_text(path: Path, node: Node) -> Float[np.ndarray, "n_pix n_columns"]:
    opener = gzip.open if path.suffix == ".gz" else bz2.open
    with opener(path, "rt") as file:
        table = np.loadtxt(file, ndmin=2)
    columns = 2 if node.edition == 2024 and node.resolving_power != ORIGINAL else 3
    if table.shape[1] != columns:
        raise DataError(f"the table must have {columns} columns, found {table.shape[1]}")
    return table


def _spectrum(node: Node, table: Float[np.ndarray, "n_pix n_columns"]) -> BoszSpectrum:
    flux, cont = table[:, -2:].T * (np.pi if node.edition == 2017 else 4 * np.pi)
    if not (np.isfinite(flux) & np.isfinite(cont)).all():
        raise DataError("flux and continuum must be finite, found NaN or infinity")
    wave = _wave(node, table)
    medium: Literal["air", "vacuum"] = "vacuum" if node.edition == 2017 else "air"
    return BoszSpectrum(node, wave, flux, cont, medium, spacing_of(node))


def _wave(node: Node, table: Float[np.ndarray, "n_pix n_columns"]) -> Float[np.ndarray, " n_pix"]:
    if node.edition == 2017:
        return wave_2017(table[:, 0], int(node.resolving_power))
    if node.resolving_power == ORIGINAL:
        return _original_wave(table[:, 0])
    expected = PIXELS_PER_R_2024 * int(node.resolving_power)
    if len(table) != expected:
        raise DataError(
            f"the table must have {expected} rows at R = {node.resolving_power}, found {len(table)}"
        )
    return wave_2024(int(node.resolving_power))


def _original_wave(wave: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    if not np.isfinite(wave).all() or (np.diff(wave) <= 0).any():
        raise DataError("wavelengths must be finite and increase")
    low, high = WAVE_2024
    if (
        wave[0] > 1.01 * low or wave[-1] < 0.99 * high
    ):  # the pixels of each spectrum are its own, to a percent
        raise DataError(
            f"wavelengths must reach from {low:g} to {high:g} Å, found {wave[0]:g} to {wave[-1]:g}"
        )
    return wave
