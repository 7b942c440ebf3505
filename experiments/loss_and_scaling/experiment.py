"""Which loss, in which unit of the labels: L1, MSE, Huber, Gaussian likelihood; z-score and min-max.

Claim:    the published sweep ranked losses and label scalings by their own losses, each in its own unit. In
          the labels' units the scaling is a matter of the learning rate and of the start of the head.
Command:  python -m experiments.loss_and_scaling [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, 40 minutes a seed; gpu: one GPU.
Expect:   MSE and Huber on z-scores 0.664 (+-0.011; exact limit 0.736), L1 0.658, likelihood 0.637 with 68 and
          96 % within one and two sigma; min-max 0.007 lower (likelihood: +0.002), the smaller rate 0.015 to
          0.036 lower, whatever the scaling. MAE 0.493 to 0.499 dex, Huber's the best. One seed, 600 steps.
          Once converged, L1 aims at the median of the posterior and can gain in MAE, not in R2.

What makes a comparison fair: labels are uniform, so that their range is sqrt(12) deviations, and one and the
same error is sqrt(12) times smaller in min-max units than in z-scores.

- Huber's delta is one error in dex for both: half a deviation (0.58 dex in log g, about the deviation of the
  exact posterior at these magnitudes), thus 0.5 for z-scores and 0.5/sqrt(12) for min-max.
- Adam and Muon do not see the size of a gradient, only clipping does. A step moves the head's weights by the
  learning rate whatever the loss, and in min-max units such a step is sqrt(12) times as far in dex. Every
  pair is trained with the learning rate of `tiny` and with that over sqrt(12), and the table shows both; the
  smaller one slows down the rest of the network as well, so the fair rate lies in between.
- The start is that of `tiny`: outputs of deviation about 1, right for z-scores, too wide for min-max.
- The likelihood (nll) also predicts the deviation of every label; scaling adds a constant to it. How often
  the truth lies within one and two of them is given beside the scores.

All arms see the same spectra; R2 and MAE are of log g in dex, whatever was trained on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.palette import LIMIT, looks
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
from experiments.study.rows import ArmRow, counted, intervals, widened
from experiments.study.stars import LABEL
from experiments.study.training import Arm, base, combined, run_arms, slug, weights_of
from specvit_jax import predict, preset
from specvit_jax.evaluation.scores import coverage

RANGE = math.sqrt(12)  # of a uniform label, in its standard deviations
DELTA = 0.5  # Huber's, in standard deviations of a label
RATE = preset("tiny").train.learning_rate
RATES = (RATE, RATE / RANGE)
LOSSES = {"l1": "L1", "mse": "MSE", "huber": "Huber", "nll": "likelihood"}  # and their names
SCALINGS = {"zscore": "z-scores", "minmax": "min-max"}


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    arms: tuple[Arm, ...]
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


def arm(loss: str, scaling: str, rate: float) -> Arm:
    """A loss on labels scaled in a way, at a learning rate; Huber's delta is the same error in dex."""
    settings = [f"train.loss={loss}", f"data.label_scaling={scaling}", f"train.learning_rate={rate:.3g}"]
    if loss == "nll":
        settings.append("model.predict_sigma=true")
    if loss == "huber":
        settings.append(f"train.huber_delta={delta(scaling):.4g}")
    return Arm(f"{loss}, {scaling}, rate {rate:.2g}", tuple(settings))


def delta(scaling: str) -> float:
    """Huber's delta in scaled units: half a standard deviation of a uniform label.

    Raises:
        ValueError: another scaling.
    """
    if scaling == "zscore":
        return DELTA
    if scaling == "minmax":
        return DELTA / RANGE
    raise ValueError(f"scaling must be zscore or minmax, found {scaling!r}")


ARMS = tuple(arm(loss, scaling, rate) for loss in LOSSES for scaling in SCALINGS for rate in RATES)
SIZES = {
    "smoke": Size(300, (arm("mse", "zscore", RATE), arm("nll", "minmax", RATE))),
    "cpu": Size(10_000, ARMS, seeds=2),
    "gpu": Size(10_000, ARMS, seeds=3),
}


@dataclass(frozen=True, kw_only=True)
class LossRow(ArmRow):
    """A loss, and the shares of stars within one and two predicted sigma; None: it predicts none."""

    coverage: dict[str, float] | None


