"""What errors beside the flux tell of log g: those of noiseless models leak it, those of observers do not.

Claim:    an error computed from the noiseless model is that model over again: from errors alone log g follows
          far better than from any observed flux. An error that an observer can compute tells what the flux
          tells; its label-free part is one number per star, and brings next to nothing.
Command:  python -m experiments.leak [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about five minutes, and 5 GB of memory.
Expect:   cpu: R2 of log g by quadratic Ridge: model error 0.998, with the flux 0.999, flux 0.630,
          observed error 0.631, label-free error 0.000; beside the flux it gains 0.000, the magnitude 0.001,
          both 0.008. Ridge on pixels: model error 0.79, flux 0.48. Exact limit 0.736.

The variance of a pixel is level^2 (flux + B/c)/c, c electrons per unit of flux, B the background in
electrons^2: star light is a share of it, so that the error of a noiseless model holds every pixel of that
model without noise. `experiments/leak/channels.py` says what the three errors are. The label-free part of an
error is one curve, the same for all stars, times 1/c: in the unit of scaled flux it tells one number,

    ln(1/c) = 0.4 ln(10) mag + ln(mean flux of the i band) + constant,

the magnitude but for the mean of flux whose median is 0.5, which scatters by 0.02 and follows T_eff. Alone,
or with the flux, that is honest: an observer has counted electrons. With a magnitude beside it, it is not:
both together tell the mean of the *noiseless* flux exactly.

Methods: Ridge on numbers, 40 components of each channel (flux and observed error in units of their noise; the
logarithm of errors) and the scatter of the flux outside of them; quadratic Ridge, on these numbers, their
squares and products; and, for one channel at a time, Ridge on its pixels as files store them. All learn from
the same stars, and choose their penalty on others. The exact limit is that of readers who know flux and
magnitude, 1 - mean(posterior variance) / variance of the same test stars.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.baselines.ridge import Ridge
from experiments.leak.channels import Channels, channels, channels_of, star_share
from experiments.leak.reading import fit_scalers, numbers, products
from experiments.leak.result import LeakResult, LeakRow, SpanRow
from experiments.study.frame import Study, Work
from experiments.study.resampling import with_ends
from experiments.study.rows import r2_bayes, scored_spans
from experiments.study.stars import CHOICE_SEED, FIT_SEED, TEST_SEED
from experiments.study.training import slug
from specvit_jax import metrics

READINGS: dict[str, tuple[str, ...]] = {  # in words -> the channels whose numbers are read
    "flux": ("flux",),
    "model error": ("model",),
    "flux, model error": ("flux", "model"),
    "observed error": ("observed",),
    "label-free error": ("label_free",),
    "flux, label-free error": ("flux", "label_free"),
    "flux, magnitude": ("flux", "mag"),
    "flux, label-free error, magnitude": ("flux", "label_free", "mag"),
}
PIXELS = ("flux", "model error", "observed error")  # readings of one channel with pixels
NUMBER_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-6, 1))
PIXEL_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-4, 2))


@dataclass(frozen=True)
class Size:
    """How much of everything; `components`: of every channel."""

    n_test: int
    n_fit: int = 40_000
    n_choice: int = 5000
    components: int = 40
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300, 400, 100, 8), "cpu": Size(10_000), "gpu": Size(10_000, 200_000)}


class Sets:
    """Stars to learn from, to choose penalties on, and to be judged on; drawn once they are asked for."""

    def __init__(self, work: Work[Size]) -> None:
        self.work = work

    @cached_property
    def fit(self) -> Channels:
        """To learn from."""
        return channels_of(self.work.simulator, FIT_SEED, self.work.size.n_fit, "training spectra")

    @cached_property
    def choice(self) -> Channels:
        """To choose penalties on."""
        return channels_of(self.work.simulator, CHOICE_SEED, self.work.size.n_choice, "spectra to choose on")

    @cached_property
    def test(self) -> Channels:
        """To be judged on."""
        stars = self.work.stars
        return channels(self.work.simulator, stars.noisy, stars.clean, stars.mag, self.work.truth)

    @property
    def all(self) -> tuple[Channels, Channels, Channels]:
        """The three, in that order."""
        return self.fit, self.choice, self.test

    @cached_property
    def numbers(self) -> list[dict[str, Float[np.ndarray, "n k"]]]:
        """What is read of the channels of each."""
        scalers = fit_scalers(self.fit, self.work.size.components)
        return [numbers(scalers, one) for one in self.all]

    def read(self, names: tuple[str, ...]) -> list[Float[np.ndarray, "n k"]]:
        """The numbers of some channels side by side, for each of the three."""
        return [np.concatenate([one[name] for name in names], axis=1) for one in self.numbers]


class Read(NamedTuple):
    """What a method made of the test stars: the label as read, dex."""

    reading: str
    method: str
    label: Float[np.ndarray, " n"]


def run(work: Work[Size]) -> LeakResult:
    """Reads the test stars with every method from everything that could be handed to it."""
    sets = Sets(work)
    reads = [*from_numbers(work, sets), *from_pixels(work, sets)]
    plain = {read.method: read.label for read in reads if read.reading == "flux"}
    exact = Read("flux, magnitude", "posterior mean", work.exact[:, 0])
    first = sets.test.first(1000)
    return LeakResult(
        rows=tuple(row_of(work, read, plain.get(read.method)) for read in (exact, *reads)),
        limit=work.limit,
        label_free=about_label_free(sets.test),
        star=float(star_share(work.simulator, first.clean, first.mag)),
    )


def from_numbers(work: Work[Size], sets: Sets) -> Iterator[Read]:
    """What both kinds of Ridge make of the numbers of every reading."""
    for reading, names in READINGS.items():
        yield kept(work, reading, "Ridge", partial(linear, sets, names))
        yield kept(work, reading, "quadratic Ridge", partial(quadratic, sets, names))


def from_pixels(work: Work[Size], sets: Sets) -> Iterator[Read]:
    """What Ridge makes of the pixels of one channel as they are stored."""
    for reading in PIXELS:
        yield kept(work, reading, "Ridge on pixels", partial(of_pixels, sets, READINGS[reading][0]))


def kept(work: Work[Size], reading: str, method: str, compute: Callable[[], np.ndarray]) -> Read:
    """What a method reads, a part of the study."""

    def told() -> tuple[float, ...]:
        with work.clock.step(f"{method}: {reading}"):
            return tuple(compute().tolist())

    found = work.part(slug(f"{method} {reading}"), asdict(work.size), tuple[float, ...], told)
    return Read(reading, method, np.array(found))


def linear(sets: Sets, names: tuple[str, ...]) -> Float[np.ndarray, " n"]:
    """The label of the test stars by Ridge on the numbers of some channels."""
    return fitted(sets, sets.read(names), NUMBER_ALPHAS, as_it_is)


def quadratic(sets: Sets, names: tuple[str, ...]) -> Float[np.ndarray, " n"]:
    """The label of the test stars by Ridge on these numbers, their squares and products."""
    rows = sets.read(names)
    return fitted(sets, rows, NUMBER_ALPHAS, products(rows[0]).of)


def of_pixels(sets: Sets, name: str) -> Float[np.ndarray, " n"]:
    """The label of the test stars by Ridge on the pixels of a channel."""
    return fitted(sets, [getattr(one, name) for one in sets.all], PIXEL_ALPHAS, as_it_is)


def as_it_is(rows: np.ndarray) -> np.ndarray:
    """What is read, unchanged."""
    return rows


def fitted(
    sets: Sets,
    rows: list[Float[np.ndarray, "n k"]],
    alphas: tuple[float, ...],
    widen: Callable[[np.ndarray], np.ndarray],
) -> Float[np.ndarray, " n"]:
    """The label of the test stars by Ridge on what `widen` makes of the rows of all three sets."""
    fit, choice, test = rows
    ridge = Ridge(alphas)
    pieces = np.array_split(np.arange(len(fit)), max(1, len(fit) // 1000))
    train = ((widen(fit[piece]), sets.fit.label[piece, None]) for piece in pieces)
    ridge.fit(train, (widen(choice), sets.choice.label[:, None]))
    return ridge.predict(widen(test), sets.test.mag)[:, 0]


def row_of(work: Work[Size], read: Read, plain: Float[np.ndarray, " n"] | None) -> LeakRow:
    """Scores of a reading beside the limit and beside the same method on flux alone (None: there is none)."""
    truth, variance, pred = work.truth, work.exact[:, 1] ** 2, read.label
    spans = scored_spans(work.stars.snr)
    compared = {} if plain is None or read.reading == "flux" else with_ends("gain", gain, truth, pred, plain)
    return LeakRow(
        reading=read.reading,
        method=read.method,
        n=len(truth),
        by_snr=tuple(
            SpanRow(
                snr_low=low, snr_high=high, n=int(inside.sum()),
                limit=float(r2_bayes(truth[inside], variance[inside])),
                **with_ends("r2", r2, truth[inside], pred[inside]),
            )
            for low, high, inside in spans
        ),
        **with_ends("r2", r2, truth, pred),
        **with_ends("excess", excess, truth, variance, pred),
        **compared,
    )  # fmt: skip


def r2(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """R2 along the last axis."""
    return np.asarray(metrics.r2(truth, pred))


def excess(truth: np.ndarray, variance: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """R2 less R2_Bayes of the same stars, along the last axis."""
    return r2(truth, pred) - r2_bayes(truth, variance)


def gain(truth: np.ndarray, pred: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """R2 less that of the same method on flux alone, along the last axis."""
    return r2(truth, pred) - r2(truth, plain)


def about_label_free(some: Channels) -> dict[str, float]:
    """How far the label-free number scatters, and how far once the magnitude is taken off."""
    left = some.label_free - 0.4 * np.log(10) * some.mag
    return {"scatter": float(some.label_free.std()), "without_mag": float(left.std())}


STUDY = Study(
    "leak",
    __doc__,
    SIZES,
    run,
    LeakResult,
    seeds={"test": TEST_SEED, "fit": FIT_SEED, "choice": CHOICE_SEED},
)
