"""Log-likelihood of noisy spectra at many labels at once, under a noise model.

For independent Gaussian pixels of mean c mu(labels) and variance V(labels), with r = y - c mu,

    ln L = -1/2 sum_p [ r_p^2 / V_p + ln(V_p / V0_p) ],       c = 1: nothing else is unknown

or, with scale and continuum unknown, c = sum_k a_k P_k, integrated over their Gaussian prior,

    ln L = -1/2 { sum_p [ r_p^2 / V_p + ln(V_p / V0_p) ] + (a - m)^T L (a - m) + ln|H| },
    H = D W D^T + L,    D_k = P_k mu,    W = 1/V,      see `crlb.bayes.linear`,

up to constants; where the sky's lines are left over, W and its determinant are those of `crlb.bayes.sky`.
V is that of mu, c = 1. Where the scale is free, it is that of mu brought to the mean of the star's flux in
the i band: an observer has counted the electrons behind his flux, and a magnitude tells no more about it. V0
is a reference that keeps the sum short in float32. Labels enter as unit coordinates, 0 to 1 between the edges
of the prior. Spectra are computed in float32, sums over templates and systems of the unknowns in float64.
Spectra with errors of their own: `crlb.bayes.reduced`.
"""

from functools import partial
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.bayes.linear import Solved, chi_squared, solve
from crlb.bayes.model_spectra import Single, basis_weights, flux_of, spectra, spectra_and_slopes
from crlb.bayes.prior import Prior
from crlb.bayes.sky import Sky, Weight, make_sky, make_weight
from crlb.bayes.unknowns import Unknowns, check_axes, check_normals, make_unknowns
from crlb.grids.emulator import Emulator
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import band_mean, variance
from crlb.observation.noise_curves import NoiseModel

T = TypeVar("T")
S = TypeVar("S", contravariant=True)
BLOCK = 512  # spectra computed together: 8 MB per array of 4096 pixels
TOGETHER = 32  # spectra of one star: 0.5 MB per array, which stays in the cache


@runtime_checkable
class LogLikelihood(Protocol[S]):
    """What the solver asks of a likelihood of stars of some kind (a pytree, stars along the leading axis)."""

    @property
    def prior(self) -> Prior:
        """The prior of the labels, in float64."""

    def at_templates(self, unit: Float[np.ndarray, "m n_labels"], stars: S) -> Float[np.ndarray, "n_star m"]:
        """Returns ln L of every star at points shared by all."""

    def at_points(self, unit: Float[Array, "n_star n n_labels"], stars: S) -> Float[Array, "n_star n"]:
        """Returns ln L of every star at its own points."""

    def newton(self, unit: Float[Array, "n_star n n_labels"], stars: S) -> "Newton":
        """Returns what a Gauss-Newton step needs at every star's points."""


class Stars(NamedTuple):
    """Observed spectra: flux (0 where not usable), weight 1 or 0 of every pixel, AB magnitude.

    `band_mean` is that of the noiseless flux, in its unit, where the scale is free; None: that of the model.
    """

    flux: Float[Array | np.ndarray, "n n_pix"]
    usable: Float[Array | np.ndarray, "n n_pix"]
    mag: Float[Array | np.ndarray, " n"]
    band_mean: Float[Array | np.ndarray, " n"] | None = None

    def take(self, rows: np.ndarray) -> "Stars":
        """Returns the stars of these row numbers."""
        mean = None if self.band_mean is None else self.band_mean[rows]
        return Stars(self.flux[rows], self.usable[rows], self.mag[rows], mean)


class Likelihood(NamedTuple):
    """All that a likelihood needs besides the observed stars; a pytree.

    Emulator and noise are in float32 and have all pixels of the arm, the prior is in float64; `model_error`
    is relative to the flux; `reference` is the flux whose variance is V0. `sky` is what is left of the sky's
    lines, None: nothing.
    """

    emulator: Emulator
    noise: NoiseModel
    prior: Prior
    unknowns: Unknowns
    model_error: Float[Array, ""]
    reference: Float[Array, " n_pix"]
    sky: Sky | None = None

    @property
    def exact_at_templates(self) -> bool:
        """Whether `at_templates` is exact: what is left of the sky counts as noise of single pixels there."""
        return self.sky is None

    def at_templates(
        self, unit: Float[np.ndarray, "m n_labels"], stars: Stars
    ) -> Float[np.ndarray, "n_star m"]:
        """Returns ln L of every star at points shared by all; stars of one magnitude.

        Stars are padded to a power of two, so that few shapes compile; one mask shared by all is passed once.
        """
        n = len(stars.mag)
        padded = stars.take(np.resize(np.arange(n), max(16, 1 << (n - 1).bit_length())))
        if (stars.usable == stars.usable[:1]).all():
            padded = padded._replace(usable=padded.usable[:1])
        return np.asarray(log_likelihood_shared(self, jnp.asarray(unit), padded))[:n]

    def at_points(self, unit: Float[Array, "n_star n n_labels"], stars: Stars) -> Float[Array, "n_star n"]:
        """Returns ln L of every star at its own points."""
        found: Float[Array, "n_star n"] = log_likelihood(self, unit, stars)
        return found

    def newton(self, unit: Float[Array, "n_star n n_labels"], stars: Stars) -> "Newton":
        """Returns what a Gauss-Newton step needs at every star's points."""
        found: Newton = newton(self, unit, stars)
        return found


