"""Wavelengths of BOSZ files with all their digits, and whether those that a file stores are the same."""

import math

import numpy as np
from jaxtyping import Float

from crlb.bosz.catalogue import ORIGINAL, RESOLVING_POWERS, Resolution
from crlb.bosz.names import Node
from crlb.errors import DataError
from crlb.wavelengths import air_to_vacuum

# 2017: pixel n of the finest grid lies at 10 Å (1 + 1/300000)^n, as in Kurucz' SYNTHE, from the first n at or
# above 1000 Å to the last one below 320000 Å; other files hold every k-th pixel of it.
FINEST_2017 = 300000
RATIO_2017 = math.log1p(1 / FINEST_2017)  # spacing in ln wave
WAVE_2017 = (1000.0, 320000.0)  # Å
# 2024: 15 R pixels from 500 Å, Mészáros et al. 2024, equations 3 and 4.
WAVE_2024 = (500.0, 320000.0)  # Å
PIXELS_PER_R_2024 = 15
ORIGINAL_ROWS = 3_000_000  # estimate
DECIMALS = 5.1e-4  # Å, rounding of the wavelengths in 2017 files
COARSE_DECIMALS = 5.1e-3  # Å, of wavelengths that users wrote beside the flux of 2024
SINGLE = 1.2e-7  # relative rounding of float32, in which some columns are kept


def spacing_of(node: Node) -> float | None:
    """Spacing of a file's pixels in ln wave; None for the 2024 originals."""
    if node.resolving_power == ORIGINAL:
        return None
    if node.edition == 2017:
        return _every(node.resolving_power) * RATIO_2017
    return math.log(WAVE_2024[1] / WAVE_2024[0]) / (PIXELS_PER_R_2024 * int(node.resolving_power))


def rows_of(node: Node) -> int:
    """How many rows a node's file has, to within one; an estimate for the 2024 originals."""
    spacing = spacing_of(node)
    if spacing is None:
        return ORIGINAL_ROWS
    low, high = WAVE_2017 if node.edition == 2017 else WAVE_2024
    return round(math.log(high / low) / spacing)


def _every(resolving_power: Resolution) -> int:
    """2017: how many pixels of the finest grid lie between two of a file."""
    return max(1, FINEST_2017 // int(resolving_power) // 2)


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
            f"found {stored[worst]:.3f}: {_cause(stored, resolving_power)}"
        )
    spacing = np.exp(every * RATIO_2017)
    if wave[0] > WAVE_2017[0] * spacing or wave[-1] < WAVE_2017[1] / spacing**2:
        raise DataError(
            f"wavelengths must reach from {WAVE_2017[0]:g} to {WAVE_2017[1]:g} Å, "
            f"found {wave[0]:.3f} to {wave[-1]:.3f} Å"
        )
    return wave


def _cause(stored: Float[np.ndarray, " n_pix"], resolving_power: int) -> str:
    """Why wavelengths are not those of a 2017 file, in words."""
    if (np.diff(stored) < 0).all():
        return "the rows run from long to short wavelengths; write them in the order of the archive"
    every = float(np.median(np.diff(np.log(stored)))) / RATIO_2017
    others = [power for power in RESOLVING_POWERS[2017] if abs(every / _every(power) - 1) < 0.05]
    if others and resolving_power not in others:
        return f"the spacing is that of R = {others[0]}, another resolving power than the name says"
    return "a row is missing, or these are not the wavelengths of the archive"


def check_wave_2024(stored: Float[np.ndarray, " n_stored"], resolving_power: int) -> None:
    """Checks wavelengths that stand beside 2024 spectra: those of the formula, or the same ones in vacuum.

    Args:
        stored: Å, as written.
        resolving_power: of the files.

    Raises:
        DataError: they are of another number, or somewhere else.
    """
    wave = wave_2024(resolving_power)
    check_rows_2024(len(stored), resolving_power)
    tolerance = COARSE_DECIMALS + SINGLE * wave
    if any((np.abs(stored - known) <= tolerance).all() for known in (wave, air_to_vacuum(wave))):
        return
    off = np.abs(stored - wave)
    worst = int(np.argmax(~(off <= tolerance)))
    raise DataError(
        f"wavelength {worst} must be {wave[worst]:.3f} Å (500 Å x 640^(i / 15 R), in air above 2000 Å) at "
        f"R = {resolving_power}, found {stored[worst]:.3f}: not the wavelengths of BOSZ 2024"
    )


def check_rows_2024(n_rows: int, resolving_power: int) -> None:
    """Checks that there are 15 R rows.

    Raises:
        DataError: there are more or fewer; where they are those of another resolving power, it says so.
    """
    expected = PIXELS_PER_R_2024 * resolving_power
    if n_rows == expected:
        return
    power = n_rows / PIXELS_PER_R_2024
    other = power in RESOLVING_POWERS[2024]
    why = f": those of R = {power:g}, another resolving power than the name says" if other else ""
    raise DataError(f"the table must have {expected} rows at R = {resolving_power}, found {n_rows}{why}")


def check_original_wave(wave: Float[np.ndarray, " n_pix"]) -> None:
    """Checks wavelengths (Å) of a 2024 original: the pixels of each spectrum are its own.

    Raises:
        DataError: they do not increase, or do not reach from 500 to 320000 Å to a percent.
    """
    if not np.isfinite(wave).all() or (np.diff(wave) <= 0).any():
        raise DataError("wavelengths must be finite and increase")
    low, high = WAVE_2024
    if wave[0] > 1.01 * low or wave[-1] < 0.99 * high:
        raise DataError(
            f"wavelengths must reach from {low:g} to {high:g} Å, found {wave[0]:g} to {wave[-1]:g}"
        )
