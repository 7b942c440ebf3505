"""How well an unbiased estimator can know a label: R2_max and the bound, per magnitude, over a grid."""

import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.ceilings.result import Ceiling, MagnitudeBin, MedianOnly, Quantiles, QuantilesAndMean
from crlb.errors import DataError, UsageError
from crlb.files.records import Json
from crlb.fisher.field import Mags, difference_field, fisher_field
from crlb.fisher.matrix import bounds, cramer_rao_bound, schur_decay
from crlb.grids.emulator import Emulator
from crlb.observation.forward_model import ForwardModel, double_precision
from crlb.suggest import meant

CHUNK = 16  # nodes whose SNR is computed together
Derivative = Literal["exact", "grid"]

MEANING = (
    "Cramer-Rao bound for unbiased estimators at each node, quantiles over nodes (the median star): "
    "an estimator that uses a prior can do better, and it is not the pooled R2 of a sample"
)
SNR_DEFINITION = "median over usable pixels of flux/error; snr_median is its median over nodes"


class NodeBounds(NamedTuple):
    """Per node and magnitude: 1-sigma bound of the label, its Schur decay, SNR; per node, why it has none."""

    bound: Float[np.ndarray, "n n_mag"]
    schur_decay: Float[np.ndarray, "n n_mag"]
    snr: Float[np.ndarray, "n n_mag"]
    reason: list[str]


@double_precision
def ceiling(
    model: ForwardModel,
    mags: Sequence[float],
    *,
    label: str = "log_g",
    labels: Sequence[str] | None = None,
    variance: float | None = None,
    variance_term: bool = True,
    derivative: Derivative = "exact",
    advance: Callable[[int], None] | None = None,
) -> Ceiling:
    """Returns R2_max = clip(1 - bound^2 / variance, 0, 1) over the nodes of a grid, per magnitude.

    Args:
        model: how a star is seen.
        mags: AB magnitudes in i, one bin each.
        label: the label whose bound is computed.
        labels: which labels are unknown; the others are known exactly. None: all of the emulator's.
        variance: variance of `label` over the stars in question; None: uniform over the grid's range,
            (high - low)^2 / 12.
        variance_term: whether to count the information that the noise level itself holds.
        derivative: `exact`, of the emulator; or `grid`, the published recipe: differences between
            neighbouring nodes, central inside, one-sided at the edges.
        advance: called with the number of nodes just finished.

    Raises:
        UsageError: unknown or repeated label, magnitude or variance out of range.
        UnidentifiableError: at no node can the labels be told apart. A node where they cannot counts as an
            infinite bound, R2_max = 0, and is counted in `lost`.
    """
    emulator = model.emulator
    free = free_labels(emulator, label, labels)
    check_mags(mags)
    _check_variance(variance)
    if variance is None:
        i = emulator.label_names.index(label)
        variance = float((emulator.high[i] - emulator.low[i]) ** 2 / 12)
        if variance == 0:
            raise UsageError(f"{label} has a single value in this grid; give its variance with --variance")
    found = node_bounds(
        model, mags, label=label, labels=free, variance_term=variance_term, derivative=derivative,
        advance=advance,
    )  # fmt: skip
    return Ceiling(
        label=label,
        label_names=free,
        variance=variance,
        grid=emulator.source,
        noise=model.noise.source,
        bins=tuple(summary_of(found, variance, i, float(mag)) for i, mag in enumerate(mags)),
        provenance=provenance(model, variance_term) | {"derivative": derivative},
    )


@double_precision
def node_bounds(
    model: ForwardModel,
    mags: Sequence[float],
    *,
    label: str,
    labels: Sequence[str],
    variance_term: bool = True,
    derivative: Derivative = "exact",
    advance: Callable[[int], None] | None = None,
) -> NodeBounds:
    """Returns bound, Schur decay and SNR at every node of the emulator's grid; arguments as `ceiling`.

    Where the labels cannot be told apart the bound is infinite, its decay 0 and the reason given.

    Raises:
        UnidentifiableError: at no node can they.
    """
    columns = tuple(model.label_names.index(name) for name in labels)
    at_nodes = (
        difference_field if derivative == "grid" else partial(fisher_field, points=model.emulator.nodes)
    )
    fisher = at_nodes(model, mags, columns=columns, variance_term=variance_term, advance=advance)
    return bounds_of(fisher, label, labels, node_snr(model, mags))


def bounds_of(
    fisher: Float[np.ndarray, "n n_mag n_free n_free"],
    label: str,
    labels: Sequence[str],
    snr: Float[np.ndarray, "n n_mag"],
) -> NodeBounds:
    """Returns bound and Schur decay of one label from the Fisher matrices of some stars, with their SNR.

    Args:
        fisher: over the free labels, at every star and magnitude.
        label: one of them.
        labels: their names.
        snr: of every star and magnitude.

    Raises:
        UnidentifiableError: the labels can be told apart at no star.
    """
    target = list(labels).index(label)
    bound, decay = map(np.array, _bounds(jnp.asarray(fisher), target))
    lost = np.isnan(bound)
    if lost.all():
        cramer_rao_bound(fisher[0, 0], label_names=labels)
        raise DataError("no node has a finite bound; does the flux or its variance hold NaN?")
    reasons = [""] * len(bound)
    for node in np.flatnonzero(lost.any(axis=1)):
        reasons[node] = bounds(fisher[node][lost[node]], labels).reason[0]
    bound[lost], decay[lost] = np.inf, 0.0
    return NodeBounds(bound, decay, snr, reasons)


