"""Formal solution of radiative transfer in a plane-parallel atmosphere."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.synthesis.species import HC_OVER_K

PLANCK_2HC2 = 1.1910429724e-5  # 2 h c^2 in erg cm^2/s, CODATA 2018
GAUSS_POINTS = 4  # angles between the normal and the horizon


def planck(
    wave: Float[Array, " n_wave"], temperature: Float[Array, " n_depth"]
) -> Float[Array, "n_depth n_wave"]:
    """Planck function B_lambda (erg/s/cm^2/Å/sr) at vacuum wavelengths (Å) and temperatures (K)."""
    cm = wave * 1e-8
    exponent = HC_OVER_K / (cm[None] * temperature[:, None])
    return (PLANCK_2HC2 * 1e-8 / cm**5)[None] / jnp.expm1(exponent)


def optical_depth(
    opacity: Float[Array, "n_depth n_wave"],
    reference: Float[Array, " n_depth"],
    reference_tau: Float[Array, " n_depth"],
) -> Float[Array, "n_depth n_wave"]:
    """Optical depth at each wavelength: tau = integral of (opacity / reference) tau_ref d ln tau_ref.

    Trapezoids in ln tau_ref; above the first depth the opacity ratio is taken as constant.

    Args:
        opacity: cm^-1, continuum and lines.
        reference: cm^-1, opacity at the wavelength reference_tau belongs to.
        reference_tau: increasing, outermost first.
    """
    ratio = opacity * (reference_tau / reference)[:, None]
    increments = 0.5 * (ratio[1:] + ratio[:-1]) * jnp.diff(jnp.log(reference_tau))[:, None]
    return ratio[:1] + jnp.concatenate([jnp.zeros_like(ratio[:1]), jnp.cumsum(increments, axis=0)])


def emergent_intensity(
    tau: Float[Array, "n_depth n_wave"], source: Float[Array, "n_depth n_wave"], mu: float
) -> Float[Array, " n_wave"]:
    """Intensity leaving the surface at angle cosine mu: integral of S exp(-t/mu) dt/mu, same unit as S.

    Exact for a source function that is linear in tau between depths, constant above the first and continued
    with its last slope below the last: I = sum over intervals of S_i (e_i - m) + S_i+1 (m - e_i+1), where
    e = exp(-tau/mu) and m = (e_i - e_i+1) mu / (tau_i+1 - tau_i) is the mean of e over the interval.

    Source: Hubeny & Mihalas 2014, Theory of Stellar Atmospheres, section 12.4 (linear short characteristics).
    """
    x = tau / mu
    e = jnp.exp(-x)
    dx = jnp.diff(x, axis=0)
    thin = dx < 0.01
    # (1 - exp(-dx)) / dx, by its series where the difference would lose digits: it is good to dx^4 / 120
    series = e[:-1] * (1.0 - dx / 2.0 * (1.0 - dx / 3.0 * (1.0 - dx / 4.0)))
    mean = jnp.where(thin, series, (e[:-1] - e[1:]) / jnp.where(thin, 1.0, dx))
    inner = source[:-1] * (e[:-1] - mean) + source[1:] * (mean - e[1:])
    slope = (source[-1] - source[-2]) / jnp.maximum(dx[-1], 1e-30)  # transparent throughout: no division by 0
    return source[0] * -jnp.expm1(-x[0]) + jnp.sum(inner, axis=0) + e[-1] * (source[-1] + slope)


def emergent_flux(
    tau: Float[Array, "n_depth n_wave"], source: Float[Array, "n_depth n_wave"]
) -> Float[Array, " n_wave"]:
    """Astrophysical flux through the surface, F = 2 pi integral of I(mu) mu dmu (unit of S times sr).

    Gauss-Legendre in mu between 0 and 1, exact for intensities that are polynomials in mu up to degree 6.
    """
    nodes, weights = np.polynomial.legendre.leggauss(GAUSS_POINTS)
    flux = jnp.zeros_like(tau[0])
    for mu, weight in zip((0.5 * (nodes + 1.0)).tolist(), (np.pi * weights).tolist(), strict=True):
        flux = flux + weight * mu * emergent_intensity(tau, source, mu)
    return flux
