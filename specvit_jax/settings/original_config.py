"""Configs of the original PyTorch system (nested YAML) translated to the settings of this project.

``translate`` turns the mapping of such a file into one that ``config_file`` reads, and says in notes what it
could not take over as it stood. Scalars are text on both sides: the type of our field decides what they are.
What a file leaves out is as it is in the original, not as in a preset.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from crlb.errors import ConfigError
from crlb.suggest import meant
from specvit_jax.settings.original_keys import (
    DEFAULTS,
    IGNORED,
    LABEL,
    LAYER,
    MEASURED,
    N_CLASSES,
    NEEDED,
    NULL,
    OFF,
    SWITCHED,
    SWITCHES,
    TABLE,
    TASKS,
    THRESHOLD,
    TOGETHER,
    WHITENING,
    names,
    number,
    text,
    whole,
)
from specvit_jax.settings.original_remarks import remarks
from specvit_jax.settings.presets import PAPER

Settings = dict[str, str | list[str]]  # section.key -> text, settings of this project
BASE = PAPER  # whose values stand for what the original has no key for; its network starts as the original's
RAW: Settings = {"data.input_scaling": "none", "train.warmup": "0"}  # as in the original, without a key
SECTIONS = {name.partition(".")[0] for name in (*TABLE, *IGNORED)} | {"warmup"}
OWN = {"preset", "model", "train", "data"}  # of a config of this project


class Translated(NamedTuple):
    """Settings of this project, and notes for the user on what could not be taken over."""

    plain: dict[str, object]
    notes: list[str]


def is_original(plain: Mapping[str, object]) -> bool:
    """Whether a config is written with the keys of the original system."""
    model, data = (plain.get(section) for section in ("model", "data"))
    theirs = isinstance(model, dict) and bool({"hidden_size", "image_size"} & set(model))
    theirs |= isinstance(data, dict) and "file_path" in data
    return theirs or bool((SECTIONS - OWN) & set(plain))


def translate(plain: Mapping[str, object]) -> Translated:
    """The config of the original system as settings of this project.

    Raises:
        ConfigError: naming, as the original does, an unknown key or a value without a meaning here.
    """
    notes: list[str] = []
    given = _known(plain, notes)
    left_out = _left_out(given)
    values = left_out | given
    settings = RAW | _one_by_one(values)
    for add in (_task, _stride, _mlp, _validation, _warmup, _last_rate, _momentum, _freeze):
        settings |= add(values, settings, notes)
    notes += [*_said(left_out, given, settings), *remarks(values, settings)]
    return Translated(_nested(settings), notes)


def words(plain: Mapping[str, object]) -> dict[str, str]:
    """The names of our settings -> those of a config of the original system, as it uses them."""
    given = _known(plain, [])
    found = {ours: name for name, (ours, _) in reversed(TABLE.items())}
    found |= {ours: name for name, (ours, _) in TABLE.items() if name in given}
    ratio = "model.stride_ratio" in given and "model.stride_size" not in given
    rise = next((name for name in WARM if name in given), "opt.warmup")
    wide = "model.intermediate_size" in given
    return found | {
        "data.validation_rows": "data.num_test_samples",
        "model.stride": "model.stride_ratio" if ratio else "model.stride_size",
        "model.mlp_ratio": "model.intermediate_size" if wide else "model.mlp_ratio",
        "train.warmup": rise,
        "train.freeze_input_epochs": "warmup.freeze_epochs",
    }


WARM = ("opt.warmup", "opt.warmup_ratio", "opt.warmup_epochs", "opt.pct_start")


def reworded(message: str, theirs: Mapping[str, str]) -> str:
    """A message with the names of our settings as another config has them.

    Args:
        message: names settings as section.key, or by a key of several words alone.
        theirs: section.key of ours -> theirs.
    """
    bare = {ours.partition(".")[2]: name for ours, name in theirs.items()}
    bare = {ours: name for ours, name in bare.items() if "_" in ours and name.partition(".")[2] != ours}

    def named(found: re.Match[str]) -> str:
        return theirs.get(found[0]) or bare.get(found[0]) or found[0]

    return re.sub(r"(?<![\w./=])(?:(?:model|train|data)\.)?\w+(?![\w/]|\.\w)", named, message)


def _known(plain: Mapping[str, object], notes: list[str]) -> dict[str, object]:
    """The values of the keys that have a meaning here, by ``section.key``; notes name the others.

    What is null counts as left out.
    """
    given: dict[str, object] = {}
    for section, content in plain.items():
        if section in IGNORED:
            notes.append(f"{section} is ignored: {IGNORED[section]}")
            continue
        if section not in SECTIONS:
            raise ConfigError(
                f"config section must be one of {', '.join(sorted(SECTIONS))}, found {section!r}"
                f"{meant(section, SECTIONS)}"
            )
        if content in NULL:
            continue
        if section in TABLE:
            given[section] = content
            continue
        if not isinstance(content, dict):
            raise ConfigError(f"config section {section} must be a mapping, found {content!r}")
        if section == "warmup":
            given |= _layer(content) if _whitens(content) else {}
            _check_start(content, notes)
        else:
            given |= _of_section(section, content, notes)
    return given


def _of_section(section: str, content: Mapping[str, object], notes: list[str]) -> dict[str, object]:
    given: dict[str, object] = {}
    for key, value in content.items():
        name = f"{section}.{key}"
        if name in IGNORED:
            notes.append(f"{name} is ignored: {IGNORED[name]}")
        elif name == "data.param_idx" and value not in NULL:
            raise ConfigError(
                "data.param_idx counts columns of a table; name the labels with data.param instead"
            )
        elif name in TABLE or name in TOGETHER or name == "data.param_idx":
            if value not in NULL:
                given[name] = value
        else:
            keys = _keys(section)
            raise ConfigError(f"{name} is not known; {section} may hold {', '.join(keys)}{meant(key, keys)}")
    return given


def _keys(section: str) -> list[str]:
    return [
        name.partition(".")[2] for name in (*TABLE, *TOGETHER, *IGNORED) if name.partition(".")[0] == section
    ]


def _whitens(content: Mapping[str, object]) -> bool:
    """Whether the preprocessor of a section warmup is one that is offered here."""
    return str(content.get("preprocessor", "")).lower() in WHITENING


def _layer(content: Mapping[str, object]) -> dict[str, object]:
    """The values of the keys of a preprocessor, by ``section.key``.

    Raises:
        ConfigError: its rank is left out, it is not centred, or its components are in a file.
    """
    for key in ("cov_path", "global_pca_path", "embed_pca_path"):
        if content.get(key, "null") not in OFF:
            raise ConfigError(f"warmup.{key} names a file of components or of their covariance; {MEASURED}")
    if content.get("r", "null") in OFF:
        raise ConfigError(
            "warmup.r must say how many components the preprocessor has; all of them, as in the original, "
            "are more than spectra tell apart from noise; say r: 64"
        )
    if content.get("bias", "null") not in (*NULL, "true", "True"):
        raise ConfigError("warmup.bias must be true: here spectra have mean 0 before the first layer")
    return {f"warmup.{key}": content[key] for key in LAYER if content.get(key, "null") not in NULL}


def _check_start(content: Mapping[str, object], notes: list[str]) -> None:
    """Refuses a start from principal components that is not offered; what is switched off is ignored."""
    switches = {key: value for key, value in content.items() if key in SWITCHES}
    off = bool(switches) and all(value in OFF for value in switches.values())
    for key, value in content.items():
        name = f"warmup.{key}"
        if key not in (*SWITCHES, *SWITCHED):
            keys = (*SWITCHES, *SWITCHED)
            raise ConfigError(f"{name} is not known; warmup may hold {', '.join(keys)}{meant(key, keys)}")
        if key in LAYER and _whitens(content):
            continue
        if value not in OFF and not (off and key in SWITCHED):
            raise ConfigError(
                f"{name} asks for a start from principal components that is not offered here; remove it, and "
                "whiten the input with warmup.preprocessor pca or zca, or with data.preprocess=pca or zca"
            )
        notes.append(f"{name} is ignored: it is switched off")


def _one_by_one(values: Mapping[str, object]) -> Settings:
    """The settings that one key each stands for."""
    settings: Settings = {}
    origin: dict[str, str] = {}
    for name, (ours, read) in TABLE.items():
        if name not in values:
            continue
        found = read(name, values[name])
        if ours in settings and settings[ours] != found:
            raise ConfigError(f"{origin[ours]} is {settings[ours]}, {name} is {found}; keep one")
        settings[ours], origin[ours] = found, name
    return settings


def _classifies(values: Mapping[str, object]) -> bool:
    """Whether a config asks for the original's two classes, giants and dwarfs, instead of labels.

    Raises:
        ConfigError: for a task that is not known, or for both.
    """
    said = {name: TASKS(name, values[name]) for name in ("model.task_type", "model.task") if name in values}
    if len(set(said.values())) > 1:
        raise ConfigError(f"{' and '.join(said)} ask for different tasks; keep one")
    return "cls" in said.values()


def _classes(values: Mapping[str, object]) -> Settings:
    """The settings of the original's two classes."""
    name = "model.num_labels"
    count = int(whole(name, values.get(name, str(N_CLASSES))))
    if count != N_CLASSES:
        raise ConfigError(
            f"{name} must be {N_CLASSES} with task cls, {LABEL} above {THRESHOLD:g} or not; found {count}"
        )
    return {
        "model.label_names": [LABEL],
        "model.threshold": str(THRESHOLD),
        "train.loss": "cross_entropy",
        "data.label_scaling": "none",
    }


