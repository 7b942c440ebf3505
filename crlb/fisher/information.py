"""Where in the spectrum the information about one label sits.

With the others known, pixel p holds (dmu_p/dg)^2 / V_p. With the others unknown, the part of the derivative
that they could imitate is first taken out (the efficient score),

    s = dmu/dg - N a,   a = argmin sum_p (dmu_p/dg - (N a)_p)^2 / V_p,   information_p = s_p^2 / V_p,

with the derivatives N by the other labels and nuisances; its sum over pixels is 1/bound^2 exactly.
Source: van der Vaart 1998, Asymptotic Statistics, section 25.4; Sandford et al. 2020, ApJS 249, 24.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from crlb.detector import cell_edges
from crlb.errors import UsageError
from crlb.files.records import Record
from crlb.fisher.features import Nearby, features_near
from crlb.fisher.matrix import bounds, cramer_rao_bound, fisher_information, flux_jacobian
from crlb.fisher.windows import Spans, least_apart, spans, sums_over, wide_spans
from crlb.suggest import meant

CHUNK = 16  # nodes computed together


class WindowBounds(NamedTuple):
    """1-sigma bounds on the label from every window alone, in its unit: others known, and others unknown.

    The first is inf where the window does not depend on the label, the second NaN where it cannot tell the
    labels apart; `reason` says why at the bluest such window ("": there is none).
    """

    at: Spans
    conditional: Float[np.ndarray, " n_windows"]
    marginal: Float[np.ndarray, " n_windows"]
    reason: str


class PixelInformation(NamedTuple):
    """Information about the label in every pixel, 1/unit^2: others known, and others unknown."""

    conditional: Float[Array | np.ndarray, " n_pix"]
    marginal: Float[Array | np.ndarray, " n_pix"]


@dataclass(frozen=True)
class Window(Record):
    """A stretch of spectrum, its information (1/unit^2), its share of the whole, and what lies in it."""

    low: float  # vacuum Å
    high: float
    information: float
    share: float
    features: tuple[Nearby, ...]


def pixel_information(
    jac: Float[Array | np.ndarray, "n_pix n_labels"],
    ivar: Float[Array | np.ndarray, " n_pix"],
    label: int | str,
    *,
    label_names: Sequence[str] | None = None,
    fixed: Sequence[int | str] = (),
) -> PixelInformation:
    """Returns the information about one label in every pixel of one spectrum.

    Args:
        jac: derivative of the flux by labels and nuisances.
        ivar: inverse variance of every pixel, 1/flux^2; 0 = unusable pixel.
        label: which label, by index, or by name when `label_names` are given.
        label_names: names of the columns of `jac`.
        fixed: labels known exactly, likewise.

    Raises:
        UnidentifiableError: as `cramer_rao_bound`; NaN under jit or vmap.
        UsageError: an unknown label, or `label` is itself fixed.
    """
    names = list(label_names) if label_names is not None else [f"label {i}" for i in range(jac.shape[1])]
    target = _position(names, label)
    bound = cramer_rao_bound(fisher_information(jac, ivar), fixed=fixed, label_names=names)
    known = {_position(names, other) for other in fixed}
    if target in known:
        raise UsageError(f"label: {names[target]} is fixed, so nothing is asked of the spectrum about it")
    others = np.array([i for i in range(len(names)) if i != target and i not in known], dtype=int)
    white = jnp.asarray(jac) * jnp.sqrt(jnp.asarray(ivar))[:, None]
    own, rest = white[:, target], white[:, others]
    if not others.size:
        return PixelInformation(own**2, own**2)
    orthonormal = jnp.linalg.qr(rest / jnp.linalg.norm(rest, axis=0)[None, :])[0]
    score = own - _project(orthonormal, own)
    score = score - _project(orthonormal, score)  # once more: the first leaves rounding of `own` behind
    score = jnp.where(jnp.asarray(ivar) > 0, score, 0.0)  # not the rounding of the projection
    return PixelInformation(own**2, jnp.where(jnp.isnan(bound[target]), jnp.nan, score**2))


def mean_information(
    flux_fn: Callable[[Float[Array, " n_labels"]], Float[Array, " n_pix"]],
    variance_of: Callable[[Float[Array, " n_pix"]], Float[Array, " n_pix"]],
    vectors: Float[Array | np.ndarray, "n n_labels"],
    label: str,
    *,
    label_names: Sequence[str],
    fixed: Sequence[str] = (),
    advance: Callable[[int], None] | None = None,
) -> PixelInformation:
    """Returns the information in every pixel, mean over stars; stars without a bound make it NaN.

    Args:
        flux_fn: an Emulator or a NuisanceModel (any pytree that is called with one vector).
        variance_of: flux -> variance of its pixels; hashable, or a jax.tree_util.Partial.
        vectors: one row per star, what `flux_fn` takes.
        label: which label.
        label_names: names of the entries of a vector.
        fixed: those known exactly.
        advance: called with the number of stars just finished.
    """
    names, known = tuple(label_names), tuple(fixed)
    variances = variance_of if isinstance(variance_of, Partial) else Partial(variance_of)
    total = None
    for start in range(0, len(vectors), CHUNK):
        part = jnp.asarray(vectors[start : start + CHUNK])
        found = _summed(flux_fn, variances, part, label, names, known)
        total = found if total is None else jax.tree.map(jnp.add, total, found)
        if advance is not None:
            advance(len(part))
    if total is None:
        raise UsageError("vectors: needed at least one star, found none")
    return PixelInformation(*(np.asarray(x) / len(vectors) for x in total))


@partial(jax.jit, static_argnames=("label", "label_names", "fixed"))
def _summed(
    flux_fn: Callable[[Array], Array],
    variance_of: Partial,
    vectors: Float[Array, "n n_labels"],
    label: str,
    label_names: tuple[str, ...],
    fixed: tuple[str, ...],
) -> PixelInformation:
    def at_star(vector: Float[Array, " n_labels"]) -> PixelInformation:
        ivar = 1 / variance_of(flux_fn(vector))
        jac = flux_jacobian(flux_fn, vector)
        return pixel_information(jac, ivar, label, label_names=label_names, fixed=fixed)

    total: PixelInformation = jax.tree.map(lambda x: x.sum(axis=0), jax.vmap(at_star)(vectors))
    return total


def per_angstrom(
    information: Float[Array | np.ndarray, " n_pix"], wave: Float[Array | np.ndarray, " n_pix"]
) -> Float[np.ndarray, " n_pix"]:
    """Returns information per Å, 1/(unit^2 Å), from that per pixel; `wave` holds pixel centres in Å."""
    return np.asarray(information) / np.diff(cell_edges(np.asarray(wave)))


def cumulative_share(information: Float[Array | np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    """Returns the share of the information in this pixel and all bluer ones, up to 1."""
    total = np.cumsum(np.asarray(information))
    return np.asarray(total / total[-1])


def ranked_windows(
    wave: Float[Array | np.ndarray, " n_pix"],
    information: Float[Array | np.ndarray, " n_pix"],
    *,
    width: float = 10.0,
    n: int = 10,
) -> list[Window]:
    """Returns windows that do not overlap, the most informative first: each the best that is left.

    Args:
        wave: pixel centres, vacuum Å, increasing.
        information: per pixel, 1/unit^2.
        width: of a window, Å, rounded down to whole pixels (at least one); none spans a gap between pixels.
        n: how many windows, at most.

    Raises:
        UsageError: a width that is not positive or exceeds the spectrum.
    """
    at = spans(np.asarray(wave, np.float64), width)
    values = np.asarray(information, np.float64)
    gain, whole = sums_over(values, at), values.sum()
    return [
        Window(
            float(at.low[best]), float(at.high[best]), float(gain[best]), float(gain[best] / whole),
            features_near(at.low[best], at.high[best]),
        )
        for best in least_apart(-gain, at, n)
    ]  # fmt: skip


def window_bounds(
    jac: Float[Array | np.ndarray, "n_pix n_labels"],
    ivar: Float[Array | np.ndarray, " n_pix"],
    wave: Float[Array | np.ndarray, " n_pix"],
    label: int | str,
    *,
    width: float,
    label_names: Sequence[str] | None = None,
) -> WindowBounds:
    """Returns the bounds on one label from every window of a width alone, in float64.

    F_window = sum over its pixels; conditional 1/sqrt(F_ii), marginal sqrt((F^-1)_ii). Other than in the
    shares of `ranked_windows`, where the whole spectrum tells the other labels, here the window must.

    Args:
        jac: derivative of the flux by labels and nuisances.
        ivar: inverse variance of every pixel, 1/flux^2; 0 = unusable pixel.
        wave: pixel centres, vacuum Å, in any order, of one arm or of several.
        label: which label, by index, or by name when `label_names` are given.
        width: of a window, Å, rounded down to whole pixels.
        label_names: names of the columns of `jac`.

    Raises:
        UsageError: an unknown label; a width that holds less than two pixels, or is wider than what the
            pixels cover without a gap.
    """
    names = list(label_names) if label_names is not None else [f"label {i}" for i in range(jac.shape[1])]
    target, order = _position(names, label), np.argsort(np.asarray(wave), kind="stable")
    at = wide_spans(np.asarray(wave, np.float64)[order], width)
    white = (np.asarray(jac, np.float64) * np.sqrt(np.asarray(ivar, np.float64))[:, None])[order]
    fishers = sums_over(white[:, :, None] * white[:, None, :], at)
    with np.errstate(divide="ignore"), jax.enable_x64(True):
        conditional = 1 / np.sqrt(fishers[:, target, target])
        found = bounds(fishers, names)
    reason = next((words for words in found.reason if words), "")
    return WindowBounds(at, conditional, found.sigma[:, target], reason)


def _project(orthonormal: Float[Array, "n_pix m"], vector: Float[Array, " n_pix"]) -> Float[Array, " n_pix"]:
    inside = jnp.matmul(orthonormal.T, vector, precision="highest")
    return jnp.matmul(orthonormal, inside, precision="highest")


def _position(names: Sequence[str], label: int | str) -> int:
    if isinstance(label, str) and label in names:
        return list(names).index(label)
    if not isinstance(label, str) and 0 <= label < len(names):
        return label
    raise UsageError(
        f"label must be one of {', '.join(names)} or its index, found {label!r}{meant(label, names)}"
    )
