"""The examples are accepted by the programs they are written for."""

import os
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


def job(folder: Path, script: str, status: int, restarts: int, writes: int | None) -> list[str]:
    """What a job asks of Slurm when its run ends with a status, perhaps after writing a checkpoint."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    checkpoint = "" if writes is None else f'mkdir -p "{folder}/run/checkpoints/{writes}"; '
    (tools / "srun").write_text(f"#!/bin/bash\n{checkpoint}exit {status}\n")
    (tools / "scontrol").write_text(f'#!/bin/bash\necho "$@" >> "{folder}/asked"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "1", "SLURM_RESTART_COUNT": str(restarts)}
    done = subprocess.run(
        ["bash", EXAMPLES / "slurm" / script, folder / "run"],
        env=os.environ | slurm | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
    )
    assert done.returncode == status
    asked = folder / "asked"
    found = asked.read_text().splitlines() if asked.exists() else []
    asked.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize(
    ("script", "status"), [("one_node.sh", 75), ("many_nodes.sh", 75), ("many_nodes.sh", 137)]
)
def test_a_job_is_queued_again_only_while_that_brings_new_checkpoints(tmp_path, script, status):
    again = ["requeue 1"]
    assert job(tmp_path, script, status, 0, None) == again  # stopped while it was set up, perhaps
    assert job(tmp_path, script, status, 1, 9) == again
    assert job(tmp_path, script, status, 2, 10) == again  # newer, though not in the order of the alphabet
    assert job(tmp_path, script, status, 3, None) == []
    assert job(tmp_path, script, status, 4, 2) == []  # of before
    for other in (0, 69, 70):
        assert job(tmp_path, script, other, 0, 20) == []


def test_the_sweep_expands_to_the_runs_of_its_grid(tmp_path):
    runs = read_sweep(EXAMPLES / "sweep.yaml", tmp_path)
    assert [(run.config.data.input_scaling, run.config.train.optimizer) for run in runs] == [
        (scaling, optimizer) for scaling in ("pixel", "noise") for optimizer in ("adamw", "muon")
    ]
