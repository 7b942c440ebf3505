"""Ziv-Zakai bound: the mean squared error of any estimator is that of many choices between two labels.

    E[(est - t)^2] >= 1/2 int_0^L h Vf{ max_delta P(h, delta) } dh
    P(h, delta) = int [pi(x) Q(d/2 + l/d) + pi(x + delta) Q(d/2 - l/d)] dx

with e^T delta = h, d(x, delta) the distance of the two spectra in sigma, l = ln(pi(x)/pi(x + delta)), Q the
upper tail of the normal distribution and Vf the running maximum from the right. Any continuous prior; unlike
local bounds it accounts for confusion with distant labels. It bounds every estimator where both stars of each
pair have the same noise: then Q is the error of the best choice, exactly. Where the noise depends on the star
(`spectral_distance`), Q is the central-limit approximation for many pixels, and so is the bound.

Sources: Ziv & Zakai 1969, IEEE Trans. IT 15, 386; Bell et al. 1997, IEEE Trans. IT 43, 624.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtr, xlog1py, xlogy

from crlb.bayes.prior import Prior
from crlb.bayes.quadrature import Rule, low_and_width
from crlb.errors import DataError
from crlb.observation.forward_model import ForwardModel

STEPS = 20  # target displacements h, Gauss points of the cube root of h/L: dense where h is small
SCALES = (0.5, 1.0)  # of the nuisance displacement that hides most of the target's change
CHUNK = 64  # pairs computed together

Distance = Callable[
    [Float[np.ndarray, "n n_labels"], Float[np.ndarray, "n n_labels"]], Float[np.ndarray, "n n_mag"]
]


def ziv_zakai(
    distance: Distance,
    prior: Prior,
    target: int,
    directions: Float[np.ndarray, "n_directions n_labels"],
    rule: Rule,
    steps: int = STEPS,
) -> Float[np.ndarray, " n_mag"]:
    """Returns the Ziv-Zakai bound on the mean squared error of label `target`, unit^2, per magnitude.

    Args:
        distance: sigmas between the spectra of two stars, for rows of labels, at every magnitude.
        prior: independent Betas, uniform included.
        target: index of the label.
        directions: displacements delta/h to try at every h, in label units per unit of the target; any set
            gives a valid bound. See `nuisance_directions`.
        rule: quadrature over the prior; its points are shrunk to where the displaced prior overlaps it.
        steps: number of target displacements h.

    Raises:
        DataError: a distance is not finite.
    """
    x, weight = np.polynomial.legendre.leggauss(steps)
    x, weight = (1 + x) / 2, weight / 2
    length = low_and_width(prior)[1][target]
    error = np.stack([_most_confused(distance, prior, length * s**3 * directions, rule) for s in x])
    filled = np.maximum.accumulate(error[::-1], axis=0)[::-1]
    return np.asarray(0.5 * (weight * length**2 * x**3 * 3 * x**2) @ filled)


def nuisance_directions(
    fisher: Float[np.ndarray, "n n_labels n_labels"], target: int, scales: Sequence[float] = SCALES
) -> Float[np.ndarray, "n_directions n_labels"]:
    """Displacements per unit of the target: it alone, and along the degeneracies of given Fisher matrices.

    The others move by -s F_nn^-1 F_nt, which for s = 1 hides most of the target's change.
    """
    n_labels = fisher.shape[-1]
    others = [i for i in range(n_labels) if i != target]
    alone = np.eye(n_labels)[target]
    if not others:
        return np.asarray(alone[None, :])
    found = [alone]
    for matrix in fisher:
        scale = np.sqrt(np.diag(matrix)[others])
        if not (scale > 0).all():
            continue
        correlation = matrix[np.ix_(others, others)] / np.outer(scale, scale)
        hidden = -np.linalg.solve(correlation, matrix[others, target] / scale) / scale
        for s in scales:
            direction = alone.copy()
            direction[others] = s * hidden
            found.append(direction)
    return np.stack(found)


def spectral_distance(
    model: ForwardModel,
    mags: Sequence[float],
    *,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Distance:
    """Returns the function that gives the distance of two stars' spectra in sigma, at every magnitude.

    From the Bhattacharyya coefficient BC of the two Gaussians with pixel means m and variances v:

        d^2 = -8 ln BC = sum_p 2 (m1 - m2)^2/(v1 + v2) + 2 ln[(v1 + v2)^2/(4 v1 v2)]

    For equal noise d = ||m1 - m2||/sigma and the best choice between the two errs with probability Q(d/2),
    exactly; where the noise depends on the star that is the central-limit approximation for many pixels.

    Args:
        model: how a star is seen.
        mags: AB magnitudes in i.
        variance_term: whether to count the information in the noise level itself (the logarithm).
        advance: called with the number of pairs just finished.
    """

    def distance(
        first: Float[np.ndarray, "n n_labels"], second: Float[np.ndarray, "n n_labels"]
    ) -> Float[np.ndarray, "n n_mag"]:
        parts = []
        for start in range(0, len(first), CHUNK):
            both = np.stack([first[start : start + CHUNK], second[start : start + CHUNK]])
            short = CHUNK - both.shape[1]
            both = np.concatenate([both, np.repeat(both[:, -1:], short, axis=1)], axis=1)
            squared = _squared_distance(model, jnp.asarray(mags), jnp.asarray(both), variance_term)
            parts.append(np.sqrt(np.asarray(squared)[: CHUNK - short]))
            if advance is not None:
                advance(CHUNK - short)
        return np.concatenate(parts)

    return distance


def _most_confused(
    distance: Distance, prior: Prior, displacements: Float[np.ndarray, "n_directions n_labels"], rule: Rule
) -> Float[np.ndarray, " n_mag"]:
    """max over displacements of the integral of the error probability, which is zero without overlap."""
    low, width = low_and_width(prior)
    shifts = displacements / width[None, :]
    shifts = shifts[(np.abs(shifts) < 1).all(axis=1)]
    pairs = [_pairs(prior, shift, rule) for shift in shifts]
    first, second = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    d = distance(*(low[None, :] + width[None, :] * unit for unit in (first, second)))
    if not np.isfinite(d).all():
        raise DataError("distance must be finite, found NaN or infinity; is the prior inside the grid?")
    d = d.reshape(len(pairs), len(rule.weights), -1)
    return np.asarray(np.max([_confusion(d[i], *pair[2:]) for i, pair in enumerate(pairs)], axis=0))


def _pairs(prior: Prior, shift: Float[np.ndarray, " n_labels"], rule: Rule) -> tuple[np.ndarray, ...]:
    """x and x + shift in [0, 1], and the probabilities pi(x) dx and pi(x + shift) dx.

    The rule's points fill the overlap: x = max(0, -shift) + (1 - |shift|) s, where s follows the prior q(s);
    pi/q is one for a uniform prior, and its smaller value is bounded for any Beta.
    """
    room = 1 - np.abs(shift)
    first = np.maximum(0.0, -shift)[None, :] + room[None, :] * rule.unit
    second = np.clip(first + shift[None, :], 0.0, 1.0)  # the sum may round to just outside
    log_q = _log_density(prior, rule.unit) - np.log(room).sum()
    before, after = (rule.weights * np.exp(_log_density(prior, x) - log_q) for x in (first, second))
    return first, second, before, after


def _log_density(prior: Prior, unit: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, " n"]:
    """Log density of the prior at `unit` in [0, 1], up to a constant."""
    a, b = (np.asarray(x)[None, :] for x in (prior.a, prior.b))
    return np.asarray((xlogy(a - 1, unit) + xlog1py(b - 1, -unit)).sum(axis=1))


def _confusion(
    d: Float[np.ndarray, "pairs n_mag"],
    before: Float[np.ndarray, " pairs"],
    after: Float[np.ndarray, " pairs"],
) -> Float[np.ndarray, " n_mag"]:
    """Sum of before Q(d/2 + l/d) + after Q(d/2 - l/d), l = ln(before/after); at d = 0 of the smaller."""
    d = np.maximum(d, 1e-12)
    tilt = (np.log(before) - np.log(after))[:, None] / d
    errors = before[:, None] * ndtr(-d / 2 - tilt) + after[:, None] * ndtr(-d / 2 + tilt)
    return np.asarray(errors.sum(axis=0))


@partial(jax.jit, static_argnames="variance_term")
def _squared_distance(
    model: ForwardModel,
    mags: Float[Array, " n_mag"],
    labels: Float[Array, "2 n n_labels"],
    variance_term: bool,
) -> Float[Array, "n n_mag"]:
    flux = jax.vmap(model.emulator)(labels.reshape(-1, labels.shape[-1])).reshape(2, labels.shape[1], -1)

    def of_pair(pair: Float[Array, "2 n_pix"]) -> Float[Array, " n_mag"]:
        def at_mag(mag: Float[Array, ""]) -> Float[Array, ""]:
            v1, v2 = (model.arm_variance(flux, mag) for flux in pair)
            apart = 2 * model.usable * (pair[0] - pair[1]) ** 2 / (v1 + v2)
            if variance_term:
                return jnp.sum(apart) + 2 * _log_of_product(1 + model.usable * (v1 - v2) ** 2 / (4 * v1 * v2))
            return jnp.sum(apart)

        return jax.vmap(at_mag)(mags)

    squared: Array = jax.lax.map(of_pair, jnp.swapaxes(flux, 0, 1))
    return squared


def _log_of_product(factors: Float[Array, " n_pix"]) -> Float[Array, ""]:
    """Sum of logarithms, sixteen factors near one at a time: logarithms would take most of the time."""
    padded = jnp.concatenate([factors, jnp.ones(-len(factors) % 16, factors.dtype)])
    return jnp.sum(jnp.log(jnp.prod(padded.reshape(16, -1), axis=0)))
