"""Files of simulated spectra: what they hold, what it depends on, and as a source."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crlb.errors import ConfigError, DataError, Interrupted, OutputError, UsageError
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra import simulate as simulating
from specvit_jax.spectra import source as data
from specvit_jax.spectra.file_sources import StoredSpectra, open_source
from specvit_jax.spectra.priors import LabelsDrawn
from specvit_jax.spectra.simulate import simulate
from specvit_jax.spectra.source import Simulator, make_simulator
from tests.specvit_jax.toy import PIECE

pytestmark = pytest.mark.usefixtures("small_pieces")

N_FILE = PIECE + 10
sample = jax.jit(Simulator.sample)


@pytest.fixture(scope="module")
def simulator(two_line_grid) -> Simulator:
    return make_simulator(two_line_grid, mag=(20.0, 22.0))


@pytest.fixture(scope="module")
def file(simulator, tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "test.h5"
    simulate(path, simulator, N_FILE, seed=7)  # in two pieces
    return path


def test_a_simulated_file_holds_the_spectra_of_its_seed(simulator, file):
    found = data.read_spectra(file, need=("flux", "error", "noisy"))
    assert found.n == N_FILE
    expected = [sample(simulator, jax.random.key(7), jnp.arange(PIECE) + start) for start in (0, PIECE)]
    stars = jax.tree.map(lambda *parts: np.concatenate(parts)[:N_FILE], *expected)
    np.testing.assert_allclose(found.noisy, stars.flux, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found.flux, stars.clean, rtol=2e-6)
    np.testing.assert_allclose(found.error, stars.error, rtol=1e-5)
    np.testing.assert_allclose(found.select(("T_eff", "log_g")), stars.labels, rtol=1e-6)
    np.testing.assert_allclose(found.mag, stars.mag, rtol=1e-6)


def test_the_snr_column_is_the_median_over_pixels_of_flux_over_error(file):
    found = data.read_spectra(file, need=("flux", "error"))
    np.testing.assert_allclose(found.snr, np.median(found.flux / found.error, axis=1), rtol=1e-5)
    np.testing.assert_allclose(pd.read_hdf(file)["snr"], found.snr)


def test_a_file_repeats_by_seed_bit_for_bit(simulator, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, simulator, 3, seed=seed)
    noisy = [data.read_spectra(tmp_path / name, need=("noisy",)).noisy for name in "abc"]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).mean() > 0.99


def test_stars_of_a_table_are_drawn_by_weight_with_their_magnitudes(two_line_grid, tmp_path):
    stars = tmp_path / "stars.csv"
    stars.write_text("teff,logg,mag,weight\n4500,2.0,20,3\n5000,3.0,21,1\n5200,3.5,22,0\n")
    drawn = LabelsDrawn(population=str(stars), own_mags=True)
    found = sample(make_simulator(two_line_grid, drawn=drawn), jax.random.key(1), jnp.arange(200))
    rows = np.asarray(found.labels)[:, 0]
    assert set(rows.tolist()) == {4500.0, 5000.0}
    assert 0.65 < (rows == 4500).mean() < 0.85
    np.testing.assert_array_equal(np.asarray(found.mag), np.where(rows == 4500, 20.0, 21.0))
    at = make_simulator(two_line_grid, mag=(18.0, 19.0), drawn=LabelsDrawn(population=str(stars)))
    mags = np.asarray(sample(at, jax.random.key(1), jnp.arange(50)).mag)
    assert mags.min() >= 18
    assert mags.max() <= 19
    with pytest.raises(UsageError, match="brings its own labels"):
        make_simulator(two_line_grid, drawn=LabelsDrawn("snapped", population=str(stars)))
    stars.write_text("teff,logg\n4500,2.0\n")
    with pytest.raises(DataError, match="needed a column mag, found T_eff, log_g"):
        make_simulator(two_line_grid, drawn=drawn)


def test_settings_of_a_table_of_stars_that_have_no_effect_are_refused():
    with pytest.raises(ConfigError, match="are about data"):
        DataConfig(population_mag=True)
    with pytest.raises(ConfigError, match="brings its own labels"):
        DataConfig(population="stars.csv", ranges=("T_eff=4000:5000",))


def test_simulate_replaces_a_file_only_when_asked(simulator, tmp_path):
    path = tmp_path / "test.h5"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        simulate(path, simulator, 2, seed=0)
    assert path.read_text() == "precious"
    simulate(path, simulator, 2, seed=0, overwrite=True)
    assert data.read_spectra(path).n == 2


def test_simulate_leaves_nothing_behind_when_it_fails(simulator, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulating, "_store", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "test.h5", simulator, 2, seed=0)
    assert not list(tmp_path.iterdir())


def test_simulate_refuses_no_spectra(simulator, tmp_path):
    with pytest.raises(UsageError, match="n must be at least 1"):
        simulate(tmp_path / "test.h5", simulator, 0, seed=0)


def test_a_file_as_source_observes_its_own_stars_with_fresh_noise(file):
    source, stored = open_source(DataConfig(source=str(file)))[0], data.read_spectra(file)
    assert isinstance(source, StoredSpectra)
    assert (source.rows, source.label_names) == (N_FILE, ("T_eff", "log_g"))
    draw = jax.jit(StoredSpectra.sample)
    one, two = (draw(source, jax.random.key(k), jnp.arange(5)) for k in (1, 2))
    np.testing.assert_array_equal(one.clean, two.clean)
    assert (np.asarray(one.flux) != np.asarray(two.flux)).mean() > 0.99
    order = np.argsort(stored.labels["T_eff"])
    rows = order[np.searchsorted(stored.labels["T_eff"][order], np.asarray(one.labels[:, 0]) - 1e-3)]
    np.testing.assert_array_equal(one.clean, stored.flux[rows])
    np.testing.assert_allclose(one.mag, stored.mag[rows], rtol=1e-6)
    np.testing.assert_allclose(one.labels[:, 1], stored.labels["log_g"][rows], rtol=1e-6)
    assert stats.kstest(np.ravel((one.flux - one.clean) / one.error), stats.norm.cdf).pvalue > 0.01


def test_a_file_as_source_is_shuffled_once_by_seed(file):
    stored = data.read_spectra(file).labels["log_g"].astype(np.float32)
    sources = [open_source(DataConfig(source=str(file)), seed=seed)[0] for seed in (0, 0, 1)]
    orders = [np.asarray(source.spectra.labels[:, 1]) for source in sources]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    assert (orders[0] != stored).any()
    np.testing.assert_array_equal(np.sort(orders[0]), np.sort(stored))


def test_a_signal_leaves_no_part_of_a_single_file(simulator, tmp_path, monkeypatch):
    store = simulating._store

    def store_and_kill(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return store(*args)

    monkeypatch.setattr(simulating, "_store", store_and_kill)
    with pytest.raises(Interrupted, match=r"stopped while .*test\.h5 was written"):
        simulate(tmp_path / "test.h5", simulator, N_FILE, seed=7)
    assert not list(tmp_path.iterdir())
