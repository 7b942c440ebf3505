"""What can be wrong with a spectrum that no training spectrum showed: pure functions of spectra.

`flux` is (n, n_pix) on equal pixels of the detector; the physical ones act on noiseless spectra. Computed in
float64. Random numbers come from the generator that is passed.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import dct, idct
from scipy.interpolate import make_interp_spline

from crlb.detector import DEFAULT_LSF_FWHM, FWHM_PER_SIGMA, SPEED_OF_LIGHT_KMS
from crlb.observation.noise import NoiseModel, background
from experiments.study.stars import Stars, error_of
from specvit_jax import Simulator

DISTORTION_SEED = 20_304  # of lost pixels, sky residuals and scales
PIECE = 500  # spectra distorted at a time
BLOCK = 50  # pixels lost together
BRIGHT = 5.0  # times the median background: pixels of sky lines, a seventh of the arm's


class Case(NamedTuple):
    """A distortion: its kind, how strong, and (sky residuals) how many sigma."""

    kind: str
    amount: float
    sigma: float = 0.0


def name_of(case: Case) -> str:
    """A distortion in words, with units.

    Raises:
        ValueError: an unknown kind.
    """
    if case.kind == "none":
        return "none"
    if case.kind == "velocity":
        return f"velocity {case.amount:+g} km/s"
    if case.kind in ("width", "tilt"):
        return f"{case.kind} {100 * case.amount:+g} %"
    if case.kind == "scale":
        return f"scale {100 * case.amount:g} % rms"
    if case.kind == "sky residuals":
        return f"sky residuals, {100 * case.amount:g} % of bright pixels, {case.sigma:g} sigma"
    if case.kind in ("masked", "masked in blocks"):
        return f"{100 * case.amount:g} % of pixels {case.kind}"
    raise ValueError(f"unknown distortion {case.kind!r}")


def distorted(simulator: Simulator, some: Stars, case: Case) -> Float[np.ndarray, "n n_pix"]:
    """The stars as observed with a distortion, under the noise that they had; NaN where a pixel is lost.

    Raises:
        ValueError: an unknown kind.
    """
    wave, rng = np.asarray(simulator.wave, np.float64), np.random.default_rng(DISTORTION_SEED)
    change: Callable[[np.ndarray], np.ndarray]
    if case.kind == "none":
        return some.noisy
    if case.kind == "scale":
        return scaled(rng, some.noisy, case.amount)
    if case.kind == "masked":
        return masked(rng, some.noisy, case.amount)
    if case.kind == "masked in blocks":
        return masked(rng, some.noisy, case.amount, BLOCK)
    if case.kind == "sky residuals":
        error = error_of(simulator, some.clean, some.mag)
        bright = sky_lines(simulator.noise)
        return with_residuals(rng, some.noisy, error, bright, case.amount, case.sigma)
    if case.kind == "width":
        pixel = (wave[-1] - wave[0]) / (len(wave) - 1)
        change = partial(reshaped, fwhm=DEFAULT_LSF_FWHM / pixel, change=case.amount)
    elif case.kind == "velocity":
        change = partial(shifted, wave, rv_kms=case.amount)
    elif case.kind == "tilt":
        change = partial(tilted, tilt=case.amount)
    else:
        raise ValueError(f"unknown distortion {case.kind!r}")
    pieces = [change(some.clean[i : i + PIECE]) for i in range(0, len(some.mag), PIECE)]
    return np.concatenate(pieces).astype(np.float32) + (some.noisy - some.clean)


def shifted(
    wave: Float[np.ndarray, " n_pix"], flux: Float[np.ndarray, "n n_pix"], rv_kms: float
) -> Float[np.ndarray, "n n_pix"]:
    """Spectra moved in wavelength, flux'(wave) = flux(wave / (1 + v/c)), by cubic splines.

    A line at w moves by w v/c. Beyond an end of the spectrum its last value holds.

    Args:
        wave: pixel centres, vacuum Å.
        flux: spectra, any scale.
        rv_kms: radial velocity, km/s, receding positive.
    """
    rest = np.clip(wave / (1 + rv_kms / SPEED_OF_LIGHT_KMS), wave[0], wave[-1])
    return make_interp_spline(wave, flux.astype(np.float64), 3, axis=1)(rest)


def reshaped(flux: Float[np.ndarray, "n n_pix"], fwhm: float, change: float) -> Float[np.ndarray, "n n_pix"]:
    """Spectra as seen by a Gaussian line-spread function that is wider by a fraction; narrower if negative.

    The convolution by sigma'^2 - sigma^2 is a product with exp(-(sigma'^2 - sigma^2) k^2 / 2) of the cosine
    transform, under which a spectrum goes on as its mirror image; a negative difference undoes blur, which
    noiseless spectra allow. The sum over all pixels is kept.

    Args:
        flux: noiseless spectra, any scale.
        fwhm: full width at half maximum that they have been blurred with, pixels.
        change: of it, as a fraction.

    Raises:
        ValueError: a width that would not be positive.
    """
    if not change > -1:
        raise ValueError(f"change must be above -1, a width of zero, found {change}")
    variance = (fwhm / FWHM_PER_SIGMA) ** 2 * ((1 + change) ** 2 - 1)  # pixels^2
    k = np.pi * np.arange(flux.shape[1]) / flux.shape[1]  # radians per pixel
    factor = np.exp(-0.5 * variance * k**2)
    return idct(dct(flux.astype(np.float64), axis=1) * factor[None, :], axis=1)


def tilted(flux: Float[np.ndarray, "n n_pix"], tilt: float) -> Float[np.ndarray, "n n_pix"]:
    """Spectra times a straight line: 1 - tilt/2 at the first pixel, 1 + tilt/2 at the last."""
    return flux * (1 + tilt * np.linspace(-0.5, 0.5, flux.shape[1]))[None, :]


def scaled(
    rng: np.random.Generator, flux: Float[np.ndarray, "n n_pix"], sigma: float
) -> Float[np.ndarray, "n n_pix"]:
    """Spectra as observed, noise included, each times a factor of its own, 1 + sigma N(0, 1)."""
    return (flux * (1 + sigma * rng.standard_normal(len(flux)))[:, None]).astype(flux.dtype)


def sky_lines(noise: NoiseModel) -> Bool[np.ndarray, " n_pix"]:
    """Pixels on sky lines: where the background's variance exceeds `BRIGHT` times its median."""
    level = np.asarray(background(noise), np.float64)
    return level > BRIGHT * np.median(level)


