"""Observed spectra under a noise model: errors that follow from magnitude and labels, not from the file."""

from collections.abc import Iterator
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
from crlb.bayes.solve import Inference
from crlb.files.flags import LEAST_PIXELS, LEAST_SNR
from crlb.observation.conditions import Conditions, polynomials
from crlb.observation.forward_model import ForwardModel

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
    spectrum costs its own row only.

    Args:
        spectra: as observed, at rest.
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
    n_q = len(inference.quantiles)
    return [
        next(answers) if not why else unusable(prior.label_names, n_q, n, flags, why)
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
    curves = polynomials(wave, wave[0], wave[-1], conditions.continuum)
    with jax.enable_x64(True):
        model = model.astype(jnp.float64)
        mean = jax.jit(jax.vmap(model.flux))(jnp.asarray(found.mean))
        variance = np.asarray(
            jax.jit(jax.vmap(model.variance))(jnp.asarray(found.mean), jnp.asarray(observed.mag))
        )
    for i, flux in enumerate(np.asarray(mean)):
        assert observed.usable is not None
        some = np.asarray(observed.usable[i])
        level = variance[i][some] + (conditions.model_error * flux[some]) ** 2
        fit = _Fitted.of(
            wave[some], np.asarray(observed.flux[i])[some], flux[some], 1 / level, curves[:, some], conditions
        )
        yield _result(found, i, fit, conditions, float(scale[i]), prior)


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
        conditions: Conditions,
    ) -> "_Fitted":
        rows = mean * (curves if conditions.scale else curves[1:])
        rest = y if conditions.scale else y - mean
        root = np.sqrt(ivar)
        best = np.linalg.lstsq((rows * root).T, rest * root, rcond=None)[0] if len(rows) else np.zeros(0)
        chi2 = float(((rest - best @ rows) ** 2 * ivar).sum()) if len(rows) else float((rest**2 * ivar).sum())
        power = float((mean**2 * ivar).sum())
        own = float((mean * y * ivar).sum()) / power
        fitted = mean + best @ rows - (mean if conditions.scale else 0.0)
        bent = other_continuum(wave, y, fitted, ivar, conditions.continuum)
        return cls(chi2, y.size, float(np.median(y * root)), best, power**-0.5, own, bent)


def _result(
    found: Posterior, i: int, fit: _Fitted, conditions: Conditions, scale: float, prior: Prior
) -> ObservedPosterior:
    n_labels, nan = len(found.label_names), float("nan")
    dof = fit.n - n_labels - len(conditions.unknowns)
    p_value = float(chi2_distribution.sf(fit.chi2, dof))
    free = conditions.scale > 0
    own = float(fit.coefficients[0]) if free else 1.0
    return ObservedPosterior(
        found.label_names, found.mean[i], found.sigma[i], found.quantiles[i], found.mean[i],
        ess=float(found.ess[i]), converged=bool(found.converged[i]), chi2=fit.chi2, dof=dof, p_value=p_value,
        n_pix=fit.n, snr=fit.snr, scale=own * scale, scale_sigma=fit.scale_sigma * scale if free else 0.0,
        continuum=tuple(float(x) for x in fit.coefficients[int(free) :] / own), rv_kms=0.0, rv_sigma_kms=0.0,
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