def make_likelihood(model: ForwardModel, prior: Prior, conditions: Conditions) -> Likelihood:
    """Returns the likelihood with spectra in float32 and the prior in float64.

    Raises:
        UsageError: a velocity or width that is unknown under `conditions` but no axis of the model, or
            reversely, or with another prior.
    """
    check_axes(conditions, model.label_names)
    check_normals(conditions, model, prior)
    emulator, noise, prior = _single(model.emulator), _single(model.noise), _double(prior)
    centre = jnp.full((1, len(prior.label_names)), 0.5)
    reference = spectra(Single(emulator, prior), centre)[0]
    error = jnp.asarray(conditions.model_error, jnp.float32)
    unknowns, sky = make_unknowns(conditions, model), make_sky(model.noise, conditions)
    return Likelihood(emulator, noise, prior, unknowns, error, reference, sky)


def _single(tree: T) -> T:
    found: T = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)
    return found


def _double(tree: T) -> T:
    found: T = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)
    return found


def variances(
    like: Likelihood,
    flux: Float[Array, "n n_pix"],
    mag: Float[Array, "*n"],
    level: Float[Array, " n"] | float = 1.0,
) -> Float[Array, "n n_pix"]:
    """Returns the variance of many spectra, of one magnitude or of one each: noise and model together.

    `level` is what the model spectra are multiplied by before they have the noise of the star.
    """
    mags = jnp.broadcast_to(jnp.asarray(mag), len(flux))
    noise = jax.vmap(lambda one, mag: variance(one, mag, like.noise))(flux, mags)
    model = (like.model_error.astype(flux.dtype) * flux) ** 2
    return jnp.square(jnp.broadcast_to(level, len(flux)))[:, None] * noise + model


def levels(
    like: Likelihood, flux: Float[Array, "n n_pix"], mean: Float[Array, ""] | None
) -> Float[Array, " n"]:
    """Returns what brings model spectra to the `mean` of a star's flux in the i band; 1 where it is None."""
    if mean is None:
        return jnp.ones(len(flux), flux.dtype)
    noise = jax.tree.map(lambda x: jnp.asarray(x, flux.dtype), like.noise)
    return mean / jax.vmap(partial(band_mean, noise=noise))(flux)


class _Fit(NamedTuple):
    """Model spectra against one star: ln L, the residual r, W, the continuum c, the solved unknowns."""

    log_likelihood: Float[Array, " n"]
    residual: Float[Array, "n n_pix"]
    weight: Weight
    continuum: Float[Array, "n n_pix"]
    solved: Solved


def _fit(like: Likelihood, flux: Float[Array, "n n_pix"], star: Stars) -> _Fit:
    """Compares `flux` with one star, in float32."""
    y, usable, mag, mean = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), star)
    level = levels(like, flux, mean)
    var = variances(like, flux, mag, level)
    weight = _weight(like, flux, usable[None, :] / var, mag, level)
    curves, expand = like.unknowns.curves, like.unknowns.expand
    continuum, over = like.unknowns.continuum, flux * weight.ivar
    dot = partial(jnp.einsum, precision="highest")
    lines, own = (
        weight.along(flux[:, None] * continuum[None]),
        weight.along(jnp.broadcast_to(y, flux.shape)[:, None]),
    )
    gram = dot("nl,jkl->njk", dot("np,lp->nl", over * flux, curves).astype(expand.dtype), expand)
    gram = gram - dot("njl,nkl->njk", lines, lines)
    cross = dot("np,kp->nk", over * y[None], continuum) - dot("nkl,nl->nk", lines, own[:, 0])
    solved = solve(gram, cross, like.unknowns.prior)
    best = solved.best.astype(jnp.float32)
    response = dot("nk,kp->np", best, continuum)
    residual = y[None, :] - response * flux
    left = own[:, 0] - dot("nk,nkl->nl", best, lines)
    reference = 1 / variance(like.reference, mag, like.noise)
    terms = residual**2 * weight.ivar + usable[None, :] * jnp.log(var * reference[None, :])
    total = jnp.sum(terms, axis=1).astype(jnp.float64) - jnp.sum(left.astype(jnp.float64) ** 2, axis=1)
    return _Fit(-0.5 * (total + solved.extra + weight.log_det), residual, weight, response, solved)


