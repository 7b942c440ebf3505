"""SpecViT: a spectrum cut into tokens, read by a pre-norm Transformer encoder, pooled, mapped to labels."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32
from jaxtyping import Array, Float, Int, Key, UInt16

from specvit_jax.network import position
from specvit_jax.network.input_layer import layer_cost, read_by
from specvit_jax.network.tokens import Tokens, linear_init, per_token
from specvit_jax.settings.config import ModelConfig

LAYER_NORM_EPS = 1e-12  # as in the HuggingFace ViT of the published network


class SpecViT(nn.Module):
    """The network: ``model.apply({"params": params}, x) -> out`` in scaled units; ``split`` reads it.

    With ``train=True`` dropout is on, from ``rngs={"dropout": key}``: the mask of a spectrum depends on that
    key and on its global ``index``, whatever batch or device it sits in.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch n_pix"],
        train: bool = False,
        index: Int[Array, " batch"] | None = None,
        wave: Float[Array | np.ndarray, " n_pix"] | None = None,
    ) -> Float[Array, "batch n_out"]:
        """The labels of standardised spectra, then (``predict_sigma``) the logs of their 1-sigma errors.

        Args:
            x: spectra as the input scaler hands them on.
            train: whether dropout is on.
            index: index of every spectrum in the whole batch; default: its place in ``x``.
            wave: wavelength of every pixel, vacuum Å, where they are not those of ``wave_range``. Only a
                network whose positions are wavelengths takes another sampling, with any number of pixels.
        """
        cfg = self.config
        check_input(cfg, x.shape[1], wave)
        dropped = train and max(cfg.dropout, cfg.attention_dropout) > 0
        keys = spectrum_keys(self, x.shape[0], index) if dropped else None
        x = Tokens(cfg, name="tokens")(read_by(cfg, x), wave)
        x = dropout(x, cfg.dropout, keys, cfg.depth)
        for i in range(cfg.depth):
            x = Block(cfg, name=f"block_{i}")(x, fold(keys, i))
        x = norm("norm")(x)
        if cfg.pool == "cls":
            x = x[:, 0]
        elif cfg.pool == "mean":
            x = jnp.mean(x, axis=1)
        elif cfg.pool == "attention":
            x = attention_pool(x, self.param("query", nn.initializers.zeros_init(), (cfg.embed_dim,)))
        elif cfg.pool == "flat":
            x = x.reshape(x.shape[0], -1)
        else:
            raise ValueError(f"pool must be cls, mean, attention or flat, found {cfg.pool!r}")
        return head(cfg)(x)


