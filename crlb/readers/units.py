"""Units of wavelengths and fluxes as files and people spell them, brought to vacuum Å and to F_lambda."""

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.observed import MODEL_UNIT, NORMALISED, UNKNOWN_UNIT

if TYPE_CHECKING:
    from astropy.units import UnitBase

SHORTEST, LONGEST = 500.0, 3e5  # Å: what can be the spectrum of a star, extreme ultraviolet to 30 um
ARM = (7000.0, 9000.0)  # Å: around the arm that the models cover
USUAL = ("A", "nm", "um", "m", "log10(A)", "ln(A)")
# What people write, in lower case, with the size of the unit in Å.
WAVE_UNITS = {
    1.0: ("a", "aa", "å", "å", "ang", "angs", "angstrom", "angstroms", "ångström", "ångstrom", "angstroem"),
    10.0: ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    1e4: ("um", "µm", "μm", "micron", "microns", "mum", "micrometer", "micrometers", "micrometre"),
    1e10: ("m", "meter", "meters", "metre", "metres"),
}
SIZES = {spelling: size for size, spellings in WAVE_UNITS.items() for spelling in spellings}
NAMES = {1.0: "A", 10.0: "nm", 1e4: "um", 1e10: "m"}
_LOGARITHM = re.compile(r"^(log10|log|ln|dex)\s*[\(\[]?\s*([^()\[\]]*?)\s*[\)\]]?$")
_POWER = re.compile(  # "10**(-17) ", "10-17 ", "1e-17 * "
    r"^\s*(?:10\s*(?:\*\*|\^)\s*\(?\s*([+-]?\d+)\s*\)?|10([+-]\d+)|([\d.]+(?:[eEdD][+-]?\d+)?))\s*[*x×]?\s*"
)


