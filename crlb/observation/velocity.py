"""Radial velocity of an observed spectrum from a few dozen model spectra, in a tenth of a second; no jax.

chi2 of every template at every velocity (`crlb.observation.chi2_curves`) gives the peak; there the velocity
follows from steps of Gauss and Newton on the pixels themselves, its error from the slope of the spectrum and
the residuals as they are: their size and their correlation from pixel to pixel.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.files.observed import Observed
from crlb.observation.chi2_curves import (
    FEWEST_PIXELS,
    ORDER,
    Fit,
    OnPixels,
    gain_curves,
    joined,
    pixels_for,
    shift_of,
    templates_for,
    velocity_of,
)
from crlb.observation.templates import Templates

STRETCHES, DISAGREEMENT = 8, 2.0  # parts of a spectrum whose velocities are compared; variance that counts
FINEST_PIXEL = 4  # pixels per FWHM that are kept; finer ones are joined
LEAST_GAIN = 30.0  # of chi2 over a featureless continuum: noise hardly ever reaches it
LEAST_LEAD = 12.0  # of chi2 over the next peak
BEST, BEST_FOR_WIDTH = 6, 15  # templates that take part in the last step, and in the search of a width
STEPS = 4  # of Gauss and Newton, from the nearest sample on
LADDER = np.geomspace(10_000, 700, 12)  # resolving powers tried where unstated
FIRST_GUESS = 3000.0  # resolving power of the first search there
AIR_SHIFT_KMS, MEDIUM_TOLERANCE_KMS = 82.8, 8.0  # (n - 1) c near 8500 Å; how near counts as suspicious


@dataclass(frozen=True)
class Velocity:
    """What a spectrum says of its velocity, by comparison with templates.

    Args:
        rv_kms: radial velocity of the best fit relative to the wavelengths of the file, receding positive.
        sigma_kms: standard deviation, from the errors, or from the residuals where they say more.
        chi2_gain: decrease of chi2 over a continuum without lines, in units of the residuals' variance.
        dof: pixels that count less the fitted numbers.
        chi2: of the best fit, with the file's errors.
        labels: of the best template, by name: a hint, no measurement.
        fwhm: full width at half maximum that was used or found, Å, at the middle of the pixels that count.
        fwhm_sigma: standard deviation of a width that was found; None: it was given.
        significant: whether the peak stands out over noise and over every other peak.
        second_rv_kms: velocity of the next peak; NaN if there is none.
        second_gain: its `chi2_gain`; 0 if there is none.
        n_outliers: usable pixels left out because they are far from the best fit.
    """

    rv_kms: float
    sigma_kms: float
    chi2_gain: float
    dof: int
    chi2: float
    labels: dict[str, float]
    fwhm: float
    fwhm_sigma: float | None
    significant: bool
    second_rv_kms: float
    second_gain: float
    n_outliers: int


def medium_hint(rv_kms: float) -> str | None:
    """Returns a sentence if a velocity is what a mistaken medium of the wavelengths looks like, or None.

    Args:
        rv_kms: as found, km/s, receding positive.
    """
    if abs(rv_kms + AIR_SHIFT_KMS) < MEDIUM_TOLERANCE_KMS:
        return (
            f"{rv_kms:+.0f} km/s is what air wavelengths read as vacuum look like (-83): are they in air "
            "(--wave-medium air)?"
        )
    if abs(rv_kms - AIR_SHIFT_KMS) < MEDIUM_TOLERANCE_KMS:
        return (
            f"{rv_kms:+.0f} km/s is what vacuum wavelengths read as air look like (+83): are they in vacuum "
            "(--wave-medium vacuum)?"
        )
    return None


def find_velocity(
    observed: Observed,
    templates: Templates,
    *,
    fwhm: float | None = None,
    search_kms: tuple[float, float] = (-600.0, 600.0),
) -> Velocity:
    """Returns the velocity at which templates fit a spectrum best.

    Only pixels within the templates' range at a velocity count there. Pixels further than 5 robust sigmas
    from the best fit are left out and the search is repeated once.

    Args:
        observed: the spectrum; any number of segments.
        templates: as `load_templates` gives them.
        fwhm: full width at half maximum of the data's line-spread function, Å; None: what the file says, or
            the width that fits best where it says nothing.
        search_kms: lowest and highest velocity tried, km/s.

    Raises:
        DataError: fewer than 20 usable pixels lie in the templates' range.
    """
    wave, power = _middle(observed, templates)
    power, fwhm_sigma = wave / fwhm if fwhm else power, None
    first_guess = power or FIRST_GUESS
    observed = joined(observed, 1 / (FINEST_PIXEL * min(first_guess, templates.resolving_power)))
    peak = _Peak(observed, templates, first_guess, search_kms)
    counted = peak.model.weighed(peak.best, peak.shift, observed)
    n_outliers = int((counted.ivar[peak.fit.pixel] == 0).sum())
    if power is None:
        power, relative = _best_width(peak)
        fwhm_sigma = wave / power * relative
    peak = _Peak(counted, templates, power, search_kms)
    return _result(peak, observed, counted, (wave / power, fwhm_sigma), n_outliers)


def _middle(observed: Observed, templates: Templates) -> tuple[float, float | None]:
    """Median wavelength (Å) and resolving power, None if unstated, of usable pixels that templates reach."""
    low, high = np.exp(templates.ln_start + templates.spacing * np.array([0, templates.flux.shape[1]]))
    chosen = observed.usable & (observed.wave > low) & (observed.wave < high)
    wave = float(np.median(observed.wave[chosen])) if chosen.any() else float(low)
    if observed.resolving_power is None:
        return wave, None
    stated = observed.resolving_power[chosen]
    real = stated[np.isfinite(stated) & (stated > 0)]
    return wave, float(np.median(real)) if real.size else None


class _Peak:
    """Search with one width: gain curves of all templates, and the best fit on the pixels."""

    def __init__(
        self,
        observed: Observed,
        templates: Templates,
        power: float,
        search_kms: tuple[float, float],
    ):
        self.power, self.templates = power, templates_for(templates, power)
        low, high = (shift_of(v, self.templates) for v in search_kms)
        self.shifts = np.arange(int(np.floor(low)), int(np.ceil(high)) + 1)
        self.pixels = pixels_for(observed, self.templates, self.shifts)
        self.gain = gain_curves(self.pixels, self.templates, power, self.shifts)
        at = int(self.gain.max(axis=0).argmax())
        near = self.gain[:, max(at - 1, 0) : at + 2].max(axis=1)
        self.order = np.argsort(-near)
        rows = self.order[:BEST]
        self.model = OnPixels(self.pixels, self.templates, power, rows)
        start = float(self.shifts[at])
        chosen = self.model.covered(start)
        fits = [self._refined(i, start, chosen) for i in range(len(rows))]
        self.best = min(range(len(rows)), key=lambda i: fits[i][1].chi2)
        self.row, (self.shift, self.fit) = int(rows[self.best]), fits[self.best]

    def _refined(self, row: int, shift: float, chosen: Bool[np.ndarray, " n"]) -> tuple[float, Fit]:
        """Shift of smallest chi2 near the peak, and the fit there."""
        start, fit = shift, self.model.fit(row, shift, chosen)
        for _ in range(STEPS):
            information = float(fit.slope @ fit.slope)
            step = float(fit.slope @ fit.residuals) / information if information > 0 else 0.0
            shift = float(np.clip(shift + np.clip(step, -1, 1), start - 2, start + 2))
            fit = self.model.fit(row, shift, chosen)
        return shift, fit


def _best_width(peak: _Peak) -> tuple[float, float]:
    """Resolving power of smallest chi2 at the peak's velocity, and the relative error of the width."""
    own = peak.templates.resolving_power
    ladder = np.array([*LADDER[own * 0.95 > LADDER][::-1], own])
    models = [OnPixels(peak.pixels, peak.templates, power, peak.order[:BEST_FOR_WIDTH]) for power in ladder]
    chosen = models[0].covered(peak.shift)  # the broadest reaches the fewest pixels
    if chosen.sum() < FEWEST_PIXELS or len(ladder) < 3:
        return min(FIRST_GUESS, own), float("nan")
    chi2 = np.array([min(m.fit(i, peak.shift, chosen).chi2 for i in range(len(m.flux))) for m in models])
    x, i = np.log(ladder), int(np.clip(chi2.argmin(), 1, len(ladder) - 2))
    a, b, _ = np.polyfit(x[i - 1 : i + 2], chi2[i - 1 : i + 2], 2)
    if not a > 0:
        return float(ladder[chi2.argmin()]), float("nan")
    found = float(np.exp(np.clip(-b / (2 * a), x[0], x[-1])))
    return found, float(np.sqrt(chi2.min() / chosen.sum() / a))


