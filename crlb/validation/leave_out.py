"""How far the emulator is from nodes it was not given: in flux, in slopes, and in the labels of a fit.

With all other labels at nodes, only the spline along one axis acts, and it is linear in the values at the
nodes: flux = P @ values, d flux / d label = Q @ values. So every emulator of a grid that lacks some nodes of
an axis is two small matrices, and all work is done on coefficients of the compressed basis. A fit to a
spectrum mu with weights C^-1 that uses a wrong model moves its labels by

    bias = F^-1 J^T C^-1 (mu_predicted - mu),   F = J^T C^-1 J,

here divided by the Cramer-Rao bound sqrt(diag F^-1). Source: Cutler & Vallisneri 2007, arXiv:0707.2982.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.interpolate import make_interp_spline

from crlb.errors import UsageError
from crlb.fisher.matrix import fisher_covariance, fisher_information
from crlb.grids.compression import shorten
from crlb.grids.emulator import DEGREES, _knots, _order, _scaled
from crlb.grids.spectral_grid import SpectralGrid
from crlb.labels import coordinate
from crlb.observation.forward_model import check_pixels
from crlb.observation.noise import NoiseModel, variance

BATCH = 64  # nodes scored together: about 60 MB at 4096 pixels, 5 labels, 3 magnitudes in float64
HALVED, SINGLE = "halved", "single"  # every second node of an axis together; every inner node by itself


class Scores(NamedTuple):
    """Errors of predicted nodes; `nodes` are their places in the flattened grid.

    Flux errors are relative, slope errors relative in the rms over pixels, biases in units of the bound; all
    but the flux errors of the labels that vary only.
    """

    nodes: Int[np.ndarray, " n"]
    flux: Float[np.ndarray, " n"]  # median over pixels
    flux_max: Float[np.ndarray, " n"]
    slope: Float[np.ndarray, "n n_labels"]
    bias: Float[np.ndarray, "n n_mag n_labels"]
    shrink: Float[np.ndarray, " n"]  # times this: the error in the whole grid, if its spectra are smooth
    per_pixel: Float[np.ndarray, " n_pix"]  # mean over nodes of the relative flux error


def dropped_nodes(axis: Float[np.ndarray, " n"]) -> dict[str, list[Int[np.ndarray, " m"]]]:
    """Which nodes of an axis each test leaves out, one array per emulator to be built; the ends stay."""
    inner = np.arange(1, len(axis) - 1)
    return {HALVED: [inner[::2]], SINGLE: list(inner[:, None])} if len(inner) else {}


def leave_out(
    grid: SpectralGrid,
    noise: NoiseModel,
    mags: Sequence[float],
    degree: int,
    *,
    usable: Bool[np.ndarray, " n_pix"] | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[tuple[int, str], Scores]:
    """Returns the scores of every axis and test, by (index of the axis, test), in the default float type.

    Nodes that are interpolated themselves (`grid.filled`) are not scored.

    Args:
        grid: spectra on the detector's pixels.
        noise: curves of the instrument and sky, on the same pixels.
        mags: AB magnitudes in i at which the bound is taken.
        degree: of the splines.
        usable: pixels that count; None: all. The magnitude stays that of all pixels.
        advance: called with the number of nodes just predicted.

    Raises:
        UsageError: another degree, or there is no node to leave out.
        DataError: grid and noise lie on different pixels.
        UnidentifiableError: at some node the labels cannot be told apart.
    """
    if degree not in DEGREES:
        raise UsageError(f"degree of the emulator's splines must be one of {DEGREES}, found {degree}")
    check_pixels("grid", grid.wave, noise)
    model, found = _Model.of(grid, degree, usable), {}
    for axis, nodes in enumerate(grid.axes):
        for test, sets in dropped_nodes(nodes).items():
            predicted = [_predict(grid, model, axis, dropped, degree) for dropped in sets]
            whole = _Batch(*map(np.concatenate, zip(*predicted, strict=True)))
            scores = []
            for start in range(0, len(whole.nodes), BATCH):
                batch = _Batch(*(field[start : start + BATCH] for field in whole))
                scores.append(_score(model, batch, noise, np.asarray(mags, np.float64)))
                if advance is not None:
                    advance(len(batch.nodes))
            if scores:
                found[axis, test] = joined(scores)
    if not found:
        sizes = ", ".join(f"{name} {len(x)}" for name, x in zip(grid.label_names, grid.axes, strict=True))
        raise UsageError(f"grid: needed an axis with an inner node that was computed, found nodes {sizes}")
    return found


class _Model(NamedTuple):
    """The grid's spectra and their slopes by the labels that vary, as coefficients of one basis."""

    basis: Float[np.ndarray, "k n_pix"]
    usable: Bool[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, "*nodes k"]
    slopes: Float[np.ndarray, "n_labels *nodes k"]
    along: tuple[Float[np.ndarray, "_ _"], ...]  # of each label that varies: values at nodes -> slopes there
    free: tuple[int, ...]
    label_names: tuple[str, ...]

    @classmethod
    def of(
        cls, grid: SpectralGrid, degree: int, usable: Bool[np.ndarray, " n_pix"] | None = None
    ) -> "_Model":
        factors = shorten(grid.spectra, 1e-5)
        assert factors.basis is not None
        free = tuple(i for i, axis in enumerate(grid.axes) if len(axis) > 1)
        along = tuple(
            _matrices(axis, np.arange(len(axis)), axis, degree)[1] for axis in (places(grid)[i] for i in free)
        )
        flux = factors.coefficients
        slopes = np.stack([_along(flux, matrix, i) for matrix, i in zip(along, free, strict=True)])
        chosen = np.ones(len(grid.wave), bool) if usable is None else usable
        names = tuple(grid.label_names[i] for i in free)
        return cls(factors.basis, chosen, flux, slopes, along, free, names)


