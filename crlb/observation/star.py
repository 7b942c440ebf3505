"""One star as it is seen: flux, derivatives and noise of the pixels in use, and its Fisher matrix."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from crlb.errors import UsageError
from crlb.fisher.algebra import LabelledFisher, labelled
from crlb.fisher.matrix import fisher_information, flux_jacobian
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import snr
from crlb.observation.nuisance import NuisanceModel

_information = jax.jit(fisher_information)  # asked for thousands of times by `crlb plan --population`


@dataclass(frozen=True, eq=False)
class Star:
    """A star on the pixels in use; `label_names` are its unknowns: labels, then nuisances.

    Args:
        labels: values of the unknowns, in label units.
        mag: AB magnitude in i.
        wave: pixel centres, vacuum Å.
        flux: noiseless flux per Å, median about 0.5 over the arm.
        variance: noise variance, flux^2.
        jac: derivatives of the flux by the unknowns.
        variance_jac: derivatives of the variance; zero where there are nuisances, as with a free flux scale
            the size of the noise would tell the scale.
    """

    label_names: tuple[str, ...]
    labels: Float[np.ndarray, " n"]
    mag: float
    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    variance: Float[np.ndarray, " n_pix"]
    jac: Float[np.ndarray, "n_pix n"]
    variance_jac: Float[np.ndarray, "n_pix n"]

    @property
    def error(self) -> Float[np.ndarray, " n_pix"]:
        """1-sigma noise of every pixel, in the unit of the flux."""
        found: Float[np.ndarray, " n_pix"] = np.sqrt(self.variance)
        return found

    @property
    def snr(self) -> float:
        """Median of flux/error over the pixels in use."""
        with jax.enable_x64(True):
            return float(snr(jnp.asarray(self.flux), jnp.asarray(self.error)))

    def fisher(self, variance_term: bool = True) -> LabelledFisher:
        """Returns the Fisher matrix of the unknowns: `star.fisher().bound("log_g")` is a 1-sigma bound.

        Args:
            variance_term: whether to count what the noise level itself tells about the labels.
        """
        with jax.enable_x64(True):
            variance_jac = self.variance_jac if variance_term else None
            return labelled(_information(self.jac, 1 / self.variance, variance_jac), self.label_names)


def observe(
    model: ForwardModel,
    labels: Float[np.ndarray, " n_labels"],
    mag: float,
    nuisances: NuisanceModel | None = None,
) -> Star:
    """Returns one star as a model sees it, in float64.

    Args:
        model: how stars are seen.
        labels: in the model's order and units.
        mag: AB magnitude in i.
        nuisances: flux(labels, nuisances) with the model's emulator, where more than the labels is unknown.

    Raises:
        UsageError: labels outside the grid.
    """
    with jax.enable_x64(True):
        model = model.astype(jnp.float64)
        flux_fn = model.emulator if nuisances is None else nuisances
        vector = jnp.asarray(labels) if nuisances is None else nuisances.at_rest(labels)
        model.emulator.check(labels)
        flux, jac = flux_fn(vector), flux_jacobian(flux_fn, vector)
        variance, push = jax.linearize(lambda flux: model.arm_variance(flux, mag), flux)
        free = nuisances is not None and bool(nuisances.nuisance_rest)
        variance_jac = jnp.zeros_like(jac) if free else jax.vmap(push, 1, 1)(jac)
        arm = map(np.asarray, (model.emulator.wave, flux, variance, jac, variance_jac))
        parts = (x if model.pixels is None else x[np.asarray(model.pixels)] for x in arm)
        return Star(flux_fn.label_names, np.asarray(vector), float(mag), *parts)


def label_vector(model: ForwardModel, labels: dict[str, float]) -> Float[np.ndarray, " n_labels"]:
    """Returns labels given by name in the model's order.

    Raises:
        UsageError: one is missing, or the model has none of that name.
    """
    unknown = [name for name in labels if name not in model.label_names]
    missing = [name for name in model.label_names if name not in labels]
    if unknown or missing:
        raise UsageError(
            f"labels of a star must be {', '.join(model.label_names)}: "
            + (f"{unknown[0]} is not free in this model" if unknown else f"{missing[0]} is missing")
        )
    return np.array([labels[name] for name in model.label_names], np.float64)
