"""Model spectra at many points of the prior's box at once, in float32, and their slopes.

flux = w(labels) . C @ basis, with w the products of the emulator's B-splines. Two ways to the weights of the
basis, the same numbers: w of all nodes, zero for most, in one matrix product; or the few coefficients around
each point, read where they lie. Per point and core the first takes 3 us for 1260 nodes (three labels), 440
for 20,160 (five), 1200 for 69,300; the second, with five labels, about 30.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from crlb.bayes.prior import Prior
from crlb.grids.emulator import Emulator

INNER_AXES = 2  # that are contracted last: a row of 4^2 coefficients is long enough to be read at full speed
DENSE_NODES = 4096  # of the grid: up to this number all of them together cost less


@runtime_checkable
class Model(Protocol):
    """What makes spectra: an emulator in float32 and the prior whose box unit coordinates refer to."""

    @property
    def emulator(self) -> Emulator:
        """The emulator."""

    @property
    def prior(self) -> Prior:
        """The prior, in float64."""


class Single(NamedTuple):
    """An emulator and a prior, nothing else."""

    emulator: Emulator
    prior: Prior


def labels_of(prior: Prior, unit: Float[Array, "*n n_labels"]) -> Float[Array, "*n n_labels"]:
    """Returns labels in their units at unit coordinates 0 to 1."""
    row = (None,) * (unit.ndim - 1)
    return jnp.asarray(prior.low)[row] + jnp.asarray(prior.high - prior.low)[row] * unit


def spectra(model: Model, unit: Float[Array, "n n_labels"]) -> Float[Array, "n n_pix"]:
    """Returns the model flux at many points."""
    return flux_of(model, basis_weights(model, unit))


def spectra_and_slopes(
    model: Model, unit: Float[Array, "n n_labels"]
) -> Float[Array, "n n_labels_plus_1 n_pix"]:
    """Returns the model flux at many points, and row by row its derivatives by the unit coordinates."""
    rows = basis_tangents(model, unit)
    return flux_of(model, rows.reshape(-1, rows.shape[-1])).reshape(*rows.shape[:2], -1)


def basis_weights(model: Model, unit: Float[Array, "n n_labels"]) -> Float[Array, "n k"]:
    """Returns what the rows of the basis are multiplied by."""
    emulator, prior = model.emulator, model.prior
    if not is_dense(emulator):
        found: Array = jax.lax.map(partial(_local, emulator, prior), unit)
        return found
    weights = jax.vmap(partial(_node_weights, emulator, prior))(unit)
    return jnp.matmul(weights, _table(emulator), precision="highest")


def basis_tangents(model: Model, unit: Float[Array, "n n_labels"]) -> Float[Array, "n n_labels_plus_1 k"]:
    """Returns the weights of the basis, and row by row their derivatives by the unit coordinates."""
    emulator, prior = model.emulator, model.prior
    if is_dense(emulator):
        rows = jax.vmap(partial(_with_slopes, partial(_node_weights, emulator, prior)))(unit)
        return jnp.matmul(rows, _table(emulator), precision="highest")

    def one(unit: Float[Array, " n_labels"]) -> Float[Array, "n_labels_plus_1 k"]:
        rows = _with_slopes(partial(_local_weights, emulator, prior), unit)
        return jnp.matmul(rows, _block(emulator, prior, unit), precision="highest")

    found: Array = jax.lax.map(one, unit)
    return found


def is_dense(emulator: Emulator) -> bool:
    """Returns whether all nodes together are cheaper than those around each point."""
    return emulator.coefficients.size // emulator.coefficients.shape[-1] <= DENSE_NODES


def flux_of(model: Model, weights: Float[Array, "n k"]) -> Float[Array, "n n_pix"]:
    """Returns the flux from what the rows of the basis are multiplied by."""
    return jnp.matmul(weights, model.emulator.basis, precision="highest")


def _table(emulator: Emulator) -> Float[Array, "n_nodes k"]:
    return emulator.coefficients.reshape(-1, emulator.coefficients.shape[-1])


def _with_slopes(
    weights: Callable[[Array], Array], unit: Float[Array, " n_labels"]
) -> Float[Array, "n_labels_plus_1 n_weights"]:
    """Weights of coefficients at one point, and row by row their derivatives."""
    return jnp.concatenate([weights(unit)[None, :], jax.jacfwd(weights)(unit).T.astype(jnp.float32)])


def _splines(emulator: Emulator, prior: Prior, unit: Float[Array, " n_labels"]) -> list[tuple[Array, Array]]:
    """Of every axis the first B-spline that is not zero, and the values of all such, from float64 labels."""
    return [
        emulator.splines(i, jnp.clip(label, axis[0], axis[-1]))
        for i, (axis, label) in enumerate(zip(emulator.axes, labels_of(prior, unit), strict=True))
    ]


def _node_weights(
    emulator: Emulator, prior: Prior, unit: Float[Array, " n_labels"]
) -> Float[Array, " n_nodes"]:
    """Weight of every node's spline coefficients at one point: the outer product over the axes."""
    total = jnp.ones(1, jnp.float32)
    for axis, (first, values) in zip(emulator.axes, _splines(emulator, prior, unit), strict=True):
        index = jnp.arange(len(axis))[:, None] - first
        splines = jnp.where(index == jnp.arange(len(values))[None, :], values[None, :], 0.0).sum(axis=1)
        total = (total[:, None] * splines.astype(jnp.float32)[None, :]).reshape(-1)
    return total


