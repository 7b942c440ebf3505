"""The Fisher matrix of one star under conditions: nuisances with their priors, sky lines, lost pixels."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.fisher.algebra import LabelledFisher, add_prior, labelled
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel
from crlb.observation.sky_lines import sky_lines
from crlb.observation.star import Star


def prior_sigmas(conditions: Conditions, lsf_fwhm: float) -> dict[str, float]:
    """Returns 1 sigma of the Gaussian priors of the nuisances by name, in their units; none where flat."""
    tilts = {f"continuum_{k + 1}": conditions.continuum_sigma for k in range(conditions.continuum)}
    found = {"amplitude": conditions.scale, **tilts, "rv_kms": conditions.rv_sigma_kms}
    found |= {"lsf_fwhm": conditions.lsf_sigma * lsf_fwhm}
    return {name: sigma for name, sigma in found.items() if 0 < sigma < np.inf}


def fisher_under(star: Star, model: ForwardModel, conditions: Conditions) -> LabelledFisher:
    """Returns the Fisher matrix of labels and nuisances, F = J^T C^-1 J + priors, in float64.

    C is the variance of the pixels, that of the model's error included, and f^2 T_l T_l^T of every line of
    the sky, inverted line by line (`crlb.bayes.sky` has the formula). Of pixels that are lost at random the
    share that stays is taken as the share of the information: their 1/V is multiplied by 1 - lost. The noise
    counts as known: a free scale leaves the size of the noise without meaning.

    Args:
        star: with the nuisances of `nuisances_of` among its unknowns.
        model: how it was seen.
        conditions: what is unknown of it.
    """
    ivar = (1 - conditions.lost) / (star.variance + (conditions.model_error * star.flux) ** 2)
    fisher = (star.jac.T * ivar) @ star.jac
    if conditions.sky_left:
        lines = _lines(star, model)
        shared = (lines * ivar) @ star.jac
        power = 1 / conditions.sky_left**2 + (lines**2) @ ivar
        fisher = fisher - (shared.T / power) @ shared
    with jax.enable_x64(True):
        found = labelled(jnp.asarray(fisher), star.label_names)
        return add_prior(found, prior_sigmas(conditions, model.instrument.lsf_fwhm))


def _lines(star: Star, model: ForwardModel) -> np.ndarray:
    """The lines of the sky, one per row, on the pixels in use and in the unit of the flux."""
    lines = sky_lines(model.noise)
    n = len(model.emulator.label_names)
    with jax.enable_x64(True):
        arm = _flux(model, jnp.asarray(star.labels[:n]))
        shape = np.asarray(lines.flux(arm, jnp.asarray(star.mag), model.noise))
    some = slice(None) if model.pixels is None else np.asarray(model.pixels)
    own = np.asarray(lines.line)[None, :] == np.arange(len(lines.n))[:, None]
    found: np.ndarray = (own * shape)[:, some]
    kept: np.ndarray = found[(found != 0).any(axis=1)]
    return kept


@jax.jit
def _flux(model: ForwardModel, labels: Float[Array, " n_labels"]) -> Float[Array, " n_arm"]:
    return model.emulator(labels)
