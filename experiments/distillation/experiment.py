"""What brings a small network to the limit: its input, an average of its weights, a teacher.

Claim:    the answers of a cheaper network that has seen more spectra bring SpecViT of the size of `tiny` near
          the limit with few steps of its own; spectra scaled by their noise, an average of weights and finer
          patches bring nothing within so few, and sigma as a second output costs nothing with a teacher.
Command:  python -m experiments.distillation [--preset smoke|cpu|gpu] [--steps N ...] [--seeds N]
Hardware: two CPU cores, half an hour; measured and said before the first training.
Expect:   from 2,000 steps 0.717 with the recipe of 2026-11-25, 0.718 scaled by noise, with or without the
          average, 0.728 with the teacher (0.730), with sigma or without; exact limit 0.736.

Every arm is one change from another: the recipe of `tiny` (of 2026-11-25), with patches of 512
pixels; the spectra scaled by their noise, whitened to 40 components, with the scatter outside of them as one
more; the average of the weights over about the last sixth of the steps; targets that a teacher reads from the
same noisy spectra instead of the labels. With the average, two more: patches of 256 pixels, and sigma as a
second output, from labels or from the teacher's sigma.

The teacher is the preset of that name, a perceptron on the components, trained first and once. Whoever learns
from it has its spectra behind it as well: the table tells how many. All learn three labels; R2 and sigma are
of log g.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from experiments.distillation.options import DistillationOptions
from experiments.distillation.result import DistillationResult, DistilledRow
from experiments.study.beside_limit import limit_run, over_seeds
from experiments.study.frame import Study, Work
from experiments.study.pace import Planned, announce
from experiments.study.rows import widened
from experiments.study.training import FIRST_SEED, NOISE_SCALED, base, cut, run_folder
from specvit_jax import Config, preset
from specvit_jax.network.find import find_weights

TEACHER, TEACHER_SEED = "teacher", 142  # its spectra are none of its pupils'
AVERAGED = 6  # times that the average of weights forgets by a factor e over a run


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int = 10_000
    steps: tuple[int, ...] = (600, 2_000)
    batch: int = 256
    teacher_steps: int = 4_000
    teacher_batch: int = 1024
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(60, (12,), 32, 12, 32),
    "cpu": Size(),
    "gpu": Size(steps=(2_000, 20_000), batch=1024, teacher_steps=20_000, seeds=3),
}


class Change(NamedTuple):
    """An arm: its name, what it is a change from, its settings, whether weights are averaged or taught."""

    name: str
    settings: tuple[str, ...]
    averaged: bool = False
    taught: bool = False


SIGMA = ("model.predict_sigma=true", "train.loss=mse_nll")
WIDE, FINER = "model.patch_size=512", "model.patch_size=256"
CHANGES = (
    Change("recipe of tiny, patch 512", (WIDE,)),
    Change("+ scaled by noise", (WIDE, *NOISE_SCALED)),
    Change("+ average of weights", (WIDE, *NOISE_SCALED), averaged=True),
    Change("+ teacher", (WIDE, *NOISE_SCALED), averaged=True, taught=True),
    Change("average, patch 256", (FINER, *NOISE_SCALED), averaged=True),
    Change("average, sigma", (WIDE, *NOISE_SCALED, *SIGMA), averaged=True),
    Change("teacher, sigma", (WIDE, *NOISE_SCALED, *SIGMA), averaged=True, taught=True),
)


def run(work: Work[Size]) -> DistillationResult:
    """The teacher first, then every arm with every budget and seed."""
    announce(work, list(planned(work)))
    config = teacher_config(work)
    teacher = limit_run(work, TEACHER, config)
    weights = find_weights(run_folder(work, TEACHER, config))
    rows = [
        pupil(work, change, steps, seed, weights)
        for seed in range(FIRST_SEED, FIRST_SEED + work.size.seeds)
        for steps in work.size.steps
        for change in CHANGES
    ]
    return DistillationResult(
        teacher=teacher, runs=tuple(rows), rows=tuple(over_seeds(rows)), limit=work.limit
    )


def planned(work: Work[Size]) -> Iterator[Planned]:
    """All trainings; a pupil takes as long as an arm without a teacher, and what its answers take."""
    size = work.size
    yield Planned(TEACHER, teacher_config(work), size.teacher_steps)
    for change in CHANGES:
        config = config_of(work, change, max(size.steps), FIRST_SEED)
        yield Planned(f"patch {config.model.patch_size}", config, size.seeds * sum(size.steps))


def pupil(work: Work[Size], change: Change, steps: int, seed: int, teacher: Path) -> DistilledRow:
    """An arm, trained and scored; whether it learns from the teacher the change says."""
    config = config_of(work, change, steps, seed, teacher if change.taught else None)
    row = limit_run(work, f"{change.name}, {steps:,} steps", config)
    return widened(DistilledRow, row, change=change.name, taught=change.taught)


def config_of(work: Work[Size], change: Change, steps: int, seed: int, teacher: Path | None = None) -> Config:
    """The configuration of an arm."""
    settings = [f"train.steps={steps}", f"train.batch_size={work.size.batch}", f"train.seed={seed}"]
    settings += [f"train.ema={average(steps)}"] if change.averaged else []
    settings += [] if teacher is None else [f"train.teacher={teacher}"]
    return base(work.options.preset, [*change.settings, *settings])


def teacher_config(work: Work[Size]) -> Config:
    """The configuration of the teacher."""
    size = work.size
    settings = [f"train.steps={size.teacher_steps}", f"train.batch_size={size.teacher_batch}"]
    settings += [f"train.seed={TEACHER_SEED}", f"train.ema={average(size.teacher_steps)}"]
    return cut(preset(TEACHER), work.options.preset, [*NOISE_SCALED, *settings])


def average(steps: int) -> float:
    """The decay per step of the average of weights: 0.999 for 6,000 steps, as in the presets.

    What is left of the weights at the start is decay^steps, about exp(-6) whatever the number of steps.
    """
    return round(max(0.0, 1 - AVERAGED / steps), 6)


STUDY = Study("distillation", __doc__, SIZES, run, DistillationResult, DistillationOptions)
