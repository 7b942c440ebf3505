"""Networks trained for an experiment: a base that learns in minutes, arms that change it, scores."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from crlb.errors import UsageError
from crlb.files.input import sha256
from experiments.study.committed import committed
from experiments.study.frame import S, Work, digest_of
from experiments.study.options import Options
from experiments.study.rows import ArmRow, Intervals, Run, intervals, scores_by_snr, widened
from experiments.study.stars import LABEL, Stars, source_files
from specvit_jax import Config, Weights, load_weights, metrics, predict, preset, train
from specvit_jax.network.find import conditions_of, find_weights, read_metadata, shipped_weights
from specvit_jax.network.networks import cost, parameter_counts
from specvit_jax.runs.listing import read_metrics
from specvit_jax.runs.manifest import read_manifest
from specvit_jax.settings.config_file import from_yaml, override
from specvit_jax.spectra.feed import Source

FIRST_SEED = 42
EQUAL_BUDGET = committed("budgets", "weights")  # networks of `budgets`: the large budget, the first seed
RunT = TypeVar("RunT", bound=Run)
T = TypeVar("T")


class Arm(NamedTuple):
    """One variant: its name, and the settings (``model.patch_size=32``) it changes in the base."""

    name: str
    settings: tuple[str, ...] = ()


# The base of every comparison: `tiny` of 2026-11-25, cut to the time a preset has. Spelt out, so that results
# compare with one another whatever becomes of the preset.
_BASE = (
    "model.patch_size=64",
    "model.predict_sigma=false",
    "train.loss=mse",
    "train.batch_size=128",
    "train.ema=0",
    "data.input_scaling=pixel",
    "data.components=24",
    "data.noise_component=false",
)
# Spectra scaled by their noise, whitened to 40 components, with the scatter outside of them as one more.
NOISE_SCALED = ("data.input_scaling=noise", "data.components=40", "data.noise_component=true")
_QUICK = (
    "train.steps=6",
    "train.batch_size=32",
    "model.embed_dim=16",
    "model.depth=1",
    "model.num_heads=2",
    "data.n_scaling=200",
    "data.n_validation=100",
    "data.components=8",
)
BASES: dict[str, tuple[str, ...]] = {
    "smoke": _QUICK,
    "cpu": ("train.steps=600",),
    "gpu": ("train.steps=20000", "train.batch_size=1024"),
}


def base(name: str, settings: Iterable[str] = ()) -> Config:
    """The base as a preset trains it, scored and saved on the way; best weights are kept."""
    return cut(override(preset("tiny"), _BASE), name, settings)


def cut(config: Config, name: str, settings: Iterable[str] = ()) -> Config:
    """A configuration cut to the time a preset has, with changes, scored and saved on the way."""
    config = override(config, [*BASES[name], *settings])
    every = max(3, config.train.steps // 10)
    return replace(
        config,
        train=replace(config.train, eval_every=every, checkpoint_every=every, log_every=min(50, every)),
    )


def knows_another(options: Options) -> bool:
    """Whether shipped networks know another grid or noise than is asked for."""
    return options.grid is not None or options.noise is not None


def trained(config: Config, source: Source, folder: Path, files: Sequence[Path]) -> Path:
    """The best weights of a network trained in a run directory on a source made from `files`.

    A run that was cut off is resumed; one with other settings, or older than a file, is begun anew.
    """
    resume = same_run(folder / "config.yaml", config, files)
    if resume and read_manifest(folder).finished is not None:
        return find_weights(folder)
    return train(config, source, folder, resume=resume, overwrite=not resume).weights


def trained_here(work: Work[S], name: str, config: Config) -> Path:
    """`trained` on the grid, noise and magnitudes of a study, which the weights name, in its folder."""
    options, (low, high) = work.options, work.size.mag
    files = [
        f"data.{name}={path}" for name, path in (("grid", options.grid), ("noise", options.noise)) if path
    ]
    config = override(config, [f"data.mag={low},{high}", *files])
    return trained(config, work.simulator, work.folder / name, source_files(options.grid, options.noise))


def same_run(path: Path, config: Config, files: Sequence[Path]) -> bool:
    """Whether the run there is this one, begun after the files were last changed."""
    if not path.exists() or from_yaml(path.read_text()) != config:
        return False
    return all(file.stat().st_mtime < path.stat().st_mtime for file in files)


def run_arms(
    work: Work[S], arms: Sequence[Arm], seeds: int, settings: Iterable[str] = (), source: Source | None = None
) -> list[ArmRow]:
    """A row for every arm and seed, each kept as a part of the study."""
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for arm in arms:
            config = base(work.options.preset, [*settings, *arm.settings, f"train.seed={seed}"])
            rows.append(run_arm(work, arm.name, config, source))
    return rows


def run_arm(work: Work[S], name: str, config: Config, source: Source | None = None) -> ArmRow:
    """Trains and scores one network on the test set, unless that was done; the part of the study it makes."""
    folder = run_folder(work, name, config)

    def compute() -> ArmRow:
        weights = weights_of(work, name, config, source)
        return row_of(work, name, weights, step_seconds(folder, config))

    return arm_part(work, name, config, ArmRow, compute)


def arm_part(work: Work[S], name: str, config: Config, kind: type[T], compute: Callable[[], T]) -> T:
    """What is computed of one network, kept as a part of the study under all that it depends on."""
    asked = {"config": asdict(config), "n_test": work.size.n_test, "mag": list(work.size.mag)}
    if config.train.teacher is not None:
        asked["teacher"] = sha256(Path(config.train.teacher))

    def told() -> T:
        print(f"{work.study.name}: {name}, seed {config.train.seed}", flush=True)
        return compute()

    return work.part(run_folder(work, name, config).name, asked, kind, told)


def run_folder(work: Work[S], name: str, config: Config) -> Path:
    """The run directory of an arm."""
    return work.folder / "runs" / f"{slug(name)}-{config.train.seed}"


def weights_of(work: Work[S], name: str, config: Config, source: Source | None = None) -> Weights:
    """The network of an arm, trained if need be: also where its teacher is newer than it is."""
    files = source_files(work.options.grid, work.options.noise)
    files += [] if config.train.teacher is None else [Path(config.train.teacher)]
    return load_weights(trained(config, source or work.simulator, run_folder(work, name, config), files))


def reference(work: Work[S]) -> Weights:
    """`tiny` as shipped, which knows the embedded grid and the built-in noise; trained anew for others."""
    if knows_another(work.options):
        return weights_of(work, "tiny", base(work.options.preset))
    return load_weights(shipped_weights("tiny"))


def parse_networks(settings: Sequence[str]) -> dict[str, str]:
    """``["tiny=runs/tiny"]`` as name -> run.

    Raises:
        UsageError: not of that form.
    """
    pairs = [setting.partition("=") for setting in settings]
    wrong = [setting for setting, pair in zip(settings, pairs, strict=True) if not (pair[0] and pair[2])]
    if wrong:
        raise UsageError(f"--network must read NAME=RUN, say tiny=runs/tiny; found {wrong[0]}")
    return {name: run for name, _, run in pairs}


def row_of(work: Work[S], name: str, weights: Weights, step_s: float) -> ArmRow:
    """What an arm is and how it scores on the test set: R2 of every label it reads, by SNR for the label."""
    config, found = weights.config, label_scores(weights, work.stars, work.simulator.label_names)
    return widened(
        ArmRow,
        found.own,
        arm=name,
        seed=config.train.seed,
        parameters=sum(parameter_counts(config.model).values()),
        tokens=config.model.num_patches,
        forward_mflop=cost(config.model)["forward_flops"] / 1e6,
        spectra=spectra_of(config),
        labels=found.labels,
        by_snr=scores_by_snr(found.truth, found.pred, work.stars.snr),
        step_s=step_s,
    )


class LabelScores(NamedTuple):
    """Scores of every label a network reads; truth and estimate of the study's label (else the first)."""

    labels: dict[str, metrics.Score]
    own: metrics.Score
    truth: Float[np.ndarray, " n"]
    pred: Float[np.ndarray, " n"]


