"""The input layer held for the first steps of a run, or for all: a function of the step's number alone."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from specvit_jax.network.inference import Params
from specvit_jax.network.input_layer import NAME
from specvit_jax.settings.config import TrainConfig


def held(config: TrainConfig, step: Int[Array, ""], tree: Params, kept: Params) -> Params:
    """A tree like the weights with the leaves of its input layer from `kept`, while that layer is frozen.

    Args:
        config: config of the training.
        step: steps done before this one.
        tree: weights, or their gradient.
        kept: a tree of the same form.
    """
    if NAME not in tree or config.freeze_input == 0:
        return tree
    frozen = True if config.freeze_input is None else step < config.freeze_input
    layer = jax.tree.map(lambda new, old: jnp.where(frozen, old, new), tree[NAME], kept[NAME])
    return tree | {NAME: layer}


def thawing(
    config: TrainConfig, network: optax.GradientTransformation, late: optax.GradientTransformation
) -> optax.GradientTransformation:
    """The rule of the network, and one of the input layer that begins, as a fresh one, when it thaws.

    Args:
        config: config of the training.
        network: rule of all other weights.
        late: rule of the input layer; its first step is that after `freeze_input`.
    """
    steps = config.freeze_input
    if steps == 0:
        return network
    held_back = (
        optax.set_to_zero() if steps is None else optax.conditionally_mask(late, lambda step: step >= steps)
    )
    return optax.partition({"network": network, NAME: held_back}, _parts)


def _parts(params: Params) -> Params:
    """For every part whether it is the network's or the input layer's."""
    return {name: NAME if name == NAME else "network" for name in params}
