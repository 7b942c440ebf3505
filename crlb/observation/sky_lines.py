"""The emission lines of the night sky, one by one, from the curve of the sky's electrons.

What a sky subtraction leaves of a line has the line's shape: it is one unknown number per line, not noise
that is independent from pixel to pixel. Lines are told from the continuum of the sky by a running quantile,
and from each other by the minima between them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.ndimage import percentile_filter

from crlb.observation.noise import electrons_per_flux
from crlb.observation.noise_curves import NoiseModel

CONTINUUM_PERCENTILE = 30.0  # of the sky within a window: lines cover less than half of any
WINDOW = 201  # pixels, 86 Å
LEAST = 0.25  # of the continuum: below, a line is not told from it and 3 % of it is far below the noise


class SkyLines(NamedTuple):
    """The lines of a sky; a pytree.

    Args:
        electrons: of the lines, per pixel and 900 s exposure; 0 between them.
        line: number of the line each pixel belongs to, increasing; between lines that of the line before
            (0 at first), where `electrons` is 0.
        n: number of lines, as an array of that many zeros, so that its length is static.
    """

    electrons: Float[Array | np.ndarray, " n_pix"]
    line: Int[Array | np.ndarray, " n_pix"]
    n: Float[Array | np.ndarray, " n_lines"]

    def sums(self, values: Float[Array, " n_pix"]) -> Float[Array, " n_lines"]:
        """Returns the sums of `values` over each line's pixels."""
        found: Float[Array, " n_lines"] = jax.ops.segment_sum(
            values, jnp.asarray(self.line), len(self.n), indices_are_sorted=True
        )
        return found

    def flux(
        self, flux: Float[Array, " n_pix"], mag: Float[Array, ""], noise: NoiseModel
    ) -> Float[Array, " n_pix"]:
        """Returns the lines in the unit of a star's flux, as bright as they are before any subtraction.

        Args:
            flux: noiseless flux of the star.
            mag: its AB magnitude in i.
            noise: curves that the lines were found in, with the exposures.
        """
        exposure = noise.exposure
        electrons = jnp.asarray(self.electrons, flux.dtype) * (exposure.n_exp * exposure.time)
        found: Float[Array, " n_pix"] = electrons / electrons_per_flux(flux, mag, noise)
        return found


def sky_lines(noise: NoiseModel) -> SkyLines:
    """Returns the lines of the sky behind a noise model (host)."""
    sky = np.asarray(noise.sky_e, np.float64)
    continuum = percentile_filter(sky, CONTINUUM_PERCENTILE, min(WINDOW, sky.size), mode="nearest")
    lines = np.where(sky > (1 + LEAST) * continuum, sky - continuum, 0.0)
    before, after = np.pad(lines, (1, 0))[:-1], np.pad(lines, (0, 1))[1:]
    minimum = (lines <= before) & (lines < after)  # a line begins here, or at the first pixel above the sky
    begins = (lines > 0) & ((before == 0) | minimum)
    number = np.maximum(np.cumsum(begins) - 1, 0)
    return SkyLines(lines, number.astype(np.int32), np.zeros(max(int(begins.sum()), 1)))
