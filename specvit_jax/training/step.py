"""The pure part of training: the state, the loss, one step. ``loop.py`` runs it."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from crlb.errors import UsageError
from specvit_jax.network.inference import Params, Scalers, targets, told
from specvit_jax.network.model import split
from specvit_jax.network.networks import make_network
from specvit_jax.settings.config import Config, TrainConfig
from specvit_jax.spectra.feed import Source, TrainBatch
from specvit_jax.spectra.source import Batch, Observer
from specvit_jax.training import parallel
from specvit_jax.training.freeze import held
from specvit_jax.training.optimizer import learning_rate, optimizer
from specvit_jax.training.teacher import Lesson, Teacher

Tree = TypeVar("Tree")
Mean = TypeVar("Mean")

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# What a random number is for; every use has its own stream under the run's seed.
PARAMS, NOISE, DROPOUT = range(3)


class TrainState(NamedTuple):
    """All that training changes. ``step``, the number of steps done, is the only clock."""

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    ema: Params | None  # running average of the weights, where the config asks for one
    rate: Float[Array, ""]  # factor on the learning rate, lowered where validation stands still

    @property
    def scored(self) -> Params:
        """The weights that are scored and kept: their average, or themselves."""
        return self.params if self.ema is None else self.ema


@partial(jax.jit, static_argnames="config")
def make_state(config: Config, params: Params | None = None) -> TrainState:
    """The state before the first step: of given weights, else a function of the config and its seed alone."""
    params = random_params(config) if params is None else params
    average = jax.tree.map(jnp.copy, params) if config.train.ema else None
    return TrainState(jnp.int32(0), params, optimizer(config.train).init(params), average, jnp.float32(1))


@partial(jax.jit, static_argnames="config")
def random_params(config: Config) -> Params:
    """Weights at random, from the seed of the config."""
    key, pixels = stream(config, PARAMS), jnp.zeros((1, config.model.input_size))
    params: Params = make_network(config.model).init(key, pixels)["params"]
    return params


def stream(config: Config, use: int) -> Key[Array, ""]:
    """The run's key for one use of random numbers."""
    return jax.random.fold_in(jax.random.key(config.train.seed), use)


def loss_of(
    out: Float[Array, "batch n_out"], target: Float[Array, "batch n_labels"], config: TrainConfig
) -> Float[Array, "batch n_labels"]:
    """The loss of each label of each spectrum, from the output and what it is compared with (`targets`)."""
    labels, log_sigma = split(out, target.shape[1])
    error = labels - target
    if config.loss == "l1":
        return jnp.abs(error)
    if config.loss == "mse":
        return error**2
    if config.loss == "huber":
        loss: Array = optax.losses.huber_loss(error, delta=config.huber_delta)
        return loss
    if config.loss == "cross_entropy":
        entropy: Array = optax.losses.sigmoid_binary_cross_entropy(labels, target)
        return entropy
    if config.loss == "nll" and log_sigma is not None:
        return _nll(error, log_sigma)
    if config.loss == "mse_nll" and log_sigma is not None:
        return error**2 + _nll(jax.lax.stop_gradient(error), log_sigma)
    raise ValueError(
        "loss must be l1, mse, huber, cross_entropy, or nll or mse_nll with a predicted sigma, found "
        f"{config.loss!r}"
    )


def taught_loss(
    out: Float[Array, "batch n_out"],
    target: Float[Array, "batch n_labels"],
    target_log_sigma: Float[Array, "batch n_labels"] | None,
    config: TrainConfig,
) -> Float[Array, "batch n_labels"]:
    """The loss against what a teacher says, zero where the network says the same.

    With sigma: for ``nll`` the relative entropy of both Gaussians, for ``mse_nll`` the squared differences of
    mean and log sigma. Without: that of the config.
    """
    labels, log_sigma = split(out, target.shape[1])
    if log_sigma is None or target_log_sigma is None:
        return loss_of(out, target, config)
    wider = log_sigma - target_log_sigma
    if config.loss == "mse_nll":
        return (labels - target) ** 2 + wider**2
    distance = (labels - target) * jnp.exp(-log_sigma)
    return wider + 0.5 * (jnp.exp(-2 * wider) + distance**2 - 1)


def _nll(
    error: Float[Array, "batch n_labels"], log_sigma: Float[Array, "batch n_labels"]
) -> Float[Array, "batch n_labels"]:
    return log_sigma + 0.5 * (error * jnp.exp(-log_sigma)) ** 2 + HALF_LOG_2PI


