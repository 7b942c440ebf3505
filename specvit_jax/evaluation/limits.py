"""What can be known of a simulator's stars: Cramer-Rao bound and exact posterior under its own noise.

A second door to crlb beside `spectra/source.py`: the bound means something only with the forward model that
made the spectra, so it takes that of the simulator.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from crlb.bayes.classes import Above, probability_above
from crlb.bayes.population import Population
from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.bayes.prior import Prior, make_prior
from crlb.bayes.result import Posterior
from crlb.errors import UsageError
from crlb.fisher.field import fisher_field
from crlb.fisher.matrix import bounds
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import band_mean
from specvit_jax.spectra.priors import Snapped
from specvit_jax.spectra.source import CHUNK, Simulator

SEED = 0  # of the quasi-random points of exact posteriors


def label_box(simulator: Simulator) -> tuple[Float[np.ndarray, " n_labels"], Float[np.ndarray, " n_labels"]]:
    """Lower and upper edge of every label of a simulator's stars, in the label's unit."""
    prior = simulator.prior.box if isinstance(simulator.prior, Snapped) else simulator.prior
    return np.asarray(prior.low, np.float64), np.asarray(prior.high, np.float64)


def cramer_rao(
    simulator: Simulator, labels: Float[np.ndarray, "n n_labels"], mags: Float[np.ndarray, "*star n_mag"]
) -> Float[np.ndarray, "n n_mag n_labels"]:
    """The 1-sigma Cramer-Rao bound of every label, in its unit, all that vary unknown; float64.

    0 for labels that the simulator holds; NaN where the spectrum does not tell the labels apart.

    Args:
        simulator: whose forward model.
        labels: of the stars, within the grid.
        mags: AB magnitudes in i: the same for all stars, or a row for each.
    """
    low, high = label_box(simulator)
    columns = tuple(np.flatnonzero(low < high).tolist())
    with jax.enable_x64(True):
        fishers = fisher_field(in_float64(simulator), mags, labels, columns=columns)
        sigma = bounds(fishers.reshape(-1, len(columns), len(columns))).sigma
    found = np.zeros((len(labels), mags.shape[-1], len(low)))
    found[..., columns] = sigma.reshape(len(labels), mags.shape[-1], len(columns))
    return found


def exact_posterior(
    simulator: Simulator,
    flux: Float[np.ndarray, "n n_pix"],
    mag: Float[np.ndarray, " n"],
    truth: Float[np.ndarray, "n n_labels"] | None = None,
    *,
    usable: Float[np.ndarray, "n n_pix"] | None = None,
    gain: Float[np.ndarray, " n"] | None = None,
) -> Posterior:
    """The exact posterior of observed stars under the simulator's prior and conditions; float64.

    Velocity and line-spread width, where unknown, are labels behind the simulator's.

    Args:
        simulator: what the spectra were drawn from.
        flux: observed spectra.
        mag: AB magnitude in i of every star, taken as known.
        truth: true labels, whose ranks among the points are wanted. Where the scale is free they also tell
            how many electrons the simulator took a unit of flux for.
        usable: 0 for pixels that are lost; None: none is.
        gain: what the flux was multiplied by; None: 1.

    Raises:
        UsageError: the simulator's prior has no density (snapped), or holds a label.
    """
    prior = density(simulator)
    observed = _observations(simulator, flux, mag, truth, usable, gain)
    with jax.enable_x64(True):
        inference = Inference(simulator.observing.conditions)
        return posterior(
            observed, in_float64(simulator), prior, key=jax.random.key(SEED), inference=inference
        )


def exact_probability(
    simulator: Simulator,
    flux: Float[np.ndarray, "n n_pix"],
    mag: Float[np.ndarray, " n"],
    truth: Float[np.ndarray, "n n_labels"] | None = None,
    *,
    above: tuple[str, float],
    usable: Float[np.ndarray, "n n_pix"] | None = None,
    gain: Float[np.ndarray, " n"] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Above:
    """The exact probability that a label of observed stars lies above a value; `exact_posterior` otherwise.

    Its `accuracy` is the highest that anyone can expect who knows spectra and prior.

    Args:
        simulator: what the spectra were drawn from.
        flux: observed spectra.
        mag: AB magnitude in i of every star, taken as known.
        truth: true labels; read where the scale is free only, as in `exact_posterior`.
        above: name of the label, and the value in its unit.
        usable: 0 for pixels that are lost; None: none is.
        gain: what the flux was multiplied by; None: 1.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: as `exact_posterior`; no such label, or a value outside its prior.
    """
    prior = density(simulator)
    observed = _observations(simulator, flux, mag, truth, usable, gain)
    with jax.enable_x64(True):
        inference, key = Inference(simulator.observing.conditions), jax.random.key(SEED)
        return probability_above(
            observed, in_float64(simulator), prior, *above, key=key, inference=inference, advance=advance
        )


def _observations(
    simulator: Simulator,
    flux: Float[np.ndarray, "n n_pix"],
    mag: Float[np.ndarray, " n"],
    truth: Float[np.ndarray, "n n_labels"] | None,
    usable: Float[np.ndarray, "n n_pix"] | None,
    gain: Float[np.ndarray, " n"] | None,
) -> Observations:
    """Spectra of a simulator as the posterior takes them; arguments as of `exact_posterior`."""
    conditions = simulator.observing.conditions
    if conditions.drawn:
        drawn = ", ".join(conditions.drawn)
        raise UsageError(f"the posterior needs {drawn} of every star; give conditions without")
    flux = flux if gain is None else flux / gain[:, None]
    mean = None
    if truth is not None and np.isinf(conditions.scale):
        mean = band_means(simulator, truth)
    if truth is not None and simulator.moved:
        truth = np.hstack([truth, [[centre for centre, _ in simulator.moved]] * len(truth)])
    return Observations(flux, mag, None if usable is None else usable > 0, truth, mean)


def band_means(simulator: Simulator, labels: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, " n"]:
    """`crlb.observation.noise.band_mean` of the noiseless flux of stars, at the mean velocity and width."""
    one = jax.jit(lambda labels: jax.vmap(partial(band_mean, noise=simulator.noise))(simulator.clean(labels)))
    pieces = [np.asarray(one(labels[i : i + CHUNK])) for i in range(0, len(labels), CHUNK)]
    return np.concatenate(pieces).astype(np.float64)


def has_density(simulator: Simulator) -> bool:
    """Whether `exact_posterior` exists: every label varies with a density."""
    low, high = label_box(simulator)
    return not isinstance(simulator.prior, Snapped | Population) and bool((low < high).all())


def in_float64(simulator: Simulator) -> ForwardModel:
    """The forward model for sums that need it; call it under ``jax.enable_x64``."""
    return simulator.model.astype(jnp.float64)


def density(simulator: Simulator) -> Prior:
    """The prior of all labels of the model; those of velocity and width as they are drawn.

    Raises:
        UsageError: the simulator's prior has no density (snapped), or holds a label.
    """
    prior, emulator = simulator.prior, simulator.emulator
    if isinstance(prior, Snapped | Population):
        way = "data.prior must be continuous"
        if isinstance(prior, Population):
            way = "leave out data.population (crlb ceiling --population has the limit of its stars)"
        raise UsageError(f"the posterior needs a prior with a density; {way}")
    n, names = len(simulator.label_names), emulator.label_names
    low, high = (
        np.concatenate([own, axes[n:]])
        for own, axes in zip(label_box(simulator), (emulator.low, emulator.high), strict=True)
    )
    shapes, moved = {}, dict(zip(names[n:], simulator.moved, strict=True))
    if isinstance(prior, Prior):
        pairs = zip(*(np.asarray(x, np.float64) for x in (prior.a, prior.b)), strict=True)
        shapes = dict(zip(prior.label_names, pairs, strict=True))
    return make_prior(low, high, names, shapes, moved)
