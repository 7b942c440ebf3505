"""One network that learns from several instruments in turn, told the wavelengths of each.

Told or not, a network that has seen every instrument on one cut into tokens need not read another cut
(`experiments.position`). `moved` therefore begins the tokens of every step at a pixel drawn from the first
window, so that a token's lines stand anywhere in it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.errors import NumericalError
from experiments.study.stars import Stars
from specvit_jax import Config, Simulator
from specvit_jax.network.inference import Params, Scalers, decoded, targets
from specvit_jax.network.networks import make_network
from specvit_jax.training.step import NOISE, TrainState, loss_of, make_state, select, stream, update

PIECE = 250  # spectra read at a time
EVERY = 50  # steps between two looks at the loss


class Seen(NamedTuple):
    """An instrument as a network sees it: what makes its spectra, its scalers, its pixels (vacuum Å)."""

    name: str
    simulator: Simulator
    scalers: Scalers
    wave: Float[np.ndarray, " n_pix"]
    stars: Stars  # of the test


def learn(config: Config, instruments: Sequence[Seen], moved: bool, advance: Callable[[int], None]) -> Params:
    """The weights of a network after `config.train.steps` steps, each on fresh spectra of one instrument.

    Args:
        config: of the network and its training.
        instruments: that take turns, step by step.
        moved: whether every step begins its tokens at another pixel.
        advance: called with the number of steps just done.

    Raises:
        NumericalError: the loss is not finite.
    """
    state = make_state(config)
    for done in range(config.train.steps):
        one = instruments[done % len(instruments)]
        wave = jnp.asarray(one.wave, jnp.float32)
        state, loss = step(state, one.simulator, one.scalers, wave, config, moved)
        if (done + 1) % EVERY == 0 or done + 1 == config.train.steps:
            if not np.isfinite(float(loss)):
                raise NumericalError(f"the loss must be finite, found {loss} at step {done + 1}, {one.name}")
            advance(done % EVERY + 1)
    return state.params


@partial(jax.jit, static_argnames=("config", "moved"))
def step(
    state: TrainState,
    simulator: Simulator,
    scalers: Scalers,
    wave: Float[Array, " n_pix"],
    config: Config,
    moved: bool = False,
) -> tuple[TrainState, Float[Array, ""]]:
    """The state after a step on spectra drawn for it, and the loss before it (scaled units).

    Args:
        state: the state before.
        simulator: of the instrument.
        scalers: of its spectra.
        wave: its pixels, vacuum Å.
        config: of the network and its training; static.
        moved: whether the tokens begin at a pixel drawn for the step; static.
    """
    key = jax.random.fold_in(stream(config, NOISE), state.step)
    drawn = simulator.sample(key, jnp.arange(config.train.batch_size))
    batch = select(drawn, simulator.label_names, config)
    x, target = (
        jnp.asarray(scalers.input.encode(batch.flux)),
        targets(batch.labels, scalers.label, config.model),
    )
    if moved:
        x, wave = cut(jax.random.fold_in(key, config.train.batch_size), x, wave, config.model.patch_size)
    loss, gradient = jax.value_and_grad(mean_loss)(state.params, x, target, wave, config)
    state, row = update(state, loss, gradient, config)
    return state, row["loss"]


def cut(
    key: Key[Array, ""], x: Float[Array, "n n_pix"], wave: Float[Array, " n_pix"], window: int
) -> tuple[Float[Array, "n n_cut"], Float[Array, " n_cut"]]:
    """Spectra and wavelengths without their first 0 to `window` - 1 pixels, at random; all of one length."""
    first, size = jax.random.randint(key, (), 0, window), len(wave) - window + 1
    return jax.lax.dynamic_slice_in_dim(x, first, size, 1), jax.lax.dynamic_slice_in_dim(wave, first, size)


def mean_loss(
    params: Params,
    x: Float[Array, "n n_pix"],
    target: Float[Array, "n n_labels"],
    wave: Float[Array, " n_pix"],
    config: Config,
) -> Float[Array, ""]:
    """The mean loss of scaled spectra on pixels of these wavelengths (vacuum Å) against scaled labels."""
    return jnp.mean(loss_of(forward(params, x, wave, config), target, config.train))


def forward(
    params: Params, x: Float[Array, "n n_pix"], wave: Float[Array, " n_pix"], config: Config
) -> Float[Array, "n n_out"]:
    """What the network makes of scaled spectra on pixels of these wavelengths (vacuum Å)."""
    return cast(Array, make_network(config.model).apply({"params": params}, x, wave=wave))


def read(
    params: Params, seen: Seen, flux: Float[np.ndarray, "n n_pix"], config: Config
) -> Float[np.ndarray, "n n_labels"]:
    """Labels, in their units, that a network reads from spectra of an instrument."""
    wave, pieces = jnp.asarray(seen.wave, jnp.float32), []
    for start in range(0, len(flux), PIECE):
        rows = np.minimum(np.arange(start, start + PIECE), len(flux) - 1)  # filled up: one program for all
        piece = _labels(params, jnp.asarray(flux[rows], jnp.float32), seen.scalers, wave, config)
        pieces.append(np.asarray(piece)[: len(flux) - start])
    return np.concatenate(pieces).astype(np.float64)


@partial(jax.jit, static_argnames="config")
def _labels(params: Params, flux: Array, scalers: Scalers, wave: Array, config: Config) -> Array:
    out = forward(params, jnp.asarray(scalers.input.encode(flux)), wave, config)
    return decoded(out, scalers.label, config.model)[0]
