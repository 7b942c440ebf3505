"""The main job: both figures under one clock, with the speed of the machine; its lines fit a screen."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.main_figure import job, timing
from experiments.main_figure.__main__ import MainFigure, run
from experiments.r2_vs_snr.options import FigureOptions
from experiments.r2_vs_snr.result import FigureResult
from experiments.study.clock import Spent
from experiments.study.frame import Work
from experiments.survey.options import SurveyOptions
from experiments.survey.result import SurveyResult
from tests.experiments.study.test_frame import check_left

ROOT = Path(__file__).resolve().parents[2]


def test_the_yardstick_is_the_time_of_one_product(monkeypatch):
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0, 24.0, 30.0, 33.0, 40.0, 49.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    found = timing.measure(side=64)
    assert found.seconds == 2.0  # the fastest of the tries
    assert found.gflops == pytest.approx(2 * 64**3 / 2.0 / 1e9)


def test_a_faster_machine_has_a_smaller_yardstick_for_smaller_matrices():
    assert timing.measure(side=32).seconds < timing.measure(side=512).seconds


def test_studies_get_the_options_that_they_share_with_the_job():
    asked = MainFigure(preset="smoke", train=True, recompute_limit=True, grid=Path("g.h5"))
    study = job.study_of("r2_vs_snr")
    assert job.options_of(study, asked, Path("o/r")) == FigureOptions(
        preset="smoke", grid=Path("g.h5"), out=Path("o/r"), train=True, recompute_limit=True
    )
    assert job.options_of(job.study_of("survey"), MainFigure(), Path("o")) == SurveyOptions(out=Path("o"))


def test_what_is_printed_fits_eighty_columns():
    rule = timing.Yardstick(side=2048, seconds=0.123)
    studies = {name: Spent(seconds) for name, seconds in (("r2_vs_snr", 221.0), ("survey", 41.0))}
    machine = replace(timing.machine(), processor="A processor with a name of forty letters")
    told = timing.Timing(seconds=301.4, before=12.0, studies=studies, yardstick=rule, machine=machine).words()
    assert told.startswith("time: 0:05:01; installation 0:00:12; r2_vs_snr 0:03:41")
    for name, kind in (("docs/r2_vs_snr.json", FigureResult), ("results/survey/results.json", SurveyResult)):
        told += "\n" + kind.from_json(json.loads((ROOT / name).read_text())).shown()
    assert max(map(len, told.splitlines())) <= 80
    assert "\x1b" not in told


def test_tables_for_the_screen_have_the_numbers_of_the_result():
    figure = FigureResult.from_json(json.loads((ROOT / "docs/r2_vs_snr.json").read_text()))
    lines = figure.shown().splitlines()
    (ridge,) = (line.split()[1:] for line in lines if line.startswith(" Ridge"))
    found = figure.estimators["Ridge"]
    assert ridge == [f"{row.r2:.3f}" for row in (*(one for one in found.by_snr if one.n), found.overall)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_job_at_smoke_size(tmp_path, capsys):
    run(MainFigure(out=tmp_path, preset="smoke", begun=round(time.time()) - 100))
    said, told = capsys.readouterr()
    found = timing.Timing.from_json(json.loads((tmp_path / "figure_time.json").read_text()))
    assert 98 < found.before < 110
    assert found.seconds > found.before + sum(one.seconds for one in found.studies.values())
    assert list(found.studies) == ["r2_vs_snr", "survey"]
    for name in found.studies:
        check_left(job.study_of(name), tmp_path / name)
        result = json.loads((tmp_path / name / "results.json").read_text())
        assert re.fullmatch(r"read from \w+/posterior\.npz", result["limit_from"])
    steps = [line for line in told.splitlines() if re.match(r"\[\d:\d\d:\d\d\] ", line)]
    assert "Ridge learns from 1,200 spectra" in " ".join(steps)
    paths = said.splitlines()[-12:]
    assert all(Path(path).is_file() for path in paths)
    assert paths[-1] == str(tmp_path / "figure_time.json")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_limit_recomputed_is_that_which_is_shipped(tmp_path):
    study = job.study_of("r2_vs_snr")
    options = FigureOptions("smoke", out=tmp_path, recompute_limit=True)
    work = Work(study, options)
    found = work.some_posteriors(40)
    assert work.limit_from == "computed with this result"
    assert (tmp_path / "posterior.npz").is_file()
    shipped = Work(study, replace(options, recompute_limit=False, out=tmp_path / "b"))
    known = shipped.some_posteriors(40)[: len(found)]
    assert shipped.limit_from == "read from accuracy/posterior.npz"
    # Other points, and either may be off by some per cent of sigma.
    assert np.abs((found - known)[..., 0] / known[..., 1]).max() < 0.15
    np.testing.assert_allclose(found[..., 1], known[..., 1], rtol=0.15)
