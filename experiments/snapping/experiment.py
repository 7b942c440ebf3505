"""Labels on the nodes of the grid: what the published sampling hides.

Claim:    the published spectra have all labels but one, at random, on nodes of the grid, in training and
          test alike. Such a test set flatters: its labels vary more, and few spectra lie between the nodes.
Command:  python -m experiments.snapping [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about 5 minutes a seed; gpu: one GPU.
Expect:   derived: with nodes of log g every 0.5 dex between 1 and 5 the variance of snapped labels is 1.17
          times that of uniform ones (1.556 and 1.333 dex^2), so that the same error gives a higher R2: 0.736
          of continuous stars would become 0.774. Measured (cpu, one seed): 0.66 on continuous and 0.684 on
          snapped stars, whichever of the two a network was trained on: less, as the errors rise as well (RMSE
          0.670 to 0.703 dex).

Two networks see the same number of spectra, one with snapped and one with continuous labels; both are tested
on both kinds of stars, which have the same magnitudes and noise. R2 is given beside the RMSE, which does not
know the variance of a test set, and the continuous stars are split by how far their log g lies from a node.
The limit is that of the continuous stars; of snapped ones more can be known, by who knows the nodes.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.palette import LIMIT, looks
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
from experiments.study.stars import Stars
from experiments.study.training import FIRST_SEED, base, combined, read_label, slug, weights_of
from specvit_jax import Config, Simulator, metrics
from specvit_jax.spectra.priors import make_snapped

PRIORS = ("continuous", "snapped")
NEAR = 0.25  # of the distance between nodes: half of all continuous labels lie that near to one
LOOKS: dict[str, Style] = dict(zip(PRIORS, looks(len(PRIORS)), strict=True))


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300), "cpu": Size(10_000, seeds=3), "gpu": Size(10_000, seeds=3)}


@dataclass(frozen=True, kw_only=True)
class SnappingRow(Run):
    """Scores on n stars of one kind of networks trained on one kind of labels."""

    n: int
    trained: str
    test: str


@dataclass(frozen=True, kw_only=True)
class SnappingResult(Result):
    """A row for every training and test set; variances of the test sets, limit of continuous stars."""

    rows: tuple[SnappingRow, ...]
    variance: dict[str, float]  # of log g, dex^2
    limit: float

    def table(self) -> str:
        """One line per training and test set."""
        heads = ["trained on labels", "tested on", "stars", "variance of log g, dex2", "R2 (95 %)"]
        heads += ["RMSE, dex (95 %)", "bias, dex"]
        rows = [
            [
                row.trained,
                row.test,
                str(row.n),
                f"{self.variance[row.test]:.3f}",
                interval(row),
                interval(row, "rmse"),
                f"{row.bias:+.3f}",
            ]
            for row in self.rows
        ]
        return markdown(heads, rows) + f"\n\nExact limit of the continuous stars: R2 {self.limit:.3f}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 and RMSE on every test set, a colour for each training set."""
        tests = list(dict.fromkeys(row.test for row in self.rows))
        figure, panels = sheet.panels(2, 1.7 if sheet.narrow else 2.0, sharey=True)
        left, right = panels
        self.plot_dots(left, "r2", tests)
        self.plot_dots(right, "rmse", tests)
        left.vlines(self.limit, -0.4, 0.4, color=LIMIT, linewidth=1.2, label="exact limit (continuous stars)")
        for axes in panels:
            axes.set_yticks(range(len(tests)), sheet.wrapped([f"test: {name}" for name in tests], 18))
        left.set_ylim(len(tests) - 0.5, -0.5)
        left.set_xlabel("$R^2$ of log $g$")
        right.set_xlabel("root mean square error of log $g$ (dex)")
        legend_below(figure, left, columns=3)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "Networks trained on continuous labels and on labels snapped to the nodes of the grid, each "
            "tested on stars of both kinds, and on continuous stars near and between the nodes of log g",
            R2, EXACT, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip

    def plot_dots(self, axes: Axes, key: str, tests: list[str]) -> None:
        """One score with its interval for every training and test set."""
        for row in self.rows:
            y, one = (
                tests.index(row.test) + (0.15 if row.trained == "snapped" else -0.15),
                intervals([row], key),
            )
            style = LOOKS[row.trained] | {"label": f"trained on {row.trained} labels", "linestyle": "none"}
            axes.errorbar(one.value, y, xerr=one.reach, capsize=2, elinewidth=0.8, **style)
        light_grid(axes, "x")


