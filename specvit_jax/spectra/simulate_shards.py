"""Writing a set of shards: by several processes, resumable, every shard whole or not at all."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from crlb.errors import Interrupted, OutputError, UsageError
from crlb.files.folders import delete_entries, finish_deletion
from crlb.files.process import cores
from crlb.files.progress import Advance
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.spectra.shard_set import (
    MANIFEST,
    Recipe,
    ShardSet,
    Spans,
    check_folder,
    check_space,
    read_set,
)
from specvit_jax.spectra.shards import INDEX
from specvit_jax.spectra.simulate import Stopped, progressing, write_rows
from specvit_jax.spectra.source import Simulator
from specvit_jax.stopping import Signals

WORTH_A_PROCESS = 75_000  # spectra: 10 s of work, where starting takes 8 s (benchmarks/simulate.py)
POLL_S = 0.2  # between looks at what the workers have done
Finished = Iterator[tuple[str, str]]  # a shard and its checksum


def simulate_shards(
    out: str | Path,
    recipe: Recipe,
    *,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> None:
    """Writes a set of shards.

    Args:
        out: folder; created.
        recipe: what to write.
        workers: processes, each with a jax of its own; 1: this one.
        resume: keep the shards that a set begun before has finished.
        overwrite: delete the set that is there.
        progress: show how it is getting on, on stderr.

    Raises:
        UsageError: both resume and overwrite, another recipe than that of the set to resume, or no workers.
        OutputError: the folder holds a set, or something else, or cannot be written, or the disk has no room.
        Interrupted: by SIGTERM or Ctrl-C, or a worker was killed; finished shards stay.
    """
    if workers < 1:
        raise UsageError(f"workers must be at least 1, found {workers}")
    n_pix = len(simulator(recipe.data).wave)  # refuses at once what cannot be drawn
    there = sum(path.stat().st_size for path in Path(out).glob("shard_*/*.h5"))
    check_space(Path(out), recipe.n, n_pix, recipe.arrays, there)
    made = _begin(Path(out), recipe, resume=resume, overwrite=overwrite)
    todo = {name: span for name, span in made.spans.items() if name not in made.done}
    done = recipe.n - _count(todo)
    with progressing(recipe.n, progress, done) as advance, Signals() as signals:
        run = _inline if workers == 1 else _pooled
        try:
            for name, checksum in run(made, recipe, todo, workers, signals, advance):
                made.done[name] = checksum
                made.write_manifest()
        except (Interrupted, BrokenProcessPool) as error:
            cause = signals.received or "the death of a worker"
            raise Interrupted(
                f"stopped by {cause} with {len(made.done)} of {recipe.shards} shards finished; continue with "
                "--resume"
            ) from error
    made.write_index()


def _count(spans: Spans) -> int:
    return sum(stop - start for start, stop in spans.values())


def _begin(path: Path, recipe: Recipe, *, resume: bool, overwrite: bool) -> ShardSet:
    """Makes the folder ready; of a set to resume, with the shards that are finished and sound."""
    found = check_folder(path, resume=resume, overwrite=overwrite)
    made = ShardSet(path, recipe.settings(), {})
    if found and resume:
        made.done.update(_finished(read_set(path), made.settings))
    if found and overwrite:
        delete_entries(path, (*read_set(path).spans, INDEX, MANIFEST))
    finish_deletion(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        made.write_manifest()  # makes the folder a set: what is killed from now on can be resumed
        for name in made.spans:
            (path / name).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create {path}: {error.strerror or error}; choose another --out") from error
    return made


def _finished(found: ShardSet, given: dict[str, object]) -> dict[str, str]:
    """The sound shards of a set; names the others."""
    stored = found.settings
    changed = [
        f"{name} {stored.get(name)} -> {given.get(name)}"
        for name in stored | given
        if stored.get(name) != given.get(name)
    ]
    if changed:
        raise UsageError(
            f"--resume needs the settings {found.path} began with; changed: {', '.join(changed)}"
        )
    wrong = {name: found.wrong(name) for name in found.done}
    for name, what in wrong.items():
        if what:
            print(f"{name} is written again: {what}", file=sys.stderr)
    return {name: checksum for name, checksum in found.done.items() if not wrong[name]}


def _inline(
    made: ShardSet, recipe: Recipe, todo: Spans, workers: int, signals: Signals, tick: Advance
) -> Finished:
    for name, span in todo.items():
        yield name, _write(made.file(name), recipe, span, tick, lambda: bool(signals.received))


def _pooled(
    made: ShardSet, recipe: Recipe, todo: Spans, workers: int, signals: Signals, tick: Advance
) -> Finished:
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(min(workers, len(todo) or 1), context, _start_worker, (counter, stop))
    pending: dict[Future[str], str] = {}
    seen = 0
    try:
        with _deaf_to_ctrl_c():
            for name, span in todo.items():
                pending[pool.submit(_work, made.file(name), recipe, span)] = name
        while pending:
            done, _ = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            now = counter.value
            tick(now - seen)
            seen = now
            for future in done:
                yield pending.pop(future), future.result()
            if signals.received:
                raise Interrupted("stopped between two pieces")
    finally:
        stop.set()
        started = multiprocessing.active_children() if pending else []
        for process in started:
            process.terminate()  # ends one that still imports; the others stop after their piece
        pool.shutdown(cancel_futures=True)
        for process in started:
            process.join()  # a pool that breaks while it starts forgets the last one


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started inside never hear Ctrl-C, not even while they import; this one does later.

    `ProcessPoolExecutor` starts them as it is given tasks.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(path: Path, recipe: Recipe, span: tuple[int, int], tick: Advance, stopped: Stopped) -> str:
    source = simulator(recipe.data)
    return write_rows(
        path, source, recipe.seed, span, recipe.arrays, overwrite=True, tick=tick, stopped=stopped
    )


_worker: dict[str, Any] = {}  # what a worker process shares with the one that started it


def _start_worker(counter: Any, stop: Any) -> None:
    """Ctrl-C reaches the workers too, but is for the process that started them to pass on."""
    received: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    _worker.update(counter=counter, stop=stop, received=received, parent=os.getppid())


def _work(path: Path, recipe: Recipe, span: tuple[int, int]) -> str:
    def tick(done: int) -> None:
        with _worker["counter"].get_lock():
            _worker["counter"].value += done

    def stopped() -> bool:
        orphan = os.getppid() != _worker["parent"]
        return _worker["stop"].is_set() or bool(_worker["received"]) or orphan

    return _write(path, recipe, span, tick, stopped)


@lru_cache(maxsize=1)
def simulator(data: DataConfig) -> Simulator:
    """The simulator of a recipe, made once per process."""
    return simulator_of(data)


def default_workers(n: int) -> int:
    """Processes for a set of `n` spectra: one per core, each with enough to do to be worth its start."""
    return max(1, min(cores(), n // WORTH_A_PROCESS))
