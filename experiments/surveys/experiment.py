"""One network for several instruments, against one for each and against each instrument's exact limit.

Claim:    the original's page promises one model for many surveys. Whether a network whose positions are
          wavelengths reads several instruments as well as one network for each does, and whether it reads
          one that it never saw, is measured here.
Command:  python -m experiments.surveys [--preset smoke|cpu|gpu] [--data FOLDER]
Hardware: cpu: two CPU cores, 80 minutes beside other programs that left about half of the time; gpu: one
          GPU.
Expect:   cpu: taught pfs-mr, desi, boss and gaia-rvs in turn, one network reads log g there with R2 0.797,
          0.758, 0.633, 0.799, where networks of their own have 0.814, 0.756, 0.623, 0.804 (each difference
          +-0.013), and 0.05 to 0.14 below the exact posterior of the same 250 stars. It does not read
          instruments that it never saw: lamost-lrs -0.18, muse 0.12 (networks of their own 0.603, 0.691).
          With tokens begun at another pixel in every step it reads muse with 0.570, lamost-lrs, which is
          coarser than all it was taught, with 0.179, and the four of the training less well by 0.06 to
          0.14. Real LAMOST stars: R2 0.25 to 0.52, which 19 stars do not tell from 0.

All instruments see the same stars, at the same range of signal-to-noise ratios per pixel, over the part of
the spectrum that the grid has, under published conditions (scale, velocity, continuum known). Every network
has the same size, positions that are the same function of wavelength, and reads the mean of its tokens, so
that the number of pixels is free; it is told the wavelengths. Spectra are scaled pixel by pixel with mean and
deviation of simulated spectra of their instrument, which need no label and so exist for one never seen, too.

Arms: a network for each instrument; `joint`, one that learns from four in turn, a batch of one instrument a
step, as many steps of each as its own network has, so that its weights make four times as many; `joint,
moved`, the same with the tokens of every step begun at another pixel. The last is there because of
`position`: a network that always saw one cut of a spectrum into tokens fails on another cut, although it is
told the wavelengths, and an instrument never seen is another cut. Exact posteriors take minutes: they are
those of the first stars, on which they are compared with networks star by star.

Real spectra differ from these in continuum, scale and velocity, and their labels are those of LASP (its own
errors in log g are half a dex) or of the literature; Gaia's are normalised. They are read as they come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.files.output import writing
from crlb.files.progress import progress
from crlb.files.records import Record
from experiments.study.frame import Study, Work, digest_of
from experiments.study.options import ObservedOptions
from experiments.study.rows import widened
from experiments.study.running import describe_grid
from experiments.study.stars import TEST_SEED, Sample, digest, stars_of
from experiments.study.training import base, slug
from experiments.surveys.learning import Seen, learn, read
from experiments.surveys.real import read_star, real_stars
from experiments.surveys.result import SurveysResult
from experiments.surveys.rows import (
    JOINT,
    LIMIT,
    MOVED,
    DifferenceRow,
    Instrument,
    LimitRow,
    ReadRow,
    RealStar,
    difference,
    limit_row,
    pairs,
    real_scores,
)
from specvit_jax import Config, Weights, load_weights, metrics
from specvit_jax.evaluation.limits import exact_posterior
from specvit_jax.network.inference import Params
from specvit_jax.network.weights import save_weights
from specvit_jax.settings.config import DataConfig
from specvit_jax.settings.pixels import shown_pixels
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.training.initial_state import fit_scalers

SNR_DEFINITION = "median over the instrument's pixels of noiseless flux/error"
PIECE = 250  # stars between two savings of their posteriors
SETTINGS = (
    "data.preprocess=none",
    "data.snr=5,50",
    "model.pos_embed=wavelength",
    "model.pool=mean",
    "model.patch_size=32",
)


@dataclass(frozen=True)
class Size:
    """How much of everything; `n_posterior`: of the test stars, the first, with an exact posterior;
    `steps`: of every instrument; `learned`: by the joint networks."""

    n_test: int
    n_posterior: int
    steps: int
    batch: int
    learned: tuple[str, ...] = ("pfs-mr", "desi", "boss", "gaia-rvs")
    unseen: tuple[str, ...] = ("lamost-lrs", "muse")
    mag: tuple[float, float] = (0.0, 0.0)  # the SNR is set instead


SIZES = {
    "smoke": Size(40, 20, 3, 16, ("boss",), ("lamost-lrs",)),
    "cpu": Size(2000, 250, 2000, 32),
    "gpu": Size(10_000, 1000, 5000, 512),
}


class Network(NamedTuple):
    """A trained network and its configuration."""

    params: Params
    config: Config


@dataclass(frozen=True)
class Known(Record):
    """Posterior mean and standard deviation of some stars, a row each; which posteriors converged."""

    mean: tuple[tuple[float, ...], ...]
    sigma: tuple[tuple[float, ...], ...]
    converged: tuple[bool, ...]


def run(work: Work[Size]) -> SurveysResult:
    """Trains all networks, reads every instrument with each, and asks the exact posterior."""
    seen = {name: see(work, name) for name in (*work.size.learned, *work.size.unseen)}
    networks = all_networks(work, seen)
    scored = [scores(work, one, networks) for one in seen.values()]
    real, skipped = real_read(work, seen, networks)
    first = next(iter(seen.values())).stars
    return SurveysResult(
        instruments=tuple(described(work, one) for one in seen.values()),
        rows=tuple(row for one in scored for row in one.rows),
        limits=tuple(row for one in scored for row in one.limits),
        differences=tuple(row for one in scored for row in one.differences),
        real=real,
        real_scores=tuple(real_scores(real)),
        skipped=skipped,
        limit_from="computed with this result",
        snr_definition=SNR_DEFINITION,
        grid=describe_grid(work.options.grid, next(iter(seen.values())).simulator),
        test=Sample(n=len(first.mag), seed=TEST_SEED, digest=digest(first)),
    )


def data_of(work: Work[Size], name: str) -> DataConfig:
    """The settings of the spectra of an instrument."""
    grid, noise = (None if path is None else str(path) for path in (work.options.grid, work.options.noise))
    data = replace(config_of(work, 1).data, instrument=name, grid=grid)
    return replace(data, noise=noise) if name == DEFAULT_INSTRUMENT else data


def config_of(work: Work[Size], instruments: int) -> Config:
    """The network and its training on so many instruments; the same pixels count for its positions."""
    size = work.size
    times = [f"train.steps={instruments * size.steps}", f"train.batch_size={size.batch}"]
    return base(work.options.preset, [*SETTINGS, *times])


def see(work: Work[Size], name: str) -> Seen:
    """An instrument with its scalers and test stars."""
    with work.clock.step(f"{name} is set up"):
        simulator = simulator_of(data_of(work, name))
        scalers = fit_scalers(simulator, config_of(work, 1))
        stars = stars_of(simulator, TEST_SEED, work.size.n_test, f"test spectra of {name}")
    return Seen(name, simulator, scalers, np.asarray(simulator.wave, np.float64), stars)


def described(work: Work[Size], seen: Seen) -> Instrument:
    """How the result names an instrument."""
    return Instrument(
        name=seen.name,
        learned=seen.name in work.size.learned,
        pixels=len(seen.wave),
        first=float(seen.wave[0]),
        last=float(seen.wave[-1]),
        tokens=len(seen.wave) // config_of(work, 1).model.patch_size,
        snr=float(np.median(seen.stars.snr)),
    )


def all_networks(work: Work[Size], seen: Mapping[str, Seen]) -> dict[str, Network]:
    """The network of every arm: of each instrument by its name, and the joint ones."""
    learned = [seen[name] for name in work.size.learned]
    found = {name: network(work, name, [one]) for name, one in seen.items()}
    return found | {name: network(work, name, learned, moved=name == MOVED) for name in (JOINT, MOVED)}


def network(work: Work[Size], name: str, learned: Sequence[Seen], moved: bool = False) -> Network:
    """The network that learns from some instruments in turn, kept in a file named by all that it depends on.

    The file has the scaler of the first of them; a network is read with that of the instrument.
    """
    config = config_of(work, len(learned))
    asked = [asdict(config), [one.name for one in learned], moved, work.checksums]
    path = work.folder / "runs" / f"{slug(name)}-{digest_of(asked)}.safetensors"
    if not path.exists():
        with (
            work.clock.step(f"{name} is trained"),
            progress(f"train {name}", config.train.steps, unit="steps") as advance,
        ):
            params = learn(config, learned, moved, advance)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        scalers = learned[0].scalers
        sized = replace(config, model=replace(config.model, input_size=len(learned[0].wave)))
        save_weights(path, Weights(params, sized, *scalers), {"step": config.train.steps})
    return Network(load_weights(path).params, config)


class Scored(NamedTuple):
    """The rows of an instrument."""

    rows: list[ReadRow]
    limits: list[LimitRow]
    differences: list[DifferenceRow]


def scores(work: Work[Size], seen: Seen, networks: Mapping[str, Network]) -> Scored:
    """How every network reads an instrument, what can be known there, and how these differ star by star."""
    exact = known(work, seen)
    told = {name: read(one.params, seen, seen.stars.noisy, one.config) for name, one in networks.items()}
    names, found = seen.simulator.label_names, Scored([], [], [])
    for i, label in enumerate(networks[seen.name].config.model.label_names):
        column = names.index(label)
        truth = seen.stars.labels[:, column].astype(np.float64)
        mean, sigma = (np.array(part)[:, column] for part in (exact.mean, exact.sigma))
        methods = {name: labels[:, i] for name, labels in told.items()} | {LIMIT: mean}
        place = {"instrument": seen.name, "label": label}
        found.rows.extend(
            widened(ReadRow, metrics.summary(truth, methods[name]), network=name, **place)
            for name in networks
        )
        share = float(np.mean(exact.converged))
        found.limits.append(limit_row(seen.name, label, truth[: len(mean)], mean, sigma, share))
        found.differences.extend(
            difference(seen.name, label, truth, methods, pair) for pair in pairs(seen.name)
        )
    return found


def known(work: Work[Size], seen: Seen) -> Known:
    """The exact posterior of the first test stars at an instrument, kept piece by piece."""
    n, what = min(work.size.n_posterior, work.size.n_test), f"exact posteriors, {seen.name}"
    with work.clock.step(f"{what}, of {n:,} stars"), progress(what, n) as advance:
        found = []
        for start in range(0, n, PIECE):
            found.append(known_piece(work, seen, start, min(start + PIECE, n)))
            advance(len(found[-1].converged))
    return Known(*(tuple(row for one in found for row in getattr(one, part.name)) for part in fields(Known)))


def known_piece(work: Work[Size], seen: Seen, start: int, end: int) -> Known:
    """`known` of the stars from `start` up to `end`, kept as a part of the study."""
    some = seen.stars.take(slice(start, end))

    def compute() -> Known:
        found = exact_posterior(seen.simulator, some.noisy, some.mag, some.labels)
        mean, sigma = (tuple(map(tuple, part.tolist())) for part in (found.mean, found.sigma))
        return Known(mean, sigma, tuple(found.converged.tolist()))

    asked = {"data": asdict(data_of(work, seen.name)), "stars": [start, end]}
    return work.part(f"limit-{slug(seen.name)}-{start}", asked, Known, compute)


def real_read(
    work: Work[Size], seen: Mapping[str, Seen], networks: Mapping[str, Network]
) -> tuple[tuple[RealStar, ...], str]:
    """Real stars of these instruments as the joint networks and the instrument's own read them."""
    stars, skipped = real_stars(getattr(work.options, "data", None), seen)
    found = []
    for name, star in stars:
        width = shown_pixels(data_of(work, name)).width
        some = {one: networks[one] for one in (name, JOINT, MOVED)}
        found.append(read_star(star, seen[name], width, some))
    return tuple(star for star in found if star is not None), skipped


STUDY = Study("surveys", __doc__, SIZES, run, SurveysResult, options=ObservedOptions)
