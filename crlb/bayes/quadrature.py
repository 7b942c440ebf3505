"""Expectations over a prior by Gauss quadrature."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import roots_jacobi

from crlb.bayes.prior import Prior
from crlb.errors import UsageError


class Rule(NamedTuple):
    """E[f] ~ sum_q weights_q f(labels_q); unit = (labels - low)/(high - low)."""

    labels: Float[np.ndarray, "n n_labels"]
    unit: Float[np.ndarray, "n n_labels"]
    weights: Float[np.ndarray, " n"]


def tensor_rule(prior: Prior, order: int) -> Rule:
    """Gauss-Jacobi rule of `order` points per label, exact for polynomials of degree 2 order - 1 in each.

    Gauss-Legendre where the prior is uniform. Weights sum to one; no point lies on an edge.

    Raises:
        UsageError: a label has a normal prior.
    """
    if prior.normal:
        raise UsageError(
            f"prior: bounds need uniform or Beta distributions, found a normal one of "
            f"{', '.join(prior.normal)}; the exact limit (--bayes) holds for it too"
        )
    rules = [roots_jacobi(order, b - 1, a - 1) for a, b in zip(prior.a, prior.b, strict=True)]
    unit = np.stack(np.meshgrid(*[(1 + x) / 2 for x, _ in rules], indexing="ij"), axis=-1)
    weights = np.stack(np.meshgrid(*[w / w.sum() for _, w in rules], indexing="ij"), axis=-1).prod(-1)
    unit = unit.reshape(-1, len(rules))
    low, width = low_and_width(prior)
    return Rule(low[None, :] + width[None, :] * unit, unit, weights.reshape(-1))


def low_and_width(prior: Prior) -> tuple[Float[np.ndarray, " n_labels"], Float[np.ndarray, " n_labels"]]:
    """Lower edge and length of every label's interval."""
    low = np.asarray(prior.low, float)
    return low, np.asarray(prior.high, float) - low
