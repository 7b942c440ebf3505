"""Sweeps: the runs a file asks for; trained by a stand-in for `specvit`, here and as a Slurm array."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crlb.errors import ConfigError, Interrupted, MissingInputError, OutputError, UsageError
from specvit_jax import cli
from specvit_jax.runs.array_script import slurm_script
from specvit_jax.runs.sweep import check_runs, read_sweep, run_name, summaries, train_all
from specvit_jax.settings.config_file import to_yaml
from tests.specvit_jax.runs.test_listing import make_run

GRID = """
preset: tiny
data: train.h5
set: {train.steps: 100, data.mag: [18, 20]}
grid:
  train.learning_rate: [1e-3, 0.0003]
  model.patch_size: [16, 32]
"""
LIST = """
preset: tiny
data: emulator
runs:
  - []
  - [train.loss=nll]
  - [train.loss=nll, "data.ranges=T_eff=4000:5000"]
"""
# Trains by writing a row; ends with the code that an environment variable gives for a part of the run's name.
STAND_IN = """\
#!{python}
import json, os, pathlib, signal, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
with (out.parent / "calls").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit(75))
print("trains", out.name, "on", os.environ.get("CUDA_VISIBLE_DEVICES"))
for part, code in json.loads(os.environ.get("CODES", "{{}}")).items():
    if part in out.name:
        if code == "wait":
            (out.parent / f"waiting{{os.environ.get('CUDA_VISIBLE_DEVICES', '')}}").write_text("")
            time.sleep(30)
        if code < 0:
            os.kill(os.getpid(), -code)
        sys.exit(code)
(out / "config.yaml").write_text(os.environ["CONFIGS"] and json.loads(os.environ["CONFIGS"])[out.name])
(out / "metrics.jsonl").write_text(json.dumps({{"step": 100, "val_r2": len(out.name) / 100}}) + "\\n")
if "BREAKS_OFF" in os.environ:
    sys.exit(65)
end = {{"step": 100, "date": "2026-11-28T18:00:00+00:00"}}
(out / "manifest.json").write_text(json.dumps({{"starts": [], "finished": end}}))
"""


def sweep_file(folder: Path, text: str) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A `specvit` first on the PATH that does what CODES says."""
    program = tmp_path / "bin" / "specvit"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    runs = read_sweep(sweep_file(tmp_path, GRID), tmp_path / "runs")
    monkeypatch.setenv("CONFIGS", json.dumps({run.name: to_yaml(run.config) for run in runs}))
    (tmp_path / "runs").mkdir()
    return str(program)


def calls(folder: Path) -> list[str]:
    """The runs that were trained, in order."""
    rows = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return [Path(row[row.index("--out") + 1]).name for row in rows]


# --- what a file asks for


def test_a_grid_becomes_every_combination_with_a_readable_name(tmp_path):
    runs = read_sweep(sweep_file(tmp_path, GRID), Path("runs/s"))
    names = [f"lr={rate},patch_size={size}" for rate in ("1e-3", "0.0003") for size in (16, 32)]
    assert [run.name for run in runs] == names
    config = runs[1].config
    assert (config.train.learning_rate, config.model.patch_size, config.train.steps) == (1e-3, 32, 100)
    assert (config.data.mag, config.data.source, config.preset) == ((18.0, 20.0), "train.h5", "tiny")


def test_the_arguments_of_a_run_give_its_config(tmp_path):
    for text in (GRID, LIST):
        for run in read_sweep(sweep_file(tmp_path, text), Path("runs/s")):
            command = cli.parse(list(run.arguments))
            assert command.resume
            assert command.out == Path("runs/s") / run.name
            assert command.configured() == run.config


def test_runs_may_be_listed_one_by_one(tmp_path):
    runs = read_sweep(sweep_file(tmp_path, LIST), Path("runs/s"))
    assert [run.name for run in runs] == ["base", "loss=nll", "loss=nll,ranges=T_eff_4000_5000"]
    assert runs[2].config.data.ranges == ("T_eff=4000:5000",)


