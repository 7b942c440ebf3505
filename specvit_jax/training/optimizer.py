"""The optimiser: gradient clipping, the update, the learning rate over the steps."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, ArrayLike, Float

from specvit_jax.network.inference import Params
from specvit_jax.settings.config import TrainConfig

Mask = Callable[[Params], Params] | None  # which parameters decay, from their tree; None: all of them
EPS = 1e-8  # added to the root of the gradient's mean square, as Kingma & Ba 2015
ONE_CYCLE_START = 25.0  # the first learning rate of one_cycle is the highest over this, as in PyTorch


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Gradient clipping and the optimiser; one that a plateau slows down is scaled by the training state."""
    rate, mask = learning_rate(config), decayed(config)
    if config.optimizer == "adamw":
        inner = optax.adamw(
            rate, b1=config.b1, b2=config.b2, eps=EPS, weight_decay=config.weight_decay, mask=mask
        )
    elif config.optimizer == "adam":
        inner = optax.adam(rate, b1=config.b1, b2=config.b2, eps=EPS)
    elif config.optimizer == "sgd":
        inner = optax.sgd(rate, momentum=config.b1)
    elif config.optimizer == "muon":
        inner = muon(rate, mask, config)
    else:
        raise ValueError(f"optimizer must be adamw, adam, sgd or muon, found {config.optimizer!r}")
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), inner)


def muon(rate: optax.Schedule, mask: Mask, config: TrainConfig) -> optax.GradientTransformation:
    """Matrices take orthogonalised momentum (Jordan et al. 2024, Muon), all other parameters AdamW."""
    return optax.contrib.muon(
        rate,
        weight_decay=config.weight_decay,
        weight_decay_mask=mask,
        adam_b1=config.b1,
        adam_b2=config.b2,
        adam_weight_decay=config.weight_decay if config.decay == "all" else 0.0,
    )


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """The learning rate after so many steps, before a plateau lowers it.

    cosine, plateau and constant rise linearly from 0 over the warm-up, if there is one; one_cycle rises and
    falls as half cosines (Smith & Topin 2018), its rise no shorter than a step.
    """
    high, low = config.learning_rate, config.min_lr
    rise = round(config.warmup * config.steps)
    if config.schedule == "cosine":
        start = 0.0 if rise else high
        return optax.warmup_cosine_decay_schedule(start, high, rise, config.steps, low)
    if config.schedule == "one_cycle":
        return one_cycle(high, low, max(rise, 1), config.steps)
    if config.schedule in ("plateau", "constant"):
        return optax.warmup_constant_schedule(0.0 if rise else high, high, rise)
    raise ValueError(f"schedule must be cosine, one_cycle, plateau or constant, found {config.schedule!r}")


def one_cycle(high: float, low: float, rise: int, steps: int) -> optax.Schedule:
    """Half a cosine from high / 25 to `high` in `rise` steps, half a cosine down to `low` in the others."""
    start = high / ONE_CYCLE_START

    def up(step: ArrayLike) -> Float[Array, ""]:
        return start + 0.5 * (high - start) * (1.0 - jnp.cos(math.pi * jnp.asarray(step) / rise))

    fall = max(steps - rise, 1)
    return optax.join_schedules([up, optax.cosine_decay_schedule(high, fall, alpha=low / high)], [rise])


def decayed(config: TrainConfig) -> Mask:
    """Which parameters weight decay shrinks: a function of their tree, or None for all of them."""
    if config.decay == "all":
        return None
    if config.decay == "kernels":
        return lambda params: jax.tree_util.tree_map_with_path(
            lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/").endswith("kernel"), params
        )
    raise ValueError(f"decay must be all or kernels, found {config.decay!r}")
