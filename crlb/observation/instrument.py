"""Model flux -> detector pixels: radial velocity, line-spread function, pixel integration.

The input is taken as constant over each of its cells (edges halfway between samples). With the Gaussian
line-spread function of width s and K(x) = int Phi(x/s) dx = x Phi(x/s) + s phi(x/s), the mean over detector
pixel [a, b] of the blurred spectrum is an exact double integral,

    flux_j = sum_i flux_i [K(b - e_i) - K(b - e_i+1) - K(a - e_i) + K(a - e_i+1)] / (b - a),

which for s -> 0, K(x) -> max(x, 0), is plain rebinning by overlap.
"""

import dataclasses
import math
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int
from numpy.polynomial.legendre import legvander

from crlb.detector import (
    DEFAULT_LSF_FWHM,
    DETECTOR_WAVE,
    SPEED_OF_LIGHT_KMS,
    Detector,
    cell_edges,
    contiguous,
)
from crlb.errors import DataError, UsageError
from crlb.grids.compression import Factors
from crlb.grids.sampling import check_sampling
from crlb.grids.spectral_grid import SpectralGrid
from crlb.labels import coordinate
from crlb.observation.kernel import EDGE_TOLERANCE, inside, pixel_kernel
from crlb.observation.line_spread import check_width, top_up_sigma

WINDOW_SIGMA = 6.0  # the kernel is cut here; 2e-9 of a line lies outside
MAX_TRACED_SIGMA = 1.5  # Å; sizes the window when lsf_sigma is not a number yet (inside jit, grad, vmap)
MEDIAN_DEGREE = 6  # at most, of the polynomials that smooth the median flux over the labels


def detector_flux(
    wave: Float[np.ndarray, " n_wave"],
    flux: Float[Array, " n_wave"],
    detector_wave: Float[np.ndarray, " n_pix"],
    *,
    lsf_sigma: Float[ArrayLike, ""] | Float[ArrayLike, " n_pix"],
    rv_kms: Float[ArrayLike, ""] = 0.0,
) -> Float[Array, " n_pix"]:
    """Mean flux per Angstrom in each detector pixel.

    Linear in `flux`, differentiable in `flux`, `lsf_sigma` and `rv_kms`; jit- and vmap-able over these three.
    The wavelengths are host arrays, because they fix the size of the window each pixel gathers.

    The spectrum is moved by lambda -> lambda (1 + v/c), the classical form (v = cz, not relativistic), at
    unchanged level. Where the wings of the line-spread function leave the input, the covered part of the
    kernel is renormalised; a pixel that is not itself covered by the input is NaN.

    Args:
        wave: Sample wavelengths, increasing, vacuum Å, at rest.
        flux: Flux per Å at `wave`, any scale.
        detector_wave: Pixel centres, increasing, vacuum Å.
        lsf_sigma: Gaussian width in Å, one number or one per detector pixel; 0 is pure rebinning. Traced, it
            must stay below `MAX_TRACED_SIGMA`: beyond, the pixel is NaN.
        rv_kms: Radial velocity in km/s, receding positive.

    Returns:
        Flux per Å in the units of `flux`.

    Raises:
        UsageError: wavelengths not increasing, lengths that differ, or a negative width.
    """
    _check_wave("wave", wave)
    _check_wave("detector_wave", detector_wave)
    if flux.shape != wave.shape:
        raise UsageError(
            f"detector_flux: flux must have one value per wavelength, {wave.shape}, found {flux.shape}"
        )
    first, weights = _weights(wave, detector_wave, lsf_sigma, rv_kms, flux.dtype)
    found: Float[Array, " n_pix"] = _apply(first, weights, flux)
    return found


def to_detector(
    grid: SpectralGrid,
    *,
    detector_wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE,
    lsf_fwhm: float = DEFAULT_LSF_FWHM,
    rv_kms: float = 0.0,
    normalise: bool = True,
) -> SpectralGrid:
    """The grid as pixels without gaps see it, of one line-spread width all over: `seen_by` of these pixels.

    Args:
        grid: Model grid, vacuum Å.
        detector_wave: Pixel centres, increasing, vacuum Å.
        lsf_fwhm: Full width at half maximum of the instrument's Gaussian, Å.
        rv_kms: Radial velocity, km/s, receding positive.
        normalise: Scale each node to a median of 0.5 over the arm.

    Raises:
        DataError, UsageError: as `seen_by`; or detector wavelengths that do not increase.
    """
    _check_wave("detector_wave", detector_wave)
    check_width(lsf_fwhm)
    return seen_by(grid, contiguous(detector_wave, lsf_fwhm, ""), rv_kms=rv_kms, normalise=normalise)


