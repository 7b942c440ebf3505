"""SpecViT: a spectrum cut into tokens, read by a pre-norm Transformer encoder, pooled, mapped to labels."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from specvit_jax.config import ModelConfig

LAYER_NORM_EPS = 1e-12  # as in the HuggingFace ViT of the published network
KERNEL_STD = 0.02  # published start of every linear map but the convolution

Init = Callable[..., Array]


class SpecViT(nn.Module):
    """The network: ``model.apply({"params": params}, x) -> labels`` in scaled units.

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
    ) -> Float[Array, "batch n_labels"]:
        """The labels of standardised spectra."""
        cfg = self.config
        if x.shape[1] != cfg.input_size:
            raise ValueError(f"x must have input_size = {cfg.input_size} pixels, got shape {x.shape}")
        keys = None
        if train and max(cfg.dropout, cfg.attention_dropout) > 0:
            index = jnp.arange(x.shape[0]) if index is None else index
            keys = jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng("dropout"), index)
        x = Tokens(cfg, name="tokens")(x)
        x = dropout(x, cfg.dropout, keys, cfg.depth)
        for i in range(cfg.depth):
            x = Block(cfg, name=f"block_{i}")(x, fold(keys, i))
        x = norm("norm")(x)
        if cfg.pool == "cls":
            x = x[:, 0]
        elif cfg.pool == "mean":
            x = jnp.mean(x, axis=1)
        elif cfg.pool == "flat":
            x = x.reshape(x.shape[0], -1)
        else:
            raise ValueError(f"pool must be cls, mean or flat, got {cfg.pool!r}")
        return nn.Dense(len(cfg.label_names), kernel_init=linear_init(cfg), name="head")(x)


class Tokens(nn.Module):
    """A linear map of every window of pixels, with class token and position.

    ``conv`` and ``linear`` are the same map (a strided convolution is one); their published starts differ.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch n_pix"]) -> Float[Array, "batch n_tokens width"]:
        """The tokens of standardised spectra."""
        cfg = self.config
        if cfg.tokenizer == "conv" and cfg.init == "published":
            kernel_init = bias_init = symmetric_uniform(cfg.patch_size**-0.5)
        elif cfg.tokenizer in ("conv", "linear"):
            kernel_init, bias_init = linear_init(cfg), nn.initializers.zeros_init()
        else:
            raise ValueError(f"tokenizer must be conv or linear, got {cfg.tokenizer!r}")
        patches = windows(x, cfg.patch_size, cfg.step)
        layer = nn.Dense(
            cfg.embed_dim, dtype=cfg.dtype, kernel_init=kernel_init, bias_init=bias_init, name="patches"
        )
        x = per_token(layer, patches)
        start = nn.initializers.normal(cfg.token_std)
        if cfg.pool == "cls":
            cls = self.param("cls", start, (1, 1, cfg.embed_dim))
            x = jnp.concatenate([jnp.tile(cls.astype(x.dtype), (x.shape[0], 1, 1)), x], axis=1)
        if cfg.pos_embed == "learned":
            x = x + self.param("position", start, (1, cfg.num_tokens, cfg.embed_dim))
        elif cfg.pos_embed != "none":
            raise ValueError(f"pos_embed must be learned or none, got {cfg.pos_embed!r}")
        return x.astype(jnp.float32)


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
        y = attention(query, key, value, cfg.num_heads, cfg.attention_dropout, fold(keys, 0))
        x = x + dropout(dense(y, cfg.embed_dim, "out"), cfg.dropout, keys, 1)
        y = norm("norm_mlp")(x)
        y = gelu(dense(y, int(cfg.mlp_ratio * cfg.embed_dim), "up"), cfg.gelu)
        return x + dropout(dense(y, cfg.embed_dim, "down"), cfg.dropout, keys, 2)


def per_token(
    layer: nn.Dense, x: Float[Array, "batch n_tokens width"]
) -> Float[Array, "batch n_tokens features"]:
    """A linear map of every token as one product of two matrices: a quarter faster on a CPU."""
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:2], layer.features)


def windows(x: Float[Array, "batch n_pix"], size: int, step: int) -> Float[Array, "batch n_windows {size}"]:
    """Windows of ``size`` pixels, one every ``step``; pixels after the last whole window are left out."""
    count = (x.shape[1] - size) // step + 1
    if size == step:
        return x[:, : count * size].reshape(x.shape[0], count, size)
    start = step * jnp.arange(count)
    return x[:, start[:, None] + jnp.arange(size)[None, :]]


def attention(
    query: Float[Array, "batch n_tokens width"],
    key: Float[Array, "batch n_tokens width"],
    value: Float[Array, "batch n_tokens width"],
    num_heads: int,
    rate: float = 0.0,
    keys: Key[Array, " batch"] | None = None,
) -> Float[Array, "batch n_tokens width"]:
    """softmax(q k^T / sqrt(d)) v in every head, the softmax in float32.

    The heads are written out one after the other: on two CPU cores that takes a quarter of the time of one
    product batched over heads for 257 tokens and 8 heads of 32 (half with the gradient), 0.4 for 64 tokens.
    """
    size = query.shape[-1] // num_heads
    out = []
    for head in range(num_heads):
        part = slice(head * size, (head + 1) * size)
        q, k, v = query[..., part], key[..., part], value[..., part]
        scores = (q * size**-0.5) @ k.swapaxes(1, 2)
        weights = jax.nn.softmax(scores.astype(jnp.float32), axis=-1).astype(v.dtype)
        out.append(dropout(weights, rate, keys, head) @ v)
    return jnp.concatenate(out, axis=-1)


def gelu(x: Float[Array, "..."], form: str) -> Float[Array, "..."]:
    """x Phi(x), by the error function or by its tanh approximation."""
    if form == "exact":
        return jax.nn.gelu(x, approximate=False)
    if form == "tanh":
        return jax.nn.gelu(x, approximate=True)
    raise ValueError(f"gelu must be exact or tanh, got {form!r}")


def dropout(
    x: Float[Array, "batch ..."], rate: float, keys: Key[Array, " batch"] | None, site: int
) -> Float[Array, "batch ..."]:
    """x with entries set to zero with probability ``rate`` and the others raised; x itself without keys."""
    if keys is None or rate == 0.0:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate, x.shape[1:]))(fold(keys, site))
    return jnp.where(keep, x / (1.0 - rate), jnp.zeros_like(x))


def fold(keys: Key[Array, " batch"] | None, site: int) -> Key[Array, " batch"] | None:
    """Every spectrum's key at another place in the network."""
    return None if keys is None else jax.vmap(lambda key: jax.random.fold_in(key, site))(keys)


