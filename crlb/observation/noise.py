"""The noise of an observed spectrum, and the one definition of signal-to-noise ratio in the project.

For N exposures of t seconds, in electrons per detector pixel:

    S = N (t/900) 10^(-0.4 (mag - 18)) signal_e f_nu / <f_nu>_i G(seeing)            the star
    B = a N [ (t/900) (sky_e + stray_e + dark_var) + read_var ] + a f^2 N^2 (t/900)^2 skymax_e^2
    variance of the flux = level^2 (S + B) (flux / S)^2

with the sky-subtraction floor f growing as (N t)^2: it never averages down. Formula and facts: public PFS
exposure time calculator (Subaru-PFS/spt_ExposureTimeCalculator, after Hirata et al. 2012, arXiv:1204.5151).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, Real

from crlb.observation.exposure import Exposure
from crlb.observation.noise_curves import REFERENCE_WAVE, NoiseModel, builtin_noise, load_noise

__all__ = [
    "Exposure",
    "NoiseModel",
    "background",
    "band_mean",
    "builtin_noise",
    "draw",
    "electrons_per_flux",
    "load_noise",
    "snr",
    "variance",
    "variance_of",
]

REFERENCE_MAG = 18.0  # AB, of the source behind signal_e

I_BAND_EDGE = 8250.0  # Å, red half-power point of the SDSS i filter; the blue edge is outside the arm
I_BAND_SOFTNESS = 80.0  # Å, of that edge


def background(noise: NoiseModel) -> Float[Array, " n_pix"]:
    """Variance of everything but the star, e2: sky, stray light, dark, read noise, subtraction floor.

    Knows nothing of the star, so unlike the error of a noiseless model it cannot leak its labels.
    """
    time, n_exp = noise.exposure.time, noise.exposure.n_exp
    per_exposure = time * (noise.sky_e + noise.stray_e + noise.dark_var) + noise.read_var
    floor = noise.sky_floor * n_exp * time * noise.skymax_e
    return noise.noise_adjust * (n_exp * per_exposure + floor**2)


def band_mean(
    flux: Float[Array, " n_pix"], noise: NoiseModel, usable: Float[Array, " n_pix"] | float = 1.0
) -> Float[Array, ""]:
    """Photon-weighted mean of f_nu ~ flux wave^2 over the band of the magnitudes, as far as pixels reach it.

    That band is i, unless the noise names another. In the unit of the flux. It is what a magnitude tells of a
    spectrum.
    """
    weight = usable * (_i_band(noise.wave) if noise.band is None else noise.band)
    f_nu = (noise.wave / REFERENCE_WAVE) ** 2 * flux
    return jnp.sum(weight * f_nu) / jnp.sum(jnp.broadcast_to(weight, flux.shape))


def electrons_per_flux(
    flux: Float[Array, " n_pix"],
    mag: Real[ArrayLike, ""],
    noise: NoiseModel,
) -> Float[Array, " n_pix"]:
    """S/flux: electrons per pixel and unit of flux, at which the star has AB magnitude `mag` in i.

    The magnitude is that of `band_mean`. It belongs to the star: hand in the whole arm and leave pixels out
    later (`ForwardModel.select`).
    """
    f_nu_per_flux = (noise.wave / REFERENCE_WAVE) ** 2
    mean = band_mean(flux, noise)
    exposure = noise.exposure
    time = exposure.n_exp * exposure.time * exposure.seeing_factor
    brightness = 10.0 ** (-0.4 * (jnp.asarray(mag, flux.dtype) - REFERENCE_MAG))
    return time * brightness * noise.signal_e * f_nu_per_flux / mean


def variance(
    flux: Float[Array, " n_pix"],
    mag: Real[ArrayLike, ""],
    noise: NoiseModel,
) -> Float[Array, " n_pix"]:
    """Noise variance of each pixel, in units of flux^2: flux/c + B/c^2 with c = S/flux.

    Pure, one spectrum; the same relative to flux^2 whatever the flux is scaled to. Computed in the flux's own
    precision.

    Args:
        flux: Noiseless flux per Å on the detector's pixels, any scale (0.5 at the median by convention).
        mag: AB magnitude in i.
        noise: Curves of the instrument and the sky on the same pixels, exposure and level.
    """
    noise = jax.tree.map(partial(jnp.asarray, dtype=flux.dtype), noise)
    return variance_of(flux, electrons_per_flux(flux, mag, noise), noise)


def variance_of(
    flux: Float[Array, " n_pix"], per_flux: Float[Array, " n_pix"], noise: NoiseModel
) -> Float[Array, " n_pix"]:
    """Noise variance of each pixel, in units of flux^2, of a star whose electrons were counted.

    Args:
        flux: whose photons add to the noise, not negative: noiseless or observed; 0: the background alone.
        per_flux: electrons per unit of flux (`electrons_per_flux`).
        noise: curves of the instrument and the sky on the same pixels, exposure and level.
    """
    return noise.level**2 * (flux + background(noise) / per_flux) / per_flux


def draw(
    key: PRNGKeyArray,
    flux: Float[Array, " n_pix"],
    mag: Real[ArrayLike, ""],
    noise: NoiseModel,
) -> tuple[Float[Array, " n_pix"], Float[Array, " n_pix"]]:
    """One noisy spectrum and its 1-sigma error: flux + error * standard normal, pixels independent."""
    error = jnp.sqrt(variance(flux, mag, noise))
    return flux + error * jax.random.normal(key, flux.shape, flux.dtype), error


def snr(flux: Float[Array, " n_pix"], error: Float[Array, " n_pix"]) -> Float[Array, ""]:
    """Median over usable pixels of flux/error; usable where the error is finite and positive."""
    usable = jnp.isfinite(error) & (error > 0)
    ratio = _sorted(jnp.where(usable, flux / jnp.where(usable, error, 1.0), jnp.inf))
    n = jnp.sum(usable)
    return jnp.where(n > 0, (ratio[jnp.maximum(n - 1, 0) // 2] + ratio[n // 2]) / 2, jnp.nan)


def _sorted(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Floats sorted as integers of the same bits, which XLA does five times faster on a CPU.

    The bits of negative floats count downwards: all but the sign are flipped before and after.
    """
    integer = jnp.int32 if values.dtype == jnp.float32 else jnp.int64
    bits = jax.lax.bitcast_convert_type(values, integer)

    def flip(bits: Int[Array, " n"]) -> Int[Array, " n"]:
        return bits ^ ((bits >> (bits.itemsize * 8 - 1)) & np.iinfo(integer).max)

    return jax.lax.bitcast_convert_type(flip(jnp.sort(flip(bits))), values.dtype)


def _i_band(wave: Float[Array, " n_pix"]) -> Float[Array, " n_pix"]:
    """Relative photon weight of the i filter within the arm: d(nu)/nu ~ 1/wave under a smooth red edge."""
    return jax.nn.sigmoid((I_BAND_EDGE - wave) / I_BAND_SOFTNESS) / wave
