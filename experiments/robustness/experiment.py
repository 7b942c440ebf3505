"""Spectra that differ from those in training: other noise, and distortions that no training spectrum showed.

Claim:    a network is scored on spectra of the very simulator it learnt from. Real ones come with another
          noise, line-spread function, velocity, continuum and sky; R2, bias and scatter say what each costs.
Command:  python -m experiments.robustness [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about 20 minutes; gpu: one GPU.
Expect:   cpu: SpecViT as shipped 0.730 without distortion; 0.18 and 0.24, biases +0.74 and -0.69 dex, under
          a tilt of -10 and +10 %; 0.69 at +20 km/s, 0.28 at +50; 0.71 with a width of +20 %; 0.65, 0.44,
          -0.11 with a scale wrong by 1, 2, 5 % rms; 0.70 with 20 % of the pixels lost, 0.53 with 10 % of the
          sky-line pixels off by 30 sigma. The network `survey` 0.63 without distortion, under every tilt and
          scale, 0.47 at +50 km/s, 0.60 with 20 % lost. At half and twice the noise a network trained there
          0.83 and 0.45, limits 0.89 and 0.53.

Noise: networks trained at 0.5, 1 and 2 times the noise, each tested at all three beside the exact limit there
(first stars; their number is in the results).
Distortions, at the noise trained on: SpecViT as shipped (with a grid or noise of one's own: trained for it),
the network `survey` where it is shipped for these, and Ridge on noisy spectra of the same stars. The *clean*
test spectra are distorted, and the noise that they had is added again, so that nothing but the distortion
differs. `survey` was trained with scale, continuum, velocity, width, lost pixels and sky unknown.

- width: the line-spread function (1.6 Å FWHM in training) wider or narrower.
- velocity: the spectrum moved by v/c; one pixel is 16 km/s.
- tilt: a straight line through the flux, so many per cent from end to end.
- scale: every noisy spectrum times a Gaussian factor of its own, wrong by so many per cent rms. SpecViT and
  Ridge take the published scale, a median of 0.5 without noise, for granted; `survey` brings every spectrum
  to the level of its own noisy flux, so that no factor reaches it.
- sky residuals: on pixels where the variance of the background is above five times its median, a fraction of
  them off by so many sigma, up or down.
- masked: pixels lost, one by one or in blocks of 50 (21 Å). Networks are told which; Ridge gets the mean of
  training spectra there.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from crlb.files.input import sha256
from experiments.baselines.protocol import Chunk
from experiments.baselines.ridge import ALPHAS, Ridge
from experiments.robustness.distortions import Case, distorted, name_of, sky_lines
from experiments.robustness.result import RobustnessResult
from experiments.robustness.rows import CaseRow, NoiseRow
from experiments.study import stars
from experiments.study.frame import Study, Work
from experiments.study.options import Options
from experiments.study.rows import widened
from experiments.study.stars import CHOICE_SEED, FIT_SEED, Stars, limit
from experiments.study.training import (
    FIRST_SEED,
    base,
    knows_another,
    read_label,
    reference,
    slug,
    weights_of,
)
from specvit_jax import Simulator, exact_posterior, load_weights, metrics
from specvit_jax.evaluation.observed import fill_unusable
from specvit_jax.network.find import has_weights, shipped_weights

NONE = Case("none", 0.0)
CASES = (
    *(Case("width", change) for change in (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.5, 1.0)),
    *(Case("velocity", rv) for rv in (-50.0, -20.0, -10.0, -5.0, 5.0, 10.0, 20.0, 50.0)),
    *(Case("tilt", tilt) for tilt in (-0.1, -0.03, -0.01, 0.01, 0.03, 0.1)),
    *(Case("scale", sigma) for sigma in (0.005, 0.01, 0.02, 0.05)),
    *(Case("sky residuals", share, sigma) for sigma in (3.0, 10.0, 30.0) for share in (0.02, 0.1, 0.5)),
    *(Case(kind, share) for kind in ("masked", "masked in blocks") for share in (0.01, 0.05, 0.2)),
)
FEW = (CASES[5], CASES[14], CASES[21], CASES[24], Case("sky residuals", 0.1, 10.0), CASES[-4], CASES[-1])


@dataclass(frozen=True)
class Size:
    """How much of everything; `n_limit`: stars with exact posteriors at noise levels other than 1."""

    n_test: int
    levels: tuple[float, ...]
    cases: tuple[Case, ...] = CASES
    n_fit: int = 20_000
    alphas: tuple[float, ...] = ALPHAS
    n_limit: int = 1000
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(300, (1.0, 2.0), FEW, n_fit=500, alphas=(1.0,), n_limit=0),
    "cpu": Size(10_000, (0.5, 1.0, 2.0)),
    "gpu": Size(10_000, (0.5, 1.0, 2.0), n_limit=10_000),
}


def run(work: Work[Size]) -> RobustnessResult:
    """Scores by noise in training and test, limits by noise, and scores of every reader by distortion."""
    noise = [row for level in work.size.levels for row in noise_rows(work, level)]
    limits = {f"{level:g}": found for level in work.size.levels if (found := limit_at(work, level))}
    readers = Readers(work)
    rows = [row for case in (NONE, *work.size.cases) for row in case_rows(work, readers, case)]
    bright = float(sky_lines(work.simulator.noise).mean())
    return RobustnessResult(noise=tuple(noise), limits=limits, rows=tuple(rows), bright_pixels=bright)


def at_level(work: Work[Size], level: float) -> Simulator:
    """The study's simulator, its noise so many times as strong."""
    return replace(work.simulator, model=work.simulator.model.with_noise_level(level))


