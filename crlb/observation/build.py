"""From files to a forward model: grid -> pixels of the arm -> emulator, with the noise on the same pixels."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Int

from crlb.detector import DEFAULT_LSF_FWHM, DETECTOR_WAVE, cell_edges
from crlb.errors import DataError
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.forward_model import ForwardModel, Instrument
from crlb.observation.instrument import to_detector
from crlb.observation.kernel import inside
from crlb.observation.line_spread import lsf_fwhm_used
from crlb.observation.moving import moving_emulator
from crlb.observation.noise_curves import NoiseModel, builtin_noise, load_noise
from crlb.observation.nuisance import NuisanceModel, with_nuisances
from crlb.observation.nuisances import Nuisances


def forward_model(
    grid: str | Path | SpectralGrid | None = None,
    noise: str | Path | NoiseModel | None = None,
    *,
    labels: Sequence[str] | None = None,
    fixed: Mapping[str, float] | None = None,
    lsf_fwhm: float = DEFAULT_LSF_FWHM,
    wave_range: tuple[float, float] | None = None,
    degree: int = 3,
    conditions: Conditions = PUBLISHED,
) -> ForwardModel:
    """Returns how stars are seen through the PFS red arm at medium resolution, in float64.

    Exposures and the strength of the noise are changed by `with_exposure` and `with_noise_level`.

    Args:
        grid: model spectra, vacuum Å: a file, or the grid itself; None: the embedded grid.
        noise: curves of the instrument and the sky: a file, or the curves; None: the built-in ones.
        labels: the unknown ones; None: all of the grid's but a_M and C_M. Not with a `SpectralGrid`.
        fixed: values of known labels, at nodes of the grid; a_M and C_M are held at 0 otherwise.
        lsf_fwhm: full width at half maximum of the instrument's Gaussian line-spread function, Å.
        wave_range: use only the pixels between these vacuum wavelengths, Å; needed where the grid covers a
            part of the arm only. A magnitude is that of all pixels that the grid covers.
        degree: of the splines between the nodes, 3 or 5.
        conditions: what is unknown of a star; an unknown velocity or line-spread width becomes a label,
            "rv_kms" (km/s) or "lsf_fwhm" (Å), with the prior of `crlb.observation.moving.axis_priors`.

    Raises:
        MissingInputError, DataError, UsageError: as `load_slice`, `to_detector`, `load_noise`,
            `moving_emulator`.
    """
    with jax.enable_x64(True):
        if not isinstance(grid, SpectralGrid):
            grid = load_slice(grid or default_grid_path(), labels, fixed)
        if not isinstance(noise, NoiseModel):
            noise = builtin_noise() if noise is None else load_noise(noise)
        if conditions.rv_sigma_kms or conditions.lsf_sigma:
            return _moving(grid, noise, conditions, lsf_fwhm, wave_range, degree)
        seen, noise = on_arm(grid, noise, lsf_fwhm, wave_range)
        instrument = make_instrument(grid, seen.wave, lsf_fwhm)
        model = ForwardModel(make_emulator(seen, degree=degree), noise, instrument)
    return model if wave_range is None else model.within(*wave_range)


def _moving(
    grid: SpectralGrid,
    noise: NoiseModel,
    conditions: Conditions,
    lsf_fwhm: float,
    wave_range: tuple[float, float] | None,
    degree: int,
) -> ForwardModel:
    """The forward model with axes for velocity and width; pixels that some velocity uncovers are left out."""
    pixels = covered_pixels(grid, wave_range)
    emulator, covered = moving_emulator(
        grid, conditions, lsf_fwhm=lsf_fwhm, detector_wave=DETECTOR_WAVE[pixels], degree=degree
    )
    instrument = make_instrument(grid, DETECTOR_WAVE[pixels], lsf_fwhm)
    model = ForwardModel(emulator, noise.take(pixels), instrument)
    model = model if covered.all() else model.select(covered)
    return model if wave_range is None else model.within(*wave_range)


def with_unknowns(
    grid: SpectralGrid,
    noise: NoiseModel,
    unknown: Nuisances,
    *,
    lsf_fwhm: float = DEFAULT_LSF_FWHM,
    wave_range: tuple[float, float] | None = None,
    degree: int = 3,
) -> tuple[ForwardModel, NuisanceModel]:
    """Returns how stars at rest are seen, and flux(labels, nuisances) on all pixels that the grid reaches.

    Arguments as `forward_model`; `unknown` is what is unknown besides the labels.

    Raises:
        UsageError, DataError: as `with_nuisances` and `covered_pixels`.
    """
    pixels = covered_pixels(grid, wave_range)
    nuisances = with_nuisances(
        grid, unknown, lsf_fwhm=lsf_fwhm, detector_wave=DETECTOR_WAVE[pixels], degree=degree
    )
    instrument = make_instrument(grid, DETECTOR_WAVE[pixels], lsf_fwhm)
    model = ForwardModel(nuisances.emulator, noise.take(pixels), instrument)
    return (model if wave_range is None else model.within(*wave_range)), nuisances


def make_instrument(
    grid: SpectralGrid, detector_wave: Float[np.ndarray, " n_pix"], lsf_fwhm: float
) -> Instrument:
    """Returns the instrument with the line-spread widths that a grid can give on these pixels (Å)."""
    return Instrument(lsf_fwhm=lsf_fwhm, lsf_fwhm_used=lsf_fwhm_used(grid, detector_wave, lsf_fwhm))


def on_arm(
    grid: SpectralGrid,
    noise: NoiseModel,
    lsf_fwhm: float = DEFAULT_LSF_FWHM,
    wave_range: tuple[float, float] | None = None,
) -> tuple[SpectralGrid, NoiseModel]:
    """Returns a grid as the arm sees it and the noise on the same pixels: all that the grid reaches.

    Raises:
        UsageError, DataError: as `to_detector` and `covered_pixels`.
    """
    pixels = covered_pixels(grid, wave_range)
    return to_detector(grid, detector_wave=DETECTOR_WAVE[pixels], lsf_fwhm=lsf_fwhm), noise.take(pixels)


def covered_pixels(
    grid: SpectralGrid, wave_range: tuple[float, float] | None = None
) -> Int[np.ndarray, " n"]:
    """Returns the row numbers of the arm's pixels that a star of this grid is seen in.

    All of them; or, where the grid does not reach them all but `wave_range` says that this is meant, those it
    covers, with a warning: a magnitude is then the mean over these.

    Raises:
        DataError: the grid covers none of the range.
    """
    everything = np.arange(len(DETECTOR_WAVE))
    edges, own = cell_edges(DETECTOR_WAVE), cell_edges(grid.wave)[[0, -1]]
    reached = inside(grid.wave, edges[:-1], edges[1:])
    if wave_range is None or reached.all():
        return everything
    low, high = wave_range
    asked = (low <= DETECTOR_WAVE) & (high >= DETECTOR_WAVE)
    if not reached[asked].all() or reached.sum() < 2:
        raise DataError(
            f"wave_range: the grid covers {own[0]:.2f} to {own[1]:.2f} Å, not all of {low:g} to {high:g} Å; "
            "choose a range within it, or a wider grid"
        )
    found = everything[reached]
    warnings.warn(
        f"the grid reaches {DETECTOR_WAVE[found[0]]:.2f} to {DETECTOR_WAVE[found[-1]]:.2f} Å of the arm: "
        "magnitude and flux scale are means over that part, not over the arm",
        stacklevel=3,
    )
    answer: Int[np.ndarray, " n"] = found
    return answer
