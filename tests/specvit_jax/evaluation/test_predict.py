"""Prediction against a direct call of the network; scores against the predictions that are saved."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.files.spectra import Spectra, write_spectra
from specvit_jax.evaluation.predict import (
    BATCH,
    coverage,
    evaluate,
    fill_unusable,
    find_weights,
    predict,
    predict_with_sigma,
)
from specvit_jax.network.model import SpecViT
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights, save_weights
from specvit_jax.settings.config import Config, DataConfig, ModelConfig, TrainConfig

MODEL = ModelConfig(
    patch_size=512, embed_dim=8, depth=1, num_heads=2, pool="mean", label_names=("log_g", "T_eff")
)
N = BATCH + 44


@pytest.fixture(scope="module")
def weights() -> Weights:
    rng = np.random.default_rng(0)
    params = SpecViT(MODEL).init(jax.random.key(0), jnp.zeros((1, 4096)))["params"]
    return Weights(
        params,
        Config(model=MODEL),
        LabelScaler(jnp.array([3.0, 5000.0]), jnp.array([1.0, 500.0])),
        InputScaler(
            jnp.asarray(rng.uniform(0.4, 0.6, 4096), jnp.float32),
            jnp.asarray(rng.uniform(0.1, 0.2, 4096), jnp.float32),
        ),
    )


def stars(n: int = N, **changes) -> Spectra:
    rng = np.random.default_rng(1)
    level = np.linspace(0.02, 0.2, n)[:, None]  # SNR from 25 down to 2.5
    spectra = Spectra(
        wave=DETECTOR_WAVE,
        labels={"T_eff": rng.uniform(4000, 6000, n), "log_g": rng.uniform(1, 5, n)},
        flux=np.full((n, 4096), 0.5, np.float32),
        error=np.broadcast_to(level, (n, 4096)).astype(np.float32),
        noisy=(0.5 + level * rng.normal(size=(n, 4096))).astype(np.float32),
        mag=np.linspace(20, 22, n),
    )
    return replace(spectra, **changes)


@pytest.fixture(scope="module")
def files(weights, tmp_path_factory) -> tuple[Path, Path]:
    """A run directory with weights, and a test set."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "weights").mkdir()
    save_weights(folder / "weights" / "best.safetensors", weights, {"step": 1.0})
    write_spectra(folder / "test.h5", stars())
    return folder, folder / "test.h5"


def test_labels_are_the_networks_output_on_standardised_flux_in_label_units(weights):
    noisy = stars().noisy
    found = predict(weights, noisy)
    assert found.shape == (N, 2)
    for at in (0, BATCH - 1, BATCH, N - 1):
        x = (noisy[at] - np.asarray(weights.input_scaler.mean)) / np.asarray(weights.input_scaler.scale)
        out = SpecViT(MODEL).apply({"params": weights.params}, jnp.asarray(x)[None])
        np.testing.assert_allclose(found[at], np.asarray(out)[0] * [1.0, 500.0] + [3.0, 5000.0], rtol=1e-5)


@pytest.mark.parametrize("n", [1, BATCH])
def test_the_number_of_spectra_asked_for_is_answered_whatever_fills_the_batch(weights, n):
    noisy = stars().noisy
    np.testing.assert_allclose(predict(weights, noisy[:n]), predict(weights, noisy)[:n], rtol=1e-5)


def test_flux_the_network_cannot_read_is_refused(weights):
    with pytest.raises(DataError, match="spectra of 4096 pixels"):
        predict(weights, np.ones((2, 4095), np.float32))
    with pytest.raises(DataError, match="at least one"):
        predict(weights, np.ones((0, 4096), np.float32))
    flux = np.ones((2, 4096), np.float32)
    flux[1, 7] = np.nan
    with pytest.raises(DataError, match="nan in spectrum 1, pixel 7"):
        predict(weights, flux)


def test_an_unusable_pixel_reaches_the_network_as_zero(weights):
    flux = stars(3).noisy.copy()
    flux[1, 0] = np.nan
    filled, count = fill_unusable(flux, weights.input_scaler.mean)
    assert count == 1
    assert np.asarray(weights.input_scaler.encode(filled))[1, 0] == 0
    kept = ~np.isnan(flux)
    np.testing.assert_array_equal(filled[kept], flux[kept])