def _local_weights(
    emulator: Emulator, prior: Prior, unit: Float[Array, " n_labels"]
) -> Float[Array, " n_local"]:
    """As `_node_weights`, of the nodes around one point only."""
    return _outer([values.astype(jnp.float32) for _, values in _splines(emulator, prior, unit)])


def _outer(factors: Sequence[Float[Array, "..."]]) -> Float[Array, " n_products"]:
    """All products of one number from each factor, the last factor fastest."""
    total = jnp.ones(1, jnp.float32)
    for values in factors:
        total = (total[:, None] * values[None, :]).reshape(-1)
    return total


def _block(emulator: Emulator, prior: Prior, unit: Float[Array, " n_labels"]) -> Float[Array, "n_local k"]:
    """The spline coefficients around one point."""
    found = _splines(emulator, prior, unit)
    sizes, rank = [len(values) for _, values in found], emulator.coefficients.shape[-1]
    place = (*(first for first, _ in found), jnp.zeros_like(found[0][0]))
    return jax.lax.dynamic_slice(emulator.coefficients, place, (*sizes, rank)).reshape(-1, rank)


def _local(emulator: Emulator, prior: Prior, unit: Float[Array, " n_labels"]) -> Float[Array, " k"]:
    """The weights of the basis at one point.

    The last two axes follow after all others, whose coefficients are added up where they lie: a copy of all
    around the point would be written and read once more.
    """
    found = _splines(emulator, prior, unit)
    values = [x.astype(jnp.float32) for _, x in found]
    inner = min(INNER_AXES, len(values) - 1)
    *outer, middle = values[: len(values) - inner]
    last, weight = _outer(values[len(values) - inner :]), _outer(outer)
    sizes, rank = [len(x) for x in values], emulator.coefficients.shape[-1]
    shape = (*[1] * (len(outer) + 1), *sizes[len(outer) + 1 :], rank)

    def add(n: Array, total: Array) -> Array:
        place = [first for first, _ in found]
        for i, offset in enumerate(jnp.unravel_index(n, sizes[: len(outer)])):
            place[i] = place[i] + offset
        for k in range(len(middle)):
            at = (
                *place[: len(outer)],
                place[len(outer)] + k,
                *place[len(outer) + 1 :],
                jnp.zeros_like(place[0]),
            )
            total = total + jax.lax.dynamic_slice(emulator.coefficients, at, shape) * (weight[n] * middle[k])
        return total

    total = jax.lax.fori_loop(0, len(weight), add, jnp.zeros(shape, jnp.float32))
    return jnp.matmul(last, total.reshape(len(last), rank), precision="highest")
