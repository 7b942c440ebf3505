"""Where the weights of a network are and what they say of themselves, before jax is loaded."""

import json
from importlib import resources
from pathlib import Path

from crlb.errors import DataError, MissingInputError, UsageError
from specvit_jax.settings.config import PRESETS


def find_weights(run: str | Path) -> Path:
    """The best weights of a run directory, the weights file itself, or what is shipped for a preset's name.

    Raises:
        MissingInputError: there is none of them.
    """
    path = Path(run)
    if not path.exists() and str(run) in PRESETS:
        return shipped_weights(str(run))
    found = path / "weights" / "best.safetensors" if path.is_dir() else path
    if not found.is_file():
        raise MissingInputError(f"no weights at {found}; give a run directory, a weights file, or tiny")
    return found


def shipped_weights(preset: str) -> Path:
    """The weights that come with the package for a preset.

    Raises:
        UsageError: no such preset.
        MissingInputError: none are shipped for it.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, found {preset!r}")
    path = Path(str(resources.files("specvit_jax") / "weights" / f"{preset}.safetensors"))
    if not path.is_file():
        raise MissingInputError(f"no weights are shipped for preset {preset}; train it with specvit train")
    return path


def has_weights(preset: str) -> bool:
    """Whether weights come with the package for a preset."""
    return (resources.files("specvit_jax") / "weights" / f"{preset}.safetensors").is_file()


def read_metadata(path: Path) -> dict[str, str]:
    """The texts stored with a weights file: ``format``, ``config``, ``label_names``, ``about``."""
    import safetensors

    with safetensors.safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def outputs_of(path: Path) -> tuple[tuple[str, ...], bool]:
    """The labels that the network in a weights file predicts, and whether it predicts their errors.

    Raises:
        DataError: it is not a weights file of this project.
    """
    import safetensors

    try:
        metadata = read_metadata(path)
        names = tuple(json.loads(metadata["label_names"]))
        return names, bool(json.loads(metadata["config"])["model"].get("predict_sigma", False))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"weights {path} is not a weights file of this project: {error}") from error


def trained_steps(path: Path) -> int:
    """The step that the weights in a file are of.

    Raises:
        DataError: it is not a weights file of a run.
    """
    import safetensors

    try:
        return int(json.loads(read_metadata(path)["about"])["step"])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"weights {path} is not a weights file of a run: {error}") from error


def conditions_of(path: Path) -> str:
    """The conditions that the network in a weights file was trained under."""
    return str(json.loads(read_metadata(path)["config"])["data"].get("conditions", "published"))


def grid_of(path: Path) -> Path | None:
    """The grid file that the network in a weights file was trained with; None: the embedded grid.

    Raises:
        MissingInputError: it is not there any more.
    """
    grid = json.loads(read_metadata(path)["config"])["data"].get("grid")
    if grid is None:
        return None
    if not Path(grid).is_file():
        raise MissingInputError(f"weights {path} were trained with the grid {grid}, which is not there")
    return Path(grid)
