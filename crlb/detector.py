"""The detector of the PFS medium-resolution red arm: pixels, line-spread width, cells of samples."""

import math

import numpy as np
from jaxtyping import Float, Int

from crlb.errors import UsageError

SPEED_OF_LIGHT_KMS = 299792.458  # exact, SI
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian
# Pixel centres, vacuum Å: 4096 equal pixels between 7100 and 8850 Å, the PFS medium-resolution red arm.
DETECTOR_WAVE: Float[np.ndarray, "4096"] = 7100.0 + (np.arange(4096) + 0.5) * (1750.0 / 4096)
DEFAULT_LSF_FWHM = 1.6  # Å, stated for the published data set (R = 5000 at mid-arm); measured 1.34-1.36 Å


def pixels_within(
    low: float, high: float, wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE
) -> Int[np.ndarray, " n"]:
    """Indices of the pixels, the detector's unless given, centred between two wavelengths (vacuum Å).

    Raises:
        UsageError: fewer than two pixels lie there.
    """
    found = np.flatnonzero((low <= wave) & (high >= wave))
    if len(found) < 2:
        raise UsageError(
            f"wave_range must hold at least two of the pixels, {wave[0]:.2f} to {wave[-1]:.2f} Å; "
            f"found {low:g} to {high:g}"
        )
    return found


def cell_edges(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n+1"]:
    """Edges (Å) of the cells around samples: halfway between neighbours, the outer cells symmetric."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
