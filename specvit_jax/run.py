"""The directory of a training run: its config, its manifest, its metrics."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from crlb.errors import OutputError, UsageError
from specvit_jax.config import Config
from specvit_jax.config_file import from_yaml, to_yaml

PACKAGES = ("specvit-jax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
CONTENTS = ("config.yaml", "manifest.json", "metrics.jsonl", "checkpoints", "weights")


@dataclass(frozen=True)
class Run:
    """A run directory that is ready to be written into."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the orbax checkpoints."""
        return self.path / "checkpoints"

    def weights(self, which: str) -> Path:
        """The weights file ``best`` or ``last``."""
        return self.path / "weights" / f"{which}.safetensors"

    def log(self, row: Mapping[str, float | int]) -> None:
        """Appends a row to ``metrics.jsonl``."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def rewind(self, step: int) -> None:
        """Drops the rows of ``metrics.jsonl`` after a step: they will be written again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            rows = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
            path.write_text("".join(row for row in rows if json.loads(row)["step"] <= step))


def check_run(path: str | Path, config: Config, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuses, before anything is changed, a run directory that ``open_run`` would refuse.

    Args:
        path: of the directory; created with its parents.
        config: of the run.
        resume: continue the run found there; without one, start.
        overwrite: delete the run found there.

    Raises:
        OutputError: it holds a run and neither was asked for, it holds something else, or cannot be written.
        UsageError: both were asked for, or the run to continue has another config.
    """
    path = Path(path)
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite deletes it; give one of the two")
    found = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if found and "config.yaml" not in found:
        raise OutputError(f"{path} holds {found[0]} and is not a run directory; choose an empty --out")
    if found and resume:
        _check_same(path, config)
    elif found and not overwrite:
        raise OutputError(
            f"{path} holds a run already; continue it with --resume, delete it with --overwrite"
        )
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise OutputError(
            f"cannot create run directory {path}: {existing} cannot be written into; choose another"
        )


def open_run(path: str | Path, config: Config, *, resume: bool = False, overwrite: bool = False) -> Run:
    """Makes a run directory, or opens the one that is there to continue it.

    Raises:
        OutputError, UsageError: as ``check_run``.
    """
    path = Path(path)
    check_run(path, config, resume=resume, overwrite=overwrite)
    try:
        if overwrite:
            _delete(path)
        (path / "weights").mkdir(parents=True, exist_ok=True)
        (path / "config.yaml").write_text(to_yaml(config))
        _write_manifest(path)
    except OSError as error:
        raise OutputError(
            f"cannot write run directory {path}: {error.strerror}; choose another --out"
        ) from error
    return Run(path)


def _check_same(path: Path, config: Config) -> None:
    stored, given = (to_yaml(c).splitlines() for c in (from_yaml((path / "config.yaml").read_text()), config))
    changed = [
        f"{old.strip()} -> {new.strip()}" for old, new in zip(stored, given, strict=False) if old != new
    ]
    if changed or len(stored) != len(given):
        raise UsageError(
            f"--resume needs the config the run in {path} began with; it changed: {'; '.join(changed)}"
        )


def _delete(path: Path) -> None:
    for name in CONTENTS:
        entry = path / name
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _write_manifest(path: Path) -> None:
    """Adds this start to ``manifest.json``: command, date, versions, devices."""
    file = path / "manifest.json"
    starts = json.loads(file.read_text())["starts"] if file.exists() else []
    import jax  # so that run directories are checked before jax is loaded

    devices = jax.local_devices()
    starts.append(
        {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "devices": f"{len(devices)} x {devices[0].device_kind}",
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        }
    )
    file.write_text(json.dumps({"starts": starts}, indent=1) + "\n")