@pytest.fixture(scope="module")
def sigma_weights(weights) -> Weights:
    """A network that predicts its errors too."""
    model = replace(MODEL, predict_sigma=True)
    params = SpecViT(model).init(jax.random.key(3), jnp.zeros((1, 4096)))["params"]
    return weights._replace(params=params, config=Config(model=model, train=TrainConfig(loss="nll")))


def test_sigma_is_in_label_units(sigma_weights):
    noisy = stars().noisy
    labels, sigma = predict_with_sigma(sigma_weights, noisy)
    assert labels.shape == sigma.shape == (N, 2)
    np.testing.assert_array_equal(predict(sigma_weights, noisy), labels)
    scaler = sigma_weights.label_scaler
    wide = sigma_weights._replace(label_scaler=scaler._replace(scale=2 * scaler.scale))
    np.testing.assert_allclose(predict_with_sigma(wide, noisy)[1], 2 * sigma, rtol=1e-6)
    at = N - 1
    x = sigma_weights.input_scaler.encode(noisy[at : at + 1])
    out = np.asarray(SpecViT(sigma_weights.config.model).apply({"params": sigma_weights.params}, x))[0]
    np.testing.assert_allclose(sigma[at], np.exp(out[2:]) * [1.0, 500.0], rtol=1e-5)


def test_a_network_without_sigma_says_none(weights):
    assert predict_with_sigma(weights, stars(3).noisy)[1] is None


def test_a_network_of_components_reads_whole_spectra(weights):
    model = replace(MODEL, input_size=8, patch_size=2)
    params = SpecViT(model).init(jax.random.key(0), jnp.zeros((1, 8)))["params"]
    analysis = np.random.default_rng(2).normal(size=(4096, 8)).astype(np.float32) / 64
    scaler = weights.input_scaler._replace(analysis=jnp.asarray(analysis))
    config = Config(model=model, data=DataConfig(preprocess="pca", components=8))
    reader = weights._replace(params=params, config=config, input_scaler=scaler)
    noisy = stars(2).noisy
    out = np.asarray(SpecViT(model).apply({"params": params}, scaler.encode(noisy)))
    np.testing.assert_allclose(predict(reader, noisy), out * [1.0, 500.0] + [3.0, 5000.0], rtol=1e-4)
    with pytest.raises(DataError, match="spectra of 4096 pixels"):
        predict(reader, np.ones((2, 8), np.float32))


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_coverage_of_gaussian_errors_is_that_of_the_normal_distribution(factor):
    rng, n = np.random.default_rng(4), 100_000
    true_sigma = rng.uniform(0.1, 1.0, n)
    found = coverage(np.zeros(n), true_sigma * rng.normal(size=n), factor * true_sigma)
    for k in (1, 2):
        share = 2 * scipy.stats.norm.cdf(k * factor) - 1
        assert found[f"{k}_sigma"] == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / n))


