"""What is unknown of an observed star besides its labels, each unknown with its prior.

    flux = (s + sum_k c_k P_k(x)) S(labels, v, w) + sum_l a_l T_l + noise

    s ~ N(1, scale^2)               flux scale
    c_k ~ N(0, continuum_sigma^2)   continuum: Legendre polynomials P_k of x, the wavelength scaled to -1..1
    v ~ N(v_0, rv_sigma_kms^2)      radial velocity, km/s
    w ~ N(w_0, (lsf_sigma w_0)^2)   full width at half maximum of the line-spread function, Å
    a_l ~ N(0, sky_left^2)          share of a sky line T_l that was not subtracted, the same over the line

and pixels that are lost. Scale, continuum and sky are linear in the flux and integrated over analytically
(`crlb.bayes.linear`). Velocity and width are smooth axes of the emulator (`crlb.observation.moving`), or, for
the velocity of observed spectra, linear near a velocity found before (`crlb.bayes.observed`).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial.legendre import legvander

from crlb.errors import UsageError
from crlb.files.records import Record

MAX_CONTINUUM = 20  # order above which polynomials follow lines instead of a response
MAX_MODEL_ERROR = 1.0  # relative: a model that is wrong by more than the flux says nothing
MAX_LOST = 0.5  # of the pixels
LEVEL = 0.5  # of the flux that an observer hands on, where its scale is unknown
DRAWN = {  # of the exposures, what may differ from star to star, in words
    "seeing_arcsec": "seeing {:g} to {:g} arcsec",
    "exptime_s": "exposures of {:g} to {:g} s",
    "n_exp": "{:g} to {:g} exposures",
}
MAX_LSF_SIGMA = 0.2  # relative: four sigma of more would reach a width of zero


@dataclass(frozen=True)
class Conditions(Record):
    """What is unknown besides the labels; nothing unless asked for. Hashable: static under jit.

    Args:
        scale: 1-sigma of a Gaussian prior around 1 on a factor on the flux; 0: known; inf: free.
        continuum: highest order of a multiplicative Legendre polynomial over the range of the pixels; 0:
            none.
        continuum_sigma: 1-sigma of a Gaussian prior around 0 on its coefficients of order 1 and up, relative
            to the flux; inf: flat.
        rv_sigma_kms: 1-sigma of a Gaussian prior on the radial velocity around the value at which the model
            was put on the pixels, km/s; 0: known; inf: flat.
        lsf_sigma: relative 1-sigma of the width of the line-spread function; 0: known.
        lost: share of the pixels that is lost, half of it one by one, half in blocks of `lost_block` pixels.
        lost_block: pixels of a block.
        sky_left: 1-sigma of the share of a sky line that is left over, the same within a line, independent
            from line to line.
        seeing_arcsec: smallest and largest seeing, drawn uniformly for every star and known then; None: that
            of the exposure.
        exptime_s: shortest and longest exposure, s, likewise.
        n_exp: smallest and largest number of exposures, whole numbers, likewise.
        model_error: 1-sigma error of the model relative to the flux: it adds (model_error x flux level)^2 to
            the variance of every pixel. For observed spectra it is the same over 10 Å, for chi2 each pixel
            has its own (`crlb.bayes.best_fit`).

    Raises:
        UsageError: a value out of range, named.
    """

    scale: float = 0.0
    continuum: int = 0
    continuum_sigma: float = math.inf
    rv_sigma_kms: float = 0.0
    lsf_sigma: float = 0.0
    lost: float = 0.0
    lost_block: int = 16
    sky_left: float = 0.0
    seeing_arcsec: tuple[float, float] | None = None
    exptime_s: tuple[float, float] | None = None
    n_exp: tuple[int, int] | None = None
    model_error: float = 0.0

    def __post_init__(self) -> None:
        for name, unit in (("scale", ""), ("rv_sigma_kms", " km/s")):
            if not getattr(self, name) >= 0:
                raise UsageError(
                    f"{name} must be 0 for known, positive{unit} or inf for flat; found {getattr(self, name)}"
                )
        if not self.continuum_sigma > 0:
            raise UsageError(f"continuum_sigma must be positive, inf for flat; found {self.continuum_sigma}")
        if not 0 <= self.continuum <= MAX_CONTINUUM:
            raise UsageError(f"continuum must be an order of 0 to {MAX_CONTINUUM}, found {self.continuum}")
        for name, most in (("lost", MAX_LOST), ("lsf_sigma", MAX_LSF_SIGMA), ("sky_left", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"{name} must be a fraction from 0 to {most}, found {getattr(self, name)}")
        if self.lost_block < 1:
            raise UsageError(f"lost_block must be at least one pixel, found {self.lost_block}")
        if not 0 <= self.model_error < MAX_MODEL_ERROR:
            raise UsageError(f"model_error must be a fraction from 0 to below 1, found {self.model_error}")
        for name in ("exptime_s", "n_exp"):
            low, high = getattr(self, name) or (1, 1)
            if not 0 < low <= high < math.inf:
                raise UsageError(f"{name} must be two numbers above 0, least first; found {low:g}, {high:g}")

    @property
    def drawn(self) -> tuple[str, ...]:
        """What of the exposures is drawn star by star: names of fields."""
        return tuple(name for name in DRAWN if getattr(self, name) is not None)

    @property
    def words(self) -> str:
        """What is unknown, with its prior, in words; empty where nothing is."""
        said = {
            "scale free" if math.isinf(self.scale) else f"scale 1 +- {self.scale:g}": self.scale,
            f"continuum of order {self.continuum}, sigma {self.continuum_sigma:g}": self.continuum,
            f"velocity +- {self.rv_sigma_kms:g} km/s": self.rv_sigma_kms,
            f"line-spread width +- {self.lsf_sigma:.1%}": self.lsf_sigma,
            f"{self.lost:.1%} of the pixels lost": self.lost,
            f"{self.sky_left:.1%} of the sky's lines left": self.sky_left,
            f"model error {self.model_error:.1%}": self.model_error,
        }
        drawn = [DRAWN[name].format(*getattr(self, name)) for name in self.drawn]
        return "; ".join([words for words, asked in said.items() if asked] + drawn)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Names of the unknowns by which scale, continuum and velocity multiply the flux, in their order."""
        scale = ("scale",) if self.scale else ()
        velocity = ("rv_kms",) if self.rv_sigma_kms else ()
        return (*scale, *(f"continuum_{k + 1}" for k in range(self.continuum)), *velocity)

    @property
    def prior_mean(self) -> Float[np.ndarray, " n_unknowns"]:
        """Means of their priors: 1 for the scale, 0 for the others."""
        return np.array([float(name == "scale") for name in self.unknowns])

    @property
    def prior_precision(self) -> Float[np.ndarray, " n_unknowns"]:
        """1/variance of their priors; 0 where flat."""
        sigma = {"scale": self.scale, "rv_kms": self.rv_sigma_kms}
        return np.array([1 / sigma.get(name, self.continuum_sigma) ** 2 for name in self.unknowns])


