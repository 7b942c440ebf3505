"""What the arms of `distillation` differ in, and who learns from whom."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from experiments.distillation import experiment
from experiments.distillation.experiment import CHANGES, SIZES, STUDY, DistillationOptions, average, config_of
from experiments.distillation.result import DistillationResult
from experiments.study.beside_limit import LimitRun
from experiments.study.frame import Work
from experiments.study.running import report
from experiments.study.training import arm_part, base
from specvit_jax import Config, metrics, preset

NAMED = {change.name: change for change in CHANGES}


@pytest.fixture
def work(tmp_path, toy_grid):
    return Work(STUDY, DistillationOptions("cpu", toy_grid, out=tmp_path))


def changed(one: Config, other: Config) -> set[str]:
    """Settings in which two configurations differ."""
    sections = ((asdict(one)[name], asdict(other)[name]) for name in ("model", "train", "data"))
    return {key for a, b in sections for key in a if a[key] != b[key]}


def row_like(name: str, config: Config) -> LimitRun:
    """A row that was not measured."""
    scores: dict[str, Any] = dict.fromkeys(metrics.Metrics.__dataclass_fields__, 0.5)
    scores |= {"efficiency": 0.7, "efficiency_low": 0.6, "efficiency_high": 0.8, "n": 300}
    about: dict[str, Any] = {"arm": name, "seed": config.train.seed, "labels": {"log_g": 0.5}, "step_s": 0.1}
    spectra = config.train.steps * config.train.batch_size
    return LimitRun(**scores, **about, spectra=spectra, steps=config.train.steps)


def test_every_arm_changes_what_it_says_and_nothing_else(work, tmp_path):
    teacher = tmp_path / "teacher.safetensors"
    configs = {
        name: config_of(work, change, 2000, 42, teacher if change.taught else None)
        for name, change in NAMED.items()
    }
    first, noise, averaged, taught, finer, sigma, both = configs.values()
    assert changed(base("cpu", ["train.steps=2000", "train.batch_size=256"]), first) == {"patch_size"}
    assert changed(first, noise) == {"input_scaling", "components", "noise_component"}
    assert changed(noise, averaged) == {"ema"}
    assert changed(averaged, taught) == {"teacher"}
    assert changed(averaged, finer) == {"patch_size"}
    assert changed(averaged, sigma) == changed(taught, both) == {"loss", "predict_sigma"}


def test_the_last_arm_is_the_survey_network_taught_under_published_conditions(work, tmp_path):
    config = config_of(work, NAMED["teacher, sigma"], 6000, 42, tmp_path)
    own = {"teacher", "conditions", "components", "eval_every", "checkpoint_every", "log_every"}
    assert changed(config, preset("survey")) <= own


def test_the_teacher_is_the_preset_but_for_its_length(work):
    found = changed(experiment.teacher_config(work), preset("teacher"))
    assert found <= {"steps", "seed", "ema", "eval_every", "checkpoint_every", "log_every"}


@pytest.mark.parametrize("steps", [600, 2000, 6000, 20_000])
def test_the_average_forgets_the_start_alike_in_every_run(steps):
    assert np.log(average(steps) ** steps) == pytest.approx(-6, rel=0.01)
    assert average(6000) == preset("survey").train.ema


def test_the_teacher_comes_first_and_only_its_pupils_know_it(work, monkeypatch):
    asked = []

    def limit_run(work, name, config):
        asked.append((name, config))
        return row_like(name, config)

    monkeypatch.setattr(experiment, "limit_run", limit_run)
    monkeypatch.setattr(experiment, "find_weights", lambda folder: folder / "best")
    monkeypatch.setattr(experiment, "announce", lambda work, plan: None)
    monkeypatch.setattr(Work, "limit", 0.75)
    result = experiment.run(work)
    (name, config), *pupils = asked
    assert (name, config.model.network) == ("teacher", "mlp")
    assert len(pupils) == len(CHANGES) * len(SIZES["cpu"].steps) == len(result.rows)
    for name, config in pupils:
        assert (config.train.teacher is not None) == ("teacher" in name)
    assert len({name for name, _ in asked}) == len(asked)
    table = result.table()
    assert table.count(f"+ {result.teacher.spectra:,} |") == 4
    assert DistillationResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert result.plot().axes[0].has_data()


def test_a_pupil_is_trained_again_where_its_teacher_is_another(work, tmp_path):
    path, calls = tmp_path / "teacher.safetensors", []
    config = config_of(work, NAMED["+ teacher"], 600, 42, path)

    def compute() -> float:
        calls.append(path.read_text())
        return 1.0

    for text in ("one", "one", "two"):
        path.write_text(text)
        arm_part(work, "pupil", config, float, compute)
    assert calls == ["one", "two"]
    plain = replace(config, train=replace(config.train, teacher=None))
    arm_part(work, "plain", plain, float, lambda: 1.0)  # nobody's pupil


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_at_smoke_size(tmp_path, toy_grid):
    report(STUDY, DistillationOptions("smoke", toy_grid, out=tmp_path))
    result = DistillationResult.from_json(json.loads((tmp_path / "results.json").read_text()))
    assert [row.change for row in result.rows] == list(NAMED)
    assert all((row.cover_68 is not None) == ("sigma" in row.change) for row in result.rows)
