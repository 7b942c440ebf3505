"""A sweep: one file of settings becomes many runs, trained on the devices here or as a Slurm array."""

import hashlib
import itertools
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crlb.errors import ConfigError, DataError, Interrupted, OutputError, UsageError
from crlb.files.records import write_json
from crlb.files.text_input import read_text, shown
from crlb.files.yaml_input import MOST_BYTES
from specvit_jax.runs.board import BoardName
from specvit_jax.runs.listing import Summary, read_config, summarise
from specvit_jax.runs.processes import Devices, Job, Processes
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import Impossible, override, parse_yaml
from specvit_jax.settings.presets import preset

PROGRAM = (sys.executable, "-m", "specvit_jax.cli")
KEYS = ("preset", "data", "set", "grid", "runs")
SHORT = {"learning_rate": "lr"}  # in names of runs
LONGEST_NAME = 120  # characters; file systems allow 255
MOST_RUNS = 2_000  # of a sweep; Slurm allows 1,001 tasks of an array unless told otherwise
INTERRUPTED = Interrupted.exit_code


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep; one whose settings no run can have says so in ``problem``."""

    name: str
    path: Path
    settings: tuple[str, ...]  # section.key=value: those of all runs, then its own
    config: Config | None  # None where there is a problem
    arguments: tuple[str, ...]  # of specvit
    problem: str = ""


def read_sweep(file: str | Path, out: Path, log_to: Sequence[BoardName] = ()) -> list[SweepRun]:
    """The runs a sweep file asks for; all of its settings are checked.

    A combination of settings that cannot be is one of them, with its ``problem``: the others can be trained.

    Args:
        file: YAML with ``preset``, ``data``, ``set`` (settings of all runs) and either ``grid``
            (section.key -> list of values: every combination) or ``runs`` (a list of lists of settings).
        out: folder the runs go into.
        log_to: boards that get the metrics of each.

    Raises:
        MissingInputError: no such file, or it cannot be read.
        ConfigError: naming what is wrong in it; more than `MOST_RUNS` runs; or no combination of its settings
            can be.
    """
    try:
        text = read_text(file, "sweep", MOST_BYTES)
    except DataError as error:
        raise ConfigError(str(error)) from error
    try:
        runs = _expand(parse_yaml(text), out)
    except UsageError as error:
        raise ConfigError(f"sweep {file}: {error}") from error
    boards = ("--log-to", *log_to) if log_to else ()
    return [replace(run, arguments=(*run.arguments, *boards)) for run in runs]


def check_runs(runs: Sequence[SweepRun]) -> None:
    """Refuses a sweep whose runs are there already with another config.

    Raises:
        OutputError: naming the run.
        DataError: a run that is there is damaged.
    """
    for run in runs:
        there = run.config is not None and (run.path / "config.yaml").exists()
        if there and read_config(run.path) != run.config:
            raise OutputError(
                f"{run.path} holds a run with another config; choose another --out, or delete it first"
            )


def train_all(
    runs: Sequence[SweepRun],
    file: Path,
    program: Sequence[str] | None = None,
    dealt: Sequence[Devices] = ((),),
) -> list[tuple[SweepRun, int]]:
    """Trains runs, each in a process of its own; how each ended goes into a JSON file.

    A run that fails, or cannot be, does not end the sweep; one that is finished already is skipped. Where
    several run at once, the lines of each go into ``logs/NAME.log`` beside the JSON file.

    Args:
        runs: the runs, in the order they begin in.
        file: the JSON file.
        program: the command that trains one with its arguments; default: this package's.
        dealt: devices of the runs that are trained at once; default: one run after another on all.

    Returns:
        The runs that failed, each with its exit code (-9: killed by signal 9).

    Raises:
        Interrupted: a signal came, which was handed on, or a run was interrupted otherwise.
    """
    codes, jobs = queue(runs, program, file.parent / "logs" if len(dealt) > 1 else None)
    write_results(runs, codes, file)
    with Processes() as processes:
        for job, code in processes.run(jobs, dealt):
            codes[job.name] = code
            write_results(runs, codes, file)
            print(f"{job.title}: {_ending(code)}", file=sys.stderr, flush=True)
            if code == INTERRUPTED:
                processes.stop()
    if processes.stopped:
        named = ", ".join(name for name, code in codes.items() if code == INTERRUPTED) or "the sweep"
        raise Interrupted(f"stopped in {named}; the same command continues the sweep")
    return [(run, codes[run.name]) for run in runs if codes[run.name]]


def _ending(code: int) -> str:
    if code == INTERRUPTED:
        return "interrupted"
    return f"failed with exit code {code}; going on" if code else "finished"


def queue(
    runs: Sequence[SweepRun], program: Sequence[str] | None = None, logs: Path | None = None
) -> tuple[dict[str, int], list[Job]]:
    """What is left to do of a sweep; a line on stderr names each run that is left out, and why.

    Args:
        runs: all of them.
        program: the command that trains one with its arguments; default: this package's.
        logs: folder of the files that the runs write their lines to; None: to the terminal.

    Returns:
        The exit codes of runs that are finished already or cannot be, by name; the jobs of the others.
    """
    codes: dict[str, int] = {}
    jobs: list[Job] = []
    for number, run in enumerate(runs, 1):
        title = f"[{number}/{len(runs)}] {run.name}"
        done = not run.problem and summarise(run.path, run.name).state == "finished"
        if run.problem or done:
            codes[run.name] = 0 if done else ConfigError.exit_code
            print(f"{title}: {run.problem or 'finished already'}", file=sys.stderr, flush=True)
        else:
            log = None if logs is None else logs / f"{run.name}.log"
            jobs.append(Job(run.name, title, (*(program or PROGRAM), *run.arguments), log))
    return codes, jobs


def summaries(runs: Sequence[SweepRun]) -> list[Summary]:
    """What the runs have come to, the best first; those that never began are left out."""
    begun = [summarise(run.path, run.name) for run in runs if run.path.is_dir()]
    return sorted(begun, key=lambda run: (run.best_score is None, -(run.best_score or 0.0)))


def write_results(runs: Sequence[SweepRun], codes: dict[str, int], file: Path) -> None:
    """Writes settings, exit code and scores of every run as JSON; the code of one not yet run is null.

    Raises:
        OutputError, DiskError: it cannot be written.
    """
    rows: list[dict[str, object]] = [
        {"settings": run.settings, "exit_code": codes.get(run.name), **vars(summarise(run.path, run.name))}
        for run in runs
    ]
    write_json(rows, file, overwrite=True)


def _expand(plain: object, out: Path) -> list[SweepRun]:
    if not isinstance(plain, dict):
        raise ConfigError(f"a sweep must be a mapping of {', '.join(KEYS)}, found {shown(plain)}")
    for key in plain:
        if key not in KEYS:
            raise ConfigError(f"a sweep may hold {', '.join(KEYS)}, found {shown(key)}")
    for key in ("preset", "data"):
        if key not in plain:
            raise ConfigError(f"a sweep needs {key}, found only {', '.join(plain) or 'nothing'}")
    if ("grid" in plain) == ("runs" in plain):
        raise ConfigError(
            "a sweep needs either grid (key -> list of values) or runs (a list of settings each)"
        )
    name, data, common = plain["preset"], plain["data"], _settings(plain.get("set", []), "set")
    if not isinstance(name, str) or not isinstance(data, str):
        raise ConfigError(
            f"a sweep's preset and data must be one value each, found {shown(name)} and {shown(data)}"
        )
    own = _grid(plain["grid"]) if "grid" in plain else _list(plain["runs"])
    runs = [_run(name, data, common, settings, out) for settings in own]
    for one, two in itertools.combinations(runs, 2):
        if one.name == two.name:
            raise ConfigError(f"two runs of a sweep would be named {one.name}; make their settings differ")
    if all(run.problem for run in runs):
        raise ConfigError(runs[0].problem)
    return runs


def _check_number(runs: int) -> None:
    if runs > MOST_RUNS:
        raise ConfigError(f"a sweep may have at most {MOST_RUNS:,} runs, found {runs:,}; leave out values")


def _settings(plain: object, name: str) -> list[str]:
    """Settings given as a mapping or as a list of section.key=value."""
    if isinstance(plain, dict):
        return [f"{key}={_flat(value, key)}" for key, value in plain.items()]
    if not isinstance(plain, list) or not all(isinstance(item, str) for item in plain):
        raise ConfigError(f"{name} must hold settings section.key=value, found {shown(plain)}")
    return plain


def _flat(value: object, name: str) -> str:
    """A value as it stands behind a setting's equals sign."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return f"[{', '.join(value)}]"
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be one value or a list of values, found {shown(value)}")
    return value


