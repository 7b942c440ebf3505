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

    A velocity that was removed (`Observed.rv_kms`) counts as known: the star is at rest then.

    Raises:
        DataError: too few usable pixels within the grid's range.
    """
    observed = _cut(_not_too_sharp(observed, sight.fine.resolving_power), sight.wave_range)
    known = observed.rv_kms is not None
    unstated = observed.resolving_power is None
    found = (
        None if known and not unstated else find_velocity(observed, sight.templates, search_kms=SEARCH_KMS)
    )
    power = float(np.median(_powers(observed, found)))
    fwhm = observed.wave / _powers(observed, found)
    rv_kms = 0.0 if known or found is None else found.rv_kms
    target = Target(
        observed.wave,
        observed.flux,
        observed.ivar,
        lambda rv: on_observed(sight.fine, observed, fwhm=fwhm, rv_kms=rv),
        rv_kms=rv_kms,
        bears_kms=BEARS * SPEED_OF_LIGHT_KMS / power,
        has_errors=observed.has_errors,
    )
    odd = _odd_velocity(None if known else found) | _odd_width(unstated, power)
    return Aimed(observed, target, power, frozenset(odd), tuple(note for note in odd.values() if note))


def _powers(observed: Observed, found: Velocity | None) -> np.ndarray:
    """Resolving power at every pixel: as stated, or of one width in ln(wave) as the best template has it."""
    if observed.resolving_power is not None:
        return observed.resolving_power
    assert found is not None
    middle = float(np.median(observed.wave[observed.usable]))
    return np.full(observed.wave.shape, middle / found.fwhm)


def _not_too_sharp(observed: Observed, grid_power: float) -> Observed:
    return degraded(observed, resolving_power=grid_power) if too_sharp(observed, grid_power) else observed


def _cut(observed: Observed, wave_range: tuple[float, float] | None) -> Observed:
    if wave_range is None:
        return observed
    inside = (observed.wave >= wave_range[0]) & (observed.wave <= wave_range[1])
    return replace(observed, ivar=np.where(inside, observed.ivar, 0.0))


def _odd_velocity(found: Velocity | None) -> dict[str, str]:
    """The flag VELOCITY with its reason, where a fitted velocity cannot be trusted."""
    if found is None:
        return {}
    if hint := medium_hint(found.rv_kms):
        return {"VELOCITY": hint}
    if not found.significant:
        return {"VELOCITY": "no velocity stands out: give --rv"}
    if min(abs(found.rv_kms - end) for end in SEARCH_KMS) < NEAR_END_KMS:
        return {"VELOCITY": f"velocity {found.rv_kms:.0f} km/s at an end of the search: give --rv"}
    return {}


def _odd_width(unstated: bool, power: float) -> dict[str, str]:
    if not unstated:
        return {}
    return {"RESOLUTION": f"resolving power not stated: {power:.0f} fits best; give --resolving-power"}
