"""A table of spectra as a short product of factors, with a guaranteed largest relative error."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from crlb.errors import UsageError


def compress(
    table: Float[np.ndarray, "n n_pix"], rtol: float, dtype: type[np.floating] = np.float64
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "k n_pix"]]:
    """Returns factors with |coefficients @ basis - table| <= rtol * table everywhere, k near the smallest.

    Principal vectors of the rows scaled to unit mean; k is found by bisection (to 2 %) on the measured
    error, with the factors already rounded to `dtype`.

    Raises:
        UsageError: `dtype` cannot hold the table to `rtol`.
    """
    scale = table.mean(axis=1, keepdims=True)
    scaled = table / scale
    power, vectors = eigh(scaled @ scaled.T, driver="evd")
    left = vectors[:, ::-1]
    coefficients, basis = (scale * left).astype(dtype), (left.T @ scaled).astype(dtype)

    def fits(k: int) -> bool:
        product = coefficients[:, :k].astype(np.float64) @ basis[:k]
        product -= table
        return bool((np.abs(product, out=product) <= rtol * table).all())

    # The rms error needs no product, and the largest error is above it: a first guess from below.
    rms = np.sqrt(np.cumsum(np.abs(power)) / table.size)[::-1]
    low = max(int(np.searchsorted(-rms, -rtol)) - 1, 0)
    high = min(low + 8, len(table))
    while not fits(high):
        if high == len(table):
            raise UsageError(f"rtol={rtol:g} is below what {np.dtype(dtype)} holds of these spectra")
        low, high = high, min(2 * high, len(table))
    while high - low > max(1, high // 64):
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return coefficients[:, :high], basis[:high]
