"""How well an unbiased estimator can know a label: R2_max and the bound, per magnitude, over a grid."""

import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb import noise as noise_module
from crlb.emulator import Emulator
from crlb.errors import DataError, UsageError
from crlb.fisher import ROUNDING_UNITS, cramer_rao_bound, fisher_information, flux_jacobian, schur_decay
from crlb.noise import Exposure, NoiseModel

CHUNK = 16  # nodes computed together: about 100 MB at 4096 pixels, 5 labels, 6 magnitudes in float64

DEFAULT_EXPOSURE = Exposure()

MEANING = (
    "Cramer-Rao bound for unbiased estimators at each node, quantiles over nodes (the median star): "
    "an estimator that uses a prior can do better, and it is not the pooled R2 of a sample"
)
SNR_DEFINITION = "median over usable pixels of flux/error; snr_median is its median over nodes"


class NodeBounds(NamedTuple):
    """Per node and magnitude: 1-sigma bound of the label, its Schur decay, SNR per pixel."""

    bound: Float[Array | np.ndarray, "*batch"]
    schur_decay: Float[Array | np.ndarray, "*batch"]
    snr: Float[Array | np.ndarray, "*batch"]


def ceiling(
    emulator: Emulator,
    noise: NoiseModel,
    mags: Sequence[float],
    *,
    label: str = "log_g",
    labels: Sequence[str] | None = None,
    variance: float | None = None,
    exposure: Exposure = DEFAULT_EXPOSURE,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Returns R2_max = clip(1 - bound^2 / variance, 0, 1) over the nodes of a grid, as plain JSON values.

    Args:
        emulator: flux on the detector's pixels.
        noise: curves of the instrument and sky.
        mags: AB magnitudes in i, one bin each.
        label: the label whose bound is computed.
        labels: which labels are unknown; the others are known exactly. None: all of the emulator's.
        variance: variance of `label` over the stars in question; None: uniform over the grid's range,
            (high - low)^2 / 12.
        exposure: number and length of exposures, seeing.
        variance_term: whether to count what the noise level itself tells about the labels.
        advance: called with the number of nodes just finished.

    Raises:
        UsageError: unknown or repeated label, magnitude or variance out of range.
        DataError: emulator and noise are on different pixels.
        UnidentifiableError: at some node the labels cannot be told apart.
    """
    free = _free_labels(emulator, label, labels)
    _check(emulator, noise, mags, variance)
    if variance is None:
        i = emulator.label_names.index(label)
        variance = float((emulator.high[i] - emulator.low[i]) ** 2 / 12)
        if variance == 0:
            raise UsageError(f"{label} has a single value in this grid; give its variance with --variance")
    bounds = node_bounds(
        emulator, noise, mags, label=label, labels=free, exposure=exposure, variance_term=variance_term,
        advance=advance,
    )  # fmt: skip
    return {
        "label": label,
        "label_names": free,
        "variance": variance,
        "grid": emulator.source,
        "noise": noise.source,
        "bins": [_bin(float(mag), variance, bounds, i) for i, mag in enumerate(mags)],
        "provenance": _provenance(emulator, exposure, variance_term),
    }


def node_bounds(
    emulator: Emulator,
    noise: NoiseModel,
    mags: Sequence[float],
    *,
    label: str,
    labels: Sequence[str],
    exposure: Exposure = DEFAULT_EXPOSURE,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> NodeBounds:
    """Returns bound, Schur decay and SNR at every node of the emulator's grid; arguments as `ceiling`."""
    columns = tuple(emulator.label_names.index(name) for name in labels)
    target = list(labels).index(label)
    nodes = emulator.nodes
    padded = np.concatenate([nodes, np.repeat(nodes[-1:], -len(nodes) % CHUNK, axis=0)])
    parts = []
    for start in range(0, len(nodes), CHUNK):
        part = jnp.asarray(padded[start : start + CHUNK])
        chunk = _chunk_bounds(
            emulator, noise, jnp.asarray(mags), part, columns, target, exposure, variance_term
        )
        parts.append(jax.tree.map(np.asarray, chunk))
        if advance is not None:
            advance(min(CHUNK, len(nodes) - start))
    bounds = NodeBounds(*(np.concatenate(field)[: len(nodes)] for field in zip(*parts, strict=True)))
    _check_identifiable(bounds, emulator, noise, mags, labels, columns, exposure)
    return bounds


@partial(jax.jit, static_argnames=("columns", "target", "exposure", "variance_term"))
def _chunk_bounds(
    emulator: Emulator,
    noise: NoiseModel,
    mags: Float[Array, "n_mag"],
    nodes: Float[Array, "n n_labels"],
    columns: tuple[int, ...],
    target: int,
    exposure: Exposure,
    variance_term: bool,
) -> NodeBounds:
    def at_node(node: Float[Array, "n_labels"]) -> NodeBounds:
        flux, jac = emulator(node), _jacobian(emulator, node, columns)

        def at_mag(mag: Float[Array, ""]) -> NodeBounds:
            return NodeBounds(*_bound(flux, jac, mag, noise, exposure, target, variance_term))

        return jax.vmap(at_mag)(mags)

    return jax.vmap(at_node)(nodes)


def _jacobian(
    emulator: Emulator, node: Float[Array | np.ndarray, "n_labels"], columns: tuple[int, ...]
) -> Float[Array, "n_pix n_free"]:
    """Derivatives by the free labels; zero where the whole range of a label moves the flux by rounding only.

    Without this a label without effect would get the information of its rounding errors.
    """
    jac = flux_jacobian(emulator, node)
    change = jnp.abs(jac).max(axis=0) * jnp.asarray(emulator.high - emulator.low, jac.dtype)
    heard = change > ROUNDING_UNITS * jnp.finfo(jac.dtype).eps * jnp.abs(emulator(node)).max()
    jac = jnp.where(heard[None, :] | jnp.isnan(change)[None, :], jac, 0.0)
    return jac[:, np.array(columns)]


def _bound(
    flux: Float[Array, "n_pix"],
    jac: Float[Array, "n_pix n_free"],
    mag: Float[Array, ""],
    noise: NoiseModel,
    exposure: Exposure,
    target: int,
    variance_term: bool,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """1-sigma bound of label `target`, its Schur decay and the SNR of one star at one magnitude."""

    def variance_of(flux: Float[Array, "n_pix"]) -> Float[Array, "n_pix"]:
        return noise_module.variance(flux, mag, noise, exposure)

    variance = variance_of(flux)
    variance_jac = None
    if variance_term:
        push = lambda tangent: jax.jvp(variance_of, (flux,), (tangent,))[1]  # noqa: E731
        variance_jac = jax.vmap(push, in_axes=1, out_axes=1)(jac)
    fisher = fisher_information(jac, 1 / variance, variance_jac)
    return (
        cramer_rao_bound(fisher)[target],
        schur_decay(fisher, target),
        noise_module.snr(flux, jnp.sqrt(variance)),
    )


def _check_identifiable(
    bounds: NodeBounds,
    emulator: Emulator,
    noise: NoiseModel,
    mags: Sequence[float],
    labels: Sequence[str],
    columns: tuple[int, ...],
    exposure: Exposure,
) -> None:
    """Repeats the first star without a bound outside jit, where the reason is raised in words."""
    lost = np.argwhere(~np.isfinite(bounds.bound))
    if not len(lost):
        return
    node, mag = emulator.nodes[lost[0][0]], float(mags[lost[0][1]])
    flux = emulator(node)
    variance = noise_module.variance(flux, mag, noise, exposure)
    fisher = fisher_information(_jacobian(emulator, node, columns), 1 / variance)
    cramer_rao_bound(fisher, label_names=labels)
    raise DataError(f"no finite bound at node {node} and mag {mag}; does the variance there hold NaN?")


def _free_labels(emulator: Emulator, label: str, labels: Sequence[str] | None) -> list[str]:
    """The unknown labels in the grid's order, checked."""
    known = emulator.label_names
    wanted = list(known if labels is None else labels)
    for name in [*wanted, label]:
        if name not in known:
            raise UsageError(f"unknown label {name}: this grid has {', '.join(known)}")
    if len(set(wanted)) != len(wanted):
        raise UsageError(f"labels must differ, found {', '.join(wanted)}")
    if label not in wanted:
        raise UsageError(f"labels must include {label}, whose bound is asked for, found {', '.join(wanted)}")
    return [name for name in known if name in wanted]


def _check(emulator: Emulator, noise: NoiseModel, mags: Sequence[float], variance: float | None) -> None:
    if not len(mags) or not np.isfinite(mags).all():
        raise UsageError(f"mags must hold at least one finite magnitude, found {list(mags)}")
    if variance is not None and not (np.isfinite(variance) and variance > 0):
        raise UsageError(
            f"variance must be positive and finite (unit of the label squared), found {variance}"
        )
    same = emulator.wave.shape == noise.wave.shape and np.allclose(emulator.wave, noise.wave, rtol=1e-7)
    if not same:
        raise DataError(
            "emulator and noise must be on the same pixels: pass the grid through instrument.to_detector; "
            f"found {len(emulator.wave)} pixels {emulator.wave[0]:.2f}-{emulator.wave[-1]:.2f} Å and "
            f"{len(noise.wave)} pixels {noise.wave[0]:.2f}-{noise.wave[-1]:.2f} Å"
        )


def _bin(mag: float, variance: float, bounds: NodeBounds, i: int) -> dict[str, Any]:
    """The summary over nodes at the i-th magnitude."""
    bound = bounds.bound[:, i]
    r2_max = np.clip(1 - bound**2 / variance, 0, 1)
    return {
        "mag": mag,
        "snr_median": float(np.median(bounds.snr[:, i])),
        "n": len(bound),
        "r2_max": {**_quantiles(r2_max), "mean": float(r2_max.mean())},
        "bound": _quantiles(bound),
        "schur_decay": {"median": float(np.median(bounds.schur_decay[:, i]))},
    }


def _quantiles(values: Array | np.ndarray) -> dict[str, float]:
    p10, median, p90 = map(float, np.percentile(values, [10, 50, 90]))
    return {"p10": p10, "median": median, "p90": p90}


def _provenance(emulator: Emulator, exposure: Exposure, variance_term: bool) -> dict[str, Any]:
    return {
        "meaning": MEANING,
        "snr_definition": SNR_DEFINITION,
        "exposure": {
            "exptime_s": exposure.exptime_s,
            "n_exp": exposure.n_exp,
            "seeing_arcsec": exposure.seeing_arcsec,
        },
        "grid_source": emulator.source,
        "resolving_power": emulator.resolving_power,
        "nodes": len(emulator.nodes),
        "variance_term": variance_term,
        "dtype": str(emulator.basis.dtype),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("specvit-jax", "jax", "numpy", "scipy")},
        },
    }
