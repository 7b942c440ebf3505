"""A spectrum of sharper lines than a network was taught, smoothed to their width."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from crlb.files.observed import Observed

FWHM_PER_SIGMA = 2.3548200450309493  # of a Gaussian: 2 sqrt(2 ln 2)
REACH = 4.0  # sigma of the smoothing beyond which nothing counts
COVERED = 0.5  # of the weight of a smoothed pixel must be of usable ones


def smoothed(observed: Observed, fwhm: Float[np.ndarray, " n_pix"], wanted: float) -> Observed:
    """The spectrum with lines as wide as wanted, where its own are narrower: Gaussian of the difference.

    Unusable pixels are left out of the weighted means. The variance is that of these means; neighbours then
    share noise, which an inverse variance cannot say.

    Args:
        observed: on evenly spaced pixels.
        fwhm: full width at half maximum of its lines, Å.
        wanted: the wanted one, Å.
    """
    spacing = float(np.median(np.diff(observed.wave)))
    sigma = np.sqrt(np.maximum(wanted**2 - fwhm**2, 0.0)) / FWHM_PER_SIGMA / spacing  # pixels
    reach = int(np.ceil(REACH * float(sigma.max())))
    usable = observed.usable
    variance = np.divide(1.0, observed.ivar, out=np.zeros(usable.shape), where=usable)
    total, square, flux = np.zeros(usable.shape), np.zeros(usable.shape), np.zeros(usable.shape)
    whole = np.zeros(usable.shape)
    for step in range(-reach, reach + 1):
        # A smoothing narrower than a pixel leaves the pixel alone.
        weight = np.exp(-0.5 * (step / np.maximum(sigma, 1e-3)) ** 2)
        there = np.roll(usable, -step)
        there[len(there) - step if step > 0 else 0 : len(there) if step > 0 else -step] = False
        whole += weight
        total += weight * there
        flux += weight * there * np.roll(observed.flux, -step)
        square += weight**2 * there * np.roll(variance, -step)
    good = total >= COVERED * whole
    return replace(
        observed,
        flux=np.divide(flux, total, out=np.zeros(flux.shape), where=good),
        ivar=np.divide(total**2, square, out=np.zeros(flux.shape), where=good & (square > 0)),
        done=(*observed.done, f"smoothed to lines {wanted:g} Å wide (FWHM)"),
    )
