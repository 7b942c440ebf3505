"""Whether it is chance that the posterior mean misses its own limit on the faintest stars of the test set.

Claim:    where the posterior is right, the squared error of its mean is its variance on average, in every bin
          of what it is told. A bin of the test set in which it is not must be repeated by stars of another
          seed, or it was the luck of the draw.
Command:  python -m experiments.chance [--preset smoke|cpu|gpu]
Hardware: two CPU cores, five minutes; twenty where they are shared. What is done is kept.
Expect:   an excess within three standard errors of 0 on fresh stars, ranks of the truth uniform.

The excess of a star is (posterior mean - truth)^2 - posterior variance. Its mean over a bin is 0 for stars
of the prior, with a standard error from its scatter, if the bin is one of magnitude, which the posterior is
told, or of the posterior mean, which follows from the spectrum. A bin of noiseless SNR is neither: SNR is a
function of the labels, and those of its stars do not follow the prior. How much, `snr_at_mag` says.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from scipy.stats import kstest

from crlb.files.records import Record
from crlb.palette import looks
from experiments.study.frame import Study, Work
from experiments.study.plotting import PAGE, Sheet, legend_below, light_grid, markdown, sentences
from experiments.study.result import Result
from experiments.study.stars import PIECE, TEST_SEED, Stars, limit, stars_of
from specvit_jax import Simulator, make_simulator, metrics
from specvit_jax.evaluation.limits import exact_posterior
from specvit_jax.evaluation.scores import SNR_EDGES

FRESH_SEED = 20_101  # of the independent stars, and of nothing else
MAG_EDGES = (20.5, 21.0, 21.5, 22.0, 22.25, 22.5)
FAINT = (22.0, 22.5)  # AB magnitudes in i of the independent stars: the two faintest bins
MEAN_EDGES = (1.0, 2.0, 3.0, 4.0, 5.0)  # of the posterior mean of log g, dex

What = Literal["all", "mag", "SNR", "posterior mean"]


SETS = {"test": "test set", "fresh": "fresh stars of another seed"}


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    n_fresh: int
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300, 200), "cpu": Size(10_000, 4_000), "gpu": Size(10_000, 50_000)}


@dataclass(frozen=True, kw_only=True)
class Solved(Record):
    """Posterior mean and standard deviation (dex) of some stars, and the rank of the truth, 0 to 1."""

    mean: tuple[float, ...]
    sigma: tuple[float, ...]
    rank: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ExcessRow(Record):
    """The n stars of a bin [low, high) (None: all): their excess, dex^2, with its standard error.

    `variance`: of the true labels, dex^2; `bias`: mean of posterior mean - truth, dex; `rank_p`: probability
    that uniform ranks lie as far from uniform (Kolmogorov-Smirnov), None where no ranks are known.
    """

    stars: str
    what: What
    low: float | None = None
    high: float | None = None
    n: int
    variance: float
    r2_bayes: float
    r2_mean: float
    bias: float
    excess: float
    excess_error: float
    rank_p: float | None = None

    @property
    def z(self) -> float:
        """Excess in standard errors."""
        return self.excess / self.excess_error

    @property
    def name(self) -> str:
        """The stars and their bin in words."""
        return self.stars if self.what == "all" else f"{self.stars}, {self.bin}"

    @property
    def bin(self) -> str:
        """The bin in words."""
        return "all" if self.what == "all" else f"{self.what} {self.low:g}-{self.high:g}"


@dataclass(frozen=True, kw_only=True)
class SnrAtMag(Record):
    """What noiseless SNR tells beside the magnitude: scatter of ln SNR, and its correlation with labels."""

    scatter: float
    correlation: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ChanceResult(Result):
    """The excess of the test set and of independent stars, by magnitude, SNR and posterior mean."""

    fresh_seed: int
    fresh_mag: tuple[float, float]
    unconverged: int  # of the fresh stars
    rows: tuple[ExcessRow, ...]
    snr_at_mag: SnrAtMag

    def table(self) -> str:
        """The rows in Markdown, and what SNR tells."""
        heads = ["stars", "n", "R2_Bayes", "R2 of the posterior mean", "excess, dex2", "in standard errors"]
        rows = markdown([*heads, "bias, dex", "ranks uniform, p"], [cells(row) for row in self.rows])
        found = ", ".join(f"{name} {r:+.2f}" for name, r in self.snr_at_mag.correlation.items())
        end = f"ln SNR at a given magnitude: scatter {self.snr_at_mag.scatter:.3f}, correlation with {found}."
        return f"{rows}\n\n{end}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """The excess of every bin with its standard error, the test set above the fresh stars."""
        figure, axes = sheet.one(0.17 * len(self.rows) + 0.9, share=0.7)
        sets = list(dict.fromkeys(row.stars for row in self.rows))
        for name, style in zip(sets, looks(len(sets)), strict=True):
            mine = [(place, row) for place, row in enumerate(self.rows) if row.stars == name]
            axes.errorbar(
                [row.excess for _, row in mine], [place for place, _ in mine],
                xerr=[row.excess_error for _, row in mine], capsize=2, elinewidth=0.8,
                **style | {"linestyle": "none", "label": SETS.get(name, name)},
            )  # fmt: skip
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.set_yticks(range(len(self.rows)), [row.bin for row in self.rows])
        axes.set_ylim(len(self.rows) - 0.5, -0.5)
        axes.set_xlabel("excess of the squared error of log $g$ (dex$^2$)")
        axes.locator_params("x", nbins=6)
        light_grid(axes, "x")
        legend_below(figure, axes, columns=2)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "Excess: (posterior mean - truth)² - posterior variance of log g, averaged over all stars of "
            "a set and over its bins in AB magnitude i, in SNR and in the posterior mean (dex). It is 0 "
            "on average where the posterior is right; stars of another seed tell whether a bin off 0 was "
            "chance",
            "Error bars: one standard error",
        )


def cells(row: ExcessRow) -> list[str]:
    """A row of the table."""
    excess = f"{row.excess:+.4f} ± {row.excess_error:.4f}"
    numbers = [f"{row.r2_bayes:.3f}", f"{row.r2_mean:.3f}", excess, f"{row.z:+.1f}", f"{row.bias:+.3f}"]
    return [row.name, str(row.n), *numbers, "" if row.rank_p is None else f"{row.rank_p:.2f}"]


class Known(NamedTuple):
    """Truth, posterior mean and standard deviation (dex) of stars, and the rank of the truth if known."""

    truth: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    sigma: Float[np.ndarray, " n"]
    rank: Float[np.ndarray, " n"] | None = None


def run(work: Work[Size]) -> ChanceResult:
    """The test set as it was scored, then stars of another seed at its faint end."""
    test = Known(work.truth, *work.exact.T)
    simulator = make_simulator(work.options.grid, work.options.noise, FAINT)
    fresh = stars_of(simulator, FRESH_SEED, work.size.n_fresh, "Fresh spectra")
    solved, unconverged = solve(work, simulator, fresh)
    rows = [*rows_of("test set", test, work.stars), *rows_of("fresh", solved, fresh)]
    return ChanceResult(
        fresh_seed=FRESH_SEED,
        fresh_mag=FAINT,
        unconverged=unconverged,
        rows=tuple(rows),
        snr_at_mag=snr_at_mag(fresh, simulator.label_names),
    )


def solve(work: Work[Size], simulator: Simulator, fresh: Stars) -> tuple[Known, int]:
    """Posteriors of the fresh stars, kept piece by piece, and how many of them did not converge."""
    pieces, column = [], work.column
    settings = {"seed": FRESH_SEED, "mag": FAINT, "piece": PIECE}
    for start in range(0, len(fresh.mag), PIECE):
        some = fresh.take(slice(start, start + PIECE))
        compute = lambda some=some: solved(simulator, some, column)  # noqa: E731
        pieces.append(work.part(f"stars-{start}", settings | {"start": start}, Piece, compute))
    mean, sigma, rank = (
        np.concatenate([getattr(piece.stars, name) for piece in pieces]) for name in ("mean", "sigma", "rank")
    )
    return Known(fresh.labels[:, column], mean, sigma, rank), sum(piece.unconverged for piece in pieces)


@dataclass(frozen=True, kw_only=True)
class Piece(Record):
    """Some of the fresh stars, and how many of them did not converge."""

    stars: Solved
    unconverged: int


def solved(simulator: Simulator, some: Stars, column: int) -> Piece:
    """Exact posteriors of one label of some stars."""
    found = exact_posterior(simulator, some.noisy, some.mag, some.labels.astype(np.float64))
    mean, sigma, rank = (tuple(x[:, column].tolist()) for x in (found.mean, found.sigma, found.cumulative))
    stars = Solved(mean=mean, sigma=sigma, rank=rank)
    return Piece(stars=stars, unconverged=int((~found.converged).sum()))


def rows_of(name: str, known: Known, stars: Stars) -> list[ExcessRow]:
    """All stars of a set, then those of every bin that holds enough."""
    everyone = np.ones(len(known.truth), bool)
    bins: list[tuple[What, float | None, float | None, Bool[np.ndarray, " n"]]] = [
        ("all", None, None, everyone)
    ]
    by: list[tuple[What, np.ndarray, tuple[float, ...]]] = [
        ("mag", stars.mag, MAG_EDGES),
        ("SNR", stars.snr, SNR_EDGES),
        ("posterior mean", known.mean, MEAN_EDGES),
    ]
    for what, values, edges in by:
        bins += [(what, low, high, (values >= low) & (values < high)) for low, high in pairwise(edges)]
    return [
        excess(name, what, (low, high), Known._make(None if x is None else x[inside] for x in known))
        for what, low, high, inside in bins
        if inside.sum() >= metrics.MIN_BIN
    ]


def excess(name: str, what: What, ends: tuple[float | None, float | None], known: Known) -> ExcessRow:
    """The row of some stars."""
    truth, mean, sigma, rank = known
    error = mean - truth
    beyond, variance, n = error**2 - sigma**2, float(np.var(truth, dtype=np.float64)), len(truth)
    return ExcessRow(
        stars=name,
        what=what,
        low=ends[0],
        high=ends[1],
        n=n,
        variance=variance,
        r2_bayes=limit(truth, sigma),
        r2_mean=float(metrics.r2(truth, mean)),
        bias=float(error.mean()),
        excess=float(beyond.mean()),
        excess_error=float(beyond.std(ddof=1) / np.sqrt(n)),
        rank_p=None if rank is None else float(kstest(rank, "uniform").pvalue),
    )


def snr_at_mag(stars: Stars, label_names: tuple[str, ...]) -> SnrAtMag:
    """What is left of ln SNR once a parabola in magnitude is taken out, and which label it follows."""
    ratio, powers = np.log(stars.snr), np.vander(stars.mag - np.mean(stars.mag), 3)
    left = ratio - powers @ np.linalg.lstsq(powers, ratio, rcond=None)[0]
    pairs = zip(label_names, stars.labels.T, strict=True)
    correlation = {name: float(np.corrcoef(left, values)[0, 1]) for name, values in pairs}
    return SnrAtMag(scatter=float(left.std()), correlation=correlation)


STUDY = Study(
    "chance",
    __doc__,
    SIZES,
    run,
    ChanceResult,
    seeds={"test": TEST_SEED, "fresh": FRESH_SEED},
)