class _Batch(NamedTuple):
    """Predicted nodes: their places, coefficients of flux and slopes, and the factor of `Scores.shrink`."""

    nodes: Int[np.ndarray, " n"]
    flux: Float[np.ndarray, "n k"]
    slopes: Float[np.ndarray, "n n_labels k"]
    shrink: Float[np.ndarray, " n"]


def places(grid: SpectralGrid) -> tuple[Float[np.ndarray, " n"], ...]:
    """Nodes of every axis in what its splines run in; slopes and biases here are by it too."""
    return tuple(
        np.asarray(coordinate(name, axis)) for name, axis in zip(grid.label_names, grid.axes, strict=True)
    )


def _matrices(
    axis: Float[np.ndarray, " n"],
    kept: Int[np.ndarray, " m"],
    points: Float[np.ndarray, " p"],
    degree: int,
) -> tuple[Float[np.ndarray, "p m"], Float[np.ndarray, "p m"]]:
    """P and Q of one axis: values at its kept nodes -> the emulator's values and slopes at some points."""
    nodes = tuple(map(float, axis[kept]))
    width = nodes[-1] - nodes[0]
    knots, order = _knots(nodes, degree), _order(nodes, degree)
    spline = make_interp_spline(_scaled(nodes), np.eye(len(nodes)), order, t=knots)
    place = (points - nodes[0]) / width
    return spline(place), spline(place, 1) / width


def leading_error(
    axis: Float[np.ndarray, " n"],
    kept: Int[np.ndarray, " m"],
    points: Float[np.ndarray, " p"],
    degree: int,
) -> Float[np.ndarray, " p"]:
    """Returns the error of the spline through the kept nodes of (label / length of the axis)^(degree + 1).

    This is the lowest power that the splines do not reproduce: the errors of smooth spectra go like it.
    """
    value, _ = _matrices(axis, kept, points, degree)
    lowest = _order(tuple(axis), degree) + 1
    power, wanted = (((x - axis.mean()) / np.ptp(axis)) ** lowest for x in (axis[kept], points))
    return np.asarray(np.abs(value @ power - wanted))


def _along(values: np.ndarray, matrix: np.ndarray, axis: int) -> np.ndarray:
    """The matrix applied along one axis."""
    return np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)


def _predict(
    grid: SpectralGrid, model: _Model, axis: int, dropped: Int[np.ndarray, " m"], degree: int
) -> _Batch:
    """The dropped nodes of an axis, except those that are interpolated themselves, from all others."""
    kept = np.setdiff1d(np.arange(len(grid.axes[axis])), dropped)
    nodes = places(grid)[axis]
    value, slope = _matrices(nodes, kept, nodes[dropped], degree)
    given = np.take(model.flux, kept, axis)
    flux = _along(given, value, axis)
    slopes = [
        _along(given, slope, axis) if i == axis else _along(flux, matrix, i)
        for matrix, i in zip(model.along, model.free, strict=True)
    ]
    shape, k = model.flux.shape[:-1], model.flux.shape[-1]
    shrink = np.ones(shape)
    np.moveaxis(shrink, axis, -1)[:] = _shrink(nodes, degree)
    flat = np.take(np.arange(np.prod(shape)).reshape(shape), dropped, axis).ravel()
    scored = np.ones(flat.size, bool) if grid.filled is None else ~grid.filled.ravel()[flat]
    table = np.stack([part.reshape(-1, k) for part in slopes], axis=1)
    return _Batch(flat[scored], flux.reshape(-1, k)[scored], table[scored], shrink.ravel()[flat[scored]])


