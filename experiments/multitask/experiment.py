"""One label or all of them: what a network gains on log g by learning other labels beside it.

Claim:    the published networks read log g alone. Labels learned together share what the network sees, at no
          cost; each is judged against its own exact limit, because labels differ in what spectra say of them.
Command:  python -m experiments.multitask [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, 20 minutes a seed and 5 for the exact limit with five labels; gpu: one GPU.
Expect:   log g 0.663 alone and beside two others (limit 0.736): nothing gained, nothing lost; T_eff and [M/H]
          0.002 higher alone. Of free ratios log g 0.649 alone, 0.643 with five (limit 0.747 +- 0.030);
          [alpha/M] 0.49 (0.64), [C/M] 0.26 (0.45). One seed, 600 steps.

Two kinds of stars. Solar-scaled ones vary in T_eff, log g and [M/H]: a network for each label, and one for
all. Where a grid has [alpha/M] and [C/M], stars that vary in these as well: another, harder test set, drawn
with the same key, with limits of its own, from the posteriors of its first stars (their number is in the
results) and the variance of all.
All networks of a kind see the same spectra. The last layer grows by one output for every label, the only
difference in size.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb import default_grid_path
from crlb.files.records import Record
from crlb.grids.grid_file import grid_labels
from crlb.labels import LABEL_NAMES, LABELS
from crlb.palette import BACKGROUND, LIMIT, looks, symbol
from experiments.study import stars
from experiments.study.frame import Study, Work
from experiments.study.plotting import (
    EXACT,
    PAGE,
    R2,
    Sheet,
    Style,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import Run, counted, intervals, widened
from experiments.study.stars import LABEL, Stars, limit
from experiments.study.training import FIRST_SEED, base, combined, label_scores, slug, weights_of
from specvit_jax import Config, Simulator, make_simulator, metrics

SOLAR, FREE = "solar-scaled stars", "stars of free ratios"
LOOKS: list[Style] = looks(3)  # of the networks: one label, three, five


@dataclass(frozen=True)
class Size:
    """How much of everything; of free ratios `n_limit` stars get posteriors, 0: no such stars at all."""

    n_test: int
    n_limit: int
    seeds: int = 1
    alone: tuple[str, ...] = ("log_g", "T_eff", "M_H")
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(300, 0, alone=("log_g",)),
    "cpu": Size(10_000, 300, seeds=2),
    "gpu": Size(10_000, 10_000, seeds=3),
}


@dataclass(frozen=True, kw_only=True)
class Limit(Record):
    """R2_Bayes of stars and the reach of its 95 % interval."""

    limit: float
    limit_reach: float


Limits = dict[str, Limit]  # of every label


@dataclass(frozen=True, kw_only=True)
class LabelRow(Run):
    """Scores of one label on n stars of a kind, read by networks of some labels, beside its limit."""

    n: int
    kind: str
    label: str
    limit: float
    limit_reach: float


@dataclass(frozen=True, kw_only=True)
class MultitaskResult(Result):
    """A row for every kind of stars, network and label, beside the label's limit."""

    rows: tuple[LabelRow, ...]

    def table(self) -> str:
        """One line per kind of stars, label and network."""
        heads = ["stars", "label", "network reads", "R2 (95 %)", "exact limit", "missing", "RMSE"]
        rows = [
            [
                row.kind,
                row.label,
                row.arm,
                interval(row),
                f"{row.limit:.3f}" + (f" ± {row.limit_reach:.3f}" if row.limit_reach else ""),
                f"{row.limit - row.r2:.3f}",
                f"{row.rmse:.3g} {LABELS[row.label].unit}",
            ]
            for row in self.rows
        ]
        return markdown(heads, rows)

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 of every label by network, beside the label's limit, for either kind of stars."""
        kinds = list(dict.fromkeys(row.kind for row in self.rows))
        figure, axes = sheet.panels(len(kinds), 2.4)
        arms = sorted({row.arm for row in self.rows}, key=lambda arm: (arm != "alone", arm))
        for place, kind in zip(axes, kinds, strict=True):
            plot_kind(place, [row for row in self.rows if row.kind == kind], arms)
            place.set_title(kind)
        legend_below(figure, *axes, columns=4)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "R² of every label, by networks that read it alone or together with others, beside its exact "
            "limit (line; band: 95 %). Solar-scaled stars vary in effective temperature, log g and "
            "metallicity [M/H], stars of free ratios in [α/M] and [C/M] as well",
            R2, EXACT, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip


