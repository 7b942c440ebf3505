"""What a report is made of: runs, weights and folders of results, told apart by what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.folders import check_links
from specvit_jax.network.find import shipped_weights
from specvit_jax.runs.listing import FILES as RUN_FILES
from specvit_jax.settings.presets import PRESETS

LEFT = (
    "results.json",
    "table.md",
    "figure.png",
    "caption.md",
    "explorer.json",
)  # by an experiment, in its folder
KINDS = "give a run directory, a weights file, tiny, a folder of results (NAME/results.json) or one (.json)"


@dataclass
class Sources:
    """Everything found, by name.

    Args:
        runs: run directories.
        networks: weights files.
        experiments: files of results, beside which their figure and table may lie.
    """

    runs: dict[str, Path] = field(default_factory=dict)
    networks: dict[str, Path] = field(default_factory=dict)
    experiments: dict[str, Path] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """All that is read for the page, each file under its path."""
        runs = [run / name for run in self.runs.values() for name in RUN_FILES]
        left = [path.with_name(name) for path in self.experiments.values() for name in (path.name, *LEFT)]
        return {str(path): path for path in (*runs, *self.networks.values(), *left)}

    @property
    def explored(self) -> Path | None:
        """The stars at every magnitude that an experiment has left, if one has."""
        paths = [path.with_name("explorer.json") for path in self.experiments.values()]
        return next((path for path in paths if path.is_file()), None)


def find_sources(sources: Sequence[str | Path]) -> Sources:
    """What the sources of a report are.

    Raises:
        MissingInputError: a source does not exist.
        UsageError: a source is nothing a report can be made of, or two hold results of the same name.
        DataError: a file or folder inside a source is a symbolic link.
    """
    if not sources:
        raise UsageError(f"a report needs a source: {KINDS}")
    found = Sources()
    for source in sources:
        _add(found, source)
    return found


def _add(found: Sources, source: str | Path) -> None:
    path = Path(source)
    if not path.exists() and str(source) in PRESETS:
        found.networks[str(source)] = shipped_weights(str(source))
    elif not path.exists():
        raise MissingInputError(f"source {source} does not exist; {KINDS}")
    elif path.is_file() and path.suffix == ".json":
        _add_results(found, path.resolve().stem, path)
    elif path.is_file():
        _add_weights(found, path)
    elif (path / "config.yaml").is_file():
        _add_run(found, path)
    else:
        _add_experiments(found, path)


def _add_weights(found: Sources, path: Path) -> None:
    if path.suffix != ".safetensors":
        raise UsageError(
            f"source {path} is a file, but not of weights (.safetensors) or results (.json); {KINDS}"
        )
    run = path.resolve().parent.parent.name if path.parent.name == "weights" else path.stem
    found.networks[_free(found.networks, run, path)] = path


def _add_run(found: Sources, path: Path) -> None:
    name = _free(found.runs, path.resolve().name, path)
    found.runs[name] = path
    weights = path / "weights" / "best.safetensors"
    check_links((*(path / one for one in RUN_FILES), weights.parent, weights), DataError)
    if weights.is_file():  # a run that has just begun has none
        found.networks[_free(found.networks, name, path)] = weights


def _add_experiments(found: Sources, path: Path) -> None:
    files = (
        [path / "results.json"] if (path / "results.json").is_file() else sorted(path.glob("*/results.json"))
    )
    if not files:
        raise UsageError(f"source {path} is a folder without config.yaml and results.json; {KINDS}")
    for file in files:
        inside = () if file.parent == path else (file.parent,)
        check_links((*inside, *(file.with_name(one) for one in LEFT)), DataError)
        _add_results(found, file.resolve().parent.name, file)


def _add_results(found: Sources, name: str, path: Path) -> None:
    """Results by the name of their folder, or of their file where it is given alone."""
    if name in found.experiments:
        raise UsageError(
            f"two sources hold results of {name}: {found.experiments[name]} and {path}; give one"
        )
    found.experiments[name] = path


def _free(names: dict[str, Path], name: str, path: Path) -> str:
    """The name, or one with the folder it is in where two share it, or all of the path."""
    longer = f"{path.resolve().parent.name}/{name}"
    return next((one for one in (name, longer) if one not in names), str(path))
