"""What the runs below a folder have come to, read from the files they leave."""

import errno
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.folders import check_links
from crlb.files.records import Json, Record
from crlb.files.text_input import parse_json, read_bytes, read_text, shown
from crlb.files.yaml_input import MOST_BYTES
from specvit_jax.runs.lock import owner_of
from specvit_jax.runs.manifest import read_manifest
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import from_yaml
from specvit_jax.settings.outputs import R2, SKILL, score_name

FILES = ("config.yaml", "metrics.jsonl", "manifest.json")  # that a run is described from
LAST_STEP = 2**53
Row = dict[str, int | float]  # of metrics.jsonl: `step`, and what was measured there


@dataclass(frozen=True)
class Summary(Record):
    """A run in one line; what it has not come to yet is None."""

    name: str  # its path below the folder
    state: str  # running, finished, interrupted, damaged or not begun
    problem: str = ""  # why it is damaged
    preset: str | None = None
    step: int = 0
    steps: int | None = None
    best_r2: float | None = None  # of validation, the mean over labels; None: it tells two classes apart
    best_step: int | None = None
    mae: dict[str, float] | None = None  # label -> that of validation at the best step; K for T_eff, dex
    best_skill: float | None = None  # of validation, of classes (`specvit_jax.class_metrics.skill`)
    accuracy: float | None = None  # of validation at the best step, of classes
    spectra_per_s: float | None = None  # when it last trained
    updated: str | None = None  # UTC, ISO 8601

    @property
    def best_score(self) -> float | None:
        """The score that chose its best weights: skill of classes, else R2."""
        return self.best_r2 if self.best_skill is None else self.best_skill


def list_runs(folder: str | Path) -> list[Summary]:
    """Every run below a folder (or the folder itself, if it is one), the best first, damaged ones last.

    Runs that tell classes apart are ranked by their skill among the others by their R2.

    Raises:
        MissingInputError: no such folder, or it may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is not a folder; give the one your runs are in")
    if not _is_open(folder):
        raise MissingInputError(f"{folder} cannot be read: {os.strerror(errno.EACCES)}")
    runs = [
        summarise(path, "." if path == folder else str(path.relative_to(folder))) for path in _paths(folder)
    ]
    return sorted(runs, key=_rank)


def run_files(folder: str | Path) -> dict[str, Path]:
    """The files that the runs below a folder are described from, each under its path."""
    return {str(run / name): run / name for run in _paths(Path(folder)) for name in FILES}


def summarise(path: Path, name: str) -> Summary:
    """What a run has come to; a damaged one says why."""
    if not _is_open(path):
        return Summary(name, "damaged", f"{path} cannot be read: {os.strerror(errno.EACCES)}")
    if not (path / "config.yaml").exists():
        return Summary(name, "not begun")
    try:
        check_links((path / file for file in FILES), DataError)
        config = read_config(path)
        rows = read_metrics(path)
        finished = read_manifest(path).finished is not None  # at its last step, or by early stopping
    except (DataError, MissingInputError) as error:
        return Summary(name, "damaged", str(error), updated=_updated(path))
    step = max((int(row["step"]) for row in rows), default=0)
    chosen = score_name(config.model.threshold)
    scored = [row for row in rows if math.isfinite(row.get(chosen, math.nan))]
    best = max(scored, key=lambda row: row[chosen]) if scored else {}
    rates = [row["spectra_per_s"] for row in rows if "spectra_per_s" in row]
    return Summary(
        name=name,
        state=_state(path, finished),
        preset=config.preset,
        step=step,
        steps=config.train.steps,
        best_r2=best.get(R2) if chosen == R2 else None,
        best_step=int(best["step"]) if best else None,
        mae={
            label: best[f"val_mae_{label}"]
            for label in config.model.label_names
            if f"val_mae_{label}" in best
        },
        best_skill=best.get(SKILL) if chosen == SKILL else None,
        accuracy=best.get("val_accuracy"),
        spectra_per_s=rates[-1] if rates else None,
        updated=_updated(path),
    )


def read_config(path: Path) -> Config:
    """The config of a run.

    Raises:
        DataError: not readable.
    """
    file = path / "config.yaml"
    try:
        return from_yaml(read_text(file, "config", MOST_BYTES))
    except (OSError, DataError, UsageError) as error:
        raise DataError(f"{file} is damaged: {error}") from error


def read_metrics(path: str | Path) -> list[Row]:
    """The rows of a run's ``metrics.jsonl``; a last line that was cut short is left out.

    Raises:
        DataError: another line is not a row.
    """
    file = Path(path) / "metrics.jsonl"
    if not file.exists():
        return []
    rows = []
    lines = read_bytes(file, "metrics").decode(errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_row(parse_json(line)))
        except DataError as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise DataError(
                f"{file} line {number} must be a JSON object of numbers with a step, found {shown(line[:40])}"
            ) from error
    return rows


def _row(found: Mapping[str, Json]) -> Row:
    """A row that is what it should be.

    Raises:
        DataError: a value is no number, or the step is not there or not one.
    """
    row: Row = {}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{name} must be a number, found {shown(value)}")
        row[name] = value
    if not 0 <= row.get("step", -1) < LAST_STEP:
        raise DataError(f"step must be a number of 0 and more, found {shown(row.get('step'))}")
    return row | {"step": int(row["step"])}


def _paths(folder: Path) -> list[Path]:
    """The runs below a folder, and the folders that cannot be looked into."""
    refused: list[OSError] = []
    found = [path for path, _, names in os.walk(folder, onerror=refused.append) if "config.yaml" in names]
    return sorted(map(Path, [*found, *(error.filename for error in refused)]))


def _is_open(folder: Path) -> bool:
    """Whether this user may look into a folder."""
    return os.access(folder, os.R_OK | os.X_OK)


def _state(path: Path, finished: bool) -> str:
    owner = owner_of(path)
    if owner is not None and not owner.is_gone():
        return "running"
    return "finished" if finished else "interrupted"


def _updated(path: Path) -> str | None:
    files = [file for file in (path / "metrics.jsonl", path / "manifest.json") if file.exists()]
    if not files:
        return None
    return datetime.fromtimestamp(max(file.stat().st_mtime for file in files), UTC).isoformat(" ", "seconds")


def _rank(run: Summary) -> tuple[bool, float, str]:
    return (run.state == "damaged", -(run.best_score if run.best_score is not None else -1e9), run.name)