@dataclass(frozen=True, kw_only=True)
class LossResult(Result):
    """A row for every arm and seed, one for every arm, and what the exact posterior of these stars allows."""

    runs: tuple[ArmRow, ...]
    rows: tuple[LossRow, ...]
    limit: float

    def table(self) -> str:
        """One line per arm."""
        heads = ["loss, scaling, learning rate", "R2 of log g (95 %)", "MAE, dex (95 %)", "bias, dex"]
        heads += ["truth within 1 and 2 sigma"]
        rows = [
            [row.arm, interval(row), interval(row, "mae"), f"{row.bias:+.3f}", shares(row.coverage)]
            for row in self.rows
        ]
        return markdown(heads, [*rows, ["exact limit", f"{self.limit:.3f}", "", "", "0.683, 0.954"]])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 and MAE of every loss; mark and colour by scaling, open marks for the smaller rate."""
        losses = list(dict.fromkeys(told(row)[0] for row in self.rows))
        figure, panels = sheet.panels(2, 2.4, sharey=True)
        for axes, key in zip(panels, ("r2", "mae"), strict=True):
            dots(axes, self.rows, losses, key)
            axes.set_yticks(range(len(losses)), [LOSSES.get(loss, loss) for loss in losses])
        left, right = panels
        left.axvline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit")
        left.set_xlabel("$R^2$ of log $g$")
        left.set_ylim(len(losses) - 0.5, -0.5)
        right.set_xlabel("mean absolute error of log $g$ (dex)")
        legend_below(figure, left, columns=3)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "Networks trained with four losses, on labels scaled to mean 0 and deviation 1 (z-score) or to "
            "their range (min-max), at the learning rate of the recipe (filled) and at that over √12 (open), "
            f"which is as far in dex under min-max; {self.rows[0].spectra:,} spectra each",
            "Likelihood: the negative logarithm of a Gaussian whose sigma the network predicts too",
            R2, EXACT, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip


def shares(found: dict[str, float] | None) -> str:
    """Two shares; a dash where no deviation is predicted."""
    return "-" if found is None else f"{found['1_sigma']:.3f}, {found['2_sigma']:.3f}"


def told(row: LossRow) -> tuple[str, str, str]:
    """Loss, scaling and learning rate of an arm."""
    loss, scaling, rate = row.arm.split(", ")
    return loss, scaling, rate


def dots(axes: Axes, rows: Sequence[LossRow], losses: Sequence[str], key: str) -> None:
    """A dot with its interval for every arm, one line of the panel for each loss."""
    kinds = list(dict.fromkeys((told(row)[1], told(row)[2]) for row in rows))
    scalings = list(dict.fromkeys(scaling for scaling, _ in kinds))
    for scaling, style in zip(scalings, looks(len(scalings)), strict=True):
        for i, kind in enumerate(one for one in kinds if one[0] == scaling):
            mine = [row for row in rows if told(row)[1:] == kind]
            apart = 0.18 * (kinds.index(kind) - (len(kinds) - 1) / 2)
            look: Style = style | {"linestyle": "none", "label": f"{SCALINGS[scaling]}, learning {kind[1]}"}
            found = intervals(mine, key)
            axes.errorbar(
                found.value, [losses.index(told(row)[0]) + apart for row in mine], xerr=found.reach,
                capsize=2, elinewidth=0.8, markerfacecolor="white" if i else style["color"], **look,
            )  # fmt: skip
    light_grid(axes, "x")


def run(work: Work[Size]) -> LossResult:
    """Trains every arm with every seed; tests the sigma of those that predict one."""
    rows = run_arms(work, work.size.arms, work.size.seeds)
    settings = {arm.name: arm.settings for arm in work.size.arms}
    both = []
    for row, other in zip(combined(rows), combined(rows, "mae"), strict=True):
        row = replace(row, mae=other.mae, mae_low=other.mae_low, mae_high=other.mae_high)
        both.append(widened(LossRow, row, coverage=covered(work, row.arm, settings[row.arm])))
    return LossResult(runs=tuple(rows), rows=tuple(both), limit=work.limit)


def covered(work: Work[Size], name: str, settings: tuple[str, ...]) -> dict[str, float] | None:
    """Shares of test stars within one and two predicted sigma of log g, first seed; None: no sigma."""
    config = base(work.options.preset, settings)
    if not config.model.predict_sigma:
        return None

    def compute() -> dict[str, float]:
        weights = weights_of(work, name, config)
        found = predict(weights, work.stars.noisy, usable=work.stars.usable)
        column = config.model.label_names.index(LABEL)
        assert found.sigma is not None
        return coverage(work.truth, found.of(LABEL), found.sigma[:, column])

    asked = {"settings": settings, "n_test": work.size.n_test, "preset": work.options.preset}
    return work.part(f"coverage-{slug(name)}", asked, dict[str, float], compute)


STUDY = Study("loss_and_scaling", __doc__, SIZES, run, LossResult)