class Block(nn.Module):
    """Attention and a two-layer perceptron, each after a layer norm and added to what came in."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch n_tokens width"], keys: Key[Array, " batch"] | None
    ) -> Float[Array, "batch n_tokens width"]:
        """The tokens after the block; the residual stream is float32."""
        cfg = self.config

        def dense(x: Array, features: int, name: str) -> Array:
            layer = nn.Dense(features, dtype=cfg.dtype, kernel_init=linear_init(cfg), name=name)
            return per_token(layer, x)

        y = norm("norm_attention")(x)
        query, key, value = (dense(y, cfg.embed_dim, name) for name in ("query", "key", "value"))
        if cfg.pos_embed == "rotary":
            query, key = (position.rotate(t, cfg.num_heads, cfg.rotary_base) for t in (query, key))
        self.sow("intermediates", "query_key", (query, key))  # kept where a caller asks for it, else nothing
        y = attention(query, key, value, cfg.num_heads, cfg.attention_dropout, fold(keys, 0))
        x = x + dropout(dense(y, cfg.embed_dim, "out"), cfg.dropout, keys, 1)
        y = norm("norm_mlp")(x)
        y = gelu(dense(y, int(cfg.mlp_ratio * cfg.embed_dim), "up"), cfg.gelu)
        return x + dropout(dense(y, cfg.embed_dim, "down"), cfg.dropout, keys, 2)


def split(
    out: Float[Array, "batch n_out"], n_labels: int
) -> tuple[Float[Array, "batch n_labels"], Float[Array, "batch n_labels"] | None]:
    """The network's output as labels and the logs of their 1-sigma errors (None: not predicted), scaled.

    Raises:
        ValueError: another number of outputs.
    """
    if out.shape[1] == n_labels:
        return out, None
    if out.shape[1] == 2 * n_labels:
        return out[:, :n_labels], out[:, n_labels:]
    raise ValueError(f"{n_labels} labels need {n_labels} or {2 * n_labels} outputs, found shape {out.shape}")


def check_input(cfg: ModelConfig, n_pix: int, wave: Float[Array | np.ndarray, " n_wave"] | None) -> None:
    """Refuses spectra that the network cannot read.

    Raises:
        ValueError: another number of pixels than it was made for, or wavelengths it has no use for.
    """
    if wave is None:
        if n_pix != cfg.input_size:
            raise ValueError(f"x must have input_size = {cfg.input_size} pixels, found {n_pix}")
    elif cfg.pos_embed != "wavelength" or (n_pix != cfg.input_size and not any_size(cfg)):
        raise ValueError(
            "wave is read with pos_embed wavelength, and for another number of pixels with pool cls, mean or "
            f"attention and input_layer none; found {cfg.pos_embed}, {cfg.pool} and {cfg.input_layer}"
        )
    elif not cfg.patch_size <= n_pix == len(wave):
        raise ValueError(
            f"x and wave must have the same pixels, at least patch_size = {cfg.patch_size}, "
            f"found {n_pix} and {len(wave)}"
        )


def any_size(cfg: ModelConfig) -> bool:
    """Whether no layer is tied to the number of pixels."""
    return cfg.pool != "flat" and cfg.input_layer == "none"


def attention_pool(
    x: Float[Array, "batch n_tokens width"], query: Float[Array, " width"]
) -> Float[Array, "batch width"]:
    """The tokens' mean, weighted by softmax(x query / sqrt(width)), in float32."""
    weights = jax.nn.softmax(x.astype(jnp.float32) @ query * query.size**-0.5, axis=1)
    return jnp.sum(weights[:, :, None] * x, axis=1)


def attention(
    query: Float[Array, "batch n_tokens width"],
    key: Float[Array, "batch n_tokens width"],
    value: Float[Array, "batch n_tokens width"],
    num_heads: int,
    rate: float = 0.0,
    keys: Key[Array, " batch"] | None = None,
) -> Float[Array, "batch n_tokens width"]:
    """softmax(q k^T / sqrt(d)) v in every head, the softmax in float32.

    On a CPU head by head, elsewhere as the library has it; chosen when a program is compiled, for the device
    that it is compiled for. With dropout of the weights, which the library has not, head by head everywhere.
    """
    if keys is not None and rate > 0.0:
        return head_by_head(query, key, value, num_heads, rate, keys)
    one_by_one, at_once = (partial(form, num_heads=num_heads) for form in (head_by_head, all_heads))
    out: Array = jax.lax.platform_dependent(query, key, value, cpu=one_by_one, default=at_once)
    return out


def head_by_head(
    query: Float[Array, "batch n_tokens width"],
    key: Float[Array, "batch n_tokens width"],
    value: Float[Array, "batch n_tokens width"],
    num_heads: int,
    rate: float = 0.0,
    keys: Key[Array, " batch"] | None = None,
) -> Float[Array, "batch n_tokens width"]:
    """Attention with the heads written out one after the other.

    On two CPU cores that takes 0.4 of the time of `all_heads` for 257 tokens and 8 heads of 32 (half with the
    gradient), 0.6 for 64 tokens and 4 heads of 16.
    """
    size = query.shape[-1] // num_heads
    out = []
    for i in range(num_heads):
        part = slice(i * size, (i + 1) * size)
        v = value[..., part]
        weights = head_weights(query[..., part], key[..., part]).astype(v.dtype)
        out.append(dropout(weights, rate, keys, i) @ v)
    return jnp.concatenate(out, axis=-1)


def all_heads(
    query: Float[Array, "batch n_tokens width"],
    key: Float[Array, "batch n_tokens width"],
    value: Float[Array, "batch n_tokens width"],
    num_heads: int,
) -> Float[Array, "batch n_tokens width"]:
    """Attention of all heads at once, by the implementation that jax chooses."""
    heads = (t.reshape(*t.shape[:2], num_heads, -1) for t in (query, key, value))
    return jax.nn.dot_product_attention(*heads).reshape(query.shape)


