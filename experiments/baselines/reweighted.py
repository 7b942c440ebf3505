"""Labels and continuum by iteratively reweighted least squares: all nodes compared, then optimised from some.

    m = c(wave; b) mu(labels),     V = V(m, mag) of `crlb.observation.noise`,     J = dm/d(labels, b)
    J^T (y - m) / V = 0,           F = J^T J / V
    c = 1 + sum_k>=1 b_k P_k(x) (flux scale known)   or   sum_k>=0 b_k P_k(x) (free),   x = -1..1 over the arm

V follows the model from step to step but is not differentiated. That equation holds exactly for a spectrum
without noise, and on average for any noise level, also one the noise model gets wrong; its estimate reaches
F^-1, the bound without the trace term. The alternatives: the gradient of chi^2 with V differentiated prefers
models that are noisier; that of the exact likelihood, with ln V, takes what the size of the residuals tells
about the labels (0.3 % of the error of log g at magnitude 22.5, less at others) and pays with labels that
are wrong as soon as the residuals are smaller or larger than the noise model says.

At the nodes, b is the exact linear least-squares solution under the noise of one reference spectrum. Then
labels and b move together: with the model linear in b, eliminating b from the joint step is Kaufman's
variable projection. Spectra in float32; sums that are compared, and steps, in float64.
Source: Wedderburn 1974, Biometrika 61, 439 (quasi-likelihood); Kaufman 1975, BIT 15, 49.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial.legendre import legvander

from crlb import fisher_information
from crlb.bayes.likelihood import Likelihood, Newton
from crlb.bayes.model_spectra import spectra, spectra_and_slopes
from crlb.bayes.optimise import FIRST_DAMPING, accept, damped_step, in_batches
from crlb.observation.noise import variance

Amplitude = Literal["known", "free"]

BLOCK = 64  # optimisations moved together: one shape to compile, 4 MB per row of the Jacobian
NODES = 512  # nodes compared together: 8 MB per array of 4096 pixels
MAX_STEPS = 60
ENOUGH = 1e-4  # expected fall of chi^2 below which an optimisation is at its end: 0.01 sigma away
ROUNDING = 0.005  # of chi^2 at SNR 100, from spectra in float32: within it the score alone leads on
FLOOR = 1e-3  # added to the labels' Fisher diagonal in unit coordinates: a step exists without information


class Continuum(NamedTuple):
    """c = fixed + b @ curves: what multiplies the emulator's spectrum."""

    fixed: Float[Array | np.ndarray, ""]
    curves: Float[Array | np.ndarray, "k n_pix"]


class Place(NamedTuple):
    """Optimisations under way: vectors [unit labels, b], y - m and 1/V there, chi^2, score, Fisher matrix."""

    x: Float[Array | np.ndarray, "n d"]
    residual: Float[Array | np.ndarray, "n n_pix"]
    ivar: Float[Array | np.ndarray, "n n_pix"]
    newton: Newton


class Paths(NamedTuple):
    """Paths under way: where they are, damping, and the gain that was expected of the last step."""

    place: Place
    damping: Float[Array | np.ndarray, " n"]
    gain: Float[Array | np.ndarray, " n"]


def make_continuum(wave: Float[np.ndarray, " n_pix"], amplitude: Amplitude, order: int) -> Continuum:
    """The continuum of Legendre polynomials up to `order`; the constant one is among them if free."""
    middle, half = np.mean(wave[[0, -1]]), np.ptp(wave) / 2
    curves = legvander((np.asarray(wave, np.float64) - middle) / half, order).T
    first = 1 if amplitude == "known" else 0
    return Continuum(np.asarray(first, np.float32), curves[first:].astype(np.float32))


@jax.jit
def evaluate(
    like: Likelihood,
    continuum: Continuum,
    x: Float[Array, "n d"],
    flux: Float[Array, "n n_pix"],
    mag: Float[Array, " n"],
) -> Place:
    """Every star compared with the model at its own vector."""
    n_labels = len(like.prior.label_names)

    def one(x: Array, rows: Array, y: Array, mag: Array) -> Place:
        shape = _shape(continuum, x[n_labels:])
        mean, jac = shape * rows[0], jnp.concatenate([shape[None] * rows[1:], continuum.curves * rows[:1]])
        ivar = 1 / variance(mean, mag, like.noise)
        residual = y - mean
        score = jnp.matmul(jac, residual * ivar, precision="highest").astype(jnp.float64)
        fisher = fisher_information(jac.T, ivar).astype(jnp.float64)
        return Place(x, residual, ivar, Newton(-0.5 * chi_squared(residual, ivar), score, fisher))

    return jax.vmap(one)(x, spectra_and_slopes(like, x[:, :n_labels]), flux, mag)


