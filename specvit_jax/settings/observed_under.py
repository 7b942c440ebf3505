"""The conditions that spectra are observed under, as one setting: a preset's name, or YAML on one line."""

import dataclasses
import sys
from pathlib import Path

import yaml

from crlb.errors import ConfigError, DataError, UsageError
from crlb.observation.condition_file import condition_file, find_conditions, name_of, parse_conditions
from crlb.observation.conditions import LEVEL as LEVEL  # handed on: of flux of unknown scale
from crlb.observation.conditions import PRESETS
from crlb.observation.conditions import PUBLISHED as PUBLISHED  # handed on: nothing is unknown
from crlb.observation.conditions import Conditions as Conditions  # handed on


def conditions_text(name: str | Path) -> str:
    """Returns the setting for a preset or a YAML file, whose content it takes over.

    Raises:
        UsageError, MissingInputError, DataError: as `find_conditions`.
    """
    return text_of(find_conditions(name))


def conditions_file(name: str | None) -> Path | None:
    """Returns the YAML file that an option names; None: a preset, or nothing.

    Raises:
        UsageError: neither a preset nor a file.
    """
    return None if name is None else condition_file(name)


def text_of(conditions: Conditions) -> str:
    """Returns the setting that `conditions_in` reads as these conditions."""
    name = name_of(conditions)
    if name in PRESETS:
        return name
    default = dataclasses.asdict(Conditions())
    given = {key: value for key, value in dataclasses.asdict(conditions).items() if value != default[key]}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    return yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000).strip()


def other_conditions(stored: str | None, trained: str) -> str:
    """Returns a line on spectra and a network being of other conditions; empty if not, or unknown.

    Args:
        stored: conditions of the spectra, as their file says; None: it does not.
        trained: conditions the network was trained under.
    """
    if stored is None or conditions_in(stored) == conditions_in(trained):
        return ""
    return (
        f"conditions differ: the spectra were drawn under {stored}, the network was trained under {trained}"
    )


def say_other_conditions(path: str | Path, trained: str) -> None:
    """Prints that line for a file of spectra on stderr; nothing for files that do not say theirs."""
    import h5py

    from crlb.files.pfsspec import read_conditions

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            line = other_conditions(read_conditions(file), trained)
        if line:
            print(f"{path}: {line}", file=sys.stderr, flush=True)


def conditions_in(text: str) -> Conditions:
    """Returns the conditions that a setting `data.conditions` names or holds.

    Raises:
        ConfigError: neither a preset's name nor YAML of conditions.
    """
    if text in PRESETS:
        return PRESETS[text]
    try:
        return parse_conditions(text)
    except (DataError, UsageError) as error:
        raise ConfigError(
            f"data.conditions must be {', '.join(PRESETS)} or YAML of conditions "
            f"(a file: --conditions FILE): {error}"
        ) from error