def _result(
    peak: _Peak,
    observed: Observed,
    counted: Observed,
    width: tuple[float, float | None],
    n_outliers: int,
) -> Velocity:
    fit, templates = peak.fit, peak.templates
    dof = max(len(fit.residuals) - ORDER - 2, 1)
    lags = int(np.ceil(2 / (peak.power * peak.pixels.width))) + 1
    noise = fit.chi2 / dof * _correlation(fit.residuals, lags)
    curve = peak.gain.max(axis=0) / (max(noise, 1.0) if observed.has_errors else noise or 1.0)
    away = np.abs(peak.shifts - peak.shift) * templates.spacing > 1.5 / peak.power
    away[1:-1] &= (curve[1:-1] >= curve[:-2]) & (curve[1:-1] >= curve[2:])
    second = int(np.where(away, curve, -np.inf).argmax()) if away.any() else None
    gain, second_gain = float(curve.max()), 0.0 if second is None else float(curve[second])
    rv_kms = velocity_of(peak.shift, templates)
    return Velocity(
        rv_kms=rv_kms,
        sigma_kms=_sigma(fit, lags) * templates.spacing * (SPEED_OF_LIGHT_KMS + rv_kms),
        chi2_gain=gain,
        dof=dof,
        chi2=float(np.square(fit.residuals) @ (observed.ivar[fit.pixel] / counted.ivar[fit.pixel])),
        labels=dict(zip(templates.label_names, map(float, templates.labels[peak.row]), strict=True)),
        fwhm=width[0],
        fwhm_sigma=width[1],
        significant=gain > LEAST_GAIN and gain - second_gain > LEAST_LEAD,
        second_rv_kms=np.nan if second is None else velocity_of(float(peak.shifts[second]), templates),
        second_gain=second_gain,
        n_outliers=n_outliers,
    )