def test_names_are_safe_for_files_and_differ():
    assert run_name(["data.grid=/data/a b.h5", "model.label_names=[log_g, M_H]"]) == (
        "grid=data_a_b.h5,label_names=log_g_M_H"
    )
    long = [run_name([f"data.grid={'x' * 300}{end}"]) for end in "ab"]
    assert len(set(long)) == 2
    assert max(map(len, long)) < 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GRID.replace("patch_size", "patch_sise"), "model has no setting 'patch_sise'"),
        (GRID.replace("[16, 32]", "[5000, 6000]"), r"model\.patch_size.*5000"),
        (GRID.replace("[16, 32]", "[16, many]"), r"model\.patch_size.*'many'"),
        (GRID.replace("[16, 32]", "16"), r"grid\.model\.patch_size must be a list of values, found '16'"),
        (GRID.replace("[16, 32]", "[]"), r"grid\.model\.patch_size must be a list"),
        (GRID.replace("[16, 32]", "[{a: 1}]"), r"model\.patch_size must be one value"),
        (GRID.replace("[16, 32]", "[16, 16]"), r"two runs .* lr=1e-3,patch_size=16"),
        (GRID.replace("tiny", "huge"), "paper, small, tiny"),
        (GRID.replace("data: train.h5", ""), "needs data, found only preset, set, grid"),
        (GRID.replace("data: train.h5", "data: [a, b]"), "one value each"),
        (GRID.replace("\nset", "\nsets"), "found 'sets'"),
        (GRID.replace("train.steps: 100", "train.steps: 0"), r"train\.steps"),
        (GRID + "runs: []", "either grid .* or runs"),
        (LIST.replace("- [train.loss=nll]", "- 5"), "runs, entry 2,"),
        ("preset: tiny\ndata: emulator\nruns: []\n", "runs must be a list"),
        ("preset: tiny\ndata: emulator\ngrid: []\n", "grid must be a mapping"),
        ("[1, 2", "YAML"),
        ("- 5", "mapping"),
    ],
)
def test_a_bad_sweep_is_refused_before_anything_starts(text, said, tmp_path):
    with pytest.raises(ConfigError, match=rf"sweep\.yaml: .*{said}"):
        read_sweep(sweep_file(tmp_path, text), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_no_file_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.yaml"):
        read_sweep(tmp_path / "none.yaml", tmp_path)


def test_dry_run_lists_and_starts_nothing(tmp_path, capsys):
    file = sweep_file(tmp_path, GRID)
    cli.parse(["sweep", str(file), "--out", str(tmp_path / "runs"), "--dry-run"])()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    settings = "train.steps=100 data.mag=[18, 20] train.learning_rate=1e-3 model.patch_size=16"
    assert lines[0].endswith(f"lr=1e-3,patch_size=16: {settings}")
    assert not (tmp_path / "runs").exists()


def test_a_run_of_another_config_in_its_place_is_refused(tmp_path):
    runs = read_sweep(sweep_file(tmp_path, GRID), tmp_path / "runs")
    make_run(runs[2].path, settings=["train.steps=100"])
    with pytest.raises(OutputError, match=rf"{runs[2].name} holds a run with another config"):
        check_runs(runs)


# --- training


IMPOSSIBLE = GRID.replace("patch_size: [16, 32]", "embed_dim: [64, 96]\n  model.num_heads: [4, 64]")


def test_a_combination_that_cannot_be_does_not_keep_the_others_from_it(
    tmp_path, stand_in, monkeypatch, capsys
):
    runs = read_sweep(sweep_file(tmp_path, IMPOSSIBLE), tmp_path / "runs")
    cannot = [f"lr={rate},embed_dim=96,num_heads=64" for rate in ("1e-3", "0.0003")]
    configs = {run.name: to_yaml(run.config) for run in runs if run.config is not None}
    monkeypatch.setenv("CONFIGS", json.dumps(configs))
    failed = train_all(runs, tmp_path / "sweep.json", [stand_in])
    assert [(run.name, code) for run, code in failed] == [(name, 78) for name in cannot]
    assert calls(tmp_path / "runs") == [run.name for run in runs if run.name not in cannot]
    assert f"[4/8] {cannot[0]}: model.num_heads must divide embed_dim 96, found 64" in capsys.readouterr().err
    rows = json.loads((tmp_path / "sweep.json").read_text())
    assert [row["exit_code"] for row in rows] == [0, 0, 0, 78] * 2


def test_a_combination_that_cannot_be_gets_no_task(tmp_path, capsys):
    path = tmp_path / "array.sh"
    file = sweep_file(tmp_path, IMPOSSIBLE)
    cli.parse(["sweep", str(file), "--out", str(tmp_path / "runs"), "--slurm", str(path)])()
    assert "#SBATCH --array=0-5" in path.read_text()
    assert "embed_dim=96,num_heads=64" not in path.read_text()
    said = capsys.readouterr()
    assert "6 tasks" in said.out
    assert said.err.count("num_heads must divide embed_dim 96") == 2


def test_a_run_that_failed_after_its_last_step_fails_again(tmp_path, stand_in, monkeypatch):
    runs = read_sweep(tmp_path / "sweep.yaml", tmp_path / "runs")[:1]
    monkeypatch.setenv("BREAKS_OFF", "1")
    for _ in range(2):
        failed = train_all(runs, tmp_path / "sweep.json", [stand_in])
        assert [code for _, code in failed] == [65]
    assert calls(tmp_path / "runs") == [runs[0].name] * 2


def test_a_failure_does_not_end_the_sweep(tmp_path, stand_in, monkeypatch, capsys):
    runs = read_sweep(tmp_path / "sweep.yaml", tmp_path / "runs")
    monkeypatch.setenv("CODES", json.dumps({"lr=1e-3,patch_size=16": 70, "lr=1e-3,patch_size=32": -9}))
    failed = train_all(runs, tmp_path / "sweep.json", [stand_in])
    assert [(run.name, code) for run, code in failed] == [(runs[0].name, 70), (runs[1].name, -9)]
    assert calls(tmp_path / "runs") == [run.name for run in runs]
    rows = json.loads((tmp_path / "sweep.json").read_text())
    assert [row["exit_code"] for row in rows] == [70, -9, 0, 0]
    assert [row["state"] for row in rows] == ["not begun", "not begun", "finished", "finished"]
    assert rows[3]["settings"][-1] == "model.patch_size=32"
    assert "[1/4] lr=1e-3,patch_size=16: failed with exit code 70; going on" in capsys.readouterr().err


def test_the_command_tables_the_results_and_ends_with_the_failures_code(
    tmp_path, stand_in, monkeypatch, capsys
):
    monkeypatch.setenv("CODES", json.dumps({"lr=0.0003,patch_size=16": 70}))
    monkeypatch.setattr("specvit_jax.runs.sweep.PROGRAM", (stand_in,))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.h5").write_text("spectra")
    command = cli.parse(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as stop:
        command()
    assert stop.value.code == 70
    said = capsys.readouterr()
    rows = [line.split() for line in said.out.splitlines()]
    assert ["lr=1e-3,patch_size=16", "tiny", "finished", "100/100", "0.2100", "100"] in [r[:6] for r in rows]
    assert said.err.endswith("error: 1 of 4 runs failed: lr=0.0003,patch_size=16 (exit code 70)\n")
    assert (tmp_path / "runs" / "sweep.json").exists()


def test_a_sweep_without_its_spectra_is_refused_before_any_run(tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr("specvit_jax.runs.sweep.PROGRAM", (stand_in,))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingInputError, match=r"train\.h5 does not exist"):
        cli.parse(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "runs")])()
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path, stand_in, monkeypatch):
    runs = read_sweep(tmp_path / "sweep.yaml", tmp_path / "runs")
    monkeypatch.setenv("CODES", json.dumps({"lr=1e-3,patch_size=32": 75}))
    with pytest.raises(Interrupted, match=r"lr=1e-3,patch_size=32; the same command"):
        train_all(runs, tmp_path / "sweep.json", [stand_in])
    monkeypatch.delenv("CODES")
    assert train_all(runs, tmp_path / "sweep.json", [stand_in]) == []
    assert calls(tmp_path / "runs") == [runs[i].name for i in (0, 1, 1, 2, 3)]
    assert [run.name for run in summaries(runs)] == [runs[i].name for i in (2, 3, 0, 1)]  # by their R2


