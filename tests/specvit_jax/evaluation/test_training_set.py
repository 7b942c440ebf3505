"""What a network was trained on, as it is kept beside its weights."""

from dataclasses import replace

import numpy as np
import pytest

from specvit_jax.evaluation import training_set as module
from specvit_jax.evaluation.training_set import fingerprint, make_training_set, training_set
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.weights import load_weights
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.spectra.source import chunks
from tests.specvit_jax.evaluation.conftest import MODEL
from tests.specvit_jax.toy import write_clean


@pytest.fixture(scope="module")
def config(two_line_grid) -> Config:
    return Config(model=MODEL, data=DataConfig(grid=str(two_line_grid)))


@pytest.fixture(scope="module")
def made(config):
    return make_training_set(config, 400)


def test_mean_and_components_span_the_clean_spectra(made, config):
    import jax

    clean = np.asarray(next(chunks(simulator_of(config.data), jax.random.key(3), 100)).clean)
    apart = clean - made.mean
    left = apart - apart @ made.basis @ made.basis.T
    assert np.abs(left).max() < 1e-3
    np.testing.assert_allclose(made.mean, clean.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(made.basis.T @ made.basis, np.eye(made.basis.shape[1]), atol=2e-3)


def test_ranges_are_those_of_the_training(made):
    assert made.mag_range.tolist() == [20.5, 22.5]
    # log g and temperature, the labels of the network in its order, over the grid's box.
    np.testing.assert_allclose(made.label_range, [[1.0, 4000.0], [5.0, 6000.0]], rtol=0.05)


def test_errors_and_magnitudes_belong_together(made):
    for i, mag in enumerate(made.mags):
        np.testing.assert_allclose(made.errors_at(float(mag)), made.errors[i], rtol=1e-5)
        noisy = made.mean + made.errors[i] * np.random.default_rng(5).normal(size=4096)
        snr = float(np.median(noisy / made.errors[i]))
        assert made.mag_of(snr) == pytest.approx(mag, abs=0.1 if snr > 1 else 0.5)
    between = made.errors_at(21.0)
    assert ((between > made.errors_at(20.5)) & (between < made.errors_at(22.5))).all()


def test_snr_of_training_stars_lies_in_its_range(made, config):
    import jax

    from specvit_jax.spectra.source import median_snr

    batch = next(chunks(simulator_of(config.data), jax.random.key(4), 200))
    snr = median_snr(np.asarray(batch.flux), np.asarray(batch.error))
    assert made.snr_range[0] < snr.min() * 1.05
    assert snr.max() < made.snr_range[1] * 1.05


def test_files_of_spectra_are_a_training_too(tmp_path):
    path = write_clean(tmp_path / "clean.h5", 60)
    found = make_training_set(Config(model=MODEL, data=DataConfig(source=str(path))), 50)
    assert found.coefficients.shape == (50, 32)
    # The flux of row r is 1 + r/4096 and a wave; 50 of 60 rows were taken.
    np.testing.assert_allclose(found.mean[1:5], 1 + 30 / 4096 + 0.1 * np.sin(np.arange(1, 5)), atol=2e-3)


def test_it_is_kept_beside_the_weights_until_the_training_is_another_one(
    tmp_path, weights, config, monkeypatch
):
    monkeypatch.setattr(module, "N_SPECTRA", 100)
    path = tmp_path / "best.safetensors"
    first, why = training_set(weights._replace(config=config), path)
    assert why == ""
    assert (tmp_path / "best.training.safetensors").is_file()
    calls = []
    monkeypatch.setattr(module, "make_training_set", lambda config, n: calls.append(config) or first)
    again, _ = training_set(weights._replace(config=config), path)
    assert calls == []
    for name in ("mean", "basis", "coefficients", "errors"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    fainter = replace(config, data=replace(config.data, mag=(21.0, 22.0)))
    training_set(weights._replace(config=fainter), path)
    assert calls == [fainter]


def test_damaged_bytes_are_made_anew(tmp_path, weights, config, made, monkeypatch):
    monkeypatch.setattr(module, "make_training_set", lambda config, n: made)
    (tmp_path / "best.training.safetensors").write_bytes(b"no")
    found, why = training_set(weights._replace(config=config), tmp_path / "best.safetensors")
    assert (found, why) == (made, "")


def test_a_grid_that_is_gone_leaves_the_training_unknown_and_says_so(tmp_path, weights, config):
    gone = replace(config, data=replace(config.data, grid=str(tmp_path / "gone.h5")))
    found, why = training_set(weights._replace(config=gone))
    assert found is None
    assert "gone.h5" in why


def test_the_shipped_one_belongs_to_the_shipped_weights():
    path = shipped_weights("tiny")
    weights = load_weights(path)
    found = module._read(path.with_suffix(".training.safetensors"), fingerprint(weights.config))
    assert found is not None, "delete it and run specvit predict tiny once"
    np.testing.assert_allclose(found.mean, weights.input_scaler.mean, atol=0.01)


@pytest.mark.slow
def test_the_shipped_one_is_what_is_made_today():
    weights = load_weights(shipped_weights("tiny"))
    kept, made = training_set(weights, shipped_weights("tiny"))[0], make_training_set(weights.config)
    np.testing.assert_allclose(kept.mean, made.mean, atol=1e-5)
    np.testing.assert_allclose(kept.errors, made.errors, rtol=1e-2)
    np.testing.assert_allclose(kept.snr_range, made.snr_range, rtol=1e-2)
    # Components of equal strength may turn; the space they span may not.
    np.testing.assert_allclose(np.linalg.norm(kept.basis.T @ made.basis[:, :16], axis=0), 1.0, atol=1e-2)