def seen_by(
    grid: SpectralGrid, detector: Detector, *, rv_kms: float = 0.0, normalise: bool = True
) -> SpectralGrid:
    """The grid as a detector sees it: every node (and continuum) through its pixels.

    The line-spread function is topped up in quadrature, fwhm^2 = lsf_fwhm^2 - (wave/resolving_power)^2, and
    left out where the grid is already as broad, with a warning that names the widths used (`lsf_fwhm_used`).
    A grid with the detector's sampling and no top-up is unchanged.

    Args:
        grid: Model grid, vacuum Å.
        detector: Pixels and their line-spread widths.
        rv_kms: Radial velocity, km/s, receding positive.
        normalise: Scale each node to a median of 0.5 over all pixels, as in the data (to a few parts in a
            thousand, by a smooth function of the labels); its continuum likewise.

    Returns:
        A grid on the pixels; its `resolving_power` is that of the mean wavelength and the median width.

    Raises:
        DataError: the grid does not cover the detector, or has samples further apart there than its
            resolution element.
        UsageError: a width that is not positive, above `MAX_LSF_FWHM`, or finer than the grid by more than a
            quarter.
    """
    sigma = top_up_sigma(grid, detector.wave, detector.lsf_fwhm)
    _check_reach(grid, detector, sigma, rv_kms)
    matrix = pixel_kernel(grid.wave, detector.low, detector.high, sigma, rv_kms).weights

    def observe(factors: Factors) -> Factors:
        return factors.replace_rows((matrix @ factors.rows.T).T)

    spectra = observe(grid.spectra)
    continuum = None if grid.continuum is None else observe(grid.continuum)
    if normalise:
        scale = 0.5 / smooth_median(spectra, grid)
        spectra, continuum = spectra.scaled(scale), continuum and continuum.scaled(scale)
    return dataclasses.replace(
        grid,
        wave=detector.wave,
        on_pixels=True,
        spectra=spectra,
        continuum=continuum,
        resolving_power=min(grid.resolving_power, float(detector.wave.mean()) / detector.width),
    )


def _check_reach(
    grid: SpectralGrid, detector: Detector, sigma: Float[np.ndarray, " n_pix"], rv_kms: float
) -> None:
    """Refuses a grid that does not cover all pixels, or is sampled too coarsely where they look."""
    reach, shift = WINDOW_SIGMA * float(sigma.max()), 1 + rv_kms / SPEED_OF_LIGHT_KMS
    for start, stop in detector.stretches():
        first, last = detector.low[start], detector.high[stop - 1]
        check_sampling(grid.wave, grid.resolving_power, (first - reach) / shift, (last + reach) / shift)
    if not inside(grid.wave, detector.low, detector.high, rv_kms=rv_kms).all():
        seen = cell_edges(grid.wave)[[0, -1]] * shift
        raise DataError(
            f"grid: needed the detector's range {detector.low.min():.2f}-{detector.high.max():.2f} Å, found "
            f"{seen[0]:.2f}-{seen[1]:.2f} Å (radial velocity included); use a wider grid, or fewer pixels "
            "(--wave-range)"
        )


