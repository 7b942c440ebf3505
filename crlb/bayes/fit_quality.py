"""How good the best fit of an observed spectrum is, and the flags that follow.

Three questions. Is chi2 larger than noise explains? Does the fit explain the spectrum better than a continuum
without lines? Does it explain most of what is there beyond noise and continuum?

The second: with m the lines of a star of the grid and r the data less the continuum, the gain is

    chi2(continuum) - chi2(star) = 2 sum r m W - E,      E = sum m^2 W,

which for data that are this star has mean E and variance 4 E. A gain of -G then lies (G + E) / (2 E^(1/2))
sigma below its mean, G^(1/2) or more whatever E is: for any star of the grid

    P(gain <= -G) <= Phi(-G^(1/2)).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import norm

from crlb.bayes.best_fit import LEVEL_ORDER, MAD, Fit
from crlb.bayes.prior import Prior
from crlb.files.flags import LEAST_PIXELS, LEAST_RANGE, LEAST_SNR
from crlb.observation.conditions import Conditions, polynomials

SMALL_P = 0.001
# chi2 per degree of freedom above which a misfit is material. An emulator right to 1e-3 of the flux gives
# 1.01 at SNR 100 and 1.09 at 300; errors that are 10 % too small give 1.21.
MATERIAL = 1.2
LEAST_EXPLAINED = 0.5  # of the structure beyond noise and continuum, where there is any
STRUCTURE = 5.0  # sigma of chi2 above which there is some
OUTLIER = 5.0  # robust sigmas from the best fit, beyond which a pixel does not count as structure
# The mean of a Gaussian cut at an edge lies within (2 / (pi - 2))^(1/2) of its own sigmas of the edge exactly
# where its maximum lies at the edge or beyond: 1.32 for half a Gaussian, 1 for a far one's tail.
AT_EDGE = (2 / (np.pi - 2)) ** 0.5
# chi2 that a free continuum of order 3 may gain where less is free, noise gains 3; and its size relative to
# the flux that matters: smooth errors of an emulator are a tenth of a per cent.
SLOPE_GAIN, SLOPE = 25.0, 2e-3
SCALE_SIGMA = 5.0  # by so many sigma the scale must be positive, and no further it may lie from its prior


@dataclass(frozen=True)
class Quality:
    """Numbers of `ObservedPosterior` that say how good the best fit is, and the scale that fits best."""

    chi2: float
    dof: int
    p_value: float
    n_pix: int
    snr: float
    gain: float
    p_star: float
    explained: float
    spectrum: float
    own_scale: float
    own_scale_sigma: float


def quality(fit: Fit, conditions: Conditions, n_fitted: int) -> Quality:
    """Returns how good a best fit is.

    Args:
        fit: the star at its best fit.
        conditions: what was unknown.
        n_fitted: how many numbers were fitted.
    """
    assert fit.mean is not None
    weight, n = 1 / fit.variance, fit.flux.size
    residual, dof = fit.flux - fit.mean, n - n_fitted
    chi2 = float((residual**2 * weight).sum())
    own = fit.ivar if fit.target.has_errors else 1 / (fit.error * fit.level) ** 2
    power = float((fit.mean**2 * weight).sum())
    featureless = _featureless(fit, conditions, weight)
    gain, p_star = _gain(fit, featureless, chi2 / dof)
    has = fit.target.has_errors
    return Quality(
        chi2, dof, float(chi2_distribution.sf(chi2, dof)) if has else float("nan"), n,
        float(np.median(fit.flux * np.sqrt(own))), gain, p_star,
        _explained(fit, featureless, dof), _range(fit),
        float((fit.mean * fit.flux * weight).sum()) / power, power**-0.5,
    )  # fmt: skip


def _featureless(fit: Fit, conditions: Conditions, weight: np.ndarray) -> np.ndarray:
    """The continuum that fits best: as free as that of the star's fit, and of its broad shape."""
    assert fit.mean is not None
    wave = fit.target.wave[fit.some]
    curves = polynomials(wave, wave.min(), wave.max(), LEVEL_ORDER)
    broad = _least_squares(curves, fit.mean, weight)
    return _least_squares(broad * fit.curves[: conditions.continuum + 1], fit.flux, weight)


