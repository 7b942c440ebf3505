"""Runs and experiments as tasks of a Slurm array, submitted through submitit; needs the extra ``slurm``."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crlb.errors import Interrupted, OutputError, UsageError, one_line
from crlb.files.text_input import shown
from specvit_jax.runs.processes import POLL_S, Job

TIME_MIN = 24 * 60  # of a task, unless told otherwise; as in ``slurm_script``
CPUS = 8  # of a task
NOTICE_S = 120  # s before the limit at which a run is told to save
RESTARTS = 1_000_000  # that submitit allows; ``Task.checkpoint`` ends them
SETUP = 'export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/specvit-jax}"'
RESULTS = (".npz", ".safetensors")  # endings of files that a task goes on from
PARTS = "parts"  # folder of the files that an experiment goes on from
TAKEN = ("array", "error", "open_mode", "output", "requeue", "signal")  # options that submission sets itself
Cluster = str  # of submitit: "slurm"; "local" and "debug" run on this machine


class Task:
    """A command as submitit calls it: in a process of its own, which is told when the task has to end."""

    def __init__(self, command: Sequence[str], folder: Path, restarts: int = 0) -> None:
        """Begins nothing.

        Args:
            command: that trains a run or computes an experiment, or goes on with it.
            folder: what it writes goes into it.
            restarts: how often the task was queued again before.
        """
        self.command, self.folder, self.restarts = tuple(command), folder, restarts
        self.before: dict[Path, int] = {}
        self.pid = 0
        self.code: int | None = None  # of the command, once it has ended

    def __call__(self) -> None:
        """Runs the command.

        Raises:
            CalledProcessError: it failed.
        """
        self.before = kept(self.folder)
        process = subprocess.Popen(deaf(self.command), stdin=subprocess.DEVNULL)
        self.pid = process.pid
        threading.Thread(target=self._wait, args=[process], daemon=True).start()
        self._until_ended()
        if self.code:
            raise subprocess.CalledProcessError(self.code, self.command)

    def checkpoint(self) -> Any:
        """Lets the command save and end; what submitit queues again, or None where that brings nothing."""
        from submitit.helpers import DelayedSubmission

        os.kill(self.pid, signal.SIGTERM)
        self._until_ended()
        brought = any(amount > self.before.get(path, -1) for path, amount in kept(self.folder).items())
        if self.code != Interrupted.exit_code or not (brought or self.restarts == 0):
            return None
        return DelayedSubmission(Task(self.command, self.folder, self.restarts + 1))

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        self.code = process.wait()

    def _until_ended(self) -> None:
        """Takes no lock: the handler of a signal, which may interrupt it, waits here as well."""
        while self.code is None:
            time.sleep(POLL_S)


def deaf(command: Sequence[str]) -> list[str]:
    """A command that ignores submitit's signal: Slurm sends it to all processes of a task, to end them."""
    name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2").removeprefix("SIG")
    word = signal.Signals[f"SIG{name}"].name.removeprefix("SIG")
    return ["/bin/sh", "-c", f"trap '' {word}; exec \"$@\"", "sh", *command]


def kept(folder: Path) -> dict[Path, int]:
    """What a task can go on from: the newest step of each folder of checkpoints, the size of each result."""
    found: dict[Path, int] = {}
    for path in folder.rglob("*"):
        if path.parent.name == "checkpoints" and path.name.isdecimal():
            found[path.parent] = max(found.get(path.parent, 0), int(path.name))
        elif "checkpoints" not in path.parts and (path.suffix in RESULTS or path.parent.name == PARTS):
            found[path] = size(path)
    return found


def size(path: Path) -> int:
    """Bytes of a file; 0 for one that is gone, as temporary files are."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_submission(options: Sequence[str]) -> dict[str, str]:
    """Options of sbatch, given as ``KEY=VALUE``: name with underscores -> value.

    Raises:
        UsageError: one is not of that form, or set by the submission itself; submitit is not installed.
    """
    if find_spec("submitit") is None:
        raise UsageError(
            "--submit needs the package submitit, which is not installed; install the extra: "
            "pip install 'specvit-jax[slurm]'; specvit sweep --slurm FILE writes an array script without it"
        )
    return dict(map(_option, options))


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    name = key.replace("-", "_")
    if not equals or not re.fullmatch(r"[a-z][a-z_]*", name) or not value.isprintable():
        raise UsageError(f"--slurm-options must read key=value, say partition=gpu; found {shown(text)}")
    if name in TAKEN:
        raise UsageError(f"--slurm-options may not set {key}: the submission itself does; leave it out")
    return name, value


def submit(
    jobs: Sequence[tuple[Job, Path]],
    folder: Path,
    name: str,
    options: Mapping[str, str],
    cluster: Cluster = "slurm",
) -> list[Any]:
    """Submits commands as an array, a task for each; one at its limit saves, is queued again and goes on.

    Args:
        jobs: the commands, each with the folder that it writes into.
        folder: for submitit's files and the logs of the tasks, seen by all nodes.
        name: of the array.
        options: as ``check_submission`` gives them; they come before those that are set here.
        cluster: of submitit.

    Returns:
        submitit's jobs, in the same order.

    Raises:
        UsageError: there is no such cluster here.
        OutputError: it refused the submission.
    """
    import submitit

    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster, slurm_max_num_timeout=RESTARTS)
    except RuntimeError as error:
        raise UsageError(
            f"--submit needs Slurm here: {one_line(error)}; run it where sbatch is, or without --submit"
        ) from error
    executor.update_parameters(
        name=re.sub(r"[^\w.-]+", "_", name),
        timeout_min=TIME_MIN,
        cpus_per_task=CPUS,
        gpus_per_node=1,
        slurm_signal_delay_s=NOTICE_S,
        slurm_setup=[SETUP],
        slurm_additional_parameters={"requeue": True, **options},
    )
    try:
        with executor.batch():
            submitted = [executor.submit(Task(job.command, written)) for job, written in jobs]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise OutputError(f"the submission was refused: {one_line(error)}") from error
    return submitted
