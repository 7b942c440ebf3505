"""From labels to the spectrum that leaves the surface; smoothing to a resolving power."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from crlb.detector import FWHM_PER_SIGMA
from crlb.synthesis.atmosphere import LOG_TAU, REFERENCE_WAVE, build_atmosphere
from crlb.synthesis.continuum import continuum_opacity
from crlb.synthesis.lines import Lines, line_opacity, load_lines
from crlb.synthesis.molecules import Bands, load_bands, molecular_opacity
from crlb.synthesis.radiative_transfer import emergent_flux, optical_depth, planck
from crlb.synthesis.state import State

CONTINUUM_SPACING = 5.0  # Å between the points the continuous opacity is computed at
KERNEL_SIGMAS = 4.0  # half-width of the smoothing kernel


def synthesize(
    labels: Float[Array, " n_labels"],
    wave: Float[np.ndarray, " n_wave"],
    lines: Lines | None = None,
    bands: Bands | None = None,
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, " n_wave"], Float[Array, " n_wave"]]:
    """Flux and continuum flux at the stellar surface, F_lambda in erg/s/cm^2/Å, at infinite resolution.

    LTE, plane-parallel, hydrostatic, microturbulence 2 km/s; differentiable in the labels.

    Args:
        labels: T_eff (K), log_g (dex, cm/s^2), M_H, a_M, C_M (dex).
        wave: vacuum wavelengths, Å, increasing; known when the function is traced.
        lines: atomic lines, by default those the package ships.
        bands: molecular bands, by default those the package ships.
        dtype: of opacities and transfer, by default that of the labels; float32 is twice as fast.
    """
    gas = build_atmosphere(labels)
    reference = continuum_opacity(jnp.full((1,), REFERENCE_WAVE, labels.dtype), gas)[:, 0]
    gas, reference = jax.tree.map(lambda x: x.astype(dtype or labels.dtype), (gas, reference))
    knots = np.linspace(wave[0], wave[-1], max(2, int(np.ceil((wave[-1] - wave[0]) / CONTINUUM_SPACING)) + 1))
    continuous = continuum_opacity(jnp.asarray(knots, reference.dtype), gas)
    opacity = interpolate(knots, continuous, wave)
    opacity = opacity + line_opacity(wave, gas, lines if lines is not None else load_lines())
    opacity = opacity + molecular_opacity(wave, gas, bands if bands is not None else load_bands())
    flux = _surface_flux(wave, opacity, reference, gas)
    cont = _surface_flux(knots, continuous, reference, gas)
    return flux, interpolate(knots, cont[None], wave)[0]


def _surface_flux(
    wave: Float[np.ndarray, " n_wave"],
    opacity: Float[Array, "n_depth n_wave"],
    reference: Float[Array, " n_depth"],
    gas: State,
) -> Float[Array, " n_wave"]:
    tau = optical_depth(opacity, reference, jnp.asarray(10.0**LOG_TAU, reference.dtype))
    return emergent_flux(tau, planck(jnp.asarray(wave, reference.dtype), gas.temperature))


def interpolate(
    knots: Float[np.ndarray, " n_knots"],
    values: Float[Array, "n_rows n_knots"],
    wave: Float[np.ndarray, " n_wave"],
) -> Float[Array, "n_rows n_wave"]:
    """Rows given at equally spaced wavelengths `knots`, linearly interpolated to `wave`."""
    left = np.clip(np.searchsorted(knots, wave, side="right") - 1, 0, len(knots) - 2)
    fraction = jnp.asarray((wave - knots[left]) / (knots[1] - knots[0]), values.dtype)[None]
    return values[:, left] * (1.0 - fraction) + values[:, left + 1] * fraction


def log_wave(low: float, high: float, spacing: float) -> Float[np.ndarray, " n_wave"]:
    """Vacuum wavelengths from `low` to at least `high` (Å), equally spaced by `spacing` in ln wave."""
    n = int(np.ceil(np.log(high / low) / spacing)) + 1
    ratio: np.ndarray = np.exp(spacing * np.arange(n))
    return low * ratio


def kernel_half_width(resolving_power: float, spacing: float) -> int:
    """Pixels of spacing `spacing` in ln wave that the smoothing kernel reaches to either side."""
    return int(np.ceil(KERNEL_SIGMAS / (FWHM_PER_SIGMA * resolving_power * spacing)))


def smooth(
    flux: Float[Array, " n_wave"], resolving_power: float, spacing: float, every: int
) -> Float[Array, " n_out"]:
    """Convolves with a Gaussian of FWHM wave / resolving_power and keeps each `every`-th pixel.

    Args:
        flux: sampled every `spacing` in ln wave.
        resolving_power: wave / FWHM of the result.
        spacing: of the pixels of `flux`, in ln wave.
        every: result pixels are this many input pixels apart; pixels the kernel does not cover are left out.
    """
    half = kernel_half_width(resolving_power, spacing)
    offset = np.arange(-half, half + 1) * spacing * FWHM_PER_SIGMA * resolving_power
    kernel = np.exp(-0.5 * offset**2)
    kernel = jnp.asarray(kernel / kernel.sum(), flux.dtype)
    start = jnp.arange((len(flux) - 2 * half - 1) // every + 1) * every
    return flux[start[:, None] + np.arange(2 * half + 1)[None]] @ kernel
