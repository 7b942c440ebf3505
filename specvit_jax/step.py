"""Training, the pure part: the state, one step, evaluation. ``train.py`` runs it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from crlb.errors import UsageError
from specvit_jax import parallel
from specvit_jax.config import Config, TrainConfig
from specvit_jax.data import Batch
from specvit_jax.model import SpecViT
from specvit_jax.scaling import InputScaler, LabelScaler

Params = dict[str, Any]

# What a random number is for; every use has its own stream under the run's seed.
PARAMS, NOISE, DROPOUT = range(3)


@runtime_checkable
class Source(Protocol):
    """Where spectra come from; each depends only on the key and its index, which is its row in a file."""

    @property
    def label_names(self) -> tuple[str, ...]: ...

    @property
    def rows(self) -> int | None: ...

    def sample(self, key: Key[Array, ""], index: Int[Array, " n"]) -> Batch: ...


class Scalers(NamedTuple):
    """What stands between physical units and the network; stored with its weights."""

    label: LabelScaler
    input: InputScaler


class TrainState(NamedTuple):
    """All that training changes. ``step``, the number of steps done, is the only clock."""

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Gradient clipping and AdamW, the learning rate rising linearly, then falling as a cosine."""
    warmup = round(config.warmup * config.steps)
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warmup else config.learning_rate, config.learning_rate, warmup, config.steps, config.min_lr
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=config.weight_decay),
    )


@partial(jax.jit, static_argnames="config")
def make_state(config: Config) -> TrainState:
    """The state before the first step, a function of the config and its seed alone."""
    key = stream(config, PARAMS)
    params = SpecViT(config.model).init(key, jnp.zeros((1, config.model.input_size)))["params"]
    return TrainState(jnp.int32(0), params, optimizer(config.train).init(params))


def stream(config: Config, use: int) -> Key[Array, ""]:
    """The run's key for one use of random numbers."""
    return jax.random.fold_in(jax.random.key(config.train.seed), use)


def loss_of(error: Float[Array, "batch n_labels"], config: TrainConfig) -> Float[Array, "batch n_labels"]:
    """The loss of each label of each spectrum, from its error in scaled units."""
    if config.loss == "l1":
        return jnp.abs(error)
    if config.loss == "mse":
        return error**2
    if config.loss == "huber":
        return optax.losses.huber_loss(error, delta=config.huber_delta)
    raise ValueError(f"loss must be l1, mse or huber, got {config.loss!r}")


def train_step(
    state: TrainState,
    batch: Batch,
    index: Int[Array, " batch"],
    scalers: Scalers,
    config: Config,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """The state after one step on a batch of noisy spectra, and the step's metrics.

    Args:
        state: the state before.
        batch: noisy spectra and their labels, those of ``config.model.label_names`` in that order.
        index: of each spectrum in the whole batch; its dropout depends on it.
        scalers: of labels and input.
        config: the run's; static.
        axis: device axis to average over, when inside one.

    Returns:
        The new state; ``loss`` (scaled units) and ``grad_norm`` before clipping.
    """
    model = SpecViT(config.model)
    key = jax.random.fold_in(stream(config, DROPOUT), state.step)
    x, target = scalers.input.encode(batch.flux), scalers.label.encode(batch.labels)

    def mean_loss(params: Params) -> Float[Array, ""]:
        out = model.apply({"params": params}, x, train=True, index=index, rngs={"dropout": key})
        return jnp.mean(loss_of(cast(Array, out) - target, config.train))

    loss, grads = jax.value_and_grad(mean_loss)(state.params)
    loss, grads = parallel.average((loss, grads), axis)
    updates, opt_state = optimizer(config.train).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    state = TrainState(state.step + 1, params, opt_state)
    return state, {"loss": loss, "grad_norm": optax.tree.norm(grads)}


def fresh_step(
    state: TrainState,
    source: Source,
    scalers: Scalers,
    index: Int[Array, " batch"],
    config: Config,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """A training step on spectra observed for it, with noise from the seed, the step and their index."""
    key = jax.random.fold_in(stream(config, NOISE), state.step)
    batch = select(source.sample(key, index), source.label_names, config)
    return train_step(state, batch, index, scalers, config, axis)


def eval_step(
    params: Params, flux: Float[Array, "batch n_pix"], scalers: Scalers, config: Config
) -> Float[Array, "batch n_labels"]:
    """The labels, in their own units, that the network reads from noisy spectra."""
    out = SpecViT(config.model).apply({"params": params}, scalers.input.encode(flux))
    return cast(Array, scalers.label.decode(cast(Array, out)))


@partial(jax.jit, static_argnames="config")
def predict(
    params: Params, flux: Float[Array, "n n_pix"], scalers: Scalers, config: Config
) -> Float[Array, "n n_labels"]:
    """``eval_step`` in chunks, so that memory does not grow with the number of spectra."""
    return jax.lax.map(
        lambda one: eval_step(params, one[None], scalers, config)[0], flux, batch_size=min(256, len(flux))
    )


def select(batch: Batch, label_names: Sequence[str], config: Config) -> Batch:
    """The batch with only the labels the network reads, in its order.

    Raises:
        UsageError: the source lacks one of them.
    """
    missing = [name for name in config.model.label_names if name not in label_names]
    if missing:
        raise UsageError(
            f"model.label_names must be among {', '.join(label_names)}; got {', '.join(missing)}"
        )
    columns = [label_names.index(name) for name in config.model.label_names]
    return batch._replace(labels=batch.labels[:, np.array(columns)])
