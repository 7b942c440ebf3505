"""What observers make of noiseless spectra: noise, and all that is unknown under the conditions."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.detector import DETECTOR_WAVE
from crlb.observation.exposure import Exposure
from crlb.observation.noise import background
from crlb.observation.noise_curves import NoiseModel
from crlb.observation.observe import Observing, observing
from specvit_jax.settings.config import DataConfig
from specvit_jax.settings.observed_under import PUBLISHED, conditions_in
from specvit_jax.spectra.pixels import stored_pixels


class Batch(NamedTuple):
    """Observed spectra. A network reads `flux` and `usable` only: `error` knows the clean flux, thus labels.

    Flux, clean flux and error are those of the conditions of the observation, on the same scale.
    """

    flux: Float[Array, "n n_pix"]  # as observed, noise included; 0 where lost
    labels: Float[Array, "n n_labels"]
    mag: Float[Array, " n"]
    clean: Float[Array, "n n_pix"]
    error: Float[Array, "n n_pix"]
    usable: Float[Array, "n n_pix"] | None = None  # 0 for lost pixels, else 1; None: none is lost
    gain: Float[Array, " n"] | None = None  # flux, clean flux and error were multiplied by it; None: 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Rows:
    """Noiseless spectra in memory, one after the other along the first axis of every array."""

    clean: Float[Array | np.ndarray, "*n n_pix"]
    labels: Float[Array | np.ndarray, "*n n_labels"]
    mag: Float[Array | np.ndarray, "*n"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Observer:
    """What turns noiseless spectra into observed ones; the same in every step of a run.

    Args:
        observing: noise, exposure and conditions.
        label_names: order of the labels in a batch.
    """

    observing: Observing
    label_names: tuple[str, ...] = field(metadata={"static": True})

    @property
    def noise(self) -> NoiseModel:
        """Curves of the instrument and the sky, with exposure and level."""
        return self.observing.noise

    @property
    def observer(self) -> "Observer":
        """Itself, as every source has one."""
        return self

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"], rows: Rows) -> Batch:
        """The spectra `rows`, observed; row i is the spectrum of global index `index[i]`."""
        return self.observe(fold_in(key, index), rows)

    def observe(self, keys: Key[Array, " n"], rows: Rows) -> Batch:
        """The spectra `rows`, each observed with a key of its own."""
        clean, mag = jnp.asarray(rows.clean), jnp.asarray(rows.mag)
        seen = jax.vmap(self.observing.see)(keys, clean, mag)
        usable = seen.usable if self.observing.conditions.lost else None
        gain = None if self.observing.conditions == PUBLISHED else seen.gain
        return Batch(seen.flux, jnp.asarray(rows.labels), mag, seen.clean, seen.error, usable, gain)

    @property
    def level_weights(self) -> Float[np.ndarray, " n_pix"]:
        """Weights of the mean flux that is the level of a spectrum: 1/variance of the sky."""
        return 1 / np.asarray(background(self.noise), np.float64)

    def sky_left(self, batch: Batch) -> tuple[Float[np.ndarray, "n n_pix"], Int[np.ndarray, " n_pix"]] | None:
        """Rms of what is left of the sky's lines in observed spectra, and the line of every pixel.

        None where the conditions leave nothing.
        """
        if batch.gain is None or not self.observing.conditions.sky_left:
            return None
        gain = batch.gain[:, None]
        left = jax.jit(jax.vmap(self.observing.sky_sigma))(batch.clean / gain, batch.mag)
        return np.asarray(gain * left), np.asarray(self.observing.sky.line)

    def sky_over_noise(self, clean: Float[np.ndarray, " n_pix"], mag: float) -> Float[np.ndarray, " n_pix"]:
        """Rms of what is left of the sky's lines in a star, over its noise in the longest exposures drawn.

        Args:
            clean: noiseless flux, at any scale.
            mag: AB magnitude in i.
        """
        seeing, flux, of_star = self.observing, jnp.asarray(clean, jnp.float32), jnp.float32(mag)
        deepest = replace(seeing, noise=seeing.deepest, conditions=PUBLISHED)
        error = deepest.see(jax.random.key(0), flux, of_star).error
        return np.asarray(seeing.sky_sigma(flux, of_star) / error)


def fold_in(key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Key[Array, " n"]:
    """The key of every spectrum, from its global index."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def make_observer(
    config: DataConfig,
    label_names: tuple[str, ...],
    wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE,
    where: str = "spectra",
) -> Observer:
    """The noise and the conditions a configuration names, for spectra with these labels.

    Velocity and width, which are in the noiseless spectra, are left alone.

    Args:
        config: of the data.
        label_names: of the spectra, in their order.
        wave: pixel centres of the spectra, vacuum Å.
        where: what to call them in errors.

    Raises:
        DataError, UsageError, MissingInputError: as `stored_pixels` and `observing`.
    """
    noise = stored_pixels(config, wave, where).noise
    exposure = Exposure(config.exptime_s, config.n_exp, config.seeing_arcsec)
    noise = noise.with_exposure(exposure).with_level(config.noise_level)
    return Observer(observing(noise, conditions_in(config.conditions)), label_names)
