"""What the optimisers read of the settings: those of optax that learn from gradients alone."""

from collections.abc import Mapping
from dataclasses import fields

from specvit_jax.settings.config import TrainConfig

ADAM = {"b1": "b1", "b2": "b2"}
DECAY = {"weight_decay": "weight_decay", "mask": "decay"}

# Optimiser, named as in optax -> argument of its constructor -> setting of `train` that it is given.
TAKES: Mapping[str, Mapping[str, str]] = {
    "adamw": ADAM | DECAY,
    "adam": ADAM,
    "sgd": {"momentum": "b1"},
    "muon": ADAM | DECAY,
    "nadam": ADAM,
    "nadamw": ADAM | DECAY,
    "radam": ADAM,
    "amsgrad": ADAM,
    "adamax": ADAM,
    "adamaxw": ADAM | DECAY,
    "adabelief": ADAM,
    "yogi": ADAM,
    "adan": {"b1": "b1", "b3": "b2"} | DECAY,
    "lion": ADAM | DECAY,
    "lamb": ADAM | DECAY,
    "lars": {"momentum": "b1", "weight_decay": "weight_decay", "weight_decay_mask": "decay"},
    "novograd": ADAM | {"weight_decay": "weight_decay"},
    "adafactor": DECAY,
    "adagrad": {},
    "adadelta": {"rho": "b2", "weight_decay": "weight_decay", "weight_decay_mask": "decay"},
    "rmsprop": {"decay": "b2"},
}
# Other arguments, where optax would do otherwise than PyTorch, which adds eps to the root (1e-10 in adagrad).
CONSTANTS: Mapping[str, Mapping[str, float | bool]] = {
    "rmsprop": {"eps_in_sqrt": False},
    "adagrad": {"initial_accumulator_value": 0.0, "eps": 1e-20},
}
# What those who use it set, where that is not our default: as in optax.
USUAL: Mapping[str, Mapping[str, float]] = {
    "lion": {"b2": 0.99},
    "adan": {"b1": 0.98, "b2": 0.99},
    "novograd": {"b2": 0.25},
    "adadelta": {"b2": 0.9},
    "rmsprop": {"b2": 0.9},
}
SETTINGS = ("b1", "b2", "weight_decay", "decay")  # that some read and others do not


def reads(optimizer: str, setting: str) -> bool:
    """Whether an optimiser reads a setting of `SETTINGS`."""
    return setting in TAKES[optimizer].values()


def optimizer_remarks(train: TrainConfig) -> list[str]:
    """Lines on settings that were set but that the optimiser does not read, or that are unusual with it."""
    name = train.optimizer
    defaults = {one.name: one.default for one in fields(train)}
    found = {setting: getattr(train, setting) for setting in SETTINGS}
    is_set = {setting: value != defaults[setting] for setting, value in found.items()}
    is_set["weight_decay"] &= bool(train.weight_decay)  # none is what it gets
    notes = [
        f"train.{setting} = {value} is not read: train.optimizer {name} has no such thing"
        for setting, value in found.items()
        if is_set[setting] and not reads(name, setting)
    ]
    unusual = {setting: value for setting, value in USUAL.get(name, {}).items() if not is_set[setting]}
    return notes + [
        f"train.{setting} = {found[setting]} is that of adamw; with {name}, {value} is usual"
        for setting, value in unusual.items()
    ]
