"""Two classes learned instead of a label: loss, target, decoding, scores; whole runs on toys."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from sklearn import metrics as sklearn

from crlb.errors import ConfigError, DataError, UsageError
from specvit_jax.network.inference import decoded, targets
from specvit_jax.network.standardise import LabelScaler
from specvit_jax.network.weights import Weights, load_weights
from specvit_jax.runs.curves import plot_curves
from specvit_jax.runs.listing import list_runs
from specvit_jax.settings.config import Config, ModelConfig
from specvit_jax.settings.config_file import override
from specvit_jax.spectra.source import make_simulator
from specvit_jax.training.initial_state import check_labels
from specvit_jax.training.loop import train
from specvit_jax.training.scores import score_names
from specvit_jax.training.step import loss_of
from specvit_jax.training.teacher import find_teacher
from tests.specvit_jax.training.test_loop import ONE

CLASSES = ["model.threshold=3", "train.loss=cross_entropy", "data.label_scaling=none"]
PLAIN = LabelScaler(np.zeros(1, np.float32), np.ones(1, np.float32))


@pytest.fixture(scope="module")
def classes(toy_config):
    return override(
        toy_config, [*CLASSES, "train.steps=60", "train.eval_every=20", "train.checkpoint_every=60"]
    )


def test_the_loss_is_minus_the_log_of_the_probability_of_the_true_class(classes):
    out, above = np.array([[-3.0], [0.2], [90.0], [-90.0]]), np.array([[0.0], [1.0], [0.0], [1.0]])
    found = loss_of(jnp.asarray(out), jnp.asarray(above), classes.train)
    p = np.where(above == 1, out, -out)
    np.testing.assert_allclose(found, -scipy.special.log_expit(p), rtol=1e-6)


def test_what_is_trained_is_what_is_decoded(classes):
    labels = np.array([[1.0], [2.999], [3.0], [3.001], [5.0]])
    np.testing.assert_array_equal(targets(labels, PLAIN, classes.model)[:, 0], [0, 0, 0, 1, 1])
    out = jnp.linspace(-9, 9, 7)[:, None]
    p, sigma = decoded(out, PLAIN, classes.model)
    np.testing.assert_allclose(p, scipy.special.expit(np.asarray(out)), rtol=1e-6)
    assert sigma is None


@pytest.mark.slow
def test_classes_are_learned_scored_kept_and_listed(classes, toy_source, tmp_path):
    out = tmp_path / "run"
    result = train(classes, toy_source, out, layout=ONE)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    scored = [row for row in rows if "val_skill" in row]
    assert set(scored[0]) == {"step", *score_names(classes)}
    best = max(scored, key=lambda row: row["val_skill"])
    assert (result.best_score, result.best_step) == (best["val_skill"], best["step"])
    assert best["val_accuracy"] > 0.75  # of two classes equally frequent
    assert best["val_skill"] > 0.4
    weights = load_weights(result.weights)
    assert weights.config == classes
    assert weights.label_scaler.mean == 0
    (run,) = list_runs(out)
    assert (run.best_skill, run.accuracy, run.best_r2) == (best["val_skill"], best["val_accuracy"], None)
    assert run.best_score == run.best_skill
    assert plot_curves(out).stat().st_size > 10_000


@pytest.mark.slow
def test_scores_of_a_run_are_those_of_scikit_learn(classes, toy_source, tmp_path):
    from specvit_jax.network.inference import Scalers, predict
    from specvit_jax.training.initial_state import validation_batch

    config = replace(classes, train=replace(classes.train, steps=20))
    weights = load_weights(train(config, toy_source, tmp_path / "run", layout=ONE).weights)
    seen = validation_batch(toy_source, config)
    p = np.asarray(predict(weights.params, seen.flux, Scalers(*weights[2:]), config))[:, 0]
    assert ((p > 0) & (p < 1)).all()
    above = np.asarray(seen.labels)[:, 0] > 3
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["val_accuracy"] == pytest.approx(sklearn.accuracy_score(above, p > 0.5))
    assert last["val_cross_entropy"] == pytest.approx(sklearn.log_loss(above, p.astype(float)), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.threshold=3"], "loss mse and threshold 3; take train.loss=cross_entropy"),
        (["train.loss=cross_entropy"], "threshold null; take model.threshold=2.5, say, or another loss"),
        ([*CLASSES[:2]], "data.label_scaling must be none .* take data.label_scaling=none"),
        ([*CLASSES, "model.label_names=[log_g,T_eff]"], "divides one label, found log_g, T_eff; take"),
        ([*CLASSES, "model.predict_sigma=true"], "predict_sigma must be false with model.threshold"),
        ([*CLASSES, "train.teacher=w.safetensors"], "teacher has no meaning with model.threshold"),
        (["model.threshold=nan"], "threshold must be a number"),
    ],
)
def test_half_a_classification_is_refused_with_the_way_out(toy_config, settings, said):
    with pytest.raises(ConfigError, match=said):
        override(toy_config, settings)


def test_a_threshold_beyond_all_stars_is_refused_before_a_run_begins(toy_config):
    simulator = make_simulator()
    for value in ("0.5", "5"):  # the embedded grid has log g from 1 to 5
        config = override(toy_config, [*CLASSES, f"model.threshold={value}"])
        with pytest.raises(
            DataError, match=f"log_g below and above model.threshold {value}, but it is 1 to 5"
        ):
            check_labels(simulator, config)
    check_labels(simulator, override(toy_config, CLASSES))


def test_who_says_a_probability_teaches_no_label(classes, toy_config, monkeypatch):
    told = Weights({}, classes, PLAIN, None)
    monkeypatch.setattr("specvit_jax.training.teacher.load_weights", lambda path: told)
    config = override(toy_config, ["train.teacher=w.safetensors"])
    with pytest.raises(UsageError, match="says P_log_g_above_3, a probability"):
        find_teacher(config)


def test_outputs_are_named_so_that_nobody_takes_them_for_the_label():
    model = Config(model=ModelConfig()).model
    assert model.output_names == ("log_g",)
    assert replace(model, threshold=2.5).output_names == ("P_log_g_above_2.5",)
    warm = ModelConfig(label_names=("T_eff",), threshold=5250.25)
    assert warm.output_names == ("P_T_eff_above_5250.25",)
