"""A sweep through submitit: tasks that run on this machine, what Slurm is asked for, tasks queued again."""

import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crlb.errors import OutputError, UsageError
from specvit_jax import cli
from specvit_jax.runs.sweep import queue, read_sweep, summaries
from specvit_jax.settings.config_file import to_yaml
from tests.specvit_jax.runs.test_sweep import STAND_IN, calls, sweep_file, wait_for

pytest.importorskip("submitit", reason="the extra slurm is not installed")

from specvit_jax.runs.submit import Task, check_submission, kept, submit

TWO = "preset: tiny\ndata: emulator\nset: {train.steps: 100}\ngrid: {train.seed: [1, 2]}\n"


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A sweep of two runs, and a `specvit` that pretends to train them; the folder of the runs."""
    runs = read_sweep(sweep_file(tmp_path, TWO), tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    (tmp_path / "bin").mkdir()
    program(tmp_path, "specvit", STAND_IN.format(python=sys.executable).split("\n", 1)[1], sys.executable)
    monkeypatch.setenv("CONFIGS", json.dumps({run.name: to_yaml(run.config) for run in runs}))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "runs"


def program(folder: Path, name: str, text: str, shell: str = "/bin/bash") -> Path:
    path = folder / "bin" / name
    path.write_text(f"#!{shell}\n{text}\n")
    path.chmod(0o755)
    return path


def tasks(folder: Path):
    runs = read_sweep(folder.parent / "sweep.yaml", folder)
    jobs = queue(runs, [str(folder.parent / "bin" / "specvit")])[1]
    return [(job, run.path) for job, run in zip(jobs, runs, strict=True)]


def test_both_runs_are_trained_as_tasks_of_this_machine(toy):
    for job in submit(tasks(toy), toy / "slurm", "toy", {}, "local"):
        job.result()
    assert sorted(calls(toy)) == ["seed=1", "seed=2"]
    assert queue(read_sweep(toy.parent / "sweep.yaml", toy))[0] == {"seed=1": 0, "seed=2": 0}


@pytest.mark.slow
def test_networks_are_trained_as_tasks_of_this_machine(tmp_path):
    file = sweep_file(tmp_path, TWO.replace("100", "2, train.batch_size: 4, data.n_validation: 4"))
    runs = read_sweep(file, tmp_path / "runs")
    jobs = [(job, run.path) for job, run in zip(queue(runs)[1], runs, strict=True)]
    for job in submit(jobs, tmp_path / "slurm", "toy", {}, "local"):
        job.result()
    assert [(one.name, one.state, one.step) for one in summaries(runs)] == [
        ("seed=1", "finished", 2),
        ("seed=2", "finished", 2),
    ]


def test_a_run_that_fails_is_a_task_that_fails(toy, monkeypatch):
    monkeypatch.setenv("CODES", '{"seed=2": 70}')
    good, bad = submit(tasks(toy), toy / "slurm", "toy", {}, "local")
    good.result()
    assert "exit status 70" in str(bad.exception())


# --- what Slurm is asked for


@pytest.fixture
def slurm(toy, monkeypatch) -> Path:
    """A cluster that accepts everything; the folder in which its `sbatch` keeps what it was given."""
    kept = toy.parent / "kept"
    kept.mkdir()
    program(toy.parent, "srun", "exit 9")
    program(toy.parent, "sbatch", f'cp "$1" {shlex.quote(str(kept))}/; echo "Submitted batch job 77"')
    return kept


def test_slurm_is_asked_for_an_array_with_a_gpu_a_limit_and_a_requeue(toy, slurm, capsys):
    command = ["sweep", str(toy.parent / "sweep.yaml"), "--out", str(toy), "--submit", "--slurm-options"]
    cli.parse([*command, "partition=gpu", "account=stars", "time=12:00:00", "gpus-per-node=2"])()
    (script,) = slurm.iterdir()
    lines = script.read_text().splitlines()
    flags = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    asked = dict(flag.partition("=")[::2] for flag in flags)
    given = {"partition": "gpu", "account": "stars", "time": "12:00:00", "gpus-per-node": "2"}
    set_here = {"array": "0-1%2", "cpus-per-task": "8", "signal": "USR2@120"}
    assert (given | set_here).items() <= asked.items()
    assert asked["requeue"] == ""
    assert asked["job-name"] == "sweep"
    assert len([line for line in lines if "gpus" in line]) == 1
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert "submitted 2 tasks: 77_0 to 77_1" in capsys.readouterr().out
    assert not (toy / "sweep.json").exists()


def test_what_is_finished_is_not_submitted_again(toy, slurm, capsys):
    for job, path in tasks(toy):
        Task(job.command, path)()
    cli.parse(["sweep", str(toy.parent / "sweep.yaml"), "--out", str(toy), "--submit"])()
    assert list(slurm.iterdir()) == []
    said = capsys.readouterr()
    assert "nothing to submit" in said.out
    assert said.err.count("finished already") == 2


def test_without_slurm_the_way_out_is_named(toy, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"--submit needs Slurm here: .*srun.*; run it where sbatch is"):
        cli.parse(["sweep", str(toy.parent / "sweep.yaml"), "--out", str(toy), "--submit"])()


def test_without_submitit_the_extra_and_the_script_are_named(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"specvit-jax\[slurm\]'.*--slurm FILE"):
        check_submission([])


def test_a_submission_that_is_refused_is_one_line(toy, slurm):
    program(toy.parent, "sbatch", "echo invalid account >&2; exit 1")
    with pytest.raises(OutputError, match=r"the submission was refused: .*invalid account"):
        submit(tasks(toy), toy / "slurm", "toy", {})


def test_options_of_sbatch_are_read_as_it_spells_them():
    found = check_submission(["gpus-per-node=4", "constraint=a100&ib", "comment="])
    assert found == {"gpus_per_node": "4", "constraint": "a100&ib", "comment": ""}


# --- tasks that come to their limit

HANDLED = """
import pickle, signal, sys
task = pickle.load(open(sys.argv[1], "rb"))
def told(number, frame):  # as submitit does
    again = task.checkpoint()
    print("again" if again else "no more", again and again.function.restarts, flush=True)
    sys.exit(3)
