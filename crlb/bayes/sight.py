"""From an observed spectrum to what the posterior compares: pixels, widths, a first velocity, what is odd."""

from dataclasses import dataclass, replace

import numpy as np

from crlb.bayes.best_fit import Target
from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.files.observed import Observed
from crlb.grids.emulator import Emulator
from crlb.observation.degrade import degraded, too_sharp
from crlb.observation.pixels import on_observed
from crlb.observation.templates import Templates
from crlb.observation.velocity import Velocity, find_velocity, medium_hint

BEARS = 0.2  # of a line's width: so far a line may move before the model is put on the pixels anew
SEARCH_KMS = (-600.0, 600.0)
# A velocity that is known is doubted if that of the best template is off by all of these: sigmas; km/s, as
# wavelength scales of surveys are; share of a line's width, below which no line looks broader.
SURE, MATERIAL_KMS, MATERIAL_SHIFT = 5.0, 5.0, 0.05
LEAST_LINES = 20.0  # of chi2 over a continuum, which templates hardly gain of noise at any velocity
OTHER_WIDTH = np.log(1.5)  # ratio of widths that is worth a flag, where it is sure
NEAR_END_KMS = 5.0  # of the search: a velocity there may lie beyond


@dataclass(frozen=True, eq=False)
class Sight:
    """How observed spectra are looked at: the model before any instrument, and templates for the velocity.

    Args:
        fine: emulator on the grid's own samples (`crlb.observation.pixels.before_instrument`).
        templates: spectra of the same grid.
        wave_range: first and last wavelength to use, vacuum Å at the spectrum's own velocity; None: all that
            the grid reaches.
    """

    fine: Emulator
    templates: Templates
    wave_range: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Aimed:
    """A spectrum ready for `crlb.bayes.observed.observed_posteriors`.

    Args:
        observed: as it is compared: smoothed where it was sharper than the grid, cut to the range in use.
        target: the same with the model on its pixels.
        resolving_power: median over its usable pixels, as stated, or as fitted.
        flags: what is odd about it, as in `crlb.files.flags`.
        notes: the same in words.
    """

    observed: Observed
    target: Target
    resolving_power: float
    flags: frozenset[str]
    notes: tuple[str, ...]


def aim(observed: Observed, sight: Sight) -> Aimed:
    """Returns a spectrum with the model on its pixels, at the velocity of the best template.

    A velocity that was removed (`Observed.rv_kms`) counts as known: the star is at rest then, and a spectrum
    that clearly moves is flagged.

    Raises:
        DataError: too few usable pixels within the grid's range.
    """
    observed = _cut(_not_too_sharp(observed, sight.fine.resolving_power), sight.wave_range)
    known = observed.rv_kms is not None
    unstated = observed.resolving_power is None
    found = find_velocity(observed, sight.templates, search_kms=SEARCH_KMS)
    power = float(np.median(_powers(observed, found)))
    fwhm = observed.wave / _powers(observed, found)
    rv_kms = 0.0 if known else found.rv_kms
    target = Target(
        observed.wave,
        observed.flux,
        observed.ivar,
        lambda rv: on_observed(sight.fine, observed, fwhm=fwhm, rv_kms=rv),
        rv_kms=rv_kms,
        bears_kms=BEARS * SPEED_OF_LIGHT_KMS / power,
        has_errors=observed.has_errors,
    )
    odd = _moves(found, observed, power) if known else _odd_velocity(found)
    odd |= _odd_width(power) if unstated else _other_width(observed, found, sight, power)
    return Aimed(observed, target, power, frozenset(odd), tuple(note for note in odd.values() if note))


def _powers(observed: Observed, found: Velocity) -> np.ndarray:
    """Resolving power at every pixel: as stated, or of one width in ln(wave) as the best template has it."""
    if observed.resolving_power is not None:
        return observed.resolving_power
    middle = float(np.median(observed.wave[observed.usable]))
    return np.full(observed.wave.shape, middle / found.fwhm)


def _not_too_sharp(observed: Observed, grid_power: float) -> Observed:
    return degraded(observed, resolving_power=grid_power) if too_sharp(observed, grid_power) else observed


def _cut(observed: Observed, wave_range: tuple[float, float] | None) -> Observed:
    if wave_range is None:
        return observed
    inside = (observed.wave >= wave_range[0]) & (observed.wave <= wave_range[1])
    return replace(observed, ivar=np.where(inside, observed.ivar, 0.0))


def _moves(found: Velocity, observed: Observed, power: float) -> dict[str, str]:
    """The flag VELOCITY with its reason, where a velocity that is known is not that of the spectrum."""
    if found.chi2_gain < LEAST_LINES:
        return {"VELOCITY": "no lines of a star stand out: the velocity cannot be checked"}
    least = max(SURE * found.sigma_kms, MATERIAL_KMS, MATERIAL_SHIFT * SPEED_OF_LIGHT_KMS / power)
    if not (found.significant and abs(found.rv_kms) > least):
        return {}
    speed = f"{found.rv_kms:+.0f} +- {found.sigma_kms:.1f} km/s"
    moves = f"moves at {speed} after {observed.rv_kms:g} km/s were removed"
    return {"VELOCITY": f"{moves}: {medium_hint(found.rv_kms) or 'is the velocity right (--rv)?'}"}


def _odd_velocity(found: Velocity) -> dict[str, str]:
    """The flag VELOCITY with its reason, where a fitted velocity cannot be trusted."""
    if hint := medium_hint(found.rv_kms):
        return {"VELOCITY": hint}
    if not found.significant:
        return {"VELOCITY": "no velocity stands out: give --rv"}
    if min(abs(found.rv_kms - end) for end in SEARCH_KMS) < NEAR_END_KMS:
        return {"VELOCITY": f"velocity {found.rv_kms:.0f} km/s at an end of the search: give --rv"}
    return {}


def _odd_width(power: float) -> dict[str, str]:
    """The flag RESOLUTION with its reason, where the file does not say the width of lines."""
    return {"RESOLUTION": f"resolving power not stated: {power:.0f} fits best; give --resolving-power"}


def _other_width(observed: Observed, found: Velocity, sight: Sight, power: float) -> dict[str, str]:
    """The flag RESOLUTION with its reason, where the lines are clearly not as broad as is said."""
    if not found.significant:
        return {}
    free = find_velocity(
        replace(observed, resolving_power=None),
        sight.templates,
        search_kms=(found.rv_kms - 60, found.rv_kms + 60),
    )
    middle = float(np.median(observed.wave[observed.usable]))
    off = abs(np.log(middle / free.fwhm / power))
    if not (free.significant and off > max(OTHER_WIDTH, SURE * (free.fwhm_sigma or 0.0) / free.fwhm)):
        return {}
    return {
        "RESOLUTION": f"lines as at a resolving power of {middle / free.fwhm:.0f}, not {power:.0f}: is "
        "--resolving-power right, or does the star rotate?"
    }
