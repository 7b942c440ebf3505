"""Giants against dwarfs: a network that learns the class, one that learns log g, and what can be known.

Claim:    whether a star is a giant (log g up to 2.5) is all that some surveys ask. A network that learns the
          class by cross entropy is compared with one of the same size that learns log g and is asked on which
          side it lies, and with the Bayes-optimal accuracy: that of the likelier class under the exact
          posterior of the same stars, which nothing exceeds in expectation.
Command:  python -m experiments.classification [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about ten minutes a network and a quarter of an hour for the posteriors; gpu:
          one GPU.
Expect:   not measured yet; the limit says how much of what is missing could be learned at all.

Both networks see the same spectra for the same number of steps and have one output. The scores are of the
test stars; those of several seeds are averaged star by star, so that intervals are of stars alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from crlb.files.records import Record
from crlb.palette import LIMIT, looks
from experiments.study.frame import Study, Work
from experiments.study.plotting import (
    PAGE,
    SNR,
    Sheet,
    Style,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)
from experiments.study.result import Result
from experiments.study.rows import column, intervals, scored_spans
from experiments.study.stars import LABEL
from experiments.study.training import FIRST_SEED, arm_part, base, weights_of
from specvit_jax import class_metrics, predict
from specvit_jax.evaluation.limits import exact_probability
from specvit_jax.metrics import bootstrap

THRESHOLD = 2.5  # dex: giants have less
LIMIT_ARM, CLASSES, VALUES = "exact posterior", "learns the class", "learns log g"
ARMS = {
    CLASSES: (f"model.threshold={THRESHOLD}", "train.loss=cross_entropy", "data.label_scaling=none"),
    VALUES: (),
}
LOOKS: dict[str, Style] = {
    LIMIT_ARM: {"color": LIMIT, "marker": "."},
    **dict(zip((CLASSES, VALUES), looks(2), strict=True)),
}
Values = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Size:
    """How much of everything; every test star gets its exact posterior."""

    n_test: int
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(60), "cpu": Size(10_000), "gpu": Size(10_000, seeds=3)}


@dataclass(frozen=True, kw_only=True)
class ClassRow(Record):
    """How often a method is right on the n stars of a bin in SNR; infinite: of all.

    `expected`: the accuracy that its own probabilities promise; None: it says none, as `cross_entropy` (nats)
    and `skill`, which is None where all stars are of one class, too.
    """

    arm: str
    snr_low: float
    snr_high: float
    n: int
    share_above: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    expected: float | None = None
    cross_entropy: float | None = None
    skill: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClassificationResult(Result):
    """A row for every method and bin in SNR, first of all stars; `honesty`: calibration error by method."""

    threshold: float
    rows: tuple[ClassRow, ...]
    honesty: dict[str, float]

    def table(self) -> str:
        """One line per method and bin."""
        heads = ["SNR", "n", "above", "method", "accuracy (95 %)", "promised", "cross entropy", "skill"]
        return markdown(heads, [cells(row) for row in self.rows])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Share of stars put into the wrong class against SNR, by method."""
        figure, (axes,) = sheet.panels(1, 2.6)
        for arm, style in LOOKS.items():
            mine = [row for row in self.rows if row.arm == arm and np.isfinite(row.snr_high)]
            found, x = (
                intervals(mine, "accuracy"),
                np.sqrt(column(mine, "snr_low") * column(mine, "snr_high")),
            )
            axes.errorbar(x, 1 - found.value, yerr=found.reach[::-1], capsize=2, **style | {"label": arm})
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("SNR per pixel")
        axes.set_ylabel("share in the wrong class")
        light_grid(axes)
        legend_below(figure, axes, columns=3)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            f"Share of stars whose class, log g above or below {self.threshold:g}, is told wrongly: by the "
            "likelier class of the exact posterior, which nothing beats in expectation, by a network that "
            "learns the class and by one of the same size that learns log g",
            SNR, "Error bars: 95 %, stars",
        )  # fmt: skip


def cells(row: ClassRow) -> list[str]:
    """A line of the table."""
    span = "all" if not np.isfinite(row.snr_high) else f"{row.snr_low:g}-{row.snr_high:g}"
    numbers = [
        "-" if value is None else f"{value:.3f}" for value in (row.expected, row.cross_entropy, row.skill)
    ]
    return [span, str(row.n), f"{row.share_above:.2f}", row.arm, interval(row, "accuracy"), *numbers]


