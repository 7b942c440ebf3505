"""Flux as a smooth function of the labels: a compressed basis times a tensor-product cubic spline."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.interpolate import make_interp_spline

from crlb.compression import compress
from crlb.errors import UsageError
from crlb.grid import SpectralGrid

# A label counts as inside its axis up to this fraction of it, so that a float32 copy of an edge is valid.
EDGE_TOLERANCE = 1e-6


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("coefficients", "basis", "wave"),
    meta_fields=("axes", "label_names", "resolving_power", "source"),
)
@dataclass(frozen=True, eq=False)
class Emulator:
    """flux(labels) = B_1(l_1) x ... x B_d(l_d) . coefficients @ basis, twice continuously differentiable.

    B_j are the cubic B-splines of axis j (not-a-knot; of lower degree on an axis of fewer than four nodes).
    A pytree: `axes`, `label_names`, `resolving_power` and `source` are static, the arrays are leaves.
    """

    coefficients: Float[Array, "*nodes k"]
    basis: Float[Array, "k n_pix"]
    wave: Float[Array | np.ndarray, "n_pix"]
    axes: tuple[tuple[float, ...], ...]
    label_names: tuple[str, ...]
    resolving_power: float
    source: str

    @property
    def low(self) -> Float[np.ndarray, "n_labels"]:
        """Lower edge of every label."""
        return np.array([axis[0] for axis in self.axes])

    @property
    def high(self) -> Float[np.ndarray, "n_labels"]:
        """Upper edge of every label."""
        return np.array([axis[-1] for axis in self.axes])

    @property
    def nodes(self) -> Float[np.ndarray, "n n_labels"]:
        """Labels of all nodes of the grid, last label fastest."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, len(self.axes))

    def check(self, labels: Float[Array | np.ndarray, "*batch n_labels"]) -> None:
        """Raises UsageError naming the first label that lies outside the grid (concrete labels only)."""
        values = np.asarray(labels, dtype=np.float64)
        low, high, slack = self.low, self.high, _slack(self.axes)
        outside = ~((values >= low - slack) & (values <= high + slack))
        if outside.any():
            *star, i = np.argwhere(outside)[0]
            raise UsageError(
                f"{self.label_names[i]} must lie within the grid, {low[i]:g} to {high[i]:g}, "
                f"found {values[(*star, i)]:g}"
            )

    def __call__(self, labels: Float[Array | np.ndarray, "n_labels"]) -> Float[Array, "n_pix"]:
        """Returns the flux at `labels`, in the unit of the grid.

        Outside the grid: raises UsageError for concrete labels; under jit, vmap or grad the flux and its
        derivatives are NaN.
        """
        if not isinstance(labels, jax.core.Tracer):
            self.check(labels)
        labels = jnp.asarray(labels, self.basis.dtype)
        weights = self._weights(labels) * self._inside(labels)
        return jnp.matmul(weights, self.basis, precision="highest")

    def _weights(self, labels: Float[Array, "n_labels"]) -> Float[Array, "k"]:
        """Contracts the (degree + 1)^d coefficients around `labels` with their B-splines, axis by axis."""
        local = [_local_splines(axis, label) for axis, label in zip(self.axes, labels, strict=True)]
        starts = [start for start, _ in local]
        sizes = [len(values) for _, values in local]
        block = lax.dynamic_slice(
            self.coefficients, (*starts, jnp.zeros_like(starts[0])), (*sizes, self.coefficients.shape[-1])
        )
        for _, values in local:
            block = jnp.tensordot(values, block, axes=1, precision="highest")
        return block

    def _inside(self, labels: Float[Array, "n_labels"]) -> Float[Array, ""]:
        """1 inside the grid, NaN outside: as a factor it makes the derivatives NaN as well."""
        low, high, slack = (jnp.asarray(x, labels.dtype) for x in (self.low, self.high, _slack(self.axes)))
        inside = (labels >= low - slack) & (labels <= high + slack)
        return jnp.where(inside.all(), 1.0, jnp.nan).astype(labels.dtype)


def _slack(axes: tuple[tuple[float, ...], ...]) -> Float[np.ndarray, "n_labels"]:
    return EDGE_TOLERANCE * np.array([max(abs(axis[0]), abs(axis[-1])) for axis in axes])


def _degree(axis: tuple[float, ...]) -> int:
    return min(3, len(axis) - 1)


def _scaled(axis: tuple[float, ...]) -> Float[np.ndarray, "n"]:
    """The nodes of an axis mapped to [0, 1], where float32 has digits to spare."""
    return (np.array(axis) - axis[0]) / ((axis[-1] - axis[0]) or 1.0)


def _knots(axis: tuple[float, ...]) -> Float[np.ndarray, "n_knots"]:
    """Not-a-knot knots: all nodes but the second and the last but one, the ends degree + 1 times."""
    nodes, degree = _scaled(axis), _degree(axis)
    return np.concatenate([[nodes[0]] * (degree + 1), nodes[2:-2], [nodes[-1]] * (degree + 1)])


def _local_splines(
    axis: tuple[float, ...], label: Float[Array, ""]
) -> tuple[Array, Float[Array, "degree_plus_1"]]:
    """Returns the index of the first B-spline that is not zero at `label`, and the values of all such.

    Source: Cox-de Boor recursion in the form of Piegl & Tiller, The NURBS Book (1997), algorithm A2.2.
    """
    degree, knots = _degree(axis), _knots(axis).astype(label.dtype)
    position = (label - axis[0]) / ((axis[-1] - axis[0]) or 1.0)
    span = jnp.searchsorted(knots[degree + 1 : -degree - 1], lax.stop_gradient(position), side="right")
    around = lax.dynamic_slice(jnp.asarray(knots), (span + 1,), (2 * degree,))
    values = [jnp.ones_like(label)]
    for order in range(1, degree + 1):
        carried = jnp.zeros_like(label)
        for i in range(order):
            right, left = around[degree + i], around[degree - order + i]
            part = values[i] / (right - left)
            values[i] = carried + (right - position) * part
            carried = (position - left) * part
        values.append(carried)
    return span, jnp.stack(values)


def make_emulator(grid: SpectralGrid, rtol: float = 1e-5) -> Emulator:
    """Returns the emulator of a grid, in the default float type of jax.

    Args:
        grid: spectra on a complete tensor of labels.
        rtol: largest relative flux error that the compression may make at any node.
    """
    coefficients, basis = compress(grid.flux.reshape(len(grid.nodes), -1), rtol)
    tensor = coefficients.reshape(*grid.flux.shape[:-1], -1)
    axes = tuple(tuple(map(float, axis)) for axis in grid.axes)
    for i, axis in enumerate(axes):
        nodes = np.moveaxis(tensor, i, 0)
        spline = (
            make_interp_spline(_scaled(axis), nodes, _degree(axis), t=_knots(axis)) if len(axis) > 1 else None
        )
        tensor = tensor if spline is None else np.moveaxis(spline.c, 0, i)
    return Emulator(
        coefficients=jnp.asarray(tensor),
        basis=jnp.asarray(basis),
        wave=grid.wave,
        axes=axes,
        label_names=grid.label_names,
        resolving_power=grid.resolving_power,
        source=grid.source,
    )
