"""What each pixel of any detector sees of finely sampled spectra, as a sparse matrix: host, numpy float64.

The equation is that of `crlb.observation.instrument`: the exact mean over pixel [a, b] of an input that is
constant over each of its cells, blurred by a Gaussian of width s, with K(x) = x Phi(x/s) + s phi(x/s),

    weight_i = [G(e_i) - G(e_i+1)] / (b - a),   G(e) = K(b - e) - K(a - e),   e = edge (1 + v/c).

Pixels are given by their edges one by one, so they may overlap, leave gaps and come in any order.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array
from scipy.special import ndtr

from crlb.detector import SPEED_OF_LIGHT_KMS, cell_edges

COVERED_SIGMA = 3.0  # of the kernel on either side of a pixel must lie within a grid; 0.3 % lie outside
CUT_SIGMA = 7.0  # the kernel is cut here; 3e-12 of a line lies outside
EDGE_TOLERANCE = 1e-3  # of a pixel: by so much a pixel may stick out of the input and still count as covered


class PixelKernel(NamedTuple):
    """Weights of the input samples in every pixel, and their change per km/s.

    Args:
        weights: rows sum to 1.
        d_rv_kms: derivative of `weights` by the radial velocity, per km/s; rows sum to 0.
        d_sigma: derivative of `weights` by the width of the Gaussian in their pixel, per Å; rows sum to 0.
    """

    weights: csr_array
    d_rv_kms: csr_array
    d_sigma: csr_array


def inside(
    wave: Float[np.ndarray, " n_wave"],
    low: Float[np.ndarray, " n_pix"],
    high: Float[np.ndarray, " n_pix"],
    *,
    reach: Float[np.ndarray, " n_pix"] | float = 0.0,
    rv_kms: float = 0.0,
) -> Bool[np.ndarray, " n_pix"]:
    """Returns True where a pixel, and `reach` (Å) on either side of it, lies within the cells of `wave`.

    Args:
        wave: sample wavelengths, increasing, vacuum Å, at rest.
        low: lower edges of the pixels, Å.
        high: upper edges of the pixels, Å.
        reach: what else must be covered on either side, Å.
        rv_kms: radial velocity of the input, km/s, receding positive.
    """
    first, last = cell_edges(wave)[[0, -1]] * (1 + rv_kms / SPEED_OF_LIGHT_KMS)
    slack = EDGE_TOLERANCE * (high - low)
    found: Bool[np.ndarray, " n_pix"] = (low - reach >= first - slack) & (high + reach <= last + slack)
    return found


def pixel_kernel(
    wave: Float[np.ndarray, " n_wave"],
    low: Float[np.ndarray, " n_pix"],
    high: Float[np.ndarray, " n_pix"],
    sigma: Float[np.ndarray, " n_pix"],
    rv_kms: float = 0.0,
) -> PixelKernel:
    """Returns the weights of the samples in every pixel, and their derivatives by velocity and width.

    Where the wings of the line-spread function leave the input, the covered part of the kernel is
    renormalised. Every pixel must touch the input (see `inside`).

    Args:
        wave: sample wavelengths, increasing, vacuum Å, at rest.
        low: lower edges of the pixels, Å.
        high: upper edges of the pixels, Å, above `low`.
        sigma: width of the Gaussian in every pixel, Å; 0 is plain rebinning by overlap.
        rv_kms: radial velocity, km/s, receding positive: lambda -> lambda (1 + v/c) at unchanged level.
    """
    edges = cell_edges(wave) * (1 + rv_kms / SPEED_OF_LIGHT_KMS)
    reach = CUT_SIGMA * sigma
    # One cell more on either side than is seen: a sharp pixel that moves begins to see it.
    first = np.clip(np.searchsorted(edges, low - reach, side="right") - 2, 0, wave.size - 1)
    last = np.clip(np.searchsorted(edges, high + reach, side="left") + 1, first + 1, wave.size)
    count = last - first + 1  # edges of each pixel's window, all windows one after the other below
    stop = np.cumsum(count)
    index = np.arange(count.sum()) - np.repeat(stop - count - first, count)
    edge, s = edges[index], np.repeat(sigma, count)
    right, left = (_ramp(np.repeat(bound, count) - edge, s) for bound in (high, low))
    inner = np.delete(np.arange(index.size - 1), stop[:-1] - 1)  # differences within a window
    weights = -np.diff(right.value - left.value)[inner]
    at_rest = edge / (1 + rv_kms / SPEED_OF_LIGHT_KMS) / SPEED_OF_LIGHT_KMS  # -d(offset)/dv, Å per km/s
    by_rv = np.diff(at_rest * (right.d_x - left.d_x))[inner]
    by_sigma = -np.diff(right.d_sigma - left.d_sigma)[inner]
    rows = np.concatenate([[0], np.cumsum(count - 1)])
    total, *d_totals = (np.add.reduceat(x, rows[:-1]) for x in (weights, by_rv, by_sigma))
    weights /= np.repeat(total, count - 1)
    changes = [
        change / np.repeat(total, count - 1) - weights * np.repeat(d_total / total, count - 1)
        for change, d_total in zip((by_rv, by_sigma), d_totals, strict=True)
    ]
    shape = (low.size, wave.size)
    return PixelKernel(*(csr_array((x, index[inner], rows), shape=shape) for x in (weights, *changes)))


class _Ramp(NamedTuple):
    """K(x) in Å, its derivative Phi(x/sigma) by x, and phi(x/sigma) by sigma."""

    value: Float[np.ndarray, " n"]
    d_x: Float[np.ndarray, " n"]
    d_sigma: Float[np.ndarray, " n"]


def _ramp(x: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]) -> _Ramp:
    """max(x, 0) and a step at sigma = 0, where the step itself counts half."""
    blurred = sigma > 0
    safe = np.where(blurred, sigma, 1.0)
    z = x / safe
    below = np.where(blurred, ndtr(z), np.heaviside(x, 0.5))
    density = np.where(blurred, np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi), 0.0)
    return _Ramp(x * below + sigma * density, below, density)
