"""Which unknowns a Fisher matrix has besides the labels. What they do to the flux: `nuisance.py`."""

from dataclasses import dataclass

from crlb.errors import UsageError
from crlb.labels import option_of
from crlb.observation.conditions import Conditions


@dataclass(frozen=True)
class Nuisances:
    """What is unknown besides the labels; nothing unless asked for.

    Args:
        amplitude: a free flux scale, rest 1.
        continuum: highest order of a free multiplicative Legendre polynomial, rest 0; order 0 is `amplitude`.
        rv: a free radial velocity, km/s, rest 0.
        lsf: a free width of the line-spread function, FWHM in Å, rest that of the instrument.

    Raises:
        UsageError: `continuum` is negative.
    """

    amplitude: bool = False
    continuum: int = 0
    rv: bool = False
    lsf: bool = False

    def __post_init__(self) -> None:
        if self.continuum < 0:
            raise UsageError(f"continuum must be an order of 0 or more, found {self.continuum}")


def nuisances_of(conditions: Conditions) -> Nuisances:
    """Returns what is unknown besides the labels, as `with_nuisances` needs it.

    Raises:
        UsageError: exposures that are drawn: one star has those it has.
    """
    if conditions.drawn:
        name = conditions.drawn[0]
        raise UsageError(f"{name}: one star has one value, that of {option_of(name)}; leave it out")
    return Nuisances(
        amplitude=conditions.scale > 0,
        continuum=conditions.continuum,
        rv=conditions.rv_sigma_kms > 0,
        lsf=conditions.lsf_sigma > 0,
    )
