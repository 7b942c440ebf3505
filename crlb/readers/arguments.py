"""The options of every command that reads spectra: what the files do not say, or say wrongly."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from crlb.errors import UsageError
from crlb.readers.options import ROLES, Medium, ReadOptions

Columns = Annotated[tuple[str, ...], tyro.conf.arg(metavar="ROLE=COLUMN [...]")]
Bits = Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="BIT [BIT ...]")]
Rows = Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="FIRST STOP")]
Text = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
WaveUnit = Literal["A", "nm", "um", "m", "log10(A)", "ln(A)"]
FASTEST = 3000.0  # km/s: what moves faster is a galaxy, or a velocity in m/s


@dataclass(frozen=True, kw_only=True)
class SpectraOptions:
    """How files of spectra are to be understood where they do not say it, or say it wrongly."""

    columns: Columns = ()
    """Names of columns, or their numbers from 1: wave=lambda flux=f ivar=iv. Roles: wave, flux; ivar, error
    or variance; mask (0 = good); rv (km/s). Default: by their usual names."""
    format: Text = None
    """Format of the files; default: recognised by what is in them. `crlb check` names it."""
    hdu: Text = None
    """Name or number of the FITS extension that holds the spectra; default: found."""
    rows: Rows = None
    """Only these spectra (rows, fibres) of every file, counted from 0, STOP not included; default: all."""
    wave_unit: WaveUnit | None = None
    """Unit of the wavelengths; default: as the file says."""
    wave_medium: Medium | None = None
    """Medium of the wavelengths; those of air are converted to vacuum. Default: as the file says."""
    flux_unit: Annotated[str | None, tyro.conf.arg(metavar="UNIT")] = None
    """Unit of the flux: one of astropy (erg/s/cm2/A, nJy), normalised or unknown; default: as the file
    says."""
    rv: Annotated[float | None, tyro.conf.arg(metavar="KMS")] = None
    """Radial velocity of the stars that is removed, km/s, receding positive; default: as the file says."""
    resolving_power: Annotated[float | None, tyro.conf.arg(metavar="R")] = None
    """Resolving power of the spectra, wavelength / FWHM; default: as the file says."""
    mask: Bits = None
    """Mask bits, by name or number, that make a pixel unusable; all; none. Default: those of the format."""
    combine: bool = False
    """Put the segments of a star (arms, exposures) onto one set of pixels, weighted by inverse variance."""

    def check_values(self) -> None:
        """Refuses values that cannot be, before any file is opened.

        Raises:
            UsageError: naming the option.
        """
        self._roles()
        if self.rows is not None and not 0 <= self.rows[0] < self.rows[1]:
            raise UsageError(f"--rows needs 0 <= FIRST < STOP, found {self.rows[0]} {self.rows[1]}")
        if self.rv is not None and not abs(self.rv) <= FASTEST:
            raise UsageError(
                f"--rv is a velocity in km/s, at most {FASTEST:g} in size, found {self.rv:g}; "
                "is it in m/s, or a redshift?"
            )
        power = self.resolving_power
        if power is not None and not (math.isfinite(power) and power > 1):
            raise UsageError(f"--resolving-power is wavelength / FWHM, above 1, found {power:g}")
        if self.mask is not None and len(self.mask) > 1 and {"all", "none"} & set(self.mask):
            raise UsageError(f"--mask takes names of bits, or all, or none; found {' '.join(self.mask)}")

    def read_options(self) -> ReadOptions:
        """Returns what the options say, as the readers take it.

        Raises:
            UsageError: as `check_values`.
        """
        self.check_values()
        return ReadOptions(
            format=self.format,
            columns=self._roles(),
            hdu=self.hdu,
            rows=self.rows,
            wave_unit=self.wave_unit,
            medium=self.wave_medium,
            flux_unit=self.flux_unit,
            rv_kms=self.rv,
            resolving_power=self.resolving_power,
            mask_bits=self.mask,
            combine=self.combine,
        )

    def _roles(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for text in self.columns:
            role, _, column = text.partition("=")
            if role not in ROLES or not column:
                raise UsageError(
                    f"--columns needs ROLE=COLUMN, ROLE one of {', '.join(ROLES)} "
                    f"(wave=lambda flux=f ivar=iv), found {text}"
                )
            if role in found:
                raise UsageError(f"--columns names {role} twice")
            found[role] = column
        noise = [role for role in ("ivar", "error", "variance") if role in found]
        if len(noise) > 1:
            raise UsageError(f"--columns: give one of ivar, error and variance, found {', '.join(noise)}")
        return found
