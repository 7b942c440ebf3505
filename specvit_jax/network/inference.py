"""Prediction with a network: labels and their 1-sigma errors from noisy spectra, in the labels' units."""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from specvit_jax.network.model import split
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.settings.config import Config

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
    """The labels that the network reads from noisy spectra and their 1-sigma errors, in the labels' units.

    `usable` is 0 for lost pixels, whose flux is not read; None: none is lost.
    """
    x = scalers.input.encode(flux, usable)
    out = cast(Array, make_network(config.model).apply({"params": params}, x))
    labels, log_sigma = split(out, len(config.model.label_names))
    sigma = None if log_sigma is None else jnp.exp(log_sigma) * scalers.label.scale[None, :]
    return jnp.asarray(scalers.label.decode(labels)), sigma


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
    """The labels that the network predicts from noisy spectra, in their own units."""
    labels: Array = predict_with_sigma(params, flux, scalers, config, usable)[0]
    return labels
