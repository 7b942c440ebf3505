"""The order in which spectra are read: the same wherever they are kept, from any step, for any part."""

import os
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.observation.observe import observing
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.spectra import feed as feeding
from specvit_jax.spectra.feed import (
    TrainBatch,
    batch_index,
    epoch_order,
    epoch_windows,
    make_feed,
    step_index,
    training_rows,
)
from specvit_jax.spectra.file_sources import FedSpectra, StoredSpectra
from specvit_jax.spectra.shards import Shards, open_shards
from specvit_jax.spectra.source import Observer, Rows
from tests.specvit_jax.toy import LABELS, narrow_noise, rows_of, write_clean

N, N_PIX, BATCH, GIB = 203, 16, 8, 2**30
KINDS = ("device", "host", "stream")


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeding, "BLOCK", 4)
        patch.setattr(feeding, "MOST_BLOCKS", 5)
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("shards")
    paths = [write_clean(folder / f"{i}.h5", n, first, N_PIX) for i, n, first in ((0, 120, 0), (1, 83, 120))]
    return open_shards(paths, DETECTOR_WAVE[:N_PIX])


@pytest.fixture(scope="module")
def sources(shards) -> dict[str, StoredSpectra | FedSpectra]:
    order = np.random.default_rng(3).permutation(N).astype(np.int32)
    observer = Observer(observing(narrow_noise(N_PIX)), LABELS)
    rows = Rows(*shards.read(order))
    return {
        "device": StoredSpectra(jax.tree.map(jnp.asarray, rows), observer),
        "host": FedSpectra(shards, order, observer, GIB, rows.clean),
        "stream": FedSpectra(shards, order, observer, GIB),
    }


def make_config(steps: int = 60, **data) -> Config:
    config = Config(data=DataConfig(source="files", n_validation=13, **data))
    return replace(config, train=replace(config.train, batch_size=BATCH, steps=steps, seed=11))


def indices(source, config, start=0, **options) -> list[np.ndarray]:
    with make_feed(source, config, start, **options) as feed:
        return [np.asarray(step.index) for step in feed]


@pytest.mark.parametrize(("rows", "block", "window"), [(203, 4, 5), (64, 4, 3), (10, 64, 2), (65, 64, 1)])
def test_an_order_is_a_permutation_that_repeats_and_differs_from_epoch_to_epoch(rows, block, window):
    order = epoch_order(rows, 1, 0, block, window)
    np.testing.assert_array_equal(np.sort(order), np.arange(rows))
    np.testing.assert_array_equal(order, epoch_order(rows, 1, 0, block, window))
    for other in (epoch_order(rows, 1, 1, block, window), epoch_order(rows, 2, 0, block, window)):
        assert (order != other).mean() > 0.5


def test_the_order_of_one_block_is_numpys_permutation():
    for epoch in (0, 3):
        expected = np.random.default_rng((7, epoch)).permutation(100)
        np.testing.assert_array_equal(epoch_order(100, 7, epoch, 100, 1), expected)