def run(work: Work[Size]) -> ClassificationResult:
    """Trains both networks and asks the exact posterior of the same stars."""
    above = (work.truth > THRESHOLD).astype(np.float64)
    limit = [np.array(probabilities(work))]
    classes, values = (told(work, arm) for arm in (CLASSES, VALUES))
    snr = work.stars.snr
    rows = [
        *rows_of(LIMIT_ARM, above, [limit[0] > 0.5], snr, limit),
        *rows_of(CLASSES, above, [p > 0.5 for p in classes], snr, classes),
        *rows_of(VALUES, above, [value > THRESHOLD for value in values], snr),
    ]
    order = {(row.snr_low, row.snr_high): None for row in rows}
    ordered = [row for span in order for row in rows if (row.snr_low, row.snr_high) == span]
    return ClassificationResult(
        threshold=THRESHOLD,
        rows=tuple(ordered),
        honesty={LIMIT_ARM: honesty(above, limit), CLASSES: honesty(above, classes)},
    )


def probabilities(work: Work[Size]) -> list[float]:
    """The exact probability of every test star to lie above the threshold, kept as a part of the study."""
    stars = work.stars

    def compute() -> list[float]:
        with work.clock.step(f"exact posteriors of {len(stars.mag):,} test spectra are computed"):
            found = exact_probability(
                work.simulator, stars.noisy, stars.mag, stars.labels, above=(LABEL, THRESHOLD)
            )
        return [float(value) for value in found.probability]

    asked = {"n_test": work.size.n_test, "mag": work.size.mag, "above": [LABEL, THRESHOLD]}
    return work.part("limit", asked, list[float], compute)


def told(work: Work[Size], arm: str) -> list[Values]:
    """What the networks of an arm, one for each seed, say of the test stars: P, or log g in dex."""
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + work.size.seeds):
        settings = [f"model.label_names={LABEL}", *ARMS[arm], f"train.seed={seed}"]
        config = base(work.options.preset, settings)

        def compute() -> list[float]:
            weights = weights_of(work, arm, config)  # noqa: B023
            return [float(value) for value in predict(weights, work.stars.noisy).labels[:, 0]]

        found.append(np.array(arm_part(work, arm, config, list[float], compute)))
    return found


def rows_of(
    arm: str, above: Values, said: Sequence[np.ndarray], snr: Values, p: Sequence[Values] = ()
) -> list[ClassRow]:
    """The rows of a method: of all stars, then by SNR.

    Args:
        arm: name of the method.
        above: 1 for stars of the upper class, else 0.
        said: whether the upper class is said, one array for each seed.
        snr: of the stars.
        p: the probabilities behind it; none: it says none.
    """
    right = np.mean([one == (above > 0.5) for one in said], axis=0)
    return [row_of(arm, above[i], right[i], [one[i] for one in p], (low, high))
            for low, high, i in scored_spans(snr, whole=True)]  # fmt: skip


def row_of(
    arm: str, above: Values, right: Values, p: Sequence[Values], span: tuple[float, float]
) -> ClassRow:
    """The row of a method on some stars, `right` as often as its seeds are."""
    draws = bootstrap(above, right, {"right": lambda above, right: right.mean(axis=-1)}, 1000, 0)["right"]
    low, high = np.quantile(draws, [0.025, 0.975])
    share = float(above.mean())
    row = ClassRow(
        arm=arm, snr_low=span[0], snr_high=span[1], n=len(above), share_above=share,
        accuracy=float(right.mean()), accuracy_low=float(low), accuracy_high=float(high),
    )  # fmt: skip
    if not p:
        return row
    more = {
        "expected": float(np.mean([np.maximum(one, 1 - one).mean() for one in p])),
        "cross_entropy": float(np.mean([class_metrics.cross_entropy(above, one) for one in p])),
    }
    if 0 < share < 1:
        more["skill"] = float(np.mean([class_metrics.skill(above, one) for one in p]))
    return ClassRow(**(asdict(row) | more))


def honesty(above: Values, p: Sequence[Values]) -> float:
    """Mean calibration error over seeds (`specvit_jax.class_metrics.calibration_error`)."""
    each = [class_metrics.calibration_error(class_metrics.reliability(above, one)) for one in p]
    return float(np.mean(each))


STUDY = Study("classification", __doc__, SIZES, run, ClassificationResult)
