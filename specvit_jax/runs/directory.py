"""The directory of a training run: its lock, its config, its manifest, its metrics."""

import json
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from crlb.errors import DataError, OutputError, UsageError
from crlb.files.folders import check_links, delete_entries, finish_deletion, tree
from crlb.files.output import new_file, writing
from specvit_jax.runs.board import Board, BoardName, check_boards, curves, open_board
from specvit_jax.runs.inputs import Input, check_inputs_same
from specvit_jax.runs.listing import read_config, read_metrics
from specvit_jax.runs.lock import LOCK_FILES, RunLock, check_free
from specvit_jax.runs.manifest import Finish, Manifest, describe_start, now, read_manifest, write_manifest
from specvit_jax.runs.wandb_board import drop_log_links, is_log_link
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import to_yaml

# config.yaml makes a folder a run directory: it is deleted last.
CONTENTS = (
    "manifest.json",
    "metrics.jsonl",
    "training_curves.png",
    "tensorboard",
    "wandb",
    "checkpoints",
    "weights",
    "config.yaml",
)


class Run:
    """A run directory, locked and ready to be written into; use it in a ``with``.

    In the processes of a run that do not write (all but the first) it has no lock and writes nothing.
    """

    def __init__(
        self,
        path: Path,
        lock: RunLock | None = None,
        *,
        before: str = "",
        notes: Sequence[str] = (),
        log_to: Sequence[BoardName] = (),
    ) -> None:
        """Takes over a lock that is held.

        Args:
            path: of the directory.
            lock: the lock; None: nothing is written.
            before: layout of the start before this one, if any.
            notes: lines for the user on what is another way than at the start before.
            log_to: boards that get the metrics as well.
        """
        self.path, self.lock, self.log_to = path, lock, tuple(dict.fromkeys(log_to))
        self.before, self.notes = before, list(notes)
        self.boards: list[Board] = []
        release: Callable[[], None] = (lambda: None) if lock is None else lock.release
        self.release = weakref.finalize(self, release)  # at the latest when the run is forgotten

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(0 if error is None else getattr(error, "exit_code", 1))

    def close(self, exit_code: int = 0) -> None:
        """Closes the boards, which are told the exit status of the run, and gives the lock back."""
        try:
            for board in self.boards:
                board.close(exit_code)
        finally:
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
            RunLocked: it has.
            DiskError: the lock could not be refreshed for too long.
        """
        if self.lock is not None:
            self.lock.check()

    def log(self, row: Mapping[str, float | int]) -> None:
        """Appends a row to ``metrics.jsonl``, and to the boards that were asked for.

        Raises:
            RunLocked, DiskError: as ``check``; or the disk refused the row.
            UsageError: as ``open_board``.
        """
        if self.lock is None:
            return
        self.check()
        file = self.path / "metrics.jsonl"
        with writing(file), file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        step, points = int(row["step"]), curves(row)
        self._open_boards(step - 1)
        for name, board in zip(self.log_to, self.boards, strict=True):
            with writing(self.path / name):
                board.log(step, points)

    def rewind(self, step: int, scored: bool = True) -> None:
        """Drops the rows of ``metrics.jsonl`` after a step, and its scores if not ``scored``: they come anew.

        Raises:
            RunLocked, DiskError: as ``log``; the rows are as they were.
            DataError: the file is damaged.
            UsageError: as ``open_board``.
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
        self._open_boards(step)

    def _open_boards(self, after: int) -> None:
        """Opens the boards, once; where they can be seen is noted."""
        for name in self.log_to[len(self.boards) :]:
            with writing(self.path / name):
                self.boards.append(open_board(name, self.path, after, read_config(self.path)))
            self.notes += filter(None, [self.boards[-1].about])

    def finish(self, step: int) -> None:
        """Notes in the manifest that the run came to its end, by early stopping perhaps.

        Raises:
            RunLocked, DiskError: as ``log``.
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
        OutputError: it holds a run and neither was asked for, it holds something else, or cannot be written;
            or a file or folder of the run is a symbolic link.
        UsageError: both were asked for, or the run to continue has another config, but for more steps.
        RunLocked: another process writes into it.
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
    inside = (inner for name in (*LOCK_FILES, *CONTENTS) for inner in tree(path / name))
    check_links(inner for inner in inside if not is_log_link(inner, path))
    check_free(path)
    _check_contents(path, config, resume, overwrite)


def open_run(
    path: str | Path,
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    layout: str = "",
    inputs: Sequence[Input] = (),
    log_to: Sequence[BoardName] = (),
) -> Run:
    """Makes a run directory, or opens the one that is there to continue it; locks it before it is changed.

    Of several processes that train together the first does this; the others get a run that writes nothing.

    Args:
        path: of the directory; created with its parents.
        config: of the run.
        resume: continue the run found there; without one, start.
        overwrite: delete the run found there.
        layout: devices and how they are driven, in words, for the manifest.
        inputs: the files that the run reads.
        log_to: boards that get the metrics as well.

    Raises:
        OutputError, UsageError, RunLocked, DataError: as ``check_run``, ``check_boards``; or a file that
            it reads has changed.
        DiskError: the disk refused it.
    """
    path = Path(path)
    import jax  # so that run directories are checked before jax is loaded

    if jax.process_index() > 0:
        return Run(path)
    check_boards(log_to)
    check_run(path, config, resume=resume, overwrite=overwrite)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = RunLock(path).acquire()
    try:
        _clear(path, config, resume, overwrite)
        before, notes = _begin(path, config, layout, tuple(inputs))
    except BaseException:
        lock.release()
        raise
    return Run(path, lock, before=before, notes=notes, log_to=log_to)


def _clear(path: Path, config: Config, resume: bool, overwrite: bool) -> None:
    """Removes from a locked directory what is not to be continued, and what killed processes left."""
    _check_contents(path, config, resume, overwrite)  # another process may have been here meanwhile
    drop_log_links(path)
    if overwrite:
        delete_entries(path, CONTENTS)
    finish_deletion(path)
    with writing(path):
        for left_over in (*path.glob(".*.partial*"), *path.glob("weights/.*.partial*")):
            left_over.unlink()


def _begin(path: Path, config: Config, layout: str, inputs: tuple[Input, ...]) -> tuple[str, list[str]]:
    """Writes config and manifest of this start; returns the layout of the one before, and lines to say."""
    manifest = read_manifest(path)
    notes = [] if manifest.inputs is None else check_inputs_same(manifest.inputs, inputs)
    file, wanted = path / "config.yaml", config.train.steps
    steps = read_config(path).train.steps if file.exists() else None
    if steps not in (None, wanted):
        notes.append(f"lengthened from {steps} to {wanted} steps; its learning rate is that of a run so long")
    if steps != wanted:
        with new_file(file, overwrite=True) as temporary:
            temporary.write_text(to_yaml(config))
    with writing(path):
        (path / "weights").mkdir(exist_ok=True)
    starts = (*manifest.starts, describe_start(layout, config.train.deterministic))
    write_manifest(path, Manifest(starts, inputs=inputs if manifest.inputs is None else manifest.inputs))
    return manifest.starts[-1].layout if manifest.starts else "", notes


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
    """Refuses a config that is not the one found there; a run may be made longer."""
    try:
        before = read_config(path)
    except DataError as error:
        raise DataError(f"{error}; start again with --overwrite") from error
    if config.train.steps > before.train.steps:
        before = replace(before, train=replace(before.train, steps=config.train.steps))
    stored, given = (to_yaml(one).splitlines() for one in (before, config))
    changed = [
        f"{old.strip()} -> {new.strip()}" for old, new in zip(stored, given, strict=False) if old != new
    ]
    if changed or len(stored) != len(given):
        raise UsageError(
            f"--resume needs the config the run in {path} began with, or more train.steps; it changed: "
            f"{'; '.join(changed)}"
        )
