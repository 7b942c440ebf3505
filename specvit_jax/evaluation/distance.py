"""How far a spectrum is from those a network was trained on, and how it is scaled as these are.

Training spectra are Gaussian to good approximation: mean m, components V (n_pix x k, orthonormal) of standard
deviations L, independent noise s in every pixel, infinite where a pixel is unusable. The Mahalanobis distance
of a spectrum d falls into two parts, with c the least-squares coefficients and F = V^T diag(1/s^2) V:

    within  = c^T (L^2 + F^-1)^-1 c          is its shape that of a star of the training?
    outside = sum ((d - m - V c) / s)^2      is it a spectrum of this kind at all?   chi2 of n - k

Where the sky's lines are strong, what is left of them is not in the errors; only pixels that are calm
(`TrainingSet.calm`) count in sums, scale and fit. n is their number.

The noise is the star's, and 2 % of the flux: no model comes closer to real stars, and a bright one is not
strange for that. `within` is compared with the same number of every spectrum of the training under
the star's own noise and pixels; `outside` with chi2. The p-value is twice the smaller of both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float

from specvit_jax.evaluation.training_set import TrainingSet

WRONG_ERRORS = 1.5  # errors may be so much too small before a spectrum counts as strange
UNKNOWN = 1e-3  # information on a coefficient, relative to its prior's, below which it counts as not seen
AMPLITUDES = (0.2, 5.0)  # left to the most likely one, relative to the ratio of the medians
MODEL_ERROR = 0.02  # of the flux: what real stars may differ from the best model of their kind
PIECE = 16  # spectra compared at once
TINY = 1e-30  # where no pixel is usable


class Compared(NamedTuple):
    """What the comparison of spectra with a training set says of each.

    Args:
        flux: at the scale of the training; where unusable, that of the most likely mixture of its spectra.
        scale: factor that brought it there.
        distance: Mahalanobis distance per square root of the calm pixels; about 1 for those of the training.
        p_value: share of spectra of the training that are farther.
        scatter: of neighbouring pixels around the model, relative to the errors; 1 where these are right.
    """

    flux: Float[np.ndarray, "n n_pix"]
    scale: Float[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    p_value: Float[np.ndarray, " n"]
    scatter: Float[np.ndarray, " n"]


class Frame(NamedTuple):
    """A training set on the device, prepared."""

    mean: Float[Array, " n_pix"]
    directions: Float[Array, "n_pix k"]  # in which the coefficients are of order one
    products: Float[Array, "n_pix pairs"]  # of two directions, the first not after the second
    known: Float[Array, "m k"]
    draws: Float[Array, "m k"]
    floor: Float[Array, " n_pix"]
    calm: Float[Array, " n_pix"]  # 1 for pixels that count, else 0


class Fit(NamedTuple):
    """One spectrum fitted with the components."""

    model: Float[Array, " n_pix"]
    amplitude: Float[Array, ""]
    within: Float[Array, ""]
    outside: Float[Array, ""]
    farther: Float[Array, ""]
    scatter: Float[Array, ""]
    seen: Float[Array, ""]


def make_frame(training: TrainingSet) -> Frame:
    """The training set prepared for `compare`, with one noise draw for each of its spectra."""
    draws = np.random.default_rng(0).normal(size=training.coefficients.shape)
    deviation = training.deviation
    floor = np.hypot(MODEL_ERROR * training.mean, training.rest)
    directions = training.basis * deviation
    one, other = np.triu_indices(len(deviation))
    arrays = (
        training.mean, directions, directions[:, one] * directions[:, other],
        training.coefficients / deviation, draws, floor, training.calm,
    )  # fmt: skip
    return Frame(*(jnp.asarray(array, jnp.float32) for array in arrays))


def compare(flux: Float[np.ndarray, "n n_pix"], ivar: Float[np.ndarray, "n n_pix"], frame: Frame) -> Compared:
    """Scales spectra as those of a training set are and says how far they are from it.

    Those have a median of 0.5 without their noise. The flux is brought to that scale by the most likely
    amplitude of a training spectrum under noise: a = m^T C^-1 d / m^T C^-1 m with C = V L^2 V^T + diag(s^2).
    It is not drawn away by noise or missing pixels, as the median of the flux itself is.

    Args:
        flux: on the pixels of the training, any positive scale; not read where not usable.
        ivar: inverse variance in 1/flux^2; 0 = unusable.
        frame: of the training set.
    """
    mean = np.asarray(frame.mean)
    first = np.array([_first_scale(one, weight > 0, mean) for one, weight in zip(flux, ivar, strict=True)])
    scale = first / np.asarray(_fits(*_scaled(flux, ivar, first), frame).amplitude)
    fit = jax.tree.map(np.asarray, _fits(*_scaled(flux, ivar, scale), frame))
    counted = ((ivar > 0) & (np.asarray(frame.calm) > 0)).sum(axis=1)
    left = np.maximum(counted - fit.seen, 1)
    softened = np.clip(fit.scatter, 1.0, WRONG_ERRORS) ** 2
    outside = scipy.stats.chi2.sf(fit.outside.astype(np.float64) / softened, left)
    within = (1 + fit.farther) / (1 + len(frame.known))
    distance = np.sqrt((fit.within + fit.outside) / np.maximum(counted, 1))
    p_value = np.minimum(2 * np.minimum(outside, within), 1.0)
    filled = np.where(ivar > 0, flux * scale[:, None], fit.model).astype(np.float32)
    return Compared(filled, scale, distance, p_value, fit.scatter)


def _first_scale(flux: np.ndarray, usable: np.ndarray, mean: np.ndarray) -> float:
    """Of the median over the usable pixels, relative to that of the mean spectrum over the same ones."""
    if not usable.any():
        return 1.0
    middle = float(np.median(flux[usable]))
    return float(np.median(mean[usable])) / middle if middle > 0 else 1.0


def _scaled(flux: np.ndarray, ivar: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    factor = scale[:, None]
    scaled = np.where(ivar > 0, flux * factor, 0.0).astype(np.float32)
    return scaled, (ivar / factor**2).astype(np.float32)


@jax.jit
def _fits(flux: Float[Array, "n n_pix"], ivar: Float[Array, "n n_pix"], frame: Frame) -> Fit:
    found: Fit = jax.lax.map(lambda one: _fit(one[0], one[1], frame), (flux, ivar), batch_size=PIECE)
    return found


def _fit(flux: Float[Array, " n_pix"], ivar: Float[Array, " n_pix"], frame: Frame) -> Fit:
    usable = (ivar > 0) & (frame.calm > 0)
    error2 = 1 / jnp.where(usable, ivar, 1.0) + frame.floor**2
    weight = jnp.where(usable, 1 / error2, 0.0)
    apart = flux - frame.mean
    information, axes = jnp.linalg.eigh(_information(weight, frame))
    seen = information > UNKNOWN
    known = jnp.where(seen, information, 1.0)
    slope = axes.T @ (frame.directions.T @ (weight * apart))
    of_mean = axes.T @ (frame.directions.T @ (weight * frame.mean))
    within = jnp.where(seen, slope / jnp.sqrt(known * (1 + known)), 0.0)
    drawn = jnp.sqrt(known)[None] * (frame.known @ axes) + frame.draws
    drawn = jnp.where(seen[None], drawn / jnp.sqrt(1 + known)[None], 0.0)
    others = jnp.sum(drawn**2, axis=1)
    nearest = frame.directions @ (axes @ jnp.where(seen, slope / known, 0.0))
    total = 1 + jnp.maximum(information, 0.0)
    # mean^T C^-1 apart, relative to mean^T C^-1 mean: what the amplitude is more than one
    excess = jnp.sum(weight * frame.mean * apart) - jnp.sum(of_mean * slope / total)
    excess /= jnp.maximum(jnp.sum(weight * frame.mean**2) - jnp.sum(of_mean**2 / total), TINY)
    left = jnp.where(usable, (apart - nearest) * jnp.sqrt(weight), 0.0)
    pairs = usable[1:] & usable[:-1]
    scatter = jnp.sum(jnp.where(pairs, jnp.diff(left) ** 2, 0.0)) / (2 * jnp.maximum(pairs.sum(), 1))
    return Fit(
        model=frame.mean + frame.directions @ (axes @ (slope / total)),
        amplitude=jnp.clip(1 + excess, *AMPLITUDES),
        within=jnp.sum(within**2),
        outside=jnp.sum(left**2),
        farther=jnp.sum(others >= jnp.sum(within**2)),
        scatter=jnp.sqrt(scatter),
        seen=jnp.sum(seen),
    )


def _information(weight: Float[Array, " n_pix"], frame: Frame) -> Float[Array, "k k"]:
    """L F L: of the coefficients in units of their deviations."""
    k = frame.directions.shape[1]
    one, other = np.triu_indices(k)
    upper = jnp.zeros((k, k), weight.dtype).at[one, other].set(weight @ frame.products)
    return upper + jnp.triu(upper, 1).T
