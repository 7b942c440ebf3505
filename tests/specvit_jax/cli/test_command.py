"""The console script: what it refuses and with which exit code; what it prints."""

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from crlb.cli import command as crlb_command
from crlb.errors import EXPECTED, ConfigError, RunLocked, run_cli
from specvit_jax import cli
from specvit_jax.cli import command
from specvit_jax.cli.checks import check_tasks
from specvit_jax.settings.config_file import to_yaml
from specvit_jax.settings.presets import preset
from tests.specvit_jax.toy import write_clean


def run(*args: str | Path) -> None:
    cli.parse([str(arg) for arg in args])()


def exit_code(monkeypatch, *args: str | Path) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["specvit", *map(str, args)])
    with pytest.raises(SystemExit) as stop:
        run_cli(lambda: cli.parse()())
    return stop.value.code


def test_info_counts_the_published_parameters(capsys):
    run("info", "paper", "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["parameters"]["total"] == sum(about["parameters"]["modules"].values()) == 4_809_729
    assert about["tokens"] == 257
    assert about["memory_bytes"]["training_state"] == 16 * 4_809_729


def test_info_as_a_table_follows_the_settings(capsys):
    run("info", "tiny", "--set", "model.patch_size=256")
    out = capsys.readouterr().out
    assert "16 tokens" in out
    assert "block_2" in out


def test_train_options_become_the_config():
    args = "train tiny --data emulator --out r --steps 70 --seed 5 --grid g.h5 --mag 18 19 --population p.csv"
    command = cli.parse([*args.split(), "--set", "train.loss=nll", "model.depth=1"])
    config = command.configured()
    assert (config.train.steps, config.train.seed, config.train.loss) == (70, 5, "nll")
    assert (config.data.source, config.data.grid, config.data.mag) == ("emulator", "g.h5", (18.0, 19.0))
    assert config.data.noise is None
    assert config.data.population == "p.csv"
    args = "train tiny --data emulator --out r --instrument muse --snr 5 50"
    seen = cli.parse([*args.split()]).configured()
    assert (seen.data.instrument, seen.data.snr, seen.data.population) == ("muse", (5.0, 50.0), None)
    assert config.model.depth == 1
    assert config.train.batch_size == preset("tiny").train.batch_size


def test_every_exit_code_is_in_the_help():
    documented = set(re.findall(r"\b(\d\d?)\b", command.__doc__))
    assert documented == {"0", *(str(error.exit_code) for error in (*EXPECTED, ConfigError, RunLocked))}
    assert set(re.findall(r"\b(\d\d?)\b", crlb_command.__doc__)) == documented - {"69"}  # trains no runs


def test_a_config_file_stands_for_a_preset(tmp_path, capsys):
    file = tmp_path / "original.yaml"
    file.write_text(
        "model: {hidden_size: 64, proj_fn: SW}\nopt: {type: AdamW, lr: 1e-4}\ntrain: {workers: 8}\n"
    )
    args = f"train --config {file} --data emulator --out r --precision bfloat16 --set train.steps=70"
    config = cli.parse(args.split()).configured()
    assert (config.model.embed_dim, config.model.tokenizer, config.model.dtype) == (64, "linear", "bfloat16")
    assert (config.train.learning_rate, config.train.steps) == (1e-4, 70)
    assert config.data.source == "emulator"
    assert "note: train.workers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ("info huge", 2, "paper, small, tiny"),
        ("train huge --data emulator --out {tmp}/r", 2, "paper, small, tiny"),
        ("train tiny --data emulator --out {tmp}/r --set train.stepz=1", 78, "stepz"),
        ("train --out {tmp}/r", 2, "--config"),
        ("train tiny --config c.yaml --out {tmp}/r", 2, "--config"),
        ("train tiny --out {tmp}/r", 2, "--data"),
        ("train --config {tmp}/none.yaml --out {tmp}/r", 66, "none.yaml"),
        ("train tiny --data emulator --out {tmp}/r --process 0", 2, "--coordinator"),
        ("train tiny --data emulator --out {tmp}/r --steps 0", 2, "--steps must be a number from 1"),
        ("train tiny --data emulator --out {tmp}/r --resume --overwrite", 2, "--resume"),
        ("train tiny --data {tmp}/none.h5 --out {tmp}/r", 66, "none.h5"),
        ("train tiny --data {tmp}/text.h5 --out {tmp}/r", 65, "text.h5"),
        ("train tiny --data {tmp}/empty.h5 --out {tmp}/r", 65, "empty.h5"),
        ("train tiny --data emulator --grid {tmp}/none.h5 --out {tmp}/r", 66, "none.h5"),
        ("train tiny --data emulator --out {tmp}/text.h5/r", 73, "text.h5"),
        ("train tiny --data emulator --out {tmp}", 73, "not a run directory"),
        ("simulate --n 5 --out {tmp}/text.h5", 73, "--overwrite"),
        ("simulate --n 5 --out {tmp}/no/new.h5", 73, "no"),
        ("simulate --n 5 --out {tmp}/new.h5 --range T_eff", 2, "LABEL=LOW:HIGH"),
        ("evaluate {tmp}/none --data {tmp}/x.h5 --json {tmp}/s.json", 66, "none"),
        ("runs {tmp}/none", 66, "none"),
        ("runs {tmp} --json {tmp}/text.h5", 73, "--overwrite"),
        ("sweep {tmp}/none.yaml", 66, "none.yaml"),
        ("sweep {tmp}/text.h5", 78, "text.h5"),
        ("sweep {tmp}/sweep.yaml --out {tmp}/text.h5 ", 73, "text.h5"),
        ("sweep {tmp}/sweep.yaml --out {tmp}/s --slurm {tmp}/text.h5", 73, "--overwrite"),
        ("evaluate tiny --data {tmp}/x.h5 --json {tmp}/text.h5", 73, "--overwrite"),
    ],
)
def test_bad_input_ends_with_one_line_and_its_exit_code(args, code, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "text.h5").write_text("not HDF5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    (tmp_path / "sweep.yaml").write_text("preset: tiny\ndata: emulator\nruns: [[]]\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert exit_code(monkeypatch, *args.format(tmp=tmp_path).split()) == code
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


EARLY = [
    ("info tiny --set model.label_names=[logg]", 2, "model.label_names must name labels of T_eff, log_g"),
    ("train tiny --data emulator --out {tmp}/r --set model.label_names=[logg]", 2, "found logg"),
    ("train tiny --data emulator --out {tmp}/r --set data.labels=[logg]", 2, "labels must name labels"),
    ("train tiny --data emulator --out {tmp}/r --set data.ranges=[logg=1:3]", 2, "range must name labels"),
    ("train tiny --data {tmp}/none.h5 --out {tmp}/r", 66, "none.h5"),
    ("train tiny --data emulator --grid {tmp}/none.h5 --out {tmp}/r", 66, "--grid {tmp}/none.h5 does not"),
    ("train tiny --data emulator --noise {tmp}/none.h5 --out {tmp}/r", 66, "--noise {tmp}/none.h5 does not"),
    ("train tiny --data emulator --init-weights {tmp}/no --out {tmp}/r", 66, "--init-weights {tmp}/no does"),
    ("train tiny --data emulator --out {tmp}/run", 73, "--resume"),
    (
        "train tiny --data {tmp}/run/clean.h5 --out {tmp}/run --overwrite",
        73,
        "would be written over {tmp}/run/clean.h5",
    ),
    ("train tiny --data emulator --grid {tmp}/run/clean.h5 --out {tmp}/run --overwrite", 73, "(--grid)"),
    ("simulate --n 0 --out {tmp}/new.h5", 2, "--n must be a number from 1"),
    ("simulate --n 5 --out {tmp}/new.h5 --labels T_eff logg", 2, "found logg"),
    ("simulate --n 5 --out {tmp}/new.h5 --range logg=1:3", 2, "found logg"),
    ("simulate --n 5 --out {tmp}/new.h5 --range T_eff", 2, "LABEL=LOW:HIGH"),
    ("simulate --n 5 --out {tmp}/new.h5 --beta logg=2:5", 2, "found logg"),
    ("simulate --n 5 --out {tmp}/new.h5 --grid {tmp}/none.h5", 66, "none.h5"),
    ("simulate --n 5 --out {tmp}/text.h5 --grid {tmp}/text.h5 --overwrite", 73, "is an input"),
    ("simulate --n 5 --out {tmp}/link.h5 --grid {tmp}/text.h5 --overwrite", 73, "is an input"),
    ("simulate --n 5 --out {tmp}/text.h5", 73, "--overwrite"),
    ("simulate --n 5 --out {tmp}/text.h5 --shards 2", 73, "is a file"),
    ("simulate --n 5 --out {tmp}/new --shards 6", 2, "shards must be between 1 and the 5"),
    ("simulate --out {tmp}/new --verify", 66, "holds no set"),
    ("evaluate {tmp}/none --data {tmp}/text.h5 --json {tmp}/s.json", 66, "no weights at {tmp}/none"),
    ("evaluate tiny --data {tmp}/none.h5 --json {tmp}/s.json", 66, "--data {tmp}/none.h5 does not exist"),
    ("evaluate tiny --data {tmp}/text.h5 --json {tmp}/sweep.yaml", 73, "--overwrite"),
    ("evaluate tiny --data {tmp}/text.h5 --json {tmp}/link.h5 --overwrite", 73, "(--data)"),
    (
        "evaluate tiny --data {tmp}/text.h5 --json {tmp}/s --predictions {tmp}/s",
        73,
        "--json is the same file",
    ),
    ("report {tmp}/none", 66, "source {tmp}/none does not exist"),
    ("report {tmp}/run -o {tmp}/run/config.yaml --overwrite", 73, "is an input"),
    ("report {tmp}/run -o {tmp}/text.h5", 73, "--overwrite"),
    ("runs {tmp}/run --json {tmp}/run/config.yaml --overwrite", 73, "is an input"),
    ("runs {tmp}/none", 66, "none"),
    ("sweep {tmp}/sweep.yaml --slurm {tmp}/sweep.yaml --overwrite", 73, "(FILE)"),
    ("sweep {tmp}/sweep.json --out {tmp}", 73, "(FILE)"),
    ("sweep {tmp}/lost.yaml --out {tmp}/s", 66, "none.h5"),
]


def test_what_can_be_refused_at_once_is_refused_before_jax_is_loaded(tmp_path):
    """All in one process; the refusals themselves are those that `EARLY` names."""
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "link.h5").symlink_to(tmp_path / "text.h5")
    sweep = "preset: tiny\ndata: emulator\nruns: [[]]\n"
    (tmp_path / "sweep.yaml").write_text(sweep)
    (tmp_path / "sweep.json").write_text(sweep)
    (tmp_path / "lost.yaml").write_text(sweep.replace("emulator", str(tmp_path / "none.h5")))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(preset("tiny")))
    (tmp_path / "run" / "clean.h5").write_text("not HDF5")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    commands = [(args.format(tmp=tmp_path).split(), code) for args, code, _ in EARLY]
    code = f"""
import sys
from crlb.errors import run_cli
from specvit_jax.cli import parse
for args, expected in {commands!r}:
    print(*args, file=sys.stderr)
    try:
        run_cli(lambda: parse(args)())
    except SystemExit as stop:
        assert stop.code == expected, (args, stop.code)
    else:
        raise AssertionError(args)
    assert "jax" not in sys.modules, args
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    for (args, _, words), given, error in zip(EARLY, said[::2], said[1::2], strict=True):
        assert given == args.format(tmp=tmp_path)
        assert error.startswith("error: ")
        assert words.format(tmp=tmp_path) in error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}


def test_training_in_a_batch_script_without_srun_is_refused(tmp_path, monkeypatch, capsys):
    for name, value in BATCH_SCRIPT.items():
        monkeypatch.setenv(name, value)
    assert exit_code(monkeypatch, "train", "tiny", "--data", "emulator", "--out", str(tmp_path / "r")) == 2
    message = capsys.readouterr().err
    assert "8 tasks" in message
    assert "srun specvit train" in message


@pytest.mark.parametrize(
    "change", [{"SLURM_NTASKS": "1"}, {"SLURM_STEP_NODELIST": "node[1-8]"}, {"SLURM_JOB_ID": None}]
)
def test_tasks_of_slurm_and_jobs_of_one_task_may_train(change):
    environment = {name: value for name, value in (BATCH_SCRIPT | change).items() if value is not None}
    check_tasks(environment)


THEIRS = "opt: {lr: 1e-3}\nmodel: {hidden_size: 32, num_attention_heads: 2}\ntrain: {batch_size: 16, ep: 3}\n"


@pytest.mark.parametrize(
    ("data", "more", "expected"),
    [
        ("", "", (10, 3, 16)),  # 54 of 60 spectra: a tenth is kept for validation
        ("num_samples: 20", "", (3, 1, 16)),
        ("num_samples: 10", "", (3, 1, 9)),
        ("num_samples: -1", "--set train.batch_size=6", (27, 9, 6)),
        ("", "--steps 50", (50, 3, 16)),
        ("", "--set train.steps=50 train.eval_every=7", (50, 7, 16)),
        ("", "--data emulator --steps 50", (50, 2000, 16)),
    ],
)
def test_epochs_are_counted_in_the_file_as_the_run_begins(tmp_path, capsys, data, more, expected):
    file, spectra = tmp_path / "vit.yaml", write_clean(tmp_path / "train.h5", 60)
    file.write_text(THEIRS + f"data: {{file_path: {spectra}, param: log_g{', ' * bool(data)}{data}}}")
    command = cli.parse(f"train --config {file} --out {tmp_path}/r {more}".split())
    train = command._checked(command.configured()).train
    assert (train.steps, train.eval_every, train.batch_size, train.epochs) == (*expected, None)
    said = capsys.readouterr().err
    assert ("train.batch_size is 9 instead of 16" in said) == (expected[2] == 9)
    assert ("3 epochs of" in said) == ("emulator" not in more)


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        ("param: log_g, file_path: {tmp}/none.h5", 66, "none.h5 does not exist"),
        ("param: log_g, file_path: {tmp}/train.h5, val_path: {tmp}/gone.h5", 66, "data.val_path"),
        ("param: M_H, file_path: {tmp}/train.h5", 2, "data.param must be among T_eff, log_g"),
        ("param: log_g, file_path: emulator", 78, "train.ep counts passes over files"),
    ],
)
def test_what_goes_wrong_in_a_run_is_told_in_the_words_of_its_file(
    tmp_path, monkeypatch, capsys, data, code, said
):
    write_clean(tmp_path / "train.h5", 40)
    file = tmp_path / "vit.yaml"
    file.write_text(THEIRS + f"data: {{{data.format(tmp=tmp_path)}}}")
    assert exit_code(monkeypatch, "train", "--config", file, "--out", tmp_path / "r") == code
    (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert said in told
    assert not re.search(r"data\.(source|validation|rows)|train\.epochs", told)
