"""A set of exposures: how long, how many, through what seeing."""

from dataclasses import dataclass

import jax
import numpy as np

from crlb.errors import UsageError

REFERENCE_EXPTIME_S = 900.0  # every curve is for one exposure of this length

# Light through the fibre relative to 0.8 arcsec (calculator, point source, 0.1 arcsec offset)
SEEING_ARCSEC = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
SEEING_FACTOR = (1.471, 1.298, 1.141, 1.0, 0.877, 0.770, 0.600, 0.426)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Exposure:
    """A set of equal exposures: static under jit, checked when made.

    Args:
        exptime_s: Length of one exposure, s.
        n_exp: Number of exposures.
        seeing_arcsec: Full width at half maximum of the seeing, arcsec; changes the star's light only.

    Raises:
        UsageError: a value that is not positive, or a seeing outside the table (0.5-1.5 arcsec).
    """

    exptime_s: float = 900.0
    n_exp: int = 12
    seeing_arcsec: float = 0.8

    def __post_init__(self) -> None:
        if not (self.exptime_s > 0 and self.n_exp > 0):
            raise UsageError(
                f"exposure: exptime_s and n_exp must be positive, found {self.exptime_s} s x {self.n_exp}"
            )
        if not SEEING_ARCSEC[0] <= self.seeing_arcsec <= SEEING_ARCSEC[-1]:
            raise UsageError(
                f"seeing_arcsec: needed {SEEING_ARCSEC[0]} to {SEEING_ARCSEC[-1]} arcsec, where the light "
                f"through the fibre is tabulated, found {self.seeing_arcsec}"
            )

    @property
    def time(self) -> float:
        """Length of one exposure in units of the curves' 900 s."""
        return self.exptime_s / REFERENCE_EXPTIME_S

    @property
    def seeing_factor(self) -> float:
        """Light through the fibre relative to 0.8 arcsec, linear between the tabulated seeings."""
        return float(np.interp(self.seeing_arcsec, SEEING_ARCSEC, SEEING_FACTOR))
