"""The fewest exposures, and the faintest magnitude, by bracketing of direct evaluation."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from crlb.observation.brightness import BRIGHTEST, FAINTEST

MOST = 2.0**30  # exposures, 1.07e9: where more would be needed there is no number of them

FINE, COARSE = 1e-6, 0.02  # mag
MOST_STEPS = 20  # of a magnitude

Sigmas = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


def fewest_exposures(sigma: Sigmas, want: float, n: int = 1) -> Float[np.ndarray, " n"]:
    """Returns for every star the whole number of exposures with which sigma is at most `want`; inf: none.

    The number is doubled until it suffices, then halved in: sigma of it is at most `want`, sigma of one
    fewer is not.

    Args:
        sigma: numbers of exposures, one per star, at least 1 -> sigma in the unit of the label; NaN where
            there is none, which counts as too large.
        want: the largest sigma that is wanted.
        n: number of stars.
    """
    low, high = np.zeros(n), np.ones(n)
    enough = sigma(high) <= want
    while not enough.all() and high[~enough][0] < MOST:
        low, high = np.where(enough, low, high), np.where(enough, high, 2 * high)
        enough = enough | (sigma(high) <= want)
    while (open_ := enough & (high - low > 1)).any():
        middle = np.where(open_, np.floor((low + high) / 2), high)
        good = sigma(middle) <= want
        low, high = np.where(open_ & ~good, middle, low), np.where(good & open_, middle, high)
    return np.where(enough, high, np.inf)


def faintest_mag(sigma: Callable[[float], float], want: float) -> float:
    """Returns the faintest AB magnitude at which sigma, which grows with it, is at most `want`, to 1e-6 mag.

    NaN: it is larger at magnitude -20. Where it is smaller even at 45 that is returned. A sigma of NaN counts
    as too large.
    """
    if not sigma(BRIGHTEST) <= want:
        return float("nan")
    if sigma(FAINTEST) <= want:
        return FAINTEST
    return _halved(sigma, want, (BRIGHTEST, FAINTEST), FINE)


def _halved(
    sigma: Callable[[float], float], want: float, bracket: tuple[float, float], tolerance: float
) -> float:
    """The fainter end that still suffices of a bracket whose first end does and whose second does not."""
    bright, faint = bracket
    while faint - bright > tolerance:
        middle = (bright + faint) / 2
        bright, faint = (middle, faint) if sigma(middle) <= want else (bright, middle)
    return bright


def faintest_near(sigma: Callable[[float], float], want: float, start: float) -> float:
    """As `faintest_mag`, to 0.02 mag and from a first guess, where every sigma costs much.

    The magnitude returned suffices; the bracket is sought in steps of a magnitude, at most 20 of them.
    """
    step = 1.0 if sigma(start) <= want else -1.0
    near = far = start
    for _ in range(MOST_STEPS):
        near, far = far, far + step
        if (sigma(far) <= want) != (step > 0):
            break
    else:
        return FAINTEST if step > 0 else float("nan")
    return _halved(sigma, want, (min(near, far), max(near, far)), COARSE)
