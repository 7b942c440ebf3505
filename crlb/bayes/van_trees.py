"""Van Trees inequalities: lower bounds on the mean squared error of any estimator under a prior.

Plain:     E[(est - t)^2] >= e^T (E[I] + J)^-1 e             prior density vanishing at its edges
Weighted:  E[(est - t)^2] >= (E[e^T g])^2 / (E[g^T I g] + E[(div(g pi)/pi)^2])            any prior

for every field g(labels) with g pi = 0 at the edges; I is the Fisher matrix, t = e^T labels the target. The
weighted bound is maximised over g = sum_j c_j g_j; the maximum is b^T A^-1 b.

Sources: van Trees 1968; Gill & Levit 1995, Bernoulli 1, 59; Bobrovsky, Mayer-Wolf & Zakai 1987, Ann. Stat.
15, 1421.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Int
from scipy.special import eval_jacobi

from crlb.bayes.prior import Prior
from crlb.bayes.quadrature import Rule, low_and_width
from crlb.errors import DataError, UsageError
from crlb.fisher.matrix import UnidentifiableError, cramer_rao_bound

# A label whose information times its interval squared stays below this everywhere gets no component of g.
LEAST_INFORMATION = 1e-6


class PriorInformationError(UsageError):
    """The prior has no finite information about a label's position, so van Trees does not hold."""


def beta_information(prior: Prior) -> Float[np.ndarray, "n_labels n_labels"]:
    """Information of the prior about its own position, J = E[grad ln pi grad ln pi^T], 1/(unit_i unit_j).

    Diagonal, for Beta(a, b) on an interval of length L

        J = (a + b - 1) (a + b - 2) [1/(a - 2) + 1/(b - 2)] / L^2.

    Raises:
        PriorInformationError: a label with a <= 2 or b <= 2 (uniform: a = b = 1), where J is infinite or the
            density does not vanish at the edges.
    """
    shapes = zip(prior.label_names, np.asarray(prior.a), np.asarray(prior.b), strict=True)
    rough = [f"{name} Beta({a:g}, {b:g})" for name, a, b in shapes if not (a > 2 and b > 2)]
    if rough:
        raise PriorInformationError(
            "prior: van Trees needs Beta(a, b) with a > 2 and b > 2 for every label, found "
            f"{', '.join(rough)} (uniform is Beta(1, 1)); use the weighted van Trees bound, the Ziv-Zakai "
            "bound or the exact limit, which hold for any prior"
        )
    a, b, (_, width) = np.asarray(prior.a), np.asarray(prior.b), low_and_width(prior)
    return np.diag((a + b - 1) * (a + b - 2) * (1 / (a - 2) + 1 / (b - 2)) / width**2)


def van_trees(
    mean_fisher: Float[Array | np.ndarray, "n_labels n_labels"],
    prior_information: Float[Array | np.ndarray, "n_labels n_labels"],
    target: int,
    label_names: Sequence[str] | None = None,
) -> float:
    """Returns e^T (E[I] + J)^-1 e: no estimator of label `target` has a smaller mean squared error, unit^2.

    Args:
        mean_fisher: Fisher matrix averaged over the prior.
        prior_information: J; `beta_information(prior)`, or the inverse covariance of a Gaussian prior.
        target: index of the label.
        label_names: used in messages.

    Raises:
        UnidentifiableError: neither spectrum nor prior constrains some combination of labels.
    """
    total = np.asarray(mean_fisher) + np.asarray(prior_information)
    return float(cramer_rao_bound(total, label_names=label_names)[target]) ** 2


def weighted_van_trees(
    prior: Prior,
    target: int,
    fit: tuple[Rule, Float[np.ndarray, "n n_mag n_labels n_labels"]],
    check: tuple[Rule, Float[np.ndarray, "m n_mag n_labels n_labels"]],
    terms: Int[np.ndarray, "n_terms n_labels"],
) -> Float[np.ndarray, " n_mag"]:
    """Returns the weighted van Trees bound on the mean squared error of label `target`, unit^2.

    The field g is optimised with one quadrature rule and its bound evaluated with another, so that it cannot
    profit from the points between those where it was fitted: any g gives a valid bound.

    Args:
        prior: independent Betas, uniform included.
        target: index of the label.
        fit: rule and Fisher matrices at its points, 1/(unit_a unit_b), for the optimisation.
        check: another rule and its Fisher matrices, for the value.
        terms: polynomial degrees by label, one row per term; see `polynomial_degrees`. The rules need at
            least two points per label more than the highest degree.

    Raises:
        DataError: a Fisher matrix is not finite.
        UnidentifiableError: too little information about some combination of the other labels.
    """
    width = low_and_width(prior)[1]
    fields = [_fields(prior, rule, terms) for rule, _ in (fit, check)]
    divergence = _divergence_products(fields[0], fit[0].weights)
    bounds = []
    for i in range(fit[1].shape[1]):
        information = [_unit_information(f[:, i], width) for _, f in (fit, check)]
        parts = _components(information[0], target)
        field = _best_field(fields[0], fit[0].weights, information[0], parts, divergence)
        bounds.append(_value(fields[1], check[0].weights, information[1], parts, field))
    return np.asarray(np.array(bounds) * width[target] ** 2)


