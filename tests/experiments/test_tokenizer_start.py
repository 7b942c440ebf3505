"""Token strengths against their closed form; every start is trained and written."""

import json

import pytest

from experiments.study.running import report
from experiments.tokenizer_start.experiment import STUDY, StartOptions

pytestmark = pytest.mark.slow  # five compilations


@pytest.fixture(scope="module")
def results(toy_grid, tmp_path_factory):
    options = StartOptions(
        steps=2,
        depth=1,
        average=32,
        n_train=512,
        n_test=256,
        evaluations=2,
        grid=toy_grid,
        out=tmp_path_factory.mktemp("out") / "start",
    )
    report(STUDY, options)
    return options, json.loads((options.out / "results.json").read_text())


def test_token_strengths_follow_the_closed_form(results):
    conv, linear, _, scaled_conv, scaled_linear = results[1]["tokens"]
    assert conv["rms"] / linear["rms"] == pytest.approx((1 / 48**0.5) / 0.02, rel=0.05)
    assert conv["rms_closed"] == pytest.approx(0.577, abs=1e-3)
    assert linear["rms_closed"] == pytest.approx(0.08)
    assert scaled_conv["rms"] == scaled_linear["rms"]
    for row in results[1]["tokens"]:
        assert row["rms"] == pytest.approx(row["pixel_rms"] * row["rms_closed"], rel=0.1)
        share = row["rms"] ** 2 / (row["rms"] ** 2 + row["position_rms"] ** 2)
        assert row["share"] == pytest.approx(share)


def test_every_start_is_trained_and_equal_ones_once(results):
    options, numbers = results
    assert [row["same_as"] for row in numbers["training"]] == [None] * 4 + [numbers["training"][3]["name"]]
    assert numbers["training"][3]["curve"] == numbers["training"][4]["curve"]
    for row in numbers["training"]:
        assert [point["step"] for point in row["curve"]] == [1, options.steps]
        assert set(row["curve"][0]) == {"step", "loss", "r2"}
    losses = [row["curve"][0]["loss"] for row in numbers["training"]]
    assert len(set(losses)) == 4


def test_results_say_how_they_were_made(results):
    options, numbers = results
    keys = {"experiment", "title", "preset", "label", "network", "tokens", "training", "test", "provenance"}
    assert keys <= set(numbers)
    assert {"versions", "date", "device", "seeds", "command"} <= set(numbers["provenance"])
    lines = (options.out / "table.md").read_text().splitlines()
    assert sum(line.startswith("| conv") or line.startswith("| linear") for line in lines) == 10
