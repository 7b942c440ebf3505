"""Rows of the result: instruments, scores, exact limits, differences on the same stars, real stars."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crlb.files.records import Record
from experiments.study.resampling import ends, with_ends
from experiments.study.rows import r2_bayes
from specvit_jax import metrics

OWN, JOINT, MOVED, LIMIT = "own", "joint", "joint, moved", "exact posterior"
# The methods that are compared at every instrument, star by star.
PAIRS = ((JOINT, OWN), (MOVED, OWN), (MOVED, JOINT), (OWN, LIMIT), (JOINT, LIMIT), (MOVED, LIMIT))
FEW = 10  # real stars, of which R2 is not told
Values = Float[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Instrument(Record):
    """An instrument: its pixels that the grid shows, from `first` to `last` (vacuum Å); `snr`: of the median
    test star, per pixel; `learned`: whether the joint network learns from it."""

    name: str
    learned: bool
    pixels: int
    first: float
    last: float
    tokens: int
    snr: float


@dataclass(frozen=True, kw_only=True)
class ReadRow(metrics.Score):
    """How well a network reads a label at an instrument; `network`: joint, or that it learned from."""

    network: str
    instrument: str
    label: str


@dataclass(frozen=True, kw_only=True)
class LimitRow(metrics.Score):
    """Scores of the exact posterior mean on the test stars; `bayes`: 1 - mean variance / variance."""

    instrument: str
    label: str
    bayes: float
    converged: float  # share of the posteriors


@dataclass(frozen=True, kw_only=True)
class DifferenceRow(Record):
    """R2 of one method minus that of another on the same stars, with 95 %; None of too few stars."""

    instrument: str
    label: str
    method: str
    other: str
    r2: float | None
    r2_low: float | None
    r2_high: float | None


@dataclass(frozen=True, kw_only=True)
class RealStar(Record):
    """A real star: labels of the literature, and those that each network reads."""

    instrument: str
    star: str
    snr: float
    literature: dict[str, float]
    read: dict[str, dict[str, float]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RealScore(Record):
    """What a network reads from n real stars minus the literature; R2: None of fewer than `FEW`."""

    instrument: str
    network: str
    label: str
    n: int
    bias: float
    scatter: float
    r2: float | None = None
    r2_low: float | None = None
    r2_high: float | None = None


def pairs(own: str) -> list[tuple[str, str]]:
    """`PAIRS` at an instrument whose own network has this name."""
    return [(own if one == OWN else one, own if other == OWN else other) for one, other in PAIRS]


def difference(
    instrument: str, label: str, truth: Values, methods: dict[str, Values], names: tuple[str, str]
) -> DifferenceRow:
    """R2 of the first named method minus that of the second; `methods`: estimates of the same stars."""
    n = min(len(methods[name]) for name in names)  # exact posteriors are those of the first stars
    found = with_ends("r2", gained, truth[:n], *(methods[name][:n] for name in names))
    return DifferenceRow(instrument=instrument, label=label, method=names[0], other=names[1], **found)


def gained(truth: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """R2 of one method minus that of another, along the last axis."""
    return np.asarray(metrics.r2(truth, one)) - np.asarray(metrics.r2(truth, other))


def limit_row(
    instrument: str, label: str, truth: Values, mean: Values, sigma: Values, converged: float
) -> LimitRow:
    """The row of an exact limit: posterior mean and standard deviation of a label, in its unit."""
    return LimitRow(
        **vars(metrics.summary(truth, mean)),
        instrument=instrument,
        label=label,
        bayes=float(r2_bayes(truth, sigma**2)),
        converged=converged,
    )


def real_scores(stars: tuple[RealStar, ...]) -> list[RealScore]:
    """Bias, scatter and R2 of every instrument, network and label, as they come out."""
    found = []
    for instrument in dict.fromkeys(star.instrument for star in stars):
        mine = [star for star in stars if star.instrument == instrument]
        for network in mine[0].read:
            for label in mine[0].literature:
                truth = np.array([star.literature[label] for star in mine])
                pred = np.array([star.read[network][label] for star in mine])
                found.append(real_score(instrument, network, label, truth, pred))
    return found


def real_score(instrument: str, network: str, label: str, truth: Values, pred: Values) -> RealScore:
    """The row of a network and a label on the real stars of an instrument."""
    scores: dict[str, float] = {}
    if len(truth) >= FEW:
        low, high = ends(_r2, truth, pred)
        scores = {"r2": float(metrics.r2(truth, pred)), "r2_low": low, "r2_high": high}
    return RealScore(
        instrument=instrument,
        network=network,
        label=label,
        n=len(truth),
        bias=float(metrics.bias(truth, pred)),
        scatter=float(metrics.scatter(truth, pred)),
        **scores,
    )


def _r2(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """R2 along the last axis."""
    return np.asarray(metrics.r2(truth, pred))