def _shrink(axis: Float[np.ndarray, " n"], degree: int) -> Float[np.ndarray, " n"]:
    """Largest error halfway to the neighbours of a node, over the error at the node if it alone is left out.

    Both are the leading errors of smooth spectra. 1 at the ends, which are never left out, and on an axis
    where a node less means splines of lower degree.
    """
    if len(axis) < degree + 2:
        return np.ones(len(axis))
    everything, middle = np.arange(len(axis)), (axis[1:] + axis[:-1]) / 2
    whole = leading_error(axis, everything, middle, degree)
    ratio = np.ones(len(axis))
    for i in range(1, len(axis) - 1):
        single = leading_error(axis, np.delete(everything, i), axis[[i]], degree)[0]
        ratio[i] = whole[i - 1 : i + 1].max() / single
    return ratio


def _score(model: _Model, batch: _Batch, noise: NoiseModel, mags: Float[np.ndarray, " n_mag"]) -> Scores:
    """The scores of one batch, padded to a full one so that the work is compiled once."""
    n, k = len(batch.nodes), model.flux.shape[-1]
    flux = model.flux.reshape(-1, k)[batch.nodes]
    slopes = model.slopes.reshape(len(model.free), -1, k)[:, batch.nodes].swapaxes(0, 1)
    padded = [np.concatenate([x, np.repeat(x[-1:], BATCH - n, axis=0)]) for x in (flux, slopes, *batch[1:3])]
    pixels = jnp.asarray(model.basis), jnp.asarray(model.usable, model.basis.dtype)
    found = _compare(*pixels, noise, jnp.asarray(mags), *map(jnp.asarray, padded))
    relative, slope, bias = (np.asarray(x)[:n] for x in found)
    relative = relative[:, model.usable]
    for i in np.flatnonzero(np.isnan(bias).any(axis=(1, 2)))[:1]:  # outside jit, where the reason is raised
        truth, jac = jnp.asarray(flux[i] @ model.basis), jnp.asarray((slopes[i] @ model.basis).T)
        ivar = pixels[1] / variance(truth, jnp.asarray(mags[0]), noise)
        bias_over_bound(truth, jac, ivar, model.label_names)
    median, largest = np.median(relative, axis=1), relative.max(axis=1)
    return Scores(batch.nodes, median, largest, slope, bias, batch.shrink, relative.mean(axis=0))


@jax.jit
def _compare(
    basis: Float[Array, "k n_pix"],
    usable: Float[Array, " n_pix"],
    noise: NoiseModel,
    mags: Float[Array, " n_mag"],
    flux: Float[Array, "n k"],
    slopes: Float[Array, "n n_labels k"],
    predicted_flux: Float[Array, "n k"],
    predicted_slopes: Float[Array, "n n_labels k"],
) -> tuple[Array, ...]:
    """Per node: relative flux error of every pixel, error of the slopes, bias over bound."""
    gram = (basis * usable[None, :]) @ basis.T

    def rms(slopes: Float[Array, "n_labels k"]) -> Float[Array, " n_labels"]:
        return jnp.sqrt(jnp.maximum(jnp.sum((slopes @ gram) * slopes, axis=-1), 0.0))

    def at_node(flux: Array, slopes: Array, predicted: Array, predicted_slopes: Array) -> tuple[Array, ...]:
        truth, error, jac = flux @ basis, (predicted - flux) @ basis, (slopes @ basis).T
        wrong = rms(predicted_slopes - slopes) / rms(slopes)

        def at_mag(mag: Float[Array, ""]) -> Float[Array, " n_labels"]:
            return bias_over_bound(error, jac, usable / variance(truth, mag, noise))

        return jnp.abs(error / truth), wrong, jax.vmap(at_mag)(mags)

    return jax.vmap(at_node)(flux, slopes, predicted_flux, predicted_slopes)


def bias_over_bound(
    error: Float[Array, " n_pix"],
    jac: Float[Array, "n_pix n_labels"],
    ivar: Float[Array, " n_pix"],
    label_names: Sequence[str] | None = None,
) -> Float[Array, " n_labels"]:
    """Returns by how many bounds a fit moves each label if its model is the truth + `error`.

    Args:
        error: model minus truth, in the unit of the flux.
        jac: derivative of the flux by the labels.
        ivar: inverse variance of every pixel, 1/flux^2; 0 = pixel not used.
        label_names: names of the labels, for the message.

    Raises:
        UnidentifiableError: the labels cannot be told apart; NaN under jit and vmap.
    """
    covariance = fisher_covariance(fisher_information(jac, ivar), label_names)
    shift = jnp.matmul(covariance, jnp.matmul(jac.T, error * ivar, precision="highest"))
    return shift / jnp.sqrt(jnp.diagonal(covariance))


def joined(parts: list[Scores]) -> Scores:
    """Returns the scores of several batches as one."""
    count = np.array([len(part.nodes) for part in parts])
    per_pixel = np.average([part.per_pixel for part in parts], axis=0, weights=count)
    return Scores._make([*map(np.concatenate, list(zip(*parts, strict=True))[:-1]), per_pixel])
