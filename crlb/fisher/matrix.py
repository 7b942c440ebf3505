"""The information a spectrum holds about its labels, and the Cramer-Rao bound that follows from it.

For pixels with independent Gaussian noise of variance V_p(labels) and mean flux mu_p(labels),

    F_ab = sum_p  dmu_p/da dmu_p/db / V_p  +  1/2 dV_p/da dV_p/db / V_p^2

and for correlated noise of covariance C, dmu_a^T C^-1 dmu_b + 1/2 tr(C^-1 dC_a C^-1 dC_b).
Source: Tegmark, Taylor & Heavens 1997, ApJ 480, 22, eq. 15. No pseudo-inverse, no floor, no jitter: what
cannot be known from the spectrum raises (concrete input) or is NaN (under jit, vmap, grad).
Operations on Fisher matrices stand in `fisher_algebra`, banded covariances in `fisher_banded`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import DataError, UsageError
from crlb.suggest import meant

# A label is unidentifiable when the part of its information that no other label shares, 1 - R^2, is below
# this many units of rounding: there, rounding of the Fisher matrix itself decides its bound.
ROUNDING_UNITS = 1e3
INDEFINITE = (
    -1e-3
)  # eigenvalue at unit diagonal that no rounding of a sum over pixels can give, in float32 neither


class UnidentifiableError(UsageError):
    """The spectrum does not tell some combination of the labels."""


class Bounds(NamedTuple):
    """1-sigma bounds of many stars in label units, NaN where there are none, and why not ("" where fine)."""

    sigma: Float[np.ndarray, "n n_labels"]
    reason: list[str]


def flux_jacobian(
    flux_fn: Callable[[Float[Array, " n_labels"]], Float[Array, " n_pix"]],
    labels: Float[Array | np.ndarray, " n_labels"],
) -> Float[Array, "n_pix n_labels"]:
    """Returns d flux_p / d label_a at `labels`, exact to rounding (forward-mode derivatives)."""
    jac: Array = jax.jacfwd(flux_fn)(jnp.asarray(labels))
    return jac


def fisher_information(
    jac: Float[Array | np.ndarray, "n_pix n_labels"],
    ivar: Float[Array | np.ndarray, " n_pix"],
    variance_jac: Float[Array | np.ndarray, "n_pix n_labels"] | None = None,
) -> Float[Array, "n_labels n_labels"]:
    """Returns the Fisher matrix of one spectrum, in 1/(unit of a * unit of b).

    Args:
        jac: derivative of the flux by the labels.
        ivar: inverse variance of every pixel, 1/flux^2; 0 = unusable pixel.
        variance_jac: derivative of the variance by the labels, flux^2 per label; None leaves out the
            information in the noise level itself (the trace term).
    """
    weighted = jnp.asarray(jac) * jnp.sqrt(jnp.asarray(ivar))[:, None]
    fisher = jnp.matmul(weighted.T, weighted, precision="highest")
    if variance_jac is None:
        return fisher
    relative = jnp.asarray(variance_jac) * jnp.asarray(ivar)[:, None]
    return fisher + 0.5 * jnp.matmul(relative.T, relative, precision="highest")


def cramer_rao_bound(
    fisher: Float[Array | np.ndarray, "n_labels n_labels"],
    prior_sigma: Float[Array | np.ndarray, " n_labels"] | Sequence[float] | None = None,
    fixed: Sequence[int | str] = (),
    label_names: Sequence[str] | None = None,
) -> Float[Array, " n_labels"]:
    """Returns the 1-sigma bound of every label with all others unknown: sqrt(diag(F^-1)), 0 where fixed.

    It binds unbiased estimators only: one that uses a prior can do better.

    Args:
        fisher: Fisher matrix.
        prior_sigma: 1-sigma of independent Gaussian priors, in label units, inf for none; each adds
            1/sigma^2 to the diagonal.
        fixed: labels known exactly, by index, or by name when `label_names` are given.
        label_names: names of the labels, used in `fixed` and in messages.

    Raises:
        UnidentifiableError: a free combination of labels leaves the spectrum unchanged; it is named. Under
            jit, vmap or grad all bounds are NaN instead.
        UsageError: `fixed` names an unknown label, or a prior is not positive.
        DataError: the matrix is not square, not finite, or has negative eigenvalues.
    """
    check_square(fisher)
    names = _names(len(fisher), label_names)
    free = _free(names, fixed)
    information = jnp.asarray(fisher)
    if prior_sigma is not None:
        information = information + jnp.diag(_prior_information(prior_sigma, information.dtype))
    if not free.size:
        return jnp.zeros(len(names), information.dtype)
    information = information[np.ix_(free, free)]
    unshared = _unshared(information, [names[i] for i in free])
    bound = 1 / jnp.sqrt(unshared * jnp.diagonal(information))
    return jnp.zeros(len(names), bound.dtype).at[free].set(bound)


def bounds(
    fishers: Float[Array | np.ndarray, "n n_labels n_labels"],
    label_names: Sequence[str] | None = None,
    prior_sigma: Float[Array | np.ndarray, " n_labels"] | Sequence[float] | None = None,
    fixed: Sequence[int | str] = (),
) -> Bounds:
    """Returns `cramer_rao_bound` of every star of a batch, whatever the batch holds.

    Args:
        fishers: one Fisher matrix per star.
        label_names: as in `cramer_rao_bound`, like the other arguments; the prior is the same for all stars.

    Returns:
        Bounds; a star whose labels cannot be told apart, or whose matrix is not finite, has NaN for all its
        labels (0 for fixed ones) and the words that `cramer_rao_bound` would have raised.

    Raises:
        UsageError: an argument is wrong for the whole batch.
    """
    names = _names(fishers.shape[-1], label_names)
    information = jnp.asarray(fishers)
    free = _free(names, fixed)
    if prior_sigma is not None:
        information = information + jnp.diag(_prior_information(prior_sigma, information.dtype))[None]
    sigma = np.array(_batch_bounds(information, tuple(free.tolist())))
    lost = np.isnan(sigma).any(axis=1)
    matrices = np.asarray(information, np.float64)[:, free[:, None], free[None, :]]
    free_names = [names[i] for i in free]
    reason = [str(_why(matrix, free_names)) if no else "" for matrix, no in zip(matrices, lost, strict=True)]
    return Bounds(sigma, reason)


@partial(jax.jit, static_argnames="free")
def _batch_bounds(
    information: Float[Array, "n n_labels n_labels"], free: tuple[int, ...]
) -> Float[Array, "n n_labels"]:
    fixed = [i for i in range(information.shape[-1]) if i not in free]
    return jax.vmap(lambda matrix: cramer_rao_bound(matrix, fixed=fixed))(information)


def fisher_covariance(
    fisher: Float[Array | np.ndarray, "n_labels n_labels"], label_names: Sequence[str] | None = None
) -> Float[Array, "n_labels n_labels"]:
    """Returns F^-1, the smallest covariance of unbiased estimates, in unit of a * unit of b.

    Raises:
        UnidentifiableError, DataError: as `cramer_rao_bound`; NaN under jit, vmap or grad.
    """
    check_square(fisher)
    names = _names(len(fisher), label_names)
    information = jnp.asarray(fisher)
    scale = jnp.sqrt(jnp.diagonal(information))
    root = _inverse_root(information, names)
    return jnp.matmul(root.T, root, precision="highest") / (scale[:, None] * scale[None, :])


def schur_decay(fisher: Float[Array | np.ndarray, "n_labels n_labels"], index: int) -> Float[Array, ""]:
    """Returns marginal over conditional information of label `index`: 1 / (F_ii (F^-1)_ii), 0 to 1.

    A ratio of variances: what remains of the information when the other labels are unknown.

    Raises:
        UnidentifiableError, DataError: as `cramer_rao_bound`; NaN under jit, vmap or grad.
    """
    check_square(fisher)
    return _unshared(jnp.asarray(fisher), _names(len(fisher), None))[index]


def _unshared(information: Float[Array, "n n"], names: Sequence[str]) -> Float[Array, " n"]:
    """1 - R_i^2 = 1 / (F_ii (F^-1)_ii) of every label: the fraction of its information no other shares."""
    return 1 / jnp.sum(_inverse_root(information, names) ** 2, axis=0)


def _inverse_root(information: Float[Array, "n n"], names: Sequence[str]) -> Float[Array, "n n"]:
    """L^-1 where L L^T is the matrix scaled to unit diagonal, so that no unit matters.

    NaN, or an error that says why, if any label is unidentifiable.
    """
    scale = jnp.sqrt(jnp.diagonal(information))
    factor = jnp.linalg.cholesky(information / (scale[:, None] * scale[None, :]))
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(names), dtype=factor.dtype), lower=True)
    unshared = 1 / jnp.sum(inverse**2, axis=0)
    limit = ROUNDING_UNITS * float(np.finfo(unshared.dtype).eps)
    inverse = jnp.where((unshared > limit).all(), inverse, jnp.nan)
    if not isinstance(inverse, jax.core.Tracer) and bool(jnp.isnan(inverse).any()):
        raise _why(np.asarray(information, np.float64), names)
    return inverse


def check_square(fisher: Float[Array | np.ndarray, "n_labels n_labels"]) -> None:
    """Refuses what has not the shape of a Fisher matrix.

    Raises:
        DataError: the matrix is not square, or of no label.
    """
    if fisher.ndim != 2 or fisher.shape[0] != fisher.shape[1]:
        raise DataError(f"fisher must be a square matrix, found shape {fisher.shape}")
    if not len(fisher):
        raise DataError("fisher needs at least one label, found none")


def indefinite(fisher: Float[np.ndarray, "n_labels n_labels"]) -> DataError | None:
    """Returns the error of a matrix that is no sum over pixels; None where it may be one."""
    diagonal = np.diag(fisher)
    scale = np.sqrt(np.where(diagonal == 0, 1.0, np.abs(diagonal)))
    least = np.linalg.eigvalsh(fisher / scale[:, None] / scale[None, :])[0]
    if least > INDEFINITE:
        return None
    return DataError(
        f"fisher must be positive semidefinite, found eigenvalue {least:.3g} of the matrix scaled to a "
        "diagonal of 1; pass a sum over pixels, in double precision"
    )


def _why(information: np.ndarray, names: Sequence[str]) -> UnidentifiableError | DataError:
    """The error that names what the spectrum cannot tell."""
    if not np.isfinite(information).all():
        return DataError("fisher must be finite, found NaN or infinity; are the labels inside the grid?")
    diagonal = np.diag(information)
    if wrong := indefinite(information):
        return wrong
    if (diagonal <= 0).any():
        dead = ", ".join(name for name, value in zip(names, diagonal, strict=True) if value <= 0)
        return UnidentifiableError(f"the spectrum does not depend on {dead}; fix it or give it a prior")
    scale = np.sqrt(diagonal)
    _, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    step = vectors[:, 0] / scale  # in label units, along which the spectrum does not change
    step /= np.abs(step).max()
    involved = [i for i in range(len(names)) if abs(vectors[i, 0]) > 0.05]
    direction = ", ".join(f"{names[i]} by {step[i]:+.3g}" for i in involved)
    return UnidentifiableError(
        f"labels {', '.join(names[i] for i in involved)} cannot be told apart: the spectrum does not change "
        f"when moving {direction} together; fix one of them or give it a prior"
    )


def _names(n_labels: int, label_names: Sequence[str] | None) -> list[str]:
    if label_names is None:
        return [f"label {i}" for i in range(n_labels)]
    if len(label_names) != n_labels:
        raise UsageError(f"label_names must hold {n_labels} names, found {len(label_names)}")
    return list(label_names)


def _free(names: Sequence[str], fixed: Sequence[int | str]) -> np.ndarray:
    """Indices of the labels that are not fixed."""
    known = {_index(label, names) for label in fixed}
    return np.array([i for i in range(len(names)) if i not in known], dtype=int)


def _index(label: int | str, names: Sequence[str]) -> int:
    if isinstance(label, str) and label in names:
        return names.index(label)
    if not isinstance(label, str) and 0 <= label < len(names):
        return int(label)
    raise UsageError(
        f"fixed must name labels among {', '.join(names)} or give their index, found {label!r}"
        f"{meant(label, names)}"
    )


def _prior_information(
    prior_sigma: Float[Array | np.ndarray, " n"] | Sequence[float], dtype: np.dtype
) -> Float[Array, " n"]:
    sigma = jnp.asarray(prior_sigma, dtype)
    if not isinstance(sigma, jax.core.Tracer) and not bool((sigma > 0).all()):
        raise UsageError(f"prior_sigma must be positive (inf for no prior), found {np.asarray(sigma)}")
    return 1 / sigma**2
