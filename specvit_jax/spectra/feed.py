"""The batch of every step of a run. `state.step` is the only clock: a batch depends on the seed and its step.

A feed can therefore start at any step without reading what lies before it. Spectra that are on the device
need their indices only; others are fetched by threads that run ahead and put them on the device.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from crlb.errors import UsageError
from crlb.files.memory import GIB
from specvit_jax.settings.config import Config
from specvit_jax.settings.epochs import rows_to_train
from specvit_jax.spectra.file_sources import FedSpectra
from specvit_jax.spectra.prefetch import Ahead
from specvit_jax.spectra.shards import SLICE
from specvit_jax.spectra.source import Batch, Observer, Rows

BLOCK = 64  # neighbouring rows that a stream reads together: 1 MB
MOST_BLOCKS = 256  # of a window: 256 MB; larger ones mix no better
AHEAD = 2  # batches that wait on the device for their step
ORDER_BYTES = 40  # per spectrum, for the order in which a stream reads them


@runtime_checkable
class Source(Protocol):
    """Where spectra come from; each depends only on the key and its index, which is its row in a file."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch."""

    @property
    def rows(self) -> int | None:
        """Number of spectra; None where there is no end to them."""

    def sample(self, key: Key[Array, ""], index: Int[Array, " n"]) -> Batch:
        """The spectra of these global indices, observed."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TrainBatch:
    """The input of one step of training; the first axis of every array is the batch. A pytree.

    Spread over devices by ``pmap`` there is an axis of devices before it.

    Args:
        index: global index of every spectrum.
        rows: these spectra, noiseless; None where the source has them on the device.
    """

    index: Int[Array | np.ndarray, "*batch"]
    rows: Rows | None = None

    def sample(self, key: Key[Array, ""], shared: Source | Observer) -> Batch:
        """These spectra, observed by the source as the feed shares it."""
        if isinstance(shared, Observer):
            assert self.rows is not None
            return shared.sample(key, self.index, self.rows)
        return shared.sample(key, jnp.asarray(self.index))


def epoch_order(rows: int, seed: int, epoch: int, block: int, window: int) -> Int[np.ndarray, " rows"]:
    """The order in which an epoch visits `rows` places.

    Blocks of `block` neighbours are shuffled, then the places within every `window` successive blocks. One
    block of all places is a permutation: `np.random.default_rng((seed, epoch)).permutation(rows)`.
    """
    return np.concatenate(epoch_windows(rows, seed, epoch, block, window))


def epoch_windows(rows: int, seed: int, epoch: int, block: int, window: int) -> list[np.ndarray]:
    """The pieces of ``epoch_order``, window by window."""
    rng = np.random.default_rng((seed, epoch))
    starts = rng.permutation(-(-rows // block)).astype(np.int32) * block
    order = (starts[:, None] + np.arange(block, dtype=np.int32)[None]).ravel()
    order = order[order < rows]
    ends = np.cumsum(np.minimum(block, rows - starts))[window - 1 : -1 : window]
    return [rng.permutation(part) for part in np.split(order, ends)]


@lru_cache(maxsize=1)
def _permutation(rows: int, seed: int, epoch: int) -> Int[np.ndarray, " rows"]:
    order = epoch_order(rows, seed, epoch, rows, 1)
    order.flags.writeable = False
    return order


def training_rows(source: Source, config: Config) -> int | None:
    """Rows of files to train on, from the first; None where there is no end to them."""
    return None if source.rows is None else rows_to_train(source.rows, config.data)


def batch_index(step: int, config: Config, rows: int | None) -> Int[np.ndarray, " batch"]:
    """The indices of the batch after ``step`` steps, where all spectra are at hand.

    A function of the seed and the step alone. Spectra of the emulator are numbered within the batch, as the
    key changes every step. The rows of files are shuffled anew every epoch; an incomplete last batch is left
    out.

    Raises:
        UsageError: there are fewer rows than a batch has.
    """
    size = config.train.batch_size
    if rows is None:
        return np.arange(size, dtype=np.int32)
    _check_rows(rows, size)
    epoch, place = divmod(step, rows // size)
    return _permutation(rows, config.train.seed, epoch)[place * size : (place + 1) * size]


def _check_rows(rows: int, size: int) -> None:
    if rows < size:
        raise UsageError(f"train.batch_size must be at most the {rows} spectra to train on, found {size}")


class Feed:
    """The batches of a run, one after the other; a context manager, as threads may stand behind it.

    Args:
        batches: an iterator that can be closed.
        shared: the source as the jit argument of every step: it has `sample(key, index)`, or, where batches
            come with their rows, `sample(key, index, rows)`.
    """

    def __init__(
        self, batches: Ahead[TrainBatch] | Generator[TrainBatch, None, None], shared: Source | Observer
    ) -> None:
        self.batches, self.shared = batches, shared

    def __iter__(self) -> Iterator[TrainBatch]:
        return self

    def __next__(self) -> TrainBatch:
        return next(self.batches)

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops reading ahead."""
        self.batches.close()


