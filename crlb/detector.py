"""Pixels of spectrographs and the line-spread width in each: the PFS medium-resolution red arm, or others."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from crlb.errors import UsageError

SPEED_OF_LIGHT_KMS = 299792.458  # exact, SI
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian
# Pixel centres, vacuum Å: 4096 equal pixels between 7100 and 8850 Å, the PFS medium-resolution red arm.
DETECTOR_WAVE: Float[np.ndarray, "4096"] = 7100.0 + (np.arange(4096) + 0.5) * (1750.0 / 4096)
TOUCHING = 0.01  # of a pixel: edges of neighbours that differ by less are one
DEFAULT_INSTRUMENT = "pfs-mr"  # the name by which the PFS red arm at medium resolution is asked for
PFS_MEDIUM = "PFS red arm, medium resolution"
DEFAULT_LSF_FWHM = 1.6  # Å, stated for the published data set (R = 5000 at mid-arm); measured 1.34-1.36 Å


def pixels_within(
    low: float, high: float, wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE
) -> Int[np.ndarray, " n"]:
    """Indices of the pixels, the detector's unless given, centred between two wavelengths (vacuum Å).

    Raises:
        UsageError: fewer than two pixels lie there.
    """
    found = np.flatnonzero((low <= wave) & (high >= wave))
    if len(found) < 2:
        raise UsageError(
            f"wave_range must hold at least two of the pixels, {wave[0]:.2f} to {wave[-1]:.2f} Å; "
            f"found {low:g} to {high:g}"
        )
    return found


def cell_edges(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n+1"]:
    """Edges (Å) of the cells around samples: halfway between neighbours, the outer cells symmetric."""
    middle = 0.5 * (wave[1:] + wave[:-1])
    return np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])


@dataclass(frozen=True, eq=False)
class Detector:
    """The pixels of a spectrograph: one arm, or several one after the other. Host arrays.

    Args:
        low: lower edges of the pixels, vacuum Å. Pixels may overlap and leave gaps; within an arm they
            increase.
        high: upper edges, above `low`.
        lsf_fwhm: full width at half maximum of the Gaussian line-spread function in every pixel, Å.
        name: of the spectrograph.
        centres: of the pixels, Å; None: the middle of their edges.

    Raises:
        UsageError: lengths that differ, edges that do not increase, a width that is not positive.
    """

    low: Float[np.ndarray, " n_pix"]
    high: Float[np.ndarray, " n_pix"]
    lsf_fwhm: Float[np.ndarray, " n_pix"]
    name: str
    centres: Float[np.ndarray, " n_pix"] | None = None

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.lsf_fwhm) == len(self.wave) >= 2:
            raise UsageError(
                f"{self.name}: needed at least two pixels, each with both edges and a line-spread width"
            )
        if not ((self.high > self.low).all() and np.isfinite([self.low, self.high]).all()):
            raise UsageError(f"{self.name}: the upper edge of every pixel must lie above the lower one")
        if not ((self.lsf_fwhm > 0).all() and np.isfinite(self.lsf_fwhm).all()):
            raise UsageError(f"{self.name}: line-spread widths must be positive and finite (FWHM, Å)")

    def __len__(self) -> int:
        return len(self.low)

    @property
    def wave(self) -> Float[np.ndarray, " n_pix"]:
        """Centres of the pixels, vacuum Å."""
        return (self.low + self.high) / 2 if self.centres is None else self.centres

    @property
    def width(self) -> float:
        """The line-spread width that stands for all pixels: their median FWHM, Å."""
        return float(np.median(self.lsf_fwhm))

    def stretches(self) -> list[tuple[int, int]]:
        """First row and the row after the last of every run of pixels that touch: arms, and parts of them."""
        slack = TOUCHING * (self.high[:-1] - self.low[:-1])
        breaks = np.flatnonzero(np.abs(self.low[1:] - self.high[:-1]) > slack) + 1
        ends = [0, *breaks.tolist(), len(self)]
        return list(pairwise(ends))

    def take(self, pixels: Int[np.ndarray, " n"]) -> "Detector":
        """The detector with these pixels only."""
        centres = None if self.centres is None else self.centres[pixels]
        return Detector(self.low[pixels], self.high[pixels], self.lsf_fwhm[pixels], self.name, centres)


def contiguous(wave: Float[np.ndarray, " n_pix"], lsf_fwhm: float, name: str) -> Detector:
    """Returns a detector of pixels without gaps around these centres (vacuum Å, increasing), of one width."""
    edges = cell_edges(wave)
    return Detector(edges[:-1], edges[1:], np.full(len(wave), float(lsf_fwhm)), name, wave)


def pfs_medium(lsf_fwhm: float = DEFAULT_LSF_FWHM) -> Detector:
    """Returns the PFS medium-resolution red arm with one line-spread width (FWHM, Å) all over."""
    return contiguous(DETECTOR_WAVE, lsf_fwhm, PFS_MEDIUM)
