"""Where spectra come from: what a batch holds, what it depends on, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crlb.errors import DataError, OutputError, UsageError
from crlb.grid import make_grid, save_grid
from crlb.instrument import DETECTOR_WAVE
from crlb.noise import variance
from specvit_jax import data
from specvit_jax.config import DataConfig
from specvit_jax.data import (
    Batch,
    Simulator,
    StoredSpectra,
    make_simulator,
    make_source,
    median_snr,
    simulate,
)
from specvit_jax.scaling import InputScaler, LabelScaler, Moments, measured_scaler

KEY = jax.random.key(5)
N = 64  # spectra in every batch that is drawn here: one compiled program serves all tests
sample = jax.jit(Simulator.sample)


@pytest.fixture(scope="module")
def grid_path(tmp_path_factory):
    """Four temperatures by five gravities of a continuum with two lines."""
    axes = (np.array([4000.0, 4500.0, 5000.0, 6000.0]), np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    temperature, gravity = (axis[..., None] for axis in np.meshgrid(*axes, indexing="ij"))
    line = np.exp(-0.5 * ((DETECTOR_WAVE - 8544.0) / 5.0) ** 2)
    other = np.exp(-0.5 * ((DETECTOR_WAVE - 7700.0) / 3.0) ** 2)
    flux = 1 - 0.1 * gravity * line - 0.4 * (temperature / 5000) * other
    grid = make_grid(
        wave=DETECTOR_WAVE,
        axes=axes,
        flux=flux,
        label_names=("T_eff", "log_g"),
        resolving_power=5000.0,
        flux_unit="arbitrary",
        source="two lines",
    )
    path = tmp_path_factory.mktemp("grid") / "grid.h5"
    save_grid(grid, path)
    return path


@pytest.fixture(scope="module")
def simulator(grid_path) -> Simulator:
    return make_simulator(grid_path, mag=(20.0, 22.0))


@pytest.fixture(scope="module")
def batch(simulator) -> Batch:
    return sample(simulator, KEY, jnp.arange(N))


def pulls(batch: Batch) -> np.ndarray:
    return np.asarray((batch.flux - batch.clean) / batch.error)


def test_a_spectrum_depends_on_the_key_and_its_index_only(simulator, batch):
    index = np.random.default_rng(0).permutation(np.arange(-10, N - 10))
    again = sample(simulator, KEY, jnp.asarray(index))
    both = index >= 0
    for found, expected in zip(again, batch, strict=True):
        np.testing.assert_allclose(found[both], expected[index[both]], rtol=2e-6, atol=1e-6)


def test_another_key_gives_other_stars_with_other_noise(simulator, batch):
    other = sample(simulator, jax.random.key(6), jnp.arange(N))
    assert (np.asarray(other.labels) != np.asarray(batch.labels)).all()
    assert (np.asarray(other.mag) != np.asarray(batch.mag)).all()
    correlation = np.corrcoef(pulls(other).ravel(), pulls(batch).ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(N * 4096)


def test_no_two_spectra_share_labels_magnitude_or_noise(batch):
    assert len(np.unique(batch.labels[:, 0])) == len(np.unique(batch.mag)) == N
    assert np.abs(np.corrcoef(pulls(batch)) - np.eye(N)).max() < 6 / np.sqrt(4096)


def test_labels_and_magnitudes_are_uniform_over_their_box_and_independent(simulator):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(4000))
    labels, mag, _ = jax.jit(jax.vmap(simulator._star))(keys)
    columns = [
        (np.asarray(labels[:, 0]), 4000, 2000),
        (np.asarray(labels[:, 1]), 1, 4),
        (np.asarray(mag), 20, 2),
    ]
    for values, low, width in columns:
        assert stats.kstest(values, stats.uniform(low, width).cdf).pvalue > 0.01
    correlation = np.corrcoef([values for values, _, _ in columns])
    assert np.abs(correlation - np.eye(3)).max() < 4 / np.sqrt(4000)


def test_a_batch_is_the_emulators_flux_with_normal_noise_of_the_stated_error(simulator, batch):
    clean = simulator.emulator(batch.labels[3])
    np.testing.assert_allclose(batch.clean[3], clean, rtol=1e-5)
    expected = np.sqrt(variance(clean, batch.mag[3], simulator.noise, simulator.exposure))
    np.testing.assert_allclose(batch.error[3], expected, rtol=1e-5)
    assert stats.kstest(pulls(batch).ravel(), stats.norm.cdf).pvalue > 0.01
    assert batch.flux.dtype == np.float32


def test_clean_spectra_outside_the_grid_are_nan(simulator):
    clean = jax.jit(Simulator.clean)(simulator, jnp.array([[5000.0, 3.0], [5000.0, 5.5]]))
    assert np.isfinite(clean[0]).all()
    assert np.isnan(clean[1]).all()


def test_ranges_shrink_the_box_of_the_labels_they_name(grid_path):
    simulator = make_simulator(grid_path, ranges={"log_g": (2.0, 2.5)}, mag=(21.0, 21.0))
    batch = sample(simulator, KEY, jnp.arange(N))
    gravity = np.asarray(batch.labels[:, 1])
    assert (gravity.min() >= 2.0) & (gravity.max() <= 2.5) & (np.ptp(gravity) > 0.4)
    assert np.ptp(np.asarray(batch.labels[:, 0])) > 1700
    assert (np.asarray(batch.mag) == 21.0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"ranges": {"log_g": (0.5, 3.0)}},
            "range of log_g must be .* within the grid, 1 to 5, found 0.5 to 3",
        ),
        ({"ranges": {"T_eff": (5000.0, 6001.0)}}, "4000 to 6000, found 5000 to 6001"),
        ({"ranges": {"log_g": (3.0, 2.0)}}, "found 3 to 2"),
        ({"ranges": {"T_eff": (4500.0, float("nan"))}}, "found 4500 to nan"),
        ({"ranges": {"a_M": (0.0, 0.1)}}, "label must be one of T_eff, log_g, found a_M"),
        ({"mag": (22.0, 20.0)}, "mag must be .*found .22.0, 20.0."),
    ],
)
def test_a_range_that_cannot_be_drawn_from_is_refused(grid_path, options, said):
    with pytest.raises(UsageError, match=said):
        make_simulator(grid_path, **options)


def test_chunks_join_to_the_whole_without_the_surplus_of_the_last(simulator, batch):
    pieces = list(data.chunks(simulator, KEY, N + 10, size=N))
    assert [len(piece.mag) for piece in pieces] == [N, 10]
    np.testing.assert_array_equal(pieces[0].flux, batch.flux)
    np.testing.assert_array_equal(pieces[1].flux, sample(simulator, KEY, jnp.arange(N, 2 * N)).flux[:10])


N_FILE = N + 10


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "CHUNK", N)
        yield


@pytest.fixture(scope="module")
def file(simulator, tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "test.h5"
    simulate(path, simulator, N_FILE, seed=7)  # in two pieces
    return path


def test_a_simulated_file_holds_the_spectra_of_its_seed(simulator, file):
    found = data.read_spectra(file, need=("flux", "error", "noisy"))
    assert found.n == N_FILE
    expected = [sample(simulator, jax.random.key(7), jnp.arange(N) + start) for start in (0, N)]
    stars = Batch(*(np.concatenate(parts)[:N_FILE] for parts in zip(*expected, strict=True)))
    np.testing.assert_allclose(found.noisy, stars.flux, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found.flux, stars.clean, rtol=2e-6)
    np.testing.assert_allclose(found.error, stars.error, rtol=1e-5)
    np.testing.assert_allclose(found.select(("T_eff", "log_g")), stars.labels, rtol=1e-6)
    np.testing.assert_allclose(found.mag, stars.mag, rtol=1e-6)


def test_the_snr_column_is_the_median_over_pixels_of_flux_over_error(file):
    found = data.read_spectra(file, need=("flux", "error"))
    np.testing.assert_allclose(found.snr, np.median(found.flux / found.error, axis=1), rtol=1e-5)
    np.testing.assert_allclose(pd.read_hdf(file)["snr"], found.snr)


def test_the_median_snr_leaves_out_unusable_pixels():
    flux, error = np.ones((2, 101), np.float32), np.ones((2, 101), np.float32)
    flux[:, ::2], error[1, 0] = 3.0, np.nan  # 51 pixels of SNR 3 and 50 of SNR 1; then 50 and 50
    np.testing.assert_allclose(median_snr(flux, error), [3.0, 2.0])


def test_a_file_repeats_by_seed_bit_for_bit(simulator, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, simulator, 3, seed=seed)
    noisy = [data.read_spectra(tmp_path / name, need=("noisy",)).noisy for name in "abc"]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).mean() > 0.99


def test_simulate_replaces_a_file_only_when_asked(simulator, tmp_path):
    path = tmp_path / "test.h5"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        simulate(path, simulator, 2, seed=0)
    assert path.read_text() == "precious"
    simulate(path, simulator, 2, seed=0, overwrite=True)
    assert data.read_spectra(path).n == 2


def test_simulate_leaves_nothing_behind_when_it_fails(simulator, tmp_path, monkeypatch):
    def stop(batch, source):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "to_spectra", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "test.h5", simulator, 2, seed=0)
    assert not list(tmp_path.iterdir())


def test_simulate_refuses_no_spectra(simulator, tmp_path):
    with pytest.raises(UsageError, match="n must be at least 1"):
        simulate(tmp_path / "test.h5", simulator, 0, seed=0)


def test_a_file_as_source_observes_its_own_stars_with_fresh_noise(file):
    source, stored = make_source(DataConfig(source=str(file))), data.read_spectra(file)
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
    assert stats.kstest(pulls(one).ravel(), stats.norm.cdf).pvalue > 0.01


def test_a_file_as_source_is_shuffled_once_by_seed(file):
    stored = data.read_spectra(file).labels["log_g"].astype(np.float32)
    orders = [np.asarray(make_source(DataConfig(source=str(file)), seed=s).labels[:, 1]) for s in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    assert (orders[0] != stored).any()
    np.testing.assert_array_equal(np.sort(orders[0]), np.sort(stored))


def test_label_scaling_is_a_z_score_and_comes_back():
    labels = np.random.default_rng(0).uniform([4000, 1], [6000, 5], (5000, 2)).astype(np.float32)
    scaler = measured_scaler(labels)
    scaled = np.asarray(scaler.encode(labels))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-4)
    np.testing.assert_allclose(scaler.decode(scaled), labels, rtol=1e-6)
    assert isinstance(jax.tree.map(jnp.asarray, scaler), LabelScaler)


def test_a_label_that_does_not_vary_cannot_be_scaled():
    with pytest.raises(UsageError, match="must vary"):
        measured_scaler(np.ones((10, 1)))


def test_moments_over_chunks_are_those_of_all_spectra():
    flux = (100 + np.random.default_rng(0).normal(size=(90, 16))).astype(np.float32)
    moments = Moments()
    for chunk in np.split(flux, [1, 40, 41]):
        moments.add(chunk)
    scaler = moments.scaler()
    np.testing.assert_allclose(scaler.mean, flux.mean(axis=0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(scaler.scale, flux.std(axis=0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(scaler.encode(flux)).std(axis=0), 1, rtol=1e-3)
    overall = moments.scaler(overall=True)
    np.testing.assert_allclose(overall.mean, np.full(16, flux.mean(dtype=float)), rtol=1e-6)
    np.testing.assert_allclose(overall.scale, np.full(16, flux.std(dtype=float)), rtol=1e-6)
    assert isinstance(overall, InputScaler)


def test_a_pixel_that_does_not_vary_or_is_nan_cannot_be_standardised():
    for bad in (1.0, np.nan):
        flux = np.random.default_rng(0).normal(size=(20, 4))
        flux[:, 2] = bad
        moments = Moments()
        moments.add(flux)
        with pytest.raises(DataError, match="pixel 2 does not"):
            moments.scaler()
