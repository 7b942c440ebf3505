"""Scores against the predictions that are saved; what an evaluation refuses."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.files.spectra import write_spectra
from specvit_jax.evaluation.evaluate import evaluate
from specvit_jax.evaluation.observed import fill_unusable
from specvit_jax.evaluation.predict import predict
from specvit_jax.evaluation.scores import Scores, coverage
from specvit_jax.network.find import find_weights
from specvit_jax.network.weights import save_weights
from tests.specvit_jax.evaluation.conftest import N, stars


def saved(run: Path, data: Path, folder: Path, **options) -> dict:
    """The scores of an evaluation, as they are written into a folder beside the labels of every star."""
    found = evaluate(find_weights(run), data, **options)
    found.write(folder / "scores.json", folder / "scores.predictions.csv")
    return json.loads((folder / "scores.json").read_text())


def test_an_unusable_pixel_reaches_the_network_as_zero(weights):
    flux = stars(3).noisy.copy()
    flux[1, 0] = np.nan
    filled, count = fill_unusable(flux, weights.input_scaler.mean)
    assert count == 1
    assert np.asarray(weights.input_scaler.encode(filled))[1, 0] == 0
    kept = ~np.isnan(flux)
    np.testing.assert_array_equal(filled[kept], flux[kept])


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
    result = saved(tmp_path / "sigma.safetensors", files[1], tmp_path)
    with (tmp_path / "scores.predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    sigma = predict(sigma_weights, stars().noisy).sigma
    for i, name in enumerate(("log_g", "T_eff")):
        truth, pred, error = (
            np.array([float(row[name + end]) for row in rows]) for end in ("", "_pred", "_sigma")
        )
        np.testing.assert_allclose(error, sigma[:, i], rtol=1e-5)
        inside = np.mean(np.abs(pred - truth) <= error)
        assert result["labels"][name]["coverage"]["1_sigma"] == pytest.approx(inside, abs=2 / N)


def test_a_network_without_sigma_keeps_its_columns(files, tmp_path):
    result = saved(*files, tmp_path)
    head = (tmp_path / "scores.predictions.csv").read_text().splitlines()[0]
    assert head == "star,mag,snr,T_eff,log_g,log_g_pred,T_eff_pred"
    assert set(result["labels"]["log_g"]) == {"overall", "by_snr"}


def test_scores_follow_from_the_predictions_that_are_saved(files, tmp_path):
    run, data = files
    result = saved(run, data, tmp_path, edges=(2.0, 5.0, 30.0, 99.0))
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
    paths = [find_weights(path) for path in (run, run / "weights" / "best.safetensors")]
    assert paths == [run / "weights" / "best.safetensors"] * 2
    assert evaluate(paths[0], data).scores == evaluate(paths[1], data).scores


def test_unusable_edge_pixels_are_filled_and_counted(files, tmp_path):
    noisy, error = stars().noisy.copy(), stars().error.copy()
    noisy[5:, 0] = error[5:, 0] = np.nan
    write_spectra(tmp_path / "edges.h5", stars(noisy=noisy, error=error))
    result = saved(files[0], tmp_path / "edges.h5", tmp_path)
    assert result["unusable_pixels_filled"] == N - 5


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"weights/best.safetensors; give a run directory"):
        find_weights(tmp_path)
    with pytest.raises(MissingInputError, match=r"none.safetensors"):
        find_weights(tmp_path / "none.safetensors")


def test_data_with_other_wavelengths_are_refused(files, tmp_path):
    write_spectra(tmp_path / "other.h5", stars(40, wave=DETECTOR_WAVE + 1.0))
    with pytest.raises(DataError, match="wavelengths must be"):
        saved(files[0], tmp_path / "other.h5", tmp_path)
    assert not (tmp_path / "scores.json").exists()


def test_data_without_a_label_the_network_predicts_are_refused(files, tmp_path):
    write_spectra(tmp_path / "few.h5", stars(40, labels={"T_eff": np.linspace(4000, 5000, 40)}))
    with pytest.raises(UsageError, match="label must be one of T_eff, found log_g"):
        saved(files[0], tmp_path / "few.h5", tmp_path)


def test_data_without_noisy_flux_or_errors_are_refused(files, tmp_path):
    write_spectra(tmp_path / "clean.h5", stars(40, noisy=None, error=None))
    with pytest.raises(DataError, match=r"dataset/arrays/error/value' is missing"):
        saved(files[0], tmp_path / "clean.h5", tmp_path)


@pytest.mark.parametrize("level", [0.0, 1.0, 3.0])
def test_noise_that_data_lack_is_that_of_the_training(weights, tmp_path, capsys, level):
    data = replace(weights.config.data, noise_level=level)
    network = weights._replace(config=replace(weights.config, data=data))
    save_weights(tmp_path / "network.safetensors", network, {"step": 1.0})
    bare = stars(40, noisy=None)
    write_spectra(tmp_path / "bare.h5", bare)
    found = evaluate(tmp_path / "network.safetensors", tmp_path / "bare.h5").spectra
    assert "note: " in (said := capsys.readouterr().err)
    assert "no noisy flux" in said
    scatter = (found.noisy - bare.flux).std(axis=1)
    np.testing.assert_allclose(scatter, level * bare.error[:, 0], rtol=0.05)
    np.testing.assert_allclose(found.error, (level or 1.0) * bare.error, rtol=1e-6)


def test_results_are_replaced_only_when_asked(files, tmp_path):
    found = evaluate(find_weights(files[0]), files[1])
    (tmp_path / "scores.json").write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        found.write(tmp_path / "scores.json", tmp_path / "a.csv")
    with pytest.raises(OutputError, match="not an existing folder"):
        found.write(tmp_path / "nowhere" / "scores.json", tmp_path / "b.csv")
    assert (tmp_path / "scores.json").read_text() == "precious"
    found.write(tmp_path / "scores.json", tmp_path / "c.csv", overwrite=True)
    assert json.loads((tmp_path / "scores.json").read_text())["n"] == N


def test_scores_come_back_from_their_file(files, tmp_path):
    found = evaluate(find_weights(files[0]), files[1], edges=(2.0, 5.0, 30.0, 99.0)).scores
    assert Scores.from_json(saved(*files, tmp_path, edges=(2.0, 5.0, 30.0, 99.0))) == found


def test_the_table_of_scores_has_every_bin_of_every_label(files):
    found = evaluate(find_weights(files[0]), files[1], edges=(2.0, 5.0, 30.0, 99.0)).scores
    lines = [line.split() for line in found.table().splitlines() if line.strip()]
    for label, scores in found.labels.items():
        first = lines.index([f"{label},", str(N), "spectra"])
        overall, faint, _, empty = lines[first + 3 : first + 7]
        assert overall[:3] == ["all", str(N), f"{scores.overall.r2:.4f}"]
        assert overall[3] == f"{scores.overall.r2_low:.4f}..{scores.overall.r2_high:.4f}"
        assert faint[:2] == ["2-5", str(scores.by_snr[0].n)]
        assert float(faint[4]) == pytest.approx(scores.by_snr[0].mae, rel=1e-3)
        assert empty == ["30-99", "0", "too", "few"]
