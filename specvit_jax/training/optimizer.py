"""The optimiser: gradient clipping, the update, the learning rate over the steps."""

from collections.abc import Callable, Mapping

import jax
import optax
import optax.contrib

from specvit_jax.network.inference import Params
from specvit_jax.settings.config import TrainConfig
from specvit_jax.settings.optimizers import CONSTANTS, SETTINGS, TAKES
from specvit_jax.training.freeze import thawing

Make = Callable[..., optax.GradientTransformation]
Mask = Callable[[Params], Params] | None  # which parameters decay, from their tree; None: all of them
ONE_CYCLE_START = 25.0  # the first learning rate of one_cycle is the highest over this, as in PyTorch


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Gradient clipping and the optimiser; one that a plateau slows down is scaled by the training state."""
    late = rule(config, config.freeze_input or 0)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), thawing(config, rule(config), late))


def rule(config: TrainConfig, first: int = 0) -> optax.GradientTransformation:
    """The optimiser that the config names, with the settings that it takes.

    Args:
        config: config of the training.
        first: steps done before its first one, which has the learning rate of its place.

    Raises:
        ValueError: another name.
    """
    name = config.optimizer
    if name not in TAKES:
        raise ValueError(f"optimizer must be one of {', '.join(TAKES)}, found {name!r}")
    make: Make = OWN[name] if name in OWN else getattr(optax, name)
    values = {setting: getattr(config, setting) for setting in SETTINGS} | {"decay": decayed(config)}
    taken = {argument: values[setting] for argument, setting in TAKES[name].items()}
    rate = learning_rate(config)
    return make(lambda step: rate(step + first), **taken, **CONSTANTS.get(name, {}))


def muon(
    rate: optax.Schedule, *, b1: float, b2: float, weight_decay: float, mask: Mask
) -> optax.GradientTransformation:
    """Matrices take orthogonalised momentum (Jordan et al. 2024, Muon), all other parameters AdamW."""
    return optax.contrib.muon(
        rate,
        weight_decay=weight_decay,
        weight_decay_mask=mask,
        adam_b1=b1,
        adam_b2=b2,
        adam_weight_decay=weight_decay if mask is None else 0.0,
    )


def adafactor(rate: optax.Schedule, *, weight_decay: float, mask: Mask) -> optax.GradientTransformation:
    """Adafactor (Shazeer & Stern 2018, arXiv:1804.04235), its steps in units of the parameters' rms.

    Weights decay by the learning rate, as with AdamW; optax would not multiply the two.
    """
    return optax.adafactor(
        rate, weight_decay_rate=lambda step: weight_decay * rate(step), weight_decay_mask=mask
    )


OWN: Mapping[str, Make] = {"muon": muon, "adafactor": adafactor}  # all others are optax's as they are


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
    ends = {rise: ONE_CYCLE_START, max(steps, rise + 1): low / high}
    return optax.piecewise_interpolate_schedule("cosine", high / ONE_CYCLE_START, ends)


def decayed(config: TrainConfig) -> Mask:
    """Which parameters weight decay shrinks: a function of their tree, or None for all of them."""
    if config.decay == "all":
        return None
    if config.decay == "kernels":
        return lambda params: jax.tree_util.tree_map_with_path(
            lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/").endswith("kernel"), params
        )
    raise ValueError(f"decay must be all or kernels, found {config.decay!r}")
