"""Presets, YAML and settings."""

import dataclasses
import typing

import pytest

from crlb.errors import ConfigError, UsageError
from specvit_jax.settings.config import ModelConfig
from specvit_jax.settings.config_file import from_yaml, override, to_yaml
from specvit_jax.settings.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_gives_back_every_setting(name):
    config = preset(name)
    assert from_yaml(to_yaml(config)) == config


@pytest.mark.parametrize("written", ["inf", ".inf", "+.Inf"])
def test_infinity_is_read_as_yaml_and_python_write_it(written):
    config = override(preset("tiny"), [f"train.clip_norm={written}"])
    assert config.train.clip_norm == float("inf")
    assert from_yaml(to_yaml(config)) == config
    with pytest.raises(ConfigError, match=r"train\.clip_norm must be a number from 0 to inf"):
        override(preset("tiny"), ["train.clip_norm=-.inf"])


# Settings whose other values need company, and what is of a type that says nothing about its values.
COMPANY = {
    "train.loss": ["train.loss=nll", "model.predict_sigma=true"],
    "model.predict_sigma": ["train.loss=nll", "model.predict_sigma=true"],
    "model.threshold": ["model.threshold=2.5", "train.loss=cross_entropy", "data.label_scaling=none"],
    "data.preprocess": ["data.preprocess=pca", "model.input_size=64"],
    "data.noise_component": ["data.noise_component=true", "data.preprocess=zca"],
    "data.components": ["data.components=32"],
    "train.freeze_input": ["train.freeze_input=9", "model.input_layer=zca"],
    "train.freeze_input_epochs": ["train.freeze_input_epochs=2", "train.epochs=5", "model.input_layer=zca"],
    "model.num_heads": ["model.num_heads=4"],
    "model.wave_range": ["model.wave_range=8000,8860.5"],
    "data.mag": ["data.mag=18,20.25"],
    "data.snr": ["data.snr=10,100.5"],
    "data.population_mag": ["data.population_mag=true", "data.population=stars.csv"],
    "data.population_outside": ["data.population_outside=drop", "data.population=stars.csv"],
}


def other_value(name: str, value: object, hint: object) -> list[str]:
    """Settings that give a field another value than its default."""
    if name in COMPANY:
        return COMPANY[name]
    if typing.get_origin(hint) is typing.Literal:
        return [f"{name}={next(choice for choice in typing.get_args(hint) if choice != value)}"]
    if isinstance(value, bool):
        return [f"{name}={not value}".lower()]
    if name == "data.seeing_arcsec":  # half of it is not tabulated
        return [f"{name}=1.2"]
    if isinstance(value, int | float):
        return [f"{name}={value // 2 or 2 if isinstance(value, int) else value / 2 or 1e-5}"]
    if typing.get_args(hint) == (int, ...):
        return [f"{name}=8,4"]
    if isinstance(value, tuple):
        return [
            f"{name}=T_eff=4000:5000,M_H=-1:0"
            if name in ("data.ranges", "data.beta")
            else f"{name}=M_H,T_eff"
        ]
    return [f"{name}=7"]  # a path, or a number that is optional


FIELDS = [
    f"{section}.{field.name}"
    for section in ("model", "train", "data")
    for field in dataclasses.fields(getattr(preset("paper"), section))
]


@pytest.mark.parametrize("name", FIELDS)
def test_yaml_gives_back_every_field(name):
    section, _, key = name.partition(".")
    default = getattr(preset("paper"), section)
    hint = typing.get_type_hints(type(default))[key]
    config = override(preset("paper"), other_value(name, getattr(default, key), hint))
    assert getattr(getattr(config, section), key) != getattr(default, key)
    assert from_yaml(to_yaml(config)) == config
    assert repr(from_yaml(to_yaml(config))) == repr(config)  # the types as well: 7 is no 7.0


def test_every_setting_is_written_out():
    text = to_yaml(preset("tiny"))
    for section in ("model", "train", "data"):
        for field in dataclasses.fields(getattr(preset("tiny"), section)):
            assert f"  {field.name}:" in text