def loss_and_gradient(
    state: TrainState,
    batch: Batch,
    index: Int[Array, " batch"],
    scalers: Scalers,
    config: Config,
    teacher: Teacher | None = None,
) -> tuple[Float[Array, ""], Params]:
    """The mean loss (scaled units; nats) of noisy spectra, with dropout by their index, and its gradient.

    Args:
        state: the state before the step.
        batch: noisy spectra and their labels, those of ``config.model.label_names`` in that order.
        index: index of each spectrum in the whole batch.
        scalers: scalings of labels and input.
        config: config of the run; static.
        teacher: whose predictions are the target; None: the labels are.
    """
    model, wave = make_network(config.model), told(config)
    key = jax.random.fold_in(stream(config, DROPOUT), state.step)
    x = scalers.input.encode(batch.flux, batch.usable)
    if teacher is None:
        target = targets(batch.labels, scalers.label, config.model)
        loss = partial(loss_of, target=target, config=config.train)
    else:
        target, log_sigma = teacher.target(batch, scalers.label)
        loss = partial(taught_loss, target=target, target_log_sigma=log_sigma, config=config.train)

    def mean_loss(params: Params) -> Float[Array, ""]:
        out = model.apply({"params": params}, x, train=True, index=index, rngs={"dropout": key}, **wave)
        return jnp.mean(loss(cast(Array, out)))

    return jax.value_and_grad(mean_loss)(state.params)


def update(
    state: TrainState, loss: Float[Array, ""], grads: Params, config: Config, axis: str | None = None
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """The state after a step with this gradient (float32), and the step's metrics.

    Args:
        state: the state before.
        loss: mean loss over this device's share.
        grads: gradient of the loss.
        config: config of the run; static.
        axis: device axis to average over, when inside one.

    Returns:
        The new state; ``loss`` (scaled units), ``grad_norm`` of what is trained, before clipping, and
        ``learning_rate``.
    """
    loss, grads = parallel.average((loss, grads), axis)
    hold = partial(held, config.train, state.step)  # the input layer, while it is frozen
    grads = hold(grads, jax.tree.map(jnp.zeros_like, grads))
    updates, opt_state = optimizer(config.train).update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda update: state.rate * update, updates)
    params = hold(optax.apply_updates(state.params, updates), state.params)
    ema = state.ema
    if ema is not None:
        ema = hold(optax.incremental_update(params, ema, 1 - config.train.ema), params)
    rate = state.rate * jnp.asarray(learning_rate(config.train)(state.step), jnp.float32)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), "learning_rate": rate}
    return TrainState(state.step + 1, params, opt_state, ema, state.rate), metrics


def train_step(
    state: TrainState,
    batch: Batch,
    index: Int[Array, " batch"],
    scalers: Scalers,
    config: Config,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """A step on a batch of noisy spectra; arguments as ``loss_and_gradient`` and ``update``."""
    loss, grads = accumulated(
        lambda part: loss_and_gradient(state, *part, scalers, config), (batch, index), config.train.accumulate
    )
    return update(state, loss, grads, config, axis)


def fresh_step(
    state: TrainState,
    source: Source | Observer | Lesson,
    scalers: Scalers,
    batch: TrainBatch,
    config: Config,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
    """A step on spectra observed for it, with noise from the seed, the step and their index.

    Args:
        state: the state before.
        source: source of the spectra, as a feed shares it; or one with a teacher.
        scalers: scalings of labels and input.
        batch: what the feed gives: indices, and rows where the source is not on the device.
        config: config of the run; static.
        axis: device axis to average over, when inside one.
    """
    key = jax.random.fold_in(stream(config, NOISE), state.step)
    spectra, teacher = (source.source, source.teacher) if isinstance(source, Lesson) else (source, None)

    def observed(part: TrainBatch) -> tuple[Float[Array, ""], Params]:
        seen = select(part.sample(key, spectra), spectra.label_names, config)
        return loss_and_gradient(state, seen, jnp.asarray(part.index), scalers, config, teacher)

    loss, grads = accumulated(observed, batch, config.train.accumulate)
    return update(state, loss, grads, config, axis)


def accumulated(call: Callable[[Tree], Mean], batch: Tree, pieces: int) -> Mean:
    """The mean of ``call`` over so many pieces of a batch, taken one after the other.

    Piece k holds the spectra k, k + pieces, ...: a batch that is spread over devices stays spread.
    """
    if pieces == 1:
        return call(batch)
    parts = jax.tree.map(lambda leaf: leaf.reshape(-1, pieces, *leaf.shape[1:]).swapaxes(0, 1), batch)
    shapes = jax.eval_shape(call, jax.tree.map(lambda leaf: leaf[0], parts))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(lambda sums, part: (jax.tree.map(jnp.add, sums, call(part)), None), zeros, parts)
    mean: Mean = jax.tree.map(lambda leaf: leaf / pieces, total)
    return mean


def select(batch: Batch, label_names: Sequence[str], config: Config) -> Batch:
    """The batch with only the labels the network reads, in its order.

    Raises:
        UsageError: the source lacks one of them.
    """
    missing = [name for name in config.model.label_names if name not in label_names]
    if missing:
        raise UsageError(
            f"model.label_names must be among {', '.join(label_names)}; found {', '.join(missing)}"
        )
    columns = [label_names.index(name) for name in config.model.label_names]
    return batch._replace(labels=batch.labels[:, np.array(columns)])
