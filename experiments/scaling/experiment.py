"""How many training spectra a method needs: R2 of log g against their number.

Claim:    with the same epochs at every size, as published, small sets get few steps too; here the number of
          steps and the number of spectra are told apart, by the recipe of `tiny`. What that says of the
          published curve is for `original_recipe`, which runs the original's.
Command:  python -m experiments.scaling [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about 35 minutes a seed, under 6 GB; gpu: one GPU, hours.
Expect:   cpu, one seed: SpecViT after 600 steps 0.66 to 0.67 from 1,000 spectra to endless ones; after one
          epoch of 5,000, 20,000, 80,000 and 320,000 it has 0.54, 0.63, 0.67 and 0.70. From 5,000, 20,000 and
          80,000 spectra LightGBM has 0.49, 0.58 and 0.65, Ridge 0.42, 0.46 and 0.50. Exact limit: 0.736.

A training set is the first n spectra of a seed's own key. SpecViT sees each with fresh noise every time, the
baselines once; all choose their settings or weights on n/10 (at most 2,000) further spectra of the same set.
SpecViT is trained twice: for the same steps at every size, and for the same epochs.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb import palette
from crlb.errors import MissingInputError
from experiments.baselines.boosting import LightGBM, Settings, import_lightgbm
from experiments.baselines.finite import chunks_of, finite_set, n_validation
from experiments.baselines.protocol import Baseline
from experiments.baselines.ridge import ALPHAS, Ridge
from experiments.study.frame import Study, Work
from experiments.study.plotting import (
    COLORS,
    EXACT,
    PAGE,
    R2,
    Sheet,
    Style,
    curve,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.published import PUBLISHED, Published
from experiments.study.result import Result
from experiments.study.rows import CurvePoint, counted, widened
from experiments.study.training import FIRST_SEED, base, combined, run_arm
from specvit_jax import metrics


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


STYLES: dict[tuple[str, str | None], Style] = {
    ("SpecViT", "steps"): {"marker": "o", "linestyle": "-"},
    ("SpecViT", "epochs"): {"marker": "D", "linestyle": "--", "markerfacecolor": "white"},
    ("LightGBM", None): {"marker": "s", "linestyle": "-."},
    ("Ridge", None): {"marker": "^", "linestyle": ":"},
}


@dataclass(frozen=True, kw_only=True)
class ScalingResult(Result):
    """A row for every method, mode, number of spectra and seed, and one for every curve's point."""

    runs: tuple[CurvePoint, ...]
    rows: tuple[CurvePoint, ...]
    missing: tuple[str, ...]  # why methods are left out
    limit: float
    published: Published

    def table(self) -> str:
        """One line per method, mode and number of spectra."""
        heads = ["method", "same", "training spectra", "steps", "R2 (95 %)", "MAE, dex", "seeds"]
        notes = [f"\nLeft out: {reason}" for reason in self.missing]
        lines = markdown(heads, [line(row) for row in self.rows])
        return "\n".join([lines, f"\nExact limit: {self.limit:.3f}", *notes])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 against the number of spectra; endless ones at the right."""
        figure, axes = sheet.one(3.4)
        axes.set_xscale("log")
        endless = 4 * max(*(row.n or 0 for row in self.rows), *self.published.n)
        self.plot_curves(axes, endless)
        axes.axhline(self.limit, color=palette.LIMIT, linewidth=1.0, label="exact limit of these stars")
        plot_published(axes, self.published)
        axes.axvline(endless / 2, color=palette.BACKGROUND, linewidth=0.8, zorder=0)
        axes.set_ylim(top=self.limit + 0.04)
        axes.set_xlabel("training spectra")
        axes.set_ylabel("$R^2$ of log $g$")
        powers = [10**power for power in range(2, 7) if 10**power >= axes.get_xlim()[0]]
        named = [*(f"$10^{power:.0f}$" for power in np.log10(powers)), "endless"]
        axes.set_xticks([*powers, endless], named)
        axes.minorticks_off()
        light_grid(axes)
        legend_below(figure, axes, columns=3, handlelength=3.2)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "R² of log g against the number of spectra a method learnt from, its steps the same at every "
            "size or its epochs (passes over all spectra). Endless: each spectrum is new. Grey: as "
            "published, from another grid (BOSZ)",
            R2, EXACT, f"Bands and error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip

    def plot_curves(self, axes: Axes, endless: int) -> None:
        """A curve for every method and mode."""
        for (method, mode), style in STYLES.items():
            rows = [row for row in self.rows if (row.method, row.mode) == (method, mode)]
            if rows:
                label = named(rows[0], int(str(self.size["epochs"])))
                curve(axes, rows, endless, style | {"color": COLORS[method], "label": label})


def line(row: CurvePoint) -> list[str]:
    """The cells of a row of the table."""
    return [
        row.method,
        row.mode or "-",
        "endless" if row.n is None else f"{row.n:,}",
        "-" if row.steps is None else f"{row.steps:,}",
        interval(row),
        f"{row.mae:.3f}",
        str(row.seeds),
    ]


def named(row: CurvePoint, epochs: int) -> str:
    """The legend of the curve of a point."""
    if row.mode == "steps":
        return f"{row.method}, {row.steps:,} steps at every size"
    if row.mode == "epochs":
        return f"{row.method}, {epochs} epoch{'s' * (epochs > 1)} at every size"
    return row.method


def plot_published(axes: Axes, published: Published) -> None:
    """The published points, thin and grey."""
    for method, mode in STYLES:
        if mode != "steps":
            style = STYLES[method, mode] | {"markersize": 2.5, "markerfacecolor": "white"}
            style |= {"color": palette.PUBLISHED, "linewidth": 0.8, "zorder": 1}
            axes.plot(published.n, getattr(published, method), label=f"published: {method}", **style)


def run(work: Work[Size]) -> ScalingResult:
    """Fits and trains every method on every number of spectra, with every seed."""
    seeds = range(FIRST_SEED, FIRST_SEED + work.size.seeds)
    runs, missing = [], set()
    for found in (found for seed in seeds for found in of_seed(work, seed)):
        if isinstance(found, str):
            missing.add(found)
        else:
            runs.append(found)
    return ScalingResult(
        runs=tuple(runs),
        rows=tuple(combined(runs)),
        missing=tuple(sorted(missing)),
        limit=work.limit,
        published=PUBLISHED,
    )


def of_seed(work: Work[Size], seed: int) -> Iterator[CurvePoint | str]:
    """All rows of one seed, what is quick first; in place of a row, why there is none."""
    size = work.size
    ridge = lambda: Ridge(size.alphas)  # noqa: E731
    yield from (baseline(work, ridge, asdict(ridge()), n, seed) for n in size.ridge)
    yield from (boosted(work, n, seed) for n in size.boosting)
    yield from (specvit(work, "steps", n, seed) for n in size.same_steps)
    yield from (specvit(work, "epochs", n, seed) for n in size.same_epochs)


def specvit(work: Work[Size], mode: str, n: int | None, seed: int) -> CurvePoint:
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
    return widened(
        CurvePoint, row, arm=arm("SpecViT", mode, n), method="SpecViT", mode=mode, n=n,
        steps=config.train.steps, spectra_seen=row.spectra,
    )  # fmt: skip


def arm(method: str, mode: str | None, n: int | None) -> str:
    """The name of a point of a curve; rows of one `arm` differ by their seed only."""
    return " ".join(filter(None, (method, mode, f"{n or 'fresh'}")))


def boosted(work: Work[Size], n: int, seed: int) -> CurvePoint | str:
    """LightGBM of n spectra, or why there is none."""
    try:
        import_lightgbm()
    except MissingInputError as error:
        print(f"LightGBM is left out: {error}", file=sys.stderr)
        return str(error)
    trees = work.size.trees
    return baseline(work, lambda: LightGBM(trees), asdict(trees), n, seed)


def baseline(
    work: Work[Size], make: Callable[[], Baseline], settings: Mapping[str, object], n: int, seed: int
) -> CurvePoint:
    """A baseline fitted to n spectra, each observed once; its settings chosen on those of validation."""
    source, method = finite_set(work.simulator, n, seed), make().name

    def compute() -> CurvePoint:
        print(f"{work.study.name}: {method}, {n:,} spectra, seed {seed}")
        fitted = make()
        held_out = chunks_of(source, n, source.rows, work.column)
        flux, labels = map(np.concatenate, zip(*held_out, strict=True))
        fitted.fit(chunks_of(source, 0, n, work.column), (flux, labels))
        scores = metrics.summary(work.truth, fitted.predict(work.stars.noisy, work.stars.mag)[:, 0])
        return widened(
            CurvePoint, scores, arm=arm(method, None, n), method=method, n=n, seed=seed, spectra_seen=n
        )

    asked = {"settings": settings, "n_test": work.size.n_test, "mag": list(work.size.mag)}
    return work.part(f"{method.lower()}-{n}-{seed}", asked, CurvePoint, compute)


STUDY = Study("scaling", __doc__, SIZES, run, ScalingResult)
