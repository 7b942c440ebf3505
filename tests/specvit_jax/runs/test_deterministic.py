"""The flag for the same bits on GPUs: in time, beside other flags, or refused."""

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from crlb.errors import UsageError
from specvit_jax.runs.deterministic import FLAG, ask_for_same_bits, check_same_bits
from specvit_jax.runs.manifest import describe_start
from specvit_jax.training import loop
from specvit_jax.training.loop import train

# Notes the compiler's flags as training begins, and whether a device was there already.
STAND_IN = """
import os, sys
from specvit_jax import cli
from specvit_jax.cli.train import Train
def note(self, config):
    from jax._src import xla_bridge
    return f"{xla_bridge.backends_are_initialized()} {os.environ.get('XLA_FLAGS', '')}"
Train.train = note
cli.parse(["train", "tiny", "--data", "emulator", "--out", sys.argv[1], "--set", *sys.argv[2:]])()
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{FLAG}=true"),
        ("--xla_dump_to=/a", f"--xla_dump_to=/a {FLAG}=true"),
        (f"{FLAG}=false", f"{FLAG}=false {FLAG}=true"),
        (f" {FLAG} --xla_dump_to=/a", f" {FLAG} --xla_dump_to=/a"),
    ],
)
def test_the_flag_is_added_to_those_that_are_there(before, after):
    environment = {"XLA_FLAGS": before}
    with nullcontext() if after == before else pytest.raises(UsageError):
        check_same_bits("gpu", environment)
    ask_for_same_bits(environment)
    assert environment == {"XLA_FLAGS": after}
    check_same_bits("gpu", environment)


def test_flags_in_a_file_are_read_and_left_alone(tmp_path):
    file = tmp_path / "flags"
    file.write_text("--xla_dump_to=/a\n")
    environment = {"XLA_FLAGS": str(file)}
    with pytest.raises(UsageError, match=f"names the file {file}, which has it not"):
        ask_for_same_bits(environment)
    file.write_text(f"--xla_dump_to=/a\n{FLAG}=true\n")
    ask_for_same_bits(environment)
    check_same_bits("gpu", environment)
    assert environment == {"XLA_FLAGS": str(file)}


def test_a_gpu_without_it_is_refused_before_anything_is_written(
    toy_config, toy_source, tmp_path, monkeypatch
):
    asked = replace(toy_config, train=replace(toy_config.train, deterministic=True))
    monkeypatch.setattr(loop, "check_same_bits", lambda backend, there: check_same_bits("gpu", there))
    monkeypatch.setenv("XLA_FLAGS", f"{FLAG}=false")
    with pytest.raises(UsageError, match=r"train\.deterministic on a GPU needs XLA_FLAGS=.*found --xla_gpu"):
        train(asked, toy_source, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_backends_need_no_flag():
    for backend in ("cpu", "tpu"):
        check_same_bits(backend, {})


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "expected"), [("true", [f"{FLAG}=true"]), ("false", [])])
def test_the_program_sets_it_before_there_is_a_device(tmp_path, setting, expected):
    command = (sys.executable, "-c", STAND_IN, str(tmp_path / "run"), f"train.deterministic={setting}")
    there = os.environ | {"XLA_FLAGS": "--xla_dump_max_hlo_modules=1"}
    done = subprocess.run(command, env=there, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "--xla_dump_max_hlo_modules=1", *expected], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "code"), [(FLAG, 0), (FLAG.replace("ops", "opse"), 1)])
def test_the_compiler_knows_the_flag_and_no_other(flag, code):
    command = (sys.executable, "-c", "import jax; jax.devices()")
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": f"{flag}=true"}, capture_output=True)
    assert done.returncode == code, done.stderr


def test_the_manifest_says_that_it_was_asked_for():
    assert describe_start("1 x cpu, jit", True).to_json()["deterministic"] is True
    assert "deterministic" not in describe_start("1 x cpu, jit").to_json()
