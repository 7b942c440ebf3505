"""Where spectra come from: what a batch holds, what it depends on, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from crlb.errors import DataError, UsageError
from crlb.observation.noise import variance
from specvit_jax.network.standardise import InputScaler, LabelScaler, Moments, measured_scaler
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra import source as data
from specvit_jax.spectra.file_sources import open_source
from specvit_jax.spectra.priors import LabelsDrawn, Uniform, make_snapped
from specvit_jax.spectra.ranges import parse_ranges
from specvit_jax.spectra.source import Batch, Simulator, make_simulator, median_snr
from tests.specvit_jax.toy import LABELS

KEY = jax.random.key(5)
N = 64  # spectra in every batch that is drawn here: one compiled program serves all tests
sample = jax.jit(Simulator.sample)


@pytest.fixture(scope="module")
def simulator(two_line_grid) -> Simulator:
    return make_simulator(two_line_grid, mag=(20.0, 22.0))


@pytest.fixture(scope="module")
def batch(simulator) -> Batch:
    return sample(simulator, KEY, jnp.arange(N))


def pulls(batch: Batch) -> np.ndarray:
    return np.asarray((batch.flux - batch.clean) / batch.error)


def test_a_spectrum_depends_on_the_key_and_its_index_only(simulator, batch):
    index = np.random.default_rng(0).permutation(np.arange(-10, N - 10))
    again = sample(simulator, KEY, jnp.asarray(index))
    both = index >= 0
    for found, expected in zip(again[:5], batch[:5], strict=True):
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
    expected = np.sqrt(variance(clean, batch.mag[3], simulator.noise))
    np.testing.assert_allclose(batch.error[3], expected, rtol=1e-5)
    assert stats.kstest(pulls(batch).ravel(), stats.norm.cdf).pvalue > 0.01
    assert batch.flux.dtype == np.float32


def test_the_noise_level_multiplies_noise_and_error(two_line_grid, batch):
    one, half = (
        sample(make_simulator(two_line_grid, mag=(20.0, 22.0), noise_level=level), KEY, jnp.arange(N))
        for level in (1.0, 0.5)
    )
    for found, expected in zip(one, batch, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(half.error, 0.5 * batch.error, rtol=1e-6)
    np.testing.assert_allclose(half.flux - half.clean, 0.5 * (batch.flux - batch.clean), atol=2e-6)
    np.testing.assert_array_equal(half.clean, batch.clean)


def test_clean_spectra_outside_the_grid_are_nan(simulator):
    clean = jax.jit(Simulator.clean)(simulator, jnp.array([[5000.0, 3.0], [5000.0, 5.5]]))
    assert np.isfinite(clean[0]).all()
    assert np.isnan(clean[1]).all()


def test_ranges_shrink_the_box_of_the_labels_they_name(two_line_grid):
    drawn = LabelsDrawn(ranges={"log_g": (2.0, 2.5)})
    simulator = make_simulator(two_line_grid, drawn=drawn, mag=(21.0, 21.0))
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
def test_a_range_that_cannot_be_drawn_from_is_refused(two_line_grid, options, said):
    drawn = LabelsDrawn(ranges=options.pop("ranges", {}))
    with pytest.raises(UsageError, match=said):
        make_simulator(two_line_grid, drawn=drawn, **options)


AXES = ((0.0, 1.0, 4.0), (0.0, 0.5, 1.0), (2.0, 3.0), (1.0, 2.0, 3.0, 4.0, 5.0), (-1.0, 0.0))
NAMES = ("a", "b", "c", "d", "e")


def test_uniform_labels_are_those_of_one_uniform_draw_per_star():
    low, high = jnp.array([3750.0, 1.0, -2.5]), jnp.array([6000.0, 5.0, 0.75])
    keys = jax.random.split(KEY, 1000)
    found = jax.jit(jax.vmap(lambda key: Uniform(low, high).draw(key, 1)[0]))(keys)
    expected = jax.vmap(lambda key: jax.random.uniform(key, (3,), minval=low, maxval=high))(keys)
    np.testing.assert_array_equal(found, expected)


def test_snapped_labels_stand_on_nodes_but_for_one_of_each_star():
    low, high = np.array([axis[0] for axis in AXES]), np.array([axis[-1] for axis in AXES])
    n = 20_000
    labels = np.asarray(make_snapped(AXES, low, high, NAMES).draw(KEY, n))
    on_node = np.stack([np.isin(labels[:, i], axis) for i, axis in enumerate(AXES)], axis=1)
    assert (on_node.sum(axis=1) == 4).all()
    np.testing.assert_allclose(on_node.mean(axis=0), 0.8, atol=5 * np.sqrt(0.8 * 0.2 / n))
    for i, axis in enumerate(AXES):
        counts = [np.sum(labels[:, i] == node) for node in axis]
        assert stats.chisquare(counts).pvalue > 0.001
        free = labels[~on_node[:, i], i]
        assert stats.kstest(free, stats.uniform(low[i], high[i] - low[i]).cdf).pvalue > 0.001


def test_a_label_held_by_its_range_is_never_the_continuous_one(two_line_grid):
    ranges = {"T_eff": (4321.0, 4321.0), "log_g": (1.5, 4.0)}
    labels, _, _ = jax.vmap(make_simulator(two_line_grid, drawn=LabelsDrawn("snapped", ranges))._star)(
        jax.random.split(KEY, 500)
    )
    assert (np.asarray(labels[:, 0]) == 4321.0).all()
    assert len(np.unique(labels[:, 1])) == 500
    assert (labels[:, 1].min() > 1.5) & (labels[:, 1].max() < 4.0)


def test_log_g_of_a_snapped_simulator_is_a_node_for_all_but_one_in_so_many_labels(two_line_grid):
    keys, n = jax.random.split(KEY, 4000), 4000
    labels, _, _ = jax.vmap(make_simulator(two_line_grid, drawn=LabelsDrawn("snapped"))._star)(keys)
    share = np.isin(np.asarray(labels[:, 1]), [1, 2, 3, 4, 5]).mean()
    assert abs(share - (1 - 1 / len(LABELS))) < 5 * np.sqrt(0.25 / n)


def test_beta_labels_follow_their_distribution_and_leave_the_others_alone(two_line_grid):
    keys = jax.random.split(KEY, 4000)
    plain, skew = (
        jax.jit(jax.vmap(make_simulator(two_line_grid, drawn=LabelsDrawn(beta=beta))._star))(keys)
        for beta in ({}, {"log_g": (2.0, 5.0)})
    )
    assert stats.kstest(np.asarray(skew[0][:, 1]), stats.beta(2, 5, 1, 4).cdf).pvalue > 0.01
    np.testing.assert_allclose(skew[0][:, 0], plain[0][:, 0], rtol=1e-6)
    np.testing.assert_array_equal(skew[1], plain[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sampling": "snapped", "beta": {"log_g": (2.0, 5.0)}}, "leave out beta, found log_g"),
        ({"sampling": "gaussian"}, "continuous or snapped, found 'gaussian'"),
        ({"beta": {"a_M": (2.0, 5.0)}}, "a_M"),
        ({"beta": {"log_g": (0.0, 5.0)}}, "two positive numbers"),
        ({"sampling": "snapped", "ranges": {"log_g": (1.2, 1.8)}}, "range of log_g, 1.2 to 1.8, holds none"),
        (
            {"sampling": "snapped", "ranges": {"log_g": (2.0, 2.0), "T_eff": (4000.0, 4000.0)}},
            "needs a label that varies",
        ),
    ],
)
def test_a_prior_that_cannot_be_drawn_is_refused(two_line_grid, options, said):
    with pytest.raises(UsageError, match=said):
        make_simulator(two_line_grid, drawn=LabelsDrawn(**options))


@pytest.mark.slow
def test_a_configuration_decides_how_stars_are_drawn_and_observed(two_line_grid):
    config = DataConfig(grid=str(two_line_grid), ranges=("log_g=2:3",), beta=("T_eff=1:4",), noise_level=0.25)
    simulator, plain = open_source(config)[0], open_source(DataConfig(grid=str(two_line_grid)))[0]
    one, other = (sample(source, KEY, jnp.arange(N)) for source in (simulator, plain))
    assert (one.labels[:, 1].min() >= 2) & (one.labels[:, 1].max() <= 3)
    assert stats.kstest(np.asarray(one.labels[:, 0]), stats.beta(1, 4, 4000, 2000).cdf).pvalue > 0.01
    assert np.median(one.error) < 0.3 * np.median(other.error)
    snapped = open_source(DataConfig(grid=str(two_line_grid), prior="snapped"))[0]
    nodes = np.isin(
        np.asarray(sample(snapped, KEY, jnp.arange(N)).labels), [4000, 4500, 5000, 6000, 1, 2, 3, 4, 5]
    )
    assert (nodes.sum(axis=1) == 1).all()
    assert open_source(DataConfig(labels=("T_eff", "log_g", "M_H", "a_M")))[0].label_names[3:] == ("a_M",)
    with pytest.raises(UsageError, match="labels must name M_H too"):
        open_source(DataConfig(labels=("T_eff", "log_g")))


def test_ranges_are_read_label_by_label():
    assert parse_ranges(("T_eff=4000:5000", "M_H=-1:0")) == {"T_eff": (4000.0, 5000.0), "M_H": (-1.0, 0.0)}
    for bad in ("T_eff", "T_eff=1", "T_eff=a:b", "T_eff=1:2:3"):
        with pytest.raises(UsageError, match="range must read LABEL=LOW:HIGH, say .*; found " + bad):
            parse_ranges((bad,))
    with pytest.raises(UsageError, match="found log_g again"):
        parse_ranges(("log_g=1:2", "log_g=2:3"))


def test_chunks_join_to_the_whole_without_the_surplus_of_the_last(simulator, batch):
    pieces = list(data.chunks(simulator, KEY, N + 10, size=N))
    assert [len(piece.mag) for piece in pieces] == [N, 10]
    np.testing.assert_array_equal(pieces[0].flux, batch.flux)
    np.testing.assert_array_equal(pieces[1].flux, sample(simulator, KEY, jnp.arange(N, 2 * N)).flux[:10])


def test_the_median_snr_leaves_out_unusable_pixels():
    flux, error = np.ones((2, 101), np.float32), np.ones((2, 101), np.float32)
    flux[:, ::2], error[1, 0] = 3.0, np.nan  # 51 pixels of SNR 3 and 50 of SNR 1; then 50 and 50
    np.testing.assert_allclose(median_snr(flux, error), [3.0, 2.0])


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


def test_a_simulator_without_noise_gives_clean_flux(two_line_grid, batch):
    still = sample(make_simulator(two_line_grid, mag=(20.0, 22.0), noise_level=0.0), KEY, jnp.arange(N))
    np.testing.assert_array_equal(still.flux, still.clean)
    np.testing.assert_allclose(still.clean, batch.clean, rtol=1e-6)
    with pytest.raises(UsageError, match="noise_level must be finite and not negative, found -1"):
        make_simulator(two_line_grid, noise_level=-1.0)