def test_a_block_stays_within_one_window_of_the_stated_size():
    windows = epoch_windows(203, 1, 0, 4, 5)
    assert all(len(np.unique(part // 4)) == 5 for part in windows[:-1])
    blocks = np.concatenate([np.unique(part // 4) for part in windows])
    np.testing.assert_array_equal(np.sort(blocks), np.arange(51))
    assert max(map(len, windows)) <= 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_feed_begun_late_gives_the_steps_it_would_have_reached(sources, kind):
    config = make_config()
    whole = indices(sources[kind], config)
    assert len(whole) == 60
    for start in (1, 22, 23, 24, 47, 59, 60):  # 23 steps are an epoch
        np.testing.assert_array_equal(
            np.reshape(indices(sources[kind], config, start), (-1, BATCH)),
            np.reshape(whole[start:], (-1, BATCH)),
        )


@pytest.mark.parametrize("kind", KINDS)
def test_every_epoch_shows_a_row_once_and_none_kept_for_validation(sources, kind):
    config, rows = make_config(), training_rows(sources[kind], make_config())
    assert rows == N - 13
    whole = indices(sources[kind], config)
    for epoch in (0, 1):
        seen = np.concatenate(whole[23 * epoch : 23 * (epoch + 1)])
        assert len(np.unique(seen)) == 23 * BATCH
        assert seen.max() < rows
    assert (np.asarray(whole[:23]) != np.asarray(whole[23:46])).mean() > 0.9
    counts = Counter(np.concatenate(whole[:46]).tolist())
    assert set(counts.values()) <= {1, 2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_the_slice_of_the_whole_batch(sources, kind):
    config = make_config(30)
    whole = indices(sources[kind], config)
    for part in ((0, 3), (3, 8)):
        for start in (0, 25):
            found = indices(sources[kind], config, start, part=part)
            np.testing.assert_array_equal(found, [index[slice(*part)] for index in whole[start:]])


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_told_for_a_step_is_the_one_fed(sources, kind):
    config = make_config()
    for step, index in enumerate(indices(sources[kind], config)):
        np.testing.assert_array_equal(step_index(sources[kind], config, step), index)


def test_device_and_host_are_fed_the_same_order_of_batch_index(sources):
    config = make_config(30)
    expected = [batch_index(step, config, N - 13) for step in range(30)]
    for kind in ("device", "host"):
        np.testing.assert_array_equal(indices(sources[kind], config), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_brings_the_spectra_of_its_index(sources, kind):
    source = sources[kind]
    draw = jax.jit(lambda step, key, shared: step.sample(key, shared))
    with make_feed(source, make_config(30), 20) as feed:
        for _, step in zip(range(5), feed, strict=False):
            batch = draw(step, jax.random.key(1), feed.shared)
            rows = sources["stream"].order[np.asarray(step.index)]
            np.testing.assert_array_equal(rows_of(batch.labels), rows)
            np.testing.assert_allclose(batch.clean[:, 0], 1 + rows / 4096, rtol=1e-6)


@pytest.mark.parametrize("kind", ["host", "stream"])
def test_an_error_of_the_reading_thread_is_raised_where_a_step_is_taken(sources, kind, monkeypatch):
    calls = []

    def take(self, index):
        calls.append(index)
        if len(calls) == 2:
            raise DataError("flux must be finite, found nan at row 7")
        return original(self, index)

    original = FedSpectra.take
    monkeypatch.setattr(FedSpectra, "take", take)
    with make_feed(sources[kind], make_config()) as feed:
        next(feed)
        with pytest.raises(DataError, match="at row 7"):
            list(feed)
        assert list(feed) == []
    assert not threads()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "feed"]


@pytest.mark.parametrize("kind", ["host", "stream"])
@pytest.mark.parametrize("taken", [0, 3])
def test_closing_ends_the_threads(sources, kind, taken):
    feed = make_feed(sources[kind], make_config())
    for _ in range(taken):
        next(feed)
    assert threads()
    feed.close()
    assert not threads()
    with pytest.raises(StopIteration):
        next(feed)


def test_leaving_the_context_by_an_error_ends_the_threads(sources):
    with pytest.raises(KeyboardInterrupt), make_feed(sources["stream"], make_config()):
        raise KeyboardInterrupt
    assert not threads()


def test_what_is_placed_is_what_comes(sources):
    config = make_config(4)
    for kind in KINDS:
        with make_feed(sources[kind], config, place=lambda step: TrainBatch(-step.index)) as feed:
            placed = [step.index for step in feed]
        np.testing.assert_array_equal(placed, -np.array(indices(sources[kind], config)))


def test_fewer_rows_than_a_batch_and_too_little_memory_are_refused(sources):
    config = make_config()
    large = replace(config, train=replace(config.train, batch_size=191))
    for source in sources.values():
        with pytest.raises(UsageError, match="at most the 190 spectra to train on, found 191"):
            make_feed(source, large)
    with pytest.raises(UsageError, match=r"memory_gb must be at least 0\.00 to stream these 203 spectra"):
        make_feed(replace(sources["stream"], memory=20_000), config)


STREAMING = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.spectra import shards
from specvit_jax.spectra.feed import make_feed
from specvit_jax.spectra.file_sources import open_source

check = shards.check_noiseless
shards.check_noiseless = lambda flux, rows: check(flux + 1, rows)  # spectra of zeros are refused

def stream(path, steps):
    data = DataConfig(source=path, memory_gb=float(sys.argv[3]), residency="stream")
    config = Config(data=data)
    config = replace(config, train=replace(config.train, batch_size=256, steps=10**6))
    source, line = open_source(config.data)
    with make_feed(source, config) as feed:
        return source.rows, sum(len(step.index) for _, step in zip(range(steps), feed))


def kib(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


stream(sys.argv[1], 1)  # what the program itself takes: modules, noise curves, jax
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = kib("VmRSS")
rows, seen = stream(sys.argv[2], 150)
print(rows, seen, (kib("VmHWM") - before) * 1024, flush=True)
"""


def streamed(small: Path, path: Path, rows: int, limit: float) -> int:
    """Bytes that streaming a file takes at the most, in a program of its own."""
    done = subprocess.run(
        [sys.executable, "-c", STREAMING, str(small), str(path), str(limit)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"XLA_FLAGS": ""},  # the compiler that users have: what is not fused takes memory
    )
    assert not done.returncode, done.stderr
    found, seen, peak = map(int, done.stdout.split())
    assert (found, seen) == (rows, 150 * 256)
    return peak


@pytest.mark.usefixtures("linux")
def test_streaming_takes_less_memory_than_stated(tmp_path):
    import h5py

    from crlb.detector import DETECTOR_WAVE
    from crlb.files import pfsspec

    rows, limit = 1_000_000, 0.25
    small, path = write_clean(tmp_path / "small.h5", 600), tmp_path / "sparse.h5"
    with h5py.File(path, "w") as file:
        pfsspec.create(file, DETECTOR_WAVE, rows, ("flux",))  # reads as zeros
        labels = {"T_eff": np.arange(rows) * 1e-3 + 4000, "log_g": np.ones(rows), "mag": np.full(rows, 21.0)}
        pfsspec.write_table(file, labels)
        file["dataset/arrays/flux/value"][-1, 0] = 0.0  # allocates the dataset, a hole but for its last page
    assert path.stat().st_size > 16 * 10**9
    assert path.stat().st_blocks * 512 < 10**9
    # On a machine whose cores are all busy a peak may be a fifth higher: what is freed waits longer.
    peak = min(streamed(small, path, rows, limit) for _ in range(3))
    assert peak < limit * GIB, f"peak {peak / GIB:.3f} GiB of {limit}"
