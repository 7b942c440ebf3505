"""From signal-to-noise ratios to magnitudes, and from the magnitude of one band to that of another."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from crlb.errors import UsageError
from crlb.grids.emulator import make_emulator
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.forward_model import ForwardModel
from crlb.observation.kernel import pixel_kernel
from crlb.observation.line_spread import top_up_sigma
from crlb.observation.noise import band_mean
from crlb.observation.spectrograph import Spectrograph

BRIGHTEST, FAINTEST = -20.0, 45.0  # AB magnitudes between which one is looked for
TOLERANCE = 1e-9  # mag


def mags_at_snr(
    model: ForwardModel, snr: Sequence[float], labels: Float[np.ndarray, "n n_labels"]
) -> list[float]:
    """Returns the magnitudes at which the median star has these signal-to-noise ratios.

    The ratio is `ForwardModel.snr`, the median of flux/error over the pixels in use; it falls with magnitude.

    Args:
        model: how stars are seen.
        snr: per pixel.
        labels: of the stars.

    Raises:
        UsageError: a ratio is not positive, or reached at no magnitude between -20 and 45.
    """
    with jax.enable_x64(True):
        double, points = model.astype(jnp.float64), jnp.asarray(labels)
        stars = jax.jit(lambda mag: jnp.median(jax.lax.map(lambda one: double.snr(one, mag), points)))

        def excess(mag: float, wanted: float) -> float:
            return float(jnp.log(stars(mag) / wanted))

        return [_root(excess, wanted) for wanted in snr]


def _root(excess: Callable[[float, float], float], wanted: float) -> float:
    if not 0 < wanted < np.inf:
        raise UsageError(f"snr must be positive and finite, found {wanted:g}")
    if not excess(BRIGHTEST, wanted) > 0 > excess(FAINTEST, wanted):
        raise UsageError(
            f"snr {wanted:g} is reached at no AB magnitude between {BRIGHTEST:g} and {FAINTEST:g} in these "
            "exposures"
        )
    return float(brentq(excess, BRIGHTEST, FAINTEST, args=(wanted,), xtol=TOLERANCE))


def snr_per_pixel(model: ForwardModel, per_element: float) -> float:
    """Returns the signal-to-noise ratio of a pixel for one of a resolution element, of one line-spread FWHM.

    Noise of pixels is independent, so that it is smaller by the square root of the pixels in an element (the
    median over the instrument's).

    Raises:
        UsageError: the model does not say how many pixels an element has.
    """
    pixels = model.instrument.pixels_per_fwhm
    if pixels is None:
        raise UsageError("snr per element: the model does not know the pixels of a resolution element")
    return float(per_element / np.sqrt(pixels))


def mags_elsewhere(
    grid: SpectralGrid,
    labels: Float[np.ndarray, " n_labels"],
    mag: float,
    seen: Sequence[Spectrograph],
) -> list[float]:
    """Returns the magnitudes of one star in the bands of several spectrographs.

    Args:
        grid: model spectra, before any instrument.
        labels: of the star.
        mag: AB magnitude in the band of the first spectrograph.
        seen: spectrographs with the pixels that the grid reaches (`on_grid`).

    Raises:
        UsageError: labels outside the grid.
    """
    with jax.enable_x64(True):
        spectrum = np.asarray(make_emulator(grid)(labels), np.float64)
        means = np.array([_mean(grid, spectrum, one) for one in seen])
    found: list[float] = (mag - 2.5 * np.log10(means / means[0])).tolist()
    return found


def _mean(grid: SpectralGrid, spectrum: Float[np.ndarray, " n_wave"], seen: Spectrograph) -> float:
    """Mean of f_nu over the band of a spectrograph, up to a factor that all share."""
    detector = seen.detector
    sigma = top_up_sigma(grid, detector.wave, detector.lsf_fwhm)
    kernel = pixel_kernel(grid.wave, detector.low, detector.high, sigma)
    return float(band_mean(jnp.asarray(kernel.weights @ spectrum), seen.noise))
