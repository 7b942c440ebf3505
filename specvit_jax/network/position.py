"""Where a token lies, without a table learned for it: by its index, or by its wavelength."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BASE = 10_000.0  # the slowest angle goes round once in 2 pi BASE tokens; Vaswani et al. 2017, section 3.5


def sinusoidal(n_tokens: int, width: int) -> Float[Array, "n_tokens {width}"]:
    """Features sin(t / BASE^(2i / width)) and cos of the same in turn, i = 0, 1, ..., for token t.

    Raises:
        ValueError: an odd width.

    Source: Vaswani et al. 2017, Attention is all you need, section 3.5.
    """
    return waves(jnp.asarray(angles(n_tokens, width)))


def wavelength(
    log_wave: Float[Array, " n_tokens"], span: float, n_shares: int, width: int
) -> Float[Array, "n_tokens {width}"]:
    """Sines and cosines of log wavelength, their half periods from a token's share to the whole arm.

    A function of wavelength alone: the same light gets the same features at any sampling, in any order.

    Args:
        log_wave: ln(wavelength / first wavelength of the arm), averaged over each token.
        span: the same at the last wavelength of the arm.
        n_shares: tokens that share the arm at the sampling trained on.
        width: number of features.

    Raises:
        ValueError: an odd width.
    """
    frequency = math.pi / span * np.geomspace(1.0, n_shares, even(width) // 2)
    return waves(log_wave[:, None] * jnp.asarray(frequency, jnp.float32)[None, :])


def rotate(
    x: Float[Array, "batch n_tokens width"], num_heads: int, base: float = BASE
) -> Float[Array, "batch n_tokens width"]:
    """Queries or keys of every head, each pair of features turned by the angle of its token; token 0 stays.

    Products of a turned query with a turned key depend on how far apart the two tokens are, not on where.
    Computed in float32.

    Raises:
        ValueError: heads of odd size.

    Source: Su et al. 2021, RoFormer (arXiv:2104.09864), eq. 15 and 34.
    """
    batch, n_tokens, width = x.shape
    angle = angles(n_tokens, width // num_heads, base)[None, :, None, :]
    cos, sin = (jnp.asarray(part, jnp.float32) for part in (np.cos(angle), np.sin(angle)))
    pairs = x.astype(jnp.float32).reshape(batch, n_tokens, num_heads, -1, 2)
    first, second = pairs[..., 0], pairs[..., 1]
    turned = jnp.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return turned.reshape(x.shape).astype(x.dtype)


def angles(n_tokens: int, size: int, base: float = BASE) -> Float[np.ndarray, "n_tokens half"]:
    """Angles t / base^(2i / size) for token t and i = 0 ... size/2 - 1."""
    frequency = base ** (-2.0 * np.arange(even(size) // 2) / size)
    return np.arange(n_tokens)[:, None] * frequency[None, :]


def waves(angle: Float[Array, "n_tokens half"]) -> Float[Array, "n_tokens width"]:
    """Sine and cosine of every angle, side by side."""
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(len(angle), -1)


def even(size: int) -> int:
    """The size itself; sines and cosines come in pairs.

    Raises:
        ValueError: it is odd.
    """
    if size % 2:
        raise ValueError(
            f"positions by sine and cosine need an even size, found {size}; change model.embed_dim"
        )
    return size