def head_weights(
    query: Float[Array, "batch n_tokens size"], key: Float[Array, "batch n_tokens size"]
) -> Float[Array, "batch n_tokens n_tokens"]:
    """softmax(q k^T / sqrt(size)) of one head in float32: how much every token (row) reads of every other."""
    scores = (query * query.shape[-1] ** -0.5) @ key.swapaxes(1, 2)
    return jax.nn.softmax(scores.astype(jnp.float32), axis=-1)


def gelu(x: Float[Array, "..."], form: str) -> Float[Array, "..."]:
    """The activation GELU, x Phi(x), by the error function or by its tanh approximation."""
    if form == "exact":
        return jax.nn.gelu(x, approximate=False)
    if form == "tanh":
        return jax.nn.gelu(x, approximate=True)
    raise ValueError(f"gelu must be exact or tanh, found {form!r}")


def dropout(
    x: Float[Array, "batch ..."], rate: float, keys: Key[Array, " batch"] | None, site: int
) -> Float[Array, "batch ..."]:
    """The input with entries zeroed with probability ``rate`` and the others raised; unchanged without keys.

    The rate is rounded to a multiple of 2^-16.
    """
    if keys is None or rate == 0.0:
        return x
    dropped = round(rate * 2**16)
    count = math.prod(x.shape[1:])
    bits = jax.vmap(lambda key: random_bits(key, count))(fold(keys, site)).reshape(x.shape)
    return jnp.where(bits >= dropped, x * (2**16 / (2**16 - dropped)), jnp.zeros_like(x))


def random_bits(key: Key[Array, ""], count: int) -> UInt16[Array, " {count}"]:
    """Random integers of 16 bits, four from every threefry hash.

    ``jax.random`` takes a hash for each: five times as long on a CPU, a tenth of a training step.
    """
    words = threefry_2x32(jax.random.key_data(key), jnp.arange(-(-count // 2), dtype=jnp.uint32))
    return jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:count]


def fold(keys: Key[Array, " batch"] | None, site: int) -> Key[Array, " batch"] | None:
    """Every spectrum's key at another place in the network."""
    return None if keys is None else jax.vmap(lambda key: jax.random.fold_in(key, site))(keys)


def spectrum_keys(module: nn.Module, n: int, index: Int[Array, " batch"] | None) -> Key[Array, " batch"]:
    """The dropout key of every spectrum of a batch, from its index; default: its place."""
    index = jnp.arange(n) if index is None else index
    return jax.vmap(jax.random.fold_in, (None, 0))(module.make_rng("dropout"), index)


def head(cfg: ModelConfig) -> nn.Dense:
    """The last layer, in float32: one output for each label, two with ``predict_sigma``."""
    n_out = len(cfg.label_names) * (1 + cfg.predict_sigma)
    return nn.Dense(n_out, dtype=jnp.float32, kernel_init=linear_init(cfg), name="head")


def norm(name: str) -> nn.LayerNorm:
    """Layer norm over the width, in float32."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPS, dtype=jnp.float32, use_fast_variance=False, name=name)


def cost(cfg: ModelConfig) -> dict[str, int]:
    """Cost of the network per spectrum, counted from its shapes.

    Returns:
        ``tokens``; ``forward_flops`` and ``train_flops`` (2 per multiply-add of the matrix products, training
        3 x forward); ``activation_bytes`` kept for the gradient (float32: per block 9 arrays of the width, 2
        of the perceptron, 2 of attention weights).
    """
    n, width, hidden = cfg.num_tokens, cfg.embed_dim, int(cfg.mlp_ratio * cfg.embed_dim)
    block = n * (4 * width**2 + 2 * width * hidden) + 2 * n**2 * width
    head = width * (n if cfg.pool == "flat" else 1) * len(cfg.label_names) * (1 + cfg.predict_sigma)
    pool = 2 * n * width if cfg.pool == "attention" else 0
    first, first_kept = layer_cost(cfg)
    forward = 2 * (first + cfg.num_patches * cfg.patch_size * width + cfg.depth * block + pool + head)
    kept = first_kept + cfg.depth * (n * (9 * width + 2 * hidden) + 2 * cfg.num_heads * n**2)
    return {
        "tokens": n,
        "forward_flops": forward,
        "train_flops": 3 * forward,
        "activation_bytes": 4 * (kept + 2 * n * width + cfg.input_size),
    }
