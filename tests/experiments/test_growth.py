"""Training sets of a fixed size and the study of it; optimal filters and what resembles them."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from crlb.errors import MissingInputError
from crlb.fisher.information import pixel_information
from experiments.attention import filters
from experiments.baselines.finite import FiniteSet, chunks_of, finite_set, n_validation
from experiments.scaling import experiment as scaling
from experiments.study.frame import Work
from experiments.study.options import Options
from experiments.study.rows import ArmRow
from experiments.study.training import base
from experiments.transfer_learning import experiment as transfer
from specvit_jax import metrics
from specvit_jax.network.standardise import InputScaler
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import override
from specvit_jax.spectra.feed import training_rows
from specvit_jax.spectra.file_sources import StoredSpectra
from specvit_jax.spectra.source import Rows, make_simulator

SAMPLE = jax.jit(FiniteSet.sample)


@pytest.fixture(scope="module")
def simulator(toy_grid):
    return make_simulator(toy_grid)


@pytest.fixture(scope="module")
def finite(simulator):
    return finite_set(simulator, 20, 42)


# --- a finite set


@pytest.mark.slow
def test_a_finite_set_is_the_stored_set_of_the_same_stars(simulator, finite):
    drawn = jax.jit(type(simulator).sample)(simulator, finite.key, jnp.arange(22))
    stored = StoredSpectra(Rows(drawn.clean, drawn.labels, drawn.mag), simulator.observer)
    key, index = jax.random.key(7), jnp.array([3, 25, 0, 3])
    assert stored.rows == finite.rows == 22
    one, other = SAMPLE(finite, key, index), stored.sample(key, index)
    assert one.usable is one.gain is other.usable is other.gain is None  # nothing is unknown
    for name, a, b in zip(one._fields[:5], one[:5], other[:5], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(one.labels[0], one.labels[1])  # 25 is 3 modulo 22 ...
    noise = (one.flux[0] - one.flux[1]) / one.error[0]  # ... observed another time
    assert 0.95 < noise.std() / np.sqrt(2) < 1.05
    np.testing.assert_array_equal(one.flux[0], one.flux[3])  # one observation of one star


def test_stars_stay_and_noise_changes_from_step_to_step(finite):
    one, other = (SAMPLE(finite, jax.random.key(seed), jnp.arange(4)) for seed in (1, 2))
    np.testing.assert_array_equal(one.clean, other.clean)
    noise = (one.flux - other.flux) / one.error
    assert 0.95 < noise.std() / np.sqrt(2) < 1.05


def test_every_seed_has_stars_of_its_own(simulator, finite):
    key, index = jax.random.key(0), jnp.arange(4)
    first, other = (SAMPLE(s, key, index).labels for s in (finite, finite_set(simulator, 20, 43)))
    assert (np.asarray(first) != np.asarray(other)).all()


@pytest.mark.parametrize("n", [10, 100, 999, 5_000, 1_000_000])
def test_exactly_n_spectra_are_trained_on(simulator, n):
    config = override(base("cpu"), [f"data.n_validation={n_validation(n)}"])
    assert training_rows(finite_set(simulator, n, 0), config) == n


@pytest.mark.slow
def test_baselines_get_every_spectrum_once(finite):
    flux, labels = map(np.concatenate, zip(*chunks_of(finite, 0, finite.rows, 1), strict=True))
    assert flux.shape == (22, 4096)
    assert len(np.unique(labels)) == 22
    tail = next(iter(chunks_of(finite, 20, 22, 1)))
    np.testing.assert_allclose(tail[0], flux[20:], rtol=1e-5)


# --- scaling


def row_like(name: str, config: Config) -> ArmRow:
    """A row that was not measured."""
    scores = {part.name: 0.5 for part in fields(metrics.Metrics)}
    size = {"n": 300, "parameters": 1, "tokens": 64, "forward_mflop": 1.0, "step_s": 1.0}
    spectra = config.train.steps * config.train.batch_size
    about = {"arm": name, "seed": config.train.seed, "labels": {}, "by_snr": ()}
    return ArmRow(spectra=spectra, **about, **size, **scores)


def test_modes_differ_in_steps_only(tmp_path, monkeypatch, toy_grid):
    asked = []

    def run_arm(work, name, config, source):
        asked.append((config, source))
        return row_like(name, config)

    monkeypatch.setattr(scaling, "run_arm", run_arm)
    work = Work(scaling.STUDY, Options("cpu", toy_grid, out=tmp_path))
    found = [
        scaling.specvit(work, *point, 42) for point in (("steps", 5_000), ("epochs", 5_000), ("steps", None))
    ]
    assert [row.steps for row in found] == [600, 5_000 // 128, 600]
    assert [row.n for row in found] == [5_000, 5_000, None]
    assert found[1].spectra_seen <= 5_000 < found[0].spectra_seen == 600 * 128
    assert [source.rows for _, source in asked] == [5_500, 5_500, None]
    assert len({row.arm for row in found}) == 3


def test_without_lightgbm_its_points_are_absent_and_the_reason_is_told(
    tmp_path, monkeypatch, capsys, toy_grid
):
    def missing():
        raise MissingInputError("no lightgbm here")

    monkeypatch.setattr(scaling, "import_lightgbm", missing)
    work = Work(scaling.STUDY, Options("smoke", toy_grid, out=tmp_path))
    assert scaling.boosted(work, 600, 42) == "no lightgbm here"
    assert "no lightgbm here" in capsys.readouterr().err


# --- filters


@pytest.fixture(scope="module")
def change():
    return np.random.default_rng(0).normal(size=(40, 3)) * [1e-3, 1.0, 2.0]  # sigma per K, dex, dex


@pytest.fixture(scope="module")
def best(change):
    with jax.enable_x64(True):
        return [
            np.asarray(x) for x in filters.optimal(jnp.asarray(change), jnp.diag(jnp.array([1e-6, 1, 1])))
        ]


@pytest.mark.slow
def test_unbiased_filter_is_least_squares(change, best):
    np.testing.assert_allclose(best[0], np.linalg.lstsq(change, np.eye(40))[0], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_filter_with_a_prior_is_least_squares_with_the_prior_as_data(change, best):
    rows = np.concatenate([change, np.diag([1e-3, 1, 1])])
    data = np.concatenate([np.eye(40), np.zeros((3, 40))])
    np.testing.assert_allclose(best[1], np.linalg.lstsq(rows, data)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_filter_with_other_labels_known_is_least_squares_in_one_label(change, best):
    for i, column in enumerate(change.T):
        expected = np.linalg.lstsq(column[:, None], np.eye(40))[0][0]
        np.testing.assert_allclose(best[2][i], expected, rtol=1e-9)


@pytest.mark.slow
def test_power_of_the_unbiased_filter_is_where_the_information_is(change, best):
    with jax.enable_x64(True):
        expected = pixel_information(change, np.ones(40), 1).marginal
    power = best[0][1] ** 2
    np.testing.assert_allclose(power / power.sum() ** 2, expected, rtol=1e-8)


def test_cosine_is_the_correlation_of_what_noise_does():
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(2, 40))
    v += 0.7 * w
    noise = rng.normal(size=(20_000, 40))
    found = filters.cosine(w[None], v[None])[0]
    np.testing.assert_allclose(np.corrcoef(noise @ w, noise @ v)[0, 1], found, atol=0.02)


def test_reach_is_what_the_nearest_combination_of_components_has():
    rng = np.random.default_rng(2)
    analysis, scale, error = rng.normal(size=(40, 3)), rng.uniform(1, 2, 40), rng.uniform(1, 2, (2, 40))
    scaler, wanted = InputScaler(np.zeros(40), scale, analysis), rng.normal(size=(2, 40))
    basis = analysis / scale[:, None] * error[0][:, None]
    wanted[1] = (analysis / scale[:, None] * error[1][:, None]) @ [1.0, -2.0, 0.5]
    nearest = basis @ np.linalg.lstsq(basis, wanted[0])[0]
    expected = [filters.cosine(nearest[None], wanted[:1])[0], 1.0]
    np.testing.assert_allclose(filters.reach(scaler, error, wanted), expected, rtol=1e-9)
    np.testing.assert_array_equal(filters.reach(InputScaler(np.zeros(40), scale), error, wanted), 1.0)


def test_shares_of_patches():
    values = np.array([[1.0, 1.0, 2.0, -2.0]])
    np.testing.assert_allclose(filters.shares(values, np.array([[0, 1], [2, 3]])), [[0.2, 0.8]])


def test_rank_correlation_is_spearmans():
    a, b = np.random.default_rng(3).integers(0, 5, size=(2, 4, 30)).astype(float)
    expected = [scipy.stats.spearmanr(*pair).statistic for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(filters.rank_correlation(a, b), expected)


def test_shifted_patches_reach_further_where_neighbours_are_alike():
    rough = np.random.default_rng(4).normal(size=(2, 1, 64))
    smooth = sum(np.roll(rough, k, axis=-1) for k in range(12))
    assert filters.by_chance(*rough).shape == (63,)
    assert 2 * np.std(filters.by_chance(*rough)) < np.std(filters.by_chance(*smooth))
    assert filters.by_chance(rough[0], np.roll(rough[0], 5, axis=1)).max() == pytest.approx(1)


# --- transfer


@pytest.fixture
def carried(tmp_path, toy_grid):
    def make(preset: str, **options) -> Work:
        return Work(transfer.STUDY, transfer.TransferOptions(preset, toy_grid, out=tmp_path, **options))

    return make


@pytest.mark.slow
def test_the_stand_in_is_the_source_grid_with_a_tilt(carried, simulator):
    path = transfer.stand_in(carried("smoke"))
    node = jnp.asarray(np.stack([simulator.emulator.low, simulator.emulator.high]), jnp.float32)
    with pytest.warns(UserWarning, match="1.60 to 1.78 Å is used"):  # its R is that at mid-arm
        target = make_simulator(path)
    ratio = np.asarray(target.clean(node)) / np.asarray(simulator.clean(node))
    tilt = (np.asarray(simulator.wave) / 8000) ** 2
    for star in ratio / tilt:
        np.testing.assert_allclose(star / np.median(star), 1, atol=3e-3)


def test_a_target_that_is_not_there_names_the_option(carried, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "DEFAULT_TARGET", tmp_path / "nowhere.h5")
    with pytest.raises(MissingInputError, match=r"nowhere\.h5.*--target"):
        transfer.target_grid(carried("cpu"))
    with pytest.raises(MissingInputError, match=r"mine\.h5.*--target"):
        transfer.target_grid(carried("smoke", target=tmp_path / "mine.h5"))


@pytest.mark.slow
def test_fine_tuning_differs_by_its_start_and_rate_only(carried, tmp_path, monkeypatch):
    asked = []

    def run_arm(work, name, config, source):
        asked.append(config)
        return row_like(name, config)

    monkeypatch.setattr(transfer, "run_arm", run_arm)
    for source in (None, tmp_path / "best.safetensors"):
        transfer.network(carried("cpu"), "method", 100, 42, source)
    scratch, tuned = asked
    assert scratch.train.init_weights is None
    assert tuned.train.init_weights == str(tmp_path / "best.safetensors")
    assert tuned.train.learning_rate < scratch.train.learning_rate
    given = {"init_weights": None, "learning_rate": scratch.train.learning_rate}
    assert replace(tuned, train=replace(tuned.train, **given)) == scratch
    assert (scratch.train.batch_size, scratch.data.n_validation, scratch.data.n_scaling) == (100, 10, 100)


def test_recalibration_undoes_any_linear_distortion():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=(200, 3)) * [1.0, 500.0, 0.5] + [3.0, 5000.0, -0.5]
    outputs = truth @ rng.normal(size=(3, 3)) + [1.0, -200.0, 3.0]
    fitted = transfer.linear_fit(outputs[:100], truth[:100, 0])
    np.testing.assert_allclose(fitted(outputs[100:]), truth[100:, 0], rtol=1e-6)
