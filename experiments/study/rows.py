"""Rows of results: scores with their 95 % intervals, of one network or of several that differ by their seed.

A statistic is three attributes, `r2`, `r2_low`, `r2_high`, as in JSON; `intervals` gathers them for figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from crlb.files.records import Record
from specvit_jax import metrics
from specvit_jax.evaluation.scores import SNR_EDGES

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, kw_only=True)
class Run(metrics.Metrics):
    """Scores of one arm: of the network of one seed, or the mean over seeds with its interval."""

    arm: str
    seed: int | None = None  # the first, of several
    seeds: int = 1
    values: tuple[float, ...] = ()  # of the combined score, one per seed


@dataclass(frozen=True, kw_only=True)
class ArmRow(Run):
    """A trained network: its size, its cost, its scores on n test stars."""

    n: int
    parameters: int
    tokens: int
    forward_mflop: float
    spectra: int  # it was trained on
    labels: dict[str, metrics.Score]
    by_snr: tuple[metrics.BinScore, ...]
    step_s: float  # time of a training step


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Run):
    """A method that learnt from n spectra (None: endless); what only networks have is None for others."""

    n: int | None
    method: str
    mode: str | None = None
    spectra_seen: int | None = None
    steps: int | None = None
    parameters: int | None = None
    tokens: int | None = None
    forward_mflop: float | None = None
    spectra: int | None = None
    labels: dict[str, metrics.Score] | None = None
    by_snr: tuple[metrics.BinScore, ...] | None = None
    step_s: float | None = None


class Intervals(NamedTuple):
    """A statistic of several rows with the ends of its intervals; NaN where a row has none."""

    value: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]

    @property
    def reach(self) -> Float[np.ndarray, "2 n"]:
        """How far the intervals go below and above, as matplotlib's error bars want it."""
        return np.array([self.value - self.low, self.high - self.value])


def column(rows: Sequence[Record], key: str) -> Float[np.ndarray, " n"]:
    """An attribute of rows, NaN where it is None."""
    return np.array([getattr(row, key) for row in rows], np.float64)


def intervals(rows: Sequence[Record], key: str = "r2") -> Intervals:
    """The statistic of rows that have it as `key`, `key`_low and `key`_high."""
    return Intervals(*(column(rows, key + end) for end in ("", "_low", "_high")))


def widened(kind: type[R], row: Record, /, **more: object) -> R:
    """A row as one of another kind: the attributes of `row`, and more."""
    return kind(**({f.name: getattr(row, f.name) for f in fields(row)} | more))  # type: ignore[arg-type]


def scores_by_snr(
    truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], snr: Float[np.ndarray, " n"]
) -> tuple[metrics.BinScore, ...]:
    """Scores of the stars of every bin in SNR."""
    return tuple(metrics.by_snr(truth, pred, snr, SNR_EDGES))


class Span(NamedTuple):
    """A bin in SNR [low, high), and which stars are in it."""

    low: float
    high: float
    inside: Bool[np.ndarray, " n"]


def scored_spans(snr: Float[np.ndarray, " n"], whole: bool = False) -> list[Span]:
    """The bins in SNR with enough stars to be scored; `whole`: all stars before them, from 0 to infinity."""
    edges = [*([(0.0, np.inf)] if whole else []), *pairwise(SNR_EDGES)]
    spans = [Span(low, high, (snr >= low) & (snr < high)) for low, high in edges]
    return [span for span in spans if span.inside.sum() >= metrics.MIN_BIN]


def counted(rows: Sequence[Run]) -> str:
    """What the intervals of rows hold: test stars, and seeds where there were several."""
    return "stars and seeds" if any(row.seeds > 1 for row in rows) else "stars"


def r2_bayes(truth: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """1 - mean posterior variance / variance of the labels, along the last axis."""
    return 1 - variance.mean(axis=-1) / truth.var(axis=-1, dtype=np.float64)


def efficiency(truth: np.ndarray, variance: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """R2 over R2_Bayes of the same stars, along the last axis."""
    return np.asarray(metrics.r2(truth, pred)) / r2_bayes(truth, variance)