def _grid(plain: object) -> list[list[str]]:
    if not isinstance(plain, dict) or not plain:
        raise ConfigError(f"grid must be a mapping of section.key -> list of values, found {shown(plain)}")
    for key, values in plain.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"grid.{key} must be a list of values, found {shown(values)}")
    _check_number(math.prod(map(len, plain.values())))
    choices = [[f"{key}={_flat(value, key)}" for value in values] for key, values in plain.items()]
    return [list(chosen) for chosen in itertools.product(*choices)]


def _list(plain: object) -> list[list[str]]:
    if not isinstance(plain, list) or not plain:
        raise ConfigError(f"runs must be a list, one entry of settings for each run, found {shown(plain)}")
    _check_number(len(plain))
    return [_settings(entry, f"runs, entry {number},") for number, entry in enumerate(plain, 1)]


def _run(start: str, data: str, common: list[str], own: list[str], out: Path) -> SweepRun:
    settings, name = (*common, *own), run_name(own)
    chosen = ("--set", *settings) if settings else ()
    arguments = ("train", start, "--data", data, "--out", str(out / name), "--resume", *chosen)
    try:
        config = override(preset(start), settings)
    except Impossible as error:
        return SweepRun(name, out / name, settings, None, arguments, str(error))
    config = replace(config, data=replace(config.data, source=data))
    return SweepRun(name, out / name, settings, config, arguments)


def run_name(settings: Sequence[str]) -> str:
    """A run's name, safe for a file: ``lr=0.001,patch_size=16``; without settings of its own, ``base``."""
    parts = []
    for setting in settings:
        name, _, value = setting.partition("=")
        key = name.strip().rpartition(".")[2]
        safe = re.sub(r"[^\w.+-]+", "_", value.strip()).strip("_")
        parts.append(f"{SHORT.get(key, key)}={safe}")
    name = ",".join(parts) or "base"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
