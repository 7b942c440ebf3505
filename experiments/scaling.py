"""How many training spectra a method needs: R2 of log g against their number.

Claim:    the published curve trained every size for the same epochs, so that small sets got few steps too;
          here the number of steps and the number of spectra are told apart.
Command:  python -m experiments.scaling [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about 35 minutes a seed, under 6 GB; gpu: one GPU, hours.
Expect:   cpu, one seed: SpecViT after 600 steps 0.66 to 0.67 from 1,000 spectra to endless ones; after one
          epoch of 5,000, 20,000, 80,000 and 320,000 it has 0.54, 0.63, 0.67 and 0.70. From 5,000, 20,000 and
          80,000 spectra LightGBM has 0.49, 0.58 and 0.65, Ridge 0.42, 0.46 and 0.50. Exact limit: 0.736.

A training set is the first n spectra of a seed's own key. SpecViT sees each with fresh noise every time, the
baselines once; all choose their settings or weights on n/10 (at most 2,000) further spectra of the same set.
SpecViT is trained twice: for the same steps at every size, and for the same epochs, as published.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.errors import MissingInputError
from experiments.baselines.boosting import LightGBM, Settings, import_lightgbm
from experiments.baselines.finite import chunks_of, finite_set, n_validation
from experiments.baselines.protocol import Baseline
from experiments.baselines.ridge import ALPHAS, Ridge
from experiments.study.drawing import COLORS, PAGE_WIDTH_IN, curve, interval, markdown
from experiments.study.frame import Study, Work, enter
from experiments.study.stars import limit
from experiments.study.training import FIRST_SEED, base, combined, run_arm
from specvit_jax import metrics

# R2 of log g as published for the original PyTorch system (project report, December 2025 to February 2026).
PUBLISHED = {
    "note": "BOSZ 2017 spectra; different test sets, weights of the last epoch",
    "n": [50_000, 100_000, 200_000, 500_000, 1_000_000],
    "SpecViT": [0.4339, 0.5963, 0.6733, 0.7087, 0.7111],
    "LightGBM": [0.4879, 0.5533, 0.5466, 0.5743, 0.614],
    "Ridge": [0.4419, 0.4753, 0.4738, 0.4898, 0.4957],
}


@dataclass(frozen=True)
class Size:
    """How much of everything; a number of spectra of None is endless fresh ones."""

    n_test: int
    same_steps: tuple[int | None, ...]  # training spectra of SpecViT, trained for the steps of the base
    same_epochs: tuple[int, ...]
    epochs: int
    ridge: tuple[int, ...]
    boosting: tuple[int, ...]  # all spectra are held in memory: 16 kB each, twice
    trees: Settings
    alphas: tuple[float, ...] = ALPHAS
    seeds: int = 3
    mag: tuple[float, float] = (20.5, 22.5)


ALL = (5_000, 20_000, 80_000, 320_000, 1_000_000)
TREES = Settings(features="components", learning_rate=0.1, max_trees=1000, threads=1)
QUICK = Settings(max_trees=3, num_leaves=4)
SIZES = {
    "smoke": Size(300, (None,), (600,), 1, (600,), (600,), QUICK, (1.0,), seeds=1),
    "cpu": Size(10_000, (1_000, *ALL[:3], None), ALL[:4], 1, ALL[:3], ALL[:3], TREES),
    "gpu": Size(10_000, (1_000, *ALL, None), ALL, 20, ALL, ALL[:4], TREES),
}


def run(work: Work) -> dict[str, Any]:
    """A row for every method, mode, number of spectra and seed, and one for every curve's point."""
    rows = [row for seed in range(FIRST_SEED, FIRST_SEED + work.size.seeds) for row in of_seed(work, seed)]
    missing = sorted({row["missing"] for row in rows if "missing" in row})
    runs = [row for row in rows if "r2" in row]
    return {
        "runs": runs,
        "rows": combined(runs),
        "missing": missing,
        "limit": limit(work.truth, work.exact[:, 1]),
        "published": PUBLISHED,
    }


def of_seed(work: Work, seed: int) -> Iterator[dict[str, Any]]:
    """All rows of one seed, what is quick first."""
    size = work.size
    ridge = lambda: Ridge(size.alphas)  # noqa: E731
    yield from (baseline(work, "Ridge", n, seed, asdict(ridge()), ridge) for n in size.ridge)
    yield from (boosted(work, n, seed) for n in size.boosting)
    yield from (specvit(work, "steps", n, seed) for n in size.same_steps)
    yield from (specvit(work, "epochs", n, seed) for n in size.same_epochs)


def specvit(work: Work, mode: str, n: int | None, seed: int) -> dict[str, Any]:
    """SpecViT trained on n spectra, for the steps of the base or for the epochs of the study."""
    config = base(work.options.preset)
    batch = config.train.batch_size
    settings = [f"train.seed={seed}"]
    if n is not None:
        settings += [
            f"data.n_validation={n_validation(n)}",
            f"data.n_scaling={min(n, config.data.n_scaling)}",
        ]
    if mode == "epochs":
        assert n is not None
        settings.append(f"train.steps={max(1, work.size.epochs * (n // batch))}")
    config = base(work.options.preset, settings)
    source = work.simulator if n is None else finite_set(work.simulator, n, seed)
    row = run_arm(work, f"SpecViT {mode} {n or 'fresh'}", config, source)
    about = {"steps": config.train.steps, "spectra_seen": row["spectra"]}
    return row | point("SpecViT", mode, n, seed) | about


