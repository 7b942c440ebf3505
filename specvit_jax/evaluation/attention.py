"""Where a trained network looks: its attention weights, their rollout, and the gradient of a label.

Attention is taken from the network as it runs (float32 softmax, no dropout). Rollout follows what reaches the
last block: attention averaged over heads, half of each token passed on by the residual (Abnar & Zuidema 2020,
ACL, eq. 1), multiplied over the blocks.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import UsageError
from crlb.suggest import meant
from specvit_jax.network.inference import Scalers, eval_step, told
from specvit_jax.network.model import SpecViT, head_weights
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import Config, ModelConfig


def attention_weights(
    weights: Weights, flux: Float[np.ndarray, "n n_pix"]
) -> Float[np.ndarray, "n depth num_heads n_tokens n_tokens"]:
    """How much every token (row) reads of every other, in every block and head; rows add up to one.

    Args:
        weights: a trained SpecViT.
        flux: noisy spectra as observed.

    Raises:
        UsageError: the network has no attention.
    """
    _check_vit(weights.config.model)
    return np.asarray(
        _attention(weights.params, jnp.asarray(flux, jnp.float32), weights.input_scaler, weights.config)
    )


@partial(jax.jit, static_argnames="config")
def _attention(params: Any, flux: Array, scaler: Any, config: Config) -> Array:
    cfg = config.model
    x = scaler.encode(flux)
    _, kept = SpecViT(cfg).apply({"params": params}, x, mutable="intermediates", **told(config))
    blocks = []
    for i in range(cfg.depth):
        query, key = cast(Any, kept)["intermediates"][f"block_{i}"]["query_key"][0]
        q, k = (jnp.split(part, cfg.num_heads, axis=-1) for part in (query, key))
        blocks.append(jnp.stack([head_weights(*pair) for pair in zip(q, k, strict=True)], axis=1))
    return jnp.stack(blocks, axis=1)


def rollout(
    attention: Float[np.ndarray, "n depth num_heads n_tokens n_tokens"], cfg: ModelConfig
) -> Float[np.ndarray, "n n_patches"]:
    """Share of every patch in what the pooled tokens have read; adds up to one for each spectrum.

    The class token's row where it is pooled, else the mean of all rows; without the class token's own column.
    """
    _check_vit(cfg)
    n_tokens = attention.shape[-1]
    total = np.eye(n_tokens)[None]
    for block in range(attention.shape[1]):
        total = 0.5 * (attention[:, block].mean(axis=1) + np.eye(n_tokens)[None]) @ total
    first = int(cfg.pool == "cls")
    share = (total[:, 0] if first else total.mean(axis=1))[:, first:]
    found: Float[np.ndarray, "n n_patches"] = share / share.sum(axis=1, keepdims=True)
    return found


def input_gradient(
    weights: Weights, flux: Float[np.ndarray, "n n_pix"], label: str
) -> Float[np.ndarray, "n n_pix"]:
    """d label / d flux of each spectrum, in the label's unit per unit of flux, through scalers and network.

    Raises:
        UsageError: the network does not read that label; one that tells two classes apart says a probability
            instead (P_log_g_above_2.5, say).
    """
    names = weights.config.model.output_names
    if label not in names:
        raise UsageError(f"label must be one of {', '.join(names)}, found {label}{meant(label, names)}")
    scalers = Scalers(weights.label_scaler, weights.input_scaler)
    return np.asarray(
        _gradient(weights.params, jnp.asarray(flux, jnp.float32), scalers, weights.config, names.index(label))
    )


@partial(jax.jit, static_argnames=("config", "column"))
def _gradient(params: Any, flux: Array, scalers: Scalers, config: Config, column: int) -> Array:
    found: Array = jax.grad(lambda flux: eval_step(params, flux, scalers, config)[0][:, column].sum())(flux)
    return found


def token_wave(cfg: ModelConfig, wave: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, "n_patches 2"]:
    """First and last pixel of every patch, vacuum Å.

    Raises:
        UsageError: the network does not read pixels.
    """
    if len(wave) != cfg.input_size:
        raise UsageError(
            f"wave must have the {cfg.input_size} inputs of the network, found {len(wave)} pixels"
        )
    first = cfg.patch_stride * np.arange(cfg.num_patches)
    return np.stack([np.asarray(wave)[first], np.asarray(wave)[first + cfg.patch_size - 1]], axis=1)


def _check_vit(cfg: ModelConfig) -> None:
    if cfg.network != "vit":
        raise UsageError(f"attention belongs to model.network vit, found {cfg.network}")
