"""Log-likelihood of spectra that come with their own errors, from sums over pixels made once per star.

The inverse variance W of such a spectrum does not depend on the labels, and its model is linear in the
weights c(labels) of the emulator's basis B and in the unknowns a: scale, continuum, velocity,

    m = sum_k a_k c E_k,    E_k = B P_k,    E_v = C dB/dv        C: the continuum found before, 1 at first

so chi2 needs no pixel any more once sum y^2 W, E_k W y and E_j W E_k^T are known:

    D W y = c . (E_k W y),    D W D^T = c (E_j W E_k^T) c^T,     then as in `crlb.bayes.linear`.

P_j P_k are sums of polynomials P_l, so the matrices are 2 K + 1 of B W P_l B^T and, with the velocity, K + 2
more. The basis is cut to the directions that the star's noise lets see. All in float64: these sums cancel.
The product of continuum and velocity is of second order, gone at v = 0; `crlb.bayes.observed` goes there.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.bayes.likelihood import Newton
from crlb.bayes.linear import GaussianPrior, Solved, chi_squared, prior_of, products_of_legendre, solve
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.prior import Prior
from crlb.grids.emulator import Emulator
from crlb.observation.conditions import Conditions

# chi2 that a spectrum of any node may lose with the directions cut. They are orthogonal to those kept: ln L
# is off by how much of this changes within a posterior, which is far less.
LOST = 0.1
# Sizes a basis is cut to, else it is kept whole: few, because each is compiled.
RANKS = (64, 96, 128, 192, 256)
NODES = 4096  # of the grid at most on which the cut is checked
BLOCK = 1024  # points computed together: 8 MB per matrix of 128 directions
# Effective templates among the first block below which the other blocks are left out: the star is bright.
LEAST_IN_BLOCK = 16.0


class Pixels(NamedTuple):
    """One star as sums are made of it: usable pixels only, the model's basis there, the polynomials."""

    flux: Float[np.ndarray, " n_pix"]
    ivar: Float[np.ndarray, " n_pix"]
    basis: Float[np.ndarray, "k n_pix"]
    d_rv_kms: Float[np.ndarray, "k n_pix"] | None
    curves: Float[np.ndarray, "n_curves n_pix"]


class Reduced(NamedTuple):
    """The sums of stars (leading axis) that a likelihood needs; `cut` takes weights c to fewer directions.

    `forms` are the matrices B W P_l B^T and, with the velocity, B W P_k E_v^T and E_v W E_v^T.
    """

    cut: Float[np.ndarray, "*n k r"]
    square: Float[np.ndarray, "*n"]
    cross: Float[np.ndarray, "*n q r"]
    forms: Float[np.ndarray, "*n n_forms r r"]


class ReducedLikelihood(NamedTuple):
    """What a likelihood needs besides the sums: emulator without pixels, priors of labels and unknowns.

    `expand` tells which forms, and behind them which transposed ones, make E_j W E_k^T.
    """

    emulator: Emulator
    prior: Prior
    expand: Float[Array, "q q n_forms_twice"]
    unknowns: GaussianPrior

    def at_templates(
        self, unit: Float[np.ndarray, "m n_labels"], stars: Reduced
    ) -> Float[np.ndarray, "n_star m"]:
        """Returns ln L of every star at points shared by all.

        Where hardly any of the first points carries weight, the others would not be enough either: they are
        left out, as -inf.
        """
        weights = _weights(self, jnp.asarray(unit))
        found = np.full((len(stars.square), len(unit)), -np.inf)
        for i in range(len(found)):
            star = Reduced(*(a[i] for a in stars))
            for start in range(0, len(unit), BLOCK):
                some = weights[start : start + BLOCK]
                found[i, start : start + len(some)] = np.asarray(_at_weights(self, some, star))
                if _effective(found[i, :BLOCK]) < LEAST_IN_BLOCK:
                    break
        return found

    def at_points(self, unit: Float[Array, "n_star n n_labels"], stars: Reduced) -> Float[Array, "n_star n"]:
        """Returns ln L of every star at its own points."""
        found: Float[Array, "n_star n"] = _at_points(self, unit, stars)
        return found

    def newton(self, unit: Float[Array, "n_star n n_labels"], stars: Reduced) -> Newton:
        """Returns what a Gauss-Newton step needs at every star's points."""
        found: Newton = _newton(self, unit, stars)
        return found

    def weights(self, unit: Float[Array, "m n_labels"]) -> Float[Array, "m k"]:
        """Returns the weights of the emulator's basis at points."""
        found: Float[Array, "m k"] = _weights(self, unit)
        return found

    def unknowns_at(self, unit: Float[Array, "n_star n n_labels"], stars: Reduced) -> Solved:
        """Returns the unknowns besides the labels, and their covariance, at every star's points."""
        found: Solved = _unknowns_at(self, unit, stars)
        return found