def _weight(
    like: Likelihood,
    flux: Float[Array, "n n_pix"],
    ivar: Float[Array, "n n_pix"],
    mag: Float[Array, ""],
    level: Float[Array, " n"],
) -> Weight:
    if like.sky is None:
        return Weight(ivar)
    return make_weight(like.sky, ivar, level[:, None] * like.sky.flux(flux, mag, like.noise))


@jax.jit
def log_likelihood(
    like: Likelihood, unit: Float[Array, "n_star n n_labels"], stars: Stars
) -> Float[Array, "n_star n"]:
    """Returns ln L of every star at its own points, from float32 residuals."""
    n = unit.shape[1]
    together = TOGETHER if n % TOGETHER == 0 else n

    def one(args: tuple[Array, Stars]) -> Float[Array, " n"]:
        unit, star = args
        weights = basis_weights(like, unit)
        blocks = weights.reshape(-1, together, weights.shape[1])
        values: Array = jax.lax.map(lambda some: _fit(like, flux_of(like, some), star).log_likelihood, blocks)
        return values.reshape(-1)

    values: Array = jax.lax.map(one, (unit, stars))
    return values


@jax.jit
def log_likelihood_shared(
    like: Likelihood,
    unit: Float[Array, "m n_labels"],
    stars: Stars,
    mags: Float[Array, " m"] | None = None,
) -> Float[Array, "n_star m"]:
    """Returns ln L of every star at points shared by all, as matrix products over pixels; one magnitude.

    chi2 = sum y^2/V - 2 a . D W y + a . D W D^T a, in float64 because these sums cancel. What is left of the
    sky is approximated: as noise of single pixels, of the same variance; and all stars have one `band_mean`.
    With `mags` every point has the noise of a star of its own magnitude instead of that of the stars.
    """
    y, usable = stars.flux.astype(jnp.float64), stars.usable.astype(jnp.float64)
    if mags is None:
        mags = jnp.broadcast_to(jnp.mean(stars.mag.astype(jnp.float64)), len(unit))
    mean = None if stars.band_mean is None else jnp.mean(stars.band_mean.astype(jnp.float64))
    unknowns = _double(like.unknowns)
    dot = partial(jnp.matmul, precision="highest")

    def block(points: tuple[Array, Array]) -> Float[Array, "n_star b"]:
        flux, mag = spectra(like, points[0]).astype(jnp.float64), points[1]
        level = levels(like, flux, mean)
        var = variances(like, flux, mag, level)
        if like.sky is not None:
            lines = level[:, None] * like.sky.flux(flux, mag[0], _double(like.noise))
            var = var + (like.sky.left * lines) ** 2
        over, power = flux / var, flux**2 / var
        square, log_var = dot(y**2, (1 / var).T), dot(usable, jnp.log(var).T)
        cross = jnp.stack([dot(y * curve[None], over.T) for curve in unknowns.continuum], axis=-1)
        moments = jnp.stack([dot(usable * curve[None], power.T) for curve in unknowns.curves], axis=-1)
        gram = jnp.einsum("sbl,jkl->sbjk", moments, unknowns.expand)
        gram = jnp.broadcast_to(gram, (*cross.shape, cross.shape[-1]))
        solved = solve(gram, cross, unknowns.prior)
        return -0.5 * (chi_squared(square, gram, cross, solved) + log_var + solved.extra)

    size = min(BLOCK, len(unit))
    blocks = jax.lax.map(block, (unit.reshape(-1, size, unit.shape[1]), mags.reshape(-1, size)))
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
        jac = fit.continuum[:, None, :] * rows[:, 1:]
        score = fit.weight.inner(jac, fit.residual[:, None])[:, :, 0]
        n_free = fit.solved.scale.shape[1]
        free = like.unknowns.continuum[len(like.unknowns.continuum) - n_free :]
        shared = fit.weight.inner(rows[:, :1] * free[None], jac).astype(jnp.float64)
        shared = fit.solved.whiten(shared)
        fisher = fit.weight.inner(jac, jac).astype(jnp.float64)
        fisher = fisher - jnp.einsum("nka,nkb->nab", shared, shared, precision="highest")
        return Newton(fit.log_likelihood, score, fisher)

    parts = jax.lax.map(one, (unit, stars))
    found: Newton = jax.tree.map(lambda x: x.astype(jnp.float64), parts)
    return found
