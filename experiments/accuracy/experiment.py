"""How close networks come to the exact limit on the same stars: R2 of log g beside R2_Bayes, by SNR.

Claim:    no estimator reaches more than the posterior mean; what is missing to it belongs to the network.
Command:  python -m experiments.accuracy [--preset smoke|cpu|gpu] [--network NAME=RUN|WEIGHTS ...]
Hardware: two CPU cores; the posteriors of 10,000 stars take five minutes, kept in the output folder.
Expect:   `tiny` within 0.01 of the limit overall.

The limit of a set of stars is 1 - mean(posterior variance) / variance(truth), with the posterior of every
star under the prior it was drawn from and the noise it was given. The posterior mean is an estimator as well;
its R2 on these stars scatters about the limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from crlb.files.records import Record
from crlb.palette import LIMIT, looks
from experiments.accuracy.options import AccuracyOptions
from experiments.study.cells import log_ticks
from experiments.study.frame import Study, Work
from experiments.study.plotting import (
    COLORS,
    EXACT,
    PAGE,
    R2,
    SNR,
    Sheet,
    legend_below,
    light_grid,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import intervals
from experiments.study.stars import limit
from experiments.study.training import parse_networks, read_label, reference
from specvit_jax import Weights, load_weights, metrics
from specvit_jax.evaluation.scores import SNR_EDGES
from specvit_jax.network.find import find_weights

MEAN = "posterior mean"


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300), "cpu": Size(10_000), "gpu": Size(10_000)}


@dataclass(frozen=True, kw_only=True)
class SnrRow(Record):
    """The limit of the n stars between two SNR (None: no end) and scores by method; None of too few stars."""

    snr_low: float
    snr_high: float | None
    n: int
    r2_bayes: float | None = None
    methods: dict[str, metrics.Score] | None = None

    @property
    def snr(self) -> str:
        """The bin in words."""
        return "all" if self.snr_high is None else f"{self.snr_low:g}-{self.snr_high:g}"


@dataclass(frozen=True, kw_only=True)
class AccuracyResult(Result):
    """The limit and the scores of all stars, then of those of every bin in SNR."""

    networks: dict[str, str]  # name -> where its weights come from
    rows: tuple[SnrRow, ...]

    def table(self) -> str:
        """The scored rows in Markdown: R2 with its 95 % interval, and what is missing to the limit."""
        heads = ["SNR", "n", "R2_Bayes", MEAN, *(f"{name} | {name}, missing" for name in self.networks)]
        lines = [f"| {' | '.join(heads)} |", "|---" * (4 + 2 * len(self.networks)) + "|"]
        lines += [f"| {' | '.join(cells(row, list(self.networks)))} |" for row in self.rows if row.methods]
        return "\n".join(lines)

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 of every method by SNR, and the exact limit of the same stars."""
        rows = [row for row in self.rows if row.snr_high is not None and row.methods]
        figure, axes = sheet.one(2.8, share=0.6)
        snr = np.array([(row.snr_low * (row.snr_high or np.nan)) ** 0.5 for row in rows])
        exact = np.array([row.r2_bayes for row in rows], float)
        axes.plot(
            snr,
            exact,
            "_",
            color=LIMIT,
            markersize=8,
            markeredgewidth=1.4,
            label="exact limit, these stars",
        )
        styles = [
            {"color": LIMIT, "marker": "^", "linestyle": "--"},
            {"color": COLORS["SpecViT"], "marker": "o"},
            *looks(max(1, len(self.networks) - 1)),
        ]
        for i, (name, style) in enumerate(zip((MEAN, *self.networks), styles, strict=False)):
            found = intervals([row.methods[name] for row in rows if row.methods])
            place = snr * (1 + 0.02 * i)
            label = name if name == MEAN else f"SpecViT “{name}”"
            axes.errorbar(place, found.value, yerr=found.reach, label=label, elinewidth=0.8, **style)
        log_ticks(axes, [2, 3, 5, 10, 20])
        axes.set_xlabel("SNR per pixel of 0.427 Å, middle of the bin")
        axes.set_ylabel("$R^2$ of log $g$")
        light_grid(axes)
        legend_below(figure, axes, columns=3)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        networks = ", ".join(self.networks)
        return sentences(
            f"R² of log g by SNR for the posterior mean and for the network {networks}, on the same "
            f"{self.test.n:,} test stars; points are set apart a little along the axis",
            R2, EXACT, SNR, "Error bars: 95 %, from resampled stars",
        )  # fmt: skip


def cells(row: SnrRow, names: Sequence[str]) -> list[str]:
    """A scored row of the table."""
    assert row.methods is not None
    assert row.r2_bayes is not None
    found = [row.snr, str(row.n), f"{row.r2_bayes:.3f}", f"{row.methods[MEAN].r2:.3f}"]
    for name in names:
        score = row.methods[name]
        found.append(f"{score.r2:.3f} ({score.r2_low:.3f}-{score.r2_high:.3f})")
        found.append(f"{row.r2_bayes - score.r2:.3f}")
    return found


def run(work: Work[Size]) -> AccuracyResult:
    """Reads the test set with every network and with the exact posterior."""
    assert isinstance(work.options, AccuracyOptions)
    networks = parse_networks(work.options.network)
    weights: dict[str, Weights] = {name: load_weights(find_weights(run)) for name, run in networks.items()}
    if not networks:
        networks, weights = {"tiny": "tiny"}, {"tiny": reference(work)}
    estimates = {name: read_label(found, work.stars) for name, found in weights.items()}
    rows = snr_rows(work.truth, work.exact, work.stars.snr, estimates)
    return AccuracyResult(networks=networks, rows=tuple(rows))


def snr_rows(
    truth: Float[np.ndarray, " n"],
    exact: Float[np.ndarray, "n 2"],
    snr: Float[np.ndarray, " n"],
    estimates: Mapping[str, Float[np.ndarray, " n"]],
) -> list[SnrRow]:
    """A row of all stars, then one for every bin in SNR; no scores where there are too few."""
    rows, methods = [], {MEAN: exact[:, 0]} | dict(estimates)
    for low, high in ((0.0, np.inf), *pairwise(SNR_EDGES)):
        inside = (snr >= low) & (snr < high)
        row = SnrRow(snr_low=low, snr_high=None if np.isinf(high) else high, n=int(inside.sum()))
        if row.n >= metrics.MIN_BIN:
            scores = {name: metrics.summary(truth[inside], pred[inside]) for name, pred in methods.items()}
            row = replace(row, r2_bayes=limit(truth[inside], exact[inside, 1]), methods=scores)
        rows.append(row)
    return rows


STUDY = Study("accuracy", __doc__, SIZES, run, AccuracyResult, AccuracyOptions)
