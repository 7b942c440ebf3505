"""Observed spectra under a noise model: errors that follow from magnitude and labels, not from the file."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.stats import chi2 as chi2_distribution

from crlb.bayes.fit_quality import MATERIAL, SMALL_P, at_edge, other_continuum
from crlb.bayes.observed_result import ObservedPosterior, unusable
from crlb.bayes.posterior import Observations, posterior
from crlb.bayes.prior import Prior
from crlb.bayes.result import Posterior
from crlb.bayes.sky import make_sky
from crlb.bayes.solve import Inference
from crlb.files.flags import LEAST_PIXELS, LEAST_SNR
from crlb.observation.conditions import Conditions, polynomials
from crlb.observation.forward_model import ForwardModel
from crlb.observation.moving import LSF, RV

FEWEST = 30  # usable pixels: below, nothing is computed
FAR = 0.1  # of the scale, beside five sigma: a known scale that is off by more is another one


class Fluxes(NamedTuple):
    """Spectra on the pixels in use of a forward model, and their AB magnitudes in i."""

    flux: Float[np.ndarray, "n n_pix"]
    usable: Bool[np.ndarray, "n n_pix"]
    mag: Float[np.ndarray, " n"]


def label_under_model(
    spectra: Fluxes, model: ForwardModel, prior: Prior, *, key: Key[Array, ""], inference: Inference
) -> list[ObservedPosterior]:
    """Returns the exact posterior of every star under the noise model, in float64.

    A flux whose scale is free is brought to a median of 0.5 first. A star without a usable or positive
    spectrum costs its own row only. Velocity and line-spread width, where these are axes of the model, are
    integrated over; the velocity is given beside the labels.

    Args:
        spectra: as observed, at rest unless the velocity is an axis of the model.
        model: how they were seen.
        prior: of the labels.
        key: chooses the quasi-random points.
        inference: what is unknown besides the labels, and how many points to use.
    """
    middle = np.array([np.median(f[u]) if u.any() else 0.0 for f, u in zip(*spectra[:2], strict=True)])
    free = inference.conditions.scale == np.inf
    n_usable: list[int] = spectra.usable.sum(axis=1).tolist()
    reasons = [_reason(*one) for one in zip(n_usable, middle, spectra.mag, strict=True)]
    good = np.array([not why for why in reasons])
    scale = np.where(good & free, 2 * middle, 1.0)
    flux = spectra.flux / scale[:, None]
    answers = iter(())  # type: Iterator[ObservedPosterior]
    if good.any():
        observed = Observations(flux[good], spectra.mag[good], spectra.usable[good])
        found = posterior(observed, model, prior, key=key, inference=inference)
        answers = _each(found, observed, model, inference.conditions, scale[good], prior)
    n_q, names = len(inference.quantiles), tuple(prior.label_names[i] for i in _own(prior.label_names))
    return [
        next(answers) if not why else unusable(names, n_q, n, flags, why)
        for (why, flags), n in zip(map(_flagged, reasons), n_usable, strict=True)
    ]


def _reason(n: int, middle: float, mag: float) -> str:
    if n < FEWEST:
        return f"{n} usable pixels, {FEWEST} are needed"
    if not np.isfinite(mag):
        return "its magnitude is not known"
    return "" if middle > 0 else f"its median flux is {middle:.3g}, not positive"


def _flagged(why: str) -> tuple[str, tuple[str, ...]]:
    kinds = {"usable": ("FEW_PIXELS",), "flux": ("BAD_SCALE",)}
    return why, next((flags for word, flags in kinds.items() if word in why), ())


def _each(
    found: Posterior,
    observed: Observations,
    model: ForwardModel,
    conditions: Conditions,
    scale: np.ndarray,
    prior: Prior,
) -> Iterator[ObservedPosterior]:
    """The stars one by one, with chi2 at the posterior mean, all unknowns fitted there."""
    wave = np.asarray(model.wave)
    curves = polynomials(wave, float(wave.min()), float(wave.max()), conditions.continuum)
    with jax.enable_x64(True):
        model = model.astype(jnp.float64)
        mean = jax.jit(jax.vmap(model.flux))(jnp.asarray(found.mean))
        variance = np.asarray(
            jax.jit(jax.vmap(model.variance))(jnp.asarray(found.mean), jnp.asarray(observed.mag))
        )
        sky = _left_over(model, conditions, found.mean, np.asarray(observed.mag))
    for i, flux in enumerate(np.asarray(mean)):
        assert observed.usable is not None
        some = np.asarray(observed.usable[i])
        level = variance[i][some] + (conditions.model_error * flux[some]) ** 2
        y = np.asarray(observed.flux[i])[some]
        fit = _Fitted.of(wave[some], y, flux[some], 1 / level, curves[:, some], sky(i)[:, some], conditions)
        yield _result(found, i, fit, conditions, float(scale[i]), prior)


def _left_over(
    model: ForwardModel, conditions: Conditions, labels: np.ndarray, mag: np.ndarray
) -> Callable[[int], np.ndarray]:
    """What gives every star's lines of the sky, one per row, times the 1-sigma share that is left of them."""
    sky, n_pix = make_sky(model.noise, conditions), len(model.wave)
    if sky is None:
        return lambda i: np.zeros((0, n_pix))
    chosen = np.arange(n_pix) if model.pixels is None else np.asarray(model.pixels)
    lines, number = sky.lines, np.asarray(sky.lines.line)[chosen]
    own = number[None, :] == np.arange(len(lines.n))[:, None]
    at_mean = jax.jit(jax.vmap(lambda labels, mag: lines.flux(model.emulator(labels), mag, model.noise)))
    shape = conditions.sky_left * np.asarray(at_mean(jnp.asarray(labels), jnp.asarray(mag)))[:, chosen]
    return lambda i: own * shape[i]