@partial(jax.jit, static_argnames="target")
def _bounds(
    fisher: Float[Array, "n n_mag n_free n_free"], target: int
) -> tuple[Float[Array, "n n_mag"], Float[Array, "n n_mag"]]:
    """1-sigma bound and Schur decay of one label of every matrix; NaN where unidentifiable."""

    def one(matrix: Float[Array, "n_free n_free"]) -> tuple[Array, Array]:
        return cramer_rao_bound(matrix)[target], schur_decay(matrix, target)

    return jax.vmap(jax.vmap(one))(fisher)


def node_snr(
    model: ForwardModel,
    mags: Mags,
    points: Float[np.ndarray, "n n_labels"] | None = None,
) -> Float[np.ndarray, "n n_mag"]:
    """Returns the SNR per pixel of the star at every node, or at other points, and magnitude.

    Args:
        model: how stars are seen.
        mags: AB magnitudes in i: the same for all stars, or a row for each.
        points: labels of the stars; None: the nodes.
    """
    points = model.emulator.nodes if points is None else points
    at = np.broadcast_to(np.asarray(mags), (len(points), np.shape(mags)[-1]))
    return np.asarray(_snr(model, jnp.asarray(at), jnp.asarray(points)))


@jax.jit
def _snr(
    model: ForwardModel, mags: Float[Array, "n n_mag"], nodes: Float[Array, "n n_labels"]
) -> Float[Array, "n n_mag"]:
    def at_node(star: tuple[Array, Array]) -> Float[Array, " n_mag"]:
        node, mags = star
        return jax.vmap(lambda mag: model.snr(node, mag))(mags)

    found: Array = jax.lax.map(at_node, (nodes, mags), batch_size=CHUNK)
    return found


def free_labels(emulator: Emulator, label: str, labels: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the unknown labels in the grid's order.

    Raises:
        UsageError: one is unknown or repeated, or `label` is not among them.
    """
    known = emulator.label_names
    wanted = list(known if labels is None else labels)
    for name in [*wanted, label]:
        if name not in known:
            raise UsageError(f"unknown label {name}: this grid has {', '.join(known)}{meant(name, known)}")
    if len(set(wanted)) != len(wanted):
        raise UsageError(f"labels must differ, found {', '.join(wanted)}")
    if label not in wanted:
        raise UsageError(f"labels must include {label}, whose bound is asked for, found {', '.join(wanted)}")
    return tuple(name for name in known if name in wanted)


def check_mags(mags: Sequence[float]) -> None:
    """Refuses no magnitude, and magnitudes that are not finite.

    Raises:
        UsageError: naming them.
    """
    if not len(mags) or not np.isfinite(mags).all():
        raise UsageError(f"mags must hold at least one finite magnitude, found {list(mags)}")


def _check_variance(variance: float | None) -> None:
    if variance is not None and not (np.isfinite(variance) and variance > 0):
        raise UsageError(
            f"variance must be positive and finite (unit of the label squared), found {variance}"
        )


def summary_of(
    stars: NodeBounds, variance: float, i: int, mag: float, weight: Float[np.ndarray, " n"] | None = None
) -> MagnitudeBin:
    """Returns the summary over nodes or stars at one magnitude.

    Args:
        stars: their bounds.
        variance: of the label, unit^2.
        i: place of the magnitude.
        mag: the magnitude.
        weight: of the stars, of sum one; None: all the same.
    """
    bound, equal = stars.bound[:, i], weight is None or np.ptp(weight) == 0
    own = None if equal else weight
    r2_max = np.clip(1 - bound**2 / variance, 0, 1)
    return MagnitudeBin(
        mag=mag,
        snr_median=_quantiles(stars.snr[:, i], own)[1],
        n=len(bound),
        lost=int(np.isinf(bound).sum()),
        r2_max=QuantilesAndMean(*_quantiles(r2_max, own), mean=float(np.average(r2_max, weights=own))),
        bound=Quantiles(*_quantiles(bound, own)),
        schur_decay=MedianOnly(_quantiles(stars.schur_decay[:, i], own)[1]),
    )


def _quantiles(
    values: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"] | None
) -> tuple[float, float, float]:
    """10, 50 and 90 % over nodes; where some are infinite, taken at a node: between two may be no number."""
    method: Literal["linear", "nearest"] = "linear" if np.isfinite(values).all() else "nearest"
    if weight is None:
        p10, median, p90 = np.percentile(values, [10, 50, 90], method=method).tolist()
    else:
        levels = [10, 50, 90]
        p10, median, p90 = np.percentile(values, levels, weights=weight, method="inverted_cdf").tolist()
    return p10, median, p90


def provenance(model: ForwardModel, variance_term: bool) -> dict[str, Json]:
    """Returns how a ceiling was made: model, date, versions, what the numbers mean."""
    return {
        "meaning": MEANING,
        "snr_definition": SNR_DEFINITION,
        **model.describe(),
        "variance_term": variance_term,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("specvit-jax", "jax", "numpy", "scipy")},
        },
    }