def with_residuals(
    rng: np.random.Generator,
    flux: Float[np.ndarray, "n n_pix"],
    error: Float[np.ndarray, "n n_pix"],
    bright: Bool[np.ndarray, " n_pix"],
    fraction: float,
    amplitude: float,
) -> Float[np.ndarray, "n n_pix"]:
    """Spectra with residuals of the sky: a fraction of the bright pixels is off, up or down.

    Args:
        rng: chooses pixels and signs.
        flux: spectra.
        error: 1-sigma noise, in the unit of flux.
        bright: pixels that can be hit.
        fraction: chance of every bright pixel.
        amplitude: of a residual, in units of the pixel's error.
    """
    hit = (rng.random(flux.shape) < fraction) & bright[None, :]
    sign = rng.choice([-1.0, 1.0], flux.shape)
    return flux + np.where(hit, amplitude * sign * error, 0.0)


def masked(
    rng: np.random.Generator, flux: Float[np.ndarray, "n n_pix"], fraction: float, block: int = 1
) -> Float[np.ndarray, "n n_pix"]:
    """Spectra with NaN in a fraction of the pixels: that fraction of blocks of so many, rounded.

    The blocks tile the spectrum from an offset of each spectrum's own, round its ends.

    Args:
        rng: chooses offsets and blocks.
        flux: spectra.
        fraction: of pixels, 0 to 1.
        block: pixels next to each other that are lost together.
    """
    n, n_pix = flux.shape
    count = math.ceil(n_pix / block)
    lost = rng.random((n, count)).argsort(axis=1) < round(fraction * count)
    pixels = np.repeat(lost, block, axis=1)[:, :n_pix]
    offset = np.asarray(rng.integers(n_pix if block > 1 else 1, size=n))
    columns = (np.arange(n_pix)[None, :] + offset[:, None]) % n_pix
    return np.where(np.take_along_axis(pixels, columns, axis=1), np.nan, flux)
