"""Flux as a smooth function of the labels: a compressed basis times a tensor-product spline."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.interpolate import make_interp_spline

from crlb.errors import UsageError
from crlb.grids.compression import shorten
from crlb.grids.spectral_grid import SpectralGrid
from crlb.labels import coordinate

# A label counts as inside its axis up to this fraction of it, so that a float32 copy of an edge is valid.
EDGE_TOLERANCE = 1e-6
DEGREES = (3, 5)
WHOLE_RTOL, FACTORS_RTOL = 1e-5, 3e-4


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("coefficients", "basis", "wave"),
    meta_fields=("axes", "label_names", "resolving_power", "source", "degree"),
)
@dataclass(frozen=True, eq=False)
class Emulator:
    """flux(labels) = B_1(l_1) x ... x B_d(l_d) . coefficients @ basis, at least twice differentiable.

    B_j are the B-splines of axis j in the label or, for T_eff, in its reciprocal (`coordinate`): cubic or
    quintic, not-a-knot, of lower degree on an axis of too few nodes. A pytree: `axes`, `label_names`,
    `resolving_power`, `source` and `degree` are static, the arrays are leaves.
    """

    coefficients: Float[Array, "*nodes k"]
    basis: Float[Array, "k n_pix"]
    wave: Float[Array | np.ndarray, " n_pix"]
    axes: tuple[tuple[float, ...], ...]
    label_names: tuple[str, ...]
    resolving_power: float
    source: str
    degree: int = 3

    @property
    def low(self) -> Float[np.ndarray, " n_labels"]:
        """Lower edge of every label."""
        return np.array([axis[0] for axis in self.axes])

    @property
    def high(self) -> Float[np.ndarray, " n_labels"]:
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

    def __call__(self, labels: Float[Array | np.ndarray, " n_labels"]) -> Float[Array, " n_pix"]:
        """Returns the flux at `labels`, in the unit of the grid.

        Outside the grid: raises UsageError for concrete labels; under jit, vmap or grad the flux and its
        derivatives are NaN.
        """
        if not isinstance(labels, jax.core.Tracer):
            self.check(labels)
        weights = self.weights(jnp.asarray(labels, self.basis.dtype))
        return jnp.matmul(weights, self.basis, precision="highest")

    def batch(self, labels: Float[Array, "n n_labels"]) -> Float[Array, "n n_pix"]:
        """Returns the flux of many stars; NaN outside the grid.

        The same numbers as `vmap`, several times faster with four labels or more: the coefficients around
        each star are read where they lie instead of being gathered first.
        """
        return jnp.matmul(lax.map(self.weights, labels), self.basis, precision="highest")

    def weights(self, labels: Float[Array, " n_labels"]) -> Float[Array, " k"]:
        """Returns what the rows of `basis` are multiplied by; NaN outside the grid.

        The coefficients around `labels` are read once, for all axes but the last together; that one follows,
        so that rounding in the derivatives stays that of short sums.
        """
        *others, last = [self.splines(i, label)[1] for i, label in enumerate(labels)]
        block = self._block(labels).reshape(-1, len(last) * self.coefficients.shape[-1])
        most = jnp.matmul(_products(others, labels.dtype), block, precision="highest")
        weights = jnp.matmul(last, most.reshape(len(last), -1), precision="highest")
        return weights * self._inside(labels)

    def tangent(self, labels: Float[Array, " n_labels"]) -> Float[Array, "n_labels_plus_1 k"]:
        """Returns the weights and, row by row, their derivatives by each label, in one product."""
        outer, push = jax.linearize(self._outer, labels)
        rows = jnp.concatenate([outer[None], jax.vmap(push)(jnp.eye(len(labels), dtype=labels.dtype))])
        return jnp.matmul(rows, self._block(labels), precision="highest")

    def splines(self, i: int, label: Float[Array, ""]) -> tuple[Array, Float[Array, " order_plus_1"]]:
        """Returns the index of the first B-spline of axis `i` that is not zero at `label`, and the values."""
        name = self.label_names[i]
        axis = tuple(coordinate(name, np.array(self.axes[i])).tolist())
        return _local_splines(axis, jnp.asarray(coordinate(name, label)), self.degree)

    def _outer(self, labels: Float[Array, " n_labels"]) -> Float[Array, " n_local"]:
        """Products of the B-splines of all axes, one per coefficient around `labels`; NaN outside."""
        splines = [self.splines(i, label)[1] for i, label in enumerate(labels)]
        return _products(splines, labels.dtype) * self._inside(labels)

    def _block(self, labels: Float[Array, " n_labels"]) -> Float[Array, "n_local k"]:
        """The coefficients around `labels`."""
        local = [self.splines(i, label) for i, label in enumerate(lax.stop_gradient(labels))]
        starts = [start for start, _ in local]
        sizes = [len(values) for _, values in local]
        rank = self.coefficients.shape[-1]
        place = (*starts, jnp.zeros_like(starts[0]))
        return lax.dynamic_slice(self.coefficients, place, (*sizes, rank)).reshape(-1, rank)

    def _inside(self, labels: Float[Array, " n_labels"]) -> Float[Array, ""]:
        """1 inside the grid, NaN outside: as a factor it makes the derivatives NaN as well."""
        low, high, slack = (jnp.asarray(x, labels.dtype) for x in (self.low, self.high, _slack(self.axes)))
        inside = (labels >= low - slack) & (labels <= high + slack)
        return jnp.where(inside.all(), 1.0, jnp.nan).astype(labels.dtype)


def _products(factors: Sequence[Float[Array, "..."]], dtype: np.dtype) -> Float[Array, " n_products"]:
    """All products of one number from each factor, the last factor fastest."""
    product = jnp.ones(1, dtype)
    for values in factors:
        product = jnp.outer(product, values).ravel()
    return product


def _slack(axes: tuple[tuple[float, ...], ...]) -> Float[np.ndarray, " n_labels"]:
    return EDGE_TOLERANCE * np.array([max(abs(axis[0]), abs(axis[-1])) for axis in axes])


def _order(axis: tuple[float, ...], degree: int) -> int:
    """Degree of the splines of an axis: what was asked for, as far as it has nodes."""
    return min(degree, len(axis) - 1)


def _scaled(axis: tuple[float, ...]) -> Float[np.ndarray, " n"]:
    """The nodes of an axis mapped to [0, 1], where float32 has digits to spare."""
    return (np.array(axis) - axis[0]) / ((axis[-1] - axis[0]) or 1.0)


def _knots(axis: tuple[float, ...], degree: int) -> Float[np.ndarray, " n_knots"]:
    """Not-a-knot knots: the nodes but the outer (degree - 1) / 2 inner ones, the ends degree + 1 times."""
    nodes, order = _scaled(axis), _order(axis, degree)
    inner = nodes[(degree + 1) // 2 : -(degree + 1) // 2] if order == degree else nodes[:0]
    return np.concatenate([[nodes[0]] * (order + 1), inner, [nodes[-1]] * (order + 1)])


def _local_splines(
    axis: tuple[float, ...], label: Float[Array, ""], degree: int
) -> tuple[Array, Float[Array, " degree_plus_1"]]:
    """Returns the index of the first B-spline that is not zero at `label`, and the values of all such.

    Source: Cox-de Boor recursion in the form of Piegl & Tiller, The NURBS Book (1997), algorithm A2.2.
    """
    knots = _knots(axis, degree).astype(label.dtype)
    degree = _order(axis, degree)
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


def make_emulator(grid: SpectralGrid, rtol: float | None = None, degree: int = 3) -> Emulator:
    """Returns the emulator of a grid, in the default float type of jax.

    Args:
        grid: spectra on a complete tensor of labels.
        rtol: largest flux error that the compression may make at any node, relative to the flux, or to the
            mean flux of the node where the grid is stored as factors; None: 1e-5, or 3e-4 of such factors,
            which are rounded more coarsely themselves.
        degree: of the splines, 3 or 5; an axis of n nodes takes degree n - 1 at the most.

    Raises:
        UsageError: another degree, or an `rtol` that cannot be held.
    """
    if degree not in DEGREES:
        raise UsageError(f"degree of the emulator's splines must be one of {DEGREES}, found {degree}")
    factors = shorten(grid.spectra, rtol or (WHOLE_RTOL if grid.spectra.basis is None else FACTORS_RTOL))
    assert factors.basis is not None
    axes = tuple(tuple(map(float, axis)) for axis in grid.axes)
    places = tuple(
        tuple(coordinate(name, axis).tolist()) for name, axis in zip(grid.label_names, grid.axes, strict=True)
    )
    return Emulator(
        coefficients=jnp.asarray(spline_coefficients(factors.coefficients, places, degree)),
        basis=jnp.asarray(factors.basis),
        wave=grid.wave,
        axes=axes,
        label_names=grid.label_names,
        resolving_power=grid.resolving_power,
        source=grid.source,
        degree=degree,
    )


def spline_coefficients(
    tensor: Float[np.ndarray, "*nodes k"], axes: tuple[tuple[float, ...], ...], degree: int
) -> Float[np.ndarray, "*nodes k"]:
    """Values at the nodes turned into coefficients of B-splines that pass through them, axis by axis."""
    for i, axis in enumerate(axes):
        if len(axis) > 1:
            knots, order = _knots(axis, degree), _order(axis, degree)
            spline = make_interp_spline(_scaled(axis), np.moveaxis(tensor, i, 0), order, t=knots)
            tensor = np.moveaxis(spline.c, 0, i)
    return tensor
