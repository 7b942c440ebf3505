"""The original's recipe: its settings, what its runs differ in, how a run's steps and weights are told."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.original_recipe import experiment
from experiments.original_recipe.experiment import SIZES, STUDY, by_recipe, by_steps, compared, linear, recipe
from experiments.original_recipe.result import Point, Row, Training, epochs_of, listed
from experiments.study.frame import Work
from experiments.study.options import Options
from specvit_jax import metrics
from specvit_jax.settings.presets import PAPER
from specvit_jax.training.optimizer import learning_rate

CPU = SIZES["cpu"]


@pytest.fixture
def asked(monkeypatch):
    """Settings of the runs that a study asks for; none is trained."""
    found = []

    def training(work, mode, n, config):
        found.append((mode, n, config))

    monkeypatch.setattr(experiment, "training", training)
    return found


@pytest.fixture
def work(tmp_path, toy_grid):
    return Work(STUDY, Options("cpu", toy_grid, out=tmp_path))


def test_the_published_size_is_the_published_run():
    config = recipe(SIZES["gpu"], 1_000_000, 42)
    assert config.model == PAPER.model
    assert replace(config.train, steps=PAPER.train.steps, warmup=PAPER.train.warmup) == replace(
        PAPER.train, eval_every=3906, checkpoint_every=3906
    )
    assert config.train.steps == 200 * (1_000_000 // 256)


def test_the_reduced_recipe_changes_the_network_and_the_length_only():
    config, size = recipe(CPU, 20_000, 43), {"patch_size", "embed_dim", "depth", "num_heads", "hidden"}
    kept = {key: value for key, value in vars(PAPER.model).items() if key not in size}
    assert kept == {key: vars(config.model)[key] for key in kept}
    own = {"steps", "batch_size", "eval_every", "checkpoint_every", "log_every", "warmup", "seed"}
    kept = {key: value for key, value in vars(PAPER.train).items() if key not in own}
    assert kept == {key: vars(config.train)[key] for key in kept}
    assert config.data.preprocess == "none"


def test_the_rate_is_half_a_cosine_from_the_first_step():
    train = recipe(CPU, 5_000, 42).train
    rate, half = learning_rate(train), (3e-4 + 1e-5) / 2
    np.testing.assert_allclose([rate(0), rate(train.steps)], [3e-4, 1e-5], rtol=1e-5)
    quarter = half + (3e-4 - half) * math.cos(math.pi / 4)
    np.testing.assert_allclose(rate(train.steps // 4), quarter, rtol=1e-4)


def test_steps_follow_from_epochs_in_one_mode_and_from_a_larger_set_in_the_other(work, asked):
    for n in CPU.n:
        by_recipe(work, n)
        by_steps(work, n, 20_000)
    most = CPU.epochs * (20_000 // 64)
    for n, (first, second) in zip(CPU.n, zip(asked[::2], asked[1::2], strict=True), strict=True):
        assert (first[:2], second[:2]) == (("recipe", n), ("steps of 20,000", n))
        assert first[2].train.steps == CPU.epochs * (n // 64)
        assert first[2].train.eval_every == n // 64
        assert first[2].train.early_stopping == CPU.patience
        assert second[2].train.steps == most
        assert second[2].train.early_stopping is None
        times = {key: getattr(first[2].train, key) for key in ("steps", "eval_every", "checkpoint_every")}
        times |= {"log_every": first[2].train.log_every, "early_stopping": CPU.patience}
        assert replace(second[2], train=replace(second[2].train, **times)) == first[2]


def test_without_stopping_nothing_else_changes(work, asked):
    by_recipe(work, 5_000)
    experiment.by_epochs(work, 5_000)
    first, second = (config for _, _, config in asked)
    assert second == replace(first, train=replace(first.train, early_stopping=None))


def test_whitening_is_all_that_differs_beside_the_network(work, asked):
    list(compared(work))
    by_recipe(work, CPU.compared)
    whitened, mlp, whitened_mlp, plain = (config for _, _, config in asked)
    data = {"preprocess": "zca", "components": experiment.COMPONENTS}
    assert whitened == replace(plain, data=replace(plain.data, **data))
    assert whitened_mlp == replace(mlp, data=replace(mlp.data, **data))
    assert mlp == replace(plain, model=replace(plain.model, network="mlp"))


def run_of(seed: int, steps: int) -> Training:
    scores: dict[str, Any] = dict.fromkeys(metrics.Metrics.__dataclass_fields__, 0.5)
    row = Row(
        arm="a", method="SpecViT", whitened=False, n=1000, mode="recipe", seed=seed, schedule=300,
        steps=steps, batch=64, **scores,
    )  # fmt: skip
    return Training(row, row, (Point(step=steps, r2=0.5),))


def test_epochs_and_steps_of_runs_are_told_once_where_they_agree():
    runs = [run_of(seed, steps) for seed, steps in ((42, 150), (43, 150), (44, 300))]
    assert [epochs_of(run) for run in runs] == [10, 10, 20]
    assert listed(runs, lambda run: str(run.last.steps)) == "150, 300"


def test_points_are_the_scored_steps_of_a_run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 5, "loss": 1}\n{"step": 5, "val_r2": 0.25, "val_r2_log_g": 0}\n'
    )
    assert experiment.points(tmp_path) == (Point(step=5, r2=0.25),)


@pytest.mark.slow
def test_whitened_components_have_unit_covariance(tmp_path, toy_grid):
    work = Work(STUDY, Options("smoke", toy_grid, out=tmp_path))
    source = experiment.finite_set(work.simulator, 300, 42)
    scaler = experiment.whitening(source, 300)
    flux, _ = map(np.concatenate, zip(*experiment.chunks_of(source, 0, 300, 1), strict=True))
    ((read, _),) = experiment.read([(flux, flux[:, :1])], scaler)
    assert read.shape == (300, experiment.COMPONENTS)
    np.testing.assert_allclose(read[:, 0].std(), 1, atol=0.02)
    assert linear(work, whitened=True).r2 > 0
