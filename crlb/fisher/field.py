"""Fisher matrices at many points of label space and several magnitudes at once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from crlb.errors import UsageError
from crlb.fisher.matrix import ROUNDING_UNITS
from crlb.grids.emulator import Emulator

CHUNK = 16  # points computed together: their derivatives stay in the cache of a CPU
Mags = Sequence[float] | Float[np.ndarray, "*point n_mag"]
Local = Callable[[slice], Array]


@runtime_checkable
class SeenStars(Protocol):
    """What is needed of a forward model (`crlb.observation.forward_model`): a pytree of pure functions."""

    @property
    def emulator(self) -> Emulator:
        """Flux on all pixels."""

    @property
    def usable(self) -> Float[Array, " n_pix"]:
        """1 for pixels in use, 0 for the others."""

    def arm_variance(self, flux: Float[Array, " n_pix"], mag: Float[Array, ""]) -> Float[Array, " n_pix"]:
        """Noise variance of all pixels under a noiseless flux."""


def fisher_field(
    model: SeenStars,
    mags: Mags,
    points: Float[np.ndarray, "n n_labels"],
    *,
    columns: tuple[int, ...] | None = None,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "n n_mag n_free n_free"]:
    """Returns the Fisher matrix of the free labels at every point and magnitude, 1/(unit_a unit_b).

    Args:
        model: how a star is seen.
        mags: AB magnitudes in i: the same for all points, or a row for each.
        points: labels; outside the grid the matrices are NaN.
        columns: indices of the free labels, the others known exactly; None: all are free.
        variance_term: whether to count the information that the noise level itself holds.
        advance: called with the number of points just finished.
    """
    columns = tuple(range(len(model.emulator.label_names))) if columns is None else columns

    def local(chunk: slice) -> Array:
        rows: Array = _tangents(model.emulator, jnp.asarray(points[chunk]), columns)
        return rows

    at = np.broadcast_to(np.asarray(mags), (len(points), np.shape(mags)[-1]))
    return _in_chunks(partial(_chunk, model, columns, variance_term), at, local, advance)


def difference_field(
    model: SeenStars,
    mags: Sequence[float],
    *,
    columns: tuple[int, ...] | None = None,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "n n_mag n_free n_free"]:
    """Returns the Fisher matrices at the nodes with derivatives from the neighbouring nodes.

    Central differences inside, one-sided at the edges of an axis, as in the published study; of second order
    where the spacing varies. Arguments as `fisher_field`.

    Raises:
        UsageError: a free label has a single node.
    """
    emulator = model.emulator
    columns = tuple(range(len(emulator.label_names))) if columns is None else columns
    short = [emulator.label_names[i] for i in columns if len(emulator.axes[i]) < 2]
    if short:
        raise UsageError(f"derivatives on the grid need two nodes per label; {', '.join(short)} has one")
    weights = np.asarray(jax.jit(lambda nodes: lax.map(emulator.weights, nodes))(jnp.asarray(emulator.nodes)))
    tensor = weights.reshape(*map(len, emulator.axes), -1)
    slopes = [np.gradient(tensor, emulator.axes[i], axis=i).reshape(weights.shape) for i in columns]

    def local(chunk: slice) -> Array:
        return jnp.asarray(np.stack([weights[chunk], *(slope[chunk] for slope in slopes)], axis=1))

    at = np.broadcast_to(np.asarray(mags), (len(weights), len(mags)))
    return _in_chunks(partial(_chunk, model, columns, variance_term), at, local, advance)


def _in_chunks(
    fishers: Callable[[Array, Array], Array],
    mags: Float[np.ndarray, "n n_mag"],
    local: Local,
    advance: Callable[[int], None] | None,
) -> Float[np.ndarray, "n n_mag n_free n_free"]:
    """Fisher matrices of n points; `local` gives weights of the basis and their slopes, piece by piece."""
    n, parts = len(mags), []
    for start in range(0, n, CHUNK):
        chunk = slice(max(min(start, n - CHUNK), 0), start + CHUNK)  # the last one overlaps: one compilation
        found = fishers(jnp.asarray(mags[chunk]), local(chunk))
        parts.append(np.asarray(found)[start - chunk.start :])
        if advance is not None:
            advance(len(parts[-1]))
    return np.concatenate(parts)


@partial(jax.jit, static_argnames="columns")
def _tangents(
    emulator: Emulator, points: Float[Array, "n n_labels"], columns: tuple[int, ...]
) -> Float[Array, "n n_free_plus_1 k"]:
    """Weights of the emulator's basis at points, and their derivatives by the free labels."""
    rows = np.array([0, *(1 + i for i in columns)])
    found: Array = lax.map(lambda point: emulator.tangent(point)[rows], points)
    return found


@partial(jax.jit, static_argnums=(1, 2))
def _chunk(
    model: SeenStars,
    columns: tuple[int, ...],
    variance_term: bool,
    mags: Float[Array, "n n_mag"],
    rows: Float[Array, "n n_free_plus_1 k"],
) -> Float[Array, "n n_mag n_free n_free"]:
    emulator = model.emulator
    spectra = jnp.matmul(rows.reshape(-1, rows.shape[-1]), emulator.basis, precision="highest")
    spectra = spectra.reshape(*rows.shape[:2], -1)
    width = jnp.asarray((emulator.high - emulator.low)[np.array(columns)], spectra.dtype)

    def at_point(star: tuple[Array, Array]) -> Float[Array, "n_mag n_free n_free"]:
        spectra, mags = star
        flux, jac = spectra[0], _above_rounding(spectra[0], spectra[1:], width)
        at_mag = partial(_fisher, model, flux, jac, variance_term=variance_term)
        return jax.vmap(at_mag)(mags)

    found: Array = lax.map(at_point, (spectra, mags))
    return found


def _above_rounding(
    flux: Float[Array, " n_pix"], jac: Float[Array, "n_free n_pix"], width: Float[Array, " n_free"]
) -> Float[Array, "n_free n_pix"]:
    """Derivatives, zero where the whole range of a label moves the flux by rounding only.

    Without this a label without effect would get the information of its rounding errors.
    """
    change = jnp.abs(jac).max(axis=1) * width
    real = change > ROUNDING_UNITS * float(np.finfo(jac.dtype).eps) * jnp.abs(flux).max()
    return jnp.where(real[:, None] | jnp.isnan(change)[:, None], jac, 0.0)


def _fisher(
    model: SeenStars,
    flux: Float[Array, " n_pix"],
    jac: Float[Array, "n_free n_pix"],
    mag: Float[Array, ""],
    *,
    variance_term: bool,
) -> Float[Array, "n_free n_free"]:
    """The Fisher matrix of one star: both terms in one product over 2 n_pix columns."""
    variance, push = jax.linearize(lambda flux: model.arm_variance(flux, mag), flux)
    weighted = jac * (model.usable / jnp.sqrt(variance))[None, :]
    if variance_term:
        relative = jax.vmap(push)(jac) * (model.usable * jnp.sqrt(0.5) / variance)[None, :]
        weighted = jnp.concatenate([weighted, relative], axis=1)
    return jnp.matmul(weighted, weighted.T, precision="highest")
