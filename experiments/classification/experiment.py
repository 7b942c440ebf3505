"""Giants against dwarfs: a network that learns the class, one that learns log g, and what can be known.

Claim:    whether a star is a giant (log g up to 2.5) is all that some surveys ask. A network that learns the
          class by cross entropy is compared with one of the same size that learns log g and is asked on which
          side it lies, and with the Bayes-optimal accuracy: that of the likelier class under the exact
          posterior of the same stars, which nothing exceeds in expectation.
Command:  python -m experiments.classification [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about ten minutes a network; 1,500 posteriors took 25 minutes beside other
          programs that left a quarter of the time; gpu: one GPU.
Expect:   cpu: accuracy of the exact posterior 0.877 (0.861-0.893), learning the class 0.860, learning log g
          0.850; to be expected of these spectra, they lose 0.017 (0.013-0.021) and 0.024 (0.019-0.030).

Both networks see the same spectra for the same number of steps and have one output. All methods are scored
on the same stars, the first of the test set; several seeds are averaged star by star, so that intervals are
of stars alone. What a method loses needs no truth: given the spectrum, with P = p(log g > 2.5 | spectrum),
who says the less likely class is right less often than the exact posterior by |2 P - 1|,

    E[right of the posterior] - E[right of the method] = mean of |2 P - 1| where the method says otherwise.

The same from truths, the difference of two accuracies, has the scatter of the truths on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.progress import progress
from crlb.files.records import Record
from crlb.palette import LIMIT, looks
from experiments.study.cells import log_ticks
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
from experiments.study.resampling import with_ends
from experiments.study.result import Result
from experiments.study.rows import column, intervals, scored_spans
from experiments.study.stars import LABEL
from experiments.study.training import FIRST_SEED, arm_part, base, weights_of
from specvit_jax import class_metrics, predict
from specvit_jax.evaluation.limits import exact_probability

THRESHOLD = 2.5  # dex: giants have less
PIECE = 500  # stars between two savings of their probabilities
APART = 1.03  # factor in SNR between the points of two methods
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
Said = Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Size:
    """How much of everything; `n_posterior`: of the test stars, the first, on which all are judged."""

    n_test: int
    n_posterior: int
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(60, 40), "cpu": Size(10_000, 1_500), "gpu": Size(10_000, 10_000, seeds=3)}


class Judged(NamedTuple):
    """Stars that methods are judged on: 1 for those of the upper class else 0, its exact probability, SNR."""

    above: Values
    exact: Values
    snr: Values

    def take(self, inside: Bool[np.ndarray, " n"]) -> "Judged":
        """Some of the stars."""
        return Judged(*(values[inside] for values in self))


@dataclass(frozen=True, kw_only=True)
class ClassRow(Record):
    """How often a method is right on the n stars of a bin in SNR; no end: on all.

    `lost`: how much less often than the exact posterior, to be expected of these spectra. `expected`: the
    accuracy that its own probabilities promise; None: it says none, as `cross_entropy` (nats) and `skill`,
    which is None where all stars are of one class, too.
    """

    arm: str
    snr_low: float
    snr_high: float | None
    n: int
    share_above: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    lost: float
    lost_low: float
    lost_high: float
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
        heads = ["SNR", "n", "above", "method", "accuracy (95 %)", "lost (95 %)", "promised", "cross entropy",
                 "skill"]  # fmt: skip
        return markdown(heads, [cells(row) for row in self.rows])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Share of stars put into the wrong class against SNR by method, and what networks could avoid."""
        figure, (left, right) = sheet.panels(2, 2.6)
        for arm, style in LOOKS.items():
            self.plot_arm(left, arm, "accuracy", style)
            if arm != LIMIT_ARM:
                self.plot_arm(right, arm, "lost", style)
        for axes, words in ((left, "share in the wrong class"), (right, "more than the exact posterior")):
            log_ticks(axes, [3, 5, 10, 20])
            axes.set_ylim(bottom=0)
            axes.set_xlabel("SNR per pixel")
            axes.set_ylabel(words)
            light_grid(axes)
        legend_below(figure, left, columns=3)
        return figure

    def plot_arm(self, axes: Axes, arm: str, key: str, style: Style) -> None:
        """One method against SNR: its mistakes (`accuracy`), or what it loses (`lost`)."""
        mine = [row for row in self.rows if row.arm == arm and row.snr_high is not None]
        shift = APART ** (list(LOOKS).index(arm) - 1)
        place = shift * np.sqrt(column(mine, "snr_low") * column(mine, "snr_high"))
        found = intervals(mine, key)
        wrong = key == "accuracy"
        value, reach = (1 - found.value, found.reach[::-1]) if wrong else (found.value, found.reach)
        axes.errorbar(place, value, yerr=reach, capsize=2, elinewidth=0.8, **style | {"label": arm})

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        n = self.rows[0].n
        return sentences(
            f"Share of stars whose class, log g above or below {self.threshold:g}, is told wrongly: by the "
            "likelier class of the exact posterior, which nothing beats in expectation, by a network that "
            "learns the class and by one of the same size that learns log g",
            "Right panel: how much more often the networks are wrong than the exact posterior, to be "
            "expected of the same spectra whatever the true classes are",
            SNR, f"Error bars: 95 %, the first {n:,} stars of the test set",
        )  # fmt: skip