def plot_kind(axes: Axes, rows: Sequence[LabelRow], arms: Sequence[str]) -> None:
    """Labels from top to bottom; for each a dot per network, and its limit across them."""
    labels = list(dict.fromkeys(row.label for row in rows))
    for row in rows:
        which, one = arms.index(row.arm), intervals([row])
        y = labels.index(row.label) + 0.22 * (which - (len(arms) - 1) / 2)
        style = LOOKS[which] | {"label": f"read {row.arm}", "linestyle": "none"}
        axes.errorbar(one.value, y, xerr=one.reach, capsize=2, elinewidth=0.8, **style)
    for i, name in enumerate(labels):
        row = next(row for row in rows if row.label == name)
        ends = (row.limit - row.limit_reach, row.limit + row.limit_reach)
        axes.fill_betweenx([i - 0.4, i + 0.4], *ends, color=BACKGROUND, linewidth=0)
        axes.vlines(row.limit, i - 0.4, i + 0.4, color=LIMIT, linewidth=1.2, label="exact limit")
    axes.set_yticks(range(len(labels)), [symbol(name) for name in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel("$R^2$")
    light_grid(axes, "x")


@dataclass(frozen=True)
class Kind:
    """A kind of stars: name, simulator, test set, the exact limit of every label."""

    name: str
    simulator: Simulator
    stars: Stars
    limits: Limits


def run(work: Work[Size]) -> MultitaskResult:
    """Trains networks of one label and of all, on either kind of stars."""
    names = work.simulator.label_names
    networks = [(name,) for name in names if name in work.size.alone] + [names]
    solar = Kind(SOLAR, work.simulator, work.stars, limits(work.stars, work.posteriors, names))
    rows = kind_rows(work, solar, networks)
    if work.size.n_limit and set(LABEL_NAMES) <= set(available(work)):
        rows += kind_rows(work, free_kind(work), [(LABEL,), names, LABEL_NAMES])
    return MultitaskResult(rows=tuple(rows))


def free_kind(work: Work[Size]) -> Kind:
    """Stars of free ratios; their limits are a part of the study."""
    simulator = make_simulator(work.options.grid, work.options.noise, work.size.mag, labels=LABEL_NAMES)
    free = stars.test_stars(simulator, work.size.n_test)
    asked = {"n": work.size.n_limit, "n_test": work.size.n_test, "mag": work.size.mag}
    compute = partial(free_limits, work, simulator, free)
    return Kind(FREE, simulator, free, work.part("limits-free", asked, Limits, compute))


def available(work: Work[Size]) -> tuple[str, ...]:
    """The labels of the grid of a study."""
    return grid_labels(work.options.grid or default_grid_path())


def free_limits(work: Work[Size], simulator: Simulator, free: Stars) -> Limits:
    """The limits of stars of free ratios; posteriors of the first are kept while they grow."""
    path = work.folder / "parts" / "free.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    some = free.take(slice(0, work.size.n_limit))
    return limits(free, stars.exact_posterior(simulator, some, path), simulator.label_names)


def limits(some: Stars, exact: Float[np.ndarray, "m n_labels 2"], names: Sequence[str]) -> Limits:
    """R2_Bayes of every label on these stars, from the posteriors of the first `m` of them.

    The reach is that of its 95 % interval; 0 where every star has its posterior.
    """
    return {name: limited(some.labels[:, i], exact[:, i, 1]) for i, name in enumerate(names)}


def limited(truth: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " m"]) -> Limit:
    """R2_Bayes of stars and the reach of its 95 % interval, from the posteriors of the first `m` of them."""
    n, m = len(truth), len(sigma)
    error = np.std(sigma**2) * np.sqrt((1 - m / n) / m) / np.var(truth)  # of m drawn from n
    return Limit(limit=limit(truth, sigma), limit_reach=float(1.96 * error))


def kind_rows(work: Work[Size], kind: Kind, networks: Sequence[tuple[str, ...]]) -> list[LabelRow]:
    """A row for every network and label it reads, over all seeds, on one kind of stars."""
    found: dict[tuple[str, str], list[LabelRow]] = {}
    for names in networks:
        for seed in range(FIRST_SEED, FIRST_SEED + work.size.seeds):
            config = base(work.options.preset, settings(names, kind.simulator, seed))
            for name, score in trained_scores(work, f"{kind.name}, {'+'.join(names)}", config, kind).items():
                arm, known = read_by(names), kind.limits[name]
                row = widened(
                    LabelRow, score, arm=arm, kind=kind.name, label=name,
                    limit=known.limit, limit_reach=known.limit_reach,
                )  # fmt: skip
                found.setdefault((name, arm), []).append(row)
    order = kind.simulator.label_names.index
    return [combined(rows)[0] for _, rows in sorted(found.items(), key=lambda item: order(item[0][0]))]


def settings(names: Sequence[str], simulator: Simulator, seed: int) -> list[str]:
    """A network that reads these labels of spectra in which all of the simulator's vary."""
    listed = [f"model.label_names=[{','.join(names)}]", f"data.labels=[{','.join(simulator.label_names)}]"]
    return [*listed, f"train.seed={seed}"]


def read_by(names: Sequence[str]) -> str:
    """How many labels a network reads, in words."""
    return "alone" if len(names) == 1 else f"{len(names)} together"


def trained_scores(work: Work[Size], name: str, config: Config, kind: Kind) -> dict[str, metrics.Score]:
    """Scores of every label of a trained network, kept as a part of the study."""

    def compute() -> dict[str, metrics.Score]:
        print(f"{work.study.name}: {name}, seed {config.train.seed}")
        weights = weights_of(work, name, config, kind.simulator)
        return label_scores(weights, kind.stars, kind.simulator.label_names).labels

    asked = {"config": asdict(config), "n_test": work.size.n_test, "mag": work.size.mag}
    return work.part(f"{slug(name)}-{config.train.seed}", asked, dict[str, metrics.Score], compute)


STUDY = Study("multitask", __doc__, SIZES, run, MultitaskResult)
