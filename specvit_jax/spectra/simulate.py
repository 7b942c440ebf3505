"""A file of simulated spectra.

What a spectrum looks like depends on the seed and its global index only. It is always drawn in the company of
the same `CHUNK` neighbours, so that not even its rounding depends on the file it goes to.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from crlb.errors import Interrupted
from crlb.files import pfsspec
from crlb.files.hdf5_attributes import write_texts
from crlb.files.hdf5_checksum import seal
from crlb.files.input import sha256
from crlb.files.output import new_file
from crlb.files.progress import Advance
from crlb.files.progress import progress as shown_progress
from crlb.files.spectra import Spectra, table_columns
from specvit_jax.settings.observed_under import PUBLISHED, text_of
from specvit_jax.spectra.shard_set import ARRAYS, check, check_space
from specvit_jax.spectra.source import CHUNK, SNR_DEFINITION, Simulator, snr_of
from specvit_jax.stopping import Signals

Stopped = Callable[[], bool]


def simulate(
    out: str | Path,
    source: Simulator,
    n: int,
    seed: int,
    *,
    arrays: tuple[str, ...] = ARRAYS,
    overwrite: bool = False,
    progress: bool = False,
) -> None:
    """Writes a fixed set of `n` observed spectra (arrays, labels, mag, snr) to one file, piece by piece.

    Raises:
        UsageError: `n` is not positive or beyond counting, or an unknown array.
        OutputError: `out` exists and `overwrite` is False, or it cannot be created, or the disk has no room.
        Interrupted: by SIGTERM or Ctrl-C; nothing is left behind.
    """
    check(n, arrays)
    check_space(Path(out), n, len(source.wave), arrays)
    with progressing(n, progress) as advance, Signals() as signals:
        write_rows(
            Path(out),
            source,
            seed,
            (0, n),
            arrays,
            overwrite=overwrite,
            tick=advance,
            stopped=lambda: bool(signals.received),
        )


@contextmanager
def progressing(n: int, shown: bool, done: int = 0) -> Iterator[Advance]:
    """Yields what to tell how many more of `n` spectra are drawn; `shown`: on stderr."""
    if not shown:
        yield lambda more: None
        return
    with shown_progress("simulate", n, done, "spectra") as advance:
        yield advance


def write_rows(
    path: Path,
    source: Simulator,
    seed: int,
    span: tuple[int, int],
    arrays: tuple[str, ...],
    *,
    overwrite: bool = False,
    tick: Advance = lambda done: None,
    stopped: Stopped = lambda: False,
) -> str:
    """Writes the spectra of these global indices, (first, after the last), whole or not at all.

    Returns:
        SHA-256 of the file.

    Raises:
        OutputError: as `new_file`.
        Interrupted: `stopped` said so.
    """
    start, stop = span
    with new_file(path, overwrite) as temporary:
        with h5py.File(temporary, "w") as file:
            stored = pfsspec.create(file, np.asarray(source.wave, np.float64), stop - start, arrays)
            columns: list[dict[str, np.ndarray]] = []
            for first, piece in pieces(source, seed, span, arrays):
                if stopped():
                    raise Interrupted(f"stopped while {path} was written; nothing of it is left")
                columns.append(_store(stored, first - start, piece, source))
                tick(len(piece["mag"]))
            joined = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
            pfsspec.write_table(file, table_columns(joined))
            file.attrs.update(seed=seed, first_index=start, snr_definition=np.bytes_(SNR_DEFINITION))
            if (conditions := source.observing.conditions) != PUBLISHED:
                write_texts(file, **{pfsspec.CONDITIONS: text_of(conditions)})
            seal(file)
        return sha256(temporary)


def pieces(
    source: Simulator, seed: int, span: tuple[int, int], arrays: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """The spectra of these global indices piece by piece, each with its first index.

    The next piece is being computed while this one is in use.
    """
    start, stop = span
    key, firsts = jax.random.key(seed), range(start // CHUNK * CHUNK, stop, CHUNK)
    draw = partial(_drawn, source, key, arrays=arrays)
    ahead = draw(jnp.arange(firsts[0], firsts[0] + CHUNK))
    for first in firsts:
        now, ahead = ahead, draw(jnp.arange(first + CHUNK, first + 2 * CHUNK)) if first != firsts[-1] else {}
        rows = slice(max(start - first, 0), stop - first)
        yield max(start, first), {name: np.asarray(array)[rows] for name, array in now.items()}


@partial(jax.jit, static_argnames="arrays")
def _drawn(
    source: Simulator, key: Key[Array, ""], index: Int[Array, " n"], arrays: tuple[str, ...]
) -> dict[str, Array]:
    """What is stored of these spectra; what is not is not computed."""
    batch = source.sample(key, index)
    mask = ~jnp.isfinite(batch.error)
    if batch.usable is not None:
        mask = mask | (batch.usable == 0)
    every = {"flux": batch.clean, "error": batch.error, "noisy": batch.flux, "mask": mask.astype(jnp.uint8)}
    columns = {"labels": batch.labels, "mag": batch.mag, "snr": snr_of(batch.clean, batch.error)}
    if batch.gain is not None:
        columns["gain"] = batch.gain
    return {name: every[name] for name in arrays} | columns


def _store(
    stored: dict[str, h5py.Dataset], at: int, piece: dict[str, np.ndarray], source: Simulator
) -> dict[str, np.ndarray]:
    """Checks a piece, writes its arrays from row `at` on, and returns the columns of its table."""
    labels = {name: piece["labels"][:, i] for i, name in enumerate(source.label_names)}
    wave = np.asarray(source.wave, np.float64)
    spectra = Spectra(
        wave,
        labels,
        flux=piece.get("flux"),
        error=piece.get("error"),
        noisy=piece.get("noisy"),
        mag=piece["mag"],
        snr=piece["snr"],
        gain=piece.get("gain"),
    )
    for name, array in stored.items():
        array[at : at + spectra.n] = piece[name]
    return spectra.columns()
