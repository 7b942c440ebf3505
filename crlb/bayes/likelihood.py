"""Log-likelihood of noisy spectra at many labels at once, as the exact posterior evaluates it.

For independent Gaussian pixels of mean mu(labels) and variance V(labels), with r = y - s mu,

    ln L = -1/2 sum_p [ r_p^2 / V_p + ln(V_p / V0_p) ]                     s = 1: the flux scale is known

or, with the scale s integrated over a Gaussian prior of mean 1 and width `amplitude` (V as at s = 1),

    ln L = -1/2 { sum_p [ r_p^2 / V_p + ln(V_p / V0_p) ] + (s - 1)^2 a + ln(sum_p mu_p^2 / V_p + a) },
    s = (sum_p y_p mu_p / V_p + a) / (sum_p mu_p^2 / V_p + a),   a = 1 / amplitude^2,

up to constants. V0 is a reference that keeps the sum short in float32. Labels enter as unit coordinates, 0
to 1 between the edges of the prior. Spectra are computed in float32, sums over templates in float64.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from crlb.bayes.prior import Prior
from crlb.grids.emulator import Emulator
from crlb.observation.forward_model import ForwardModel

BLOCK = 512  # spectra computed together: 8 MB per array of 4096 pixels


class Likelihood(NamedTuple):
    """All that a likelihood needs besides the observed stars; a pytree.

    `model` is in float32 and has all pixels in use, the prior is in float64; `amplitude` is the width of the
    prior on the flux scale, inf = flat, None = known scale; `reference` is the flux whose variance is V0.
    """

    model: ForwardModel
    prior: Prior
    amplitude: Float[Array, ""] | None
    reference: Float[Array, " n_pix"]


class Stars(NamedTuple):
    """Observed spectra: flux (0 where not usable), weight 1 or 0 of every pixel, AB magnitude."""

    flux: Float[Array | np.ndarray, "n n_pix"]
    usable: Float[Array | np.ndarray, "n n_pix"]
    mag: Float[Array | np.ndarray, " n"]

    def take(self, rows: np.ndarray) -> "Stars":
        """Returns the stars of these row numbers."""
        return Stars(self.flux[rows], self.usable[rows], self.mag[rows])


def make_likelihood(model: ForwardModel, prior: Prior, amplitude: float | None) -> Likelihood:
    """Returns the likelihood with spectra in float32 and the prior in float64."""

    def double(x: ArrayLike) -> Array:
        return jnp.asarray(x, jnp.float64)

    scale = None if amplitude is None else double(amplitude)
    emulator, prior = (
        jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), model.emulator),
        jax.tree.map(double, prior),
    )
    whole = replace(model, emulator=emulator, pixels=None)  # pixels left out have no weight in `Stars`
    found = Likelihood(whole, prior, scale, emulator.basis[0])
    centre = jnp.full((1, len(prior.label_names)), 0.5)
    return found._replace(reference=spectra(found, centre)[0])


def labels_of(prior: Prior, unit: Float[Array, "*n n_labels"]) -> Float[Array, "*n n_labels"]:
    """Returns labels in their units at unit coordinates 0 to 1."""
    row = (None,) * (unit.ndim - 1)
    return jnp.asarray(prior.low)[row] + jnp.asarray(prior.high - prior.low)[row] * unit


def spectra(like: Likelihood, unit: Float[Array, "n n_labels"]) -> Float[Array, "n n_pix"]:
    """Returns the model flux at many points.

    Matrix products over all nodes; gathering the coefficients of every point is four times slower.
    """
    weights = jax.vmap(partial(_node_weights, like))(unit)
    return _flux(like.model.emulator, weights)


def spectra_and_slopes(
    like: Likelihood, unit: Float[Array, "n n_labels"]
) -> Float[Array, "n n_labels_plus_1 n_pix"]:
    """Returns the model flux at many points, and row by row its derivatives by the unit coordinates."""

    def one(unit: Float[Array, " n_labels"]) -> Float[Array, "n_labels_plus_1 n_nodes"]:
        weights = partial(_node_weights, like)
        return jnp.concatenate([weights(unit)[None, :], jax.jacfwd(weights)(unit).T.astype(jnp.float32)])

    rows = jax.vmap(one)(unit)
    return _flux(like.model.emulator, rows.reshape(-1, rows.shape[-1])).reshape(*rows.shape[:2], -1)


def _flux(emulator: Emulator, weights: Float[Array, "n n_nodes"]) -> Float[Array, "n n_pix"]:
    coefficients = emulator.coefficients.reshape(-1, emulator.basis.shape[0])
    local = jnp.matmul(weights, coefficients, precision="highest")
    return jnp.matmul(local, emulator.basis, precision="highest")


def _node_weights(like: Likelihood, unit: Float[Array, " n_labels"]) -> Float[Array, " n_nodes"]:
    """Weight of every node's spline coefficients at one point: the outer product over the axes."""
    emulator = like.model.emulator
    total = jnp.ones(1, jnp.float32)
    for i, (axis, label) in enumerate(zip(emulator.axes, labels_of(like.prior, unit), strict=True)):
        first, values = emulator.splines(i, jnp.clip(label, axis[0], axis[-1]))
        index = jnp.arange(len(axis))[:, None] - first
        splines = jnp.where(index == jnp.arange(len(values))[None, :], values[None, :], 0.0).sum(axis=1)
        total = (total[:, None] * splines.astype(jnp.float32)[None, :]).reshape(-1)
    return total