def run(work: Work[Size]) -> SnappingResult:
    """Trains on either kind of labels and tests on both."""
    simulators = {prior: simulator_of(work, prior) for prior in PRIORS}
    tests = {prior: stars.test_stars(simulators[prior], work.size.n_test) for prior in PRIORS}
    sets = {"continuous": tests["continuous"], "snapped": tests["snapped"]} | split(work, tests["continuous"])
    rows: dict[tuple[str, str], list[SnappingRow]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + work.size.seeds):
        for prior, simulator in simulators.items():
            config = base(work.options.preset, (f"data.prior={prior}", f"train.seed={seed}"))
            for test, score in scores_on(work, f"{prior} labels", config, simulator, sets).items():
                row = widened(SnappingRow, score, arm=prior, trained=prior, test=test)
                rows.setdefault((prior, test), []).append(row)
    variance = {name: float(np.var(some.labels[:, work.column])) for name, some in sets.items()}
    return SnappingResult(rows=tuple(map(both, rows.values())), variance=variance, limit=work.limit)


def both(rows: list[SnappingRow]) -> SnappingRow:
    """R2 and RMSE over all seeds."""
    rmse = combined(rows, "rmse")[0]
    return replace(combined(rows)[0], rmse=rmse.rmse, rmse_low=rmse.rmse_low, rmse_high=rmse.rmse_high)


def simulator_of(work: Work[Size], prior: str) -> Simulator:
    """The study's simulator, its labels drawn by another prior.

    Raises:
        ValueError: an unknown prior.
    """
    if prior == "continuous":
        return work.simulator
    if prior == "snapped":
        emulator = work.simulator.emulator
        nodes = make_snapped(emulator.axes, emulator.low, emulator.high, emulator.label_names)
        return replace(work.simulator, prior=nodes)
    raise ValueError(f"prior must be continuous or snapped, found {prior!r}")


def split(work: Work[Size], some: Stars) -> dict[str, Stars]:
    """Continuous stars whose log g lies near a node, and the others."""
    axis = np.array(work.simulator.emulator.axes[work.column])
    near = distance(some.labels[:, work.column], axis) <= NEAR
    return {"continuous, near nodes": some.take(near), "continuous, between": some.take(~near)}


def distance(
    values: Float[np.ndarray, " n"], nodes: Float[np.ndarray, " n_nodes"]
) -> Float[np.ndarray, " n"]:
    """How far values lie from the nearest node, in units of the distance between its neighbours: 0 to 0.5."""
    place = np.interp(values, nodes, np.arange(len(nodes)))
    return np.abs(place - np.round(place))


def scores_on(
    work: Work[Size], name: str, config: Config, simulator: Simulator, sets: dict[str, Stars]
) -> dict[str, metrics.Score]:
    """Scores of a trained network on every set of stars, kept as a part of the study."""

    def compute() -> dict[str, metrics.Score]:
        print(f"{work.study.name}: {name}, seed {config.train.seed}")
        weights = weights_of(work, name, config, simulator)
        return {
            test: metrics.summary(some.labels[:, work.column], read_label(weights, some))
            for test, some in sets.items()
        }

    asked = {"config": asdict(config), "n_test": work.size.n_test, "mag": work.size.mag}
    return work.part(f"{slug(name)}-{config.train.seed}", asked, dict[str, metrics.Score], compute)


STUDY = Study("snapping", __doc__, SIZES, run, SnappingResult)
