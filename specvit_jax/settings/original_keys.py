"""The vocabulary of the original PyTorch system's configs: its keys, ours, and how each value is read."""

import os
import re
from collections.abc import Callable

from crlb.errors import ConfigError

Read = Callable[[str, object], str | list[str]]
NULL = ("", "null", "~", "None")


def text(name: str, value: object) -> str:
    """A scalar of any kind, as its text."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be one value, found {value!r}")
    return value


def number(name: str, value: object) -> str:
    """A number as its text; 1e-4 is one."""
    try:
        float(text(name, value))
    except ValueError as error:
        raise ConfigError(f"{name} must be a number, found {value!r}") from error
    return str(value)


def whole(name: str, value: object) -> str:
    """A whole number as its text; 1e6 is one."""
    found = float(number(name, value))
    if not found.is_integer():
        raise ConfigError(f"{name} must be a whole number, found {value!r}")
    return str(int(found))


def path(name: str, value: object) -> str:
    """A path with ${VARIABLES} of the environment filled in."""

    def fill(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(f"{name} names ${{{found[1]}}}, which is not set; export {found[1]}=...")
        return os.environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", fill, text(name, value))


def clip(name: str, value: object) -> str:
    """The norm a gradient is clipped to, as its text; 0 means no clipping and becomes inf."""
    return "inf" if float(number(name, value)) == 0 else str(value)


def names(name: str, value: object) -> list[str]:
    """A list of names, given as a list or as text with commas."""
    items = value if isinstance(value, list) else text(name, value).split(",")
    return [text(name, item).strip() for item in items if item]


def one_of(**choices: str) -> Read:
    """Returns a reader of the original's words (in any case, _ and - left out) that gives ours for each."""

    def read(name: str, value: object) -> str:
        word = re.sub(r"[-_ ]", "", text(name, value).lower())
        if word not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}, found {value!r}")
        return choices[word]

    return read


OPTIMIZERS = one_of(adam="adam", adamw="adamw", sgd="sgd")
POSITIONS = one_of(learned="learned", sinusoidal="sinusoidal", rope="rotary", rotary="rotary", none="none")
SCHEDULES = one_of(
    cosine="cosine",
    cosineannealing="cosine",
    cosineannealinglr="cosine",
    cosinewarmup="cosine",
    warmupcosine="cosine",
    cosinewithwarmup="cosine",
    plateau="plateau",
    reducelronplateau="plateau",
    onecycle="one_cycle",
    onecyclelr="one_cycle",
    constant="constant",
    none="constant",
    null="constant",
)
LOSSES = one_of(
    l1="l1", mae="l1", mse="mse", l2="mse", huber="huber", smoothl1="huber", nll="nll", gaussiannll="nll"
)
SCALINGS = one_of(standard="zscore", zscore="zscore", minmax="minmax", none="none", null="none")
# Either may be left out in the original's words for precision: 16-mixed, 16.
PRECISIONS = {
    "32": "float32",
    "32-true": "float32",
    "16": "bfloat16",
    "16-mixed": "bfloat16",
    "bf16": "bfloat16",
    "bf16-mixed": "bfloat16",
    "bf16-true": "bfloat16",
}


def precision(name: str, value: object) -> str:
    """The type of the matrix products, from Lightning's word for it."""
    word = text(name, value)
    if word not in PRECISIONS:
        raise ConfigError(f"{name} must be one of {', '.join(PRECISIONS)}, found {value!r}")
    return PRECISIONS[word]


# The original's key -> our setting, and the reader of its value.
TABLE: dict[str, tuple[str, Read]] = {
    "model.image_size": ("model.input_size", whole),
    "model.patch_size": ("model.patch_size", whole),
    "model.stride_size": ("model.stride", whole),
    "model.hidden_size": ("model.embed_dim", whole),
    "model.num_hidden_layers": ("model.depth", whole),
    "model.num_attention_heads": ("model.num_heads", whole),
    "model.proj_fn": ("model.tokenizer", one_of(c1d="conv", sw="linear")),
    "model.mlp_ratio": ("model.mlp_ratio", number),
    "model.hidden_dropout_prob": ("model.dropout", number),
    "model.attention_probs_dropout_prob": ("model.attention_dropout", number),
    "model.pos_encoding_type": ("model.pos_embed", POSITIONS),
    "train.batch_size": ("train.batch_size", whole),
    "train.precision": ("model.dtype", precision),
    "train.gradient_clip": ("train.clip_norm", clip),
    "train.grad_clip": ("train.clip_norm", clip),
    "train.seed": ("train.seed", whole),
    "loss.name": ("train.loss", LOSSES),
    "loss.delta": ("train.huber_delta", number),
    "opt.type": ("train.optimizer", OPTIMIZERS),
    "opt.lr": ("train.learning_rate", number),
    "opt.lr_sch": ("train.schedule", SCHEDULES),
    "opt.factor": ("train.plateau_factor", number),
    "opt.patience": ("train.plateau_patience", whole),
    "opt.weight_decay": ("train.weight_decay", number),
    "opt.warmup": ("train.warmup", number),
    "data.file_path": ("data.source", path),
    "data.val_path": ("data.validation", path),
    "data.num_test_samples": ("data.n_validation", whole),
    "data.param": ("model.label_names", names),
    "data.label_norm": ("data.label_scaling", SCALINGS),
    "noise.noise_level": ("data.noise_level", number),
}
# Read together with others, below.
TOGETHER = (
    "model.name",
    "model.task_type",
    "model.num_labels",
    "model.stride_ratio",
    "model.intermediate_size",
    "train.ep",
    "data.num_samples",
)
# Without a meaning here, and why. A section's name stands for all of its keys.
IGNORED = {
    "train.debug": "there is no such mode here",
    "train.workers": "no worker processes feed the training here",
    "train.save": "checkpoints and weights are always kept",
    "data.test_path": "training does not use it; score it with specvit evaluate",
    "mask.mask_ratio": "it belongs to the denoiser",
    "project": "it names a logging project",
    "viz": "specvit train plots its own curves",
    "plotting": "specvit train plots its own curves",
}
# Would change the network in a way that is not offered, unless switched off.
REFUSED = ("global", "global_pca_path", "r", "freeze_qk_epochs", "lora")
OFF = (*NULL, "false", "False", "none", "0")
