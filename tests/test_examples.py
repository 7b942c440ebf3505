"""The examples are accepted by the programs they are written for."""

import subprocess
from pathlib import Path

import pytest

from specvit_jax.cli import parse
from specvit_jax.runs.sweep import read_sweep

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("slurm/*.sh")), ids=lambda path: path.name)
def test_slurm_scripts_are_bash_and_train_as_specvit_understands(script):
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text().replace("\\\n", " ")
    line = next(line for line in text.splitlines() if "specvit train" in line)
    arguments = line.split("specvit ")[1].replace('"$RUN"', "run").replace('"${@:2}"', "").split()
    assert parse(arguments).configured().model.dtype == "bfloat16"
    for option in ("--requeue", "--signal=USR1@120", "JAX_COMPILATION_CACHE_DIR"):
        assert option in text


def test_the_sweep_expands_to_the_runs_of_its_grid(tmp_path):
    runs = read_sweep(EXAMPLES / "sweep.yaml", tmp_path)
    assert [(run.config.data.input_scaling, run.config.train.optimizer) for run in runs] == [
        (scaling, optimizer) for scaling in ("pixel", "noise") for optimizer in ("adamw", "muon")
    ]
