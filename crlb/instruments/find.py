"""Instruments by name or from a file: YAML that says pixels, line-spread width and noise of every arm."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from crlb.detector import DEFAULT_INSTRUMENT, Detector, pfs_medium
from crlb.errors import DataError, UsageError
from crlb.files.text_input import read_text
from crlb.files.yaml_input import MOST_BYTES, parse_yaml
from crlb.suggest import meant

if TYPE_CHECKING:
    from crlb.observation.spectrograph import Spectrograph

T = TypeVar("T")
SUFFIXES = (".yaml", ".yml")


def instrument_file(name: str | Path) -> Path | None:
    """Returns the file of an instrument that is named; None: a preset.

    Raises:
        UsageError: neither a preset nor a file.
    """
    if str(name) == DEFAULT_INSTRUMENT or str(name) in (known := instrument_names()):
        return None
    path = Path(name)
    if not path.exists() and path.suffix not in SUFFIXES:
        raise UsageError(
            f"instrument must be a YAML file or one of {', '.join(known)}; found {name}"
            f"{meant(str(name), known)}"
        )
    return path


def instrument_names() -> tuple[str, ...]:
    """Returns the names of the instruments that are built in."""
    return (DEFAULT_INSTRUMENT, *_presets())


def find_instrument(name: str | Path) -> "Spectrograph":
    """Returns a spectrograph by its name, or from a YAML file.

    Raises:
        UsageError: neither a preset nor a file.
        MissingInputError: the file, or one that it names, cannot be read.
        DataError: not YAML, or it describes no spectrograph; the place is named.
    """
    path = instrument_file(name)
    if path is not None:
        from crlb.instruments.describe import described

        return _from_file(path, described)
    if str(name) == DEFAULT_INSTRUMENT:
        from crlb.observation.spectrograph import pfs_red_arm

        return pfs_red_arm()
    return _preset(str(name))


@cache
def _preset(name: str) -> "Spectrograph":
    """A spectrograph that is built in; commands ask for it in their checks and in their work."""
    from crlb.instruments.describe import described

    return described(_presets()[name], name, Path())


def find_detector(name: str | Path) -> Detector:
    """Returns the pixels of a spectrograph, by its name or from a YAML file; nothing is computed by jax.

    Raises:
        UsageError, MissingInputError, DataError: as `find_instrument`.
    """
    from crlb.instruments.describe import described_pixels

    path = instrument_file(name)
    if path is not None:
        return _from_file(path, described_pixels)
    if str(name) == DEFAULT_INSTRUMENT:
        return pfs_medium()
    return described_pixels(_presets()[str(name)], str(name), Path())


def preset_text(name: str) -> str:
    """Returns the description of an instrument that is built in, as YAML.

    Raises:
        UsageError: there is none of this name, or it is not described by a text.
    """
    import yaml

    known = tuple(_presets())
    if name not in known:
        own = f"; {DEFAULT_INSTRUMENT} is part of the program" if name == DEFAULT_INSTRUMENT else ""
        raise UsageError(
            f"instrument must be one of {', '.join(known)}; found {name}{meant(name, known)}{own}"
        )
    found: str = yaml.safe_dump(_presets()[name], sort_keys=False, allow_unicode=True, width=100)
    return found


def _from_file(path: Path, reader: Callable[[object, str, Path], T]) -> T:
    """What a reader of descriptions makes of a file's."""
    try:
        return reader(parse_yaml(read_text(path, "instrument", MOST_BYTES)), "instrument", path.parent)
    except (DataError, UsageError) as error:
        raise type(error)(f"instrument {path}: {error}") from error


@cache
def _presets() -> Mapping[str, object]:
    text = resources.files("crlb").joinpath("data/instruments.yaml").read_text(encoding="utf-8")
    found = parse_yaml(text)
    assert isinstance(found, Mapping)
    return found
