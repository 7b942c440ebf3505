"""Resolving power from the line widths that files give per pixel."""

import numpy as np
from jaxtyping import Float

from crlb.detector import FWHM_PER_SIGMA


def from_sigma(
    wave: Float[np.ndarray, " n_pix"], sigma: Float[np.ndarray, " n_pix"]
) -> Float[np.ndarray, " n_pix"] | None:
    """Returns wave / FWHM of Gaussian lines of a given sigma (unit of `wave`), NaN where it is not positive.

    None where no pixel has a width.
    """
    good = np.isfinite(sigma) & (sigma > 0) & np.isfinite(wave)
    if not good.any():
        return None
    return np.where(good, wave / (FWHM_PER_SIGMA * np.where(good, sigma, 1.0)), np.nan)


def of_band(
    band: Float[np.ndarray, "n_diag n_pix"],
) -> Float[np.ndarray, " n_pix"]:
    """Returns the standard deviation, in pixels, of the line spread that the diagonals of a matrix hold.

    Row k of `band` holds the diagonal `n_diag // 2 - k`, column j the response to light of pixel j, as in
    desispec.resolution and scipy.sparse.dia_matrix. NaN where a column is empty.
    """
    offset = len(band) // 2 - np.arange(len(band))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = band.sum(axis=0)
        mean = (band * offset).sum(axis=0) / weight
        variance = (band * (offset - mean) ** 2).sum(axis=0) / weight
        sigma: np.ndarray = np.sqrt(variance)
    return sigma
