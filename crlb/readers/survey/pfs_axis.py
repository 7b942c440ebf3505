"""What PFS files leave to their readers: wavelengths from keywords, widths of lines, names of mask bits."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from crlb.detector import DEFAULT_LSF_FWHM
from crlb.errors import DataError
from crlb.readers.survey import masks
from crlb.readers.survey.hdus import Hdus, float_keyword, is_table, keyword, named, text

# Pixels with one of these are not used. datamodel.txt of Subaru-PFS/datamodel; INTRP (interpolated over) as
# in the coadds of drp_stella, CoaddSpectraConfig.mask.
UNUSABLE = (
    *("NO_DATA", "BAD", "SAT", "CR", "BAD_SKY", "BAD_FLUXCAL", "BAD_FLAT", "UNMASKEDNAN", "SUSPECT"),
    *("INTRP", "BAD_FIBERNORMS", "BAD_FIBER_NORMS"),
)
NM = {"": 1.0, "nm": 1.0, "m": 1e9, "angstrom": 0.1, "um": 1e3}  # nm of a unit; without one the files mean nm
# FWHM (Å) of the arms: b R 2300 at 5050 Å, r R 3000 at 7850 Å, n R 4300 at 11000 Å (instrument's web page),
# m as the data set of the published study has it.
FWHM = {"b": 2.2, "r": 2.6, "m": DEFAULT_LSF_FWHM, "n": 2.56}
RANGES = {"b": (375.0, 655.0), "r": (620.0, 980.0), "m": (700.0, 895.0), "n": (930.0, 1265.0)}  # nm
STEPS = {"b": 0.066, "r": 0.084, "m": 0.0427, "n": 0.078}  # nm per pixel of the detector
NEAR = 0.15  # steps within this of an arm's are its own
KNOWN = 0.98  # of the pixels; where arms join, steps are odd


def keyword_wave(header: Mapping[str, Any], n_pix: int) -> tuple[Float[np.ndarray, " n_pix"], str]:
    """Returns wavelengths (nm) from the keywords of an image, and what was assumed.

    `WavelengthArray.toFitsHeader` of the datamodel writes CRPIX1 = n/2 + 1.5 for a value that lies at pixel
    n/2 + 0.5 by the rule of FITS; its own reader takes that back, and so does this. Files with CTYPE1 = WAVE
    and another CRPIX1 are read by the rule. The files of before 2019 have CRPIX1 = 0 for a value that is the
    first pixel's, and a step that is a difference of float32 numbers.

    Raises:
        DataError: CRVAL1, CRPIX1 or the step are missing, or their unit is not known.
    """
    first, step = float_keyword(header, "CRVAL1"), float_keyword(header, "CD1_1", "CDELT1")
    pixel, unit = float_keyword(header, "CRPIX1"), keyword(header, "CUNIT1").lower()
    if first is None or step is None or pixel is None or unit not in NM:
        raise DataError(
            "wavelengths need a table, an HDU WAVELENGTH or the keywords CRVAL1, CRPIX1, CDELT1 in nm or m, "
            f"found CRVAL1 {first}, CRPIX1 {pixel}, step {step}, CUNIT1 '{unit}'"
        )
    note = "wavelengths from the keywords of the header, by the rule of FITS"
    if abs(pixel - (n_pix / 2 + 1.5)) < 0.01 and keyword(header, "CTYPE1").upper() == "WAVE":
        pixel -= 1
        note = "wavelengths from the keywords, one pixel up: PFS writes CRPIX1 one too large"
    elif pixel == 0 and "CTYPE1" not in header:
        pixel, step = 1.0, _shortest(step, first)
        note = "wavelengths from the keywords; CRVAL1 taken as the first pixel's though CRPIX1 is 0"
    scale = NM[unit]
    return (first + (np.arange(n_pix) + 1 - pixel) * step) * scale, note


def _shortest(step: float, first: float) -> float:
    """A step without the rounding of float32, if four decimals are within that rounding."""
    rounded = round(step, 4)
    return rounded if abs(step - rounded) <= float(np.spacing(np.float32(first))) else step


def arms_of(hdus: Hdus) -> str:
    """Returns the letters of the arms that the file says it was made of; empty if it does not."""
    table = named(hdus, "OBSERVATIONS", "CONFIG")
    if table is None or not is_table(table):
        return ""
    found = "".join(text(table, row, "arm") for row in range(len(table.data)))
    return "".join(sorted({letter for letter in found if letter in FWHM}))


def resolving_power(
    wave: Float[np.ndarray, " n_pix"], arms: str = "", native: bool = True
) -> tuple[Float[np.ndarray, " n_pix"] | None, str]:
    """Returns the resolving power of every pixel and what was assumed; None where the arm is not known.

    The arm of a pixel is the one whose range and step it has, or the only one of `arms` that reaches there.

    Args:
        wave: nm, as the file has them.
        arms: letters of the arms the spectrum was made of; empty if that is not known.
        native: whether the pixels are the detector's; False where they were resampled, and steps say nothing.
    """
    width = np.full(wave.shape, np.nan)
    step = np.abs(np.gradient(wave)) if wave.size > 1 else np.zeros(wave.shape)
    for arm in (arms or FWHM) if native else "":
        low, high = RANGES[arm]
        near = np.abs(step / STEPS[arm] - 1) < NEAR
        width[near & (wave >= low) & (wave <= high)] = FWHM[arm]
    for arm in arms if "r" not in arms or "m" not in arms else "":
        low, high = RANGES[arm]
        width[np.isnan(width) & (wave >= low) & (wave <= high)] = FWHM[arm]
    finite = np.isfinite(wave)
    if not finite.any() or np.mean(np.isfinite(width[finite])) < KNOWN:
        return None, "the arm is not known, so no resolving power is stated; give --resolving-power"
    return 10 * wave / width, "resolving power of the arm, nominal (medium red: FWHM 1.6 Å)"


def planes(*headers: Mapping[str, Any]) -> dict[str, int]:
    """Returns the names of mask bits that headers hold as MP_NAME = number, the first header first."""
    found: dict[str, int] = {}
    for header in headers:
        for key, value in header.items():
            name = str(key).upper()
            if name.startswith("MP_") and isinstance(value, int):
                found.setdefault(name[3:], value)
    return found


def planes_in_text(metadata: str) -> dict[str, int]:
    """Returns the names of mask bits in a YAML text of `MP_NAME: number`."""
    return {name.upper(): int(bit) for name, bit in re.findall(r"MP_(\w+)['\"]?\s*:\s*(\d+)", metadata)}


def rejected(mask: np.ndarray, names: Mapping[str, int], wanted: tuple[str, ...] | None) -> masks.Masked:
    """Returns the pixels a mask rejects; without names every set bit does."""
    return masks.rejected(mask, names, UNUSABLE, wanted)
