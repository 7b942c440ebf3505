"""How well a label can be known, per magnitude: the result of `crlb ceiling`, its table and its figure."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crlb.bayes.bounds import EachBound
from crlb.bayes.exact_limit import EssRange, Interval, RankTest
from crlb.errors import UsageError
from crlb.files.records import ABSENT, INLINE, Json, Record
from crlb.files.text import mag_cell, text_of
from crlb.fisher.words import SCHUR_DECAY
from crlb.labels import unit_of
from crlb.palette import BACKGROUND, BOUND, LIMIT, PAGE, Sheet, looks, settled, styled, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

Cell = float | int | None

NOT_A_CEILING = (
    "No estimator exceeds R2_Bayes on such stars. Van Trees bounds it from above; so does Ziv-Zakai, exactly "
    "where the noise of both stars of a pair is equal, nearly where it depends on the star. The pooled ones "
    "speak of unbiased estimators (shrunk: drawn towards the prior mean) and are no bounds."
)


@dataclass(frozen=True)
class Quantiles(Record):
    """Quantiles over the nodes of a grid; inf where so many nodes have no bound."""

    p10: float
    median: float
    p90: float


@dataclass(frozen=True)
class QuantilesAndMean(Quantiles):
    """Quantiles over the nodes of a grid, and the mean."""

    mean: float


@dataclass(frozen=True)
class MedianOnly(Record):
    """The median over the nodes of a grid."""

    median: float


@dataclass(frozen=True)
class PriorR2(Record):
    """1 - bound / variance of every bound under a prior (`crlb.bayes.bounds`); None with a reason."""

    r2_pooled: float | None
    r2_shrinkage: float
    r2_van_trees: float | None
    r2_weighted_van_trees: float
    r2_ziv_zakai: float
    r2_pooled_reason: str | None = field(default=None, metadata=ABSENT)
    r2_van_trees_reason: str | None = field(default=None, metadata=ABSENT)

    @classmethod
    def of(cls, r2: EachBound, reason: dict[str, str]) -> "PriorR2":
        """Returns the R2 of all bounds at one magnitude with the reasons for those that do not exist."""
        return cls(
            *(r2.pooled, r2.shrinkage, r2.van_trees, r2.weighted_van_trees, r2.ziv_zakai),
            r2_pooled_reason=reason.get("pooled"),
            r2_van_trees_reason=reason.get("van_trees"),
        )

    def values(self) -> dict[str, float | None]:
        """Returns the numbers by their names, in the order of the table."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_reason")}

    def reasons(self) -> list[str]:
        """Returns why bounds do not exist."""
        return [words for words in (self.r2_pooled_reason, self.r2_van_trees_reason) if words is not None]


@dataclass(frozen=True)
class ExactR2(Interval):
    """The highest R2 of any estimator with its 95 % interval, and how the posteriors behind it fared.

    Args:
        n: stars simulated.
        unconverged: how many of them have a posterior that did not converge.
        ess: effective number of points behind the posteriors.
        rank_ks: test of the widths of the posteriors.
        r2_of_posterior_mean: the same R2 from the errors of the posterior mean.
    """

    n: int
    unconverged: int
    ess: EssRange
    rank_ks: RankTest
    r2_of_posterior_mean: Interval


