"""The main job from end to end on a toy grid: simulate, bound, train, fit, score, draw."""

import json
from dataclasses import replace

import numpy as np
import pytest

from crlb.errors import MissingInputError, OutputError
from experiments.baselines.store import load
from experiments.r2_vs_snr import experiment as r2_vs_snr
from experiments.r2_vs_snr import methods
from experiments.r2_vs_snr.experiment import STUDY
from experiments.r2_vs_snr.methods import FigureOptions
from experiments.study import training
from experiments.study.frame import Work
from experiments.study.running import report
from specvit_jax import load_weights
from specvit_jax.network.find import shipped_weights


def whole(test):
    """A test of the whole figure, which is computed once, by one worker, in some minutes."""
    for mark in (pytest.mark.slow, pytest.mark.timeout(900)):
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def results(toy_grid, tmp_path_factory):
    options = FigureOptions(
        grid=toy_grid,
        mag=(18.0, 21.0),
        steps=12,
        n_test=400,
        n_fit=1200,
        n_bayes=30,
        n_posterior=60,
        out=tmp_path_factory.mktemp("out") / "figure",
    )
    report(STUDY, options)
    return options, json.loads((options.out / "results.json").read_text())


OTHERS = {"SpecViT": "specvit", "Ridge": "ridge", "LightGBM": "lightgbm", "Template fit": "template_fit"}
METHODS = {"SpecViT", "Template fit", "CNN", "MLP", "LightGBM", "Ridge"}


