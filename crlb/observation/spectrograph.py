"""A spectrograph: pixels with their line-spread widths, and the noise on the same pixels."""

import warnings
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float, Int

from crlb.detector import (
    DEFAULT_LSF_FWHM,
    FWHM_PER_SIGMA,
    SPEED_OF_LIGHT_KMS,
    TOUCHING,
    Detector,
    cell_edges,
    pfs_medium,
)
from crlb.errors import DataError, UsageError
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.kernel import COVERED_SIGMA, inside
from crlb.observation.line_spread import TOO_BROAD
from crlb.observation.moving import REACH_SIGMA
from crlb.observation.noise_curves import NoiseModel, builtin_noise


@dataclass(frozen=True, eq=False)
class Spectrograph:
    """What stars are seen with.

    Args:
        detector: pixels of all arms, one after the other.
        noise: curves on the same pixels.
        arms: name and number of pixels of every arm, in their order.
        whole: whether a grid must cover all pixels unless a range is asked for; else pixels that it does not
            cover are left out, with a warning.
        calibrated: whether the noise of a magnitude is known; else only a signal-to-noise ratio can be asked
            for.

    Raises:
        DataError: detector, noise and arms do not have the same pixels.
    """

    detector: Detector
    noise: NoiseModel
    arms: tuple[tuple[str, int], ...]
    whole: bool = False
    calibrated: bool = True

    def __post_init__(self) -> None:
        counts = {len(self.detector), len(self.noise.wave), sum(n for _, n in self.arms)}
        if len(counts) != 1:
            raise DataError(
                f"{self.name}: detector, noise and arms must have the same number of pixels, found "
                f"{len(self.detector)}, {len(self.noise.wave)} and {sum(n for _, n in self.arms)}"
            )

    @property
    def name(self) -> str:
        """Of the spectrograph, in words."""
        return self.detector.name

    def within(self, pixels: Int[np.ndarray, " n"]) -> "Spectrograph":
        """Returns the spectrograph with these pixels only, whose magnitudes then are means over these.

        Raises:
            DataError: none of them lies in the band of its magnitudes.
        """
        if self.noise.band is not None and not np.asarray(self.noise.band)[pixels].sum() > 0:
            band = self.detector.wave[np.asarray(self.noise.band) > 0]
            raise DataError(
                f"{self.name}: its magnitudes are means between {band.min():.0f} and {band.max():.0f} Å, but "
                "no pixel there is left; use a wider grid, or another band in the instrument's file"
            )
        ends = np.cumsum([n for _, n in self.arms])
        own = np.searchsorted(ends, pixels, side="right")
        arms = tuple((name, int((own == i).sum())) for i, (name, _) in enumerate(self.arms))
        arms = tuple((name, n) for name, n in arms if n)
        return replace(self, detector=self.detector.take(pixels), noise=self.noise.take(pixels), arms=arms)


def pfs_red_arm(noise: NoiseModel | None = None, lsf_fwhm: float = DEFAULT_LSF_FWHM) -> Spectrograph:
    """Returns the PFS red arm at medium resolution: 4096 pixels, 7100.21 to 8849.79 Å.

    Args:
        noise: curves on its pixels; None: the built-in ones.
        lsf_fwhm: full width at half maximum of the line-spread function, Å.
    """
    curves = builtin_noise() if noise is None else noise
    detector = pfs_medium(lsf_fwhm)
    return Spectrograph(detector, curves, (("red", len(detector)),), whole=True)


def on_grid(
    spectrograph: Spectrograph, grid: SpectralGrid, wave_range: tuple[float, float] | None = None
) -> Spectrograph:
    """Returns the spectrograph with the pixels that a star of this grid is seen in.

    All of them; or, where the grid does not reach them all but that is allowed, or `wave_range` says that it
    is meant, those it covers, with a warning: a magnitude is then the mean over these.

    Raises:
        DataError: the grid covers too little of the pixels, or not all of the range.
        UsageError: the spectrograph is sharper than the grid, by more than a quarter.
    """
    detector = spectrograph.detector
    reach = 0.0 if spectrograph.whole else _reach(detector, grid)
    reached = inside(grid.wave, detector.low, detector.high, reach=reach)
    if not spectrograph.whole:
        _check_reached(spectrograph, grid, reached)
    elif wave_range is None or reached.all():
        return spectrograph
    if wave_range is not None:
        _check_range(grid, detector, reached, wave_range)
    if reached.all():
        return spectrograph
    found = spectrograph.within(np.flatnonzero(reached))
    wave = found.detector.wave
    warnings.warn(
        f"the grid reaches {wave.min():.2f} to {wave.max():.2f} Å of {_words(spectrograph)}: magnitude and "
        "flux scale are means over that part, not over the arm",
        stacklevel=2,
    )
    return found


