"""Every setting is told with unit, kind and meaning; `specvit settings` finds it."""

import json
from dataclasses import fields

import pytest

from crlb.errors import UsageError
from specvit_jax import cli
from specvit_jax.settings.config import DataConfig, ModelConfig, TrainConfig
from specvit_jax.settings.config_file import override
from specvit_jax.settings.described import described, shown
from specvit_jax.settings.presets import PRESETS, preset


def test_every_setting_has_a_meaning():
    names = [
        f"{section}.{one.name}"
        for section, kind in (("model", ModelConfig), ("train", TrainConfig), ("data", DataConfig))
        for one in fields(kind)
    ]
    found = described(preset("paper"))
    assert [one.name for one in found] == names
    assert [one.name for one in found if not (one.meaning.endswith(".") and one.kind)] == []


@pytest.mark.parametrize("name", PRESETS)
def test_values_are_those_that_set_takes(name):
    config = preset(name)
    told = [f"{one.name}={shown(one.value)}" for one in described(config)]
    assert override(config, told) == config


def test_units_stand_beside_the_value():
    found = {one.name: one for one in described(preset("tiny"))}
    assert found["data.exptime_s"].text().startswith("data.exptime_s = 900.0 s\n    Length of one exposure.")
    assert found["model.wave_range"].unit == "Å"
    assert (found["train.teacher"].unit, found["train.teacher"].kind) == ("", "str or null")
    assert found["model.pool"].kind == "cls, mean, attention, flat"


def test_the_command_finds_a_section_or_a_part_of_a_name(capsys):
    cli.parse(["settings", "train", "--preset", "tiny"])()
    said = capsys.readouterr().out
    assert "train.optimizer = muon" in said
    assert "data." not in said
    cli.parse(["settings", "exptime", "--json"])()
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["data.exptime_s"]
    with pytest.raises(UsageError, match="did you mean learning_rate"):
        cli.parse(["settings", "lerning_rate"])()
