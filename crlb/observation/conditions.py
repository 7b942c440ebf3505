"""What is unknown of an observed star besides its labels, each unknown with its prior.

    flux = s (1 + sum_k c_k P_k(x)) S(labels, v),      s ~ N(1, scale^2), c_k ~ N(0, continuum_sigma^2),
                                                       v ~ N(v_0, rv_sigma_kms^2)

with Legendre polynomials P_k of x, the wavelength scaled to -1..1 over the pixels in use. All of them are, at
given labels, linear in the flux or nearly so, and are integrated over analytically (`crlb.bayes.linear`).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial.legendre import legvander

from crlb.errors import UsageError

MAX_CONTINUUM = 20  # order above which polynomials follow lines instead of a response
MAX_MODEL_ERROR = 1.0  # relative: a model that is wrong by more than the flux says nothing


@dataclass(frozen=True)
class Conditions:
    """What is unknown besides the labels; nothing unless asked for. Hashable: static under jit.

    Args:
        scale: 1-sigma of a Gaussian prior around 1 on a factor on the flux; inf: flat; None: the scale is
            known.
        continuum: highest order of a multiplicative Legendre polynomial over the range of the pixels; 0:
            none.
        continuum_sigma: 1-sigma of a Gaussian prior around 0 on its coefficients of order 1 and up, relative
            to the flux; inf: flat.
        rv_sigma_kms: 1-sigma of a Gaussian prior on the radial velocity around the value at which the model
            was put on the pixels, km/s; inf: flat; None: the velocity is known.
        model_error: 1-sigma error of the model relative to the flux: it adds (model_error x flux level)^2 to
            the variance of every pixel. For observed spectra it is the same over 10 Å, for chi2 each pixel
            has its own (`crlb.bayes.best_fit`).

    Raises:
        UsageError: a value out of range, named.
    """

    scale: float | None = None
    continuum: int = 0
    continuum_sigma: float = math.inf
    rv_sigma_kms: float | None = None
    model_error: float = 0.0

    def __post_init__(self) -> None:
        for name, unit in (("scale", ""), ("rv_sigma_kms", " km/s"), ("continuum_sigma", "")):
            value = getattr(self, name)
            if value is not None and not value > 0:
                known = "" if name == "continuum_sigma" else ", None for known"
                raise UsageError(f"{name} must be positive{unit}, inf for flat{known}; found {value}")
        if not 0 <= self.continuum <= MAX_CONTINUUM:
            raise UsageError(f"continuum must be an order of 0 to {MAX_CONTINUUM}, found {self.continuum}")
        if not 0 <= self.model_error < MAX_MODEL_ERROR:
            raise UsageError(f"model_error must be a fraction from 0 to below 1, found {self.model_error}")

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of the unknowns, in the order of every vector of them; the velocity in km/s comes last."""
        scale = () if self.scale is None else ("scale",)
        velocity = () if self.rv_sigma_kms is None else ("rv_kms",)
        return (*scale, *(f"continuum_{k + 1}" for k in range(self.continuum)), *velocity)

    @property
    def prior_mean(self) -> Float[np.ndarray, " n_unknowns"]:
        """Means of their priors: 1 for the scale, 0 for the others."""
        return np.array([float(name == "scale") for name in self.unknowns])

    @property
    def prior_precision(self) -> Float[np.ndarray, " n_unknowns"]:
        """1/variance of their priors; 0 where flat."""
        sigma = {"scale": self.scale, "rv_kms": self.rv_sigma_kms}
        widths = [sigma.get(name, self.continuum_sigma) for name in self.unknowns]
        return np.array([1 / width**2 for width in widths if width is not None])


def polynomials(
    wave: Float[np.ndarray, " n_pix"], low: float, high: float, order: int
) -> Float[np.ndarray, "order_plus_1 n_pix"]:
    """Returns the Legendre polynomials of order 0 to `order` over low..high (Å), at `wave`.

    Outside they keep their values at the ends: no pixel is in use there.
    """
    x = np.clip((np.asarray(wave, np.float64) - (low + high) / 2) / ((high - low) / 2), -1, 1)
    found: Float[np.ndarray, "order_plus_1 n_pix"] = legvander(x, order).T
    return found