def pixels_shown(
    detector: Detector, grid: SpectralGrid, conditions: Conditions = PUBLISHED
) -> Int[np.ndarray, " n"]:
    """Returns the pixels that a grid shows whatever the velocity and line width, none of them twice.

    They are in the order of wavelength; where arms overlap, those of the arm that begins first, as where
    spectra of several arms are combined (`crlb.readers.combine`). Nothing is computed by jax.

    Args:
        detector: pixels of all arms.
        grid: model spectra, before any instrument.
        conditions: priors of velocity and line-spread width, whose reach counts (`crlb.observation.moving`).

    Raises:
        DataError: fewer than two pixels.
    """
    broadest, rv_sigma = 1 + REACH_SIGMA * conditions.lsf_sigma, conditions.rv_sigma_kms
    rv_kms = REACH_SIGMA * rv_sigma if np.isfinite(rv_sigma) else 0.0
    reach = _reach(detector, grid, broadest) + rv_kms / SPEED_OF_LIGHT_KMS * detector.wave
    rows = apart(detector, np.flatnonzero(inside(grid.wave, detector.low, detector.high, reach=reach)))
    if len(rows) < 2:
        _refuse_unreached(detector, grid)
    return rows


def apart(detector: Detector, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Returns those of these pixels that do not overlap, in the order of wavelength.

    Of two runs of touching pixels that overlap, the one that begins first is taken whole.
    """
    if len(rows) < 2:
        return rows
    some, found, end = detector.take(rows), [rows[:0]], -np.inf
    for start, stop in sorted(some.stretches(), key=lambda run: float(some.low[run[0]])):
        run = np.arange(start, stop)
        run = run[some.low[run] >= end - TOUCHING * (some.high - some.low)[run]]
        if len(run):
            found.append(rows[run])
            end = float(some.high[run[-1]])
    return np.concatenate(found)


def _words(spectrograph: Spectrograph) -> str:
    return "the arm" if spectrograph.whole else spectrograph.name


def _reach(detector: Detector, grid: SpectralGrid, broader: float = 1.0) -> Float[np.ndarray, " n_pix"]:
    """Half of what a pixel sees besides itself, Å: `COVERED_SIGMA` of the Gaussian that the grid lacks.

    Of lines that are `broader` times as wide as the detector's.
    """
    own = broader * detector.lsf_fwhm
    lacking = np.maximum(own**2 - (detector.wave / grid.resolving_power) ** 2, 0.0)
    found: Float[np.ndarray, " n_pix"] = COVERED_SIGMA / FWHM_PER_SIGMA * np.sqrt(lacking)
    return found


def _check_reached(
    spectrograph: Spectrograph, grid: SpectralGrid, reached: Bool[np.ndarray, " n_pix"]
) -> None:
    """Refuses a grid that shows nothing of a spectrograph, or nothing as sharp as it sees it."""
    detector = spectrograph.detector
    if reached.sum() < 2:
        _refuse_unreached(detector, grid)
    ratio = detector.wave / grid.resolving_power / detector.lsf_fwhm
    ends = np.cumsum([n for _, n in spectrograph.arms])
    for (arm, _), part in zip(spectrograph.arms, np.split(np.arange(len(detector)), ends[:-1]), strict=True):
        seen = part[reached[part]]
        if len(seen) and ratio[seen].mean() > TOO_BROAD:
            power = np.median((detector.wave / detector.lsf_fwhm)[seen])
            raise UsageError(
                f"{spectrograph.name}, arm {arm}: its resolving power is {power:.0f}, but that of the grid "
                f"{grid.resolving_power:g}, so that it shows other lines; use a grid of a resolving power of "
                f"{power / TOO_BROAD:.0f} or more (--grid)"
            )


def _refuse_unreached(detector: Detector, grid: SpectralGrid) -> NoReturn:
    own = cell_edges(grid.wave)[[0, -1]]
    raise DataError(
        f"{detector.name}: its pixels lie between {detector.low.min():.0f} and {detector.high.max():.0f} Å, "
        f"the grid covers {own[0]:.0f} to {own[1]:.0f} Å; use a grid that reaches them (--grid)"
    )


def _check_range(
    grid: SpectralGrid,
    detector: Detector,
    reached: Bool[np.ndarray, " n_pix"],
    wave_range: tuple[float, float],
) -> None:
    """Refuses a range of wavelengths that the grid does not cover."""
    (low, high), own = wave_range, cell_edges(grid.wave)[[0, -1]]
    asked = (low <= detector.wave) & (high >= detector.wave)
    if not reached[asked].all() or reached.sum() < 2:
        raise DataError(
            f"wave_range: the grid covers {own[0]:.2f} to {own[1]:.2f} Å, not all of {low:g} to {high:g} Å; "
            "choose a range within it, or a wider grid"
        )
