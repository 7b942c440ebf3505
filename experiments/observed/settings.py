"""The settings under which every star is fitted, decided before any of them was."""

import math
from dataclasses import dataclass, replace

import numpy as np

from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.files.observed import Observed
from crlb.fisher.features import FEATURES
from crlb.observation.conditions import Conditions

MODEL_ERROR = 0.01  # of the flux; the default of `crlb posterior`, found with the nearest node
CONTINUUM = 3  # order of the polynomial
TRIPLET = (8400.0, 8800.0)  # Å; the window of the first look
# Absorbed by the air, Å in vacuum: H2O, the O2 A band, H2O. Not corrected in STELIB and MIKE, to some percent
# in LAMOST. Bands: Smette et al. 2015, A&A 576, A77 (molecfit); O2's B band lies bluewards of the arm.
TELLURIC = ((7160.0, 7340.0), (7590.0, 7700.0), (8130.0, 8350.0))


@dataclass(frozen=True)
class Setting:
    """How stars are fitted.

    Args:
        name: as tables name it.
        window: first and last wavelength, vacuum Å; None: all that the grid reaches.
        alpha: whether [alpha/M] is free; else 0. [C/M] is 0 always.
        fit_error: whether the model's error is fitted instead of `MODEL_ERROR`.
        without: middles of windows that are left out, vacuum Å at rest, and their half width, Å.
        telluric: whether pixels that the air absorbs are left out.
        known_power: whether spectra that do not state a resolving power have that of their set, instead of
            the one that fits best.
    """

    name: str
    window: tuple[float, float] | None = None
    alpha: bool = True
    fit_error: bool = False
    without: tuple[tuple[float, float], ...] = ()
    telluric: bool = True
    known_power: bool = False

    @property
    def tests_lines(self) -> bool:
        """Whether other pixels are used than otherwise in the window, to see what they do."""
        return bool(self.without) or not self.telluric

    @property
    def conditions(self) -> Conditions:
        """What is unknown of a star besides its labels."""
        error = 0.0 if self.fit_error else MODEL_ERROR
        return Conditions(scale=math.inf, continuum=CONTINUUM, rv_sigma_kms=math.inf, model_error=error)


def _lines(name: str, half: float) -> tuple[tuple[float, float], ...]:
    return tuple((one.wave, half) for one in FEATURES if one.name.startswith(name))


MAIN = Setting("whole, a_M free")
SOLAR = Setting("whole, a_M = 0", alpha=False)
TRIPLET_SOLAR = Setting("8400-8800, a_M = 0", TRIPLET, alpha=False)
TRIPLET_ALPHA = Setting("8400-8800, a_M free", TRIPLET)
FITTED = replace(MAIN, name="whole, a_M free, error fitted", fit_error=True)
# Added once the first had been seen, as the fitted resolving powers of a set scattered by a quarter.
KNOWN = replace(MAIN, name="whole, a_M free, R of the set", known_power=True)
TRIPLET_KNOWN = replace(TRIPLET_SOLAR, name="8400-8800, a_M = 0, R of the set", known_power=True)
CORES = replace(KNOWN, name="without Ca II cores", without=_lines("Ca II", 2.0))
CALCIUM = replace(KNOWN, name="without Ca II", without=_lines("Ca II", 20.0))
SETTINGS = (  # in the order in which they are fitted
    MAIN,
    TRIPLET_SOLAR,
    KNOWN,
    TRIPLET_KNOWN,
    CORES,
    CALCIUM,
    FITTED,
    SOLAR,
)
MORE = (
    replace(KNOWN, name="with telluric bands and Na I", telluric=False),
    replace(KNOWN, name="without Mg I 8809", without=_lines("Mg I 8809", 3.0)),
    TRIPLET_ALPHA,
    replace(FITTED, name="whole, a_M = 0, error fitted", alpha=False),
)


def without_telluric(observed: Observed) -> Observed:
    """A spectrum without the pixels that the air absorbs."""
    return _without(observed, [(low <= observed.wave) & (observed.wave <= high) for low, high in TELLURIC])


def without_windows(observed: Observed, setting: Setting, rv_kms: float) -> Observed:
    """A spectrum without the windows of a setting, of a star that moves at this velocity."""
    rest = observed.wave / (1 + rv_kms / SPEED_OF_LIGHT_KMS)
    return _without(observed, [np.abs(rest - wave) <= half for wave, half in setting.without])


def _without(observed: Observed, lost: list[np.ndarray]) -> Observed:
    if not lost:
        return observed
    return replace(observed, ivar=np.where(np.any(lost, axis=0), 0.0, observed.ivar))