@pytest.mark.parametrize(
    ("setting", "section", "key", "value"),
    [
        ("train.learning_rate=1e-4", "train", "learning_rate", 1e-4),
        ("train.steps=010", "train", "steps", 10),
        ("model.stride=8", "model", "stride", 8),
        ("model.stride=null", "model", "stride", None),
        ("model.label_names=log_g,T_eff", "model", "label_names", ("log_g", "T_eff")),
        ("model.label_names=[log_g, M_H]", "model", "label_names", ("log_g", "M_H")),
        ("data.mag=[18, 20.5]", "data", "mag", (18.0, 20.5)),
        ("data.grid=on", "data", "grid", "on"),
        ("model.pool=mean", "model", "pool", "mean"),
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(setting, section, key, value):
    found = getattr(getattr(override(preset("paper"), [setting]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_settings_that_need_each_other_are_applied_together():
    model = override(preset("paper"), ["model.embed_dim=50", "model.num_heads=5"]).model
    assert (model.embed_dim, model.num_heads) == (50, 5)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("train.lerning_rate=1", "lerning_rate"),
        ("optimizer.lr=1", "optimizer"),
        ("train.steps", "train.steps"),
        ("train.steps=many", "steps"),
        ("train.steps=1.5", "steps"),
        ("train.steps=0", "steps"),
        ("train.learning_rate=nan", "learning_rate"),
        ("train.warmup=1", "warmup"),
        ("train.min_lr=1", "min_lr"),
        ("train.loss=l2", "loss"),
        ("model.num_heads=7", "num_heads"),
        ("model.patch_size=5000", "patch_size"),
        ("model.stride=0", "stride"),
        ("model.dropout=1", "dropout"),
        ("model.label_names=log_g,log_g", "label_names"),
        ("model.tokenizer=[conv]", "tokenizer"),
        ("data.mag=20", "mag"),
        ("data.mag=[22, 20]", "mag"),
    ],
)
def test_a_bad_setting_is_refused_by_name(setting, named):
    with pytest.raises(UsageError, match=named):
        override(preset("paper"), [setting])


def test_unknown_preset_is_refused_with_the_presets_named():
    with pytest.raises(UsageError, match=r"paper, small, tiny.*huge"):
        preset("huge")


def test_yaml_with_a_key_twice_is_refused():
    with pytest.raises(UsageError, match="steps"):
        from_yaml("preset: tiny\ntrain:\n  steps: 5\n  steps: 6\n")


@pytest.mark.parametrize("text", ["trian:\n  steps: 5\n", "train:\n  stepz: 5\n", "train: 5\n"])
def test_yaml_with_unknown_keys_is_refused(text):
    with pytest.raises(UsageError, match=r"trian|stepz|train"):
        from_yaml(text)


@pytest.mark.parametrize("text", ["[1, 2", "- 1\n- 2\n"])
def test_text_that_is_no_config_is_refused(text):
    with pytest.raises(ConfigError):
        from_yaml(text)


def test_unnamed_settings_keep_the_presets_values():
    config = from_yaml("preset: small\ntrain:\n  steps: 5\n")
    assert config.train.steps == 5
    assert config.model == preset("small").model


@pytest.mark.parametrize(
    ("patch", "stride", "pool", "tokens"),
    [
        (16, None, "cls", 257),
        (16, 8, "cls", 512),
        (64, None, "mean", 64),
        (16, 1, "mean", 4081),
        (100, 70, "mean", 58),
    ],
)
def test_number_of_tokens(patch, stride, pool, tokens):
    assert ModelConfig(patch_size=patch, stride=stride, pool=pool).num_tokens == tokens


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["data.input_scaling=noise"],
            r"data\.input_scaling=noise divides by the noise.*pixel, overall or none",
        ),
        (["data.noise_component=true", "data.preprocess=zca"], r"data\.noise_component tells"),
    ],
)
def test_what_is_measured_in_noise_needs_some(settings, said):
    assert override(preset("paper"), ["data.noise_level=0"]).data.noise_level == 0
    override(preset("paper"), settings)
    with pytest.raises(ConfigError, match=said):
        override(preset("paper"), ["data.noise_level=0", *settings])


@pytest.mark.parametrize("level", ["-1", "1e-13", "nan", "1e13"])
def test_a_noise_level_is_a_factor_or_zero(level):
    with pytest.raises(ConfigError, match=r"data\.noise_level must be a number from 1e-12 to 1e\+12, or 0"):
        override(preset("paper"), [f"data.noise_level={level}"])