def _least_squares(rows: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> np.ndarray:
    root = np.sqrt(weight)
    best = np.linalg.lstsq((rows * root).T, flux * root, rcond=None)[0]
    found: np.ndarray = best @ rows
    return found


def _gain(fit: Fit, featureless: np.ndarray, misfit: float) -> tuple[float, float]:
    """The gain over the continuum, and the bound on its probability; noise as large as the misfit says."""
    weight = 1 / fit.variance
    assert fit.mean is not None
    gain = float((((fit.flux - featureless) ** 2 - (fit.flux - fit.mean) ** 2) * weight).sum())
    lost = max(-gain, 0.0) / max(misfit, 1.0)
    return gain, float(norm.sf(lost**0.5)) if lost else 1.0


def _explained(fit: Fit, featureless: np.ndarray, dof: int) -> float:
    """Share of the structure beyond noise and continuum that the fit explains; outliers do not count."""
    assert fit.mean is not None
    root = np.sqrt(1 / fit.variance)
    left, whole = (fit.flux - fit.mean) * root, (fit.flux - featureless) * root
    sigma = MAD * float(np.median(np.abs(left - np.median(left))))
    some = np.abs(left) < OUTLIER * max(sigma, 1.0)
    noise = float(some.sum()) * dof / fit.flux.size
    structure = float((whole[some] ** 2).sum()) - noise
    if not structure > STRUCTURE * (2 * noise) ** 0.5:
        return float("nan")
    return 1 - max(float((left[some] ** 2).sum()) - noise, 0.0) / structure


def at_edge(
    mean: Float[np.ndarray, " n_labels"], sigma: Float[np.ndarray, " n_labels"], prior: Prior
) -> bool:
    """Returns whether a label's posterior piles up at an edge of the prior's box.

    Half a Gaussian with its maximum on the edge has mean and sigma (2/pi)^(1/2) and (1 - 2/pi)^(1/2) of its
    width; the further its maximum lies beyond, the nearer to 1 their ratio. A flat posterior has 3^(1/2), a
    triangle that is highest at the edge 2^(1/2): neither says that the star lies beyond.
    """
    low, high = np.asarray(prior.low), np.asarray(prior.high)
    return bool((np.minimum(mean - low, high - mean) < AT_EDGE * sigma).any())


def other_continuum(
    wave: Float[np.ndarray, " n_pix"],
    flux: Float[np.ndarray, " n_pix"],
    mean: Float[np.ndarray, " n_pix"],
    weight: Float[np.ndarray, " n_pix"],
    order: int,
    tangents: Float[np.ndarray, "n n_pix"] | None = None,
) -> bool:
    """Returns whether a continuum that may bend as order 3 does fits clearly better than the one in use.

    That is what f_nu, flux normalised to one and a wrong response look like where the continuum counts as
    known; chi2 alone does not see it at low SNR.

    Args:
        wave: of the pixels, Å.
        flux: as observed.
        mean: best fit.
        weight: inverse variance.
        order: of the continuum that was fitted.
        tangents: changes of the best fit with the labels, which may have followed the slope and then follow
            the lines again; None: the labels stay.
    """
    if order >= LEVEL_ORDER:
        return False
    curves = polynomials(wave, wave.min(), wave.max(), LEVEL_ORDER)[1:]
    rows = mean * curves if tangents is None else np.concatenate([mean * curves, tangents])
    bent = _least_squares(rows, flux - mean, weight)
    chi2 = float(((flux - mean) ** 2 * weight).sum())
    gain = chi2 - float(((flux - mean - bent) ** 2 * weight).sum())
    size = float(np.sqrt((bent**2).mean() / (mean**2).mean()))
    return gain > SLOPE_GAIN * max(1.0, chi2 / mean.size) and size > SLOPE


def _range(fit: Fit) -> float:
    """How much of the spectrum the usable pixels cover, Å: steps between them, but for gaps."""
    steps = np.diff(np.unique(fit.target.wave[fit.some]))
    return float(np.minimum(steps, 3 * np.median(steps)).sum())


def flags_of(
    fit: Fit,
    found: Quality,
    conditions: Conditions,
    values: dict[str, float],
    sigmas: dict[str, float],
    tangents: Float[np.ndarray, "n n_pix"] | None = None,
) -> tuple[str, ...]:
    """Returns the flags that follow from the best fit and the unknowns.

    Args:
        fit: the star at its best fit.
        found: how good that is.
        conditions: what was unknown.
        values: posterior mean of every unknown, by name, flux in units of `fit.unit`.
        sigmas: their standard deviations.
        tangents: changes of the best fit with the labels, as `other_continuum` takes them.
    """
    misfit = found.chi2 / found.dof
    assert fit.mean is not None
    wave, weight = fit.target.wave[fit.some], 1 / fit.variance
    bent = other_continuum(wave, fit.flux, fit.mean, weight, conditions.continuum, tangents)
    given = {
        "POOR_FIT": found.p_value < SMALL_P and misfit > MATERIAL,
        "BAD_SCALE": bent or _bad_scale(found, conditions, values, sigmas),
        "LOW_SNR": found.snr < LEAST_SNR,
        "FEW_PIXELS": found.n_pix < LEAST_PIXELS or found.spectrum < LEAST_RANGE,
        "OUT_OF_GRID": found.p_star < SMALL_P or found.explained < LEAST_EXPLAINED,
        "VELOCITY": not fit.settled and conditions.rv_sigma_kms > 0,
        "NO_ERRORS": not fit.target.has_errors,
    }
    return tuple(name for name, true in given.items() if true)


def _bad_scale(
    found: Quality, conditions: Conditions, values: dict[str, float], sigmas: dict[str, float]
) -> bool:
    """Whether the scale is not clearly positive, or another than the conditions allow."""
    if not conditions.scale:
        off = abs(found.own_scale - 1)
        return off > max(SCALE_SIGMA * found.own_scale_sigma, 0.1)
    far = np.isfinite(conditions.scale) and abs(values["scale"] - 1) > SCALE_SIGMA * conditions.scale
    return bool(far or not values["scale"] > SCALE_SIGMA * sigmas["scale"])
