"""Hours and whole exposures."""

import math

from crlb.errors import UsageError

SECONDS = 3600.0  # of an hour


def whole_exposures(hours: float, exptime_s: float) -> int:
    """Returns how many exposures fit into these hours.

    Raises:
        UsageError: not one.
    """
    n_exp = math.floor(hours * SECONDS / exptime_s * (1 + 1e-12))
    if n_exp < 1:
        raise UsageError(
            f"hours: one exposure takes {exptime_s / SECONDS:g} h, found {hours:g} h; give more, or shorter "
            "exposures (--exptime-s)"
        )
    return n_exp
