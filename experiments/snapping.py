"""Labels on the nodes of the grid: what the published sampling hides.

Claim:    the published spectra have all labels but one, at random, on nodes of the grid, in training and
          test alike. Such a test set flatters: its labels vary more, and few spectra lie between the nodes.
Command:  python -m experiments.snapping [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about 5 minutes a seed; gpu: one GPU.
Expect:   derived: with nodes of log g every 0.5 dex between 1 and 5 the variance of snapped labels is 1.17
          times that of uniform ones (1.556 and 1.333 dex^2), so that the same error gives a higher R2: 0.736
          of continuous stars becomes 0.774. Measured (cpu, one seed): 0.66 on continuous and 0.684 on
          snapped stars, whichever of the two a network was trained on.

Two networks see the same number of spectra, one with snapped and one with continuous labels; both are tested
on both kinds of stars, which have the same magnitudes and noise. R2 is given beside the RMSE, which does not
know the variance of a test set, and the continuous stars are split by how far their log g lies from a node.
The limit is that of the continuous stars; of snapped ones more can be known, by who knows the nodes.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.study import stars
from experiments.study.drawing import PAGE_WIDTH_IN, interval, markdown
from experiments.study.frame import Study, Work, enter
from experiments.study.stars import LABEL, Stars, limit
from experiments.study.training import FIRST_SEED, base, combined, slug, weights_of
from specvit_jax import metrics
from specvit_jax.evaluation.predict import predict
from specvit_jax.settings.config import Config
from specvit_jax.spectra.priors import make_snapped
from specvit_jax.spectra.source import Simulator

PRIORS = ("continuous", "snapped")
NEAR = 0.25  # of the distance between nodes: half of all continuous labels lie that near to one
COLORS = dict(zip(PRIORS, ("#b2182b", "#2166ac"), strict=True))


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300), "cpu": Size(10_000, seeds=3), "gpu": Size(10_000, seeds=3)}


def run(work: Work) -> dict[str, Any]:
    """A row for every training and test set; variances of the test sets, limit of continuous stars."""
    simulators = {prior: simulator_of(work, prior) for prior in PRIORS}
    tests = {prior: stars.test_stars(simulators[prior], work.size.n_test) for prior in PRIORS}
    sets = {"continuous": tests["continuous"], "snapped": tests["snapped"]} | split(work, tests["continuous"])
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + work.size.seeds):
        for prior, simulator in simulators.items():
            config = base(work.options.preset, (f"data.prior={prior}", f"train.seed={seed}"))
            for test, score in scores_on(work, f"{prior} labels", config, simulator, sets).items():
                found.setdefault((prior, test), []).append(score | {"arm": prior})
    rows = []
    for (prior, test), scores in found.items():
        ends = ("rmse", "rmse_low", "rmse_high")
        rmse = combined(scores, "rmse")[0]
        rows.append(combined(scores)[0] | {key: rmse[key] for key in ends} | {"trained": prior, "test": test})
    variance = {name: float(np.var(some.labels[:, work.column])) for name, some in sets.items()}
    return {"rows": rows, "variance": variance, "limit": limit(work.truth, work.exact[:, 1])}


def simulator_of(work: Work, prior: str) -> Simulator:
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
    raise ValueError(f"prior must be continuous or snapped, got {prior!r}")


def split(work: Work, some: Stars) -> dict[str, Stars]:
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
    work: Work, name: str, config: Config, simulator: Simulator, sets: dict[str, Stars]
) -> dict[str, dict[str, Any]]:
    """Scores of a trained network on every set of stars, kept as a part of the study."""

    def compute() -> dict[str, dict[str, Any]]:
        print(f"{work.study.name}: {name}, seed {config.train.seed}")
        weights = weights_of(work, name, config, simulator)
        own = weights.config.model.label_names.index(LABEL)
        return {
            test: metrics.summary(
                some.labels[:, work.column], predict(weights, some.noisy).labels[:, own]
            ).to_json()
            for test, some in sets.items()
        }

    asked = {"config": asdict(config), "n_test": work.size.n_test, "mag": work.size.mag}
    return work.part(f"{slug(name)}-{config.train.seed}", asked, compute)


def table(results: dict[str, Any]) -> str:
    """One line per training and test set."""
    heads = ["trained on labels", "tested on", "stars", "variance of log g, dex2", "R2 (95 %)"]
    heads += ["RMSE, dex (95 %)", "bias, dex"]
    rows = [
        [
            row["trained"],
            row["test"],
            str(row["n"]),
            f"{results['variance'][row['test']]:.3f}",
            interval(row),
            interval(row, "rmse"),
            f"{row['bias']:+.3f}",
        ]
        for row in results["rows"]
    ]
    return markdown(heads, rows) + f"\n\nExact limit of the continuous stars: R2 {results['limit']:.3f}"


def draw(results: dict[str, Any]) -> Figure:
    """R2 and RMSE on every test set, a colour for each training set."""
    rows = results["rows"]
    tests = list(dict.fromkeys(row["test"] for row in rows))
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH_IN, 2.2), sharey=True)
    for key, place in zip(("r2", "rmse"), axes, strict=True):
        for row in rows:
            y = tests.index(row["test"]) + (0.15 if row["trained"] == "snapped" else -0.15)
            reach = [[row[key] - row[f"{key}_low"]], [row[f"{key}_high"] - row[key]]]
            style = {"color": COLORS[row["trained"]], "label": f"trained on {row['trained']} labels"}
            place.errorbar(row[key], y, xerr=reach, fmt="o", capsize=2, elinewidth=0.8, **style)
        place.grid(axis="x", color="0.93", linewidth=0.4)
        place.set_axisbelow(True)
    left, right = axes
    left.vlines(results["limit"], -0.4, 0.4, color="black", linewidth=1.2, label="exact limit")
    left.set_yticks(range(len(tests)), [f"test: {name}" for name in tests])
    left.set_ylim(len(tests) - 0.5, -0.5)
    left.set_xlabel("$R^2$ of log $g$ (95 %, stars and seeds)")
    right.set_xlabel("RMSE of log $g$ (dex)")
    handles, names = left.get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), frameon=False, loc="outside lower center", ncols=3)
    return figure


STUDY = Study("snapping", __doc__, SIZES, run, table, draw)

if __name__ == "__main__":
    enter(STUDY)
