"""Spectra of files: the same wherever they are kept, where they are kept, and what is refused."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.memory import GIB
from crlb.files.spectra import Spectra, write_spectra
from crlb.observation.observe import observing
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra import file_sources as stored
from specvit_jax.spectra.file_sources import (
    FedSpectra,
    StoredSpectra,
    open_source,
    residency,
    stored_validation,
)
from specvit_jax.spectra.shards import open_shards
from specvit_jax.spectra.source import Observer, Rows, Simulator
from specvit_jax.spectra.stored_noise import say_noise
from tests.specvit_jax.toy import LABELS, narrow_noise, rows_of, write_clean

N, N_PIX = 90, 16
KEY = jax.random.key(4)
PLACES = ("device", "host", "stream")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, StoredSpectra | FedSpectra]:
    folder = tmp_path_factory.mktemp("shards")
    paths = [write_clean(folder / f"{i}.h5", n, first, N_PIX) for i, n, first in ((0, 50, 0), (1, 40, 50))]
    shards, order = open_shards(paths, DETECTOR_WAVE[:N_PIX]), np.random.default_rng(3).permutation(N)
    order, observer = order.astype(np.int32), Observer(observing(narrow_noise(N_PIX)), LABELS)
    rows = Rows(*shards.read(order))
    return {
        "device": StoredSpectra(jax.tree.map(jnp.asarray, rows), observer),
        "host": FedSpectra(shards, order, observer, GIB, rows.clean),
        "stream": FedSpectra(shards, order, observer, GIB),
    }


def test_a_key_and_an_index_give_the_same_bits_wherever_spectra_are_kept(sources):
    index = jnp.array([3, 88, 0, 17, 3, 60, 89 + N])
    device = jax.jit(StoredSpectra.sample)(sources["device"], KEY, index)
    for place in ("host", "stream"):
        for found, expected in zip(sources[place].sample(KEY, index), device, strict=True):
            np.testing.assert_array_equal(found, expected)
    rows = sources["stream"].order[np.asarray(index) % N]
    np.testing.assert_array_equal(rows_of(device.labels), rows)
    np.testing.assert_array_equal(device.mag, 20.5 + rows % 3)
    assert (np.asarray(device.flux) != np.asarray(device.clean)).mean() > 0.99
    other = sources["stream"].sample(jax.random.key(5), index)
    np.testing.assert_array_equal(other.clean, device.clean)
    assert (np.asarray(other.flux) != np.asarray(device.flux)).mean() > 0.99


def test_neither_the_company_nor_the_place_in_a_batch_changes_a_spectrum(sources):
    one, many = (sources["stream"].sample(KEY, jnp.asarray(index)) for index in ([5, 70], [70, 1, 2, 5]))
    np.testing.assert_allclose(one.flux, many.flux[jnp.array([3, 0])], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "where", "platform", "free", "place", "said"),
    [
        (4, "auto", "gpu", 100, "device", "they fit in data.memory_gb=4"),
        (4, "auto", "cpu", 100, "device", "they fit in data.memory_gb=4"),
        (5, "auto", "gpu", 10, "host", "more than data.memory_gb=4, within half of the 10 GiB free"),
        (5, "auto", "cpu", 10, "device", "more than data.memory_gb=4, within half of the 10 GiB free"),
        (6, "auto", "gpu", 10, "stream", "more than data.memory_gb=4 and than half of the 10 GiB free"),
        (6, "auto", "cpu", 10, "stream", "more than data.memory_gb=4 and than half of the 10 GiB free"),
        (1, "stream", "gpu", 100, "stream", "data.residency=stream"),
        (1, "host", "gpu", 100, "host", "data.residency=host"),
        (50, "device", "gpu", 10, "device", "data.residency=device"),
    ],
)
def test_spectra_are_kept_at_the_first_place_with_room(size, where, platform, free, place, said):
    found, why = residency(size * GIB, where, 4 * GIB, platform, free * GIB)
    words = {"device": "kept on the device", "host": "kept in host memory", "stream": "streamed from disk"}
    assert (found, why) == (place, f"{words[place]}: {said}")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("files")
    return ",".join(str(write_clean(folder / f"{i}.h5", 30, 30 * i)) for i in range(2))


def test_open_source_says_where_spectra_are_and_numbers_them_by_seed(files):
    for place, kind in (("device", StoredSpectra), ("host", FedSpectra), ("stream", FedSpectra)):
        source, line = open_source(DataConfig(source=files, residency=place), 8)
        assert isinstance(source, kind)
        assert (source.rows, source.label_names) == (60, LABELS)
        assert line.startswith("spectra: 60 of 2 file(s), 0.000916 GiB, ")
        assert line.endswith(f"data.residency={place}")
        labels = source.spectra.labels if place == "device" else source.take(np.arange(60)).labels
        np.testing.assert_array_equal(rows_of(labels), np.random.default_rng(8).permutation(60))
        assert place == "device" or (source.clean is None) == (place == "stream")


def test_auto_streams_what_neither_limit_nor_free_memory_hold(files, monkeypatch):
    monkeypatch.setattr(stored, "free_memory", lambda: 2**20)
    source, line = open_source(DataConfig(source=files, memory_gb=1e-4))
    assert isinstance(source, FedSpectra)
    assert source.clean is None
    assert source.memory == int(1e-4 * GIB)
    assert "streamed from disk: more than data.memory_gb=0.0001" in line


def test_the_emulator_is_a_source_without_files(monkeypatch):
    monkeypatch.setattr(stored, "make_simulator", lambda *arguments, **options: Simulator(*[None] * 4))
    monkeypatch.setattr(Simulator, "__init__", lambda self, *fields: None)
    source, line = open_source(DataConfig())
    assert isinstance(source, Simulator)
    assert line == "spectra: drawn afresh in every step from the emulator"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("labels", {"labels": ("T_eff",)}),
        ("ranges", {"ranges": ("T_eff=4000:5000",)}),
        ("beta", {"beta": ("log_g=2:5",)}),
        ("prior", {"prior": "snapped"}),
    ],
)
def test_files_refuse_a_prior(files, name, options):
    with pytest.raises(UsageError, match=f"data.{name} is about labels that are drawn"):
        open_source(DataConfig(source=files, **options))


def test_a_file_that_has_gone_is_named_when_it_is_read(tmp_path):
    path = write_clean(tmp_path / "a.h5", 5)
    source, _ = open_source(DataConfig(source=str(path), residency="stream"))
    path.unlink()
    with pytest.raises(MissingInputError, match=r"a\.h5"):
        source.take(np.arange(2))


def write_observed(path, **changed):
    """Three observed spectra with what `changed` replaces."""
    row = np.arange(3.0)
    flux = np.full((3, 4096), 0.5, np.float32)
    known = {
        "labels": {"log_g": 1 + row, "T_eff": 4000 + row, "M_H": -row},
        "flux": flux,
        "error": 0.1 * flux,
        "noisy": flux + row[:, None].astype(np.float32),
        "mag": 20.5 + row,
    }
    write_spectra(path, Spectra(DETECTOR_WAVE, **(known | changed)))
    return path


def test_stored_validation_is_the_file_with_the_labels_asked_for(tmp_path):
    path = write_observed(tmp_path / "val.h5")
    batch = stored_validation(path, ("M_H", "log_g"))
    np.testing.assert_array_equal(batch.labels, [[0, 1], [-1, 2], [-2, 3]])
    np.testing.assert_array_equal(batch.flux[:, 7], [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(batch.clean, np.full((3, 4096), 0.5))
    np.testing.assert_allclose(batch.error, 0.05)
    np.testing.assert_array_equal(batch.mag, [20.5, 21.5, 22.5])
    assert {array.dtype for array in batch[:5]} == {np.dtype("float32")}
    with pytest.raises(UsageError, match="a_M"):
        stored_validation(path, ("a_M",))


def test_validation_that_cannot_be_scored_is_refused(tmp_path):
    noisy, error = np.full((3, 4096), 0.5, np.float32), np.full((3, 4096), 0.1, np.float32)
    noisy[2, -1] = error[2, -1] = np.nan  # as in the field's own files
    edge = write_observed(tmp_path / "edge.h5", noisy=noisy, error=error)
    with pytest.raises(DataError, match=r"found NaN at row 2, pixel 4095; leave data\.validation out"):
        stored_validation(edge, ("log_g",))
    with pytest.raises(DataError, match="'dataset/arrays/error/value' is missing"):
        stored_validation(write_clean(tmp_path / "clean.h5", 3), ("log_g",))
    with pytest.raises(DataError, match="column mag"):
        stored_validation(write_observed(tmp_path / "dim.h5", mag=None), ("log_g",))


def test_noise_that_a_file_lacks_is_drawn_from_its_errors_always_the_same(tmp_path):
    error = np.linspace(0.05, 0.2, 4096, dtype=np.float32) * np.ones((3, 1), np.float32)
    edges = error.copy()
    edges[1, 0] = edges[2, -1] = np.nan  # as in the field's own files
    path = write_observed(tmp_path / "val.h5", noisy=None, error=edges)
    batch, again = (stored_validation(path, ("log_g",)) for _ in range(2))
    pulls = np.asarray((batch.flux - batch.clean) / error)
    assert stats.kstest(pulls.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(pulls) - np.eye(3)).max() < 0.06
    np.testing.assert_array_equal(batch.flux, again.flux)
    np.testing.assert_array_equal(np.asarray(batch.error)[:, 1:-1], error[:, 1:-1])
    twice = stored_validation(path, ("log_g",), level=2.0)
    np.testing.assert_allclose(twice.flux - twice.clean, 2 * (batch.flux - batch.clean), atol=1e-6)
    np.testing.assert_allclose(twice.error, 2 * batch.error, rtol=1e-6)
    still = stored_validation(path, ("log_g",), level=0.0)
    np.testing.assert_array_equal(still.flux, still.clean)


def test_noise_is_that_of_a_row_however_many_are_read(tmp_path):
    path = write_observed(tmp_path / "val.h5", noisy=None)
    two, three = (stored_validation(path, ("log_g",), rows=rows) for rows in (2, None))
    assert (len(two.mag), len(three.mag)) == (2, 3)
    np.testing.assert_array_equal(two.flux, three.flux[:2])


def test_rows_after_those_that_are_scored_are_never_read(tmp_path):
    path = write_observed(tmp_path / "val.h5")
    with h5py.File(path, "r+") as file:
        for name in ("flux", "error", "noisy"):
            file[f"dataset/arrays/{name}/value"][2] = np.nan
    assert stored_validation(path, ("log_g",), rows=2).flux.shape == (2, 4096)
    with pytest.raises(DataError):
        stored_validation(path, ("log_g",))


def test_where_noise_comes_from_is_said(tmp_path, capsys):
    stored, bare = (write_observed(tmp_path / f"{i}.h5", noisy=noisy) for i, noisy in enumerate(NOISY))
    for path, level, said in (
        (stored, 1.0, ""),
        (stored, 0.0, "the noisy flux of the file is read, although the training is without noise"),
        (bare, 1.5, "has no noisy flux; noise of 1.5 times its errors is drawn, always the same"),
        (bare, 0.0, "its noiseless flux is read"),
    ):
        say_noise(path, level)
        assert said in (told := capsys.readouterr().err)
        assert bool(told) == bool(said)


NOISY = np.full((3, 4096), 0.5, np.float32), None


def test_rows_that_are_used_of_files_are_numbered_as_a_file_of_them(files):
    source, line = open_source(DataConfig(source=files, rows=40), 8)
    assert source.rows == 40
    assert line.startswith("spectra: 40 of 2 file(s)")
    np.testing.assert_array_equal(np.sort(rows_of(source.labels)), np.arange(40))


@pytest.mark.parametrize("conditions", ["published", "{scale: .inf, continuum: 2, continuum_sigma: 0.1}"])
def test_spectra_without_noise_are_their_clean_flux(files, conditions):
    config = DataConfig(source=files, noise_level=0.0, conditions=conditions)
    batch = open_source(config, 8)[0].sample(KEY, jnp.arange(20))
    assert np.isfinite(batch.flux).all()
    np.testing.assert_allclose(batch.flux, batch.clean, rtol=1e-5)
    assert not np.asarray(batch.error).any()
