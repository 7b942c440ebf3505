"""Tokens: a spectrum cut into windows of pixels, each mapped to a vector that knows its place."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from specvit_jax.network import position
from specvit_jax.settings.config import ModelConfig

KERNEL_STD = 0.02  # published start of every linear map but the convolution
CHUNK_EPS = 1e-6  # added to the variance of a window, where scaled pixels have a variance of about 1

Init = Callable[..., Array]


class Tokens(nn.Module):
    """A linear map of every window of pixels, with class token and position.

    ``conv`` and ``linear`` are the same map (a strided convolution is one); their published starts differ.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch n_pix"], wave: Float[Array | np.ndarray, " n_pix"] | None = None
    ) -> Float[Array, "batch n_tokens width"]:
        """The tokens of standardised spectra, float32."""
        cfg = self.config
        if cfg.tokenizer == "conv" and cfg.init == "published":
            kernel_init = bias_init = symmetric_uniform(cfg.patch_size**-0.5)
        elif cfg.tokenizer in ("conv", "linear"):
            kernel_init, bias_init = linear_init(cfg), nn.initializers.zeros_init()
        else:
            raise ValueError(f"tokenizer must be conv or linear, found {cfg.tokenizer!r}")
        patches = windows(x, cfg.patch_size, cfg.patch_stride)
        patches = chunk_norm(patches) if cfg.chunk_norm else patches
        layer = nn.Dense(
            cfg.embed_dim, dtype=cfg.dtype, kernel_init=kernel_init, bias_init=bias_init, name="patches"
        )
        x = per_token(layer, patches).astype(jnp.float32)
        if cfg.pool == "cls":
            cls = self.param("cls", nn.initializers.normal(cfg.token_std), (1, 1, cfg.embed_dim))
            x = jnp.concatenate([jnp.tile(cls, (x.shape[0], 1, 1)), x], axis=1)
        return self.placed(x, wave)

    def placed(
        self, x: Float[Array, "batch n_tokens width"], wave: Float[Array | np.ndarray, " n_pix"] | None
    ) -> Float[Array, "batch n_tokens width"]:
        """The tokens with their positions; rotary positions come later, in every block's attention."""
        cfg = self.config
        if cfg.pos_embed == "learned":
            start = nn.initializers.normal(cfg.token_std)
            return x + self.param("position", start, (1, cfg.num_tokens, cfg.embed_dim))
        if cfg.pos_embed == "sinusoidal":
            return x + position.sinusoidal(cfg.num_tokens, cfg.embed_dim)[None]
        if cfg.pos_embed == "wavelength":
            # Half of the features' squares on average: positions start with the deviation token_std.
            start = nn.initializers.normal(cfg.token_std * math.sqrt(2 / cfg.embed_dim))
            layer = nn.Dense(
                cfg.embed_dim, use_bias=False, dtype=jnp.float32, kernel_init=start, name="position"
            )
            places = layer(wavelength_features(cfg, wave))
            return x + jnp.pad(places, ((x.shape[1] - len(places), 0), (0, 0)))[None]  # class token: none
        if cfg.pos_embed in ("rotary", "none"):
            return x
        raise ValueError(
            f"pos_embed must be learned, sinusoidal, rotary, wavelength or none: {cfg.pos_embed}"
        )


def windows(x: Num[Array, "batch n_pix"], size: int, stride: int) -> Num[Array, "batch n_windows {size}"]:
    """Windows of ``size`` pixels, one every ``stride``; pixels after the last whole window are left out."""
    count = (x.shape[1] - size) // stride + 1
    if size == stride:
        return x[:, : count * size].reshape(x.shape[0], count, size)
    start = stride * jnp.arange(count)
    return x[:, start[:, None] + jnp.arange(size)[None, :]]


def chunk_norm(patches: Float[Array, "batch n_windows size"]) -> Float[Array, "batch n_windows size"]:
    """Every window with mean 0 and standard deviation 1, in float32; a constant window becomes zero."""
    patches = patches.astype(jnp.float32)
    centred = patches - patches.mean(axis=2, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(axis=2, keepdims=True) + CHUNK_EPS)


def wavelength_features(
    cfg: ModelConfig, wave: Float[Array | np.ndarray, " n_pix"] | None
) -> Float[Array, "n_tokens width"]:
    """Features of every window's mean log wavelength; ``wave`` (Å) defaults to the pixels of the config."""
    first, last = cfg.wave_range
    pixels = jnp.asarray(np.linspace(first, last, cfg.input_size) if wave is None else wave, jnp.float32)
    log_wave = jnp.log1p((pixels - first) / first)  # the difference first: float32 keeps 1e-4 of a pixel
    means = windows(log_wave[None], cfg.patch_size, cfg.patch_stride).mean(axis=2)[0]
    return position.wavelength(means, math.log(last / first), cfg.num_patches, cfg.embed_dim)


def per_token(
    layer: nn.Dense, x: Float[Array, "batch n_tokens width"]
) -> Float[Array, "batch n_tokens features"]:
    """A linear map of every token as one product of two matrices: a quarter faster on a CPU."""
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:2], layer.features)


def linear_init(cfg: ModelConfig) -> Init:
    """The initial weights of a linear map: normal(0.02) as published, or of variance 1 / fan_in."""
    if cfg.init == "published":
        return nn.initializers.normal(KERNEL_STD)
    if cfg.init == "scaled":
        return nn.initializers.lecun_normal()
    raise ValueError(f"init must be published or scaled, found {cfg.init!r}")


def symmetric_uniform(bound: float) -> Init:
    """Uniform in [-bound, bound]: PyTorch's initial weights of a convolution, with bound = 1/sqrt(fan_in)."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)