def smooth_median(spectra: Factors, grid: SpectralGrid) -> Float[np.ndarray, "*nodes"]:
    """Returns the median flux of every node over the arm, as a smooth mean times a smooth function of labels.

    Which pixel is the median changes from node to node, so medians themselves are rough, by 0.03 % from one
    temperature to the next on the embedded grid: grey errors between the nodes that a fit would take for
    labels. The mean, (mean of flux^4)^(1/4), is smooth, and leans on the continuum, which changes less from
    node to node than lines and bands do. ln(median/mean) is fitted by Legendre polynomials in the labels: of
    degree (n - 1) / 2 on an axis of n nodes, so that the fit cannot follow single nodes, and 6 in all.
    """
    pairs = [_medians(flux) for flux in spectra.chunks()]
    median, smooth = (np.concatenate(part) for part in zip(*pairs, strict=True))
    degrees = [min(MEDIAN_DEGREE, max(len(axis) > 1, (len(axis) - 1) // 2)) for axis in grid.axes]
    places = [
        np.asarray(coordinate(name, axis)) for name, axis in zip(grid.label_names, grid.axes, strict=True)
    ]
    unit = [(2 * x - x[0] - x[-1]) / (np.ptp(x) or 1.0) for x in places]
    columns = [legvander(x, degree) for x, degree in zip(unit, degrees, strict=True)]
    terms = [t for t in product(*(range(d + 1) for d in degrees)) if sum(t) <= MEDIAN_DEGREE]
    nodes = np.indices([len(axis) for axis in grid.axes]).reshape(len(grid.axes), -1)
    design = np.stack(
        [np.prod([columns[i][nodes[i], n] for i, n in enumerate(term)], axis=0) for term in terms], axis=1
    )
    fit = design @ np.linalg.lstsq(design, np.log(median / smooth), rcond=None)[0]
    found: Float[np.ndarray, "*nodes"] = (smooth * np.exp(fit)).reshape(spectra.shape[:-1])
    return found


def _medians(flux: Float[np.ndarray, "n n_pix"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Median and fourth-power mean of every spectrum; over its mean first, so that no power overflows."""
    mean = flux.mean(axis=-1)
    fourth = np.square(np.square(flux / mean[:, None])).mean(axis=-1)
    return np.median(flux, axis=-1), mean * np.sqrt(np.sqrt(fourth))


def _check_wave(name: str, wave: np.ndarray) -> None:
    if wave.ndim != 1 or wave.size < 2 or not (np.diff(wave) > 0).all():
        raise UsageError(f"{name}: needed at least two increasing wavelengths (Å), found {wave!r}; sort them")


def _largest_sigma(lsf_sigma: ArrayLike) -> float:
    """The width in Å that sizes the window: the largest value, or the documented bound when traced."""
    if isinstance(lsf_sigma, jax.core.Tracer):
        return MAX_TRACED_SIGMA
    largest, smallest = float(np.max(lsf_sigma)), float(np.min(lsf_sigma))
    if not 0 <= smallest <= largest < math.inf:
        raise UsageError(f"lsf_sigma must be finite and not negative (Å), found {smallest}..{largest}")
    return largest


def _window_size(edges: np.ndarray, span: float) -> int:
    """Cells that any stretch of `span` A can touch, with one to spare at either end."""
    reached = np.searchsorted(edges, edges[:-1] + span, side="right") - np.arange(edges.size - 1)
    return int(min(reached.max() + 2, edges.size - 1))


def _split(values: np.ndarray, dtype: np.dtype) -> tuple[Array, Array]:
    """values = high + low in `dtype`: float32 alone would place 8000 Å to 0.0005 Å only."""
    high = values.astype(dtype)
    return jnp.asarray(high), jnp.asarray((values - high).astype(dtype))


def _weights(
    wave: Float[np.ndarray, " n_wave"],
    detector_wave: Float[np.ndarray, " n_pix"],
    lsf_sigma: ArrayLike,
    rv_kms: ArrayLike,
    dtype: np.dtype,
) -> tuple[Int[Array, " n_pix"], Float[Array, "n_pix n_window"]]:
    """First input sample of each pixel's window, and the weights of the samples in it (sum 1, or NaN)."""
    edges, bounds = cell_edges(wave), cell_edges(detector_wave)
    reach = WINDOW_SIGMA * _largest_sigma(lsf_sigma)
    width = _window_size(edges, 2 * reach + float(np.diff(bounds).max()))
    found: tuple[Int[Array, " n_pix"], Float[Array, "n_pix n_window"]] = _window_weights(
        _split(edges, dtype),
        _split(bounds, dtype),
        jnp.asarray(lsf_sigma, dtype),
        jnp.asarray(rv_kms, dtype) / SPEED_OF_LIGHT_KMS,
        jnp.asarray(reach, dtype),
        width=width,
    )
    return found


@partial(jax.jit, static_argnames="width")
def _window_weights(
    edges: tuple[Array, Array],
    bounds: tuple[Array, Array],
    sigma: Array,
    beta: Array,
    reach: Array,
    *,
    width: int,
) -> tuple[Array, Array]:
    """`_weights` from cell edges and pixel bounds (each high + low, Å), with a window of `width` cells."""
    edge, edge_low = edges
    left, right = ((bounds[0][part], bounds[1][part]) for part in (slice(None, -1), slice(1, None)))
    pixel = (right[0] - left[0]) + (right[1] - left[1])
    sigma = jnp.broadcast_to(sigma, pixel.shape)

    def offset(bound: tuple[Array, Array], edge: Array, edge_low: Array) -> Array:
        return (bound[0] - edge) + (bound[1] - edge_low) - beta * edge  # Å, exact to the last bits

    first = jnp.searchsorted(jax.lax.stop_gradient(edge * (1 + beta)), left[0] - reach, side="right") - 2
    first = jnp.clip(first, 0, edge.size - 1 - width)
    index = first[:, None] + jnp.arange(width + 1)[None, :]

    def kernel(bound: tuple[Array, Array]) -> Array:
        column = (bound[0][:, None], bound[1][:, None])
        return jnp.diff(_ramp(offset(column, edge[index], edge_low[index]), sigma[:, None]), axis=1)

    weights = kernel(left) - kernel(right)
    covered = (offset(left, edge[0], edge_low[0]) >= -EDGE_TOLERANCE * pixel) & (
        offset(right, edge[-1], edge_low[-1]) <= EDGE_TOLERANCE * pixel
    )
    usable = covered & (sigma * WINDOW_SIGMA <= reach * (1 + 1e-6))
    total = jnp.where(usable, weights.sum(axis=1), jnp.nan)
    return first, weights / total[:, None]


@jax.jit
def _apply(first: Array, weights: Array, flux: Array) -> Array:
    index = first[:, None] + jnp.arange(weights.shape[1])[None, :]
    return jnp.einsum("pw,pw->p", weights, flux[index], precision="highest")


def _ramp(x: Float[Array, "n_pix m"], sigma: Float[Array, "n_pix 1"]) -> Float[Array, "n_pix m"]:
    """K(x) = x Phi(x/sigma) + sigma phi(x/sigma) in Å, max(x, 0) at sigma = 0; dK/dsigma = phi(x/sigma)."""
    blurred = sigma > 0
    safe = jnp.where(blurred, sigma, 1.0)
    z = x / safe
    smooth = x * jax.scipy.stats.norm.cdf(z) + safe * jax.scipy.stats.norm.pdf(z)
    return jnp.where(blurred, smooth, jnp.maximum(x, 0.0))
