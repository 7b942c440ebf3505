"""The line-spread width an instrument asks for, and what a grid of limited resolving power can give of it."""

import warnings

import numpy as np
from jaxtyping import Float

from crlb.detector import DEFAULT_LSF_FWHM, FWHM_PER_SIGMA
from crlb.errors import UsageError
from crlb.grids.spectral_grid import SpectralGrid

# Å, R = 160 at mid-arm: 6 sigma of the kernel reach 127 Å past either end of the arm, where grids have no
# spectra, so that a seventh of all pixels see a kernel cut short; no spectrograph of this arm is so broad.
MAX_LSF_FWHM = 50.0
TOO_BROAD = 1.25  # a grid's own width over the one asked for, at mid-arm: beyond, the result is another's
ROUNDING = 1e-6  # relative: widths that differ by less are equal


def lsf_fwhm_used(
    grid: SpectralGrid,
    detector_wave: Float[np.ndarray, " n_pix"],
    lsf_fwhm: float | Float[np.ndarray, " n_pix"],
) -> tuple[float, float]:
    """Returns the smallest and the largest FWHM over the pixels that spectra of the grid get, Å.

    The width asked for where the grid is sharper, the grid's own, wave / resolving_power, where it is not.

    Args:
        grid: model spectra, before the instrument.
        detector_wave: pixel centres, vacuum Å.
        lsf_fwhm: full width at half maximum asked for, Å, one number or one per pixel.
    """
    used = np.maximum(lsf_fwhm, detector_wave / grid.resolving_power)
    return float(used.min()), float(used.max())


def top_up_sigma(
    grid: SpectralGrid,
    detector_wave: Float[np.ndarray, " n_pix"],
    lsf_fwhm: float | Float[np.ndarray, " n_pix"],
) -> Float[np.ndarray, " n_pix"]:
    """Returns the standard deviation of the Gaussian that the grid lacks at every pixel, Å.

    fwhm^2 = lsf_fwhm^2 - (wave / resolving_power)^2, and 0 where the grid is already as broad: which a
    warning says.

    Raises:
        UsageError: a width that is not positive or above `MAX_LSF_FWHM`, or a grid whose own width exceeds
            it by more than a quarter at mid-arm.
    """
    asked = np.asarray(lsf_fwhm, np.float64)
    check_width(asked)
    own = detector_wave / grid.resolving_power
    low, high = lsf_fwhm_used(grid, detector_wave, lsf_fwhm)
    if (own / asked).mean() > TOO_BROAD:
        raise UsageError(
            f"lsf_fwhm must be a width that the grid can give: its resolving power {grid.resolving_power:g} "
            f"gives no less than {own.min():.2f} to {own.max():.2f} Å over these pixels, "
            f"found {_span(asked)} Å; use --lsf-fwhm {_rounded_up(own.max())} or more, or a grid of higher "
            "resolving power"
        )
    if (own > (1 + ROUNDING) * asked).any():
        warnings.warn(
            f"the grid's resolving power {grid.resolving_power:g} is too low for a line-spread width of "
            f"{_span(asked)} Å everywhere: {low:.2f} to {high:.2f} Å is used",
            stacklevel=1,  # this line, whoever called: commands that need the instrument twice say it once
        )
    return np.sqrt(np.maximum(asked**2 - own**2, 0.0)) / FWHM_PER_SIGMA


def check_width(asked: float | Float[np.ndarray, "*n_pix"]) -> None:
    """Refuses line-spread widths (FWHM, Å) that no spectrograph of such an arm has.

    Raises:
        UsageError: one is not positive, or above `MAX_LSF_FWHM`.
    """
    if not np.all((np.asarray(asked) > 0) & (np.asarray(asked) <= MAX_LSF_FWHM)):
        raise UsageError(
            f"lsf_fwhm must be positive and at most {MAX_LSF_FWHM:g} Å (R = 160: a broader kernel reaches "
            f"too far past the ends of the arm), found {_span(asked)}; the default is {DEFAULT_LSF_FWHM} Å"
        )


def _span(asked: float | Float[np.ndarray, "*n_pix"]) -> str:
    """The width, or the smallest and the largest."""
    low, high = float(np.min(asked)), float(np.max(asked))
    return f"{low:g} to {high:g}" if high > low else f"{low:g}"


def _rounded_up(width: float) -> str:
    """The width with two decimals, none narrower."""
    return f"{np.ceil(100 * width) / 100:.2f}"