def test_a_signal_is_handed_on_and_ends_the_sweep_with_75(tmp_path, stand_in):
    code = f"""
import sys
from crlb.errors import run_cli
from specvit_jax.runs.sweep import read_sweep, train_all
from pathlib import Path
runs = read_sweep({str(tmp_path / "sweep.yaml")!r}, Path({str(tmp_path / "runs")!r}))
run_cli(lambda: train_all(runs, Path({str(tmp_path / "sweep.json")!r}), [{stand_in!r}]))
"""
    environment = os.environ | {"CODES": '{"lr=1e-3,patch_size=16": "wait"}'}
    sweep = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "runs" / "waiting")
    sweep.send_signal(signal.SIGUSR1)
    said = sweep.communicate(timeout=120)[1]
    assert sweep.returncode == 75, said
    assert "error: stopped in lr=1e-3,patch_size=16" in said
    assert len(calls(tmp_path / "runs")) == 1


# --- several at once


def two_devices(monkeypatch) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")


def test_a_run_is_trained_on_each_device_and_the_table_is_whole(tmp_path, stand_in, monkeypatch, capfd):
    two_devices(monkeypatch)
    monkeypatch.setenv("CODES", json.dumps({"lr=0.0003,patch_size=16": 70}))
    monkeypatch.setattr("specvit_jax.runs.sweep.PROGRAM", (stand_in,))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.h5").write_text("spectra")
    with pytest.raises(SystemExit) as stop:
        cli.parse(["sweep", "sweep.yaml", "--out", "runs"])()
    assert stop.value.code == 70
    runs = read_sweep(tmp_path / "sweep.yaml", tmp_path / "runs")
    rows = json.loads((tmp_path / "runs" / "sweep.json").read_text())
    assert [row["exit_code"] for row in rows] == [0, 0, 70, 0]
    said = [(tmp_path / "runs" / "logs" / f"{run.name}.log").read_text() for run in runs]
    assert {line.split(" on ")[0] for line in said} == {f"trains {run.name}" for run in runs}
    assert {line.split(" on ")[1].strip() for line in said} == {"4", "6"}
    shown = capfd.readouterr()
    assert "trains" not in shown.out + shown.err  # lines of several would mix
    assert f"[1/4] {runs[0].name} on device 4: runs/logs/{runs[0].name}.log" in shown.err
    assert f"[3/4] {runs[2].name}: failed with exit code 70; going on" in shown.err
    assert len(shown.out.splitlines()) >= 5  # the table, with all that ended well


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (["--workers", "0"], "--workers must be a number from 1 to 4096, found 0"),
        (["--workers", "-1"], "--workers must be a number from 1 to 4096, found -1"),
        (["--workers", "3"], "--workers must be at most 2, one for each device, found 3"),
        (["--devices", "4", "5"], "--devices must be among 4, 6, found '5'"),
        (["--devices", "4", "4"], "--devices must name each device once"),
        (["--workers", "2", "--slurm", "x.sh"], "leave them out with --slurm"),
        (["--devices", "4", "--submit"], "leave them out with --submit"),
        (["--slurm", "x.sh", "--submit"], "give one of the two"),
        (["--slurm-options", "partition=gpu"], "are for --submit"),
        (
            ["--submit", "--slurm-options", "partition"],
            "must read key=value, say partition=gpu",
        ),
        (["--submit", "--slurm-options", "a;b=1"], "must read key=value"),
        (["--submit", "--slurm-options", "account=a\nb"], "must read key=value"),
        (["--submit", "--slurm-options", "array=0-9"], "may not set array"),
        (["--submit", "--slurm-options", "open-mode=w"], "may not set open-mode"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_made(tmp_path, monkeypatch, end, said):
    two_devices(monkeypatch)
    file = sweep_file(tmp_path, LIST)
    with pytest.raises(UsageError, match=said):
        cli.parse(["sweep", str(file), "--out", str(tmp_path / "runs"), *end])()
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


def test_ctrl_c_stops_all_and_the_same_command_goes_on(tmp_path, stand_in, monkeypatch):
    two_devices(monkeypatch)
    sweep_file(tmp_path, GRID.replace("train.h5", "emulator"))
    runs = read_sweep(tmp_path / "sweep.yaml", tmp_path / "runs")
    monkeypatch.setenv("CONFIGS", json.dumps({run.name: to_yaml(run.config) for run in runs}))
    code = f"""
from specvit_jax import cli
from specvit_jax.runs import sweep
from crlb.errors import run_cli
sweep.PROGRAM = ({stand_in!r},)
run_cli(cli.parse(["sweep", {str(tmp_path / "sweep.yaml")!r}, "--out", {str(tmp_path / "runs")!r}]))
"""
    command = [sys.executable, "-c", code]
    first = subprocess.Popen(
        command, env=os.environ | {"CODES": '{"lr=1e-3": "wait"}'}, stderr=subprocess.PIPE, text=True
    )
    for device in "46":
        wait_for(tmp_path / "runs" / f"waiting{device}")
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=120)[1]
    assert first.returncode == 75, said
    assert f"stopped in {runs[0].name}, {runs[1].name}; the same command" in said.replace(
        f"{runs[1].name}, {runs[0].name}", f"{runs[0].name}, {runs[1].name}"
    )
    assert sorted(calls(tmp_path / "runs")) == sorted(run.name for run in runs[:2])
    rows = json.loads((tmp_path / "runs" / "sweep.json").read_text())
    assert [row["exit_code"] for row in rows] == [75, 75, None, None]
    again = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    rows = json.loads((tmp_path / "runs" / "sweep.json").read_text())
    assert [row["exit_code"] for row in rows] == [0] * 4


