"""An observed spectrum sharper than the model can show, blurred to the model's width and rebinned.

    flux_j = sum_i W_ji flux_i,   C_jk = sum_i W_ji W_ki / ivar_i,   1 / ivar_j = sum_k C_jk

with W the mean over output pixel j of the input blurred by the missing Gaussian (`pixel_kernel`), over usable
pixels only. The noise of neighbouring output pixels is correlated; `ivar` has no room for that. The row sum
of the covariance is the variance that a broad feature averages down from: what is fitted to many pixels gets
the right error, while the scatter from pixel to pixel is smaller than `ivar` says.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from crlb.detector import FWHM_PER_SIGMA, cell_edges
from crlb.errors import UsageError
from crlb.files.observed import Observed
from crlb.observation.kernel import pixel_kernel

TOO_SHARP = 1.25  # resolving power of the data over that of the model; the posterior's bias below is small
PIXELS_PER_FWHM = 2  # of the output
LEAST_USABLE = 0.5  # of a pixel's kernel must lie on usable input
ENDS_SIGMA = 1.5  # of the kernel: output pixels so near an end of the input are not usable


def too_sharp(observed: Observed, resolving_power: float) -> bool:
    """Returns whether a spectrum is sharper than a model of this resolving power by more than a quarter.

    The median over usable pixels decides; a spectrum whose resolving power is not stated is not.
    """
    if observed.resolving_power is None or not observed.usable.any():
        return False
    return bool(np.median(observed.resolving_power[observed.usable]) > TOO_SHARP * resolving_power)


def degraded(
    observed: Observed, *, resolving_power: float | None = None, fwhm: float | None = None
) -> Observed:
    """Returns the spectrum at a lower resolving power, on pixels of about half the new width.

    Where the data are as broad already they are only rebinned; pixels coarser than half the new width are
    kept. Pixels whose kernel sees less than half usable input, or an end of the spectrum, become unusable.

    Args:
        observed: a spectrum whose resolving power is known.
        resolving_power: wave / FWHM wanted.
        fwhm: full width at half maximum wanted, Å, instead.

    Raises:
        UsageError: neither or both widths, not positive, or the file does not say its resolving power.
    """
    if (resolving_power is None) == (fwhm is None):
        raise UsageError("degraded: needed either a resolving power or a FWHM")
    wanted = resolving_power or fwhm or 0.0
    if not 0 < wanted < np.inf:
        raise UsageError(f"degraded: the width wanted must be positive, found {wanted:g}")
    if observed.resolving_power is None:
        raise UsageError(
            f"{observed.origin}: needed the resolving power, which the file does not say; give it "
            "(--resolving-power)"
        )
    number = np.zeros(observed.wave.size, int) if observed.segment is None else observed.segment
    pieces = [
        (number[part.start], _piece(observed, part, resolving_power, fwhm)) for part in observed.parts()
    ]
    segment = np.concatenate([np.full(p.wave.size, n) for n, p in pieces])
    wave, flux, ivar, power = (np.concatenate(x) for x in zip(*(p for _, p in pieces), strict=True))
    width = f"R {resolving_power:g}" if fwhm is None else f"FWHM {fwhm:g} Å"
    sentence = (
        f"blurred to {width} and rebinned from {observed.wave.size} to {wave.size} pixels, "
        f"{int((ivar > 0).sum())} of them usable; their noise is correlated and ivar allows for that"
    )
    return replace(
        observed,
        wave=wave,
        flux=flux,
        ivar=ivar,
        resolving_power=power,
        segment=None if observed.segment is None else segment,
        done=(*observed.done, sentence),
    )


class _Piece(NamedTuple):
    wave: Float[np.ndarray, " n"]
    flux: Float[np.ndarray, " n"]
    ivar: Float[np.ndarray, " n"]
    resolving_power: Float[np.ndarray, " n"]


def _piece(observed: Observed, part: slice, resolving_power: float | None, fwhm: float | None) -> _Piece:
    """One segment, blurred and rebinned."""
    wave, usable = observed.wave[part], observed.usable[part]
    edges = _edges(wave, resolving_power, fwhm)
    low, high = edges[:-1], edges[1:]
    middle = (low + high) / 2 if edges.size != wave.size + 1 else wave
    assert observed.resolving_power is not None
    own = middle / np.interp(middle, wave, observed.resolving_power[part])
    target = np.broadcast_to(middle / resolving_power if fwhm is None else fwhm, middle.shape)
    lacking = np.where(own < target, target, own) ** 2 - own**2
    sigma = np.sqrt(np.where(np.isfinite(lacking), lacking, 0.0)) / FWHM_PER_SIGMA
    kernel = pixel_kernel(wave, low, high, sigma).weights
    seen = kernel @ usable.astype(float)
    ends = cell_edges(wave)[[0, -1]]
    near_end = (middle - ends[0] < ENDS_SIGMA * sigma) | (ends[1] - middle < ENDS_SIGMA * sigma)
    good = (seen >= LEAST_USABLE) & ~near_end & np.isfinite(own)
    weights = csr_array(kernel.multiply(np.where(good, 1 / np.maximum(seen, LEAST_USABLE), 0.0)[:, None]))
    flux, ivar = observed.flux[part], observed.ivar[part]
    variance = np.where(usable, 1 / np.where(usable, ivar, 1.0), 0.0)
    masked = csr_array(weights.multiply(usable.astype(float)[None, :]))
    row_sum = masked @ (variance * masked.sum(axis=0))
    found = np.where(good, 1.0 / np.where(good, row_sum, 1.0), 0.0)
    return _Piece(
        middle, masked @ flux, found if observed.has_errors else good * 1.0, middle / np.maximum(own, target)
    )


def _edges(
    wave: Float[np.ndarray, " n"], resolving_power: float | None, fwhm: float | None
) -> Float[np.ndarray, " m"]:
    """Edges of output pixels: even in wavelength or its logarithm, or the input's where those are coarser."""
    own = cell_edges(wave)
    first, last = float(own[0]), float(own[-1])
    if fwhm is None:
        assert resolving_power is not None
        n = int(np.log(last / first) * resolving_power * PIXELS_PER_FWHM)
    else:
        n = int((last - first) / fwhm * PIXELS_PER_FWHM)
    if n >= wave.size or n < 2:
        return own
    return np.geomspace(first, last, n + 1) if fwhm is None else np.linspace(first, last, n + 1)
