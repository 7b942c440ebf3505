"""Configs of the original PyTorch system (nested YAML) translated to the settings of this project.

``translate`` turns the mapping of such a file into one that ``config_file`` reads, and says in notes what it
could not take over as it stood. Scalars are text on both sides: the type of our field decides what they are.
"""

from collections.abc import Mapping
from typing import NamedTuple

from crlb.errors import ConfigError
from specvit_jax.settings.config import PAPER
from specvit_jax.settings.original_keys import (
    IGNORED,
    NULL,
    OFF,
    REFUSED,
    TABLE,
    TOGETHER,
    number,
    text,
    whole,
)

Settings = dict[str, str | list[str]]  # section.key -> text, settings of this project
BASE = PAPER  # the preset whose values stand for keys left out; it starts as the original does


class Translated(NamedTuple):
    """Settings of this project, and notes for the user on what could not be taken over."""

    plain: dict[str, object]
    notes: list[str]


def is_original(plain: Mapping[str, object]) -> bool:
    """Whether a config is written with the keys of the original system."""
    model = plain.get("model")
    return "opt" in plain or (isinstance(model, dict) and bool({"hidden_size", "image_size"} & set(model)))


def translate(plain: Mapping[str, object]) -> Translated:
    """The config of the original system as settings of this project.

    Raises:
        ConfigError: naming, as the original does, an unknown key or a value without a meaning here.
    """
    notes: list[str] = []
    given = _known(plain, notes)
    settings: Settings = {}
    for name, value in given.items():
        if name not in TABLE or (value in NULL and name not in ("opt.lr_sch", "data.label_norm")):
            continue
        ours, read = TABLE[name]
        found = read(name, value or "null")
        if settings.setdefault(ours, found) != found:
            raise ConfigError(f"{name} sets {ours} to {found}, another key to {settings[ours]}; keep one")
    for add in (_task, _stride, _mlp, _steps):
        settings |= add(given, settings, notes)
    notes += _remarks(given, settings)
    return Translated(_nested(settings), notes)


def _known(plain: Mapping[str, object], notes: list[str]) -> dict[str, object]:
    """The values of the keys that have a meaning here, by ``section.key``; notes name the others."""
    sections = {name.partition(".")[0] for name in (*TABLE, *IGNORED)} | {"warmup"}
    given: dict[str, object] = {}
    for section, content in plain.items():
        if section in IGNORED:
            notes.append(f"{section} is ignored: {IGNORED[section]}")
            continue
        if section not in sections:
            raise ConfigError(
                f"config section must be one of {', '.join(sorted(sections))}, found {section!r}"
            )
        if section in NULL or content in NULL:
            continue
        if not isinstance(content, dict):
            raise ConfigError(f"config section {section} must be a mapping, found {content!r}")
        for key, value in content.items():
            name = f"{section}.{key}"
            if name in TABLE or name in TOGETHER:
                given[name] = value
            elif name in IGNORED:
                notes.append(f"{name} is ignored: {IGNORED[name]}")
            elif section == "warmup" and key in REFUSED:
                _refuse_global_start(name, value, notes)
            else:
                raise ConfigError(f"{name} is not known; {section} may hold {', '.join(_keys(section))}")
    return given


def _keys(section: str) -> list[str]:
    if section == "warmup":
        return list(REFUSED)
    return [
        name.partition(".")[2] for name in (*TABLE, *TOGETHER, *IGNORED) if name.partition(".")[0] == section
    ]


def _refuse_global_start(name: str, value: object, notes: list[str]) -> None:
    if value not in OFF:
        raise ConfigError(
            f"{name} asks for the start from principal components, which the tokenizer does not offer here; "
            "remove it and whiten the input instead with data.preprocess=pca or zca"
        )
    notes.append(f"{name} is ignored: it is switched off")


def _task(given: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    for name, only in (("model.name", "vit"), ("model.task_type", "reg")):
        if text(name, given.get(name, only)).lower() != only:
            raise ConfigError(f"{name} must be {only}, found {given[name]!r}; nothing else is offered here")
    labels = settings.get("model.label_names", ["log_g"])
    count = int(whole("model.num_labels", given.get("model.num_labels", str(len(labels)))))
    if count != len(labels):
        raise ConfigError(
            f"model.num_labels is {count}, but the labels are {', '.join(labels)}; set data.param"
        )
    return {"model.predict_sigma": "true"} if settings.get("train.loss") == "nll" else {}


def _stride(given: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    name = "model.stride_ratio"
    if given.get(name, "") in NULL:
        return {}
    stride = float(number(name, given[name])) * _integer(settings, "model.patch_size", BASE.model.patch_size)
    if not stride.is_integer() or stride < 1:
        raise ConfigError(
            f"{name} must give a whole number of pixels, found {stride:g}; set model.stride_size"
        )
    if settings.get("model.stride", str(int(stride))) != str(int(stride)):
        raise ConfigError(
            f"{name} gives {stride:g} pixels, model.stride_size {settings['model.stride']}; keep one"
        )
    return {"model.stride": str(int(stride))}


def _integer(settings: Settings, name: str, default: int) -> int:
    return int(text(name, settings.get(name, str(default))))


def _mlp(given: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    name = "model.intermediate_size"
    if given.get(name, "") in NULL:
        return {}
    ratio = str(int(whole(name, given[name])) / _integer(settings, "model.embed_dim", BASE.model.embed_dim))
    if float(text("model.mlp_ratio", settings.get("model.mlp_ratio", ratio))) != float(ratio):
        raise ConfigError(f"{name} gives a ratio of {ratio}, model.mlp_ratio another; keep one")
    return {"model.mlp_ratio": ratio}


def _steps(given: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """Epochs as steps; the original scores its network, and counts its patience, once an epoch."""
    if given.get("train.ep", "") in NULL:
        return {}
    if given.get("data.num_samples", "") in NULL:
        raise ConfigError("train.ep needs data.num_samples to become steps; add it, or set train.steps here")
    rows = int(whole("data.num_samples", given["data.num_samples"]))
    epochs = int(whole("train.ep", given["train.ep"]))
    size = _integer(settings, "train.batch_size", BASE.train.batch_size)
    steps, epoch = epochs * rows // size, max(rows // size, 1)
    notes.append(f"{epochs} epochs of {rows} spectra are {steps} steps, scored and saved every {epoch}")
    return {"train.steps": str(steps), "train.eval_every": str(epoch), "train.checkpoint_every": str(epoch)}


def _remarks(given: Mapping[str, object], settings: Settings) -> list[str]:
    """Notes on settings that are taken over with a change."""
    notes = []
    precision = str(given.get("train.precision", ""))
    if precision.startswith("16"):
        notes.append(f"train.precision {precision} becomes bfloat16, which needs no loss scaling")
    decays = float(text("opt.weight_decay", settings.get("train.weight_decay", "0"))) > 0
    if settings.get("train.optimizer") in ("adam", "sgd") and decays:
        notes.append("opt.weight_decay is ignored: here only adamw decays weights")
    if settings.get("train.clip_norm") == "inf":
        notes.append("a gradient clip of 0 is read as no clipping")
    return notes


def _nested(settings: Settings) -> dict[str, object]:
    sections: dict[str, Settings] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return {"preset": BASE.preset, **sections}