@dataclass(frozen=True)
class MagnitudeBin(Record):
    """The ceiling at one magnitude.

    Args:
        mag: AB magnitude in i.
        snr_median: median over nodes of the SNR per pixel.
        n: nodes.
        lost: nodes at which the labels cannot be told apart; their bound counts as infinite.
        r2_max: 1 - bound^2 / variance, clipped to 0..1 at every node.
        bound: 1-sigma Cramer-Rao bound, in the unit of the label.
        schur_decay: conditional over marginal bound, squared.
        prior_r2: bounds for stars drawn from a prior, where these were asked for.
        r2_bayes: the exact limit for such stars, likewise.
        r2_bayes_reason: why that does not exist, though it was asked for.
    """

    mag: float
    snr_median: float
    n: int
    lost: int
    r2_max: QuantilesAndMean
    bound: Quantiles
    schur_decay: MedianOnly
    prior_r2: PriorR2 | None = field(default=None, metadata=INLINE)
    r2_bayes: ExactR2 | None = field(default=None, metadata=ABSENT)
    r2_bayes_reason: str | None = field(default=None, metadata=ABSENT)

    def row(self) -> dict[str, Cell]:
        """Returns the numbers of the table, without nesting."""
        found: dict[str, Cell] = {"mag": self.mag, "snr_median": self.snr_median, "n": self.n}
        found |= {f"r2_max_{name}": value for name, value in vars(self.r2_max).items()}
        found |= {f"bound_{name}": value for name, value in vars(self.bound).items()}
        found |= {"schur_decay_median": self.schur_decay.median}
        if self.prior_r2 is not None:
            found |= self.prior_r2.values()
        if self.r2_bayes is not None:
            found |= {f"r2_bayes_{name}": vars(self.r2_bayes)[name] for name in ("value", "low", "high", "n")}
        return found


@dataclass(frozen=True)
class LabelPrior(Record):
    """The prior of one label: edges in its unit, shape parameters of its Beta distribution, variance.

    `normal` is mean and standard deviation of a normal distribution cut at the edges, None where it has none.
    """

    low: float
    high: float
    beta: tuple[float, float]
    variance: float
    normal: tuple[float, float] | None = field(default=None, metadata=ABSENT)

    def words(self) -> str:
        """Returns the distribution in words."""
        if self.normal is not None:
            return f"normal {self.normal[0]:g} +- {self.normal[1]:g} within {self.low:g} to {self.high:g}"
        a, b = self.beta
        shape = "uniform" if (a, b) == (1.0, 1.0) else f"Beta({a:g}, {b:g})"
        return f"{shape} {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class SpreadOf(Record):
    """Weighted spread of a label over the stars of a table, in its unit; variance in unit^2."""

    low: float
    high: float
    mean: float
    variance: float


@dataclass(frozen=True)
class StarsOfTable(Record):
    """The stars of a table that a ceiling speaks of.

    Args:
        file: the table.
        sha256: its checksum.
        n: stars.
        dropped: stars left out because they lie outside the grid.
        unread: columns that were not used.
        labels: spread of every free label.
        own_mags: whether the stars have their own magnitudes; that of the bin is their median.
        smoothed: widths of the kernels by label, of the stars that `r2_bayes` speaks of.
    """

    file: str
    sha256: str
    n: int
    dropped: int
    unread: tuple[str, ...]
    labels: dict[str, SpreadOf]
    own_mags: bool = False
    smoothed: dict[str, float] = field(default_factory=dict)

    def words(self) -> list[str]:
        """Returns the stars in words."""
        dropped = f" ({self.dropped} outside the grid left out)" if self.dropped else ""
        spreads = (
            f"{name} {one.mean:.5g} +- {one.variance**0.5:.3g} ({one.low:g} to {one.high:g})"
            for name, one in self.labels.items()
        )
        found = [f"Stars: {self.n} of {self.file}{dropped}. {', '.join(spreads)}."]
        if self.own_mags:
            found.append("Magnitudes: those of the table's stars; mag is their median.")
        if self.smoothed:
            widths = ", ".join(f"{name} {width:g}" for name, width in self.smoothed.items())
            found.append(f"Exact limit: of stars drawn from the table with Gaussian kernels, {widths}.")
        return found


