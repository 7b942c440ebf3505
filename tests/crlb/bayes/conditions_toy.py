"""A star of few pixels under a sky with lines, and its exact likelihood with a dense covariance in numpy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import make_grid
from crlb.observation.conditions import Conditions, polynomials
from crlb.observation.forward_model import ForwardModel
from crlb.observation.moving import LSF, RV, axis_nodes
from crlb.observation.noise import electrons_per_flux, variance
from crlb.observation.sky_lines import sky_lines
from tests.crlb.bayes.test_posterior import LOG_G, M_H, NOISE, WAVE
from tests.crlb.toy import toy_flux

CENTRES = (7690.0, 7701.0, 8186.0, 8196.5, 8536.0, 8549.0)  # Å, some of them on the lines of the star


def sky_noise():
    """The toy's noise with six lines of the sky, two of them side by side."""
    lines = sum(400.0 * np.exp(-0.5 * ((WAVE - centre) / 1.5) ** 2) for centre in CENTRES)
    with jax.enable_x64(True):
        return dataclasses.replace(NOISE, sky_e=jnp.asarray(110.0 + lines))


def toy_model(conditions: Conditions) -> ForwardModel:
    """A star at 4800 K whose lines move with the velocity and are smeared by the width, in closed form."""
    axes = axis_nodes(conditions, 1.6)
    names = ("log_g", "M_H", *axes)
    places = (LOG_G, M_H, *axes.values())
    nodes = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)
    grid = make_grid(WAVE, places, closed_flux(nodes, names), names, 20000.0, "-", "toy")
    with jax.enable_x64(True):
        return ForwardModel(make_emulator(grid, rtol=1e-9), sky_noise())


def closed_flux(labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Flux (..., n_pix): pixels see other wavelengths at another velocity, lines fade with the width."""
    by_name = dict(zip(names, np.moveaxis(labels, -1, 0), strict=True))
    stellar = np.stack([np.full_like(by_name["log_g"], 4800.0), by_name["log_g"], by_name["M_H"]], axis=-1)
    rv = np.asarray(by_name.get(RV, np.zeros(labels.shape[:-1])))[..., None]
    width = np.asarray(by_name.get(LSF, np.full(labels.shape[:-1], 1.6)))[..., None]
    flat, n_pix = stellar.reshape(-1, 3), WAVE.size
    wave = np.broadcast_to(WAVE * (1 - rv / 299792.458), (*labels.shape[:-1], n_pix)).reshape(-1, n_pix)
    flux = np.array([toy_flux(one, own) for one, own in zip(flat, wave, strict=True)])
    level = (wave - 8000) / 1000
    continuum = 1 - 0.2 * level
    seen = continuum * (flux.reshape(wave.shape) / continuum) ** (1.6 / width.reshape(-1, 1))
    return seen.reshape(*labels.shape[:-1], n_pix)


def dense_log_density(
    model: ForwardModel,
    labels: np.ndarray,
    conditions: Conditions,
    y: np.ndarray,
    usable: np.ndarray,
    mag: float,
    *,
    level: float = 1.0,
) -> float:
    """ln N(y; mean, covariance of noise, scale, continuum and sky together) over the usable pixels.

    Noise and sky are those of `level` times the flux.
    """
    emulator: Emulator = model.emulator
    flux = np.asarray(emulator(jnp.asarray(labels)))
    noise = model.noise
    covariance = np.diag(np.asarray(variance(jnp.asarray(level * flux), mag, noise)))
    curves = polynomials(WAVE, WAVE[0], WAVE[-1], conditions.continuum)
    sigmas = [conditions.scale, *[conditions.continuum_sigma] * conditions.continuum]
    for sigma, curve in zip(sigmas, curves, strict=True):
        if sigma:
            covariance += sigma**2 * np.outer(flux * curve, flux * curve)
    if conditions.sky_left:
        sky = sky_lines(noise)
        exposure = noise.exposure
        electrons = sky.electrons * exposure.n_exp * exposure.time
        shape = electrons / np.asarray(electrons_per_flux(jnp.asarray(level * flux), mag, noise))
        for number in range(len(sky.n)):
            line = np.where(sky.line == number, shape, 0.0)
            covariance += conditions.sky_left**2 * np.outer(line, line)
    some = np.ix_(usable, usable)
    return float(multivariate_normal(flux[usable], covariance[some]).logpdf(y[usable]))
