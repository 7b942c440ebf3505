"""Result files of numbers that no experiment leaves: what commands of `crlb` and `specvit` give, under docs/.

`python -m experiments.tables --measure NAME` makes them; each keeps the commands as a reader would type them,
the day and the versions.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from crlb.errors import UsageError
from crlb.files.records import Json, write_json

PROGRAMS = {"crlb": "crlb.cli", "specvit": "specvit_jax.cli"}
# What the published recipe for R2_max chose otherwise, one thing at a time, then together.
RECIPE = {
    "differences": "--derivative grid",
    "noise level known": "--noise-level-known",
    "node variance": "--variance 1.6667",
    "published": "--derivative grid --noise-level-known --variance 1.6667",
    "4 exposures": "--n-exp 4",
}
PRICED_STARS = 150  # per unknown; each row is compared with the first star by star
STARS = {
    "giant": "--T_eff 4800 --log_g 2.5 --M_H -0.5",
    "dwarf": "--T_eff 5000 --log_g 4.5 --M_H -0.5",
    "metal-poor giant": "--T_eff 4500 --log_g 1.5 --M_H -2",
}
WITH_CONTINUUM = "--mag 20 --amplitude --continuum 3"
WINDOWS = {  # of as many Å as Gaia's RVS has, the best and that of RVS: Katz et al. 2023, A&A 674, A5
    "best": "--best-window 240",
    "RVS": "--wave-range 8460 8700",
}
OF_BOTH = "crlb ceiling --target log_g M_H --mag 20 21.5 22.5 --bayes --n-bayes 500"
FIVE_LABELS = "--labels T_eff log_g M_H a_M C_M"


@dataclass(frozen=True)
class Measurement:
    """What is run, and what of its results is kept.

    Attributes:
        commands: by the name of a part; those that write JSON have `--json` last.
        kept: the keys of their JSON that are kept.
        rows: which of its `rows` are kept.
    """

    commands: Mapping[str, str]
    kept: tuple[str, ...]
    rows: Callable[[dict[str, Json]], bool] = lambda row: True


def is_shown(row: Mapping[str, Json]) -> bool:
    """Returns whether a row of `crlb grid validate` is drawn or stands in a table."""
    by_temperature = str(row["region"]).startswith(("all", "T_eff"))
    return row["test"] == "halved" or (row["test"] == "single" and by_temperature)


MEASUREMENTS = {
    "recipe": Measurement(
        {name: f"crlb ceiling {options} --json recipe.json" for name, options in RECIPE.items()},
        ("label", "variance", "bins"),
    ),
    "five_labels": Measurement(
        {
            "exact": f"crlb ceiling {FIVE_LABELS} --json five_labels.json",
            "published": f"crlb ceiling {FIVE_LABELS} {RECIPE['published']} --json five_labels.json",
        },
        ("label", "label_names", "variance", "bins"),
    ),
    "nuisances": Measurement({"nuisances": "crlb nuisances --json nuisances.json"}, ("target", "rows")),
    "prices": Measurement(
        {"prices": f"crlb nuisances --bayes --n-bayes {PRICED_STARS} --json prices.json"},
        ("target", "prices"),
    ),
    "windows": Measurement(
        {
            f"{star}, {window}": f"crlb information {labels} {WITH_CONTINUUM} {options} --json windows.json"
            for star, labels in STARS.items()
            for window, options in WINDOWS.items()
        },
        ("target", "label_names", "mag", "snr", "information", "bound", "best_windows"),
    ),
    "population": Measurement(
        {
            "stars": "python examples/giant_branch.py giants.csv",
            "giants": f"{OF_BOTH} --population giants.csv --json giants.json",
            "box": f"{OF_BOTH} --json box.json",
        },
        ("label", "variance", "bins"),
    ),
    "interpolation": Measurement(
        {"validate": "crlb grid validate --json interpolation.json"},
        (
            *("label_names", "mags", "snr_median", "axes", "nodes", "not_scored", "rows", "better"),
            *("smoothness", "spectra", "provenance"),
        ),
        is_shown,
    ),
} | {
    name: Measurement(
        {
            "simulate": f"specvit simulate --n 10000 --mag 20.5 22.5 --seed 20001{under} --out test.h5",
            "evaluate": f"specvit evaluate {name} --data test.h5 --json scores.json",
        },
        ("n", "snr_definition", "labels"),
    )
    for name, under in (("tiny", ""), ("survey", " --conditions survey"))
}


def measure(name: str, root: Path) -> Path:
    """Runs the commands of a measurement and writes what they gave to docs/NAME.json; returns its path.

    Raises:
        UsageError: a command failed.
    """
    found = MEASUREMENTS[name]
    with TemporaryDirectory() as folder:
        parts = {part: run(command, Path(folder), root) for part, command in found.commands.items()}
    kept = {part: kept_of(value, found) for part, value in parts.items() if value is not None}
    path = root / "docs" / f"{name}.json"
    write_json(kept | {"provenance": provenance(found.commands)}, path, overwrite=True)
    return path


def kept_of(
    value: dict[str, Json] | list[dict[str, Json]], measurement: Measurement
) -> dict[str, Json] | list[dict[str, Json]]:
    """Returns what a measurement keeps of the JSON of a command, of each result where it gave a list."""
    if isinstance(value, list):
        return [chosen(one, measurement) for one in value]
    return chosen(value, measurement)


def chosen(value: dict[str, Json], measurement: Measurement) -> dict[str, Json]:
    """Returns what a measurement keeps of the JSON of a command."""
    kept = {key: value[key] for key in measurement.kept}
    if isinstance(rows := kept.get("rows"), list):
        kept["rows"] = [row for row in rows if isinstance(row, dict) and measurement.rows(row)]
    return kept


def run(command: str, folder: Path, root: Path) -> dict[str, Json] | list[dict[str, Json]] | None:
    """Runs a command or a script of this project in a folder; returns its JSON, None where it writes none.

    Raises:
        UsageError: it ended with another status than 0.
    """
    program, *arguments = shlex.split(command)
    script, *options = arguments
    module = ["-m", PROGRAMS[program], *arguments] if program in PROGRAMS else [str(root / script), *options]
    line = [sys.executable, *module]
    done = subprocess.run(line, cwd=folder, env=_environment(root), capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"`{command}` ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    if "--json" not in arguments:
        return None
    path = folder / arguments[-1]
    written: dict[str, Json] | list[dict[str, Json]] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return written


def provenance(commands: Mapping[str, str]) -> dict[str, Json]:
    """Returns how the numbers were made."""
    return {
        "commands": dict(commands),
        "versions": {name: version(name) for name in ("specvit-jax", "jax", "numpy", "scipy")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _environment(root: Path) -> dict[str, str]:
    """The environment with this tree first among the places that packages are imported from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
