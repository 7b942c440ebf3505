"""Residuals of many stars in bins at rest: where models differ from the stars, and which lines lie there."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.fisher.features import features_near
from experiments.observed.fits import BestFit
from experiments.observed.rows import Line, Stack

EDGES = np.arange(7090.0, 8862.0, 2.0)  # Å
FEWEST = 3  # stars in a bin
LARGEST = 12  # lines that are named
APART = 6.0  # Å between two of them
REACH = 3.0  # Å, as far as a feature may lie from a residual


def binned(fit: BestFit) -> Float[np.ndarray, " n_bins"]:
    """Mean of data/model - 1 in every bin of wavelength at rest; NaN where the star has no pixel."""
    rest = fit.wave / (1 + fit.rv_kms / SPEED_OF_LIGHT_KMS)
    ratio = fit.flux / fit.model - 1
    good = np.isfinite(ratio)
    bins = np.digitize(rest[good], EDGES) - 1
    inside = (bins >= 0) & (bins < len(EDGES) - 1)
    size = len(EDGES) - 1
    count = np.bincount(bins[inside], minlength=size)
    total = np.bincount(bins[inside], ratio[good][inside], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def stack(group: str, fits: Sequence[BestFit]) -> Stack:
    """Mean and scatter over stars in every bin, and the largest means by name."""
    rows = np.array([binned(fit) for fit in fits]).reshape(len(fits), len(EDGES) - 1)
    enough = np.isfinite(rows).sum(axis=0) >= FEWEST
    some = np.where(enough, rows, 0.0)
    mean = np.where(enough, np.nanmean(some, axis=0), np.nan)
    scatter = np.where(enough, np.nanstd(some, axis=0), np.nan)
    wave = (EDGES[1:] + EDGES[:-1]) / 2
    return Stack(
        group=group,
        n=len(fits),
        wave=tuple(wave.tolist()),
        mean=_told(mean),
        scatter=_told(scatter),
        lines=tuple(largest(wave, mean)),
    )


def _told(values: Float[np.ndarray, " n"]) -> tuple[float | None, ...]:
    return tuple(round(float(one), 5) if np.isfinite(one) else None for one in values)


def largest(wave: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"]) -> list[Line]:
    """The largest mean residuals, some Å apart, with the features of the project's table near them."""
    left = np.where(np.isfinite(mean), np.abs(mean), 0.0)
    found: list[Line] = []
    while len(found) < LARGEST and left.max(initial=0.0) > 0:
        i = int(left.argmax())
        near = features_near(wave[i] - 1, wave[i] + 1, reach=REACH)
        names = ", ".join(one.feature.name for one in near if abs(one.distance) <= REACH) or "-"
        found.append(Line(wave=float(wave[i]), mean=round(float(mean[i]), 5), features=names))
        left[np.abs(wave - wave[i]) < APART] = 0.0
    return found


def stacks(fits: Mapping[str, Sequence[BestFit]]) -> tuple[Stack, ...]:
    """The stacks of groups of stars that have some."""
    return tuple(stack(group, some) for group, some in fits.items() if some)