def make_reduced_likelihood(emulator: Emulator, prior: Prior, conditions: Conditions) -> ReducedLikelihood:
    """Returns the likelihood of stars that `reduce` has made sums of, in float64.

    Args:
        emulator: coefficients are all that is used of it.
        prior: of all its labels.
        conditions: what is unknown besides.
    """
    double = partial(jnp.asarray, dtype=jnp.float64)
    empty = Emulator(
        double(emulator.coefficients), jnp.zeros((emulator.basis.shape[0], 0)), jnp.zeros(0), emulator.axes,
        emulator.label_names, emulator.resolving_power, emulator.source, emulator.degree,
    )  # fmt: skip
    expand = double(_expansion(conditions.continuum, conditions.rv_sigma_kms > 0))
    return ReducedLikelihood(empty, jax.tree.map(double, prior), expand, prior_of(conditions))


class Cut(NamedTuple):
    """Fewer directions than the basis has: `weights` (k) @ `down` are r numbers, `up` @ basis their spectra.

    The chi2 that weights lose is |weights @ dropped|^2.
    """

    down: Float[np.ndarray, "k r"]
    up: Float[np.ndarray, "r k"]
    dropped: Float[np.ndarray, "k n_dropped"]


def make_cut(
    basis: Float[np.ndarray, "k n_pix"],
    ivar: Float[np.ndarray, " n_pix"],
    nodes: Float[np.ndarray, "n_nodes k"],
    rank: int | None = None,
    lost: float = LOST,
) -> Cut:
    """Returns the directions that noise lets see, orthogonal under it: what is lost is a sum over the others.

    Args:
        basis: of the emulator, on some pixels.
        ivar: inverse variance of the pixels.
        nodes: coefficients of the emulator between which the spectra in question lie.
        rank: number of directions to keep; None: as many as the spectra need.
        lost: chi2 that a spectrum of any node may lose then.
    """
    nodes = nodes[:: -(-len(nodes) // NODES)]
    size = np.sqrt((nodes**2).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    gram = (basis * ivar) @ basis.T
    power, vectors = np.linalg.eigh(gram * size[:, None] * size[None, :])
    power, vectors = np.maximum(power[::-1], 0.0), vectors[:, ::-1]
    directions = vectors / size[:, None]
    if rank is None:
        seen = (nodes @ directions) ** 2 * power
        left = seen[:, ::-1].cumsum(axis=1)[:, ::-1].max(axis=0)  # in all directions from this one on
        needed = int((left > lost).sum())
        rank = next((r for r in RANKS if needed <= r < len(power)), len(power))
    up = (size[:, None] * vectors[:, :rank]).T
    return Cut(directions[:, :rank], up, directions[:, rank:] * power[rank:] ** 0.5)


def reduce(star: Pixels, cut: Cut) -> Reduced:
    """Returns the sums of one star for a cut of its basis (host)."""
    basis, order = cut.up @ star.basis, len(star.curves) // 2
    rows = star.curves[: order + 1, None, :] * basis[None]
    forms = _products(basis * star.ivar, star.curves, basis)
    if star.d_rv_kms is not None:
        moving = cut.up @ star.d_rv_kms
        crossed = _products(basis * star.ivar, star.curves[: order + 1], moving)
        forms = np.concatenate([forms, crossed, ((moving * star.ivar) @ moving.T)[None]])
        rows = np.concatenate([rows, moving[None]])
    square = np.asarray((star.flux**2 * star.ivar).sum())
    return Reduced(cut.down, square, rows @ (star.flux * star.ivar), forms)


def _products(rows: np.ndarray, curves: np.ndarray, others: np.ndarray) -> np.ndarray:
    """rows P_l others^T for every curve P_l, in one product."""
    table = (curves[:, None, :] * rows[None]).reshape(-1, rows.shape[1]) @ others.T
    found: np.ndarray = table.reshape(len(curves), len(rows), len(others))
    return found


def stacked(stars: list[Reduced]) -> Reduced:
    """Returns stars of one rank as one."""
    return Reduced(*(np.stack(column) for column in zip(*stars, strict=True)))


def _expansion(order: int, velocity: bool) -> np.ndarray:
    """E_jkl with E_j W E_k^T = sum_l E_jkl forms_l, transposed forms behind the plain ones."""
    legendre = products_of_legendre(order)
    q, n = order + 1, legendre.shape[2]
    if not velocity:
        return np.concatenate([legendre, np.zeros_like(legendre)], axis=2)
    total = n + q + 1
    table = np.zeros((q + 1, q + 1, 2 * total))
    table[:q, :q, :n] = legendre
    for k in range(q):
        table[k, q, n + k] = table[q, k, total + n + k] = 1.0
    table[q, q, n + q] = 1.0
    return table


def _effective(log_like: Float[np.ndarray, " n"]) -> float:
    """Effective number of points; NaN where one has no likelihood."""
    weight = np.exp(log_like - log_like.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


@jax.jit
def _weights(like: ReducedLikelihood, unit: Float[Array, "m n_labels"]) -> Float[Array, "m k"]:
    """Weights of the basis at many points of the box, its edges included."""
    edges = [jnp.asarray(x)[None, :] for x in (like.emulator.low, like.emulator.high)]
    found: Array = jax.lax.map(like.emulator.weights, jnp.clip(labels_of(like.prior, unit), *edges))
    return found


class _Sums(NamedTuple):
    """Sums over pixels for weights of some points."""

    gram: Float[Array, "m q q"]
    cross: Float[Array, "m q"]
    solved: Solved
    log_likelihood: Float[Array, " m"]


def _sums(like: ReducedLikelihood, weights: Float[Array, "m r"], star: Reduced) -> _Sums:
    dot = partial(jnp.einsum, precision="highest")
    half = len(star.forms)
    moments = jnp.stack([jnp.sum(dot("mr,rs->ms", weights, form) * weights, axis=1) for form in star.forms])
    gram = dot("lm,jkl->mjk", moments, like.expand[:, :, :half] + like.expand[:, :, half:])
    cross = dot("mr,qr->mq", weights, star.cross)
    solved = solve(gram, cross, like.unknowns)
    value = -0.5 * (chi_squared(jnp.full(len(weights), star.square), gram, cross, solved) + solved.extra)
    return _Sums(gram, cross, solved, value)


@jax.jit
def _at_weights(like: ReducedLikelihood, weights: Array, star: Reduced) -> Array:
    """ln L of one star at many weights of the whole basis."""
    cut = jnp.matmul(weights, star.cut, precision="highest")
    return _sums(like, cut, star).log_likelihood


@jax.jit
def _at_points(like: ReducedLikelihood, unit: Array, stars: Reduced) -> Array:
    def one(args: tuple[Array, Reduced]) -> Array:
        unit, star = args
        weights = jnp.matmul(_weights(like, unit), star.cut, precision="highest")
        return _sums(like, weights, star).log_likelihood

    found: Array = jax.lax.map(one, (unit, stars))
    return found


@jax.jit
def _unknowns_at(like: ReducedLikelihood, unit: Array, stars: Reduced) -> Solved:
    def one(args: tuple[Array, Reduced]) -> Solved:
        unit, star = args
        return _sums(like, jnp.matmul(_weights(like, unit), star.cut, precision="highest"), star).solved

    found: Solved = jax.lax.map(one, (unit, stars))
    return found


@jax.jit
def _newton(like: ReducedLikelihood, unit: Array, stars: Reduced) -> Newton:
    """With e_i = E_i W m and dc the derivative of c: score dc . a_i (E_i W y - e_i), Fisher matrix alike."""
    width = jnp.asarray(like.prior.high - like.prior.low)
    edges = [jnp.asarray(x) for x in (like.emulator.low, like.emulator.high)]
    known = like.expand.shape[0] - len(like.unknowns.mean)
    dot = partial(jnp.einsum, precision="highest")

    def one(unit: Array, star: Reduced) -> Newton:
        rows = like.emulator.tangent(jnp.clip(labels_of(like.prior, unit), *edges))
        rows = jnp.matmul(rows, star.cut, precision="highest")
        c, slope = rows[0], rows[1:] * width[:, None]
        sums = _sums(like, c[None], star)
        a = sums.solved.best[0]
        both = jnp.concatenate([star.forms, jnp.swapaxes(star.forms, 1, 2)])
        pairs = dot("jkl,lr->jkr", like.expand, dot("lrs,s->lr", both, c))
        score = dot("dr,r->d", slope, dot("j,jr->r", a, star.cross - dot("k,jkr->jr", a, pairs)))
        shared = dot("j,jkr,dr->kd", a, pairs, slope)[known:]
        whole = dot("jkl,j,k,lrs->rs", like.expand, a, a, both)
        shared = Solved(*(x[0] for x in sums.solved)).whiten(shared)
        fisher = dot("dr,rs,es->de", slope, whole, slope) - dot("kd,ke->de", shared, shared)
        return Newton(sums.log_likelihood[0], score, fisher)

    def each(args: tuple[Array, Reduced]) -> Newton:
        unit, star = args
        return jax.vmap(lambda point: one(point, star))(unit)

    found: Newton = jax.lax.map(each, (unit, stars))
    return found
