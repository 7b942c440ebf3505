"""Predictions and true labels in, scores out: of all spectra and of those in each bin of SNR."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from crlb.files.records import ABSENT, Record
from specvit_jax import metrics
from specvit_jax.evaluation.predict import Predictions
from specvit_jax.metrics import BinScore, Score
from specvit_jax.spectra.source import SNR_DEFINITION

SNR_EDGES = (1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 12.5, 20.0, 35.0, 60.0, 110.0)  # magnitudes 23 to 18
HEAD = ("SNR", "n", "R2", "95 % interval", "MAE", "RMSE", "bias")
WIDTH = 100  # characters of a line of a table


@dataclass(frozen=True)
class LabelScores(Record):
    """The scores of one label.

    Args:
        overall: of all spectra.
        by_snr: of those in each bin of SNR.
        coverage: shares of spectra within 1 and 2 predicted sigma, as `coverage` gives them; None: the
            method predicts no sigma.
    """

    overall: Score
    by_snr: tuple[BinScore, ...]
    coverage: dict[str, float] | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True, kw_only=True)
class Scored(Record):
    """What was scored: a method on a set of spectra.

    Args:
        weights: file of the network, if the method is one.
        baseline: file of another method.
        name: of that method.
        data: file of the spectra.
        unusable_pixels_filled: pixels in which the method was shown the mean of its training spectra.
        conditions: of the spectra, where their file says them.
        trained_under: conditions of the network's training, where these or the others are not the published.
        n: number of spectra.
        snr_definition: of the bins, in words.
    """

    weights: str | None = field(default=None, metadata=ABSENT)
    baseline: str | None = field(default=None, metadata=ABSENT)
    name: str | None = field(default=None, metadata=ABSENT)
    data: str | None = field(default=None, metadata=ABSENT)
    unusable_pixels_filled: int | None = field(default=None, metadata=ABSENT)
    conditions: str | None = field(default=None, metadata=ABSENT)
    trained_under: str | None = field(default=None, metadata=ABSENT)
    n: int
    snr_definition: str


@dataclass(frozen=True, kw_only=True)
class Scores(Scored):
    """The scores of a method on a set of spectra.

    Args:
        labels: name -> scores.
    """

    labels: dict[str, LabelScores]

    def table(self) -> str:
        """The scores as text, a table for every label."""
        return tables_of(
            *(
                (f"{label}, {self.n} spectra", HEAD, list(_rows(scores)))
                for label, scores in self.labels.items()
            )
        )


def tables_of(*tables: tuple[str, Sequence[str], Sequence[Sequence[str]]]) -> str:
    """Tables as text: of each its title, heads and rows; every column justified to the right."""
    from rich import box
    from rich.table import Table

    from crlb.files.console import PlainConsole

    console = PlainConsole(file=io.StringIO(), width=WIDTH)
    with console.capture() as text:
        for title, heads, rows in tables:
            table = Table(*heads, box=box.SIMPLE, title=title)
            for column in table.columns:
                column.justify = "right"
            for row in rows:
                table.add_row(*row)
            console.print(table)
    return text.get()


def score(
    truth: Float[np.ndarray, "n n_labels"],
    predictions: Predictions,
    snr: Float[np.ndarray, " n"],
    *,
    edges: Sequence[float] = SNR_EDGES,
    seed: int = 0,
) -> Scores:
    """The scores of predicted labels.

    Args:
        truth: true labels, in the order of the predicted ones.
        predictions: of any method.
        snr: median SNR per pixel of every spectrum.
        edges: of the bins in SNR.
        seed: of the bootstrap.

    Raises:
        DataError: no spectra, values that are not finite, or true labels that are all equal.
        UsageError: edges that do not increase.
    """
    labels = {}
    for i, name in enumerate(predictions.label_names):
        true, pred = truth[:, i], predictions.labels[:, i]
        sigma = None if predictions.sigma is None else predictions.sigma[:, i]
        labels[name] = LabelScores(
            metrics.summary(true, pred, seed=seed),
            metrics.by_snr(true, pred, snr, edges, seed=seed),
            None if sigma is None else coverage(true, pred, sigma),
        )
    return Scores(n=len(truth), snr_definition=SNR_DEFINITION, labels=labels)


def coverage(
    truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Shares of spectra whose true label lies within 1 and 2 sigma; 0.683 and 0.954 for Gaussian errors."""
    off = np.abs(pred - truth)
    return {f"{k}_sigma": float(np.mean(off <= k * sigma)) for k in (1, 2)}


def _rows(scores: LabelScores) -> Iterator[tuple[str, ...]]:
    """The cells of a label's table, first of all spectra."""
    yield _cells("all", scores.overall)
    for row in scores.by_snr:
        yield _cells(f"{row.snr_low:g}-{row.snr_high:g}", row)


def _cells(snr: str, row: Score | BinScore) -> tuple[str, ...]:
    if row.r2 is None:
        return (snr, str(row.n), "too few")
    numbers = (f"{value:.4g}" for value in (row.mae, row.rmse, row.bias))
    return (snr, str(row.n), f"{row.r2:.4f}", f"{row.r2_low:.4f}..{row.r2_high:.4f}", *numbers)