signal.signal(signal.SIGUSR2, told)
task()
print("done")
"""


@pytest.mark.parametrize(
    ("restarts", "checkpoints", "said"),
    [
        (0, [], "again 1"),
        (1, [], "no more None"),
        (1, ["200"], "again 2"),
        (4, ["100", "50"], "no more None"),
    ],
)
def test_a_task_that_is_told_saves_and_is_queued_again_while_that_brings_something(
    toy, monkeypatch, restarts, checkpoints, said
):
    monkeypatch.setenv("CODES", '{"seed=1": "wait"}')
    job, path = tasks(toy)[0]
    (path / "checkpoints" / "100").mkdir(parents=True)
    (toy / "task").write_bytes(pickle.dumps(Task(job.command, path, restarts)))
    command = [sys.executable, "-c", HANDLED, toy / "task"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_for(toy / "waiting")
    for name in checkpoints:
        (path / "checkpoints" / name).mkdir(exist_ok=True)
    process.send_signal(signal.SIGUSR2)
    assert process.communicate(timeout=120)[0].endswith(f"\n{said}\n")
    assert process.returncode == 3


def test_the_signal_for_submitit_does_not_end_the_run(toy):
    """Slurm sends it to every process of a task."""
    path = tasks(toy)[0][1]
    begin = time.monotonic()
    sleep = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"]
    Task(sleep, path)()
    assert time.monotonic() - begin < 140


def test_what_a_task_goes_on_from_is_the_newest_step_of_each_training_and_every_result(tmp_path):
    assert kept(tmp_path / "nowhere") == {}
    for name in ("9", "100", "20.partial", ".tmp"):
        (tmp_path / "runs" / "one" / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / "7" / "state").mkdir(parents=True)
    (tmp_path / "checkpoints" / "7" / "state" / "array.npz").touch()
    (tmp_path / "parts").mkdir()
    for name in ("limit.npz", "parts/ridge.json", "manifest.json"):
        (tmp_path / name).write_text("12345")
    checkpoints = {tmp_path / "runs" / "one" / "checkpoints": 100, tmp_path / "checkpoints": 7}
    assert kept(tmp_path) == checkpoints | {tmp_path / "limit.npz": 5, tmp_path / "parts" / "ridge.json": 5}
