"""What a network was trained on, as it is kept beside its weights."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

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


def test_the_shipped_one_of_tiny_is_the_one_of_its_release():
    path = shipped_weights("tiny").with_suffix(".training.safetensors")
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] == "780771f1d7384338"
    assert fingerprint(load_weights(shipped_weights("tiny")).config) == "b9a0ec36090087cc"


def test_shipped_sets_know_their_calm_pixels():
    calm = {
        name: training_set(load_weights(path), path)[0].calm
        for name, path in ((one, shipped_weights(one)) for one in ("tiny", "survey"))
    }
    assert calm["tiny"].all()
    assert set(calm["survey"].tolist()) == {0.0, 1.0}
    assert int(calm["survey"].sum()) == 2959  # stated in docs/observed.md


@pytest.mark.parametrize(
    ("left", "calm"),
    [
        (np.repeat([0.1, 0.21], 2048), 2048),
        (np.linspace(0.3, 3.0, 4096), module.LEAST_CALM),
        (np.linspace(0.3, 3.0, 10), 10),
        (np.zeros(4096), 4096),
    ],
)
def test_pixels_with_little_sky_are_calm_and_at_least_the_1000_calmest(left, calm):
    found = module._calm(left)
    np.testing.assert_array_equal(found, np.arange(len(left)) < calm)


def test_calm_pixels_are_kept_only_where_the_sky_disturbs_some(tmp_path, made):
    """So files that lie beside older weights stay theirs; a file that lost them is another's."""
    some = replace(made, calm=(np.arange(4096) % 2).astype(np.float32))
    for one, there in ((made, False), (some, True)):
        module._write(tmp_path / "a.safetensors", one, "stamp")
        assert ("calm" in load_file(tmp_path / "a.safetensors")) == there
        np.testing.assert_array_equal(module._read(tmp_path / "a.safetensors", "stamp").calm, one.calm)


def test_what_was_made_before_pixels_could_be_calm_is_made_anew_only_under_a_sky(config, monkeypatch):
    sky = replace(config, data=replace(config.data, conditions="{sky_left: 0.03}"))
    before = fingerprint(config), fingerprint(sky)
    monkeypatch.setattr(module, "SKY_LEFT", 0.1)
    assert fingerprint(config) == before[0]
    assert fingerprint(sky) != before[1]


@pytest.mark.slow
def test_the_shipped_one_is_what_is_made_today():
    weights = load_weights(shipped_weights("tiny"))
    kept, made = training_set(weights, shipped_weights("tiny"))[0], make_training_set(weights.config)
    np.testing.assert_allclose(kept.mean, made.mean, atol=1e-5)
    np.testing.assert_allclose(kept.errors, made.errors, rtol=1e-2)
    np.testing.assert_allclose(kept.snr_range, made.snr_range, rtol=1e-2)
    # Components of equal strength may turn; the space they span may not.
    np.testing.assert_allclose(np.linalg.norm(kept.basis.T @ made.basis[:, :16], axis=0), 1.0, atol=1e-2)


def test_there_is_none_of_a_training_without_noise(config):
    network = load_weights(shipped_weights("tiny"))
    data = replace(config.data, noise_level=0.0)
    found, why = training_set(network._replace(config=replace(config, data=data)))
    assert found is None
    assert "without noise" in why
