"""A network as a teacher: what it says of a noisy spectrum is the target of another, instead of the truth.

The truth scatters around what a spectrum tells by as much as the spectrum leaves open; a teacher's prediction
of the same spectrum does not. Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531 (distillation).
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import UsageError
from specvit_jax.network.inference import Params, Scalers, eval_step
from specvit_jax.network.standardise import LabelScaler
from specvit_jax.network.weights import load_weights
from specvit_jax.settings.config import Config
from specvit_jax.settings.observed_under import other_conditions
from specvit_jax.spectra.feed import Source
from specvit_jax.spectra.source import Batch, Observer


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that others learn from; a pytree.

    Args:
        params: its weights.
        scalers: its scalings.
        config: its config.
        label_names: labels it is asked for, in their order.
    """

    params: Params
    scalers: Scalers
    config: Config = field(metadata={"static": True})
    label_names: tuple[str, ...] = field(metadata={"static": True})

    def target(
        self, batch: Batch, scaler: LabelScaler
    ) -> tuple[Float[Array, "n n_labels"], Float[Array, "n n_labels"] | None]:
        """The labels that it reads from noisy spectra, and the log of their sigma, in the pupil's units."""
        labels, sigma = eval_step(self.params, batch.flux, self.scalers, self.config, batch.usable)
        columns = np.array([self.config.model.label_names.index(name) for name in self.label_names])
        scaled = jnp.asarray(scaler.encode(labels[:, columns]))
        if sigma is None:
            return jax.lax.stop_gradient(scaled), None
        log_sigma = jnp.log(sigma[:, columns] / jnp.asarray(scaler.scale)[None, :])
        return jax.lax.stop_gradient((scaled, log_sigma))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Lesson:
    """Spectra, and who is asked about them; a pytree that stands for the source in a step."""

    source: Source | Observer
    teacher: Teacher


def find_teacher(config: Config) -> Teacher | None:
    """The network of ``train.teacher``, where that is set.

    Raises:
        MissingInputError, DataError: as ``load_weights``.
        UsageError: it does not read all labels, or not their sigma, or tells classes apart; or was trained
            under other conditions.
    """
    if config.train.teacher is None:
        return None
    weights = load_weights(config.train.teacher)
    who, model = f"train.teacher {config.train.teacher}", weights.config.model
    if model.threshold is not None:
        raise UsageError(f"{who} says {model.output_names[0]}, a probability; give one that reads labels")
    missing = [name for name in config.model.label_names if name not in model.label_names]
    if missing:
        raise UsageError(f"{who} must read {', '.join(missing)} too, it reads {', '.join(model.label_names)}")
    if config.model.predict_sigma and not model.predict_sigma:
        raise UsageError(f"{who} must predict sigma (model.predict_sigma), as the network it teaches does")
    if line := other_conditions(config.data.conditions, weights.config.data.conditions):
        raise UsageError(f"{who}: {line}; give one of the same conditions")
    return Teacher(weights.params, Scalers(*weights[2:]), weights.config, config.model.label_names)
