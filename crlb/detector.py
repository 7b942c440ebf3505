"""The detector of the PFS medium-resolution red arm: pixels, line-spread width, cells of samples."""

import math

import numpy as np
from jaxtyping import Float, Int

from crlb.errors import UsageError

SPEED_OF_LIGHT_KMS = 299792.458  # exact, SI
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian
# Pixel centres, vacuum A: 4096 equal pixels between 7100 and 8850 A, the PFS medium-resolution red arm.
DETECTOR_WAVE: Float[np.ndarray, "4096"] = 7100.0 + (np.arange(4096) + 0.5) * (1750.0 / 4096)
DEFAULT_LSF_FWHM = 1.6  # A, stated for the published data set (R = 5000 at mid-arm); measured 1.34-1.36 A


def pixels_within(low: float, high: float) -> Int[np.ndarray, " n"]:
    """Which of the detector's pixels have their centres between two vacuum wavelengths (A).

    Raises:
        UsageError: fewer than two have.
    """
    found = np.flatnonzero((low <= DETECTOR_WAVE) & (high >= DETECTOR_WAVE))
    if len(found) < 2:
        raise UsageError(
            f"wave_range must hold at least two of the detector's pixels, {DETECTOR_WAVE[0]:.2f} to "
            f"{DETECTOR_WAVE[-1]:.2f} A; found {low:g} to {high:g}"
        )
    return found


def cell_edges(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n+1"]:
    """Edges of the cells around samples: halfway between neighbours, the outer cells symmetric (A)."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