def _task(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    if text("model.name", values.get("model.name", "vit")).lower() != "vit":
        raise ConfigError(
            f"model.name must be vit, found {values['model.name']!r}; nothing else is offered here"
        )
    if _classifies(values):
        return _classes(values)
    if settings.get("train.loss") == "cross_entropy":
        raise ConfigError(f"loss.name {values['loss.name']} belongs to model.task_type cls; found reg")
    labels = _labels(values, settings, notes)
    count = int(whole("model.num_labels", values.get("model.num_labels", str(len(labels)))))
    if count != len(labels) and "data.param" not in values:
        raise ConfigError(
            f"model.num_labels is {count}, but the labels are {', '.join(labels)}; set data.param"
        )
    if count != len(labels):
        notes.append(f"model.num_labels {count} is ignored: data.param names {', '.join(labels)}")
    sigma: Settings = {"model.predict_sigma": "true"} if settings.get("train.loss") == "nll" else {}
    return sigma | {"model.label_names": labels}


def _labels(values: Mapping[str, object], settings: Settings, notes: list[str]) -> list[str]:
    """The labels: those of data.param, else of model.param_names, else log_g."""
    told = names("model.param_names", values.get("model.param_names", []))
    param = settings.get("model.label_names")
    if param is None:
        return told or ["log_g"]
    labels = names("data.param", param)
    if told and told != labels:
        notes.append(f"model.param_names is ignored: data.param names {', '.join(labels)}")
    return labels


def _stride(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """Pixels from token to token; as in the original, a size of 0 leaves it to the ratio."""
    patch = _integer(settings, "model.patch_size", BASE.model.patch_size)
    size = int(whole("model.stride_size", values.get("model.stride_size", "0")))
    if "model.stride_ratio" not in values:
        return {"model.stride": str(size)} if size else {}
    ratio = float(number("model.stride_ratio", values["model.stride_ratio"]))
    if not 0 < ratio < float("inf"):
        raise ConfigError(f"model.stride_ratio must be positive and finite, found {ratio:g}")
    stride = max(int(ratio * patch), 1)
    if size not in (0, stride):
        raise ConfigError(f"model.stride_ratio gives {stride} pixels, model.stride_size {size}; keep one")
    return {"model.stride": str(stride)}


def _integer(settings: Settings, name: str, default: int) -> int:
    return int(text(name, settings.get(name, str(default))))


def _mlp(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    name = "model.intermediate_size"
    if name not in values:
        return {}
    width = _integer(settings, "model.embed_dim", BASE.model.embed_dim)
    if width < 1:
        raise ConfigError(f"model.hidden_size must be positive, found {width}")
    ratio = str(int(whole(name, values[name])) / width)
    if float(text("model.mlp_ratio", settings.get("model.mlp_ratio", ratio))) != float(ratio):
        raise ConfigError(f"{name} gives a ratio of {ratio}, model.mlp_ratio another; keep one")
    return {"model.mlp_ratio": ratio}


def _validation(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """How many spectra are scored: of a file of their own, or kept from those to train on."""
    asked = settings.pop("data.n_validation", "null")
    if asked == "null":
        return {}
    both: Settings = {"data.n_validation": asked}
    return both | {"data.validation_rows": asked} if "data.val_path" in values else both


def _warmup(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """The part of the steps over which the learning rate rises."""
    share = _rise(values)
    if settings["train.schedule"] == "one_cycle":
        if share is not None:
            notes.append("opt.warmup is ignored: onecycle rises over opt.pct_start")
        return {"train.warmup": number("opt.pct_start", values.get("opt.pct_start", "0.3"))}
    if "opt.pct_start" in values:
        notes.append("opt.pct_start is ignored: it belongs to onecycle")
    return {} if share is None else {"train.warmup": share}


def _rise(values: Mapping[str, object]) -> str | None:
    """The share of the epochs that a warm-up takes; given as such, as {ratio:}, or as a number of epochs."""
    given = values.get("opt.warmup", {})
    parts = given if isinstance(given, dict) else {"ratio": given}
    for key in parts:
        if key not in ("ratio", "epochs"):
            raise ConfigError(f"opt.warmup.{key} is not known; opt.warmup may hold ratio, epochs")
    parts = {f"opt.warmup.{key}": value for key, value in parts.items() if value not in NULL}
    parts |= {name: values[name] for name in ("opt.warmup_ratio", "opt.warmup_epochs") if name in values}
    shares = {name: _share(name, value, values) for name, value in parts.items()}
    if len(set(shares.values())) > 1:
        raise ConfigError(f"{' and '.join(shares)} ask for different warm-ups; keep one")
    return next(iter(shares.values()), None)


def _share(name: str, value: object, values: Mapping[str, object]) -> str:
    if not name.endswith("epochs"):
        return number(name, value)
    epochs, share = int(whole("train.ep", values["train.ep"])), float(number(name, value))
    if not 0 <= share < max(epochs, 1):
        raise ConfigError(f"{name} must be less than train.ep {epochs}, and not negative; found {share:g}")
    return str(share / max(epochs, 1))


def _last_rate(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """Where the learning rate ends: of onecycle at lr / div_factor / final_div_factor, as in PyTorch."""
    schedule = settings["train.schedule"]
    if schedule == "cosine":
        return {}
    if float(text("opt.eta_min", settings["train.min_lr"])):
        notes.append("opt.eta_min is ignored: it belongs to cosine")
    if schedule != "one_cycle":
        return {"train.min_lr": "0"}
    rate = float(text("opt.lr", settings["train.learning_rate"]))
    for name, usual in (("opt.div_factor", "25"), ("opt.final_div_factor", "1e4")):
        factor = float(number(name, values.get(name, usual)))
        if not 1 <= factor < float("inf"):
            raise ConfigError(f"{name} must be at least 1 and finite, found {factor:g}")
        rate /= factor
    return {"train.min_lr": str(rate)}


def _freeze(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """How long a preprocessor is frozen: as in the original -1 is for ever, and what is left out is 0."""
    if settings.get("model.input_layer", "none") == "none":
        return {}
    notes.append(
        "warmup.preprocessor begins from components that are measured here, noise included, each of variance "
        "1; the mean is subtracted before it and not learned; eps and shrinkage are not needed"
    )
    epochs = whole("warmup.freeze_epochs", values.get("warmup.freeze_epochs", "0"))
    if epochs in ("0", "-1"):
        return {"train.freeze_input": "null" if epochs == "-1" else "0"}
    return {"train.freeze_input_epochs": epochs}


def _momentum(values: Mapping[str, object], settings: Settings, notes: list[str]) -> Settings:
    """The decays that PyTorch has where ours are others; sgd there is without momentum."""
    return PYTORCH.get(text("opt.type", settings["train.optimizer"]), {})


PYTORCH: Mapping[str, Settings] = {
    "sgd": {"train.b1": "0"},  # momentum
    "rmsprop": {"train.b2": "0.99"},  # alpha
    "adadelta": {"train.b2": "0.9"},  # rho
}


def _left_out(given: Mapping[str, object]) -> dict[str, object]:
    """The original's values of what no key of the file sets."""
    there = {TABLE[name][0] for name in given if name in TABLE}
    unread = ("loss.name", "data.label_norm") if _classifies(given) else ()
    return {
        name: value for name, value in DEFAULTS.items() if TABLE[name][0] not in there and name not in unread
    }


def _said(left_out: Mapping[str, object], given: Mapping[str, object], settings: Settings) -> list[str]:
    """Notes on what the file leaves out."""
    schedule = settings["train.schedule"]
    read_by = {"opt.factor": "plateau", "opt.patience": "plateau", "opt.eta_min": "cosine"}
    taken = [f"{name} {value}" for name, value in left_out.items() if read_by.get(name, schedule) == schedule]
    notes = [f"left out, so as in the original: {', '.join(taken)}"] if taken else []
    unread = ("data.param",) if _classifies(given) else ()
    if needed := [name for name in NEEDED if name not in given and name not in unread]:
        notes.append(
            f"left out, which the original does not allow: {', '.join(needed)}; as in the preset "
            f"{BASE.preset} here"
        )
    return notes


def _nested(settings: Settings) -> dict[str, object]:
    sections: dict[str, Settings] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return {"preset": BASE.preset, **sections}
