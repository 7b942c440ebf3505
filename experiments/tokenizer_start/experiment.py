"""Does the start decide whether the sliding-window tokenizer trains? Token strengths, R2 of log g by step.

Claim:    from the original's start (convolution U(+-1/sqrt(fan_in)), every other linear map normal(0.02),
          class and position tokens normal(1)) signal is a quarter of conv's tokens and 0.6 % of linear's.
          In a small network that does not stop linear from training.
Command:  python -m experiments.tokenizer_start [--preset smoke|cpu|gpu] [--steps N] [--seeds N] [--out DIR]
Hardware: two CPU cores (shared), about three minutes.
Expect:   tokens of conv 7.2 times as strong as those of linear at the published start (0.577 and 0.08 for
          unit-variance pixels); equal at the scaled one, where conv and linear are one and the same network.
          R2 after 350 steps, one seed: conv 0.79, linear 0.64 as published; 0.72 from the scaled start.

The network is small and reads spectra averaged over some pixels; patch 16, class token, learned position, L1
loss, AdamW and clipping at 0.5 are the published ones. There is no dropout.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from crlb.files.progress import track
from experiments.study.frame import Study, Work
from experiments.study.rows import widened
from experiments.study.stars import LABEL, Sample
from experiments.study.training import slug
from experiments.tokenizer_start.options import StartOptions
from experiments.tokenizer_start.result import Point, Start, StartResult, Strength, Training
from specvit_jax import Batch, Config, DataConfig, ModelConfig, Simulator, TrainConfig, metrics
from specvit_jax.network.inference import Scalers, predict
from specvit_jax.network.standardise import fit_input_scaler, fit_label_scaler
from specvit_jax.network.tokens import KERNEL_STD, Tokens, windows
from specvit_jax.spectra.source import chunks
from specvit_jax.training.step import TrainState, make_state, select, train_step

POOL_SEED, TEST_SEED, TOKEN_SEED = 20_101, 20_102, 20_103
N_KERNELS = 64  # starts over which the strength of tokens is averaged
N_STRENGTH = 256  # spectra it is measured on


STARTS = (
    Start(tokenizer="conv", init="published", token_std=1.0),
    Start(tokenizer="linear", init="published", token_std=1.0),
    Start(
        tokenizer="linear", init="published", token_std=0.02
    ),  # what is left when only the position is made weaker
    Start(tokenizer="conv", init="scaled", token_std=0.02),
    Start(tokenizer="linear", init="scaled", token_std=0.02),
)


@dataclass(frozen=True)
class Size:
    """How much of everything; `StartOptions` says what each is."""

    n_test: int = 1024
    steps: int = 350
    seeds: int = 1
    learning_rate: float = 1e-3
    depth: int = 3
    average: int = 8
    n_train: int = 8192
    evaluations: int = 7
    mag: tuple[float, float] = (18.0, 20.0)


SIZES = {
    "smoke": Size(256, steps=2, depth=1, average=32, n_train=512, evaluations=2),
    "cpu": Size(),
    "gpu": Size(seeds=3),
}


class Spectra(NamedTuple):
    """Averaged noisy spectra to train on and to score on, and their scalers."""

    train: Batch
    test: Batch
    scalers: Scalers


class Data:
    """The spectra of a study, drawn when first needed."""

    def __init__(self, work: Work[Size]) -> None:
        self.work = work

    @cached_property
    def spectra(self) -> Spectra:
        """The pool, the held-out spectra, and scalers measured on the pool."""
        return draw_spectra(self.work.simulator, self.work.size)


def run(work: Work[Size]) -> StartResult:
    """Measures the tokens of every start, then trains from each."""
    data = Data(work)
    arms = [(start, config_of(start, work.size)) for start in STARTS]
    tokens = [widened(Strength, start, **strength(config.model, data.spectra)) for start, config in arms]
    return StartResult(
        network=asdict(arms[0][1].model),
        tokens=tuple(tokens),
        training=tuple(trainings(work, data)),
        test=Sample(n=work.size.n_test, mag=work.size.mag, seed=TEST_SEED),
    )


def config_of(start: Start, size: Size, seed: int = 0) -> Config:
    """The small network with that start, trained as published."""
    model = ModelConfig(
        input_size=4096 // size.average,
        embed_dim=64,
        depth=size.depth,
        num_heads=4,
        dropout=0.0,
        attention_dropout=0.0,
        gelu="tanh",
        label_names=(LABEL,),
        tokenizer=start.tokenizer,
        init=start.init,
        token_std=start.token_std,
    )
    train = TrainConfig(size.steps, 64, learning_rate=size.learning_rate, seed=seed)
    return Config(model=model, train=train)


def draw_spectra(simulator: Simulator, size: Size) -> Spectra:
    """The pool, the held-out spectra, and scalers measured on the pool."""
    config = config_of(STARTS[0], size)
    pool, test = (
        select(drawn(simulator, seed, n, size.average), simulator.label_names, config)
        for seed, n in ((POOL_SEED, size.n_train), (TEST_SEED, size.n_test))
    )
    noisy, labels, _, clean, error = map(np.asarray, pool[:5])
    data = DataConfig()
    scalers = Scalers(fit_label_scaler(labels, "zscore"), fit_input_scaler(noisy, clean, error, data))
    return Spectra(pool, test, scalers)


def drawn(simulator: Simulator, seed: int, n: int, pixels: int) -> Batch:
    """So many noisy spectra, neighbouring pixels averaged."""
    parts = [averaged(batch, pixels) for batch in chunks(simulator, jax.random.key(seed), n)]
    joined: Batch = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *parts)
    return joined


def averaged(batch: Batch, pixels: int) -> Batch:
    """Means of neighbouring pixels, and the 1-sigma error of these means."""

    def mean(x: Float[Array, "n n_pix"]) -> Float[Array, "n n_means"]:
        return x.reshape(len(x), -1, pixels).mean(axis=2)

    error = jnp.sqrt(mean(batch.error**2) / pixels)
    return batch._replace(flux=mean(batch.flux), clean=mean(batch.clean), error=error)


def strength(model: ModelConfig, spectra: Spectra) -> dict[str, float]:
    """RMS of tokens (kernel times pixels, no bias), of positions, and the tokens' share of their squares.

    Averaged over `N_KERNELS` starts; `rms_closed` is the closed form for pixels of unit variance.
    """
    x = jnp.asarray(spectra.scalers.input.encode(spectra.test.flux[:N_STRENGTH]))
    patches = windows(x, model.patch_size, model.patch_stride)

    def squares(key: Array) -> tuple[Array, Array]:
        params = Tokens(model).init(key, x[:1])["params"]
        kernel = params["patches"]["kernel"]
        return jnp.mean((patches @ kernel) ** 2), jnp.mean(params["position"] ** 2)

    keys = jax.random.split(jax.random.key(TOKEN_SEED), N_KERNELS)
    token, place = (float(jnp.mean(square)) for square in jax.lax.map(squares, keys))
    closed = closed_rms(model)
    return {
        "pixel_rms": float(jnp.sqrt(jnp.mean(x**2))),
        "rms": math.sqrt(token),
        "rms_closed": closed,
        "position_rms": math.sqrt(place),
        "share": token / (token + place),
        "share_closed": closed**2 / (closed**2 + model.token_std**2),
    }


def closed_rms(model: ModelConfig) -> float:
    """RMS of kernel times patch for unit-variance pixels, correlated or not: kernel std x sqrt(size)."""
    size = model.patch_size
    if model.init == "scaled":
        return 1.0  # kernel std 1/sqrt(size)
    std = 1 / math.sqrt(3 * size) if model.tokenizer == "conv" else KERNEL_STD
    return std * math.sqrt(size)


def trainings(work: Work[Size], data: Data) -> list[Training]:
    """R2 along the steps of every start and seed; a start equal to an earlier one is not trained again."""
    found: list[Training] = []
    for seed, start in product(range(work.size.seeds), STARTS):
        twin = replace(start, tokenizer="conv")
        configs = [config_of(one, work.size, seed) for one in (start, twin)]
        row = partial(widened, Training, start, name=start.name, seed=seed)
        if start.tokenizer == "linear" and same_start(*configs):
            earlier = next(r for r in found if r.seed == seed and r.name == twin.name)
            found.append(row(same_as=twin.name, curve=earlier.curve))
        else:
            found.append(row(same_as=None, curve=kept_curve(work, data, start, seed)))
    return found


def kept_curve(work: Work[Size], data: Data, start: Start, seed: int) -> tuple[Point, ...]:
    """The curve of a start, kept as a part of the study."""
    config = config_of(start, work.size, seed)
    asked = {"config": asdict(config), "size": asdict(replace(work.size, seeds=1))}
    compute = partial(curve, config, data, work.size)
    return work.part(f"{slug(start.name)}-{seed}", asked, tuple[Point, ...], compute)


def same_start(one: Config, other: Config) -> bool:
    """Whether two networks, the same function of their parameters, begin with the same, bit for bit."""
    pairs = zip(*(jax.tree.leaves(make_state(config).params) for config in (one, other)), strict=True)
    return all(bool((a == b).all()) for a, b in pairs)


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def step(
    state: TrainState, pool: Batch, rows: Int[Array, " batch"], scalers: Scalers, config: Config
) -> tuple[TrainState, Array]:
    """A training step on some spectra of the pool; and its loss."""
    batch = jax.tree.map(lambda leaf: leaf[rows], pool)
    state, found = train_step(state, batch, jnp.arange(len(rows)), scalers, config)
    return state, found["loss"]


def curve(config: Config, data: Data, size: Size) -> tuple[Point, ...]:
    """R2 on the held-out spectra and the mean training loss since the last time, along the steps.

    The start lives in the parameters alone: one compiled step serves all.
    """
    spectra, state, losses = data.spectra, make_state(config), []
    common, found = config_of(STARTS[0], size), []
    marks = {round(steps) for steps in np.linspace(0, size.steps, size.evaluations + 1)[1:]}
    batches = order(len(spectra.train.flux), config)
    model = config.model
    about = f"{model.tokenizer}, {model.init}, {model.token_std:g}"
    for done in track(range(1, size.steps + 1), about, size.steps, "steps"):
        state, loss = step(state, spectra.train, next(batches), spectra.scalers, common)
        losses.append(loss)
        if done in marks:
            mean = float(jnp.mean(jnp.stack(losses)))
            found.append(Point(step=done, loss=mean, r2=r2(state, spectra, common)))
            losses = []
    return tuple(found)


def order(n: int, config: Config) -> Iterator[Int[np.ndarray, " batch"]]:
    """Rows of the pool for one step after the other, every spectrum once in each pass."""
    rng, size = np.random.default_rng(config.train.seed), config.train.batch_size
    while True:
        rows = rng.permutation(n)
        yield from (rows[start : start + size] for start in range(0, n - size + 1, size))


def r2(state: TrainState, spectra: Spectra, config: Config) -> float:
    """R2 of log g on the held-out spectra."""
    test = spectra.test
    pred = predict(state.params, test.flux, spectra.scalers, config, test.usable)
    return float(metrics.r2(np.asarray(test.labels)[:, 0], np.asarray(pred)[:, 0]))


STUDY = Study(
    "tokenizer_start",
    __doc__,
    SIZES,
    run,
    StartResult,
    StartOptions,
    seeds={"pool": POOL_SEED, "test": TEST_SEED, "tokens": TOKEN_SEED, "training": "0, 1, ..."},
)
