"""The methods of the R2-SNR figure: each fitted or trained for it, and kept in its folder.

All read the same test spectra and are told the magnitude, which only the template fit uses. Ridge and
LightGBM learn from the same noisy spectra; the networks from fresh ones.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from crlb.errors import MissingInputError
from experiments.baselines.boosting import TUNED, LightGBM
from experiments.baselines.forward import Forward
from experiments.baselines.networks import CNN, MLP
from experiments.baselines.protocol import Baseline, Chunk
from experiments.baselines.ridge import Ridge
from experiments.baselines.store import Stored, save
from experiments.baselines.template_fit import TemplateFit
from experiments.study.stars import CHOICE_SEED, FIT_SEED, LABEL, drawn, source_files
from experiments.study.training import trained
from specvit_jax.evaluation.predict import predict
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.weights import load_weights, read_metadata
from specvit_jax.settings.config import Config, preset
from specvit_jax.settings.config_file import override
from specvit_jax.spectra.source import Simulator

MAX_TREES = 1000  # of LightGBM, with early stopping

Predictor = Callable[[Float[np.ndarray, "n n_pix"], Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Asked:
    """What the methods are made from."""

    grid: Path | None = None
    """Grid file (HDF5, vacuum wavelengths in Å); default: the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: Path | None = None
    """Noise curves (HDF5); default: the built-in analytic curves of the PFS medium-resolution red arm."""
    mag: tuple[float, float] = (20.5, 22.5)
    """AB magnitudes in i of the training and test spectra, drawn uniformly [bright faint]."""
    train: bool = False
    """Train SpecViT now instead of evaluating the shipped one; always so with a grid or noise of your own."""
    steps: int = 700
    """Training steps of 128 spectra when SpecViT is trained; 700 take some minutes on two cores."""
    rival_steps: int = 600
    """Training steps of 128 spectra of CNN and MLP."""
    n_fit: int = 20_000
    """Training spectra of Ridge and LightGBM; a quarter as many others choose their settings."""
    out: Path = Path("outputs/r2_vs_snr")
    """Folder of the results; an earlier figure of this command there is replaced."""


class Method(NamedTuple):
    """How a method came to what it knows, and its log g (dex) of spectra of known magnitudes."""

    training: str
    predict: Predictor


def methods(asked: Asked, simulator: Simulator) -> tuple[dict[str, Method], dict[str, str]]:
    """Every method by name, and why some are absent."""
    cnn, mlp = (rival(asked, simulator, *pair) for pair in (("CNN", CNN), ("MLP", MLP)))
    fresh = f"{asked.rival_steps:,} steps of {MLP.train.batch_size} fresh spectra"
    found = {
        "SpecViT": specvit(asked, simulator),
        "Template fit": template_fit(asked),
        "CNN": network(cnn, fresh),
        "MLP": network(mlp, fresh),
    }
    absent = {}
    train, validation = learnt_from(asked, simulator)
    trees = LightGBM(replace(TUNED, max_trees=MAX_TREES, threads=1), components(mlp))
    sees = {"LightGBM": "the 24 components that the networks read, of ", "Ridge": ""}
    for baseline in (trees, Ridge()):
        try:
            baseline.fit(iter(train), validation)
        except MissingInputError as error:
            absent[baseline.name] = str(error)
            continue
        found[baseline.name] = regression(asked, baseline, validation, sees[baseline.name])
    return found, absent


def specvit(asked: Asked, simulator: Simulator) -> Method:
    """SpecViT as shipped; trained here and now where it was asked for or another grid or noise is given."""
    if asked.train or asked.grid is not None or asked.noise is not None:
        config = settled(asked, preset("tiny"), asked.steps)
        files = source_files(asked.grid, asked.noise)
        path = trained(config, simulator, asked.out / "specvit", files)
        return network(path, f"tiny, {asked.steps:,} steps of 128 fresh spectra on this grid")
    path = shipped_weights("tiny")
    step = json.loads(read_metadata(path)["about"])["step"]
    return network(path, f"tiny as shipped, {step:,} steps of 128 fresh spectra")


def rival(asked: Asked, simulator: Simulator, name: str, config: Config) -> Path:
    """The weights of another network, trained by the same loop."""
    config = settled(asked, config, asked.rival_steps)
    return trained(config, simulator, asked.out / name.lower(), source_files(asked.grid, asked.noise))


def settled(asked: Asked, config: Config, steps: int) -> Config:
    """A configuration with the steps and the data of the figure, scored four times on the way."""
    every = max(1, steps // 4)
    files = [f"data.{name}={path}" for name, path in (("grid", asked.grid), ("noise", asked.noise)) if path]
    pauses = [f"train.{name}={every}" for name in ("eval_every", "checkpoint_every")]
    mag = f"data.mag={asked.mag[0]},{asked.mag[1]}"
    return override(config, [f"train.steps={steps}", mag, *pauses, *files])


def network(path: Path, training: str) -> Method:
    """The network in a weights file."""
    weights = load_weights(path)
    column = weights.config.model.label_names.index(LABEL)
    return Method(training, lambda flux, mag: predict(weights, flux).labels[:, column])


def components(path: Path) -> Float[np.ndarray, "n_pix k"]:
    """The components of the flux that a network of whitened spectra is handed, for the trees."""
    scaler = load_weights(path).input_scaler
    return np.asarray(scaler.analysis) / np.asarray(scaler.scale)[:, None]


def template_fit(asked: Asked) -> Method:
    """The template fit over all labels, the flux scale known as it is to the Cramer-Rao bound."""
    forward = Forward(str(asked.grid or ""), str(asked.noise or ""))
    fit = TemplateFit(forward)
    names = forward.emulator.label_names
    fit.fit([], (np.zeros((0, len(forward.emulator.wave))), np.zeros((0, len(names)))))
    column = names.index(LABEL)
    return Method(
        "maximum likelihood over T_eff, log g, [M/H]; noise and magnitude known",
        lambda flux, mag: fit.predict(flux, mag)[:, column],
    )


def learnt_from(asked: Asked, simulator: Simulator) -> tuple[list[Chunk], Chunk]:
    """Noisy spectra with their log g to learn from, and a quarter as many others to choose settings on."""
    column = simulator.label_names.index(LABEL)

    def pairs(seed: int, n: int, what: str) -> Iterator[Chunk]:
        for batch in drawn(simulator, seed, n, what):
            yield np.asarray(batch.flux), np.asarray(batch.labels[:, column : column + 1])

    held_out = zip(*pairs(CHOICE_SEED, asked.n_fit // 4, "Spectra to choose on"), strict=True)
    validation = tuple(map(np.concatenate, held_out))
    return list(pairs(FIT_SEED, asked.n_fit, "Spectra to fit")), (validation[0], validation[1])


def regression(asked: Asked, baseline: Baseline, validation: Chunk, sees: str) -> Method:
    """A fitted regression, kept as NAME.npz for files of other spectra."""
    stored = Stored(baseline, (LABEL,), validation[0].mean(axis=0))
    save(asked.out / f"{baseline.name.lower()}.npz", stored, overwrite=True)
    return Method(
        f"{sees}{asked.n_fit:,} spectra, settings chosen on {asked.n_fit // 4:,} others",
        lambda flux, mag: baseline.predict(flux, mag)[:, 0],
    )


def seeds() -> dict[str, int]:
    """The seeds of what is drawn here."""
    return {"fit": FIT_SEED, "choice": CHOICE_SEED}
