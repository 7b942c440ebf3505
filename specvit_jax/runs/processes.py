"""Commands of a queue, each in a process of its own, several at once where there are several devices."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeAlias

from crlb.errors import UsageError
from crlb.files.output import writing

POLL_S = 0.05  # s between looks at processes and signals
ENDING_S = 60.0  # s that a process has to save and end before it is killed
Devices: TypeAlias = tuple[str, ...]  # names as in CUDA_VISIBLE_DEVICES; none: what this process has


@dataclass(frozen=True)
class Job:
    """A command of a queue."""

    name: str
    title: str  # for the lines that tell of it
    command: tuple[str, ...]
    log: Path | None = None  # file that its lines are appended to; None: they go where those of this one go


def visible_devices(environment: Mapping[str, str]) -> Devices:
    """The GPUs that a process with this environment may use, named as in ``CUDA_VISIBLE_DEVICES``."""
    if not {"", "cuda", "gpu"} & set(environment.get("JAX_PLATFORMS", "").split(",")):
        return ()
    if (named := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True)  # without a driver it fails
    return tuple(said.stdout.split()) if said.returncode == 0 else ()


def shares(workers: int | None, devices: Sequence[str] | None, there: Devices) -> list[Devices]:
    """Devices dealt out to processes that run at once; no two of them have one in common.

    Args:
        workers: how many run at once; None: one for each device, one without.
        devices: the devices; None: all.
        there: those that there are.

    Raises:
        UsageError: a device is not there, or named twice; no workers, or more than devices.
    """
    for device in devices or ():
        if device not in there:
            among = f"be among {', '.join(there)}" if there else "not be given where no GPU is found"
            raise UsageError(f"--devices must {among}, found {device!r}; leave it out to use all there are")
    chosen = there if devices is None else tuple(devices)
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--devices must name each device once, found {' '.join(chosen)}")
    n = max(len(chosen), 1) if workers is None else workers
    if n < 1:
        raise UsageError(f"--workers must be at least 1, found {n}")
    if chosen and n > len(chosen):
        raise UsageError(f"--workers must be at most {len(chosen)}, one for each device, found {n}")
    return [chosen[i::n] for i in range(n)]


class Processes:
    """Runs the commands of a queue; SIGTERM, SIGUSR1 and Ctrl-C are handed on. Use it in a ``with``."""

    def __init__(self) -> None:
        self.received = 0  # the last signal
        self.stopped = False  # nothing more is begun
        self.running: dict[subprocess.Popen[bytes], tuple[Job, Devices]] = {}
        self._to_hand_on: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Processes":
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.running:  # after an error here
            process.terminate()
        for process in self.running:
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, jobs: Iterable[Job], dealt: Sequence[Devices]) -> Iterator[tuple[Job, int]]:
        """Yields each job and its exit code (-9: killed by signal 9) as it ends.

        They begin in the order of the queue, each as soon as there are devices that no other one uses.

        Args:
            jobs: the queue.
            dealt: devices of the processes that run at once, as ``shares`` gives them.

        Raises:
            OutputError, DiskError: a log cannot be written.
        """
        waiting, free = deque(jobs), list(dealt)
        while self.running or (waiting and not self.stopped):
            while waiting and free and not self.stopped:
                self._begin(waiting.popleft(), free.pop(0))
            self._hand_on()
            for process in [process for process in self.running if process.poll() is not None]:
                job, devices = self.running.pop(process)
                free.append(devices)
                yield job, process.returncode
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Begins nothing more, and asks those that run to save and end, unless a signal did so already."""
        if not self.stopped:
            self.stopped = True
            for process in self.running:
                process.terminate()

    def _begin(self, job: Job, devices: Devices) -> None:
        print(_beginning(job, devices), file=sys.stderr, flush=True)
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {})
        # A group of its own: a terminal's Ctrl-C reaches it once, through this process.
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "process_group": 0, "env": environment}
        if job.log is None:
            process = subprocess.Popen(job.command, **options)
        else:
            with writing(job.log):
                job.log.parent.mkdir(parents=True, exist_ok=True)
                with job.log.open("ab") as log:
                    process = subprocess.Popen(job.command, stdout=log, stderr=subprocess.STDOUT, **options)
        self.running[process] = job, devices

    def _hand_on(self) -> None:
        while self._to_hand_on:
            number = self._to_hand_on.pop(0)
            for process in self.running:
                process.send_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received, self.stopped = number, True
        self._to_hand_on.append(number)


def _beginning(job: Job, devices: Devices) -> str:
    """A line on a job that begins."""
    on = f" on device{'s' * (len(devices) > 1)} {', '.join(devices)}" if devices else ""
    return f"{job.title}{on}{f': {job.log}' if job.log else ''}"
