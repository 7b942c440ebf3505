"""The methods of the R2-SNR figure: each fitted or trained for it, and kept in its folder.

All read the same test spectra and are told the magnitude, which only the template fit uses. Ridge and
LightGBM learn from the same noisy spectra; the networks from fresh ones, each from as many. Those three come
from `budgets`, with a learning rate of its own each; `tiny` learnt from more, and from a teacher.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from crlb.errors import MissingInputError
from experiments.baselines.boosting import TUNED, LightGBM
from experiments.baselines.forward import Forward
from experiments.baselines.protocol import Baseline, Chunk
from experiments.baselines.ridge import Ridge
from experiments.baselines.store import Stored, save
from experiments.baselines.template_fit import TemplateFit
from experiments.r2_vs_snr.options import FigureOptions
from experiments.study.frame import Work
from experiments.study.stars import CHOICE_SEED, FIT_SEED, LABEL, drawn
from experiments.study.training import EQUAL_BUDGET, knows_another, trained_here, training_of
from specvit_jax import load_weights, predict
from specvit_jax.network.find import shipped_weights
from specvit_jax.settings.config_file import override

MAX_TREES = 1000  # of LightGBM, with early stopping
NETWORKS = ("SpecViT", "MLP", "CNN")
TAUGHT = "SpecViT, taught"

Predictor = Callable[[Float[np.ndarray, "n n_pix"], Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Size:
    """How much of everything; `FigureOptions` says what each is."""

    n_test: int = 10_000
    steps: int = 3000
    n_fit: int = 20_000
    n_bayes: int = 400
    n_posterior: int = 1000
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(300, steps=6, n_fit=1200, n_bayes=30, n_posterior=60),
    "cpu": Size(),
    "gpu": Size(steps=20_000, n_fit=100_000, n_bayes=4000, n_posterior=10_000),
}


def asked(work: Work[Size]) -> FigureOptions:
    """What the figure was asked for."""
    assert isinstance(work.options, FigureOptions)
    return work.options


class Method(NamedTuple):
    """How a method came to what it knows, and its log g (dex) of spectra of known magnitudes."""

    training: str
    predict: Predictor


def methods(work: Work[Size]) -> tuple[dict[str, Method], dict[str, str]]:
    """Every method by name, and why some are absent."""
    paths = {name: weights_of(work, name) for name in NETWORKS}
    found = {} if trains(work) else {TAUGHT: network(shipped_weights("tiny"), "`tiny`: ")}
    found |= {name: network(path) for name, path in paths.items()}
    found["Template fit"] = template_fit(work)
    absent = {}
    train, validation = learnt_from(work)
    read = components(paths["MLP"])
    trees = LightGBM(replace(TUNED, max_trees=MAX_TREES, threads=1), read)
    sees = {"LightGBM": f"the {read.shape[1]} components that the networks read, of ", "Ridge": ""}
    for baseline in (trees, Ridge()):
        try:
            with work.clock.step(f"{baseline.name} learns from {work.size.n_fit:,} spectra"):
                baseline.fit(iter(train), validation)
        except MissingInputError as error:
            absent[baseline.name] = str(error)
            continue
        found[baseline.name] = regression(work, baseline, validation, sees[baseline.name])
    return found, absent


def trains(work: Work[Size]) -> bool:
    """Whether networks are trained here and now: asked for, or those shipped know another grid or noise."""
    return asked(work).train or knows_another(work.options)


def weights_of(work: Work[Size], name: str) -> Path:
    """The weights of a network of equal budget: as `budgets` left them, or trained anew like these."""
    path = EQUAL_BUDGET / f"{name.lower()}.safetensors"
    if not trains(work):
        return path
    steps, every = work.size.steps, max(1, work.size.steps // 4)
    pauses = [f"train.{name}={every}" for name in ("eval_every", "checkpoint_every")]
    config = override(load_weights(path).config, [f"train.steps={steps}", *pauses])
    with work.clock.step(f"{name} is trained for {steps:,} steps"):
        return trained_here(work, name.lower(), config)


def network(path: Path, what: str = "") -> Method:
    """The network in a weights file."""
    weights = load_weights(path)
    told = what + training_of(path)
    return Method(told, lambda flux, mag: predict(weights, flux).of(LABEL))


def components(path: Path) -> Float[np.ndarray, "n_pix k"]:
    """The components of the flux that a network of whitened spectra is handed, for the trees."""
    scaler = load_weights(path).input_scaler
    return np.asarray(scaler.analysis) / np.asarray(scaler.scale)[:, None]


def template_fit(work: Work[Size]) -> Method:
    """The template fit over all labels, the flux scale known as it is to the Cramer-Rao bound."""
    forward = Forward(str(work.options.grid or ""), str(work.options.noise or ""))
    fit = TemplateFit(forward)
    names = forward.emulator.label_names
    fit.fit([], (np.zeros((0, len(forward.emulator.wave))), np.zeros((0, len(names)))))
    column = names.index(LABEL)
    return Method(
        "maximum likelihood over T_eff, log g, [M/H]; noise and magnitude known",
        lambda flux, mag: fit.predict(flux, mag)[:, column],
    )


def learnt_from(work: Work[Size]) -> tuple[list[Chunk], Chunk]:
    """Noisy spectra with their log g to learn from, and a quarter as many others to choose settings on."""

    def pairs(seed: int, n: int, what: str) -> Iterator[Chunk]:
        for batch in drawn(simulator, seed, n, what):
            yield np.asarray(batch.flux), np.asarray(batch.labels[:, work.column : work.column + 1])

    n, m, simulator = work.size.n_fit, work.size.n_fit // 4, work.simulator
    with work.clock.step(f"{n:,} spectra to learn from and {m:,} to choose settings on are drawn"):
        held_out = zip(*pairs(CHOICE_SEED, m, "spectra to choose on"), strict=True)
        validation = tuple(map(np.concatenate, held_out))
        return list(pairs(FIT_SEED, n, "spectra to learn from")), (validation[0], validation[1])


def regression(work: Work[Size], baseline: Baseline, validation: Chunk, sees: str) -> Method:
    """A fitted regression, kept as NAME.npz for files of other spectra."""
    stored = Stored(baseline, (LABEL,), validation[0].mean(axis=0))
    save(work.folder / f"{baseline.name.lower()}.npz", stored, overwrite=True)
    return Method(
        f"{sees}{work.size.n_fit:,} spectra, settings chosen on {work.size.n_fit // 4:,} others",
        lambda flux, mag: baseline.predict(flux, mag)[:, 0],
    )