def norm(name: str) -> nn.LayerNorm:
    """Layer norm over the width, in float32."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPS, dtype=jnp.float32, use_fast_variance=False, name=name)


def linear_init(cfg: ModelConfig) -> Init:
    """The start of a linear map: normal(0.02) as published, or scaled to keep the variance (1/fan_in)."""
    if cfg.init == "published":
        return nn.initializers.normal(KERNEL_STD)
    if cfg.init == "scaled":
        return nn.initializers.lecun_normal()
    raise ValueError(f"init must be published or scaled, got {cfg.init!r}")


def symmetric_uniform(bound: float) -> Init:
    """Uniform in [-bound, bound]: PyTorch's start of a convolution, with bound = 1/sqrt(fan_in)."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def cost(cfg: ModelConfig) -> dict[str, int]:
    """What the network costs per spectrum, counted from its shapes.

    Returns:
        ``tokens``; ``forward_flops`` and ``train_flops`` (2 per multiply-add of the matrix products, training
        3 x forward); ``activation_bytes`` kept for the gradient (float32: per block 9 arrays of the width, 2
        of the perceptron, 2 of attention weights).
    """
    n, width, hidden = cfg.num_tokens, cfg.embed_dim, int(cfg.mlp_ratio * cfg.embed_dim)
    block = n * (4 * width**2 + 2 * width * hidden) + 2 * n**2 * width
    head = width * (n if cfg.pool == "flat" else 1) * len(cfg.label_names)
    forward = 2 * (cfg.num_patches * cfg.patch_size * width + cfg.depth * block + head)
    kept = cfg.depth * (n * (9 * width + 2 * hidden) + 2 * cfg.num_heads * n**2)
    return {
        "tokens": n,
        "forward_flops": forward,
        "train_flops": 3 * forward,
        "activation_bytes": 4 * (kept + 2 * n * width + cfg.input_size),
    }


def parameter_counts(cfg: ModelConfig) -> dict[str, int]:
    """Parameters of each part of the network, in its order; nothing is allocated."""
    x = jnp.zeros((1, cfg.input_size), jnp.float32)
    shapes = jax.eval_shape(SpecViT(cfg).init, jax.random.key(0), x)["params"]
    names = ["tokens", *(f"block_{i}" for i in range(cfg.depth)), "norm", "head"]
    counts: dict[str, int] = {}
    for name in names:
        parts = shapes[name] if name == "tokens" else {"": shapes[name]}
        for part, tree in parts.items():
            total = sum(leaf.size for leaf in jax.tree.leaves(tree))
            counts[f"{name}/{part}".rstrip("/")] = total
    return counts
