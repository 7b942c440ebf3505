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


def switch(name: str, value: object) -> str:
    """true or false, from the words for them; warn, which also asks for it, counts as true."""
    word = text(name, value).lower()
    if word not in SWITCH_WORDS:
        raise ConfigError(f"{name} must be true or false, found {value!r}")
    return SWITCH_WORDS[word]


SWITCH_WORDS = {"true": "true", "1": "true", "warn": "true", "false": "false", "0": "false"}


def clip(name: str, value: object) -> str:
    """The norm a gradient is clipped to, as its text; 0 means no clipping and becomes inf."""
    return "inf" if float(number(name, value)) == 0 else str(value)


def patience(name: str, value: object) -> str:
    """Epochs that a plateau lasts, as text; the original's 0 acts after one, as 1 does here."""
    found = whole(name, value)
    return "1" if found == "0" else found


def rows(name: str, value: object) -> str:
    """A number of rows as its text; -1 stands for all of them and becomes null."""
    found = whole(name, value)
    return "null" if found == "-1" else found


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


OPTIMIZERS = one_of(
    adam="adam",
    adamw="adamw",
    sgd="sgd",
    rmsprop="rmsprop",
    adagrad="adagrad",
    adadelta="adadelta",
    adamax="adamax",
    nadam="nadam",
    radam="radam",
)
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
    constantlr="constant",
    none="constant",
    null="constant",
)
LOSSES = one_of(
    l1="l1", mae="l1", mse="mse", l2="mse", huber="huber", smoothl1="huber", nll="nll", gaussiannll="nll",
    ce="cross_entropy", crossentropy="cross_entropy",
)  # fmt: skip
TASKS = one_of(reg="reg", regression="reg", cls="cls", classification="cls", **{"class": "cls"})
# The original's task cls: two classes, giants and dwarfs, with outputs of their own for a softmax, the second
# one for stars of log_g above this value (dex). It reads neither data.param nor data.label_norm then.
LABEL, THRESHOLD, N_CLASSES = "log_g", 2.5, 2
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
    "model.hidden_size": ("model.embed_dim", whole),
    "model.num_hidden_layers": ("model.depth", whole),
    "model.num_attention_heads": ("model.num_heads", whole),
    "model.proj_fn": ("model.tokenizer", one_of(c1d="conv", cnn="conv", sw="linear")),
    "model.mlp_ratio": ("model.mlp_ratio", number),
    "model.hidden_dropout_prob": ("model.dropout", number),
    "model.attention_probs_dropout_prob": ("model.attention_dropout", number),
    "model.pos_encoding_type": ("model.pos_embed", POSITIONS),
    "model.rope_base": ("model.rotary_base", number),
    "train.batch_size": ("train.batch_size", whole),
    "train.ep": ("train.epochs", whole),
    "train.precision": ("model.dtype", precision),
    "train.gradient_clip": ("train.clip_norm", clip),
    "train.grad_clip": ("train.clip_norm", clip),
    "train.seed": ("train.seed", whole),
    "train.deterministic": ("train.deterministic", switch),
    "deterministic": ("train.deterministic", switch),
    "loss.name": ("train.loss", LOSSES),
    "loss.delta": ("train.huber_delta", number),
    "opt.type": ("train.optimizer", OPTIMIZERS),
    "opt.lr": ("train.learning_rate", number),
    "opt.lr_sch": ("train.schedule", SCHEDULES),
    "opt.factor": ("train.plateau_factor", number),
    "opt.patience": ("train.plateau_patience", patience),
    "opt.weight_decay": ("train.weight_decay", number),
    "opt.eta_min": ("train.min_lr", number),
    "data.file_path": ("data.source", path),
    "data.val_path": ("data.validation", path),
    "data.num_samples": ("data.rows", rows),
    "data.num_test_samples": ("data.n_validation", rows),
    "data.param": ("model.label_names", names),
    "data.label_norm": ("data.label_scaling", SCALINGS),
    "noise.noise_level": ("data.noise_level", number),
    "warmup.preprocessor": ("model.input_layer", one_of(pca="pca", zca="zca")),
    "warmup.r": ("model.input_components", whole),
}
# Read together with others.
TOGETHER = (
    "warmup.freeze_epochs",
    "warmup.bias",
    "warmup.eps",
    "warmup.shrinkage",
    "model.name",
    "model.task_type",
    "model.task",
    "model.num_labels",
    "model.param_names",
    "model.stride_size",
    "model.stride_ratio",
    "model.intermediate_size",
    "opt.warmup",
    "opt.warmup_ratio",
    "opt.warmup_epochs",
    "opt.pct_start",
    "opt.div_factor",
    "opt.final_div_factor",
    "opt.T_max",
)
# What a file leaves out is as in the original: its key, and the value it has there, as a file would have it.
DEFAULTS: dict[str, str] = {
    "model.pos_encoding_type": "none",
    "train.batch_size": "256",
    "train.ep": "10",
    "train.precision": "32",
    "train.grad_clip": "0.5",
    "loss.name": "mse",
    "opt.type": "adam",
    "opt.lr": "0.001",
    "opt.lr_sch": "constant",
    "opt.eta_min": "0",
    "opt.factor": "0.1",
    "opt.patience": "10",
    "opt.weight_decay": "0",
    "data.label_norm": "none",
    "noise.noise_level": "1",
}
# Without a default there: ours is taken, and said.
NEEDED = (
    "model.image_size",
    "model.patch_size",
    "model.hidden_size",
    "model.num_hidden_layers",
    "model.num_attention_heads",
    "model.proj_fn",
    "data.file_path",
    "data.param",
)
# Without a meaning here, and why. A section's name stands for all of its keys.
DENOISER = "it belongs to the denoiser"
WATCHED = "a plateau is one of the validation R2 here (of the skill, where there are classes)"
READERS = "no worker processes feed the training here"
IGNORED = {
    "model.max_position_embeddings": "positions are made for as many tokens as there are",
    "train.debug": "there is no such mode here",
    "train.workers": READERS,
    "train.num_workers": READERS,
    "train.gpus": "all devices that jax sees are used",
    "train.save": "checkpoints and weights are always kept",
    "opt.monitor_metric": WATCHED,
    "opt.mode": WATCHED,
    "opt.total_iters": "a constant rate is constant from the first step here",
    "opt.steps_per_epoch": "the steps of an epoch follow from the file",
    "opt.epochs": "one_cycle runs over all of train.ep",
    "data.test_path": "training does not use it; score it with specvit evaluate",
    "data.indices": "the original does not use it",
    "data.root_dir": "the run directory is --out",
    "noise.noise_max": DENOISER,
    "mask.mask_ratio": DENOISER,
    "mask.mask_filler": DENOISER,
    "mask.mask": DENOISER,
    "mask.lvrg_num": DENOISER,
    "mask.lvrg_mask": DENOISER,
    "project": "it names a logging project",
    "viz": "specvit train plots its own curves",
    "plotting": "specvit train plots its own curves",
}
# The section warmup, a start from principal components: switches, and what has a meaning with one of them. A
# preprocessor that is the whitening of the input (WHITENING) is offered here, with the keys of LAYER.
SWITCHES = ("global", "embed", "preprocessor")
WHITENING = ("pca", "zca")
LAYER = ("preprocessor", "r", "freeze_epochs", "bias", "eps", "shrinkage")
MEASURED = "components are measured here, on data.n_scaling of the spectra to train on; remove it"
SWITCHED = (
    "global_pca_path",
    "embed_pca_path",
    "cov_path",
    "r",
    "freeze_qk_epochs",
    "freeze_epochs",
    "lora",
    "eps",
    "shrinkage",
    "bias",
    "UV",
    "scale_by_eigvals",
)
OFF = (*NULL, "false", "False", "none", "0")
