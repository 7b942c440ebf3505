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

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.study.frame import Study, Work
from experiments.study.plotting import PAGE_WIDTH_IN, interval, light_grid, markdown
from experiments.study.result import Result
from experiments.study.rows import ArmRow, counted, intervals, widened
from experiments.study.running import enter
from experiments.study.stars import LABEL
from experiments.study.training import Arm, base, combined, run_arms, slug, weights_of
from specvit_jax import predict, preset
from specvit_jax.evaluation.scores import coverage

RANGE = math.sqrt(12)  # of a uniform label, in its standard deviations
DELTA = 0.5  # Huber's, in standard deviations of a label
RATE = preset("tiny").train.learning_rate
LOSSES, SCALINGS, RATES = ("l1", "mse", "huber", "nll"), ("zscore", "minmax"), (RATE, RATE / RANGE)


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

    def plot(self) -> Figure:
        """R2 and MAE of every arm, colours by scaling."""
        rows, height = self.rows, 1.0 + 0.17 * len(self.rows)
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH_IN, height), sharey=True)
        dots(left, rows, "r2")
        left.axvline(self.limit, color="black", linestyle="--", linewidth=0.8, label="exact limit")
        left.set_xlabel(f"$R^2$ of log $g$ (95 %, {counted(rows)})")
        left.set_yticks(range(len(rows)), [row.arm for row in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.legend(frameon=False, loc="best")
        dots(right, rows, "mae")
        right.set_xlabel("mean absolute error of log $g$ (dex)")
        figure.suptitle(f"Loss and label scaling: {rows[0].spectra:,} spectra each", fontsize=8)
        return figure


def shares(found: dict[str, float] | None) -> str:
    """Two shares; a dash where no deviation is predicted."""
    return "-" if found is None else f"{found['1_sigma']:.3f}, {found['2_sigma']:.3f}"


def dots(axes: Axes, rows: Sequence[LossRow], key: str) -> None:
    """A dot with its interval for every arm: red z-score, blue min-max."""
    for place, row in enumerate(rows):
        color, one = "#b2182b" if "zscore" in row.arm else "#2166ac", intervals([row], key)
        axes.errorbar(one.value, place, xerr=one.reach, fmt="o", color=color, capsize=2, elinewidth=0.8)
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

if __name__ == "__main__":
    enter(STUDY)