def cells(row: ClassRow) -> list[str]:
    """A line of the table."""
    span = "all" if row.snr_high is None else f"{row.snr_low:g}-{row.snr_high:g}"
    numbers = [
        "-" if value is None else f"{value:.3f}" for value in (row.expected, row.cross_entropy, row.skill)
    ]
    scores = [interval(row, "accuracy"), interval(row, "lost", 4)]
    return [span, str(row.n), f"{row.share_above:.2f}", row.arm, *scores, *numbers]


def run(work: Work[Size]) -> ClassificationResult:
    """Trains both networks and asks the exact posterior of the same stars."""
    classes, values = (told(work, arm) for arm in (CLASSES, VALUES))
    exact = probabilities(work)
    n = len(exact)
    stars = Judged((work.truth[:n] > THRESHOLD).astype(np.float64), exact, work.stars.snr[:n])
    classes, values = ([one[:n] for one in found] for found in (classes, values))
    rows = [
        *rows_of(LIMIT_ARM, stars, [exact > 0.5], [exact]),
        *rows_of(CLASSES, stars, [p > 0.5 for p in classes], classes),
        *rows_of(VALUES, stars, [value > THRESHOLD for value in values]),
    ]
    order = {(row.snr_low, row.snr_high): None for row in rows}
    ordered = [row for span in order for row in rows if (row.snr_low, row.snr_high) == span]
    return ClassificationResult(
        threshold=THRESHOLD,
        rows=tuple(ordered),
        honesty={LIMIT_ARM: honesty(stars.above, [exact]), CLASSES: honesty(stars.above, classes)},
    )


def probabilities(work: Work[Size]) -> Values:
    """The exact probability of the first test stars to lie above the threshold, kept piece by piece."""
    n = min(work.size.n_posterior, work.size.n_test)
    with work.clock.step(f"exact posteriors of {n:,} test spectra are computed"):
        found = [piece(work, start, min(start + PIECE, n), n) for start in range(0, n, PIECE)]
    return np.concatenate(found)


def piece(work: Work[Size], start: int, end: int, n: int) -> Values:
    """`probabilities` of the test stars from `start` up to `end` of `n`, kept as a part of the study."""
    some = work.stars.take(slice(start, end))

    def compute() -> tuple[float, ...]:
        with progress("exact posteriors", n, start) as advance:
            found = exact_probability(
                work.simulator, some.noisy, some.mag, above=(LABEL, THRESHOLD), advance=advance
            )
        return tuple(found.probability.tolist())

    asked = {"mag": work.size.mag, "stars": [start, end], "above": [LABEL, THRESHOLD]}
    return np.array(work.part(f"limit-{start}", asked, tuple[float, ...], compute))


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


def rows_of(arm: str, stars: Judged, said: Sequence[Said], p: Sequence[Values] = ()) -> list[ClassRow]:
    """The rows of a method: of all stars, then by SNR.

    Args:
        arm: name of the method.
        stars: that it is judged on.
        said: whether the upper class is said, one array for each seed.
        p: the probabilities behind it, for each seed; none: it says none.
    """
    return [
        row_of(arm, stars.take(i), [one[i] for one in said], [one[i] for one in p], (low, high))
        for low, high, i in scored_spans(stars.snr, whole=True)
    ]


def row_of(
    arm: str, stars: Judged, said: Sequence[Said], p: Sequence[Values], span: tuple[float, float]
) -> ClassRow:
    """The row of a method on some stars; arguments as of `rows_of`."""
    above, share = stars.above, float(stars.above.mean())
    right = np.mean([one == (above > 0.5) for one in said], axis=0)
    high = span[1] if np.isfinite(span[1]) else None
    scores = with_ends("accuracy", share_of, right) | with_ends("lost", share_of, lost(stars.exact, said))
    if p:
        scores["expected"] = float(np.mean([np.maximum(one, 1 - one).mean() for one in p]))
        scores["cross_entropy"] = float(np.mean([class_metrics.cross_entropy(above, one) for one in p]))
        if 0 < share < 1:
            scores["skill"] = float(np.mean([class_metrics.skill(above, one) for one in p]))
    place = {"arm": arm, "snr_low": span[0], "snr_high": high, "n": len(above), "share_above": share}
    return ClassRow(**(place | scores))  # type: ignore[arg-type]


def share_of(values: Values) -> np.ndarray:
    """The mean over stars, the last axis."""
    return values.mean(axis=-1)


def lost(exact: Values, said: Sequence[Said]) -> Values:
    """How much less often than the exact posterior a method is right of each star, mean over seeds.

    Args:
        exact: probability of the upper class.
        said: whether the upper class is said, one array for each seed.
    """
    otherwise = np.mean([one != (exact > 0.5) for one in said], axis=0)
    return np.asarray(np.abs(2 * exact - 1) * otherwise)


def honesty(above: Values, p: Sequence[Values]) -> float:
    """Mean calibration error over seeds (`specvit_jax.class_metrics.calibration_error`)."""
    each = [class_metrics.calibration_error(class_metrics.reliability(above, one)) for one in p]
    return float(np.mean(each))


STUDY = Study("classification", __doc__, SIZES, run, ClassificationResult)
