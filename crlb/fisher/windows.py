"""Windows that slide over a spectrum pixel by pixel, and sums over the pixels of each."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import percentile_filter

from crlb.detector import cell_edges
from crlb.errors import UsageError

MOST_GAP = 5.0  # pixels: neighbours further apart than so many usual steps do not belong to one window
NEARBY = 11  # steps among which the usual one is looked for
USUAL_PERCENT = 75.0  # of them are smaller: pixels of arms that overlap stand close together, in pairs
SLACK = 1e-9  # of a width, for the rounding of the wavelengths


class Spans(NamedTuple):
    """Windows of whole pixels, the bluest first: pixels `first` <= p < `stop` of sorted wavelengths.

    `low` and `high` are the edges of the outer pixels, vacuum Å.
    """

    low: Float[np.ndarray, " n_windows"]
    high: Float[np.ndarray, " n_windows"]
    first: Int[np.ndarray, " n_windows"]
    stop: Int[np.ndarray, " n_windows"]

    @property
    def n_pix(self) -> Int[np.ndarray, " n_windows"]:
        """Number of pixels of every window."""
        found: Int[np.ndarray, " n_windows"] = self.stop - self.first
        return found


def spans(wave: Float[np.ndarray, " n_pix"], width: float) -> Spans:
    """Returns the windows of a width: from every pixel on, as many whole pixels as it holds, at least one.

    Those that lie within another are left out. No window spans a gap between pixels; of a stretch between
    gaps that is shorter than the width there is one window, the stretch.

    Args:
        wave: pixel centres, vacuum Å, sorted, of one arm or of several; they may repeat.
        width: Å.

    Raises:
        UsageError: a width that is not positive, or larger than the widest stretch without a gap.
    """
    distinct, first = np.unique(wave, return_index=True)
    stop = np.append(first[1:], len(wave))
    stretches = _stretches(distinct)
    most = max((edges[-1] - edges[0] for _, edges in stretches), default=0.0)
    if not 0 < width * (1 - SLACK) <= most:
        raise UsageError(
            f"width must lie between 0 and {most:.1f} Å, the widest stretch of pixels without a gap; "
            f"found {width:g}"
        )
    found = [_of_stretch(start, edges, width) for start, edges in stretches]
    low, high, one, last = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Spans(low, high, first[one], stop[last])


def wide_spans(wave: Float[np.ndarray, " n_pix"], width: float) -> Spans:
    """Returns the windows of `spans` that hold two pixels or more.

    Raises:
        UsageError: as `spans`, or there are none.
    """
    found = spans(wave, width)
    wide = found.n_pix >= 2
    if not wide.any():
        pairs = [edges[2:] - edges[:-2] for _, edges in _stretches(np.unique(wave))]
        least = min(float(pair.min()) for pair in pairs)
        raise UsageError(f"width must hold at least two pixels, {least:.3g} Å; found {width:g}")
    return Spans(*(part[wide] for part in found))


def sums_over(values: Float[np.ndarray, "n_pix ..."], at: Spans) -> Float[np.ndarray, "n_windows ..."]:
    """Returns the sum of values over the pixels of every window.

    It is put together from sums over 1, 2, 4, ... pixels. Differences of running sums would leave in a
    window the rounding of strong lines elsewhere, which could pass for information.
    """
    total = np.zeros((len(at.first), *values.shape[1:]))
    place, rest, size, block = at.first.copy(), at.n_pix, 1, np.asarray(values, np.float64)
    while (rest >= size).any():
        due = (rest & size) > 0
        total[due] += block[place[due]]
        place[due] += size
        block = block[:-size] + block[size:]  # block[i] is the sum of 2 * size pixels from i on
        size *= 2
    return total


def least_apart(bound: Float[np.ndarray, " n_windows"], at: Spans, n: int) -> list[int]:
    """Returns the windows of the smallest values that do not overlap, each the best that is left.

    Args:
        bound: one value per window; one that is not finite is never chosen.
        at: the windows.
        n: how many, at the most.
    """
    left = np.where(np.isfinite(bound), bound, np.inf)
    chosen: list[int] = []
    while len(chosen) < n and np.isfinite(left).any():
        best = int(np.argmin(left))
        chosen.append(best)
        left[(at.low < at.high[best]) & (at.high > at.low[best])] = np.inf
    return chosen


def _stretches(wave: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """First pixel and edges of the pixels of every stretch without a gap; a pixel on its own is none."""
    if len(wave) < 2:
        return []
    step = np.diff(wave)
    usual = percentile_filter(step, USUAL_PERCENT, size=NEARBY, mode="mirror")
    parts = np.split(np.arange(len(wave)), np.flatnonzero(step > MOST_GAP * usual) + 1)
    return [(int(part[0]), cell_edges(wave[part])) for part in parts if len(part) > 1]


def _of_stretch(start: int, edges: np.ndarray, width: float) -> tuple[np.ndarray, ...]:
    """Lower and upper edge, first and last pixel of the windows of a stretch that begins at pixel `start`."""
    first = np.arange(len(edges) - 1)
    reach = np.searchsorted(edges, edges[:-1] + width * (1 + SLACK), side="right") - 1
    stop = np.maximum(reach, first + 1)
    new = np.diff(stop, prepend=0) > 0  # others lie within the window before
    return edges[first[new]], edges[stop[new]], start + first[new], start + stop[new] - 1
