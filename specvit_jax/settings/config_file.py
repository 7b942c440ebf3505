"""Configs as text: YAML read and written, settings from a command line."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import yaml

from crlb.errors import ConfigError, DataError, UsageError
from crlb.files import yaml_input
from crlb.files.text_input import read_text, shown
from crlb.suggest import meant
from specvit_jax.settings import original_config
from specvit_jax.settings.config import Config, DataConfig, ModelConfig, TrainConfig
from specvit_jax.settings.epochs import in_steps
from specvit_jax.settings.presets import PRESETS

SECTIONS = ("model", "train", "data")  # of a config, besides the name of its preset
Section = TypeVar("Section", ModelConfig, TrainConfig, DataConfig)
YAML_NUMBERS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf"}  # how YAML writes what float() reads


class Impossible(ConfigError):
    """Settings that were understood, but with which no run can be."""


def override(config: Config, settings: Iterable[str]) -> Config:
    """The config with dotted settings applied, all at once: ``["train.steps=100", "model.pool=mean"]``.

    Raises:
        UsageError: not of the form section.key=value.
        ConfigError: unknown section or key, or a value that is not of its field's type.
        Impossible: no run can be with these settings.
    """
    changes: dict[str, dict[str, object]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"a setting must read section.key=value, say train.steps=100; found {setting!r}")
        changes.setdefault(section, {})[key] = parse_yaml(text)
    for section in changes:
        if section not in SECTIONS:
            raise ConfigError(
                f"a setting's section must be one of {', '.join(SECTIONS)}, found {section!r}"
                f"{meant(section, SECTIONS)}"
            )
    return _changed(config, changes)


def to_yaml(config: Config) -> str:
    """The config as YAML, every setting written out."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)


class Parsed(NamedTuple):
    """A config that was read, and notes for the user on what could not be taken over unchanged."""

    config: Config
    notes: list[str]


def from_yaml(text: str) -> Config:
    """The config that ``to_yaml`` wrote; keys left out keep the value of the preset named in it.

    Raises:
        ConfigError: not YAML, an unknown or duplicate key, or a value its field cannot have.
    """
    return parse(text).config


def load(path: str | Path) -> Parsed:
    """The config in a file: this project's YAML, or that of the original PyTorch system.

    Raises:
        MissingInputError: no such file, or it cannot be read.
        ConfigError: naming the file and what is wrong in it.
    """
    try:
        text = read_text(path, "config", yaml_input.MOST_BYTES)
    except DataError as error:
        raise ConfigError(str(error)) from error
    try:
        return parse(text)
    except UsageError as error:
        raise ConfigError(f"config {path}: {error}") from error


def parse(text: str) -> Parsed:
    """The config in a text: this project's YAML, or that of the original PyTorch system.

    Raises:
        ConfigError: as ``from_yaml``.
    """
    plain = parse_yaml(text)
    notes: list[str] = []
    changes: dict[str, dict[str, object]] = {}
    if not isinstance(plain, dict):
        raise ConfigError(f"config must be a mapping of preset, model, train and data, found {shown(plain)}")
    _check_one_run(plain)
    if original_config.is_original(plain):
        return _original(plain)
    name = plain.pop("preset", "paper")
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(
            f"preset must be one of {', '.join(PRESETS)}, found {shown(name)}{meant(name, PRESETS)}"
        )
    for section, new in plain.items():
        if section not in SECTIONS:
            raise ConfigError(
                f"config key must be one of preset, {', '.join(SECTIONS)}, found {section!r}"
                f"{meant(section, ('preset', *SECTIONS))}"
            )
        if not isinstance(new, dict):
            raise ConfigError(f"config section {section} must be a mapping, found {shown(new)}")
        changes[section] = new
    return Parsed(_changed(PRESETS[name], changes), notes)


def _check_one_run(plain: Mapping[str, object]) -> None:
    """Refuses a sweep."""
    told = {"grid", "runs"} & set(plain)
    if "parameters" in plain and {"method", "program", "metric"} & set(plain):
        told = {"parameters"}
    if told:
        raise ConfigError(
            f"this is a sweep ({min(told)}), many runs in one file; `specvit sweep` reads sweeps: preset, "
            "data, and grid with a list of values for each setting"
        )