def make_feed(
    source: Source,
    config: Config,
    start_step: int = 0,
    *,
    part: tuple[int, int] | None = None,
    place: Callable[[TrainBatch], TrainBatch] = jax.device_put,
) -> Feed:
    """The batches of the steps from `start_step` to ``train.steps``.

    Args:
        source: source of the spectra; a `FedSpectra` is read by threads that run ahead.
        config: config of the run.
        start_step: steps already done.
        part: which places of every batch are wanted, (start, stop); None: all. Another process reads others.
        place: puts a batch on the devices; called in the thread that reads ahead, if there is one.

    Raises:
        UsageError: fewer rows than a batch has; too little ``data.memory_gb`` to stream.
    """
    rows = training_rows(source, config)
    if rows is not None:
        _check_rows(rows, config.train.batch_size)
    part = part or (0, config.train.batch_size)
    if isinstance(source, FedSpectra) and source.clean is None:
        window = window_blocks(source, config)
        return Feed(
            Ahead(_placed(_streamed(source, config, start_step, part, window), place), AHEAD), source.observer
        )
    indices = (
        batch_index(step, config, rows)[slice(*part)] for step in range(start_step, config.train.steps)
    )
    if isinstance(source, FedSpectra):
        batches = _placed((TrainBatch(index, source.take(index)) for index in indices), place)
        return Feed(Ahead(batches, AHEAD), source.observer)
    return Feed(_placed((TrainBatch(index) for index in indices), place), source)


def step_index(source: Source, config: Config, step: int) -> Int[np.ndarray, " batch"]:
    """The indices of the spectra of one step, whatever the source: for messages; nothing is read."""
    if not (isinstance(source, FedSpectra) and source.clean is None):
        return batch_index(step, config, training_rows(source, config))
    size = config.train.batch_size
    found = np.empty(0, np.int32)
    for index in _stream_order(source, config, step, (0, size), window_blocks(source, config)):
        found = np.concatenate([found, index])
        if len(found) >= size:
            break
    return found[:size]


def _placed(
    batches: Generator[TrainBatch, None, None], place: Callable[[TrainBatch], TrainBatch]
) -> Generator[TrainBatch, None, None]:
    try:
        for batch in batches:
            yield place(batch)
    finally:
        batches.close()


def window_blocks(source: FedSpectra, config: Config) -> int:
    """Number of blocks in a window of a stream: as many as ``data.memory_gb`` allows.

    Three windows are held at most.

    Raises:
        UsageError: not one window fits.
    """
    row, rows = source.shards.row_bytes, source.rows
    held = rows * (ORDER_BYTES + 4 * (len(source.label_names) + 1))
    batches = 2 * (AHEAD + 2) * config.train.batch_size * row  # on the host and on the device
    left = source.memory - held - batches - 2 * SLICE * row
    blocks = left // (3 * BLOCK * row)
    if blocks < 1:
        least = (source.memory - left + 3 * BLOCK * row) / GIB
        raise UsageError(
            f"data.memory_gb must be at least {least:.2f} to stream these {rows} spectra in batches of "
            f"{config.train.batch_size}, found {source.memory / GIB:.3g}"
        )
    return min(blocks, MOST_BLOCKS)


def _streamed(
    source: FedSpectra, config: Config, start: int, part: tuple[int, int], window: int
) -> Generator[TrainBatch, None, None]:
    """The batches, cut from windows that another thread reads while the one before is used up."""
    windows = Ahead(_windows(source, config, start, part, window), 1)
    pieces, missing = [], part[1] - part[0]
    try:
        for piece in windows:
            while len(piece.index):
                pieces.append(_cut(piece, slice(missing)))
                piece = _cut(piece, slice(missing, None))
                missing -= len(pieces[-1].index)
                if not missing:
                    yield jax.tree.map(lambda *arrays: np.concatenate(arrays), *pieces)
                    pieces, missing = [], part[1] - part[0]
    finally:
        windows.close()


def _cut(batch: TrainBatch, places: slice) -> TrainBatch:
    cut: TrainBatch = jax.tree.map(lambda array: array[places], batch)
    return cut


def _windows(
    source: FedSpectra, config: Config, start: int, part: tuple[int, int], window: int
) -> Generator[TrainBatch, None, None]:
    """Window after window, in the order its spectra are wanted in."""
    for index in _stream_order(source, config, start, part, window):
        yield TrainBatch(index, source.take(index))


def _stream_order(
    source: FedSpectra, config: Config, start: int, part: tuple[int, int], window: int
) -> Generator[Int[np.ndarray, " n"], None, None]:
    """The indices of window after window, without those that no step from `start` on wants."""
    size, rows = config.train.batch_size, training_rows(source, config)
    assert rows is not None
    per_epoch = rows // size
    by_file = np.argsort(source.order[:rows]).astype(np.int32)
    for epoch in range(start // per_epoch, -(-config.train.steps // per_epoch)):
        first = (start - epoch * per_epoch) * size
        last = min(per_epoch, config.train.steps - epoch * per_epoch) * size
        at = 0
        for places in epoch_windows(rows, config.train.seed, epoch, BLOCK, window):
            order = np.arange(at, at + len(places))
            at += len(places)
            wanted = (order >= first) & (order < last)
            wanted &= (order % size >= part[0]) & (order % size < part[1])
            if wanted.any():
                yield by_file[places[wanted]]