def test_boards_are_handed_on_to_the_runs_as_one_group(tmp_path, monkeypatch):
    runs = read_sweep(sweep_file(tmp_path, LIST), tmp_path / "team", ["wandb", "tensorboard"])
    for run in runs:
        assert cli.parse(list(run.arguments)).log_to == ("wandb", "tensorboard")
    script = tmp_path / "sweep.sh"
    for group in ("", "mine"):
        script.write_text(slurm_script(runs, "sweep.yaml").split("case")[0] + "echo $WANDB_RUN_GROUP")
        monkeypatch.setenv("WANDB_RUN_GROUP", group)
        done = subprocess.run(["bash", script], capture_output=True, text=True)
        assert done.stdout.strip() == (group or "team")


# --- Slurm


@pytest.fixture
def script(tmp_path, stand_in, monkeypatch):
    """An array script, and a `scontrol` that notes what it was asked."""
    path = tmp_path / "array.sh"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/bash\necho "$@" >> {shlex.quote(str(tmp_path / "requeued"))}\n')
    scontrol.chmod(0o755)
    cli.parse(
        ["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "runs"), "--slurm", str(path)]
    )()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    return path


def test_a_slurm_script_is_sound_and_asks_for_a_signal_and_a_requeue(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    lines = script.read_text().splitlines()
    for line in ("--array=0-3", "--requeue", "--signal=B:USR1@120"):
        assert f"#SBATCH {line}" in lines
    assert lines[0] == "#!/bin/bash"


def test_a_slurm_task_trains_its_own_run(script, tmp_path):
    runs = read_sweep(tmp_path / "sweep.yaml", tmp_path / "runs")
    assert subprocess.run([script]).returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "runs" / "calls").read_text().splitlines()]
    assert rows == [list(runs[2].arguments)]