def _original(plain: Mapping[str, object]) -> Parsed:
    """A config of the original system; what is refused of it is named in its own words."""
    (settings, notes), theirs = original_config.translate(plain), original_config.words(plain)
    changes = {name: section for name, section in settings.items() if isinstance(section, dict)}
    try:
        config = _changed(original_config.BASE, changes)
    except ConfigError as error:
        raise type(error)(original_config.reworded(str(error), theirs)) from error
    if config.data.rows is None:
        return Parsed(config, [*notes, "train.ep: the file says, as the run begins, how many steps they are"])
    foreseen, said = in_steps(config, None)
    kept = ("epochs", "freeze_input", "freeze_input_epochs", "batch_size")  # until the run begins
    train = replace(foreseen.train, **{name: getattr(config.train, name) for name in kept})
    note = f"if the file has as many spectra as data.num_samples, {said[0]}"
    return Parsed(replace(config, train=train), [*notes, note])


def words(path: str | Path) -> dict[str, str]:
    """Names of settings -> those that a config file of the original system has for them; of others, none.

    Raises:
        MissingInputError, ConfigError: as `load`.
    """
    plain = parse_yaml(read_text(path, "config", yaml_input.MOST_BYTES))
    if isinstance(plain, dict) and original_config.is_original(plain):
        return original_config.words(plain)
    return {}


def parse_yaml(text: str) -> object:
    """The content of a YAML text, every scalar as text, so that its field's type decides (1e-4, on, 010).

    Raises:
        ConfigError: not YAML, too large or too deep, or a key that appears twice.
    """
    try:
        return yaml_input.parse_yaml(text, as_text=True)
    except DataError as error:
        raise ConfigError(f"a config: {error}") from error


def _changed(config: Config, changes: Mapping[str, Mapping[str, object]]) -> Config:
    """The config with these settings of its sections, all at once."""
    model = _updated(config.model, changes.get("model", {}), "model")
    train = _updated(config.train, changes.get("train", {}), "train")
    data = _updated(config.data, changes.get("data", {}), "data")
    with _possible():
        return replace(config, model=model, train=train, data=data)


@contextmanager
def _possible() -> Iterator[None]:
    """What a config refuses about itself becomes `Impossible`."""
    try:
        yield
    except ConfigError as error:
        raise Impossible(str(error)) from error


def _updated(section: Section, new: Mapping[str, object], name: str) -> Section:
    hints = typing.get_type_hints(type(section))
    for key in new:
        if key not in hints:
            raise ConfigError(f"{name} has no setting {key!r}{meant(key, hints)}; it has {', '.join(hints)}")
    values = {key: _convert(value, hints[key], f"{name}.{key}") for key, value in new.items()}
    with _possible():
        return replace(section, **values)


def _convert(value: object, hint: Any, name: str) -> Any:
    """Text, or a list of texts, converted to the type of its field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # T | None
        return None if value in ("null", "~", "") else _convert(value, args[0], name)
    if origin is tuple:
        items = value if isinstance(value, list) else [item for item in str(value).split(",") if item]
        if args[-1] is not Ellipsis and len(items) != len(args):
            raise ConfigError(f"{name} needs {len(args)} values, found {len(items)}: {shown(value)}")
        return tuple(_convert(item, args[0], name) for item in items)
    if origin is Literal:
        if value not in args:
            raise ConfigError(
                f"{name} must be one of {', '.join(args)}, found {shown(value)}{meant(value, args)}"
            )
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be one {hint.__name__}, found {shown(value)}")
    if hint is bool:
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"{name} must be true or false, found {value!r}")
        return value.lower() == "true"
    if hint is float:
        value = YAML_NUMBERS.get(value.lower(), value)
    try:
        return hint(value)
    except ValueError as error:
        raise ConfigError(f"{name} must be of type {hint.__name__}, found {shown(value)}") from error
