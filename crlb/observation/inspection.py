"""What is in an observed spectrum, what of it a model can use, and what is wrong with it: without jax."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crlb.errors import DataError
from crlb.files.flags import LEAST_PIXELS, LEAST_SNR
from crlb.files.observed import UNKNOWN_UNIT, Observed
from crlb.files.records import Record
from crlb.observation.degrade import too_sharp
from crlb.observation.templates import Templates
from crlb.observation.velocity import Velocity, find_velocity, medium_hint

FAST_KMS = 3.0  # a velocity above this, and significant, is worth a word


@dataclass(frozen=True)
class Inspection(Record):
    """One spectrum, as it was understood.

    Args:
        origin: file, and row where the file holds several.
        star: its name in the file.
        n_pix: pixels in the file.
        n_used: usable pixels within the model's range.
        wave_min: first usable wavelength, vacuum Å; NaN if there is none.
        wave_max: last one.
        unit: of the flux.
        snr: median of flux/error over usable pixels; NaN without errors.
        resolving_power: median of what the file or the user says; None: unknown.
        lost: unusable pixels by cause.
        rv_kms: velocity of the best template relative to the wavelengths, km/s; NaN if none was found.
        rv_sigma_kms: its standard deviation.
        significant: whether a star of the grid is recognised at that velocity.
        done: what was done to it.
        warnings: what is wrong or unknown, each with the option that mends it.
        usable: whether labels can be asked of it.
    """

    origin: str
    star: str
    n_pix: int
    n_used: int
    wave_min: float
    wave_max: float
    unit: str
    snr: float
    resolving_power: float | None
    lost: Mapping[str, int]
    rv_kms: float
    rv_sigma_kms: float
    significant: bool
    done: tuple[str, ...]
    warnings: tuple[str, ...]
    usable: bool


def inspect(observed: Observed, templates: Templates) -> Inspection:
    """Returns what is in a spectrum, its velocity, and what is wrong with it.

    Args:
        observed: the spectrum.
        templates: of the grid that labels would be asked of.
    """
    good = observed.usable
    low, high = np.exp(templates.ln_start + templates.spacing * np.array([0, templates.flux.shape[1] - 1]))
    used = good & (observed.wave >= low) & (observed.wave <= high)
    ends = observed.wave[good][[0, -1]] if good.any() else np.full(2, np.nan)
    try:
        velocity = find_velocity(observed, templates)
    except DataError:  # too few pixels within the range: said below
        velocity = None
    power = observed.resolving_power
    return Inspection(
        origin=str(observed.origin),
        star=observed.origin.star,
        n_pix=observed.wave.size,
        n_used=int(used.sum()),
        wave_min=float(ends.min()),
        wave_max=float(ends.max()),
        unit=observed.unit,
        snr=observed.snr,
        resolving_power=None if power is None else float(np.median(power)),
        lost=dict(observed.lost),
        rv_kms=np.nan if velocity is None else velocity.rv_kms,
        rv_sigma_kms=np.nan if velocity is None else velocity.sigma_kms,
        significant=velocity is not None and velocity.significant,
        done=observed.done,
        warnings=tuple(_warnings(observed, templates, used, velocity, (float(low), float(high)))),
        usable=velocity is not None,
    )


def _warnings(
    observed: Observed,
    templates: Templates,
    used: np.ndarray,
    velocity: Velocity | None,
    reach: tuple[float, float],
) -> list[str]:
    if observed.lost and not observed.usable.any():
        return [f"no usable pixel: {', '.join(f'{cause} {n}' for cause, n in observed.lost.items())}"]
    if not used.any():
        why = f"the model reaches from {reach[0]:.0f} to {reach[1]:.0f} Å"
        return [f"no usable pixel within the model's range: {why}; are unit and medium right?"]
    found = _of_data(observed, used) + _of_resolution(observed, templates, velocity)
    return found if velocity is None else found + _of_velocity(observed, velocity)


def _of_data(observed: Observed, used: np.ndarray) -> list[str]:
    found = []
    if used.sum() < LEAST_PIXELS:
        found.append(f"{int(used.sum())} usable pixels within the model's range are few")
    if not observed.has_errors:
        found.append(
            "no errors in the file: they will be estimated from the scatter around the model; name a column "
            "with --columns error=NAME if there is one"
        )
    elif observed.snr < LEAST_SNR:
        found.append(f"SNR {observed.snr:.2g} per pixel: labels will be little more than the prior")
    flux = observed.flux[used]
    if not flux.any() or np.median(flux) <= 0:
        found.append(f"the median flux is {np.median(flux):.3g}: this is no spectrum of a star")
    if observed.unit == UNKNOWN_UNIT:
        found.append("unit of the flux unknown: scale and slope stay free; --flux-unit says it")
    return found


def _of_resolution(observed: Observed, templates: Templates, velocity: Velocity | None) -> list[str]:
    if observed.resolving_power is None:
        if velocity is None or not velocity.fwhm > 0:
            return ["resolving power not stated; give --resolving-power"]
        width = f"{velocity.fwhm:.2f} Å"
        return [f"resolving power not stated: a FWHM of {width} fits best; give --resolving-power"]
    power = float(np.median(observed.resolving_power))
    if too_sharp(observed, templates.resolving_power):
        grid = f"the grid (R {templates.resolving_power:.0f})"
        return [f"sharper (R {power:.0f}) than {grid}: will be smoothed"]
    return []


def _of_velocity(observed: Observed, velocity: Velocity) -> list[str]:
    if not velocity.significant:
        return ["no star of the grid is recognised in it: too faint, or another kind of object"]
    found = []
    if hint := medium_hint(velocity.rv_kms):
        found.append(hint)
    if abs(velocity.rv_kms) > max(FAST_KMS, 3 * velocity.sigma_kms):
        removed = "" if observed.rv_kms is None else f" after {observed.rv_kms:g} km/s were removed"
        moves = f"moves at {velocity.rv_kms:+.1f} km/s{removed}"
        found.append(f"{moves}: fitted unless --rv is given; a network needs --rv")
    return found