def point(method: str, mode: str | None, n: int | None, seed: int) -> dict[str, Any]:
    """What a row is about; rows of one `arm` differ by their seed only."""
    arm = " ".join(filter(None, (method, mode, f"{n or 'fresh'}")))
    return {"arm": arm, "method": method, "mode": mode, "n": n, "seed": seed}


def boosted(work: Work, n: int, seed: int) -> dict[str, Any]:
    """LightGBM of n spectra, or why there is none."""
    try:
        import_lightgbm()
    except MissingInputError as error:
        print(f"LightGBM is left out: {error}", file=sys.stderr)
        return {"missing": str(error)}
    trees = work.size.trees
    return baseline(work, "LightGBM", n, seed, asdict(trees), lambda: LightGBM(trees))


def baseline(
    work: Work, method: str, n: int, seed: int, settings: dict[str, Any], make: Callable[[], Baseline]
) -> dict[str, Any]:
    """A baseline fitted to n spectra, each observed once; its settings chosen on those of validation."""
    source = finite_set(work.simulator, n, seed)

    def compute() -> dict[str, Any]:
        print(f"{work.study.name}: {method}, {n:,} spectra, seed {seed}")
        fitted = make()
        held_out = chunks_of(source, n, source.rows, work.column)
        flux, labels = map(np.concatenate, zip(*held_out, strict=True))
        fitted.fit(chunks_of(source, 0, n, work.column), (flux, labels))
        pred = fitted.predict(work.stars.noisy, work.stars.mag)[:, 0]
        return (
            metrics.summary(work.truth, pred).to_json() | point(method, None, n, seed) | {"spectra_seen": n}
        )

    asked = {"settings": settings, "n_test": work.size.n_test, "mag": list(work.size.mag)}
    return work.part(f"{method.lower()}-{n}-{seed}", asked, compute)


def table(results: dict[str, Any]) -> str:
    """One line per method, mode and number of spectra."""
    heads = ["method", "same", "training spectra", "steps", "R2 (95 %)", "MAE, dex", "seeds"]
    rows = [
        [
            row["method"],
            row["mode"] or "-",
            "endless" if row["n"] is None else f"{row['n']:,}",
            f"{row['steps']:,}" if "steps" in row else "-",
            interval(row),
            f"{row['mae']:.3f}",
            str(row["seeds"]),
        ]
        for row in results["rows"]
    ]
    notes = [f"\nLeft out: {reason}" for reason in results["missing"]]
    return "\n".join([markdown(heads, rows), f"\nExact limit: {results['limit']:.3f}", *notes])


STYLES: dict[tuple[str, str | None], dict[str, Any]] = {
    ("SpecViT", "steps"): {"marker": "o", "linestyle": "-"},
    ("SpecViT", "epochs"): {"marker": "D", "linestyle": "--", "markerfacecolor": "white"},
    ("LightGBM", None): {"marker": "s", "linestyle": "-."},
    ("Ridge", None): {"marker": "^", "linestyle": ":"},
}


def draw(results: dict[str, Any]) -> Figure:
    """R2 against the number of spectra; endless ones at the right."""
    figure, axes = plt.subplots(figsize=(PAGE_WIDTH_IN, 3.0))
    axes.set_xscale("log")
    draw_published(axes, results["published"])
    endless = 4 * max(*(row["n"] or 0 for row in results["rows"]), *results["published"]["n"])
    for (method, mode), style in STYLES.items():
        rows = [row for row in results["rows"] if (row["method"], row["mode"]) == (method, mode)]
        if rows:
            label = named(method, mode, rows, results["size"]["epochs"])
            curve(axes, rows, endless, style | {"color": COLORS[method], "label": label})
    axes.axhline(results["limit"], color=COLORS["limit"], linewidth=1.0, label="exact limit of these stars")
    axes.axvline(endless / 2, color="0.8", linewidth=0.6)
    axes.set_ylim(top=results["limit"] + 0.04)
    axes.set_xlabel("training spectra")
    axes.set_ylabel("$R^2$ of log $g$")
    powers = [10**power for power in range(2, 7) if 10**power >= axes.get_xlim()[0]]
    axes.set_xticks([*powers, endless], [*(f"{n:,}" for n in powers), "endless"])
    axes.grid(color="0.93", linewidth=0.4)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right center", frameon=False, handlelength=3.2)
    axes.set_title(f"{results['title']} (95 %: stars and seeds)", fontsize=8, loc="left")
    return figure


def named(method: str, mode: str | None, rows: list[dict[str, Any]], epochs: int) -> str:
    """The legend of a curve."""
    if mode == "steps":
        return f"{method}, {rows[0]['steps']:,} steps at every size"
    if mode == "epochs":
        return f"{method}, {epochs} epoch{'s' * (epochs > 1)} at every size"
    return method


def draw_published(axes: Axes, published: dict[str, Any]) -> None:
    """The published points, thin and grey."""
    for method, mode in STYLES:
        if mode != "steps":
            style = STYLES[method, mode] | {"markersize": 2.5, "markerfacecolor": "white"}
            label = f"published {method} (BOSZ)"
            axes.plot(
                published["n"], published[method], color="0.6", linewidth=0.6, zorder=1, label=label, **style
            )


STUDY = Study("scaling", __doc__, SIZES, run, table, draw)

if __name__ == "__main__":
    enter(STUDY)