def _correlation(values: Float[np.ndarray, " n"], lags: int) -> float:
    """1 + 2 sum of the autocorrelation up to the first lag where it is not positive, at least 1."""
    total, power = 1.0, float(values @ values) or 1.0
    for lag in range(1, min(lags, len(values) - 1) + 1):
        rho = float(values[lag:] @ values[:-lag]) / power
        if rho < 2 / np.sqrt(len(values)):
            break
        total += 2 * rho
    return total


def _sigma(fit: Fit, lags: int) -> float:
    """Standard deviation of the shift, samples.

    From the errors, or from the residuals with their correlation, or, where stretches of the spectrum
    disagree (a wavelength scale that is off, lines that no template has), from the scatter between these.

    Source: Newey and West 1987, Econometrica 55, 703, equation 5.
    """
    information = float(fit.slope @ fit.slope)
    if not information > 0:
        return float("nan")
    score = fit.slope * fit.residuals
    power = float(score @ score)
    for lag in range(1, min(lags, len(score) - 1) + 1):
        power += 2 * (1 - lag / (lags + 1)) * float(score[lag:] @ score[:-lag])
    power = max(power, information)
    starts = np.linspace(0, len(score), STRETCHES + 1).astype(int)[:-1]
    apart = float(np.square(np.add.reduceat(score, starts)).sum()) * STRETCHES / (STRETCHES - 1)
    return float(np.sqrt(apart if apart > DISAGREEMENT * power else power) / information)
