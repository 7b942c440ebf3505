"""The linear filters that are optimal for a label near a star's true labels, and how others resemble them.

Near the true labels the noisy flux is y = mu + J dl + n, n ~ N(0, V). Of all unbiased estimates linear in y

    dl = F^-1 J^T V^-1 (y - mu),   F = J^T V^-1 J

has the least variance: one filter for each label, the others marginalised. With a Gaussian prior of precision
P it is (F + P)^-1 J^T V^-1, the gradient of the posterior mean. Noise of sigma_p in pixel p gives an estimate
with the filter w the variance sum_p (w_p sigma_p)^2, so filters are compared in units of sigma: the cosine of
(w sigma) and (v sigma) is the correlation of what noise does to the two estimates.
Source: Kay 1993, Fundamentals of Statistical Signal Processing I, sections 4.5 and 10.6.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import rankdata

from crlb import ForwardModel, fisher_information, flux_jacobian
from crlb.fisher.matrix import fisher_covariance
from experiments.study.stars import Stars
from specvit_jax import Simulator
from specvit_jax.evaluation.limits import in_float64
from specvit_jax.network.standardise import InputScaler

AT_ONCE = 16  # stars whose Jacobians are computed together


class Filters(NamedTuple):
    """Of every star and label: label units per sigma of each pixel."""

    unbiased: Float[np.ndarray, "n n_labels n_pix"]  # other labels unknown
    prior: Float[np.ndarray, "n n_labels n_pix"]  # labels unknown but for the spread of the box
    known: Float[np.ndarray, "n n_labels n_pix"]  # other labels known
    change: Float[np.ndarray, "n n_labels n_pix"]  # of the flux with each label, sigma per label unit
    error: Float[np.ndarray, "n n_pix"]  # sigma, in units of flux


def filters(simulator: Simulator, stars: Stars) -> Filters:
    """The optimal filters at the true labels of some stars; Jacobians and Fisher matrices in float64."""
    low, high = simulator.emulator.low, simulator.emulator.high
    with jax.enable_x64(True):
        model = in_float64(simulator)
        precision = jnp.asarray(np.diag(12 / (high - low) ** 2))  # of a uniform distribution of that width
        labels, mag = (np.asarray(values, np.float64) for values in (stars.labels, stars.mag))
        found = _filters(model, precision, labels, mag)
        return Filters(*(np.asarray(values, np.float32) for values in found))


@jax.jit
def _filters(model: ForwardModel, precision: Array, labels: Array, mag: Array) -> tuple[Array, ...]:
    def of_star(star: tuple[Array, Array]) -> tuple[Array, ...]:
        labels, mag = star
        error = jnp.sqrt(model.variance(labels, mag))
        change = flux_jacobian(model.flux, labels) / error[:, None]
        return *optimal(change, precision), change.T, error

    return jax.lax.map(of_star, (labels, mag), batch_size=AT_ONCE)


def optimal(
    change: Float[Array, "n_pix n_labels"], precision: Float[Array, "n_labels n_labels"]
) -> tuple[Array, Array, Array]:
    """The filters `unbiased`, `prior`, `known` of one star, from its Jacobian in units of sigma."""
    fisher = fisher_information(change, jnp.ones(len(change)))
    unbiased, prior = (
        jnp.matmul(fisher_covariance(matrix), change.T, precision="highest")
        for matrix in (fisher, fisher + precision)
    )
    return unbiased, prior, change.T / jnp.diagonal(fisher)[:, None]


def cosine(a: Float[np.ndarray, "n n_pix"], b: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, " n"]:
    """Of two filters in units of sigma: the correlation of what noise does to their estimates."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def reach(
    scaler: InputScaler, error: Float[np.ndarray, "n n_pix"], wanted: Float[np.ndarray, "n n_pix"]
) -> Float[np.ndarray, " n"]:
    """The largest cosine with `wanted` that any network behind this whitening can have; 1 without whitening.

    Its gradients are combinations of the components the scaler keeps: the cosine with the nearest of those.
    """
    if scaler.analysis is None:
        return np.ones(len(error))
    components = np.asarray(scaler.analysis, np.float64) / np.asarray(scaler.scale, np.float64)[:, None]
    found = []
    for sigma, target in zip(error, wanted, strict=True):
        basis = np.linalg.qr(components * sigma[:, None])[0]
        found.append(np.linalg.norm(basis.T @ target) / np.linalg.norm(target))
    return np.array(found)


def shares(values: Float[np.ndarray, "*n n_pix"], pixels: np.ndarray) -> Float[np.ndarray, "*n n_patches"]:
    """The part of sum(values^2) in every patch, relative to all patches; `pixels` (n_patches, patch_size)."""
    power = (values.astype(np.float64) ** 2)[..., pixels].sum(axis=-1)
    return power / power.sum(axis=-1, keepdims=True)


def rank_correlation(
    a: Float[np.ndarray, "n n_patches"], b: Float[np.ndarray, "n n_patches"]
) -> Float[np.ndarray, " n"]:
    """Spearman's coefficient over the patches of every star."""
    return _spearman(rankdata(a, axis=1), rankdata(b, axis=1))


def by_chance(
    a: Float[np.ndarray, "n n_patches"], b: Float[np.ndarray, "n n_patches"]
) -> Float[np.ndarray, " n_shifts"]:
    """Mean of `rank_correlation` with one of the two moved round by 1, 2, ... patches.

    Neighbouring patches resemble each other; moving all of them together keeps that and breaks the relation.
    """
    a, b = rankdata(a, axis=1), rankdata(b, axis=1)
    return np.array([_spearman(a, np.roll(b, k, axis=1)).mean() for k in range(1, a.shape[1])])


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
