"""A network that says a probability: named as such wherever its predictions go, scored as such."""

import csv
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.special
from astropy.table import Table
from sklearn import metrics as sklearn

from crlb.errors import DataError, UsageError
from specvit_jax import cli
from specvit_jax.evaluation.attention import input_gradient
from specvit_jax.evaluation.class_scores import ClassScores, class_scores
from specvit_jax.evaluation.evaluate import evaluate
from specvit_jax.evaluation.limits import exact_posterior, exact_probability
from specvit_jax.evaluation.predict import Predictions, predict
from specvit_jax.evaluation.trained import TrainedNetwork, load
from specvit_jax.evaluation.training_set import make_training_set
from specvit_jax.network.find import outputs_of
from specvit_jax.network.standardise import LabelScaler
from specvit_jax.network.weights import save_weights
from specvit_jax.report.explorers import explorers
from specvit_jax.report.networks import described
from specvit_jax.report.trial import trial
from specvit_jax.settings.config import Config, DataConfig, TrainConfig
from specvit_jax.spectra.source import make_simulator
from tests.specvit_jax.evaluation.conftest import MODEL, N, stars

NAME = "P_log_g_above_2.5"
CONFIG = Config(
    model=replace(MODEL, label_names=("log_g",), threshold=2.5),
    train=TrainConfig(loss="cross_entropy"),
    data=DataConfig(label_scaling="none"),
)


@pytest.fixture(scope="module")
def classifier(weights):
    """The network of the other tests, its first output the log-odds."""
    head = {name: part[..., :1] for name, part in weights.params["head"].items()}
    plain = LabelScaler(np.zeros(1, np.float32), np.ones(1, np.float32))
    return weights._replace(params=weights.params | {"head": head}, config=CONFIG, label_scaler=plain)


@pytest.fixture
def run(classifier, tmp_path):
    """Its weights, in a file."""
    save_weights(tmp_path / "classes.safetensors", classifier, {"step": 1})
    return tmp_path / "classes.safetensors"


def test_a_prediction_is_the_probability_of_the_log_odds(classifier, weights):
    flux = stars(8).noisy
    found = predict(classifier, flux)
    odds = (predict(weights, flux).of("log_g") - 3.0) / 1.0  # as it comes out of the network
    np.testing.assert_allclose(found.of(NAME), scipy.special.expit(odds), rtol=1e-5)
    assert found.sigma is None


def test_no_probability_goes_by_the_name_of_the_label(classifier, run):
    flux = stars(3).noisy
    for found in (predict(classifier, flux), load(run).predict(flux)):
        assert found.label_names == (NAME,)
        with pytest.raises(UsageError, match=f"label must be one of {NAME}, found log_g"):
            found.of("log_g")
    assert load(run).label_names == outputs_of(run)[0] == (NAME,)
    with pytest.raises(UsageError, match=f"label must be one of {NAME}, found log_g"):
        input_gradient(classifier, flux, "log_g")


def test_the_table_of_labels_names_the_probability_and_knows_no_edge(run, two_line_grid, tmp_path, capsys):
    from crlb.files.spectra import write_spectra

    write_spectra(tmp_path / "stars.h5", stars(5))
    for end in ("ecsv", "fits"):
        out = tmp_path / f"t.{end}"
        cli.parse(["predict", str(run), str(tmp_path / "stars.h5"), "--out", str(out), "--rv", "0"])()
        found = Table.read(out)
        assert "log_g" not in found.colnames
        assert found[NAME].unit is None
        assert ((found[NAME] > 0) & (found[NAME] < 1)).all()
    assert "probability that log_g lies above 2.5 dex" in (tmp_path / "t.ecsv").read_text()


