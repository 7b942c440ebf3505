"""The model on the data's own pixels: a grid's emulator with their edges, line-spread widths, velocity.

An observed spectrum is not resampled: the basis spectra that every node is a sum of are put on its pixels,
whatever they are, by one sparse product, without any compilation.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from crlb.detector import FWHM_PER_SIGMA, Detector, pfs_medium
from crlb.errors import DataError, UsageError
from crlb.files.observed import Observed
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.sampling import too_sparse
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.instrument import seen_by, smooth_median
from crlb.observation.kernel import COVERED_SIGMA, inside, pixel_kernel


class OnPixels(NamedTuple):
    """A grid's emulator on the pixels of one spectrum.

    Args:
        emulator: flux per Å on the pixels, 0 where not covered; `wave` holds their middles. It keeps the
            grid's `resolving_power`, a static field, so that spectra of the same number of pixels share
            compiled code; `fwhm_used` has the widths.
        d_rv_kms: derivative of `emulator.basis` by the radial velocity, per km/s.
        covered: True where the grid reaches the pixel and 3 sigma of its kernel on either side.
        fwhm_used: full width at half maximum of what the model shows, Å: the data's, or the grid's own
            where the data are sharper; NaN where not covered.
    """

    emulator: Emulator
    d_rv_kms: Float[Array, "k n_pix"]
    covered: Bool[np.ndarray, " n_pix"]
    fwhm_used: Float[np.ndarray, " n_pix"]


def before_instrument(
    grid: SpectralGrid,
    degree: int = 3,
    *,
    rtol: float | None = None,
    detector: Detector | None = None,
) -> Emulator:
    """Returns the emulator on the grid's own samples, every node scaled to a median of 0.5 over the arm.

    The scale is a smooth function of the labels (`smooth_median`), the same as through the instrument.

    Args:
        grid: model spectra, not yet on a detector.
        degree: of the splines, 3 or 5.
        rtol: of the emulator, as `make_emulator`.
        detector: pixels and line-spread widths with which the medians are taken; None: all of the PFS red
            arm's that the grid covers, with the grid's own width where that is broader.

    Raises:
        DataError: the grid covers fewer than two pixels of the arm, or its samples are too far apart there.
        UsageError: as `to_detector` and `make_emulator`.
    """
    seen = seen_by(grid, _arm(grid) if detector is None else detector, normalise=False)
    scaled = grid.spectra.scaled(0.5 / smooth_median(seen.spectra, grid))
    return make_emulator(dataclasses.replace(grid, spectra=scaled, continuum=None), rtol, degree)


def _arm(grid: SpectralGrid) -> Detector:
    """The part of the PFS red arm that the grid covers, with a width that it can give."""
    arm = pfs_medium()
    found = np.flatnonzero(inside(grid.wave, arm.low, arm.high))
    if len(found) < 2:
        raise DataError(
            f"grid: needed spectra that reach the arm, {arm.low[0]:g} to {arm.high[-1]:g} Å, found "
            f"{grid.wave[0]:.2f} to {grid.wave[-1]:.2f} Å; use another grid (--grid)"
        )
    return pfs_medium(max(arm.width, float(arm.wave[found[-1]]) / grid.resolving_power)).take(found)


def on_pixels(
    fine: Emulator,
    low: Float[np.ndarray, " n_pix"],
    high: Float[np.ndarray, " n_pix"],
    *,
    fwhm: Float[np.ndarray, " n_pix"] | float,
    rv_kms: float = 0.0,
) -> OnPixels:
    """Returns the emulator as pixels with these edges see it, moving at `rv_kms`.

    The basis is blurred by the Gaussian that the grid lacks, fwhm^2 - (wave / resolving_power)^2, or not at
    all where the data are sharper than the grid, and averaged over each pixel, exactly. The pixels may come
    in any order, overlap and leave gaps. Scale and level are those of `fine`: moved by lambda ->
    lambda (1 + v/c) at unchanged level, as in `detector_flux`.

    Args:
        fine: emulator on the grid's own samples, as `before_instrument` makes it.
        low: lower edges of the pixels, vacuum Å.
        high: upper edges of the pixels, vacuum Å.
        fwhm: full width at half maximum of the data's line-spread function, Å, one number or one per pixel;
            where it is not finite the pixel counts as not covered.
        rv_kms: radial velocity of the star in the frame of the pixels, km/s, receding positive.
    """
    low, high = (np.asarray(x, np.float64) for x in (low, high))
    grid_wave, middle = np.asarray(fine.wave, np.float64), (low + high) / 2
    asked, own = np.broadcast_to(fwhm, low.shape), middle / fine.resolving_power
    real = np.isfinite(asked) & (asked >= 0) & (high > low)
    sigma = np.sqrt(np.maximum(np.where(real, asked, 0.0) ** 2 - own**2, 0.0)) / FWHM_PER_SIGMA
    covered = real & inside(grid_wave, low, high, reach=COVERED_SIGMA * sigma, rv_kms=rv_kms)
    covered &= ~too_sparse(grid_wave, fine.resolving_power, low - sigma, high + sigma, rv_kms)
    kernel = pixel_kernel(grid_wave, low[covered], high[covered], sigma[covered], rv_kms)
    rows = np.ascontiguousarray(np.asarray(fine.basis, np.float64).T)
    basis, d_rv_kms = (_rows_at(covered, part @ rows) for part in (kernel.weights, kernel.d_rv_kms))
    return OnPixels(
        dataclasses.replace(fine, basis=jnp.asarray(basis, fine.basis.dtype), wave=middle),
        jnp.asarray(d_rv_kms, fine.basis.dtype),
        covered,
        np.where(covered, np.maximum(asked, own), np.nan),
    )


def _rows_at(covered: Bool[np.ndarray, " n_pix"], seen: Float[np.ndarray, "n k"]) -> np.ndarray:
    """Basis rows (k, n_pix) from their values on the covered pixels, 0 elsewhere."""
    if not covered.all():
        whole = np.zeros((covered.size, seen.shape[1]))
        whole[covered] = seen
        seen = whole
    return seen.T


def on_observed(
    fine: Emulator,
    observed: Observed,
    *,
    fwhm: Float[np.ndarray, " n_pix"] | float | None = None,
    rv_kms: float = 0.0,
) -> OnPixels:
    """Returns the emulator on the pixels of an observed spectrum.

    Args:
        fine: emulator on the grid's own samples, as `before_instrument` makes it.
        observed: its cells are the pixels, its resolving power gives the line-spread width.
        fwhm: full width at half maximum of the line-spread function, Å, instead of what the file says.
        rv_kms: radial velocity that the wavelengths of `observed` still have, km/s, receding positive.

    Raises:
        UsageError: neither the file nor `fwhm` gives a width.
    """
    if fwhm is None:
        if observed.resolving_power is None:
            raise UsageError(
                f"{observed.origin}: needed the resolving power, which the file does not say; give it "
                "(--resolving-power)"
            )
        with np.errstate(divide="ignore"):
            fwhm = observed.wave / observed.resolving_power
    low, high = observed.cells
    return on_pixels(fine, low, high, fwhm=fwhm, rv_kms=rv_kms)
