"""The directory of a training run: its lock, its config, its manifest, its metrics."""

import json
import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from crlb.errors import DataError, OutputError, UsageError
from crlb.files.output import new_file, writing
from crlb.files.text_input import read_text
from crlb.files.yaml_input import MOST_BYTES
from specvit_jax.runs.board import Board, check_tensorboard
from specvit_jax.runs.listing import read_metrics
from specvit_jax.runs.lock import LOCK_FILES, RunLock, check_free
from specvit_jax.runs.manifest import Finish, Manifest, describe_start, now, read_manifest, write_manifest
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import from_yaml, to_yaml

# config.yaml makes a folder a run directory: it is deleted last.
CONTENTS = (
    "manifest.json",
    "metrics.jsonl",
    "training_curves.png",
    "tensorboard",
    "checkpoints",
    "weights",
    "config.yaml",
)


class Run:
    """A run directory, locked and ready to be written into; use it in a ``with``.

    In the processes of a run that do not write (all but the first) it has no lock and writes nothing.
    """

    def __init__(
        self, path: Path, lock: RunLock | None = None, *, before: str = "", tensorboard: bool = False
    ) -> None:
        """Takes over a lock that is held; ``before`` is the layout of the start before this one, if any."""
        self.path, self.lock, self.before, self.tensorboard = path, lock, before, tensorboard
        self.board: Board | None = None
        release: Callable[[], None] = (lambda: None) if lock is None else lock.release
        self.release = weakref.finalize(self, release)  # at the latest when the run is forgotten

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the lock back."""
        if self.board is not None:
            self.board.close()
        self.release()

    @property
    def checkpoints(self) -> Path:
        """Folder of the orbax checkpoints."""
        return self.path / "checkpoints"

    def weights(self, which: str) -> Path:
        """The weights file ``best`` or ``last``."""
        return self.path / "weights" / f"{which}.safetensors"

    def check(self) -> None:
        """Refuses to write on once another process has taken the run over.

        Raises:
            Locked: it has.
            DiskError: the lock could not be refreshed for too long.
        """
        if self.lock is not None:
            self.lock.check()

    def log(self, row: Mapping[str, float | int]) -> None:
        """Appends a row to ``metrics.jsonl``, and to TensorBoard's where that was asked for.

        Raises:
            Locked, DiskError: as ``check``; or the disk refused the row.
        """
        if self.lock is None:
            return
        self.check()
        file = self.path / "metrics.jsonl"
        with writing(file), file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        if self.tensorboard:
            with writing(self.path / "tensorboard"):
                self.board = self.board or Board(self.path / "tensorboard", int(row["step"]) - 1)
                self.board.log(row)

    def rewind(self, step: int, scored: bool = True) -> None:
        """Drops the rows of ``metrics.jsonl`` after a step, and its scores if not ``scored``: they come anew.

        Raises:
            Locked, DiskError: as ``log``; the rows are as they were.
            DataError: the file is damaged.
        """
        if self.lock is None:
            return
        self.check()
        found = read_metrics(self.path)
        rows = [
            row for row in found if row["step"] < step or (row["step"] == step and (scored or "loss" in row))
        ]
        with new_file(self.path / "metrics.jsonl", overwrite=True) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if self.tensorboard:
            with writing(self.path / "tensorboard"):
                self.board = Board(self.path / "tensorboard", step)

    def finish(self, step: int) -> None:
        """Notes in the manifest that the run came to its end, by early stopping perhaps.

        Raises:
            Locked, DiskError: as ``log``.
        """
        if self.lock is not None:
            self.check()
            write_manifest(self.path, replace(read_manifest(self.path), finished=Finish(step, now())))


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
        Locked: another process writes into it.
        DataError: the config found there is damaged.
    """
    path = Path(path)
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite deletes it; give one of the two")
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise OutputError(
            f"cannot create run directory {path}: {existing} cannot be written into; choose another"
        )
    check_free(path)
    _check_contents(path, config, resume, overwrite)


def open_run(
    path: str | Path,
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    layout: str = "",
    tensorboard: bool = False,
) -> Run:
    """Makes a run directory, or opens the one that is there to continue it; locks it before it is changed.

    Of several processes that train together the first does this; the others get a run that writes nothing.

    Args:
        path: of the directory; created with its parents.
        config: of the run.
        resume: continue the run found there; without one, start.
        overwrite: delete the run found there.
        layout: devices and how they are driven, in words, for the manifest.
        tensorboard: log for TensorBoard as well.

    Raises:
        OutputError, UsageError, Locked, DataError: as ``check_run``.
        DiskError: the disk refused it.
    """
    path = Path(path)
    if tensorboard:
        check_tensorboard()
    import jax  # so that run directories are checked before jax is loaded

    if jax.process_index() > 0:
        return Run(path)
    check_run(path, config, resume=resume, overwrite=overwrite)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = RunLock(path).acquire()
    try:
        before = _prepare(path, config, resume, overwrite, layout)
    except BaseException:
        lock.release()
        raise
    return Run(path, lock, before=before, tensorboard=tensorboard)


def _prepare(path: Path, config: Config, resume: bool, overwrite: bool, layout: str) -> str:
    """Fills a locked directory; returns the layout of the start before, if any."""
    _check_contents(path, config, resume, overwrite)  # another process may have been here meanwhile
    with writing(path):
        if overwrite:
            _delete(path)
        for left_over in (*path.glob(".*.partial*"), *path.glob("weights/.*.partial*")):
            left_over.unlink()
    if not (path / "config.yaml").exists():
        with new_file(path / "config.yaml") as temporary:
            temporary.write_text(to_yaml(config))
    with writing(path):
        (path / "weights").mkdir(exist_ok=True)
    manifest = read_manifest(path)
    write_manifest(path, Manifest((*manifest.starts, describe_start(layout))))
    return manifest.starts[-1].layout if manifest.starts else ""


def _check_contents(path: Path, config: Config, resume: bool, overwrite: bool) -> None:
    found = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    found = [name for name in found if not name.startswith(".") and name not in LOCK_FILES]
    if found and "config.yaml" not in found:
        raise OutputError(f"{path} holds {found[0]} and is not a run directory; choose an empty --out")
    if found and resume:
        _check_same(path, config)
    elif found and not overwrite:
        raise OutputError(
            f"{path} holds a run already; continue it with --resume, delete it with --overwrite"
        )


def _check_same(path: Path, config: Config) -> None:
    file = path / "config.yaml"
    try:
        before = from_yaml(read_text(file, "config", MOST_BYTES))
    except (UsageError, DataError) as error:
        raise DataError(f"{file} is damaged ({error}); start again with --overwrite") from error
    stored, given = (to_yaml(one).splitlines() for one in (before, config))
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
