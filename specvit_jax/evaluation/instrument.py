"""How the spectra that networks read are taken: pixels, width of the lines, at rest.

A door to crlb beside `spectra/source.py`: a spectrum of another instrument is brought to the pixels and the
rest frame of the forward model with its own templates, without a simulator.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.detector import DEFAULT_LSF_FWHM, SPEED_OF_LIGHT_KMS, Detector
from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.grids.grid_file import default_grid_path, grid_reach
from crlb.observation.templates import load_templates
from crlb.observation.velocity import find_velocity, medium_hint
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.settings.pixels import pixels_read

LSF_FWHM = DEFAULT_LSF_FWHM  # Å
SEARCHED_KMS = 600.0  # velocities that are tried, in size
EDGE_KMS = 1.0  # from the end of these a velocity counts as one of the edge


@dataclass(frozen=True)
class Found:
    """A velocity that was found by comparison with templates.

    Args:
        rv_kms: km/s, receding positive; removed from the wavelengths. None: no star was recognised.
        sigma_kms: its 1-sigma error.
        resolving_power: that fits the lines best, where the file does not state one.
        warning: why it should not be believed; empty: it may be.
    """

    rv_kms: float | None = None
    sigma_kms: float = float("nan")
    resolving_power: float | None = None
    warning: str = ""

    @property
    def said(self) -> tuple[str, ...]:
        """What to say of it."""
        if self.rv_kms is None:
            return ()
        sigma = max(self.sigma_kms, 0.1)
        found = f"velocity of {self.rv_kms:.1f} km/s (1 sigma {sigma:.1f}) found and removed"
        return (found, self.warning) if self.warning else (found,)


def at_rest(observed: Observed) -> tuple[Observed, Found]:
    """The spectrum in the rest frame of the star, and the velocity that was found and removed.

    Takes about a tenth of a second.
    """
    try:
        found = find_velocity(observed, load_templates(), search_kms=(-SEARCHED_KMS, SEARCHED_KMS))
    except DataError:  # too few pixels where the templates are
        return observed, Found()
    if not found.significant:
        return observed, Found()
    warning = medium_hint(found.rv_kms) or ""
    if abs(found.rv_kms) > SEARCHED_KMS - EDGE_KMS:
        warning = f"the velocity found, {found.rv_kms:.0f} km/s, is the last one that was tried"
    power = None
    if observed.resolving_power is None:
        power = float(np.median(observed.wave[observed.usable])) / found.fwhm
    wave = observed.wave / (1 + found.rv_kms / SPEED_OF_LIGHT_KMS)
    return replace(observed, wave=wave, rv_kms=found.rv_kms), Found(
        found.rv_kms, found.sigma_kms, power, warning
    )


def pixels(config: Config, n_pix: int) -> Detector:
    """The pixels that a network reads, with the width of the lines it was taught.

    That is the instrument's, or the grid's, where this is broader and at hand.

    Args:
        config: of the network.
        n_pix: number of pixels that it was made for.

    Raises:
        DataError: it reads another number of pixels than its instrument has, so that it is not known where
            they lie.
        UsageError, MissingInputError: as `pixels_read`.
    """
    found = pixels_read(config)
    if n_pix != len(found):
        raise DataError(
            f"the network reads {n_pix} pixels, the detector has {len(found)}: files of spectra "
            "cannot be brought to its pixels; give it arrays of flux"
        )
    return replace(found, lsf_fwhm=np.maximum(found.lsf_fwhm, _grid_fwhm(config.data, found)))


def _grid_fwhm(data: DataConfig, detector: Detector) -> Float[np.ndarray, " n_pix"]:
    """Full width at half maximum of the lines of the grid spectra were drawn from, Å; 0: it is not known."""
    path = default_grid_path() if data.grid is None else Path(data.grid)
    if data.source != "emulator" or not path.exists():
        return np.zeros(len(detector))
    return detector.wave / grid_reach(path)[2]
