"""Spectra at other wavelengths than a network was trained on, and how a network reads them there."""

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import make_interp_spline

from experiments.study.stars import Stars, error_of
from specvit_jax import Config, Simulator, Weights
from specvit_jax.network.inference import Params
from specvit_jax.network.model import split
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler

PIECE = 250  # spectra at a time
NOISE_SEED = 20_301  # of the noise on pixels of another size


class Sampling(NamedTuple):
    """Another sampling of the arm: moved to the red by whole pixels, pixels of another size."""

    name: str
    shift: int = 0  # pixels
    size: float = 1.0  # in pixels of the detector


def moved_wave(wave: Float[np.ndarray, " n_pix"], sampling: Sampling) -> Float[np.ndarray, " n_moved"]:
    """Centres of the pixels of a sampling that fit into the arm, vacuum Å.

    Args:
        wave: centres of the detector's equal pixels, vacuum Å.
        sampling: shift and size.
    """
    pixel = (wave[-1] - wave[0]) / (len(wave) - 1)
    first = wave[0] - 0.5 * pixel + sampling.shift * pixel
    count = int((len(wave) - sampling.shift) / sampling.size + 1e-9)
    return first + (np.arange(count) + 0.5) * sampling.size * pixel


def observed_at(
    simulator: Simulator, stars: Stars, sampling: Sampling
) -> tuple[Float[np.ndarray, "n n_moved"], Float[np.ndarray, " n_moved"]]:
    """The stars as observed with a sampling, and its wavelengths (vacuum Å).

    The same pixels keep the noise they had. For pixels of another size the clean spectrum is interpolated
    (cubic spline) and observed anew: the error per pixel is interpolated linearly and multiplied by
    size^(-1/2), as light and sky grow with the pixel, so that the noise is independent from pixel to pixel.
    """
    old = np.asarray(simulator.wave, np.float64)
    wave = moved_wave(old, sampling)
    if sampling.size == 1.0:
        return stars.noisy[:, sampling.shift :], wave
    rng, pieces = np.random.default_rng(NOISE_SEED), []
    for start in range(0, len(stars.mag), PIECE):
        rows = slice(start, start + PIECE)
        error = error_of(simulator, stars.clean[rows], stars.mag[rows])
        clean = interpolated(old, stars.clean[rows], wave)
        error = np.stack([np.interp(wave, old, row) for row in error]) * sampling.size**-0.5
        pieces.append(clean + error * rng.standard_normal(clean.shape))
    return np.concatenate(pieces).astype(np.float32), wave


def interpolated(
    old: Float[np.ndarray, " n_pix"], flux: Float[np.ndarray, "n n_pix"], wave: Float[np.ndarray, " n_moved"]
) -> Float[np.ndarray, "n n_moved"]:
    """Spectra at other wavelengths by cubic splines; held at its last value for part of a pixel at an end."""
    return make_interp_spline(old, flux.astype(np.float64), 3, axis=1)(np.clip(wave, old[0], old[-1]))


def scaled_at(
    scaler: InputScaler,
    old: Float[np.ndarray, " n_pix"],
    flux: Float[np.ndarray, "n n_moved"],
    wave: Float[np.ndarray, " n_moved"],
) -> Float[np.ndarray, "n n_moved"]:
    """Spectra scaled by mean and scale of their wavelengths: the input scaler taken along to other pixels.

    Raises:
        ValueError: the scaler whitens, which is tied to its pixels.
    """
    if scaler.analysis is not None:
        raise ValueError("a whitening scaler cannot be moved to other wavelengths; use data.preprocess=none")
    mean, scale = (np.interp(wave, old, np.asarray(part, np.float64)) for part in scaler[:2])
    return ((flux - mean[None, :]) / scale[None, :]).astype(np.float32)


def fitted_to(x: Float[np.ndarray, "n n_moved"], n_pix: int) -> Float[np.ndarray, "n {n_pix}"]:
    """The first pixels of scaled spectra, or all and zeros after them: what a network of so many reads."""
    return np.pad(x[:, :n_pix], ((0, 0), (0, max(0, n_pix - x.shape[1]))))


def read(
    weights: Weights, x: Float[np.ndarray, "n n_pix"], wave: Float[np.ndarray, " n_pix"] | None = None
) -> Float[np.ndarray, "n n_labels"]:
    """Labels, in their units, of scaled spectra; `wave` (vacuum Å): the sampling, for a network told it."""
    where = None if wave is None else jnp.asarray(wave, jnp.float32)
    pieces = []
    for start in range(0, len(x), PIECE):
        piece = x[start : start + PIECE]
        rows = np.minimum(np.arange(PIECE), len(piece) - 1)  # filled up, so that one program serves all
        out = _forward(weights.params, jnp.asarray(piece[rows]), where, weights.config)
        pieces.append(np.asarray(out)[: len(piece)])
    return np.asarray(weights.label_scaler.decode(np.concatenate(pieces)))


@partial(jax.jit, static_argnames="config")
def _forward(params: Params, x: Array, wave: Array | None, config: Config) -> Array:
    apply = partial(make_network(config.model).apply, {"params": params}, x)
    out = apply() if wave is None else apply(wave=wave)
    return split(cast(Array, out), len(config.model.label_names))[0]