def polynomial_degrees(n_labels: int, each: int, total: int) -> Int[np.ndarray, "n_terms n_labels"]:
    """Degrees of all products of one polynomial per label, up to `each` in a label and `total` in all.

    The constant comes first.
    """
    tensor = np.indices((each + 1,) * n_labels).reshape(n_labels, -1).T
    return np.asarray(tensor[tensor.sum(axis=1) <= total])


class _Fields(NamedTuple):
    """values[d]: component d of g_j, the others zero; divergence[d]: div(g_j pi)/pi; in unit coordinates."""

    values: list[Float[np.ndarray, "n n_terms"]]
    divergence: list[Float[np.ndarray, "n n_terms"]]


def _fields(prior: Prior, rule: Rule, terms: Int[np.ndarray, "n_terms n_labels"]) -> _Fields:
    """The basis, from Jacobi polynomials P_n orthogonal under the prior of each label u in [0, 1].

    Component d is u (1 - u) P_n^(b,a) in its own label times P_m^(b-1,a-1) in each other. Rodrigues:

        [u (1 - u) P_n^(b,a) pi]' / pi = -(n + 1) P_{n+1}^(b-1,a-1).
    """
    degrees = np.arange(terms.max() + 2)[None, :]
    free, own = [], []
    for axis, (a, b) in enumerate(zip(prior.a, prior.b, strict=True)):
        x = 2 * rule.unit[:, axis, None] - 1
        free.append(eval_jacobi(degrees, b - 1, a - 1, x))
        own.append((1 - x**2) / 4 * eval_jacobi(degrees, b, a, x))
    values, divergence = [], []
    for axis, degree in enumerate(terms.T):
        others = np.ones((len(rule.unit), len(terms)))
        for other in range(len(free)):
            others = others if other == axis else others * free[other][:, terms[:, other]]
        values.append(own[axis][:, degree] * others)
        divergence.append(-(degree + 1.0)[None, :] * free[axis][:, degree + 1] * others)
    return _Fields(values, divergence)


def _unit_information(
    fisher: Float[np.ndarray, "n n_labels n_labels"], width: Float[np.ndarray, " n_labels"]
) -> Float[np.ndarray, "n n_labels n_labels"]:
    """Fisher matrices by labels that run from 0 to 1."""
    if not np.isfinite(fisher).all():
        raise DataError("fisher must be finite, found NaN or infinity; is the prior inside the grid?")
    return np.asarray(fisher) * np.outer(width, width)[None]


def _components(information: Float[np.ndarray, "n n_labels n_labels"], target: int) -> list[int]:
    """Target first, then the labels that the spectrum depends on: g without the others is as valid."""
    informed = np.einsum("nii->ni", information).max(axis=0) > LEAST_INFORMATION
    return [target, *(i for i in range(len(informed)) if informed[i] and i != target)]


def _best_field(
    fields: _Fields,
    weights: np.ndarray,
    information: np.ndarray,
    parts: list[int],
    divergence: Float[np.ndarray, "n_labels n_labels n_terms n_terms"],
) -> Float[np.ndarray, "n_parts n_terms"]:
    """A^-1 b, A_ij = E[g_i^T I g_j] + E[div_i div_j], b_i = E[e^T g_i]; Cholesky, scaled to unit diagonal."""
    n_terms = divergence.shape[-1]
    blocks = divergence[np.ix_(parts, parts)]
    for row, i in enumerate(parts):
        for column, j in enumerate(parts[: row + 1]):
            metric = (weights * information[:, i, j])[:, None]
            blocks[row, column] += fields.values[i].T @ (metric * fields.values[j])
            blocks[column, row] = blocks[row, column].T
    matrix = blocks.swapaxes(1, 2).reshape(len(parts) * n_terms, -1)
    linear = np.zeros(len(matrix))
    linear[:n_terms] = weights @ fields.values[parts[0]]
    scale = np.sqrt(np.diag(matrix))
    try:
        factor = scipy.linalg.cho_factor(matrix / np.outer(scale, scale), lower=True)
    except scipy.linalg.LinAlgError as error:
        raise UnidentifiableError(
            "the spectrum holds too little information on some combination of labels for the weighted van "
            "Trees bound; fix one of them or choose a brighter magnitude"
        ) from error
    return np.asarray((scipy.linalg.cho_solve(factor, linear / scale) / scale).reshape(len(parts), -1))


def _divergence_products(
    fields: _Fields, weights: np.ndarray
) -> Float[np.ndarray, "n_labels n_labels n_terms n_terms"]:
    """E[div_i div_j] between all components."""
    weighted = [weights[:, None] * values for values in fields.divergence]
    return np.array([[first.T @ second for second in weighted] for first in fields.divergence])


def _value(
    fields: _Fields, weights: np.ndarray, information: np.ndarray, parts: list[int], field: np.ndarray
) -> float:
    """The bound of one field, for labels that run from 0 to 1."""
    g = np.stack([fields.values[i] @ c for i, c in zip(parts, field, strict=True)], axis=1)
    divergence = sum(fields.divergence[i] @ c for i, c in zip(parts, field, strict=True))
    data = np.einsum("na,nab,nb->n", g, information[:, parts][:, :, parts], g)
    return float((weights @ g[:, 0]) ** 2 / (weights @ (data + divergence**2)))
