"""How well a probability tells two classes apart: overall and per SNR bin, with bootstrap intervals.

`above` is 1 for spectra of the upper class, else 0; `p` is the probability of that class. A spectrum counts
as of the class with the larger probability. Scores work along the last axis; entropies are in nats.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.records import Record
from specvit_jax.metrics import MIN_BIN, Value, Values, bootstrap, check_pairs, ends, in_bins

LEAST = 2.0**-24  # float32 tells no probability closer to 1: taken for 0 and 1 in logarithms
STEPS = 10  # of the probability, in which it is compared with what came true


@dataclass(frozen=True, kw_only=True)
class ClassMetrics(Record):
    """Accuracy, cross entropy (nats) and Brier score, with the ends of their 95 % bootstrap intervals."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    cross_entropy: float
    cross_entropy_low: float
    cross_entropy_high: float
    brier: float
    brier_low: float
    brier_high: float


@dataclass(frozen=True, kw_only=True)
class ClassScore(ClassMetrics):
    """How well the classes of `n` spectra are told.

    Args:
        n: number of spectra.
        share_above: of them in the upper class: who always says the larger class is right that often.
        skill: 1 - cross entropy / that of who always says the shares; None: all are of one class.
        balanced_accuracy: mean of the accuracies of both classes; None: all are of one.
    """

    n: int
    share_above: float
    skill: float | None
    balanced_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class ClassBin(Record):
    """`ClassScore` of the `n` spectra whose SNR lies in [snr_low, snr_high); None where they are too few."""

    snr_low: float
    snr_high: float
    snr_median: float | None  # of the spectra in the bin; None: there are none
    n: int
    share_above: float | None = None
    skill: float | None = None
    balanced_accuracy: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    cross_entropy: float | None = None
    cross_entropy_low: float | None = None
    cross_entropy_high: float | None = None
    brier: float | None = None
    brier_low: float | None = None
    brier_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reliability(Record):
    """What came true of the `n` spectra whose probability lies in [p_low, p_high); None: there are none."""

    p_low: float
    p_high: float
    n: int
    p_mean: float | None
    share_above: float | None


def accuracy(above: Values, p: Values) -> Value:
    """Share of spectra whose class has the larger probability; at exactly 1/2 the lower class is said."""
    found: Value = ((p > 0.5) == (above > 0.5)).mean(axis=-1)
    return found


def cross_entropy(above: Values, p: Values) -> Value:
    """Mean of -log of the probability of the true class, nats; probabilities within `LEAST` of 0 and 1."""
    wide = np.clip(p.astype(np.float64), LEAST, 1 - LEAST)
    found: Value = -np.where(above > 0.5, np.log(wide), np.log1p(-wide)).mean(axis=-1)
    return found


def brier(above: Values, p: Values) -> Value:
    """Mean squared difference of the probability and the class, 0 or 1 (Brier 1950)."""
    found: Value = ((p.astype(np.float64) - above) ** 2).mean(axis=-1)
    return found


METRICS: dict[str, Callable[[Values, Values], Value]] = {
    "accuracy": accuracy,
    "cross_entropy": cross_entropy,
    "brier": brier,
}


def skill(above: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"]) -> float:
    """1 - cross entropy / entropy of the shares of both classes: 0 knows no more than these, 1 is certain.

    Source: McFadden 1974, Conditional logit analysis of qualitative choice behavior, his rho squared.

    Raises:
        DataError: all spectra are of one class.
    """
    share = float(np.mean(above))
    if not 0 < share < 1:
        raise DataError(
            f"skill needs spectra of both classes, found {len(above)} of one; take more, or another threshold"
        )
    entropy = -share * np.log(share) - (1 - share) * np.log1p(-share)
    return float(1 - cross_entropy(above, p) / entropy)


def balanced_accuracy(above: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"]) -> float:
    """Mean of the accuracies of both classes, whatever their shares; both must be there."""
    each = [float(accuracy(above[above == one], p[above == one])) for one in (0, 1)]
    return float(np.mean(each))


def summary(
    above: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"], *, n_bootstrap: int = 1000, seed: int = 0
) -> ClassScore:
    """Every score, with the ends of its 95 % bootstrap percentile interval.

    Args:
        above: 1 for the upper class, else 0.
        p: probability of the upper class.
        n_bootstrap: resamplings of the spectra, with replacement.
        seed: of the resampling.

    Raises:
        DataError: no spectra, or values that are no probabilities.
    """
    _check(above, p)
    values = {name: float(metric(above, p)) for name, metric in METRICS.items()}
    values |= ends(bootstrap(above, p, METRICS, n_bootstrap, seed))
    share = float(np.mean(above))
    both = 0 < share < 1
    return ClassScore(
        n=len(above),
        share_above=share,
        skill=skill(above, p) if both else None,
        balanced_accuracy=balanced_accuracy(above, p) if both else None,
        **values,
    )


def by_snr(
    above: Float[np.ndarray, " n"],
    p: Float[np.ndarray, " n"],
    snr: Float[np.ndarray, " n"],
    edges: Sequence[float],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[ClassBin, ...]:
    """`summary` of the spectra in each bin [edge, next edge) of SNR; None in those of fewer than `MIN_BIN`.

    Raises:
        DataError: as `summary`; SNR that is not finite.
        UsageError: edges that do not increase, or fewer than two.
    """
    _check(above, p)
    rows = []
    for (low, high), inside in zip(pairwise(edges), in_bins(snr, edges), strict=True):
        n = int(inside.sum())
        median = float(np.median(snr[inside])) if n else None
        row = ClassBin(snr_low=float(low), snr_high=float(high), snr_median=median, n=n)
        if n >= MIN_BIN:
            found = summary(above[inside], p[inside], n_bootstrap=n_bootstrap, seed=seed)
            row = replace(row, **asdict(found))
        rows.append(row)
    return tuple(rows)


def reliability(
    above: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"], steps: int = STEPS
) -> tuple[Reliability, ...]:
    """How often the upper class was true where it was said with a probability: equal where p is honest."""
    _check(above, p)
    place = np.minimum((p * steps).astype(int), steps - 1)
    found = []
    for i in range(steps):
        inside = place == i
        n = int(inside.sum())
        mean, share = (float(np.mean(x[inside])) if n else None for x in (p, above))
        found.append(
            Reliability(p_low=i / steps, p_high=(i + 1) / steps, n=n, p_mean=mean, share_above=share)
        )
    return tuple(found)


def calibration_error(rows: Sequence[Reliability]) -> float:
    """Mean over all spectra of |mean probability - share that came true| of their step."""
    total = sum(row.n for row in rows)
    apart = (row.n * abs(row.p_mean - row.share_above) for row in rows
             if row.p_mean is not None and row.share_above is not None)  # fmt: skip
    return sum(apart) / total


def _check(above: np.ndarray, p: np.ndarray) -> None:
    check_pairs(above, p)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError(f"p must be probabilities, found {p.min():g} to {p.max():g}; are these labels?")
    if not np.isin(above, (0, 1)).all():
        raise DataError("above must be 0 or 1 for every spectrum")
