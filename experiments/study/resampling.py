"""Intervals of any statistic of the test stars, by resampling the stars.

Whatever belongs to a star, the truth, what methods say of it, its exact posterior, is resampled together with
it, so that differences and ratios between methods keep what the methods have in common.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from specvit_jax.metrics import BLOCK, MIN_BIN

RESAMPLES = 1000
TAILS = (0.025, 0.975)

Statistic = Callable[..., np.ndarray]  # arrays (..., n_stars) -> (...)


def ends(
    statistic: Statistic, *stars: Float[np.ndarray, " n"], n_resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The 95 % bootstrap percentile interval of a statistic that works along the last axis.

    Resamples of which it is NaN, as R2 of one star drawn again and again, do not count.
    """
    rng, n = np.random.default_rng(seed), len(stars[0])
    block = max(1, BLOCK // n)
    found = []
    for start in range(0, n_resamples, block):
        rows = rng.integers(n, size=(min(block, n_resamples - start), n))
        found.append(statistic(*(values[rows] for values in stars)))
    low, high = np.nanquantile(np.concatenate(found), TAILS)
    return float(low), float(high)


def with_ends(name: str, statistic: Statistic, *stars: Float[np.ndarray, " n"]) -> dict[str, float | None]:
    """A statistic and its interval: `name`, `name`_low, `name`_high; None of fewer than `MIN_BIN` stars."""
    if len(stars[0]) < MIN_BIN:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = ends(statistic, *stars)
    return {name: float(statistic(*stars)), f"{name}_low": low, f"{name}_high": high}