def noise_rows(work: Work[Size], level: float) -> tuple[NoiseRow, ...]:
    """Scores of a network trained at a noise level on the test stars at every level, a part of the study."""
    config = base(work.options.preset, (f"data.noise_level={level:g}", f"train.seed={FIRST_SEED}"))
    name = f"noise {level:g}"

    def compute() -> tuple[NoiseRow, ...]:
        print(f"{work.study.name}: {name}")
        weights = weights_of(work, name, config, at_level(work, level))
        rows = []
        for tested in work.size.levels:
            scores = metrics.summary(work.truth, read_label(weights, noisier(work.stars, tested)))
            rows.append(widened(NoiseRow, scores, trained=level, tested=tested))
        return tuple(rows)

    asked = {"config": asdict(config), "n_test": work.size.n_test, "mag": work.size.mag}
    return work.part(slug(name), asked | {"levels": work.size.levels}, tuple[NoiseRow, ...], compute)


def noisier(some: Stars, level: float) -> Stars:
    """The stars with their noise so many times as strong."""
    return some._replace(noisy=some.clean + np.float32(level) * (some.noisy - some.clean))


def limit_at(work: Work[Size], level: float) -> float | None:
    """R2_Bayes of the test stars at a noise level; None: not asked for."""
    if level == 1.0:
        return work.limit
    if not work.size.n_limit:
        return None

    def compute() -> float:
        some = work.stars.take(slice(0, work.size.n_limit))
        found = exact_posterior(at_level(work, level), noisier(some, level).noisy, some.mag)
        return limit(some.labels[:, work.column], found.sigma[:, work.column])

    asked = {"n": work.size.n_limit, "mag": work.size.mag, "level": level}
    return work.part(f"limit-{slug(f'{level:g}')}", asked, float, compute)


class Readers:
    """SpecViT, `survey` and Ridge: log g (dex) of spectra in which NaN marks lost pixels."""

    def __init__(self, work: Work[Size]) -> None:
        self.work = work
        self.networks = {"SpecViT": reference(work)}
        if "survey" in known_networks(work.options):
            self.networks["survey"] = load_weights(shipped_weights("survey"))

    @cached_property
    def ridge(self) -> Ridge:
        """Ridge for log g, fitted on noisy spectra of the same simulator."""
        n = self.work.size.n_fit
        found = Ridge(self.work.size.alphas)
        validation = tuple(map(np.concatenate, zip(*self.chunks(CHOICE_SEED, n // 4), strict=True)))
        found.fit(self.chunks(FIT_SEED, n), (validation[0], validation[1]))
        return found

    def chunks(self, seed: int, n: int) -> Iterator[Chunk]:
        """Noisy spectra and their log g."""
        for batch in stars.drawn(self.work.simulator, seed, n, "Spectra for Ridge"):
            yield np.asarray(batch.flux), np.asarray(batch.labels)[:, self.work.column, None]

    def read(self, flux: Float[np.ndarray, "n n_pix"]) -> dict[str, Float[np.ndarray, " n"]]:
        """What each makes of the spectra, at the published scale as these come.

        An observer would hand `survey` flux at the level of its own noise-weighted mean. Its scaler brings
        any flux there first, over the pixels that can be used, so that this gives the same.
        """
        lost = np.isnan(flux)
        seen = self.work.stars._replace(
            noisy=flux.astype(np.float32), usable=(~lost).astype(np.float32) if lost.any() else None
        )
        found = {name: read_label(weights, seen) for name, weights in self.networks.items()}
        whole, _ = fill_unusable(flux, np.asarray(self.networks["SpecViT"].input_scaler.mean))
        return found | {"Ridge": self.ridge.predict(whole, self.work.stars.mag)[:, 0]}


def known_networks(options: Options) -> tuple[str, ...]:
    """The networks that are shipped for the grid and the noise of a study: those that are embedded."""
    known = () if knows_another(options) else ("tiny", "survey")
    return tuple(name for name in known if has_weights(name))


def case_rows(work: Work[Size], readers: Readers, case: Case) -> tuple[CaseRow, ...]:
    """Scores of every reader on distorted spectra, kept as a part of the study."""

    def compute() -> tuple[CaseRow, ...]:
        found = readers.read(distorted(work.simulator, work.stars, case))
        return tuple(
            widened(CaseRow, metrics.summary(work.truth, pred), reader=name, **case._asdict())
            for name, pred in found.items()
        )

    weights = {name: sha256(shipped_weights(name)) for name in known_networks(work.options)}
    asked = asdict(work.size) | {"cases": case, "preset": work.options.preset, "weights": weights}
    return work.part(slug(name_of(case)), asked, tuple[CaseRow, ...], compute)


STUDY = Study("robustness", __doc__, SIZES, run, RobustnessResult)
