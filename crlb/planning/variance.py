"""How the noise of a star depends on exposures and magnitude: three curves, exact for any number of either.

With k = 10^(-0.4 (mag - mag_0)) and N exposures, the variance of the flux of `crlb.observation.noise` is

    V(N, k) = photons / (N k) + background / (N k^2) + floor / k^2

where the three are those of one exposure at mag_0: the star's own photons; sky, stray light, dark current and
read noise; and what is left over of the sky, which grows as fast as the star and never averages down. So

    V(infinity, k) = floor / k^2
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from crlb.fisher.matrix import flux_jacobian
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import electrons_per_flux, variance_of
from crlb.observation.noise_curves import NoiseModel
from crlb.observation.nuisance import NuisanceModel
from crlb.observation.star import Star

CHUNK = 16  # stars computed together: 12 MB at 4096 pixels and 3 labels in float64


class Shares(NamedTuple):
    """What the three parts of the variance are multiplied by: photons, background, floor."""

    photons: float
    background: float
    floor: float


def shares(n_exp: int | float, fainter: float) -> Shares:
    """Returns 1/(N k), 1/(N k^2) and 1/k^2.

    Args:
        n_exp: number of exposures, N; inf: the limit.
        fainter: by how many magnitudes the star is fainter than the one the parts are of.
    """
    dimmer = 10 ** (0.4 * fainter)
    return Shares(dimmer / n_exp, dimmer**2 / n_exp, dimmer**2)


def variance_parts(
    flux: Float[Array, " n_arm"], mag: Real[ArrayLike, ""], noise: NoiseModel
) -> Float[Array, "3 n_arm"]:
    """Returns photons, background and floor of one exposure, flux^2; their sum is the variance in it.

    Args:
        flux: noiseless flux per Å on all pixels of the arm.
        mag: AB magnitude in i.
        noise: curves on the same pixels; of its exposure the length and the seeing count.
    """
    one = noise.with_exposure(replace(noise.exposure, n_exp=1))
    dark = replace(one, sky_e=0 * one.sky_e, stray_e=0.0, dark_var=0.0, read_var=0.0)
    averaging, lasting = replace(one, sky_floor=0.0), dark
    per_flux = electrons_per_flux(flux, mag, one)
    photons = variance_of(flux, per_flux, replace(dark, sky_floor=0.0))
    return jnp.stack([photons, *(variance_of(0 * flux, per_flux, part) for part in (averaging, lasting))])


class Seen(NamedTuple):
    """A star on the pixels in use; arrays, of many stars along a leading axis.

    Args:
        flux: noiseless.
        jac: its derivatives by the unknowns.
        parts: of the variance in one exposure: photons, background, floor.
        slopes: their derivatives by the unknowns; zero where there are nuisances, as in `Star`.
    """

    flux: Float[Array, "*n n_pix"]
    jac: Float[Array, "*n n_pix m"]
    parts: Float[Array, "*n 3 n_pix"]
    slopes: Float[Array, "*n 3 n_pix m"]


@jax.jit
def see(
    model: ForwardModel,
    nuisances: NuisanceModel | None,
    labels: Float[Array, "n n_labels"],
    mags: Float[Array, " n"],
) -> Seen:
    """Returns stars as `crlb.observation.star.observe` sees each of them, for any number of exposures."""
    pixels = slice(None) if model.pixels is None else model.pixels

    def one(labels: Float[Array, " n_labels"], mag: Float[Array, ""]) -> Seen:
        flux_fn = model.emulator if nuisances is None else nuisances
        jac = flux_jacobian(flux_fn, labels if nuisances is None else nuisances.at_rest(labels))
        flux = model.emulator(labels)
        parts, push = jax.linearize(lambda flux: variance_parts(flux, mag, model.noise), flux)
        known = nuisances is not None and bool(nuisances.nuisance_rest)
        slopes = jnp.zeros((3, *jac.shape)) if known else jax.vmap(push, 1, 2)(jac)
        return Seen(flux[pixels], jac[pixels], parts[:, pixels], slopes[:, pixels])

    return jax.vmap(one)(labels, mags)


@dataclass(frozen=True, eq=False)
class AnyExposure:
    """One star through one instrument, in any number of exposures and at any magnitude. Host arrays.

    Args:
        star: at its magnitude; its variance, that of no exposure, is not read.
        parts: of its variance in one exposure: photons, background, floor, flux^2.
        slopes: their derivatives by the unknowns of the star; zero where there are nuisances, as in `Star`.
    """

    star: Star
    parts: Float[np.ndarray, "3 n_pix"]
    slopes: Float[np.ndarray, "3 n_pix n"]

    def at(self, n_exp: int | float, mag: float | None = None) -> Star:
        """Returns the star in so many exposures, also inf, at this AB magnitude, by default its own.

        What `crlb.observation.star.observe` gives for such a model and magnitude.
        """
        mag = self.star.mag if mag is None else mag
        weight = np.array(shares(n_exp, mag - self.star.mag))
        return replace(
            self.star,
            mag=float(mag),
            variance=np.tensordot(weight, self.parts, 1),
            variance_jac=np.tensordot(weight, self.slopes, 1),
        )

    @property
    def floored(self) -> bool:
        """Whether some noise of every pixel never averages down."""
        return bool((self.parts[2] > 0).all())


def any_exposures(
    model: ForwardModel,
    nuisances: NuisanceModel | None,
    labels: Float[np.ndarray, "n n_labels"],
    mag: float,
) -> list[AnyExposure]:
    """Returns stars of one magnitude for any number of exposures; in memory together.

    Args:
        model: how they are seen; of its exposures the length and the seeing count.
        nuisances: flux(labels, nuisances) with its emulator; None: no more than the labels is unknown.
        labels: of the stars, in the model's order; NaN comes of those outside the grid.
        mag: AB magnitude in i.
    """
    with jax.enable_x64(True):
        double = model.astype(jnp.float64)
        points = jnp.asarray(labels, jnp.float64)
        nuisances = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), nuisances)
        seen = see(double, nuisances, points, jnp.full(len(points), float(mag)))
        vectors = np.asarray(points if nuisances is None else nuisances.at_rest(points))
        flux, jac, parts, slopes = map(np.asarray, seen)
    names = model.label_names if nuisances is None else nuisances.label_names
    wave, nothing = np.asarray(model.wave), np.zeros_like(flux[0])
    return [
        AnyExposure(Star(names, vector, float(mag), wave, flux, nothing, jac, 0 * jac), parts, slopes)
        for vector, flux, jac, parts, slopes in zip(vectors, flux, jac, parts, slopes, strict=True)
    ]


def each_in_any_exposures(
    model: ForwardModel,
    nuisances: NuisanceModel | None,
    labels: Float[np.ndarray, "n n_labels"],
    mag: float,
) -> Iterator[AnyExposure]:
    """Yields the stars of `any_exposures`, of which 16 are in memory together."""
    for start in range(0, len(labels), CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), len(labels) - 1)  # one size: one compilation
        yield from any_exposures(model, nuisances, labels[rows], mag)[: len(labels) - start]