def label_scores(weights: Weights, stars: Stars, label_names: Sequence[str]) -> LabelScores:
    """How well a network reads some stars; `label_names` are the columns of their labels."""
    names = weights.config.model.output_names
    pred = predict(weights, stars.noisy, usable=stars.usable).labels
    truth = stars.labels[:, [label_names.index(name) for name in names]]
    labels = {name: metrics.summary(truth[:, i], pred[:, i]) for i, name in enumerate(names)}
    own = names.index(LABEL) if LABEL in names else 0
    return LabelScores(labels, labels[names[own]], truth[:, own], pred[:, own])


def read_label(weights: Weights, stars: Stars) -> Float[np.ndarray, " n"]:
    """The study's label as a network reads it from stars, dex."""
    return predict(weights, stars.noisy, usable=stars.usable).of(LABEL)


def spectra_of(config: Config) -> int:
    """Number of training spectra of a network, each drawn anew."""
    return config.train.steps * config.train.batch_size


def training_of(path: Path) -> str:
    """What the network in a weights file was trained on, in words."""
    metadata = read_metadata(path)
    config, step = json.loads(metadata["config"]), json.loads(metadata["about"])["step"]
    spectra = f"{step:,} steps of {config['train']['batch_size']} fresh spectra"
    taught = ", taught by a network" if config["train"].get("teacher") else ""
    conditions = conditions_of(path)
    return f"{spectra}{taught}" + ("" if conditions == "published" else f", conditions {conditions}")


