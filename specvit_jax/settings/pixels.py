"""The pixels that a network reads: those of an instrument that a grid shows, in the order of wavelength.

Where arms overlap, those of the arm that begins first. Nothing here is computed by jax: pixels are counted
before a run looks for its devices.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from crlb.detector import DEFAULT_INSTRUMENT, Detector
from crlb.errors import DataError
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.instruments.find import find_detector
from crlb.observation.spectrograph import apart, pixels_shown
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.settings.observed_under import conditions_in

EDGE = 1e-3  # Å: by so much `model.wave_range` may differ from the centres of the outer pixels


def sized(config: Config) -> Config:
    """Returns a configuration whose network reads the pixels of its instrument; nothing is computed by jax.

    Raises:
        UsageError, DataError, MissingInputError: as the readers of instrument and grid.
    """
    if config.data.instrument == DEFAULT_INSTRUMENT:
        return config
    wave = shown_pixels(config.data).wave
    ends = (round(float(wave[0]), 5), round(float(wave[-1]), 5))
    size = config.model.input_size if config.data.preprocess == "pca" else len(wave)
    return replace(config, model=replace(config.model, input_size=size, wave_range=ends))


def shown_pixels(data: DataConfig) -> Detector:
    """Returns the pixels of an instrument that the grid shows, in the order of wavelength.

    Raises:
        UsageError, DataError, MissingInputError: as the readers of instrument and grid.
    """
    detector = find_detector(data.instrument)
    grid = load_slice(default_grid_path() if data.grid is None else data.grid, data.labels or None)
    return detector.take(pixels_shown(detector, grid, conditions_in(data.conditions)))


def pixels_read(config: Config) -> Detector:
    """Returns the pixels that a network reads: those of its instrument within ``model.wave_range``.

    The grid is not needed.

    Raises:
        DataError: these are not as many as the network reads: the instrument's description has changed.
        UsageError, MissingInputError: as `find_detector`.
    """
    detector, (first, last) = find_detector(config.data.instrument), config.model.wave_range
    if config.data.instrument == DEFAULT_INSTRUMENT:
        return detector
    rows = np.flatnonzero((detector.wave >= first - EDGE) & (detector.wave <= last + EDGE))
    rows = apart(detector, rows)
    if len(rows) != config.model.input_size and config.data.preprocess != "pca":
        raise DataError(
            f"instrument {config.data.instrument} has {len(rows)} pixels between {first:.2f} and "
            f"{last:.2f} Å, but the network reads {config.model.input_size}: it was trained for another one "
            "of this name"
        )
    return detector.take(rows)


def token_wave(config: Config) -> Float[np.ndarray, " n_pix"] | None:
    """Returns the wavelengths that a network is told, vacuum Å; None: it has no use for them, or knows them.

    It knows those of the PFS red arm, which are equally spaced.
    """
    if config.model.pos_embed != "wavelength" or config.data.instrument == DEFAULT_INSTRUMENT:
        return None
    return pixels_read(config).wave
