"""All experiments: which processes and devices they get."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crlb.command_line import parse
from crlb.errors import OutputError, UsageError
from experiments import __main__ as experiments
from experiments.__main__ import HELP, All, ending, job, run_all
from specvit_jax.runs.processes import Job

ROOT = Path(__file__).resolve().parents[2]
# Notes the devices it sees; ends with 65 where the experiment is `scaling`.
STAND_IN = """
import os, pathlib, sys, time
name, out = sys.argv[1:3]
pathlib.Path(out, "begun_" + name).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
print("says", name)
time.sleep(float(sys.argv[3]))
sys.exit(65 if name == "scaling" else 0)
"""


def stand_in(name: str, options: All) -> Job:
    seconds = "280" if name == "survey" else "0.1"
    return Job(
        name,
        name,
        (sys.executable, "-c", STAND_IN, name, str(options.out), seconds),
        options.out / "logs" / name,
    )


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.setattr(experiments, "job", stand_in)


def test_experiments_are_spread_over_the_devices_and_those_that_fail_are_named(tmp_path, two_devices, capsys):
    asked = All("gpu", ("accuracy", "scaling", "position"), tmp_path)
    with pytest.raises(UsageError, match=r"1 of the experiments did not run: scaling"):
        run_all(asked)
    assert [(tmp_path / f"begun_{name}").read_text() for name in asked.only[:2]] == ["2", "5"]
    assert (tmp_path / "begun_position").read_text() in ("2", "5")
    for name in asked.only:
        assert (tmp_path / "logs" / name).read_text() == f"says {name}\n"
    said = capsys.readouterr()
    assert "says" not in said.out + said.err
    assert f"accuracy on device 2: {tmp_path}/logs/accuracy" in said.err
    assert f"scaling: exit code 65: {tmp_path}/logs/scaling" in said.err


def test_a_device_that_is_named_is_used_alone(tmp_path, two_devices):
    run_all(All("gpu", ("accuracy", "accuracy"), tmp_path, devices=("5",)))
    assert (tmp_path / "logs" / "accuracy").read_text() == "says accuracy\n"  # once
    assert (tmp_path / "begun_accuracy").read_text() == "5"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "--workers must be a number from 1"),
        ({"workers": -3}, "--workers must be a number from 1"),
        ({"workers": 3}, "--workers must be at most 2"),
        ({"devices": ("7",)}, "--devices must be among 2, 5, found '7'"),
    ],
)
def test_workers_and_devices_that_cannot_be_are_refused(tmp_path, two_devices, options, said):
    with pytest.raises(UsageError, match=said):
        run_all(All("gpu", ("accuracy",), tmp_path, **options))
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_of_its_own_runs_in_its_process(tmp_path):
    made = job("accuracy", All("gpu", ("accuracy", "scaling"), tmp_path, 4, ("0",)))
    assert made.command[:3] == (sys.executable, "-m", "experiments")
    again = parse(All, "python -m experiments", HELP, list(made.command[3:]))
    assert again == All("gpu", ("accuracy",), tmp_path, workers=1)


def test_one_that_is_skipped_says_so_and_not_that_it_is_done(tmp_path):
    log = tmp_path / "observed.log"
    one = Job("observed", "observed", ("false",), log)
    log.write_text("== observed\nskipped: observed: no spectra here\n")
    assert ending(one, 0) == "observed: no spectra here"
    with log.open("a") as file:
        file.write("== observed\nresults.json\n")
    assert ending(one, 0) == "done"
    assert ending(one, 65) == "exit code 65"


# --- through Slurm


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A cluster that accepts everything; the folder in which its `sbatch` keeps what it was given."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    kept, programs = tmp_path / "kept", tmp_path / "bin"
    for folder in (kept, programs):
        folder.mkdir()
    texts = {"srun": "exit 9", "sbatch": f'cp "$1" {shlex.quote(str(kept))}/; echo "Submitted batch job 77"'}
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return kept


def test_experiments_are_submitted_as_an_array(tmp_path, slurm, capsys):
    asked = ("partition=gpu", "time=12:00:00")
    only = ("accuracy", "scaling", "accuracy")
    run_all(All("gpu", only, tmp_path / "out", submit=True, slurm_options=asked))
    (script,) = slurm.iterdir()
    lines = script.read_text().splitlines()
    assert {"#SBATCH --array=0-1%2", "#SBATCH --partition=gpu", "#SBATCH --time=12:00:00"} <= set(lines)
    assert "submitted 2 tasks: 77_0 to 77_1" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["slurm"]


def test_a_folder_that_cannot_be_is_told_before_anything_is_submitted(tmp_path, slurm):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot create .*/file/out: Not a directory"):
        run_all(All("gpu", ("accuracy",), tmp_path / "file" / "out", submit=True))
    assert list(slurm.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slurm_options": ("partition=gpu",)}, "--slurm-options are for --submit"),
        ({"submit": True, "workers": 2}, "leave them out with --submit"),
        ({"submit": True, "devices": ("2",)}, "leave them out with --submit"),
        ({"submit": True, "slurm_options": ("gpu",)}, "--slurm-options must read key=value"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, slurm, options, said):
    with pytest.raises(UsageError, match=said):
        run_all(All("gpu", ("accuracy",), tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_a_signal_stops_all_with_75(tmp_path):
    code = f"""
from pathlib import Path
from crlb.errors import run_cli
from experiments import __main__ as experiments
from tests.experiments.test_all import stand_in
experiments.job = stand_in
asked = experiments.All("gpu", ("survey", "accuracy"), Path({str(tmp_path)!r}), 1, ("2",))
run_cli(lambda: experiments.run_all(asked))
"""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    environment |= {"CUDA_VISIBLE_DEVICES": "2", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (tmp_path / "begun_survey").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 75
    assert said.endswith("error: stopped; the same command goes on\n")
    assert not (tmp_path / "begun_accuracy").exists()
