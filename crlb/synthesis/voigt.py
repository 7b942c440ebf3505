"""The Voigt-Hjerting function H(a, u) = Re w(u + ia), by rational functions that run in float32."""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ORDER = 20  # terms of Weideman's series
FAR = 5.5  # |u| + a from which Humlicek's rational function of the wings is better than 1e-4


@lru_cache(maxsize=1)
def weideman_coefficients() -> tuple[float, tuple[float, ...]]:
    """Scale L and polynomial coefficients, highest power first, of w(z) for ORDER terms.

    Source: Weideman 1994, SIAM J. Numer. Anal. 31, 1497, table 1.
    """
    half = 2 * ORDER
    scale = np.sqrt(ORDER / np.sqrt(2.0))
    t = scale * np.tan(np.arange(1 - half, half) * np.pi / (2 * half))
    f = np.concatenate([[0.0], np.exp(-(t**2)) * (scale**2 + t**2)])
    a = np.real(np.fft.fft(np.fft.fftshift(f))) / (2 * half)
    return float(scale), tuple(map(float, a[1 : ORDER + 1][::-1]))


def voigt_hjerting(a: Float[Array, "..."], u: Float[Array, "..."]) -> Float[Array, "..."]:
    """H(a, u) = a/pi integral exp(-t^2)/((u - t)^2 + a^2) dt, H(0, 0) = 1.

    Args:
        a: damping parameter, > 0, broadcast against `u`.
        u: distance from the centre in Doppler widths.

    Source: core Weideman 1994, eq. 38; wings Humlicek 1982, JQSRT 27, 437, region II.
    """
    far = jnp.abs(u) + a > FAR
    return jnp.where(
        far, _wings(a, jnp.where(far, u, FAR)), _core(jnp.where(far, 1.0, a), jnp.where(far, 0.0, u))
    )


def _wings(a: Array, u: Array) -> Array:
    """Re of t (1.410474 + 0.5641896 t^2)/(0.75 + t^2 (3 + t^2)), t = a - iu, written in 1/t: no overflow."""
    r2 = 1.0 / (a * a + u * u)
    x, y = u * r2, a * r2  # s = 1/t = y + ix
    p, q = y * y - x * x, 2.0 * x * y  # s^2
    top_re, top_im = 0.5641896 + 1.410474 * p, 1.410474 * q
    top_re, top_im = y * top_re - x * top_im, y * top_im + x * top_re
    bottom_re = 1.0 + 3.0 * p + 0.75 * (p * p - q * q)
    bottom_im = 3.0 * q + 1.5 * p * q
    return (top_re * bottom_re + top_im * bottom_im) / (bottom_re**2 + bottom_im**2)


def _core(a: Array, u: Array) -> Array:
    """Re of 2 p(Z)/(L - iz)^2 + 1/(sqrt(pi) (L - iz)), Z = (L + iz)/(L - iz), z = u + ia, in real numbers."""
    scale, coefficients = weideman_coefficients()
    inverse = 1.0 / ((scale + a) ** 2 + u * u)
    g_re, g_im = (scale + a) * inverse, u * inverse  # 1/(L - iz)
    z_re, z_im = (scale - a) * g_re - u * g_im, (scale - a) * g_im + u * g_re
    p_re, p_im = coefficients[0] + 0.0 * z_re, 0.0 * z_im
    for c in coefficients[1:]:
        p_re, p_im = p_re * z_re - p_im * z_im + c, p_re * z_im + p_im * z_re
    return 2.0 * (p_re * (g_re**2 - g_im**2) - p_im * 2.0 * g_re * g_im) + g_re / math.sqrt(math.pi)