@whole
def test_figure_and_numbers_are_written(results):
    options, _ = results
    lines = (options.out / "table.md").read_text().splitlines()
    assert len(lines) == 2 + 1 + len(METHODS)
    assert (options.out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (options.out / "figure.pdf").read_bytes().startswith(b"%PDF")


@whole
def test_every_estimator_is_scored_on_every_test_spectrum(results):
    options, numbers = results
    assert set(numbers["estimators"]) == METHODS
    for estimator in numbers["estimators"].values():
        inside = sum(row["n"] for row in estimator["by_snr"])
        assert estimator["overall"]["n"] == options.n_test >= inside > 0
        assert sum(row["n"] for row in estimator["by_type"]) == options.n_test


@whole
def test_ridge_reads_the_toy_gravity_and_gets_better_with_snr(results):
    rows = [row for row in results[1]["estimators"]["Ridge"]["by_snr"] if row["r2"] is not None]
    assert rows[-1]["r2"] > 0.8
    assert rows[-1]["r2"] > rows[0]["r2"]


@whole
def test_template_fit_reads_bright_stars_at_the_limit(results):
    """At SNR 20 and more the toy grid leaves no room between the maximum of the likelihood and its mean."""
    rows = [row for row in results[1]["estimators"]["Template fit"]["by_snr"] if row["r2"] is not None]
    assert rows[-1]["r2"] > 0.98


def test_efficiency_is_r2_over_that_of_the_posterior_of_the_same_stars():
    rng = np.random.default_rng(1)
    mean = 0.8 * rng.normal(size=6000)
    truth, snr = mean + 0.6 * rng.normal(size=mean.size), np.full(mean.size, 5.0)
    exact = np.stack([mean, np.full(mean.size, 0.6)], axis=-1)
    (best,) = r2_vs_snr.efficiencies(truth, exact, snr, mean)
    assert best.r2_bayes == pytest.approx(0.64, abs=0.02)
    assert best.efficiency == pytest.approx(1, abs=0.02)
    assert best.efficiency_low < 1 < best.efficiency_high
    (worse,) = r2_vs_snr.efficiencies(truth, exact, snr, 0.5 * mean)
    assert worse.efficiency == pytest.approx((1 - 0.52) / 0.64, abs=0.03)
    assert r2_vs_snr.efficiencies(truth[:5], exact[:5], snr[:5]) == ()


@whole
def test_the_fitted_regressions_are_kept(results):
    for name in ("ridge", "lightgbm"):
        stored = load(results[0].out / f"{name}.npz")
        assert stored.label_names == ("log_g",)


def test_a_method_whose_package_is_missing_is_absent_and_says_so(toy_grid, tmp_path, monkeypatch):
    def missing(self, train, validation):
        raise MissingInputError("no lightgbm")

    monkeypatch.setattr(methods.LightGBM, "fit", missing)
    monkeypatch.setattr(methods.Ridge, "fit", lambda *_: None)
    for name in ("weights_of", "network", "regression"):
        monkeypatch.setattr(methods, name, lambda *_: None)
    monkeypatch.setattr(methods, "components", lambda _: np.zeros((4096, 3)))
    asked = FigureOptions(grid=toy_grid, mag=(18.0, 21.0), n_fit=200, out=tmp_path)
    found, absent = methods.methods(Work(STUDY, asked))
    assert set(found) == METHODS - {"LightGBM"}
    assert absent == {"LightGBM": "no lightgbm"}


def test_shipped_networks_are_of_equal_budget_and_tiny_is_named_apart(tmp_path):
    work = Work(STUDY, FigureOptions(out=tmp_path))
    paths = [methods.weights_of(work, name) for name in methods.NETWORKS]
    configs = [load_weights(path).config for path in paths]
    assert [config.model.network for config in configs] == ["vit", "mlp", "cnn"]
    assert {config.train.steps * config.train.batch_size for config in configs} == {768_000}
    assert {config.train.teacher for config in configs} == {None}
    assert load_weights(shipped_weights("tiny")).config.train.teacher
    assert not methods.trains(work)


@pytest.mark.parametrize("options", [{"train": True}, {"grid": "toy"}])
def test_networks_of_a_grid_or_noise_of_ones_own_are_trained_like_the_shipped_ones(
    toy_grid, tmp_path, monkeypatch, options
):
    asked = FigureOptions(
        out=tmp_path, steps=8, **(options | ({"grid": toy_grid} if "grid" in options else {}))
    )
    work, configs = Work(STUDY, asked), []
    monkeypatch.setattr(training, "trained", lambda config, *_: configs.append(config))
    for name in methods.NETWORKS:
        methods.weights_of(work, name)
    shipped = [
        load_weights(methods.EQUAL_BUDGET / f"{name.lower()}.safetensors").config for name in methods.NETWORKS
    ]
    assert [config.model for config in configs] == [config.model for config in shipped]
    assert {config.train.steps for config in configs} == {8}
    assert [config.train.learning_rate for config in configs] == [c.train.learning_rate for c in shipped]


@whole
def test_bound_falls_and_r2_max_rises_with_snr(results):
    bins = results[1]["ceiling"]["bins"]
    assert [row["mag"] for row in bins] == list(r2_vs_snr.MAGNITUDES)
    assert np.all(np.diff([row["snr_median"] for row in bins]) < 0)
    assert np.all(np.diff([row["bound"]["median"] for row in bins]) > 0)


@whole
def test_no_seed_serves_two_purposes(results):
    seeds = [*results[1]["provenance"]["seeds"].values()]
    assert len(set(seeds)) == len(seeds)


@whole
def test_a_second_run_of_the_same_set_up_reuses_its_training(results, monkeypatch):
    options, numbers = results
    before = (options.out / "specvit" / "metrics.jsonl").read_text()
    report(STUDY, options)
    again = json.loads((options.out / "results.json").read_text())
    assert (options.out / "specvit" / "metrics.jsonl").read_text() == before
    assert again["estimators"] == numbers["estimators"]


@whole
def test_a_folder_of_something_else_is_left_alone(results, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear reader")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        report(STUDY, replace(results[0], out=tmp_path))


def test_published_lines_are_the_published_numbers(reference):
    published = json.loads((reference / "published.json").read_text())
    curves = r2_vs_snr.PUBLISHED.curves
    assert list(curves["Cramer-Rao"].snr) == published["snr_table"]["snr"]
    assert list(curves["Cramer-Rao"].r2) == published["fisher_3d"]["r2_max_median"]
    edges = np.array(published["r2_by_snr"]["bin_edges"])
    centres = (edges[1:] + edges[:-1]) / 2 / 1.18
    for ours, theirs in tuple(OTHERS.items()):
        np.testing.assert_allclose(curves[ours].snr, centres, atol=0.006)
        assert list(curves[ours].r2) == published["r2_by_snr"][theirs]