def _own(names: tuple[str, ...]) -> list[int]:
    """Positions of the labels of the star itself."""
    return [i for i, name in enumerate(names) if name not in (RV, LSF)]


class _Fitted(NamedTuple):
    """Scale and continuum that fit best at given labels."""

    chi2: float
    n: int
    snr: float
    coefficients: np.ndarray
    scale_sigma: float
    own_scale: float
    bent: bool

    @classmethod
    def of(
        cls,
        wave: np.ndarray,
        y: np.ndarray,
        mean: np.ndarray,
        ivar: np.ndarray,
        curves: np.ndarray,
        sky: np.ndarray,
        conditions: Conditions,
    ) -> "_Fitted":
        """The fit; `sky`: its lines times the 1 sigma of what is left, fitted under that prior."""
        rows = mean * (curves if conditions.scale else curves[1:])
        rest = y if conditions.scale else y - mean
        root, zeros = np.sqrt(ivar), np.zeros((len(rows), len(sky)))
        design = np.block([[rows * root, zeros], [sky * root, np.eye(len(sky))]])
        target = np.concatenate([rest * root, np.zeros(len(sky))])
        best = np.linalg.lstsq(design.T, target, rcond=None)[0] if len(design) else np.zeros(0)
        chi2 = float(((target - best @ design) ** 2).sum())
        both = np.concatenate([rows, sky])
        power = float((mean**2 * ivar).sum())
        own = float((mean * y * ivar).sum()) / power
        fitted = mean + best @ both - (mean if conditions.scale else 0.0)
        bent = other_continuum(wave, y, fitted, ivar, conditions.continuum)
        return cls(chi2, y.size, float(np.median(y * root)), best[: len(rows)], power**-0.5, own, bent)


def _result(
    found: Posterior, i: int, fit: _Fitted, conditions: Conditions, scale: float, prior: Prior
) -> ObservedPosterior:
    names, nan, labels = found.label_names, float("nan"), _own(found.label_names)
    dof = fit.n - len(names) - len(fit.coefficients)
    moving = (found.mean[i], found.sigma[i]) if RV in names else None
    rv, rv_sigma = (0.0, 0.0) if moving is None else (float(x[names.index(RV)]) for x in moving)
    p_value = float(chi2_distribution.sf(fit.chi2, dof))
    free = conditions.scale > 0
    own = float(fit.coefficients[0]) if free else 1.0
    return ObservedPosterior(
        tuple(names[j] for j in labels), found.mean[i][labels], found.sigma[i][labels],
        found.quantiles[i][labels], found.mean[i][labels],
        ess=float(found.ess[i]), converged=bool(found.converged[i]), chi2=fit.chi2, dof=dof, p_value=p_value,
        n_pix=fit.n, snr=fit.snr, scale=own * scale, scale_sigma=fit.scale_sigma * scale if free else 0.0,
        continuum=tuple(float(x) for x in fit.coefficients[int(free) :] / own),
        rv_kms=rv, rv_sigma_kms=rv_sigma,
        model_error=conditions.model_error, error=nan, gain=nan, p_star=nan, explained=nan,
        flags=_flags(found, i, fit, conditions, prior, p_value, dof),
    )  # fmt: skip


def _flags(
    found: Posterior, i: int, fit: _Fitted, conditions: Conditions, prior: Prior, p_value: float, dof: int
) -> tuple[str, ...]:
    off = abs(fit.own_scale - 1) > max(5 * fit.scale_sigma, FAR)
    given = {
        "EDGE": at_edge(found.mean[i], found.sigma[i], prior),
        "POOR_FIT": p_value < SMALL_P and fit.chi2 / dof > MATERIAL,
        "BAD_SCALE": fit.bent or (conditions.scale != np.inf and off),
        "LOW_SNR": fit.snr < LEAST_SNR,
        "FEW_PIXELS": fit.n < LEAST_PIXELS,
        "NOT_CONVERGED": not bool(found.converged[i]),
    }
    return tuple(name for name, true in given.items() if true)
