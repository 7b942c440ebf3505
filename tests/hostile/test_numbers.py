"""No command takes a number that cannot be: NaN, infinity, counts below one, seeds that jax wraps around."""

from pathlib import Path

import pytest

from crlb.errors import ConfigError, UsageError
from crlb.labels import LABELS
from crlb.limits import LIMITS, MOST_SEED, check_limits
from specvit_jax.settings.config_file import override
from specvit_jax.settings.presets import preset
from tests.hostile.commands import LINES, PROGRAMS, answer, commands, line, made, options_of

# The work begins with one of these, once the options are checked.
BEGINS = (
    "crlb.cli.command.Info.__call__",
    *(f"crlb.cli.command.{name}.__call__" for name in ("Ceiling", "Fisher", "Spectrum", "Information")),
    *(f"crlb.cli.command.{name}.__call__" for name in ("NuisancesOptions", "CheckSpectra", "PosteriorOf")),
    *(f"crlb.cli.command.{name}.__call__" for name in ("Validate", "Index", "Download", "Build")),
    *(f"crlb.cli.command.{name}.__call__" for name in ("Synthesize", "PlanOptions", "Compare")),
    "specvit_jax.spectra.file_sources.simulator_of",
    "specvit_jax.spectra.simulate_shards.simulator",
    "specvit_jax.training.parallel.connect",
    "specvit_jax.cli.sweep.Sweep._prepare",
    "specvit_jax.exchange.checkpoint_file.read_checkpoint",
    "specvit_jax.evaluation.label_table.label_table",
    "experiments.baselines.work.make_simulator",
)
NEGATIVE = {"label_mean", "mag", "rv", "log_g", "M_H", "a_M", "C_M"}  # may be
INFINITE = {"amplitude"}
NUMBERS = [
    (words, kind, i)
    for program in PROGRAMS
    for words, kind in commands(program)
    for i in range(len(LINES[words]))
    if any(one.holds(int, float) for one in options_of(kind))
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return made(tmp_path_factory.mktemp("files"))


def test_every_command_has_a_line():
    assert sorted(LINES) == sorted(words for program in PROGRAMS for words, _ in commands(program))


@pytest.mark.parametrize(("words", "kind", "i"), NUMBERS, ids=[f"{words} {i}" for words, _, i in NUMBERS])
def test_nonsense_is_a_usage_error_in_one_line(words, kind, i, paths, tmp_path):
    base = line(words, LINES[words][i], paths, tmp_path)
    assert answer(base, BEGINS)[0] == "begun"
    for one in options_of(kind):
        if not one.holds(int, float):
            continue
        nonsense = ["nan", "1e30", "-1"] if one.holds(float) else ["-1", str(2**63)]
        allowed = {"-1"} if one.name in NEGATIVE else {"1e30"} if one.name in INFINITE else ()
        for value in set(nonsense) - set(allowed):
            code, said = answer([*base, one.flag, *[value] * one.count], BEGINS)
            assert (code, said[:7], said.count("\n")) == (2, "error: ", 1), f"{one.flag} {value}: {said}"
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_seeds_that_no_generator_takes_are_refused_in_options_and_settings(seed):
    with pytest.raises(ConfigError, match=rf"train.seed must be a number from 0 to {MOST_SEED}, found"):
        override(preset("tiny"), [f"train.seed={seed}"])


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "warmup", "huber_delta", "ema", "b1"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_settings_are_numbers(name, value):
    with pytest.raises(ConfigError, match=f"train.{name} must"):
        override(preset("tiny"), [f"train.{name}={value}"])


def test_a_gradient_may_be_left_as_it_is():
    assert override(preset("tiny"), ["train.clip_norm=inf"]).train.clip_norm == float("inf")


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limits_themselves_are_allowed(name):
    from dataclasses import make_dataclass

    one = make_dataclass("Options", [name])
    for bound in LIMITS[name]:
        check_limits(one((bound,)))
    option = name if name in LABELS else name.replace("_", "-")
    with pytest.raises(UsageError, match=f"--{option} must be a number from"):
        check_limits(one(float("nan")))