@dataclass(frozen=True)
class Ceiling(Record):
    """How well a label can be known, per magnitude.

    Args:
        label: whose bound this is.
        label_names: the unknown labels, the others being known exactly.
        variance: of the label over the stars in question, unit^2.
        grid: where the spectra come from.
        noise: where the noise comes from.
        bins: one per magnitude.
        provenance: how the result was made.
        prior: by label, of the stars that `prior_r2` and `r2_bayes` of the bins speak of.
        population: the stars of a table, where these take the place of nodes and prior.
    """

    label: str
    label_names: tuple[str, ...]
    variance: float
    grid: str
    noise: str
    bins: tuple[MagnitudeBin, ...]
    provenance: dict[str, Json]
    prior: dict[str, LabelPrior] | None = field(default=None, metadata=ABSENT)
    population: StarsOfTable | None = field(default=None, metadata=ABSENT)

    def exact_limits(self) -> list[ExactR2]:
        """Returns the exact limit at every magnitude.

        Raises:
            UsageError: it was not computed; `with_exact_limit` adds it.
        """
        found = [one.r2_bayes for one in self.bins if one.r2_bayes is not None]
        if len(found) < len(self.bins):
            reasons = [one.r2_bayes_reason for one in self.bins if one.r2_bayes_reason]
            raise UsageError(
                (reasons or ["this ceiling lacks the exact limit; add it with with_exact_limit"])[0]
            )
        return found

    def as_rows(self) -> list[dict[str, Cell]]:
        """Returns the table as one flat row per magnitude, ready for a CSV file."""
        return [one.row() for one in self.bins]

    def table(self) -> str:
        """Returns the bounds per magnitude and what they mean, and the limits under a prior, as text."""
        unit, meaning = unit_of(self.label), str(self.provenance["meaning"])
        parts: list[Table | str] = [
            _bounds_table(self),
            f"Grid: {self.grid}",
            f"Noise: {self.noise}",
            f"Unknown labels: {', '.join(self.label_names)}. Variance {self.variance:.4g} {unit}^2. "
            f"SNR: {self.provenance['snr_definition']}.",
            f"{meaning[0].upper()}{meaning[1:]}.",
            SCHUR_DECAY,
        ]
        if self.population is not None:
            return text_of(*parts, *self.population.words(), *_population_limits(self))
        return text_of(*parts, *(_limits(self, self.prior) if self.prior is not None else []))

    def plot(self, sheet: Sheet = PAGE) -> "Figure":
        """Returns the figure of R2 against SNR, for a page or for a column."""
        with styled():
            figure, axes = sheet.one(4.0)
            rows = [one.row() for one in sorted(self.bins, key=lambda one: one.snr_median)]
            _plot_curves(axes, {name: np.array([row[name] for row in rows], float) for name in rows[0]})
            axes.set(
                xscale="log",
                xlabel="SNR per pixel (median over pixels and nodes)",
                ylabel=f"$R^2$ of {symbol(self.label)}",
                ylim=(-0.02, 1.02),
            )
            axes.xaxis.set_major_formatter("{x:g}")
            figure.legend(loc="outside lower center", ncols=1 if sheet.narrow else 2)
            return settled(figure)


def _bounds_table(result: Ceiling) -> "Table":
    """The Cramer-Rao bound of every magnitude."""
    from rich import box
    from rich.table import Table

    title = f"{result.label}: R2_max and 1-sigma bound ({unit_of(result.label)})"
    table = Table(box=box.SIMPLE, title=title)
    heads = ["mag", "SNR", "n", *(f"R2_max\n{q}" for q in ("p10", "median", "p90", "mean"))]
    heads += [*(f"bound\n{q}" for q in ("p10", "median", "p90")), "Schur\ndecay"]
    for head in heads:
        table.add_column(head, justify="right")
    for one in result.bins:
        numbers = [f"{x:.4f}" for x in vars(one.r2_max).values()]
        numbers += [f"{x:.4g}" for x in vars(one.bound).values()]
        count = f"{one.n} ({one.lost} lost)" if one.lost else str(one.n)
        decay = f"{one.schur_decay.median:.3f}"
        table.add_row(mag_cell(one.mag), f"{one.snr_median:.1f}", count, *numbers, decay)
    return table


def _limits(result: Ceiling, prior: dict[str, LabelPrior]) -> "list[Table | str]":
    """The table of what binds estimators that use the prior, and what it means."""
    reasons = {words for one in result.bins if one.prior_r2 is not None for words in one.prior_r2.reasons()}
    shapes = ", ".join(f"{name} {one.words()}" for name, one in prior.items())
    variance = f"Variance {prior[result.label].variance:.4g}."
    words = [*sorted(reasons), f"Prior: {shapes}. {variance}", *_under(result), NOT_A_CEILING]
    return [_limits_table(result), *words]


