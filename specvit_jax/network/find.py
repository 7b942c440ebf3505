"""Where the weights of a network are and what they say of themselves, before jax is loaded."""

from importlib import resources
from pathlib import Path

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.folders import check_links
from crlb.files.input import check_file
from crlb.files.records import Json
from crlb.files.text_input import parse_json, shown
from crlb.suggest import meant
from specvit_jax.settings.outputs import output_names
from specvit_jax.settings.presets import PRESETS

FORMAT = "specvit-jax weights 1"
SECTIONS = ("model", "train", "data")  # of a config


def find_weights(run: str | Path) -> Path:
    """The best weights of a run directory, the weights file itself, or what is shipped for a preset's name.

    Raises:
        MissingInputError: there is none of them.
        DataError: those of a run directory are reached through a symbolic link in it.
    """
    path = Path(run)
    if not path.exists() and str(run) in PRESETS:
        return shipped_weights(str(run))
    found = path / "weights" / "best.safetensors" if path.is_dir() else path
    if path.is_dir():
        check_links((found.parent, found), DataError)
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
        raise UsageError(
            f"preset must be one of {', '.join(PRESETS)}, found {preset!r}{meant(preset, PRESETS)}"
        )
    path = Path(str(resources.files("specvit_jax") / "weights" / f"{preset}.safetensors"))
    if not path.is_file():
        raise MissingInputError(f"no weights are shipped for preset {preset}; train it with specvit train")
    return path


def has_weights(preset: str) -> bool:
    """Whether weights come with the package for a preset."""
    return (resources.files("specvit_jax") / "weights" / f"{preset}.safetensors").is_file()


def read_metadata(path: Path) -> dict[str, str]:
    """The texts stored with a weights file: ``format``, ``config``, ``label_names``, ``about``.

    Raises:
        MissingInputError: it is not a regular file, or may not be read.
        DataError: it is not a weights file of this project.
    """
    import safetensors

    check_file(path, "weights")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            found = dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"weights {path} is not a readable safetensors file: {error}") from error
    if found.get("format") != FORMAT:
        raise DataError(f"weights {path} must have format {FORMAT!r}, found {shown(found.get('format'))}")
    return found


def stored_config(path: Path) -> dict[str, dict[str, Json]]:
    """The settings stored with a weights file, section by section, as they were written.

    Raises:
        MissingInputError, DataError: as ``read_metadata``; or there are none, or of another kind.
    """
    try:
        found = parse_json(read_metadata(path).get("config", ""))
    except DataError as error:
        named = str(path) in str(error)
        raise error if named else DataError(f"weights {path}: its config {error}") from None
    sections: dict[str, dict[str, Json]] = {}
    for name in SECTIONS:
        section = found.get(name, {})
        if not isinstance(section, dict):
            raise DataError(f"weights {path}: {name} of its config must be an object, found {shown(section)}")
        sections[name] = section
    return sections


def outputs_of(path: Path) -> tuple[tuple[str, ...], bool]:
    """The names of what the network in a weights file predicts, and whether it predicts their errors.

    Raises:
        MissingInputError, DataError: as ``stored_config``.
    """
    model = stored_config(path)["model"]
    threshold = model.get("threshold")
    if not (threshold is None or isinstance(threshold, int | float)):
        raise DataError(f"weights {path}: threshold of its config must be a number, found {shown(threshold)}")
    names = model.get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"weights {path}: label_names of its config must be texts, found {shown(names)}")
    return output_names(tuple(map(str, names)), threshold), model.get("predict_sigma", False) is True


def trained_steps(path: Path) -> int:
    """The step that the weights in a file are of.

    Raises:
        MissingInputError, DataError: as ``read_metadata``; or it is not a weights file of a run.
    """
    step = parse_json(read_metadata(path).get("about", "")).get("step")
    if not isinstance(step, int):
        raise DataError(f"weights {path} is not a weights file of a run: its step is {shown(step)}")
    return step


def conditions_of(path: Path) -> str:
    """The conditions that the network in a weights file was trained under.

    Raises:
        MissingInputError, DataError: as ``stored_config``.
    """
    return str(stored_config(path)["data"].get("conditions", "published"))


def grid_of(path: Path) -> Path | None:
    """The grid file that the network in a weights file was trained with; None: the embedded grid.

    Raises:
        MissingInputError: it is not there any more.
        DataError: as ``stored_config``.
    """
    grid = stored_config(path)["data"].get("grid")
    if grid is None:
        return None
    if not isinstance(grid, str) or not Path(grid).is_file():
        raise MissingInputError(f"weights {path} were trained with the grid {grid}, which is not there")
    return Path(grid)
