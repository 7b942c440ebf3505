"""What a command refuses before jax is loaded and before a grid or a spectrum is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from crlb.errors import UsageError
from crlb.files.folders import check_outside
from crlb.files.input import check_inputs
from crlb.instruments.find import instrument_file
from crlb.labels import LABELS
from crlb.suggest import meant
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.spectra.ranges import parse_ranges
from specvit_jax.spectra.shards import find_shards

NOTHING: Mapping[str, Path | None] = {}


def check_labels(option: str, names: Sequence[str]) -> None:
    """Refuses labels that no grid and no spectra can have.

    Raises:
        UsageError: a name is none of `crlb.labels`.
    """
    unknown = [name for name in names if name not in LABELS]
    if unknown:
        raise UsageError(
            f"{option} must name labels of {', '.join(LABELS)}; found {', '.join(unknown)}"
            f"{meant(unknown[0], LABELS)}"
        )


def check_stars(data: DataConfig) -> None:
    """Refuses label names and ranges that no grid can have, and grids and noise curves that are not there.

    Raises:
        UsageError: an unknown label, or a range that is none.
        MissingInputError: grid or noise curves do not exist.
    """
    check_labels("labels", data.labels)
    check_labels("range", list(parse_ranges(data.ranges)))
    check_labels("beta", list(parse_ranges(data.beta, "beta", "A:B, say log_g=2:5")))
    check_inputs(star_files(data))


def check_config(config: Config, out: Path | None = None, named: Mapping[str, Path | None] = NOTHING) -> None:
    """Refuses a run whose labels cannot be, or whose inputs are not there.

    Args:
        config: of the run.
        out: its run directory, if what it holds is about to be deleted; no input may lie there.
        named: other files that the command reads: option -> file; None: not given.

    Raises:
        UsageError: an unknown label, or a range that is none.
        MissingInputError: an input does not exist.
        DataError: an index of shards names no folder.
        OutputError: an input would be deleted.
    """
    check_labels("model.label_names", config.model.label_names)
    check_stars(config.data)
    inputs = inputs_of(config)
    check_inputs(inputs)
    shards = [] if config.data.source == "emulator" else find_shards(config.data.source)
    if out is not None:
        check_outside(out, {**inputs, **named, **{f"--data {path}": path for path in shards}})


def inputs_of(config: Config) -> dict[str, Path | None]:
    """The files that a run reads besides its spectra: option or setting -> file; None: what is built in."""
    return star_files(config.data) | {
        "data.validation": _path(config.data.validation),
        "--init-weights": _path(config.train.init_weights),
        "train.teacher": _path(config.train.teacher),
    }


def spectra_of(config: Config) -> dict[str, Path | None]:
    """The files or folders of spectra that a run names, there or not."""
    names = [] if config.data.source == "emulator" else config.data.source.split(",")
    return {f"--data {name}": Path(name) for name in names}


def check_tasks(environment: Mapping[str, str]) -> None:
    """Refuses a start in the batch script of a Slurm job of several tasks: only srun starts all of them.

    Args:
        environment: of the process. Slurm tells both a batch script and a task how many tasks there are, and
            a task alone the nodes of its job step.

    Raises:
        UsageError: it is one.
    """
    tasks = environment.get("SLURM_NTASKS", "1")
    if "SLURM_JOB_ID" in environment and tasks != "1" and "SLURM_STEP_NODELIST" not in environment:
        raise UsageError(
            f"this Slurm job has {tasks} tasks, but specvit train was started once, in its batch script; "
            "start it with `srun specvit train ...`, or ask for one task (--ntasks=1)"
        )


def star_files(data: DataConfig) -> dict[str, Path | None]:
    """The files stars are made from: option -> file; None: what is built in."""
    names = {"--grid": data.grid, "--noise": data.noise, "--population": data.population}
    files = {option: _path(name) for option, name in names.items()}
    return files | {"--instrument": instrument_file(data.instrument)}


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
