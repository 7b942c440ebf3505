"""Toy stars of one or two labels: Fisher matrices, distances, the error of the best estimate."""

import numpy as np

from crlb.bayes.prior import Prior, make_prior
from crlb.bayes.quadrature import tensor_rule
from crlb.bayes.van_trees import polynomial_degrees, weighted_van_trees

MAGS = (15.0, 18.0, 22.0)

# One label: two pixels, a point on a circle. d^2 = sum of squared flux differences over sigma^2.
TURNS = 2 * np.pi * 0.9


def box(*edges: tuple[float, float], shapes=None) -> Prior:
    names = [f"label {i}" for i in range(len(edges))]
    low, high = np.array(edges, float).T
    return make_prior(low, high, names, {n: s for n, s in zip(names, shapes or (), strict=False)})


def weighted(prior: Prior, fisher, orders: tuple[int, int], each: int) -> np.ndarray:
    """Weighted van Trees of label 0 for a function labels (n, d) -> Fisher matrices (n, n_mag, d, d)."""
    rules = [tensor_rule(prior, order) for order in orders]
    degrees = polynomial_degrees(len(prior.label_names), each, 99)
    return weighted_van_trees(prior, 0, *((rule, fisher(rule.labels)) for rule in rules), degrees)


def circle(t: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(TURNS * t), np.sin(TURNS * t)], axis=-1)


def circle_fisher(sigmas) -> callable:
    return lambda labels: np.broadcast_to(
        (TURNS / np.asarray(sigmas))[None, :, None, None] ** 2, (len(labels), len(sigmas), 1, 1)
    )


def euclidean(flux, sigmas) -> callable:
    return lambda a, b: np.linalg.norm(flux(a) - flux(b), axis=-1)[:, None] / np.asarray(sigmas)[None, :]


def brute_force_mmse(flux, labels, weights, target, sigma) -> float:
    """E[Var(target | y)] for two pixels of equal noise, every y on a fine grid."""
    mean = flux(labels)
    edges = [np.arange(m.min() - 5 * sigma, m.max() + 5 * sigma, 0.4 * sigma) for m in mean.T]
    y = np.stack(np.meshgrid(*edges, indexing="ij"), -1).reshape(-1, 2)
    total = 0.0
    for part in np.array_split(y, len(y) // 1000 + 1):
        square = ((part[:, None, :] - mean[None]) ** 2).sum(-1)
        joint = weights * np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)
        evidence = np.maximum(joint.sum(1), 1e-300)
        expected = joint @ target / evidence
        total += (joint @ target**2 - evidence * expected**2).sum()
    return float(total * (0.4 * sigma) ** 2)


def constant(values) -> callable:
    values = np.asarray(values, float)
    return lambda labels: np.broadcast_to(values[None], (len(labels), *values.shape))


def bent_fisher(strengths) -> callable:
    """Fisher matrices of two correlated labels in [0, 1] that change over the box."""

    def fisher(labels: np.ndarray) -> np.ndarray:
        u, v = labels.T
        matrix = np.array([[1 + u**2, 0.7 * (1 - u * v)], [0.7 * (1 - u * v), 1.2 - 0.5 * v]])
        return matrix.transpose(2, 0, 1)[:, None] * np.asarray(strengths)[None, :, None, None]

    return fisher


def bent(labels: np.ndarray) -> np.ndarray:
    """Two pixels of two labels in [0, 1]."""
    u, v = labels[..., 0], labels[..., 1]
    return np.stack([u + 0.8 * v + 0.3 * u**2, 0.5 * u + 1.2 * v - 0.4 * u * v], -1)


def bent_flux_fisher(sigmas) -> callable:
    def fisher(labels: np.ndarray) -> np.ndarray:
        u, v = labels.T
        jac = np.stack([[1 + 0.6 * u, 0.5 - 0.4 * v], [0.8 + 0 * u, 1.2 - 0.4 * u]]).transpose(2, 0, 1)
        return (jac @ jac.transpose(0, 2, 1))[:, None] / np.asarray(sigmas)[None, :, None, None] ** 2

    return fisher


def stars(emulator, n: int, seed: int = 3) -> np.ndarray:
    unit = np.random.default_rng(seed).random((n, len(emulator.label_names)))
    return emulator.low + (emulator.high - emulator.low) * unit
