"""Fisher matrix of a spectrum whose pixels have correlated noise, with a banded covariance.

    F_ab = dmu_a^T C^-1 dmu_b  +  1/2 tr(C^-1 dC_a C^-1 dC_b)

By C = L L^T with banded L, never by the inverse of C. Bands as scipy.linalg.cholesky_banded has them with
lower=True: cov_bands[d, p] = C[p + d, p], so cov_bands[0] is the variance; entries past the end are ignored.
Host side, float64. Source: Tegmark, Taylor & Heavens 1997, ApJ 480, 22, eq. 15.
"""

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.linalg import LinAlgError, cholesky_banded
from scipy.linalg.lapack import dtbtrs

from crlb.errors import DataError, UsageError

BLOCK = 256  # columns of a dense n_pix x n_pix product held at a time


def fisher_information_banded(
    jac: Float[Array | np.ndarray, "n_pix n_labels"],
    cov_bands: Float[Array | np.ndarray, "n_bands n_pix"],
    cov_bands_jac: Float[Array | np.ndarray, "n_bands n_pix n_labels"] | None = None,
    usable: Bool[Array | np.ndarray, " n_pix"] | None = None,
) -> Float[np.ndarray, "n_labels n_labels"]:
    """Returns the Fisher matrix of one spectrum, in 1/(unit of a * unit of b).

    Args:
        jac: derivative of the flux by the labels.
        cov_bands: covariance of the noise, flux^2, in lower banded form.
        cov_bands_jac: its derivative by the labels, bands alike; None leaves out the information in
            the noise itself (the trace term), which takes a time of n_pix^2.
        usable: False where a pixel was not observed; None: all were.

    Raises:
        DataError: the covariance is not finite, or not positive definite.
        UsageError: there are more bands than pixels.
    """
    design, bands = np.asarray(jac, np.float64), np.array(cov_bands, np.float64)
    if not 0 < len(bands) <= len(design):
        raise UsageError(f"cov_bands: needed 1 to {len(design)} bands, found {len(bands)}")
    slopes = None if cov_bands_jac is None else np.moveaxis(np.array(cov_bands_jac, np.float64), 2, 0)
    if usable is not None:
        observed = np.asarray(usable)
        design = design * observed[:, None]
        bands = _without(bands, observed, 1.0)
        slopes = None if slopes is None else np.stack([_without(s, observed, 0.0) for s in slopes])
    factor = _cholesky(bands)
    white = _solve(factor, design)
    fisher = white.T @ white
    return np.asarray(fisher if slopes is None else fisher + _trace_term(factor, slopes))


def _without(bands: np.ndarray, observed: np.ndarray, variance: float) -> np.ndarray:
    """The bands with every pixel that was not observed cut off from the others, with this variance."""
    kept = np.zeros_like(bands)
    for d, band in enumerate(bands):
        n = len(band) - d
        kept[d, :n] = np.where(observed[:n] & observed[d:], band[:n], 0.0)
    kept[0] += np.where(observed, 0.0, variance)
    return kept


def _cholesky(bands: np.ndarray) -> np.ndarray:
    """L in lower banded form."""
    if not all(np.isfinite(band[: len(band) - d]).all() for d, band in enumerate(bands)):
        raise DataError("cov_bands must be finite, found NaN or infinity; mark such pixels with `usable`")
    try:
        return np.asarray(cholesky_banded(bands, lower=True, check_finite=False))
    except LinAlgError as error:
        raise DataError(
            f"cov_bands must be a positive definite covariance ({error}); is cov_bands[0] the variance?"
        ) from error


def _solve(factor: np.ndarray, right: np.ndarray, transposed: bool = False) -> np.ndarray:
    """L^-1 right, or L^-T right."""
    solution, info = dtbtrs(factor, right, uplo="L", trans="T" if transposed else "N")
    assert info == 0  # the diagonal of a Cholesky factor is positive
    return np.asarray(solution)


def _times_symmetric(bands: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The symmetric matrix with these lower bands times `right`."""
    product = bands[0][:, None] * right
    for d, band in enumerate(bands[1:], start=1):
        n = len(band) - d
        product[d:] += band[:n, None] * right[:n]
        product[:n] += band[:n, None] * right[d:]
    return np.asarray(product)


def _trace_term(factor: np.ndarray, slopes: np.ndarray) -> Float[np.ndarray, "n_labels n_labels"]:
    """1/2 sum_ij A_a,ij A_b,ij with A = L^-1 dC L^-T, a block of columns at a time."""
    n_pix = factor.shape[1]
    total = np.zeros((len(slopes), len(slopes)))
    for start in range(0, n_pix, BLOCK):
        unit = np.eye(n_pix, min(BLOCK, n_pix - start), k=-start)
        right = _solve(factor, unit, transposed=True)
        columns = [_solve(factor, _times_symmetric(slope, right)).ravel() for slope in slopes]
        block = np.stack(columns)
        total += 0.5 * block @ block.T
    return total
