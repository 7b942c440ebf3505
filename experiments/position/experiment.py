"""How a token's place is told, and what is left of it on another wavelength grid.

Claim:    the published study compared learned positions only. A head that reads every token by its place
          needs no position; one that pools the mean does, and only positions that are wavelengths can be told
          that a spectrum was sampled elsewhere.
Command:  python -m experiments.position [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, 45 minutes a seed; gpu: one GPU.
Expect:   under pool flat 0.597 to 0.614 (each +-0.012) whatever the position; under pool mean none 0.292,
          rotary 0.432, learned 0.577, sinusoidal 0.579, wavelength 0.612. Moved by a whole patch (64 pixels)
          a network told the wavelengths keeps 0.612; by 4 pixels networks lose a quarter, by 16 nearly
          all. One seed, 800 steps.

Arms: five positions under pool flat, whose head knows the place of every token anyway, and under pool mean,
which knows it from the position alone. Spectra are not whitened: whitening mixes all pixels, so that every
token would hold the whole spectrum.

Other samplings of the same arm: moved by some pixels, and pixels of 0.9 and 1.1 of the size, for which the
*clean* spectrum is interpolated and then observed, with independent noise of the same strength per Å. The
input scaler follows the wavelengths for every network (mean and scale interpolated): left on its pixels, the
bright sky lines fall on the scale of faint ones, and every network fails, whatever its positions. Networks
read the pixels as they come, the first 4096 of them, or all and then zeros (the training mean). Networks of
wavelength positions under pool mean are told the wavelengths as well, and read all pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.position.moved_grid import Sampling, fitted_to, observed_at, read, scaled_at
from experiments.study.frame import Study, Work
from experiments.study.plotting import PAGE_WIDTH_IN, Style, bars, interval, light_grid, markdown
from experiments.study.result import Result
from experiments.study.rows import ArmRow, widened
from experiments.study.stars import LABEL
from experiments.study.training import FIRST_SEED, Arm, base, combined, run_arms, slug, weights_of
from specvit_jax import Weights, metrics

POSITIONS, POOLS = ("none", "learned", "sinusoidal", "rotary", "wavelength"), ("flat", "mean")
SETTINGS = ("data.preprocess=none",)
SAMPLINGS = (
    Sampling("as trained"),
    Sampling("1 pixel", 1),
    Sampling("4 pixels", 4),
    Sampling("16 pixels", 16),
    Sampling("64 pixels", 64),
    Sampling("pixels x 0.9", size=0.9),
    Sampling("pixels x 0.97", size=0.97),
    Sampling("pixels x 1.03", size=1.03),
    Sampling("pixels x 1.1", size=1.1),
)
LOWEST = -0.6  # R2 on the axis
COLORS = dict(zip(POSITIONS, ("0.5", "#b2182b", "#e08214", "#1b7837", "#2166ac"), strict=True))


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    arms: tuple[Arm, ...]
    samplings: tuple[Sampling, ...] = SAMPLINGS
    seeds: int = 1
    settings: tuple[str, ...] = SETTINGS
    mag: tuple[float, float] = (20.5, 22.5)


def arm(position: str, pool: str) -> Arm:
    """A way to tell tokens their places, and how they are pooled."""
    return Arm(f"{position}, {pool}", (f"model.pos_embed={position}", f"model.pool={pool}"))


ARMS = tuple(arm(position, pool) for pool in POOLS for position in POSITIONS)
SIZES = {
    "smoke": Size(300, (arm("learned", "flat"), arm("wavelength", "mean")), (SAMPLINGS[3], SAMPLINGS[8])),
    "cpu": Size(10_000, ARMS, settings=(*SETTINGS, "train.steps=800")),
    "gpu": Size(10_000, ARMS, seeds=3),
}


@dataclass(frozen=True, kw_only=True)
class MovedRow(metrics.Score):
    """Scores of an arm on a sampling, read in one of the ways it can be."""

    arm: str
    sampling: str
    pixels: int
    how: str  # "as they come", or "told" the wavelengths


@dataclass(frozen=True, kw_only=True)
class PositionResult(Result):
    """Rows for every arm on its own grid, and for every arm, sampling and way of reading."""

    runs: tuple[ArmRow, ...]
    rows: tuple[ArmRow, ...]
    moved: tuple[MovedRow, ...]
    limit: float

    @property
    def samplings(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(row.sampling for row in self.moved))

    def table(self) -> str:
        """One line per arm on its own grid; then one per arm and way of reading, a column per sampling."""
        own = [[row.arm, interval(row), f"{row.mae:.3f}", f"{row.parameters:,}"] for row in self.rows]
        found = lines(self.moved)
        moved = [[name, *(f"{row.r2:.3f}" for row in rows)] for name, rows in found.items()]
        first = markdown(["position, pool", "R2 of log g (95 %)", "MAE, dex", "parameters"], own)
        return f"{first}\n\n{markdown(['position, pool, R2 of log g on', *self.samplings], moved)}"

    def plot(self) -> Figure:
        """R2 on the grid trained on; R2 on the other samplings."""
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH_IN, 3.6), width_ratios=(1, 1.5))
        bars(left, self.rows)
        left.axvline(self.limit, color="black", linestyle="--", linewidth=0.8)
        left.set_xlabel("$R^2$ of log $g$ (95 %)")
        self.plot_moved(right)
        figure.legend(*right.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4)
        title = f"Positions: {self.rows[0].spectra:,} spectra each, not whitened; exact limit dashed"
        figure.suptitle(title, fontsize=8)
        return figure

    def plot_moved(self, axes: Axes) -> None:
        """A line for every arm and way of reading, over the samplings."""
        for name, line in lines(self.moved).items():
            position, pool, *told = name.split(", ")
            style: Style = {"linestyle": ":" if pool == "flat" else "-", "marker": "D" if told else "o"}
            axes.plot([row.r2 for row in line], label=name, color=COLORS[position], markersize=2.5, **style)
        axes.set_xticks(range(len(self.samplings)), self.samplings, rotation=35, ha="right")
        axes.set_ylim(LOWEST, 0.8)
        axes.set_ylabel(f"$R^2$ of log $g$; below {LOWEST} not shown")
        axes.set_xlabel("sampling of the test spectra")
        light_grid(axes, "y")


def lines(moved: Sequence[MovedRow]) -> dict[str, list[MovedRow]]:
    """The rows of every arm and way of reading, in the order of the samplings."""
    found: dict[str, list[MovedRow]] = {}
    for row in moved:
        name = row.arm + (", told the wavelengths" if row.how == "told" else "")
        found.setdefault(name, []).append(row)
    return found


def run(work: Work[Size]) -> PositionResult:
    """Trains every arm; reads every sampling with those of the first seed."""
    rows = run_arms(work, work.size.arms, work.size.seeds, work.size.settings)
    moved = [row for arm in work.size.arms for row in moved_rows(work, arm)]
    return PositionResult(runs=tuple(rows), rows=tuple(combined(rows)), moved=tuple(moved), limit=work.limit)


def moved_rows(work: Work[Size], arm: Arm) -> tuple[MovedRow, ...]:
    """Scores of an arm (first seed) on every sampling, kept as a part of the study."""
    settings = [*work.size.settings, *arm.settings, f"train.seed={FIRST_SEED}"]
    config = base(work.options.preset, settings)

    def compute() -> tuple[MovedRow, ...]:
        weights = weights_of(work, arm.name, config)
        found = (on(work, arm.name, weights, sampling) for sampling in work.size.samplings)
        return tuple(row for rows in found for row in rows)

    asked = {"settings": settings, "samplings": work.size.samplings, "n_test": work.size.n_test}
    asked |= {"preset": work.options.preset}
    return work.part(f"moved-{slug(arm.name)}", asked, tuple[MovedRow, ...], compute)


def on(work: Work[Size], arm: str, weights: Weights, sampling: Sampling) -> list[MovedRow]:
    """Scores of a network on a sampling: pixels as they come, and told the wavelengths where it can be."""
    old, cfg = np.asarray(work.simulator.wave, np.float64), weights.config.model
    flux, wave = observed_at(work.simulator, work.stars, sampling)
    x = scaled_at(weights.input_scaler, old, flux, wave)
    column = cfg.label_names.index(LABEL)
    found = {"as they come": read(weights, fitted_to(x, cfg.input_size))}
    if cfg.pos_embed == "wavelength" and cfg.pool != "flat":
        found["told"] = read(weights, x, wave)
    about = {"arm": arm, "sampling": sampling.name, "pixels": len(wave)}
    return [
        widened(MovedRow, metrics.summary(work.truth, pred[:, column]), how=how, **about)
        for how, pred in found.items()
    ]


STUDY = Study("position", __doc__, SIZES, run, PositionResult)