def step_seconds(folder: Path, config: Config) -> float:
    """Time of a training step in the fastest stretch that the run logged: other work only slows it down."""
    rates = [row["spectra_per_s"] for row in read_metrics(folder) if "spectra_per_s" in row]
    return config.train.batch_size / max(rates)


def validation_r2(folder: Path) -> float:
    """R2 of the study's label on the spectra of validation, at the step whose weights a run keeps."""
    scored = [row for row in read_metrics(folder) if "val_r2" in row]
    return float(max(scored, key=lambda row: row["val_r2"])[f"val_r2_{LABEL}"])


def combined(rows: Sequence[RunT], key: str = "r2") -> list[RunT]:
    """One row per arm: the mean over seeds, with a 95 % interval of test stars and, if several, seeds."""
    found = []
    for name in dict.fromkeys(row.arm for row in rows):
        mine = [row for row in rows if row.arm == name]
        one = intervals(mine, key)
        mean, reach = over_seeds(one)
        ends = {key: mean, f"{key}_low": mean - reach, f"{key}_high": mean + reach}
        counts = {"seeds": len(mine), "values": tuple(one.value.tolist())}
        found.append(replace(mine[0], **ends | counts))  # type: ignore[arg-type]
    return found


def over_seeds(found: Intervals) -> tuple[float, float]:
    """Mean over seeds of a statistic, and the reach of its 95 % interval.

    sigma^2 = mean(bootstrap variance) + variance(seeds) / n_seeds
    """
    n = len(found.value)
    stars = np.mean(((found.high - found.low) / 3.92) ** 2)
    seeds = found.value.var(ddof=1) / n if n > 1 else 0.0
    return float(found.value.mean()), 1.96 * float(np.sqrt(stars + seeds))


def slug(name: str) -> str:
    """A name as part of a file name; names that differ do not meet in one."""
    plain = "".join(c if c.isalnum() else "_" for c in name.lower())
    return f"{plain}-{digest_of(name)}"