def chi_squared(
    residual: Float[Array | np.ndarray, "*n n_pix"], ivar: Float[Array | np.ndarray, "*n n_pix"]
) -> Float[Array, "*n"]:
    """sum residual^2 / V of every spectrum, added up in float64."""
    return jnp.sum(jnp.asarray(residual**2 * ivar, jnp.float64), axis=-1)


def _shape(continuum: Continuum, b: Float[Array, " k"]) -> Float[Array, " n_pix"]:
    return jnp.asarray(continuum.fixed) + jnp.matmul(
        b.astype(jnp.float32), continuum.curves, precision="highest"
    )


@jax.jit
def compare(
    like: Likelihood,
    continuum: Continuum,
    unit: Float[Array, "m n_labels"],
    flux: Float[Array, "n n_pix"],
    mag: Float[Array, " n"],
) -> tuple[Float[Array, "n m"], Float[Array, "n m k"]]:
    """chi^2 of every star at points shared by all, and the coefficients b that make it smallest there.

    One variance per star, that of the middle of the box, so that all of it is products of matrices; m must
    be a multiple of `NODES`.
    """
    ivar = 1 / jax.vmap(lambda mag: variance(like.reference, mag, like.noise))(mag)
    fixed = jnp.full((1, flux.shape[1]), continuum.fixed)
    curves = jnp.concatenate([fixed, continuum.curves])
    total = jnp.sum(flux**2 * ivar, axis=1)

    def block(unit: Float[Array, "b n_labels"]) -> tuple[Array, Array]:
        mu = spectra(like, unit)
        dot = lambda a, b: jnp.matmul(a, b.T, precision="highest").astype(jnp.float64)  # noqa: E731
        cross = jnp.stack([dot(flux * ivar, mu * curve[None]) for curve in curves], axis=-1)
        gram = [[dot(ivar, mu**2 * (a * b)[None]) for a in curves] for b in curves]
        return _least_squares(cross, jnp.stack([jnp.stack(row, axis=-1) for row in gram], axis=-1))

    gain, b = jax.lax.map(block, unit.reshape(-1, NODES, unit.shape[1]))
    shape = (len(flux), len(unit))
    b = jnp.moveaxis(b, 0, 1).reshape(*shape, len(continuum.curves))
    return total[:, None] + jnp.moveaxis(gain, 0, 1).reshape(shape), b


def _least_squares(
    cross: Float[Array, "n m k_plus_1"], gram: Float[Array, "n m k_plus_1 k_plus_1"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m k"]]:
    """chi^2 less that of no model, at its minimum over b; entry 0 is the part of coefficient 1."""
    fixed = gram[..., 0, 0] - 2 * cross[..., 0]
    if cross.shape[-1] == 1:
        return fixed, cross[..., 1:]
    side = cross[..., 1:] - gram[..., 0, 1:]
    b = jnp.linalg.solve(gram[..., 1:, 1:], side[..., None])[..., 0]
    return fixed - jnp.sum(side * b, axis=-1), b


def optimise(
    like: Likelihood,
    continuum: Continuum,
    x: Float[np.ndarray, "n d"],
    flux: Float[np.ndarray, "n n_pix"],
    mag: Float[np.ndarray, " n"],
) -> Place:
    """Where optimisations from every row of x end, each for the star of that row.

    Those at their end are left alone while others go on, so the answer does not depend on the company.
    """
    begin = lambda a: evaluate(like, continuum, *a)  # noqa: E731
    move = lambda a: _move(like, continuum, *a)  # noqa: E731
    place, n = in_batches(begin, (x, flux, mag), BLOCK), len(x)
    paths = Paths(place, np.full(n, FIRST_DAMPING), np.full(n, np.inf))
    for _ in range(MAX_STEPS):
        active = np.flatnonzero(paths.gain > ENOUGH)
        if not len(active):
            break
        part = jax.tree.map(lambda a: a[active], (paths, flux, mag))  # noqa: B023
        moved = in_batches(move, part, BLOCK)
        jax.tree.map(lambda a, b: a.__setitem__(active, b), paths, moved)  # noqa: B023
    return paths.place


@jax.jit
def _move(like: Likelihood, continuum: Continuum, paths: Paths, flux: Array, mag: Array) -> Paths:
    """One step of every optimisation, taken if it lowers chi^2 under the variance of where it came from."""
    old, damping, _ = paths
    is_label = jnp.arange(old.x.shape[1])[None] < len(like.prior.label_names)
    low, high = jnp.where(is_label, 0.0, -jnp.inf), jnp.where(is_label, 1.0, jnp.inf)
    floor = jnp.where(is_label, FLOOR, 0.0)
    tried, gain = damped_step(old.x, old.newton, damping, low, high, floor)
    new = evaluate(like, continuum, tried, flux, mag)
    better = chi_squared(new.residual, old.ivar) < chi_squared(old.residual, old.ivar) + ROUNDING
    place, damping = accept(better, old, new, damping)
    return Paths(place, damping, gain)
