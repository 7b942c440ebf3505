"""The pixels of the spectra that a configuration describes, and what noise they have.

Pixels of a spectrograph are taken as far as the grid shows them, in the order of wavelength, and where arms
overlap those of the arm that begins first: a file of spectra holds one increasing array of wavelengths.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from crlb.errors import DataError, UsageError
from crlb.files.pfsspec import WAVE_TOLERANCE
from crlb.grids.spectral_grid import SpectralGrid
from crlb.instruments.find import find_instrument
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.noise_curves import load_noise
from crlb.observation.spectrograph import Spectrograph, apart, on_grid, pfs_red_arm, pixels_shown
from specvit_jax.settings.config import Config, DataConfig


def on_pixels(
    grid: SpectralGrid,
    instrument: str | Path | Spectrograph | None = None,
    conditions: Conditions = PUBLISHED,
) -> Spectrograph:
    """Returns a spectrograph with the pixels that a grid shows, in the order of wavelength.

    Args:
        grid: model spectra, before any instrument.
        instrument: a spectrograph, or a file of noise curves of the PFS red arm; None: that with the built-in
            ones.
        conditions: priors of velocity and line width, for whose reach pixels at an end are left out. The PFS
            red arm is taken whole.

    Raises:
        UsageError, DataError, MissingInputError: as `load_noise`, `on_grid` and `pixels_shown`.
    """
    if not isinstance(instrument, Spectrograph):
        return pfs_red_arm(None if instrument is None else load_noise(instrument))
    if instrument.whole:
        return instrument
    found = on_grid(instrument, grid)
    return taken(found, pixels_shown(found.detector, grid, conditions))


def spectrograph_of(data: DataConfig) -> Spectrograph:
    """Returns the instrument of a configuration with all its pixels.

    Raises:
        UsageError, DataError, MissingInputError: as `find_instrument` and `load_noise`.
    """
    if data.noise is not None:
        return pfs_red_arm(load_noise(data.noise))
    return find_instrument(data.instrument)


def taken(spectrograph: Spectrograph, rows: Int[np.ndarray, " n"]) -> Spectrograph:
    """Returns a spectrograph with these pixels as one arm, its noise in the default float type of jax."""
    noise = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf), float) if np.ndim(leaf) else leaf,
        spectrograph.noise.take(rows),
    )
    arms = (("all", len(rows)),)
    return replace(spectrograph, detector=spectrograph.detector.take(rows), noise=noise, arms=arms)


def stored_pixels(data: DataConfig, wave: Float[np.ndarray, " n_pix"], where: str) -> Spectrograph:
    """Returns the instrument of a configuration with the pixels of stored spectra.

    Args:
        data: names the instrument, and noise curves of the PFS red arm.
        wave: pixel centres of the spectra, vacuum Å.
        where: what to call them.

    Raises:
        DataError: the instrument does not have these pixels.
        UsageError, MissingInputError: as `find_instrument` and `load_noise`.
    """
    found = spectrograph_of(data)
    if found.whole:
        return found
    order = apart(found.detector, np.arange(len(found.detector)))
    own = found.detector.wave[order]
    nearest = np.clip(np.searchsorted(own, wave - WAVE_TOLERANCE), 0, len(own) - 1)
    off = np.abs(own[nearest] - wave) > WAVE_TOLERANCE
    if off.any() or len(set(nearest.tolist())) < len(wave):
        raise DataError(
            f"{where}: needed pixels of instrument {data.instrument}, found {int(off.sum())} of {len(wave)} "
            "at other wavelengths; name the instrument they were simulated for (data.instrument)"
        )
    return taken(found, order[nearest])


def check_pixels(config: Config, n_pix: int) -> None:
    """Refuses spectra of another number of pixels than the network was made for.

    Raises:
        UsageError: it says what to set.
    """
    if config.data.preprocess != "pca" and n_pix != config.model.input_size:
        raise UsageError(
            f"model.input_size must be the {n_pix} pixels of the spectra, found {config.model.input_size}; "
            "set it, and model.wave_range to their first and last wavelength"
        )
