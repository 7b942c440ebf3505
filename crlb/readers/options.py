"""What a user says of a file of spectra where the file does not say it, or says it wrongly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Medium = Literal["vacuum", "air"]
# What a column can be; `error` is 1 sigma, `mask` 0 = good.
ROLES = ("wave", "flux", "ivar", "error", "variance", "mask", "rv")


@dataclass(frozen=True)
class ReadOptions:
    """How files of spectra are to be understood; None: as the file says.

    Args:
        format: one of `crlb.readers.read.FORMATS`; None: recognised by what is in the file.
        columns: role (one of `ROLES`) -> name of the column, or its number from 1 in a text without header.
        hdu: name or number of the HDU with the spectrum.
        rows: first and stop row (fibre, spectrum) of every file, from 0.
        wave_unit: "A", "nm", "um", "m", or "log10(A)".
        medium: of the wavelengths.
        flux_unit: a unit astropy knows ("erg/s/cm2/A", "nJy"), "normalised" or "unknown".
        rv_kms: radial velocity to remove, km/s, receding positive.
        resolving_power: wave / FWHM.
        mask_bits: names or numbers of the mask bits that make a pixel unusable; ("all",), ("none",).
        combine: put segments of one star (arms, exposures) onto one set of pixels, by inverse variance.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    hdu: str | None = None
    rows: tuple[int, int] | None = None
    wave_unit: str | None = None
    medium: Medium | None = None
    flux_unit: str | None = None
    rv_kms: float | None = None
    resolving_power: float | None = None
    mask_bits: tuple[str, ...] | None = None
    combine: bool = False
