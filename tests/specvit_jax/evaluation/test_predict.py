"""Prediction against a direct call of the network."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from specvit_jax.evaluation.predict import BATCH, Predictions, predict
from specvit_jax.network.model import SpecViT
from specvit_jax.settings.config import Config, DataConfig
from tests.specvit_jax.evaluation.conftest import MODEL, N, stars


def test_labels_are_the_networks_output_on_standardised_flux_in_label_units(weights):
    noisy = stars().noisy
    found = predict(weights, noisy).labels
    assert found.shape == (N, 2)
    for at in (0, BATCH - 1, BATCH, N - 1):
        x = (noisy[at] - np.asarray(weights.input_scaler.mean)) / np.asarray(weights.input_scaler.scale)
        out = SpecViT(MODEL).apply({"params": weights.params}, jnp.asarray(x)[None])
        np.testing.assert_allclose(found[at], np.asarray(out)[0] * [1.0, 500.0] + [3.0, 5000.0], rtol=1e-5)


@pytest.mark.parametrize("n", [1, BATCH])
def test_the_number_of_spectra_asked_for_is_answered_whatever_fills_the_batch(weights, n):
    noisy = stars().noisy
    some, whole = (predict(weights, flux).labels for flux in (noisy[:n], noisy))
    np.testing.assert_allclose(some, whole[:n], rtol=1e-5)


def test_flux_the_network_cannot_read_is_refused(weights):
    with pytest.raises(DataError, match="spectra of 4096 pixels"):
        predict(weights, np.ones((2, 4095), np.float32))
    with pytest.raises(DataError, match="at least one"):
        predict(weights, np.ones((0, 4096), np.float32))
    flux = np.ones((2, 4096), np.float32)
    flux[1, 7] = np.nan
    with pytest.raises(DataError, match="nan in spectrum 1, pixel 7"):
        predict(weights, flux)


def test_sigma_is_in_label_units(sigma_weights):
    noisy = stars().noisy
    found = predict(sigma_weights, noisy)
    assert found.labels.shape == found.sigma.shape == (N, 2)
    sigma = found.sigma
    scaler = sigma_weights.label_scaler
    wide = sigma_weights._replace(label_scaler=scaler._replace(scale=2 * scaler.scale))
    np.testing.assert_allclose(predict(wide, noisy).sigma, 2 * sigma, rtol=1e-6)
    at = N - 1
    x = sigma_weights.input_scaler.encode(noisy[at : at + 1])
    out = np.asarray(SpecViT(sigma_weights.config.model).apply({"params": sigma_weights.params}, x))[0]
    np.testing.assert_allclose(sigma[at], np.exp(out[2:]) * [1.0, 500.0], rtol=1e-5)


def test_a_network_without_sigma_says_none(weights):
    assert predict(weights, stars(3).noisy).sigma is None


def test_a_network_of_components_reads_whole_spectra(weights):
    model = replace(MODEL, input_size=8, patch_size=2)
    params = SpecViT(model).init(jax.random.key(0), jnp.zeros((1, 8)))["params"]
    analysis = np.random.default_rng(2).normal(size=(4096, 8)).astype(np.float32) / 64
    scaler = weights.input_scaler._replace(analysis=jnp.asarray(analysis))
    config = Config(model=model, data=DataConfig(preprocess="pca", components=8))
    reader = weights._replace(params=params, config=config, input_scaler=scaler)
    noisy = stars(2).noisy
    out = np.asarray(SpecViT(model).apply({"params": params}, scaler.encode(noisy)))
    np.testing.assert_allclose(predict(reader, noisy).labels, out * [1.0, 500.0] + [3.0, 5000.0], rtol=1e-4)
    with pytest.raises(DataError, match="spectra of 4096 pixels"):
        predict(reader, np.ones((2, 8), np.float32))


@pytest.mark.parametrize("sigma", [None, np.array([[0.1, np.inf], [0.2, 90.0]])])
def test_predictions_are_known_by_their_label_and_come_back_from_json(sigma):
    found = Predictions(("log_g", "T_eff"), np.array([[1.5, 4000.0], [4.5, 6000.0]]), sigma)
    np.testing.assert_array_equal(found.of("T_eff"), [4000, 6000])
    with pytest.raises(UsageError, match="label must be one of log_g, T_eff, found M_H"):
        found.of("M_H")
    back = Predictions.from_json(found.to_json())
    assert back.label_names == found.label_names
    np.testing.assert_array_equal(back.labels, found.labels)
    np.testing.assert_array_equal(back.sigma, sigma)
