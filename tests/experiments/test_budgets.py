"""Equal budgets: who differs in what, how a learning rate is found, what the test stars must not decide."""

import json
from dataclasses import asdict
from typing import Any

import jax
import numpy as np
import pytest

from experiments.budgets import experiment
from experiments.budgets.experiment import NETWORKS, RATES, SIZES, STUDY, beyond, chosen, config_of, tune
from experiments.budgets.result import BudgetRow, BudgetsResult
from experiments.study.frame import Work
from experiments.study.options import Options
from experiments.study.running import report
from specvit_jax import load_weights, metrics
from specvit_jax.network.standardise import fit_input_scaler
from specvit_jax.spectra.source import make_simulator

LARGE = SIZES["cpu"].budgets[1]


@pytest.fixture
def work(tmp_path, toy_grid):
    return Work(STUDY, Options("cpu", toy_grid, out=tmp_path))


def row_like(method: str, n: int, rate: float | None, seed: int, validation: float = 0.5) -> BudgetRow:
    """A row that was not measured; its R2 of the test stars falls where that of validation rises."""
    scores: dict[str, Any] = dict.fromkeys(metrics.Metrics.__dataclass_fields__, 0.5)
    scores |= {"r2": -validation, "efficiency": 0.7, "efficiency_low": 0.6, "efficiency_high": 0.8, "n": 300}
    about: dict[str, Any] = {"arm": f"{method} {n} {rate}", "labels": {"log_g": 0.5}, "seed": seed}
    return BudgetRow(**scores, **about, spectra=n, method=method, rate=rate, validation=validation)


@pytest.fixture
def trained(monkeypatch):
    """What a study asks to be trained; validation R2 is best at a rate of `best`."""
    asked, best = [], {"rate": 0.005}

    def trained_on(work, method, n, rate, seed):
        asked.append((method, n, rate, seed))
        return row_like(method, n, rate, seed, 1 - np.log(rate / best["rate"]) ** 2)

    monkeypatch.setattr(experiment, "trained_on", trained_on)
    return asked, best


def test_networks_share_all_but_themselves_and_their_rate(work):
    found = [asdict(config_of(work, method, LARGE, 0.005, 43)) for method in NETWORKS]
    assert all(config["train"] == found[0]["train"] for config in found)
    assert found[0]["train"]["steps"] * found[0]["train"]["batch_size"] == LARGE
    assert found[0]["train"]["optimizer"] == "muon"
    for config in found:
        own = {"preprocess": config["data"]["preprocess"]}
        assert config["data"] == found[0]["data"] | own
        assert config["model"]["dropout"] == 0
        assert config["model"]["label_names"] == found[0]["model"]["label_names"]


def test_whitened_pixels_hold_the_components_one_to_one(work, toy_grid):
    batch = jax.jit(type(work.simulator).sample)(make_simulator(toy_grid), jax.random.key(0), np.arange(120))
    arrays = [np.asarray(array) for array in (batch.flux, batch.clean, batch.error)]
    pixels, components = (
        fit_input_scaler(*arrays, config_of(work, method, LARGE, 0.005, 42).data) for method in ("CNN", "MLP")
    )
    x, y = (np.asarray(scaler.encode(arrays[0])) for scaler in (pixels, components))
    assert (x.shape, y.shape) == ((120, 4096), (120, 41))
    assert np.linalg.matrix_rank(np.vstack([pixels.synthesis, np.ones(4096)])) == 41
    back = x @ np.linalg.pinv(np.vstack([pixels.synthesis, np.ones(4096)]))
    np.testing.assert_allclose(back, y, atol=2e-3)


@pytest.mark.parametrize(
    ("best", "rates"),
    [
        (0.005, [0.0017, 0.005, 0.015]),
        (0.015, [0.0017, 0.005, 0.015, 0.045]),
        (0.0005, [0.00019, 0.00057, 0.0017, 0.005, 0.015]),
        (0.00001, [0.00019, 0.00057, 0.0017, 0.005, 0.015]),
    ],
)
def test_rates_go_on_until_the_best_one_is_between_others(work, trained, best, rates):
    trained[1]["rate"] = best
    assert [row.rate for row in tune(work, "SpecViT")] == rates
    assert {(n, seed) for _, n, _, seed in trained[0]} == {(76_800, 42)}


def test_a_rate_beyond_an_end_and_none_beyond_the_middle():
    assert beyond([0.1, 0.3, 0.9], 0.9) == 2.7
    assert beyond([0.1, 0.3, 0.9], 0.1) == 0.033
    assert beyond([0.1, 0.3, 0.9], 0.3) is None


def test_validation_alone_chooses_the_rate():
    rows = [row_like("MLP", 100, rate, 42, validation) for rate, validation in ((0.1, 0.2), (0.3, 0.6))]
    assert rows[0].r2 > rows[1].r2
    assert chosen(rows).rate == 0.3


def test_every_network_gets_every_budget_with_every_seed(work, trained, monkeypatch):
    fits = lambda work, n, seed, rate: experiment.Fits(  # noqa: E731
        rows=(row_like("Ridge", n, None, seed),), missing=("no trees",)
    )
    monkeypatch.setattr(experiment, "fits_of", fits)
    monkeypatch.setattr(experiment, "announce", lambda work, plan: None)
    monkeypatch.setattr(experiment, "keep_weights", lambda work, rates: None)
    monkeypatch.setattr(Work, "limit", 0.75)
    result = experiment.run(work)
    runs = [run for run in result.runs if run.method in NETWORKS]
    assert len(runs) == len({(run.method, run.spectra, run.seed) for run in runs}) == 3 * 2 * 3
    assert {run.rate for run in runs} == {0.005}
    assert {row.seeds for row in result.rows if row.method in NETWORKS} == {3}
    assert {row.spectra: row.seeds for row in result.rows if row.method == "Ridge"} == {
        20_000: 3, 76_800: 3, 768_000: 1
    }  # fmt: skip
    assert [row.spectra for row in result.rows if row.method == "Ridge"] == list(SIZES["cpu"].fitted)
    assert result.table().count("| SpecViT |") == 2 + len(RATES["SpecViT"])
    assert "Left out: no trees" in result.table()
    assert BudgetsResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert result.plot().axes[0].has_data()


def test_the_plan_counts_every_step(work):
    plan = {one.name: one.steps for one in experiment.planned(work)}
    assert plan == dict.fromkeys(NETWORKS, 300 * (3 + 2) + 3000 * 3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_at_smoke_size(tmp_path, toy_grid):
    report(STUDY, Options("smoke", toy_grid, out=tmp_path))
    result = BudgetsResult.from_json(json.loads((tmp_path / "results.json").read_text()))
    assert {(row.method, row.spectra) for row in result.rows} >= {("SpecViT", 384), ("Ridge", 600)}
    assert len(result.tuning) == 9
    kept = {path.stem: load_weights(path).config for path in (tmp_path / "weights").iterdir()}
    assert {name: config.model.network for name, config in kept.items()} == {
        "specvit": "vit", "mlp": "mlp", "cnn": "cnn"
    }  # fmt: skip
    assert {config.train.steps * config.train.batch_size for config in kept.values()} == {384}
