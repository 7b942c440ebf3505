"""Conditions by name and from files."""

import math

import pytest

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.observation.condition_file import find_conditions, name_of, parse_conditions
from crlb.observation.conditions import PUBLISHED, SURVEY, Conditions


def test_presets_are_found_by_name_and_named():
    assert find_conditions("published") is PUBLISHED
    assert find_conditions("survey") is SURVEY
    assert [name_of(one) for one in (PUBLISHED, SURVEY, Conditions(lost=0.1))] == [
        "published",
        "survey",
        "own",
    ]


def test_a_file_says_what_is_unknown_and_the_rest_is_known(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("scale: .inf\ncontinuum: 2\ncontinuum_sigma: 1e-1\nseeing_arcsec: [0.5, 1.5]\n")
    assert find_conditions(path) == Conditions(
        scale=math.inf, continuum=2, continuum_sigma=0.1, seeing_arcsec=(0.5, 1.5)
    )


def test_conditions_survive_json():
    assert Conditions.from_json(SURVEY.to_json()) == SURVEY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("velocity: 10", "found velocity"),
        ("- 1", "needed a mapping"),
        ("", "needed a mapping"),
        ("scale: yes", "scale: needed a number, found True"),
        ("continuum: 1.5", "continuum: needed a whole number"),
        ("continuum: .inf", "continuum: needed a whole number"),
        ("seeing_arcsec: 0.8", "seeing_arcsec: needed two numbers or null"),
        ("n_exp: [4, 7.5]", "n_exp: needed a whole number, found 7.5"),
        ("scale: [", "must be YAML"),
    ],
)
def test_what_is_not_conditions_is_refused_by_name(text, words):
    with pytest.raises(DataError, match=words):
        parse_conditions(text)


def test_neither_preset_nor_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="published, survey or a YAML file"):
        find_conditions("surveys")
    with pytest.raises(MissingInputError, match="cannot read conditions"):
        find_conditions(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("lost: 2")
    with pytest.raises(DataError, match="lost must be a fraction"):
        find_conditions(bad)
