"""Probabilities of two classes and true labels in, scores out: overall, by SNR, and how honest they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crlb.labels import unit_of
from specvit_jax import class_metrics
from specvit_jax.class_metrics import ClassBin, ClassScore, Reliability
from specvit_jax.evaluation.predict import Predictions
from specvit_jax.evaluation.scores import SNR_EDGES, Scored, tables_of
from specvit_jax.spectra.source import SNR_DEFINITION

HEAD = ("SNR", "n", "above", "accuracy", "95 % interval", "cross entropy", "Brier", "skill")


@dataclass(frozen=True, kw_only=True)
class ClassScores(Scored):
    """How well a network tells two classes of spectra apart.

    Args:
        label: whose value divides them.
        threshold: that value, in the label's unit; the upper class lies above it.
        overall: scores of all spectra.
        by_snr: of those in each bin of SNR.
        reliability: what came true where each probability was said.
        calibration_error: mean |probability - share that came true| over the steps of `reliability`.
    """

    label: str
    threshold: float
    overall: ClassScore
    by_snr: tuple[ClassBin, ...]
    reliability: tuple[Reliability, ...]
    calibration_error: float

    def table(self) -> str:
        """The scores as text: by SNR, then what came true where each probability was said."""
        upper = f"{self.label} above {self.threshold:g} {unit_of(self.label)}".rstrip()
        told = [_told(row) for row in self.reliability]
        return tables_of(
            (f"{upper}, {self.n} spectra", HEAD, list(_rows(self))),
            (
                f"Reliability: off by {self.calibration_error:.3f} on average",
                ("said probability", "n", "mean said", "came true"),
                told,
            ),
        )


def class_scores(
    truth: Float[np.ndarray, " n"],
    predictions: Predictions,
    snr: Float[np.ndarray, " n"],
    *,
    label: str,
    threshold: float,
    edges: Sequence[float] = SNR_EDGES,
    seed: int = 0,
) -> ClassScores:
    """The scores of predicted probabilities.

    Args:
        truth: true values of the label.
        predictions: the probability that it lies above the threshold, in one column.
        snr: median SNR per pixel of every spectrum.
        label: name of the label.
        threshold: value that divides the classes, in the label's unit.
        edges: of the bins in SNR.
        seed: of the bootstrap.

    Raises:
        DataError: no spectra, or values that are no probabilities.
        UsageError: edges that do not increase.
    """
    above, p = (truth > threshold).astype(np.float64), predictions.labels[:, 0].astype(np.float64)
    told = class_metrics.reliability(above, p)
    return ClassScores(
        n=len(truth),
        snr_definition=SNR_DEFINITION,
        label=label,
        threshold=threshold,
        overall=class_metrics.summary(above, p, seed=seed),
        by_snr=class_metrics.by_snr(above, p, snr, edges, seed=seed),
        reliability=told,
        calibration_error=class_metrics.calibration_error(told),
    )


def _rows(scores: ClassScores) -> Iterator[tuple[str, ...]]:
    """The cells of the table, first of all spectra."""
    yield _cells("all", scores.overall)
    for row in scores.by_snr:
        yield _cells(f"{row.snr_low:g}-{row.snr_high:g}", row)


def _cells(snr: str, row: ClassScore | ClassBin) -> tuple[str, ...]:
    if row.accuracy is None:
        return (snr, str(row.n), "", "too few")
    interval = f"{row.accuracy_low:.4f}..{row.accuracy_high:.4f}"
    skill = "one class" if row.skill is None else f"{row.skill:.3f}"
    numbers = (f"{row.cross_entropy:.4g}", f"{row.brier:.4g}", skill)
    return (snr, str(row.n), f"{row.share_above:.2f}", f"{row.accuracy:.4f}", interval, *numbers)


def _told(row: Reliability) -> tuple[str, ...]:
    span = f"{row.p_low:.1f}-{row.p_high:.1f}"
    if row.p_mean is None or row.share_above is None:
        return (span, "0", "", "")
    return (span, str(row.n), f"{row.p_mean:.3f}", f"{row.share_above:.3f}")