@dataclass(frozen=True)
class WaveUnit:
    """A unit of wavelengths: value -> Å is value * size, or base ** value * size.

    Args:
        name: as `ReadOptions.wave_unit` has it.
        size: Å.
        base: of the power; None: the values are wavelengths themselves.
    """

    name: str
    size: float
    base: float | None = None

    def angstrom(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Returns wavelengths in Å; infinite where a logarithm is no logarithm of a wavelength."""
        with np.errstate(over="ignore"):
            if self.base is None:
                return values * self.size
            return np.asarray(self.base**values * self.size)


@lru_cache
def wave_unit(text: str) -> WaveUnit | None:
    """Returns the unit of wavelengths that a text names, in any case and spelling; None: it names none."""
    clean = text.strip().lower().removesuffix(".")
    clean = "log10(a)" if clean in ("loglam", "logwave", "wave-log") else clean
    if clean in SIZES:
        return WaveUnit(NAMES[SIZES[clean]], SIZES[clean])
    if found := _LOGARITHM.match(clean):
        inner = found[2].removesuffix("wavelength").removesuffix("lambda").strip() or "a"
        if inner not in SIZES:
            return None
        size = SIZES[inner]
        base, word = (float(np.e), "ln") if found[1] == "ln" else (10.0, "log10")
        return WaveUnit(f"{word}({NAMES[size]})", size, base)
    return _length(text)


def _length(text: str) -> WaveUnit | None:
    """What astropy knows besides: "0.1 nm", "1e-10 m", "cm"."""
    from astropy import units

    unit = _parsed(text.strip())
    if unit is None or not unit.is_equivalent(units.AA):
        return None
    return WaveUnit(text.strip(), float(unit.to(units.AA)))


def _parsed(text: str) -> "UnitBase | None":
    """The unit of a text; None: astropy knows none. That FITS discourages "a/b/c" is of no interest here."""
    from astropy import units

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            return units.Unit(text)
        except (ValueError, TypeError):
            return None


def check_range(wave: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], unit: WaveUnit) -> None:
    """Refuses what cannot be the wavelengths of a star's spectrum.

    Args:
        wave: Å, finite.
        values: the same as the file holds them.
        unit: as which they were read.

    Raises:
        DataError: the middle lies outside 500 Å to 30 um, or another unit would bring the values to the arm
            of the models and this one does not.
    """
    possible = SHORTEST <= np.median(wave) <= LONGEST
    if possible and _reaches(wave):
        return
    others = [other for other in map(wave_unit, USUAL) if other is not None]
    fitting = [other.name for other in others if other != unit and _reaches(other.angstrom(values))]
    if possible and not fitting:
        return
    way = f"give --wave-unit {' or '.join(fitting)}" if fitting else "check the column of wavelengths"
    raise DataError(
        f"wavelengths {values.min():.6g} to {values.max():.6g} read as {unit.name} are "
        f"{wave.min():.6g} to {wave.max():.6g} Å, which no spectrum of a star for these models has; {way}"
    )


def _reaches(wave: Float[np.ndarray, " n"]) -> bool:
    """Whether most wavelengths are a star's, and some lie in the arm."""
    inside = (wave > ARM[0]) & (wave < ARM[1])
    return bool(inside.any() and SHORTEST <= np.median(wave) <= LONGEST)


def likely_units(values: Float[np.ndarray, " n"]) -> str:
    """Returns the units in which wavelengths would reach the arm of the models, for a message."""
    units = [unit for unit in map(wave_unit, USUAL) if unit is not None]
    return " or ".join(unit.name for unit in units if _reaches(unit.angstrom(values)))


@dataclass(frozen=True)
class FluxUnit:
    """A unit of fluxes.

    Args:
        kind: "density" (per wavelength, per frequency, energy or photons), or what has no such unit.
        name: for people, and for `Observed.unit` unless the kind is "density".
        factor: by which the file's numbers are to be multiplied to be in the unit of `text`.
        text: unit that astropy parses, of a density.
    """

    kind: Literal["density", "normalised", "model", "unknown", "not calibrated"]
    name: str
    factor: float = 1.0
    text: str = ""


_WORDS = (
    (r"\bergs\b", "erg"),
    (r"\b(?:angstroms|angstroem|ang|angs|aa|a|å|å)\b", "Angstrom"),
    (r"\bangstrom\b", "Angstrom"),
    (r"\b(?:seconds|second|sec)\b", "s"),
    (r"\b(?:photons|phot|ph|quanta)\b", "photon"),
    (r"\b(?:microns|µm|μm)\b", "micron"),
    (r"\bhz\b", "Hz"),
    (r"\b(njy|ujy|µjy|μjy|mjy|jy)\b", lambda found: found[0][:-2].replace("µ", "u").replace("μ", "u") + "Jy"),
    (r"\b(?:watts?|w)\b", "W"),
    (r"\bj\b", "J"),
    (r"/\s*(?:fiber|fibre|spaxel|arcsec(?:\^2|\*\*2|2)?)(?!\w)", ""),
)
_DIRECT = {
    "flam": "erg s-1 cm-2 Angstrom-1",
    "fnu": "erg s-1 cm-2 Hz-1",
    "photlam": "photon s-1 cm-2 Angstrom-1",
    "photnu": "photon s-1 cm-2 Hz-1",
    "jansky": "Jy",
    "abmag": "mag",
    "stmag": "mag",
}
_NO_UNIT = {"", "1", "none", "unknown", "relative", "relative flux", "arbitrary", "dimensionless", "unscaled"}
_COUNTS = re.compile(r"\b(counts?|cts?|adu|dn|electrons?|e-|photons?|data number)\b", re.IGNORECASE)


@lru_cache
def flux_unit(text: str) -> FluxUnit:
    """Returns the unit of fluxes that a text names; of kind "unknown" what nobody could know.

    Raises:
        DataError: magnitudes and logarithms, which are no fluxes.
    """
    clean = " ".join(text.strip().split())
    lower = clean.lower()
    if lower.startswith("normali") or "continuum" in lower or lower == "rectified":
        return FluxUnit("normalised", NORMALISED)
    if lower == MODEL_UNIT:
        return FluxUnit("model", MODEL_UNIT)
    if lower in _NO_UNIT:
        return FluxUnit("unknown", UNKNOWN_UNIT)
    factor, spellings = _spellings(clean)
    if spellings[1].startswith(("mag", "log", "dex")) or spellings[1].endswith("mag"):
        raise DataError(
            f"flux in '{clean}' is a magnitude or logarithm; convert it to a flux first, or give --flux-unit"
        )
    for spelling in spellings:
        if _is_density(spelling):
            return FluxUnit("density", clean, factor, spelling)
    return FluxUnit("not calibrated" if _COUNTS.search(clean) else "unknown", clean)


def _spellings(text: str) -> tuple[float, tuple[str, ...]]:
    """A factor, and the unit as it is written and in astropy's spelling."""
    factor, rest = _factor(" ".join(text.split()))
    clean = _DIRECT.get(rest.lower(), rest.lower())
    for pattern, word in _WORDS:
        clean = re.sub(pattern, word, clean)
    return factor, (rest, clean)


def _factor(text: str) -> tuple[float, str]:
    """A leading factor ("1e-17", "10^-17", "10**(-17)") and the rest."""
    found = _POWER.match(text)
    if found is None or not text[found.end() :].strip("/ "):
        return 1.0, text
    exponent = found[1] or found[2]
    value = 10.0 ** int(exponent) if exponent else float(re.sub("[dD]", "e", found[3]))
    return value, text[found.end() :]


def _is_density(text: str) -> bool:
    from astropy import units

    unit = _parsed(text)
    if unit is None:
        return False
    per_wave, per_frequency = units.erg / units.s / units.cm**2 / units.AA, units.Jy
    photons = units.photon / units.s / units.cm**2
    known = (per_wave, per_frequency, photons / units.AA, photons / units.Hz)
    return any(unit.is_equivalent(one) for one in known)


def is_per_wavelength(unit: FluxUnit) -> bool:
    """Whether a density is an energy per wavelength, so that its numbers keep their shape."""
    from astropy import units

    parsed = _parsed(unit.text)
    return parsed is not None and parsed.is_equivalent(units.erg / units.s / units.cm**2 / units.AA)


def to_flam(unit: FluxUnit, wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns by what a density is to be multiplied to be erg/s/cm2/Å, at wavelengths in Å."""
    from astropy import units

    target: UnitBase = units.erg / units.s / units.cm**2 / units.AA
    one = np.full(wave.shape, unit.factor) * _parsed(unit.text)
    values = one.to(target, units.spectral_density(wave * units.AA))
    return np.asarray(values.value, np.float64)


def noise_factor(flux: str, noise: str, kind: Literal["ivar", "error", "variance"]) -> float:
    """Returns by what errors in one unit are to be multiplied to be in that of the flux; 1 if unknown.

    Args:
        flux: unit of the flux.
        noise: unit of the errors, or of their square or inverse square.
        kind: which of them.

    Raises:
        DataError: both units are known, and one is not the other (squared, inverse squared).
    """
    of_flux = flux_unit(flux)
    if of_flux.kind != "density":
        return 1.0
    power = {"error": 1, "variance": 2, "ivar": -2}[kind]
    factor, spellings = _spellings(noise)
    known = [unit for unit in map(_parsed, spellings) if unit is not None and not unit.is_unity()]
    one = _parsed(of_flux.text)
    if one is None or not known:
        return 1.0
    for unit in known:
        if unit.is_equivalent(one**power):
            return factor * float(unit.to(one**power)) / of_flux.factor**power
    raise DataError(f"the unit of the {kind}, '{noise}', does not fit that of the flux, '{flux}'")