# Nothing unknown: the conditions of the published study.
PUBLISHED = Conditions()
# A survey's reduced spectrum. Continuum: relative flux calibration of LAMOST, about 10 % (Xiang et al.
# 2015, MNRAS 448, 90); of PFS several per cent in good cases (status of PFS, Subaru Telescope, July 2025).
# Velocity: what a template fit leaves at an SNR of a few. Width: 1.34 Å in the exposure-time calculator
# against the 1.6 Å that is published for PFS. Sky: 3 % of a line are left in LAMOST (Bai et al. 2017,
# arXiv:1705.02079). Lost pixels: an assumption for cosmic rays and bad columns.
SURVEY = Conditions(
    scale=math.inf,
    continuum=3,
    continuum_sigma=0.1,
    rv_sigma_kms=10.0,
    lsf_sigma=0.1,
    lost=0.02,
    sky_left=0.03,
)
PRESETS = {"published": PUBLISHED, "survey": SURVEY}


def polynomials(
    wave: Float[np.ndarray, " n_pix"], low: float, high: float, order: int
) -> Float[np.ndarray, "order_plus_1 n_pix"]:
    """Returns the Legendre polynomials of order 0 to `order` over low..high (Å), at `wave`.

    Outside they keep their values at the ends: no pixel is in use there.
    """
    x = np.clip((np.asarray(wave, np.float64) - (low + high) / 2) / ((high - low) / 2), -1, 1)
    found: Float[np.ndarray, "order_plus_1 n_pix"] = legvander(x, order).T
    return found
