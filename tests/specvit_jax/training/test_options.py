"""Options of training, each seen to change what it should, in whole runs on toy spectra."""

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import ConfigError, Interrupted
from specvit_jax.network.inference import predict_with_sigma
from specvit_jax.network.weights import load_weights
from specvit_jax.settings.config_file import override
from specvit_jax.training.initial_state import fit_scalers, validation_batch
from specvit_jax.training.loop import train
from specvit_jax.training.step import make_state, train_step
from tests.specvit_jax.training.test_loop import ONE

STILL = [
    f"train.{setting}"
    for setting in ("learning_rate=1e-30", "min_lr=0", "warmup=0", "eval_every=1", "log_every=1")
]


def rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_early_stopping_ends_a_run_that_stands_still(toy_config, toy_source, tmp_path):
    config = override(toy_config, [*STILL, "train.steps=50", "train.early_stopping=2"])
    result = train(config, toy_source, tmp_path / "run", layout=ONE)
    assert (result.step, result.best_step) == (3, 1)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["finished"]["step"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("stop", [None, 3])
def test_a_plateau_lowers_the_learning_rate_down_to_its_end(toy_config, toy_source, tmp_path, stop):
    settings = ["train.schedule=plateau", "train.plateau_patience=1", "train.plateau_factor=0.5"]
    config = override(toy_config, [*STILL, *settings, "train.steps=6", "train.min_lr=2e-31"])
    out = tmp_path / "run"
    if stop:  # what was seen so far is remembered
        with pytest.raises(Interrupted):
            train(config, toy_source, out, stop=lambda step: step == stop, layout=ONE)
    train(config, toy_source, out, resume=True, layout=ONE)
    rates = [row["learning_rate"] for row in rows(out) if "learning_rate" in row]
    np.testing.assert_allclose(rates, np.array([1, 1, 0.5, 0.25, 0.2, 0.2]) * 1e-30, rtol=1e-5)


@pytest.mark.slow
def test_averaged_weights_are_those_that_are_kept(toy_config, toy_source, tmp_path):
    ends = {}
    for ema in (0.0, 0.9):
        config = override(toy_config, [f"train.ema={ema}"])
        out = tmp_path / str(ema)
        train(config, toy_source, out, layout=ONE)
        ends[ema] = jax.tree.leaves(load_weights(out / "weights" / "last.safetensors").params)
    start = jax.tree.leaves(make_state(toy_config).params)
    moved = {ema: sum(float(jnp.abs(a - b).sum()) for a, b in zip(start, end, strict=True))
             for ema, end in ends.items()}  # fmt: skip
    assert 0 < moved[0.9] < 0.9 * moved[0.0]  # the average lags behind


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_precisions_learn_the_same_eight_spectra(toy_config, toy_source, dtype):
    settings = [f"model.dtype={dtype}", "train.steps=200", "train.batch_size=8", "train.weight_decay=0"]
    config = override(toy_config, settings)
    scalers = fit_scalers(toy_source, config)
    batch = toy_source.sample(jax.random.key(0), jnp.arange(8))
    batch = batch._replace(labels=batch.labels[:, 1:])
    step, state = jax.jit(partial(train_step, config=config)), make_state(config)
    for _ in range(200):
        state, metrics = step(state, batch, jnp.arange(8), scalers)
    assert metrics["loss"] < 2e-3  # from about 1


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "muon"])
def test_every_optimiser_learns(toy_config, toy_source, optimizer):
    rate = 0.1 if optimizer == "sgd" else 1e-2
    settings = [f"train.optimizer={optimizer}", f"train.learning_rate={rate}", "train.steps=80"]
    config = override(toy_config, settings)
    scalers = fit_scalers(toy_source, config)
    batch = toy_source.sample(jax.random.key(0), jnp.arange(16))
    batch = batch._replace(labels=batch.labels[:, 1:])
    step, state, losses = jax.jit(partial(train_step, config=config)), make_state(config), []
    for _ in range(80):
        state, metrics = step(state, batch, jnp.arange(16), scalers)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < 0.3 * losses[0]


@pytest.mark.slow
def test_predicted_sigma_is_the_scatter_of_the_predictions(toy_config, toy_source, tmp_path):
    settings = ["train.loss=nll", "model.predict_sigma=true", "train.steps=300", "train.batch_size=64"]
    every = [f"train.{name}=300" for name in ("log_every", "eval_every", "checkpoint_every")]
    config = override(toy_config, [*settings, *every, "data.n_validation=1000", "data.n_scaling=500"])
    result = train(config, toy_source, tmp_path / "run", layout=ONE)
    weights, validation = load_weights(result.weights), validation_batch(toy_source, config)
    scalers = fit_scalers(toy_source, config)
    labels, sigma = predict_with_sigma(weights.params, validation.flux, scalers, config)
    pull = np.asarray((labels - validation.labels) / sigma)
    assert 0.8 < pull.std() < 1.25
    assert result.best_score > 0.8


@pytest.mark.parametrize("scaling", ["zscore", "minmax", "none"])
def test_label_scalings_are_those_of_the_closed_form(toy_config, toy_source, scaling):
    config = override(toy_config, [f"data.label_scaling={scaling}"])
    scaler = fit_scalers(toy_source, config).label
    assert float(scaler.decode(scaler.encode(np.array([[3.3]], np.float32)))[0, 0]) == pytest.approx(3.3)
    expected = {"zscore": 4 / 12**0.5, "minmax": 4.0, "none": 1.0}[scaling]
    assert float(scaler.scale[0]) == pytest.approx(expected, rel=0.15)


def test_loss_and_sigma_belong_together(toy_config):
    with pytest.raises(ConfigError, match="predict_sigma"):
        override(toy_config, ["train.loss=nll"])
    with pytest.raises(ConfigError, match="predict_sigma"):
        replace(toy_config, model=replace(toy_config.model, predict_sigma=True))
