"""From files to a forward model: grid -> pixels of a spectrograph -> emulator, with the noise on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from crlb.detector import DEFAULT_LSF_FWHM
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.forward_model import ForwardModel, Instrument
from crlb.observation.instrument import seen_by
from crlb.observation.line_spread import lsf_fwhm_used
from crlb.observation.moving import moving_emulator
from crlb.observation.noise_curves import NoiseModel, load_noise
from crlb.observation.nuisance import NuisanceModel, with_nuisances
from crlb.observation.nuisances import Nuisances
from crlb.observation.spectrograph import Spectrograph, on_grid, pfs_red_arm


def forward_model(
    grid: str | Path | SpectralGrid | None = None,
    instrument: str | Path | NoiseModel | Spectrograph | None = None,
    *,
    labels: Sequence[str] | None = None,
    fixed: Mapping[str, float] | None = None,
    lsf_fwhm: float = DEFAULT_LSF_FWHM,
    wave_range: tuple[float, float] | None = None,
    degree: int = 3,
    conditions: Conditions = PUBLISHED,
) -> ForwardModel:
    """Returns how stars are seen through a spectrograph, by default the PFS red arm, in float64.

    Exposures and the strength of the noise are changed by `with_exposure` and `with_noise_level`.

    Args:
        grid: model spectra, vacuum Å: a file, or the grid itself; None: the embedded grid.
        instrument: a spectrograph (`crlb.instrument`); or other noise curves of the PFS red arm, a file or
            the curves; None: the PFS red arm at medium resolution with the built-in ones.
        labels: the unknown ones; None: all of the grid's but a_M and C_M. Not with a `SpectralGrid`.
        fixed: values of known labels, at nodes of the grid; a_M and C_M are held at 0 otherwise.
        lsf_fwhm: full width at half maximum of the PFS red arm's Gaussian line-spread function, Å; a
            spectrograph has its own.
        wave_range: use only the pixels between these vacuum wavelengths, Å; needed where the grid covers a
            part of the PFS red arm only. A magnitude is that of all pixels that the grid covers.
        degree: of the splines between the nodes, 3 or 5.
        conditions: what is unknown of a star; an unknown velocity or line-spread width becomes a label,
            "rv_kms" (km/s) or "lsf_fwhm" (Å), with the prior of `crlb.observation.moving.axis_priors`.

    Raises:
        MissingInputError, DataError, UsageError: as `load_slice`, `on_grid`, `seen_by`, `load_noise`,
            `moving_emulator`.
    """
    with jax.enable_x64(True):
        if not isinstance(grid, SpectralGrid):
            grid = load_slice(grid or default_grid_path(), labels, fixed)
        whole = instrument if isinstance(instrument, Spectrograph) else _red_arm(instrument, lsf_fwhm)
        seen = on_grid(whole, grid, wave_range)
        if conditions.rv_sigma_kms or conditions.lsf_sigma:
            emulator, covered = moving_emulator(grid, conditions, detector=seen.detector, degree=degree)
        else:
            emulator, covered = make_emulator(seen_by(grid, seen.detector), degree=degree), None
        model = ForwardModel(emulator, seen.noise, make_instrument(grid, seen))
    if covered is not None and not covered.all():  # pixels that some velocity uncovers are left out
        model = model.select(covered)
    return model if wave_range is None else model.within(*wave_range)


def _red_arm(noise: str | Path | NoiseModel | None, lsf_fwhm: float) -> Spectrograph:
    return pfs_red_arm(load_noise(noise) if isinstance(noise, str | Path) else noise, lsf_fwhm)


def with_unknowns(
    grid: SpectralGrid,
    spectrograph: Spectrograph,
    unknown: Nuisances,
    *,
    wave_range: tuple[float, float] | None = None,
    degree: int = 3,
) -> tuple[ForwardModel, NuisanceModel]:
    """Returns how stars at rest are seen, and flux(labels, nuisances) on all pixels that the grid reaches.

    Arguments as `forward_model`; `unknown` is what is unknown besides the labels.

    Raises:
        UsageError, DataError: as `with_nuisances` and `on_grid`.
    """
    seen = on_grid(spectrograph, grid, wave_range)
    nuisances = with_nuisances(grid, unknown, detector=seen.detector, degree=degree)
    model = ForwardModel(nuisances.emulator, seen.noise, make_instrument(grid, seen))
    return (model if wave_range is None else model.within(*wave_range)), nuisances


def make_instrument(grid: SpectralGrid, seen: Spectrograph) -> Instrument:
    """Returns the instrument with the line-spread widths that a grid can give on its pixels (Å)."""
    detector = seen.detector
    used = lsf_fwhm_used(grid, detector.wave, detector.lsf_fwhm)
    per_fwhm = float(np.median(detector.lsf_fwhm / (detector.high - detector.low)))
    return Instrument(detector.name, detector.width, used, per_fwhm)
