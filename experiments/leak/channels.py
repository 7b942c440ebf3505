"""What could be handed to a reader of spectra: flux, and errors of three kinds on the same pixels.

With c electrons per unit of flux and background B (electrons^2), every error is sqrt((x + B/c)/c):

- of the model: x is the noiseless flux. It is known to the simulator alone; stored in the original's files.
- observed: x is the observed flux where that is positive, else 0. An observer knows it, who counted c x.
- label-free: x is 0. B is the same for all stars, so it is one curve times a number per star, 1/c.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.observation.noise import electrons_per_flux, variance_of
from experiments.study.stars import CHUNK, LABEL, drawn
from specvit_jax import Simulator


class Channels(NamedTuple):
    """Flux of n stars as observed, errors in its unit, magnitude and one label.

    `clean`: noiseless flux; `scatter`: 1-sigma noise of the logarithm of the observed error; `label_free`:
    logarithm of the label-free error, mean over the pixels.
    """

    flux: Float[np.ndarray, "n n_pix"]
    clean: Float[np.ndarray, "n n_pix"]
    model: Float[np.ndarray, "n n_pix"]
    observed: Float[np.ndarray, "n n_pix"]
    scatter: Float[np.ndarray, "n n_pix"]
    label_free: Float[np.ndarray, " n"]
    mag: Float[np.ndarray, " n"]
    label: Float[np.ndarray, " n"]

    def first(self, n: int) -> "Channels":
        """The first n stars."""
        return Channels._make(array[:n] for array in self)


def channels(
    simulator: Simulator,
    noisy: Float[np.ndarray, "n n_pix"],
    clean: Float[np.ndarray, "n n_pix"],
    mag: Float[np.ndarray, " n"],
    label: Float[np.ndarray, " n"],
) -> Channels:
    """All that could be read of some stars, computed piece by piece; `label` is handed on."""
    starts = range(0, len(mag), CHUNK)
    pieces = [
        map(np.asarray, _errors(simulator, *(jnp.asarray(x[i : i + CHUNK]) for x in (noisy, clean, mag))))
        for i in starts
    ]
    model, observed, scatter, label_free = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Channels(noisy, clean, model, observed, scatter, label_free, mag, label)


def channels_of(simulator: Simulator, seed: int, n: int, what: str) -> Channels:
    """Those of the first n stars of a seed, drawn under a progress bar."""
    column = simulator.label_names.index(LABEL)
    pieces = []
    for batch in drawn(simulator, seed, n, what):
        noisy, clean, mag, labels = map(np.asarray, (batch.flux, batch.clean, batch.mag, batch.labels))
        pieces.append(channels(simulator, noisy, clean, mag, labels[:, column]))
    return Channels._make(np.concatenate(parts) for parts in zip(*pieces, strict=True))


@jax.jit
def _errors(
    simulator: Simulator, noisy: Array, clean: Array, mag: Array
) -> tuple[Array, Array, Array, Array]:
    """Model and observed errors, the scatter of the latter's logarithm, the mean one of the label-free."""
    noise = simulator.noise

    def one(noisy: Array, clean: Array, mag: Array) -> tuple[Array, Array, Array, Array]:
        per_flux = electrons_per_flux(clean, mag, noise)
        model, observed, label_free = (
            jnp.sqrt(variance_of(x, per_flux, noise))
            for x in (clean, jnp.maximum(noisy, 0.0), jnp.zeros_like(clean))
        )
        scatter = noise.level**2 * model / (2 * per_flux * observed**2)  # d ln error / d flux, times error
        return model, observed, scatter, jnp.log(label_free).mean()

    return jax.vmap(one)(noisy, clean, mag)


@jax.jit
def star_share(simulator: Simulator, clean: Float[Array, "n n_pix"], mag: Float[Array, " n"]) -> Array:
    """The part of the variance that is the star's own light, median over stars and pixels."""
    noise = simulator.noise

    def one(clean: Array, mag: Array) -> Array:
        per_flux = electrons_per_flux(clean, mag, noise)
        rest = variance_of(jnp.zeros_like(clean), per_flux, noise)
        return 1 - rest / variance_of(clean, per_flux, noise)

    return jnp.median(jax.vmap(one)(clean, mag))
