"""A star as an observer gets it: noisy flux on a scale of its own, pixels that can be used, under conditions.

    flux = g [(s + sum_k c_k P_k) S + sum_l a_l T_l + noise]

with the unknowns of `crlb.observation.conditions`; velocity and width are in S already. Where the scale is
free, g brings the level of the noisy flux to 0.5, else it is 1. Where nothing is unknown (`PUBLISHED`) the
flux is that of `crlb.observation.noise.draw`.
"""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.errors import UsageError
from crlb.observation import noise as noise_module
from crlb.observation.conditions import LEVEL, PUBLISHED, Conditions, polynomials
from crlb.observation.exposure import SEEING_ARCSEC, SEEING_FACTOR
from crlb.observation.noise_curves import NoiseModel
from crlb.observation.sky_lines import SkyLines, sky_lines

MAX_DRAWN_SCALE = 0.3  # 1-sigma: of more, some fluxes would be negative


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Seen:
    """One observed spectrum, or many along a leading axis; a pytree.

    Args:
        flux: as observed, 0 where lost.
        error: 1-sigma noise of the true flux, what is left of the sky not included. It knows the noiseless
            flux: never an input of an estimator.
        usable: 1 for pixels that can be used, 0 for those that are lost.
        gain: what flux and error were multiplied by (g); for exact posteriors, whose noise is known in the
            unit of the model.
        clean: the flux without noise and without what is left of the sky, multiplied by g as well.
    """

    flux: Float[Array, "*n n_pix"]
    error: Float[Array, "*n n_pix"]
    usable: Float[Array, "*n n_pix"]
    gain: Float[Array, "*n"]
    clean: Float[Array, "*n n_pix"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Observing:
    """What turns noiseless spectra into observed ones; a pytree. `observing` makes it.

    Args:
        noise: curves of the instrument and the sky, with exposure and level.
        curves: polynomials of the continuum, of order 0 and up.
        sky: lines of the sky.
        conditions: what is unknown besides the labels.
    """

    noise: NoiseModel
    curves: Float[Array | np.ndarray, "q n_pix"]
    sky: SkyLines
    conditions: Conditions = field(default=PUBLISHED, metadata={"static": True})

    def see(self, key: Key[Array, ""], flux: Float[Array, " n_pix"], mag: Float[Array, ""]) -> Seen:
        """Returns one star as observed.

        Args:
            key: of all that is random; under `PUBLISHED` the noise is that of `draw` with this key.
            flux: noiseless flux, velocity and line-spread width included.
            mag: AB magnitude in i.
        """
        if self.conditions == PUBLISHED:
            noisy, error = noise_module.draw(key, flux, mag, self.noise)
            return Seen(noisy, error, jnp.ones_like(noisy), jnp.ones((), flux.dtype), flux)
        keys, mag = jax.random.split(key, 5), self.magnitude(key, mag)
        noisy, error = noise_module.draw(keys[1], flux, mag, self._exposed(keys[0]))
        response = self._response(keys[2], flux)
        noisy = noisy + response + self._sky(keys[3], flux, mag)
        usable = lost_pixels(keys[4], self.conditions, flux.shape[0], flux.dtype)
        gain = self._gain(noisy, usable)
        return Seen(gain * noisy * usable, gain * error, usable, gain, gain * (flux + response))

    def sky_sigma(self, flux: Float[Array, " n_pix"], mag: Float[Array, ""]) -> Float[Array, " n_pix"]:
        """Returns the standard deviation of what is left over of the sky's lines, in the unit of the flux."""
        return self.conditions.sky_left * self.sky.flux(flux, mag, self.noise)

    @property
    def deepest(self) -> NoiseModel:
        """The noise of the longest and most exposures that are drawn, beside which the least is hidden."""
        exposure, conditions = self.noise.exposure, self.conditions
        longest = exposure.exptime_s if conditions.exptime_s is None else conditions.exptime_s[1]
        most = exposure.n_exp if conditions.n_exp is None else conditions.n_exp[1]
        return self.noise.stretched(
            jnp.asarray(longest / exposure.exptime_s), jnp.asarray(most / exposure.n_exp)
        )

    def magnitude(self, key: Key[Array, ""], mag: Float[Array, ""]) -> Float[Array, ""]:
        """Returns the magnitude that the star of this key has in the seeing of the noise's exposure.

        Its own seeing makes it brighter or fainter; an observer knows both.
        """
        return mag - self.brighter(jax.random.split(key, 5)[0])

    def brighter(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Returns by how many magnitudes the seeing of this key makes a star brighter."""
        if self.conditions.seeing_arcsec is None:
            return jnp.zeros(())
        low, high = self.conditions.seeing_arcsec
        seeing = jax.random.uniform(key, (), minval=low, maxval=high)
        factor = jnp.interp(seeing, jnp.asarray(SEEING_ARCSEC), jnp.asarray(SEEING_FACTOR))
        return 2.5 * jnp.log10(factor / self.noise.exposure.seeing_factor)

    def _exposed(self, key: Key[Array, ""]) -> NoiseModel:
        """The noise of the exposures of the star with this key."""
        exposure, conditions = self.noise.exposure, self.conditions
        if conditions.exptime_s is None and conditions.n_exp is None:
            return self.noise
        time_key, number_key = jax.random.split(jax.random.fold_in(key, 1))
        longer = more = jnp.ones(())
        if (time := conditions.exptime_s) is not None:
            longer = jax.random.uniform(time_key, (), minval=time[0], maxval=time[1]) / exposure.exptime_s
        if (n := conditions.n_exp) is not None:
            more = jax.random.randint(number_key, (), int(n[0]), int(n[1]) + 1) / exposure.n_exp
        return self.noise.stretched(longer, more)

    def level(self, flux: Float[Array, " n_pix"], usable: Float[Array, " n_pix"]) -> Float[Array, ""]:
        """Returns the mean flux over the pixels that can be used, weighted by 1/variance of the sky.

        The weights know nothing of the star.
        """
        weight = usable / noise_module.background(self.noise).astype(flux.dtype)
        return jnp.sum(weight * flux) / jnp.sum(weight)

    def _response(self, key: Key[Array, ""], flux: Float[Array, " n_pix"]) -> Float[Array, " n_pix"]:
        """What scale and continuum change of the flux."""
        conditions = self.conditions
        sigma = [conditions.scale if math.isfinite(conditions.scale) else 0.0]
        sigma += [conditions.continuum_sigma] * conditions.continuum
        change = jnp.asarray(sigma, flux.dtype) * jax.random.normal(key, (len(sigma),), flux.dtype)
        return flux * jnp.matmul(change, jnp.asarray(self.curves, flux.dtype), precision="highest")

    def _sky(
        self, key: Key[Array, ""], flux: Float[Array, " n_pix"], mag: Float[Array, ""]
    ) -> Float[Array, " n_pix"]:
        """What is left over of the sky's lines."""
        if not self.conditions.sky_left:
            return jnp.zeros_like(flux)
        share = jax.random.normal(key, self.sky.n.shape, flux.dtype)
        return share[self.sky.line] * self.sky_sigma(flux, mag)

    def _gain(self, noisy: Float[Array, " n_pix"], usable: Float[Array, " n_pix"]) -> Float[Array, ""]:
        if math.isfinite(self.conditions.scale):
            return jnp.ones((), noisy.dtype)
        return LEVEL / self.level(noisy, usable)


def observing(noise: NoiseModel, conditions: Conditions = PUBLISHED) -> Observing:
    """Returns what observes stars under these conditions, through an instrument of this noise (host).

    Raises:
        UsageError: a prior that nothing can be drawn from: flat, or of a scale above 0.3; a seeing outside
            the table.
    """
    _check_drawable(conditions)
    wave = np.asarray(noise.wave, np.float64)
    curves = polynomials(wave, float(wave.min()), float(wave.max()), conditions.continuum)
    return Observing(noise, curves.astype(np.asarray(noise.wave).dtype), sky_lines(noise), conditions)


def lost_pixels(
    key: Key[Array, ""], conditions: Conditions, n_pix: int, dtype: np.dtype
) -> Float[Array, " n_pix"]:
    """Returns 1 for pixels that can be used, 0 for those that are lost: half one by one, half in blocks."""
    if not conditions.lost:
        return jnp.ones(n_pix, dtype)
    one, block = jax.random.split(key)
    single = jax.random.bernoulli(one, conditions.lost / 2, (n_pix,))
    length = conditions.lost_block
    starts = jax.random.bernoulli(block, conditions.lost / 2 / length, (n_pix + length - 1,))
    begun = jnp.cumsum(jnp.pad(starts.astype(jnp.int32), (1, 0)))
    blocks = begun[length:] > begun[:n_pix]
    return 1 - (single | blocks).astype(dtype)


def _check_drawable(conditions: Conditions) -> None:
    if math.isfinite(conditions.scale) and conditions.scale > MAX_DRAWN_SCALE:
        raise UsageError(
            f"scale: stars can be drawn with at most {MAX_DRAWN_SCALE}, or with inf, where the flux is "
            f"handed on at a level of its own; found {conditions.scale:g}"
        )
    if conditions.continuum and not math.isfinite(conditions.continuum_sigma):
        raise UsageError("continuum_sigma: stars cannot be drawn from a flat prior; give a sigma, say 0.1")
    if not math.isfinite(conditions.rv_sigma_kms):
        raise UsageError("rv_sigma_kms: stars cannot be drawn from a flat prior; give a sigma in km/s")
    if (seeing := conditions.seeing_arcsec) is not None:
        low, high = seeing
        if not SEEING_ARCSEC[0] <= low <= high <= SEEING_ARCSEC[-1]:
            raise UsageError(
                f"seeing_arcsec must be (best, worst) within {SEEING_ARCSEC[0]} to {SEEING_ARCSEC[-1]} "
                f"arcsec, found {low:g} to {high:g}"
            )
