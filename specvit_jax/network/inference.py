"""Prediction with a network: labels and their 1-sigma errors from noisy spectra, in the labels' units.

What an output stands for is said here and nowhere else: `targets` for the training, `decoded` for all that
reads a network. Where the network divides two classes (`model.threshold`), its one output is the log-odds
that the label lies above the threshold, and what is predicted is that probability.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from specvit_jax.network.model import split
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.settings.config import Config, ModelConfig
from specvit_jax.settings.pixels import token_wave

Params = dict[str, Any]
CHUNK = 256  # spectra predicted at once


class Scalers(NamedTuple):
    """The scalings between physical units and the network; stored with its weights."""

    label: LabelScaler
    input: InputScaler


def eval_step(
    params: Params,
    flux: Float[Array, "batch n_pix"],
    scalers: Scalers,
    config: Config,
    usable: Float[Array, "batch n_pix"] | None = None,
) -> tuple[Float[Array, "batch n_labels"], Float[Array, "batch n_labels"] | None]:
    """What the network reads from noisy spectra: labels and their 1-sigma errors, as `decoded` gives them.

    `usable` is 0 for lost pixels, whose flux is not read; None: none is lost.
    """
    x = scalers.input.encode(flux, usable)
    out = cast(Array, make_network(config.model).apply({"params": params}, x, **told(config)))
    return decoded(out, scalers.label, config.model)


def told(config: Config) -> dict[str, Any]:
    """What a network is told beside its spectra: wavelengths (`wave`, vacuum Å), where it reads them."""
    wave = token_wave(config)
    return {} if wave is None else {"wave": wave}


def targets(
    labels: Float[Array | np.ndarray, "n n_labels"], scaler: LabelScaler, model: ModelConfig
) -> Float[Array, "n n_labels"]:
    """What outputs are compared with: scaled labels; with a threshold 1 where a label is above it, else 0."""
    if model.threshold is not None:
        return jnp.asarray(jnp.asarray(labels) > model.threshold, jnp.float32)
    return jnp.asarray(scaler.encode(labels))


def decoded(
    out: Float[Array, "n n_out"], scaler: LabelScaler, model: ModelConfig
) -> tuple[Float[Array, "n n_labels"], Float[Array, "n n_labels"] | None]:
    """Outputs as labels and their 1-sigma errors, in the labels' units.

    With a threshold: as the probability that the label lies above it, 1/(1 + exp(-out)), and no error.
    """
    labels, log_sigma = split(out, len(model.label_names))
    if model.threshold is not None:
        return jax.nn.sigmoid(labels), None
    sigma = None if log_sigma is None else jnp.exp(log_sigma) * scaler.scale[None, :]
    return jnp.asarray(scaler.decode(labels)), sigma


@partial(jax.jit, static_argnames="config")
def predict_with_sigma(
    params: Params,
    flux: Float[Array, "n n_pix"],
    scalers: Scalers,
    config: Config,
    usable: Float[Array, "n n_pix"] | None = None,
) -> tuple[Float[Array, "n n_labels"], Float[Array, "n n_labels"] | None]:
    """The labels and 1-sigma errors of ``eval_step``, in chunks: memory does not grow with their number."""

    def one(seen: tuple[Float[Array, " n_pix"], Float[Array, " n_pix"] | None]) -> Any:
        flux, usable = jax.tree.map(lambda leaf: leaf[None], seen)
        return jax.tree.map(lambda leaf: leaf[0], eval_step(params, flux, scalers, config, usable))

    labels, sigma = jax.lax.map(one, (flux, usable), batch_size=min(CHUNK, len(flux)))
    return labels, sigma


def predict(
    params: Params,
    flux: Float[Array, "n n_pix"],
    scalers: Scalers,
    config: Config,
    usable: Float[Array, "n n_pix"] | None = None,
) -> Float[Array, "n n_labels"]:
    """The labels that the network predicts from noisy spectra, in their own units; or their probability."""
    labels: Array = predict_with_sigma(params, flux, scalers, config, usable)[0]
    return labels