def variances(
    like: Likelihood, flux: Float[Array, "n n_pix"], mag: Float[Array, ""]
) -> Float[Array, "n n_pix"]:
    """Returns the noise variance of many spectra of one magnitude."""
    return jax.vmap(lambda flux: like.model.arm_variance(flux, mag))(flux)


def _profile(
    like: Likelihood,
    flux: Float[Array, "n n_pix"],
    ivar: Float[Array, "n n_pix"],
    y: Float[Array, " n_pix"],
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Best flux scale s, and what it adds to -2 ln L besides the residuals."""
    if like.amplitude is None:
        return jnp.ones(len(flux), flux.dtype), jnp.zeros(len(flux), flux.dtype)
    a = (1 / like.amplitude**2).astype(flux.dtype)
    power = jnp.sum(flux**2 * ivar, axis=1) + a
    scale = (jnp.sum(flux * y[None, :] * ivar, axis=1) + a) / power
    return scale, (scale - 1) ** 2 * a + jnp.log(power)


class _Fit(NamedTuple):
    """Model spectra against one star."""

    log_likelihood: Float[Array, " n"]
    residual: Float[Array, "n n_pix"]
    ivar: Float[Array, "n n_pix"]
    scale: Float[Array, " n"]


def _fit(like: Likelihood, flux: Float[Array, "n n_pix"], star: Stars) -> _Fit:
    """Compares `flux` with one star, in float32."""
    y, usable, mag = (jnp.asarray(x, jnp.float32) for x in star)
    var = variances(like, flux, mag)
    ivar = usable[None, :] / var
    scale, extra = _profile(like, flux, ivar, y)
    residual = y[None, :] - scale[:, None] * flux
    reference = 1 / like.model.arm_variance(like.reference, mag)
    terms = residual**2 * ivar + usable[None, :] * jnp.log(var * reference[None, :])
    return _Fit(-0.5 * (jnp.sum(terms, axis=1) + extra), residual, ivar, scale)


@jax.jit
def log_likelihood(
    like: Likelihood, unit: Float[Array, "n_star n n_labels"], stars: Stars
) -> Float[Array, "n_star n"]:
    """Returns ln L of every star at its own points, from float32 residuals."""

    def one(args: tuple[Array, Stars]) -> Float[Array, " n"]:
        unit, star = args
        return _fit(like, spectra(like, unit), star).log_likelihood

    values: Array = jax.lax.map(one, (unit, stars))
    return values.astype(jnp.float64)


@jax.jit
def log_likelihood_shared(
    like: Likelihood, unit: Float[Array, "m n_labels"], stars: Stars
) -> Float[Array, "n_star m"]:
    """Returns ln L of every star at points shared by all, as matrix products over pixels; one magnitude.

    chi2 = sum y^2/V - 2 sum y mu/V + sum mu^2/V, in float64 because these sums cancel.
    """
    y, usable = stars.flux.astype(jnp.float64), stars.usable.astype(jnp.float64)
    mag = jnp.mean(stars.mag.astype(jnp.float64))

    def block(unit: Float[Array, "b n_labels"]) -> Float[Array, "n_star b"]:
        flux = spectra(like, unit).astype(jnp.float64)
        var = variances(like, flux, mag)
        dot = partial(jnp.matmul, precision="highest")
        square, cross = dot(y**2, (1 / var).T), dot(y, (flux / var).T)
        power, log_var = dot(usable, (flux**2 / var).T), dot(usable, jnp.log(var).T)
        if like.amplitude is None:
            return -0.5 * (square - 2 * cross + power + log_var)
        a = 1 / like.amplitude**2
        scale = (cross + a) / (power + a)
        extra = (scale - 1) ** 2 * a + jnp.log(power + a)
        return -0.5 * (square - 2 * scale * cross + scale**2 * power + log_var + extra)

    blocks = jax.lax.map(block, unit.reshape(-1, min(BLOCK, len(unit)), unit.shape[1]))
    return jnp.moveaxis(blocks, 0, 1).reshape(len(y), -1)


class Newton(NamedTuple):
    """Likelihood at a point: score g = J^T r/V and Fisher matrix J^T J/V, by unit coordinates."""

    log_likelihood: Float[Array, "*n"]
    score: Float[Array, "*n n_labels"]
    fisher: Float[Array, "*n n_labels n_labels"]


@jax.jit
def newton(like: Likelihood, unit: Float[Array, "n_star n n_labels"], stars: Stars) -> Newton:
    """Returns what a Gauss-Newton step needs at every star's points; V is not differentiated."""

    def one(args: tuple[Array, Stars]) -> Newton:
        unit, star = args
        rows = spectra_and_slopes(like, unit)
        fit = _fit(like, rows[:, 0], star)
        jac = fit.scale[:, None, None] * rows[:, 1:]
        dot = partial(jnp.einsum, precision="highest")
        score = dot("nap,np->na", jac, fit.residual * fit.ivar)
        fisher = dot("nap,nbp->nab", jac * fit.ivar[:, None, :], jac)
        if like.amplitude is not None:
            power = jnp.sum(rows[:, 0] ** 2 * fit.ivar, axis=1) + (1 / like.amplitude**2).astype(jac.dtype)
            shared = dot("nap,np->na", jac, rows[:, 0] * fit.ivar)
            fisher = fisher - shared[:, :, None] * shared[:, None, :] / power[:, None, None]
        return Newton(fit.log_likelihood, score, fisher)

    parts = jax.lax.map(one, (unit, stars))
    found: Newton = jax.tree.map(lambda x: x.astype(jnp.float64), parts)
    return found
