"""The exact posterior of the labels of each star, given its noisy spectrum: moments, quantiles, ranks.

    p(labels | y) ~ prior(labels) L(labels; y),      L with V(labels), see `crlb.bayes.likelihood`

Computed by `crlb.bayes.solve`; stars of one magnitude share templates. A star for which too few points carry
weight is returned with `converged` False.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Real

from crlb.bayes.likelihood import Stars, make_likelihood
from crlb.bayes.prior import Prior
from crlb.bayes.result import Posterior, joined, no_star
from crlb.bayes.seen import with_seen_directions
from crlb.bayes.solve import Group, Inference, solve, summary
from crlb.errors import DataError, UsageError
from crlb.grids.emulator import Emulator
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import band_mean

__all__ = ["Inference", "Observations", "posterior"]

MAG_BIN = 0.1  # mag: stars this close share templates, as a first guess unless their magnitudes are equal
STARS_AT_ONCE = 1024  # against the templates: 64 MB of likelihoods


@dataclass(frozen=True, eq=False)
class Observations:
    """Noisy spectra of stars on the pixels that a forward model has in use.

    Args:
        flux: observed spectra, in the unit of the model's flux (median about 0.5 over the arm).
        mag: AB magnitude in i of every star, taken as known.
        usable: False for pixels to leave out, whose flux may be anything; None: all are used.
        truth: true labels, for the ranks in `Posterior.cumulative`.
        band_mean: `crlb.observation.noise.band_mean` of the noiseless flux of every star. Read where its
            scale is free: an observer has counted the electrons behind a flux of any unit, as many as the
            magnitude stands for, and models have the noise of the star when they have this mean. None: that
            of the observed flux, which is right to what is unknown of the continuum.
    """

    flux: Real[Array | np.ndarray, "n n_pix"]
    mag: Real[Array | np.ndarray, " n"]
    usable: Bool[Array | np.ndarray, "n n_pix"] | None = None
    truth: Real[Array | np.ndarray, "n n_labels"] | None = None
    band_mean: Real[Array | np.ndarray, " n"] | None = None


def posterior(
    observed: Observations,
    model: ForwardModel,
    prior: Prior,
    *,
    key: Key[Array, ""],
    inference: Inference = Inference(),
    advance: Callable[[int], None] | None = None,
) -> Posterior:
    """Returns mean, standard deviation and quantiles of every label of every star.

    Args:
        observed: the spectra.
        model: how they were seen.
        prior: of all labels of the model, inside its box.
        key: chooses the quasi-random points; same key, same answer.
        inference: what is unknown besides the labels, and how many points to use.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: prior of other labels or wider than the emulator, truth outside the prior.
        DataError: flux or magnitude not finite, different pixels, a star without usable pixel.
    """
    stars = _check_stars(observed, model)
    check_prior(model.emulator, prior)
    known = _check_truth(observed.truth, prior, len(stars.mag))
    if not len(stars.mag):
        return no_star(prior.label_names, len(inference.quantiles))
    if np.isinf(inference.conditions.scale):
        stars = stars._replace(band_mean=_band_mean(observed.band_mean, stars, model))
    with jax.enable_x64(True):  # sums over points in float64 whatever the caller computes in
        like = make_likelihood(model, prior, inference.conditions)
        rows, parts = [np.zeros(0, int)], [no_star(prior.label_names, len(inference.quantiles))]
        seen = with_seen_directions(like, float(stars.mag.min()))  # one for all: its size is compiled
        for chunk in _chunks(np.asarray(stars.mag)):
            some = stars.take(chunk)
            exact = like.exact_at_templates and some.band_mean is None
            groups = _groups(np.asarray(some.mag), exact)
            for done in solve(seen, some, chunk, key=key, inference=inference, groups=groups):
                rows.append(done.rows)
                parts.append(summary(done, prior, known[done.rows], inference.quantiles))
                if advance is not None:
                    advance(len(done.rows))
    return joined(np.concatenate(rows), parts)


def _chunks(mag: np.ndarray) -> list[np.ndarray]:
    """Row numbers of stars that are solved together, neighbours in magnitude, at most `STARS_AT_ONCE`."""
    order = np.argsort(mag, kind="stable")
    return [order[i : i + STARS_AT_ONCE] for i in range(0, len(order), STARS_AT_ONCE)]


def _groups(mag: np.ndarray, exact: bool) -> list[Group]:
    """Places of stars that share templates: within `MAG_BIN`; exact where their magnitudes are equal."""
    bins = np.floor(mag / MAG_BIN + 0.5)
    members = [np.flatnonzero(bins == b) for b in np.unique(bins)]
    return [Group(some, exact and bool(np.ptp(mag[some]) == 0)) for some in members]


def _check_stars(observed: Observations, model: ForwardModel) -> Stars:
    """The stars as checked host arrays on all pixels of the arm, flux 0 and no weight where not used."""
    n_pix, y, mags = len(model.wave), np.asarray(observed.flux), np.asarray(observed.mag, np.float64)
    if y.shape[1] != n_pix:
        raise DataError(f"flux must have the {n_pix} pixels of the model, found {y.shape[1]}")
    mask = np.ones(y.shape, bool) if observed.usable is None else np.asarray(observed.usable)
    if mags.shape != y.shape[:1] or mask.shape != y.shape:
        raise DataError(
            f"mag and usable must be of the {len(y)} stars of flux, found {mags.size} and {len(mask)}"
        )
    if not np.isfinite(mags).all():
        raise DataError(f"mag must be finite, found {mags[~np.isfinite(mags)][0]}")
    bad = ~np.isfinite(y) & mask
    if bad.any():
        star, pixel = np.argwhere(bad)[0]
        raise DataError(
            f"flux must be finite, found {y[star, pixel]} in star {star}, pixel {pixel}; mark it in `usable`"
        )
    if not mask.any(axis=1).all():
        raise DataError(f"star {np.argmin(mask.any(axis=1))} has no usable pixel; leave it out")
    flux = np.where(mask, y, 0.0)
    return Stars(on_arm(model, flux), on_arm(model, mask), mags)


def _band_mean(
    given: Array | np.ndarray | None, stars: Stars, model: ForwardModel
) -> Float[np.ndarray, " n"]:
    """The means of the flux in the i band: those given, or those of the observed flux."""
    found = given
    if given is None:
        with jax.enable_x64(True):
            noise = jax.tree.map(partial(jnp.asarray, dtype=jnp.float64), model.noise)
            flux, usable = (jnp.asarray(x, jnp.float64) for x in stars[:2])
            found = jax.jit(jax.vmap(lambda y, u: band_mean(y, noise, u)))(flux, usable)
    mean = np.asarray(found, np.float64)
    if mean.shape != stars.mag.shape or not (mean > 0).all():
        raise DataError(
            f"band_mean must be positive for each of the {len(stars.mag)} stars: the scale of a flux is free "
            f"where it has one; found {mean[~(mean > 0)][:1].tolist() or mean.shape}"
        )
    return mean


def on_arm(model: ForwardModel, table: np.ndarray) -> np.ndarray:
    """Returns rows on the pixels in use of a model on all pixels of its arm: 0 where not in use."""
    if model.pixels is None:
        return table
    whole = np.zeros((len(table), len(model.emulator.wave)), table.dtype)
    whole[:, np.asarray(model.pixels)] = table
    return whole


def check_prior(emulator: Emulator, prior: Prior) -> None:
    """Refuses a prior that is not one of an emulator's labels.

    Raises:
        UsageError: other labels, or a box wider than the emulator's.
    """
    if prior.label_names != emulator.label_names:
        raise UsageError(
            f"prior must be of the emulator's labels, {', '.join(emulator.label_names)}, found "
            f"{', '.join(prior.label_names)}"
        )
    emulator.check(np.stack([np.asarray(prior.low), np.asarray(prior.high)]))


def _check_truth(truth: Array | np.ndarray | None, prior: Prior, n: int) -> np.ndarray:
    shape = (n, len(prior.label_names))
    if truth is None:
        return np.full(shape, np.nan)
    values = np.asarray(truth, np.float64)
    if values.shape != shape:
        raise UsageError(f"truth must hold {shape[1]} labels of {n} stars, found shape {values.shape}")
    outside = (values < np.asarray(prior.low)) | (values > np.asarray(prior.high))
    if outside.any() or np.isnan(values).any():
        star, i = np.argwhere(outside | np.isnan(values))[0]
        raise UsageError(
            f"truth: {prior.label_names[i]} must lie within the prior, {prior.low[i]:g} to "
            f"{prior.high[i]:g}, found {values[star, i]:g} for star {star}"
        )
    return values