def _population_limits(result: Ceiling) -> "list[Table | str]":
    """The table of the exact limit on stars of a table, where it was asked for, and what it means."""
    if all(one.r2_bayes is None and one.r2_bayes_reason is None for one in result.bins):
        return []
    reasons = [one.r2_bayes_reason for one in result.bins if one.r2_bayes_reason is not None]
    return [_stars_table(result), *reasons, *_under(result), "No estimator exceeds R2_Bayes on such stars."]


def _stars_table(result: Ceiling) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"{result.label}: R2 of stars drawn from the table")
    for head in ("mag", "SNR", "R2_Bayes\nexact limit", "95 %", "n", "stars in a\nposterior"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in result.bins:
        value, interval, n, _ = _exact_cells(one.r2_bayes)
        stars = "-" if one.r2_bayes is None else f"{one.r2_bayes.ess.median:.0f}"
        table.add_row(mag_cell(one.mag), f"{one.snr_median:.1f}", value, interval, n, stars)
    return table


def _under(result: Ceiling) -> list[str]:
    """What else is unknown, where something is, and what does not hold then."""
    unknown = result.provenance.get("unknown")
    if not unknown:
        return []
    return [
        f"Unknown besides the labels, for the exact limit: {unknown}. Van Trees and Ziv-Zakai are not "
        "computed under such conditions, and the bounds at the nodes are those with nothing else unknown."
    ]


def _limits_table(result: Ceiling) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"{result.label}: R2 of stars drawn from the prior")
    bounds = ("pooled\n1-E[C]/V", "pooled\nshrunk", "van\nTrees", "weighted\nv. Trees", "Ziv-\nZakai")
    for head in ("mag", "SNR", *bounds, "R2_Bayes\nexact limit", "95 %", "n", "not con-\nverged"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in result.bins:
        values = [None] * len(bounds) if one.prior_r2 is None else one.prior_r2.values().values()
        words = ["-" if x is None else f"{x:.4f}" for x in values] + _exact_cells(one.r2_bayes)
        table.add_row(mag_cell(one.mag), f"{one.snr_median:.1f}", *words)
    return table


def _exact_cells(exact: ExactR2 | None) -> list[str]:
    """Value, interval, number of stars, and how many did not converge."""
    if exact is None:
        return ["-"] * 4
    interval = f"{exact.low:.3f}-{exact.high:.3f}"
    return [f"{exact.value:.4f}", interval, str(exact.n), str(exact.unconverged)]


def _plot_curves(axes: "Axes", column: dict[str, np.ndarray]) -> None:
    """Cramer-Rao quantiles over nodes, and the limits under a prior where they were computed."""
    snr, marks = column["snr_median"], looks(4)[1:]
    _band(axes, snr, column["r2_max_p10"], column["r2_max_p90"], BACKGROUND, "10-90 % of nodes")
    median: dict[str, Any] = {"color": BOUND, "linestyle": "--", "marker": "D"}
    axes.plot(snr, column["r2_max_median"], label="Cramér-Rao, median node (unbiased estimators)", **median)
    if "r2_bayes_value" in column:
        _band(axes, snr, column["r2_bayes_low"], column["r2_bayes_high"], LIMIT, None, alpha=0.25)
        axes.plot(snr, column["r2_bayes_value"], "^-", color=LIMIT, label=r"exact limit $R^2_\mathrm{Bayes}$")
    for name, mark, words in (
        ("ziv_zakai", marks[0], "Ziv-Zakai bound"),
        ("weighted_van_trees", marks[1], "weighted van Trees bound"),
        ("pooled", marks[2], "pooled Cramér-Rao, 1 - E[bound$^2$]/Var"),
    ):
        if f"r2_{name}" in column:
            axes.plot(snr, column[f"r2_{name}"], label=words, **mark | {"linewidth": 1, "markersize": 2.5})


def _band(
    axes: "Axes",
    snr: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    color: str,
    label: str | None,
    alpha: float = 1,
) -> None:
    """A band; of a single magnitude, which has no width, a broad line."""
    if len(snr) > 1:
        axes.fill_between(snr, low, high, color=color, alpha=alpha, linewidth=0, label=label)
    else:
        axes.vlines(snr, low, high, color=color, alpha=alpha, linewidth=6, label=label or "")
