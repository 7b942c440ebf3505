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

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.palette import LIMIT, looks
from experiments.position.moved_grid import Sampling, fitted_to, observed_at, read, scaled_at
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
from experiments.study.rows import ArmRow, intervals, widened
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
LOWEST = -0.35  # R2 on the axis
LOOKS: dict[str, Style] = dict(zip(POSITIONS, looks(len(POSITIONS)), strict=True))
HEADS = {"flat": "head reads every token", "mean": "head reads the mean of tokens"}


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

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 over the samplings, a panel for either head, a line for every position."""
        figure, panels = sheet.panels(2, 2.4 if sheet.narrow else 2.8, sharey=True)
        for axes, pool in zip(panels, POOLS, strict=True):
            self.plot_pool(axes, pool)
        for axes in panels if sheet.narrow else panels[:1]:
            axes.set_ylabel("$R^2$ of log $g$")
        legend_below(figure, panels[1], panels[0], columns=3, handlelength=3)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "R² of log g on spectra sampled as in training, moved by some pixels, and with pixels of "
            "another size, for five ways to tell tokens their place, with a head that reads every token "
            "by its place (left or upper panel) and one that reads their mean. Told the wavelengths: the "
            "network gets those of the new sampling. Leftmost points: the grid trained on, with 95 % over "
            "stars",
            R2, EXACT,
        )  # fmt: skip

    def plot_pool(self, axes: Axes, pool: str) -> None:
        """A line for every position and way of reading under one head."""
        own = {row.arm: row for row in self.rows}
        for found, line in lines(self.moved).items():
            position, pooled, *told = found.split(", ")
            if pooled != pool:
                continue
            name = "no position" if position == "none" else f"{position} position"
            style: Style = LOOKS[position] | {"label": name}
            if told:
                style |= {"label": f"{name}, told the wavelengths", "linestyle": "-"}
                style |= {"marker": "D", "markersize": 5, "markerfacecolor": "white"}
            axes.plot([row.r2 for row in line], **style)
            if (one := own.get(f"{position}, {pool}")) and not told:
                axes.errorbar([0], [one.r2], yerr=intervals([one]).reach, color=style["color"], capsize=2)
        axes.axhline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit as trained")
        axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        names = [sampling_name(name) for name in self.samplings]
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_ylim(LOWEST, 0.8)
        axes.set_title(HEADS[pool])
        light_grid(axes, "y")


def sampling_name(name: str) -> str:
    """A sampling as on the axis."""
    text = name.replace("pixels x ", "pixels × ")
    return f"moved {text}" if text.endswith(("pixel", "pixels")) else text


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
