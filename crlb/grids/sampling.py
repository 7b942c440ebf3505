"""Whether the samples of a grid lie close enough together for the resolving power that it claims."""

import numpy as np
from jaxtyping import Bool, Float

from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.errors import DataError

# Resolution elements from one sample to the next: BOSZ at its highest resolving power has one, rounded.
LARGEST_SPACING = 1.01
AROUND = 8  # spacings on either side that a gap is compared with


def check_sampling(
    wave: Float[np.ndarray, " n_wave"], resolving_power: float, low: float, high: float
) -> None:
    """Refuses spectra whose samples are further apart than their resolution element, wave / resolving_power.

    A line could hide between such samples: what is computed there is interpolated light, not the star's.

    Args:
        wave: vacuum wavelengths of the samples, Å, increasing.
        resolving_power: wave / FWHM of the spectra.
        low: lowest wavelength that is needed, Å; samples further out may lie as they like.
        high: highest wavelength that is needed, Å.

    Raises:
        DataError: a spacing is too wide; whether it is a gap, or all samples there are as far apart.
    """
    spacing, middle = np.diff(wave), (wave[1:] + wave[:-1]) / 2
    elements = np.where((wave[1:] > low) & (wave[:-1] < high), spacing * resolving_power / middle, 0.0)
    worst = int(np.argmax(elements))
    if elements[worst] <= LARGEST_SPACING:
        return
    needed = (
        f"grid: needed samples at most one resolution element apart, {middle[worst] / resolving_power:.3g} Å "
        f"at resolving power {resolving_power:g}"
    )
    sides = spacing[max(worst - AROUND, 0) : worst], spacing[worst + 1 : worst + 1 + AROUND]
    around = max((float(np.median(side)) for side in sides if side.size), default=np.inf)
    if around * resolving_power / middle[worst] <= LARGEST_SPACING:
        raise DataError(
            f"{needed}, found a gap of {spacing[worst]:.3g} Å between {wave[worst]:.2f} and "
            f"{wave[worst + 1]:.2f} Å (around it they are {around:.3g} Å apart); use a grid without the gap, "
            "or pixels on one side of it (--wave-range)"
        )
    raise DataError(
        f"{needed}, found them {spacing[worst]:.3g} Å apart at {middle[worst]:.2f} Å; use a grid with finer "
        "samples, or correct its resolving_power"
    )


def too_sparse(
    wave: Float[np.ndarray, " n_wave"],
    resolving_power: float,
    low: Float[np.ndarray, " n"],
    high: Float[np.ndarray, " n"],
    rv_kms: float = 0.0,
) -> Bool[np.ndarray, " n"]:
    """Returns True for each range, low to high, that touches samples too far apart for `check_sampling`.

    Args:
        wave: vacuum wavelengths of the samples, Å, increasing, at rest.
        resolving_power: wave / FWHM of the spectra.
        low: lower ends of the ranges, Å.
        high: upper ends of the ranges, Å.
        rv_kms: radial velocity of the spectra in the frame of the ranges, km/s, receding positive.
    """
    wide = np.diff(wave) * resolving_power > LARGEST_SPACING * (wave[1:] + wave[:-1]) / 2
    before = np.concatenate([[0], np.cumsum(wide)])  # wide spacings below each sample
    stretch = 1 + rv_kms / SPEED_OF_LIGHT_KMS
    first = np.maximum(np.searchsorted(wave, low / stretch, side="right") - 1, 0)
    last = np.minimum(np.searchsorted(wave, high / stretch, side="left"), wave.size - 1)
    found: Bool[np.ndarray, " n"] = before[last] > before[np.minimum(first, last)]
    return found