@pytest.mark.parametrize(("task", "code"), [("2", 70), ("4", 2)])
def test_a_slurm_task_ends_with_its_runs_code(script, task, code, monkeypatch):
    monkeypatch.setenv("CODES", '{"lr=0.0003,patch_size=16": 70}')
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    assert subprocess.run([script], capture_output=True).returncode == code


def test_a_slurm_task_at_its_limit_is_saved_and_queued_again(script, tmp_path, monkeypatch):
    monkeypatch.setenv("CODES", '{"lr=0.0003,patch_size=16": "wait"}')
    task = subprocess.Popen([script])
    wait_for(tmp_path / "runs" / "waiting")
    task.send_signal(signal.SIGUSR1)
    assert task.wait(timeout=120) == 75
    assert (tmp_path / "requeued").read_text() == "requeue 77_2\n"


def test_a_slurm_task_that_brings_nothing_new_is_not_queued_again(script, tmp_path, monkeypatch):
    monkeypatch.setenv("CODES", '{"lr=0.0003,patch_size=16": "wait"}')
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    task = subprocess.Popen([script], stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "runs" / "waiting")
    task.send_signal(signal.SIGUSR1)
    said = task.communicate(timeout=120)[1]
    assert task.returncode == 75
    assert "no checkpoint after step 0; not queued again" in said
    assert not (tmp_path / "requeued").exists()


def wait_for(path: Path, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