def test_sigma_and_its_coverage_are_saved(sigma_weights, files, tmp_path):
    save_weights(tmp_path / "sigma.safetensors", sigma_weights, {"step": 1.0})
    result = evaluate(tmp_path / "sigma.safetensors", files[1], tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text()) == result
    with (tmp_path / "scores.predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    _, sigma = predict_with_sigma(sigma_weights, stars().noisy)
    for i, name in enumerate(("log_g", "T_eff")):
        truth, pred, error = (
            np.array([float(row[name + end]) for row in rows]) for end in ("", "_pred", "_sigma")
        )
        np.testing.assert_allclose(error, sigma[:, i], rtol=1e-5)
        inside = np.mean(np.abs(pred - truth) <= error)
        assert result["labels"][name]["coverage"]["1_sigma"] == pytest.approx(inside, abs=2 / N)


def test_a_network_without_sigma_keeps_its_columns(files, tmp_path):
    result = evaluate(*files, tmp_path / "scores.json")
    head = (tmp_path / "scores.predictions.csv").read_text().splitlines()[0]
    assert head == "star,mag,snr,T_eff,log_g,log_g_pred,T_eff_pred"
    assert set(result["labels"]["log_g"]) == {"overall", "by_snr"}


def test_scores_follow_from_the_predictions_that_are_saved(files, tmp_path):
    run, data = files
    result = evaluate(run, data, tmp_path / "scores.json", edges=(2.0, 5.0, 30.0, 99.0))
    assert json.loads((tmp_path / "scores.json").read_text()) == result
    with (tmp_path / "scores.predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    column = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    assert list(column["star"]) == list(range(N))
    np.testing.assert_allclose(column["mag"], stars().mag, rtol=1e-7)
    np.testing.assert_allclose(column["snr"], 0.5 / np.linspace(0.02, 0.2, N), rtol=1e-6)
    for name in ("log_g", "T_eff"):
        truth, pred = column[name], column[f"{name}_pred"]
        np.testing.assert_allclose(truth, stars().labels[name], rtol=1e-7)
        overall = result["labels"][name]["overall"]
        residual = pred - truth
        assert overall["n"] == N
        assert overall["r2"] == pytest.approx(1 - np.mean(residual**2) / truth.var(), rel=1e-4)
        assert overall["mae"] == pytest.approx(np.abs(residual).mean(), rel=1e-4)
        assert overall["rmse"] == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-4)
        assert overall["bias"] == pytest.approx(residual.mean(), rel=1e-4, abs=1e-4 * truth.std())
        faint, bright, empty = result["labels"][name]["by_snr"]
        inside = column["snr"] < 5
        assert faint["n"] == inside.sum()
        assert faint["mae"] == pytest.approx(np.abs(residual[inside]).mean(), rel=1e-4)
        assert bright["n"] == N - faint["n"]
        assert (empty["n"], empty["r2"]) == (0, None)


def test_a_weights_file_serves_as_well_as_its_run_directory(files, tmp_path):
    run, data = files
    scores = [
        evaluate(path, data, tmp_path / f"{i}.json")
        for i, path in enumerate((run, run / "weights" / "best.safetensors"))
    ]
    assert scores[0] == scores[1]


def test_unusable_edge_pixels_are_filled_and_counted(files, tmp_path):
    noisy, error = stars().noisy.copy(), stars().error.copy()
    noisy[5:, 0] = error[5:, 0] = np.nan
    write_spectra(tmp_path / "edges.h5", stars(noisy=noisy, error=error))
    result = evaluate(files[0], tmp_path / "edges.h5", tmp_path / "scores.json")
    assert result["unusable_pixels_filled"] == N - 5


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"weights/best.safetensors; give a run directory"):
        find_weights(tmp_path)
    with pytest.raises(MissingInputError, match=r"none.safetensors"):
        find_weights(tmp_path / "none.safetensors")


def test_data_with_other_wavelengths_are_refused(files, tmp_path):
    write_spectra(tmp_path / "other.h5", stars(40, wave=DETECTOR_WAVE + 1.0))
    with pytest.raises(DataError, match="wavelengths must be"):
        evaluate(files[0], tmp_path / "other.h5", tmp_path / "scores.json")
    assert not (tmp_path / "scores.json").exists()


def test_data_without_a_label_the_network_predicts_are_refused(files, tmp_path):
    write_spectra(tmp_path / "few.h5", stars(40, labels={"T_eff": np.linspace(4000, 5000, 40)}))
    with pytest.raises(UsageError, match="label must be one of T_eff, found log_g"):
        evaluate(files[0], tmp_path / "few.h5", tmp_path / "scores.json")


def test_data_without_noisy_flux_are_refused(files, tmp_path):
    write_spectra(tmp_path / "clean.h5", stars(40, noisy=None))
    with pytest.raises(DataError, match=r"dataset/arrays/noisy/value' is missing"):
        evaluate(files[0], tmp_path / "clean.h5", tmp_path / "scores.json")


def test_results_are_replaced_only_when_asked(files, tmp_path):
    (tmp_path / "scores.json").write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        evaluate(*files, tmp_path / "scores.json")
    with pytest.raises(OutputError, match="not an existing folder"):
        evaluate(*files, tmp_path / "nowhere" / "scores.json")
    assert (tmp_path / "scores.json").read_text() == "precious"
    assert evaluate(*files, tmp_path / "scores.json", overwrite=True)["n"] == N
