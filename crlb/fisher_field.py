"""Fisher matrices at many points of label space and several magnitudes at once."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb import noise as noise_module
from crlb.emulator import Emulator
from crlb.fisher import ROUNDING_UNITS
from crlb.noise import Exposure, NoiseModel

CHUNK = 16  # points computed together: their derivatives stay in the cache of a CPU

DEFAULT_EXPOSURE = Exposure()


def fisher_field(
    emulator: Emulator,
    noise: NoiseModel,
    mags: Sequence[float],
    points: Float[np.ndarray, "n n_labels"],
    *,
    columns: tuple[int, ...] | None = None,
    exposure: Exposure = DEFAULT_EXPOSURE,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "n n_mag n_free n_free"]:
    """Returns the Fisher matrix of the free labels at every point and magnitude, 1/(unit_a unit_b).

    Args:
        emulator: flux on the detector's pixels.
        noise: curves of the instrument and sky, on the same pixels.
        mags: AB magnitudes in i.
        points: labels; outside the grid the matrices are NaN.
        columns: indices of the free labels, the others known exactly; None: all are free.
        exposure: number and length of exposures, seeing.
        variance_term: whether to count what the noise level itself tells about the labels.
        advance: called with the number of points just finished.
    """
    columns = tuple(range(len(emulator.label_names))) if columns is None else columns
    padded = np.concatenate([points, np.repeat(points[-1:], -len(points) % CHUNK, axis=0)])
    parts = []
    for start in range(0, len(points), CHUNK):
        part = jnp.asarray(padded[start : start + CHUNK])
        chunk = _chunk(emulator, noise, jnp.asarray(mags), part, columns, exposure, variance_term)
        parts.append(np.asarray(chunk))
        if advance is not None:
            advance(min(CHUNK, len(points) - start))
    return np.concatenate(parts)[: len(points)]


@partial(jax.jit, static_argnames=("columns", "exposure", "variance_term"))
def _chunk(
    emulator: Emulator,
    noise: NoiseModel,
    mags: Float[Array, " n_mag"],
    points: Float[Array, "n n_labels"],
    columns: tuple[int, ...],
    exposure: Exposure,
    variance_term: bool,
) -> Float[Array, "n n_mag n_free n_free"]:
    flux, jac = jax.vmap(partial(flux_and_jacobian, emulator, columns=columns))(points)

    def at_point(inputs: tuple[Array, Array]) -> Float[Array, "n_mag n_free n_free"]:
        flux, jac = inputs
        at_mag = partial(_fisher, flux, jac, noise=noise, exposure=exposure, variance_term=variance_term)
        return jax.vmap(at_mag)(mags)

    return jax.lax.map(at_point, (flux, jac))


def flux_and_jacobian(
    emulator: Emulator, point: Float[Array, " n_labels"], columns: tuple[int, ...]
) -> tuple[Float[Array, " n_pix"], Float[Array, "n_free n_pix"]]:
    """Flux and its derivatives by the free labels, zero where a label's whole range moves flux by rounding.

    Without this a label without effect would get the information of its rounding errors.
    """
    directions = jnp.eye(len(emulator.label_names), dtype=point.dtype)[np.array(columns)]
    flux, push = jax.linearize(emulator, point)
    jac = jax.vmap(push)(directions)
    width = (emulator.high - emulator.low)[np.array(columns)]
    change = jnp.abs(jac).max(axis=1) * jnp.asarray(width, jac.dtype)
    heard = change > ROUNDING_UNITS * jnp.finfo(jac.dtype).eps * jnp.abs(flux).max()
    return flux, jnp.where(heard[:, None] | jnp.isnan(change)[:, None], jac, 0.0)


def _fisher(
    flux: Float[Array, " n_pix"],
    jac: Float[Array, "n_free n_pix"],
    mag: Float[Array, ""],
    *,
    noise: NoiseModel,
    exposure: Exposure,
    variance_term: bool,
) -> Float[Array, "n_free n_free"]:
    """As `fisher.fisher_information`, labels first: both terms in one product over 2 n_pix columns."""
    variance, push = jax.linearize(lambda flux: noise_module.variance(flux, mag, noise, exposure), flux)
    weighted = jac / jnp.sqrt(variance)[None, :]
    if variance_term:
        relative = jax.vmap(push)(jac) * (jnp.sqrt(0.5) / variance)[None, :]
        weighted = jnp.concatenate([weighted, relative], axis=1)
    return jnp.matmul(weighted, weighted.T, precision="highest")
