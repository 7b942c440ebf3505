"""Errors of files against those of the noise model at the star's magnitude: a factor is worth a word."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from crlb.cli.posterior_files import arm_pixels
from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError
from crlb.files.observed import Observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from crlb.observation.noise_curves import NoiseModel

WRONG_ERRORS = 1.5  # ratio to the errors of the noise model, either way, that is worth a word
LEAST_FLUX = 0.1  # of the median: what noisy pixels count as where the model asks for a flux


class ErrorsOfModel:
    """The built-in noise model in its usual exposure, to compare errors of files with."""

    def note(self, observed: Observed) -> str:
        """Returns what is odd about the errors of a spectrum, in words; empty if nothing is, or unknown.

        Said of spectra on pixels of the arm, with errors and a magnitude.
        """
        ratio = self.ratio(observed)
        if ratio is None or 1 / WRONG_ERRORS < ratio < WRONG_ERRORS:
            return ""
        exposure = self._noise.exposure
        return (
            f"errors {ratio:.2g} times those of the noise model at mag {observed.mag:g} for "
            f"{exposure.n_exp:g} x {exposure.exptime_s:g} s: other magnitude, exposure or unit?"
        )

    def ratio(self, observed: Observed) -> float | None:
        """Returns the median of error / error of the model over usable pixels; None: cannot be said."""
        good = observed.usable
        if not (observed.has_errors and observed.mag is not None and good.any()):
            return None
        try:
            place = arm_pixels(observed)
        except DataError:
            return None
        middle = float(np.median(observed.flux[good]))
        if not middle > 0:
            return None
        flux = np.full(DETECTOR_WAVE.size, middle)
        flux[place[good]] = np.maximum(observed.flux[good], LEAST_FLUX * middle)
        expected = self._error(flux, observed.mag)[place[good]]
        return float(np.median(observed.ivar[good] ** -0.5 / expected))

    @cached_property
    def _noise(self) -> "NoiseModel":
        from crlb.observation.noise_curves import builtin_noise

        return builtin_noise()

    @cached_property
    def _variance(self) -> "Callable[[np.ndarray, float], object]":
        import jax

        from crlb.observation.noise import variance

        noise = self._noise
        found: Callable[[np.ndarray, float], object] = jax.jit(lambda flux, mag: variance(flux, mag, noise))
        return found

    def _error(self, flux: Float[np.ndarray, " n_pix"], mag: float) -> Float[np.ndarray, " n_pix"]:
        import jax

        with jax.enable_x64(True):
            return np.asarray(np.sqrt(np.asarray(self._variance(flux, mag))))