def test_a_probability_is_at_no_edge_of_the_labels_of_the_training(classifier, two_line_grid):
    network = TrainedNetwork(classifier)
    data = DataConfig(grid=str(two_line_grid), label_scaling="none")
    network.__dict__["training"] = (make_training_set(replace(CONFIG, data=data), 250), "")
    low = network.training[0].label_range[0]
    assert low == pytest.approx(1, abs=0.1)  # every probability would lie below the lowest label
    (table,) = network.label(_observed(3))
    assert not any("EDGE" in flags for flags in table.flags)


def _observed(n):
    from crlb.detector import DETECTOR_WAVE
    from crlb.files.observed import Observed, Origin

    made = stars(n)
    for flux, error in zip(made.noisy, made.error, strict=True):
        yield Observed(
            DETECTOR_WAVE, flux.astype(float), error.astype(float) ** -2.0, Origin("memory", "test")
        )


def test_an_evaluation_says_accuracy_and_honesty_of_the_stars_it_saves(run, files, tmp_path, capsys):
    json_path = tmp_path / "scores.json"
    cli.parse(["evaluate", str(run), "--data", str(files[1]), "--json", str(json_path)])()
    with (tmp_path / "scores.predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    above = np.array([float(row["log_g"]) for row in rows]) > 2.5
    p = np.array([float(row[NAME]) for row in rows])
    found = json.loads(json_path.read_text())
    assert "labels" not in found
    assert (found["label"], found["threshold"], found["n"]) == ("log_g", 2.5, N)
    assert found["overall"]["accuracy"] == pytest.approx(sklearn.accuracy_score(above, p > 0.5))
    assert found["overall"]["cross_entropy"] == pytest.approx(sklearn.log_loss(above, p), rel=1e-5)
    assert sum(row["n"] for row in found["reliability"]) == N
    assert ClassScores.from_json(found).to_json() == found
    said = capsys.readouterr().out
    assert "log_g above 2.5 dex" in said
    assert f"{found['overall']['accuracy']:.4f}" in said
    assert "Reliability: off by" in said


def test_labels_are_not_scored_as_probabilities():
    found = Predictions(("log_g",), np.linspace(1, 5, 50)[:, None])
    with pytest.raises(DataError, match="are these labels"):
        class_scores(np.linspace(1, 5, 50), found, np.full(50, 5.0), label="log_g", threshold=2.5)


def test_a_page_shows_no_probability_as_log_g(classifier, run):
    said: list[str] = []
    assert explorers({"giants": classifier}, said.append) == []
    assert said == [f"giants says {NAME}, not log_g: left out of the explorer"]
    found, why = trial("giants", classifier, run)
    assert found is None
    assert why == f"giants says {NAME}, a probability and no label; left out of Try it"
    assert described("giants", classifier)["label_names"] == [NAME]


@pytest.mark.slow
def test_the_exact_probability_is_that_of_the_exact_posterior(two_line_grid):
    simulator = make_simulator(two_line_grid, mag=(22.0, 23.0))
    seen = jax.tree.map(np.asarray, simulator.sample(jax.random.key(0), np.arange(12)))
    found = exact_probability(simulator, seen.flux, seen.mag, above=("log_g", 2.5))
    column = simulator.label_names.index("log_g")
    divided = np.tile([5000.0, 2.5], (12, 1))
    known = exact_posterior(simulator, seen.flux, seen.mag, divided)
    assert simulator.label_names == ("T_eff", "log_g")
    np.testing.assert_array_equal(found.probability > 0.5, known.quantiles[:, column, 1] > 2.5)
    np.testing.assert_allclose(found.probability, 1 - known.cumulative[:, column])
    assert 0.5 < found.accuracy < 1
    with pytest.raises(UsageError, match="value of log_g must lie within its prior, 1 to 5, found 7"):
        exact_probability(simulator, seen.flux, seen.mag, above=("log_g", 7.0))


def test_what_evaluates_a_label_network_is_unchanged(files):
    assert set(evaluate(files[0] / "weights" / "best.safetensors", files[1]).scores.labels) == {
        "log_g",
        "T_eff",
    }
