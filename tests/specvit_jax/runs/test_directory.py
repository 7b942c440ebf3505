"""The run directory: one writer, nothing lost when the disk refuses, its history."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import jax
import pytest

from crlb.errors import DataError, DiskError, OutputError, RunLocked, UsageError
from specvit_jax.runs.directory import check_run, open_run
from specvit_jax.runs.inputs import Input
from specvit_jax.runs.lock import LOCK_FILES, RunLock, owner_of
from specvit_jax.runs.manifest import Manifest, layout_change, read_manifest
from specvit_jax.settings.config_file import from_yaml, override, to_yaml
from tests.specvit_jax.toy import small_disk

OPEN = """
import sys
from pathlib import Path
from crlb.errors import run_cli
from specvit_jax.settings.config_file import from_yaml
from specvit_jax.runs.directory import open_run
config = from_yaml(Path(sys.argv[2]).read_text())
import jax
jax.local_devices()
print("ready", flush=True)
sys.stdin.readline()
def command():
    with open_run(sys.argv[1], config, overwrite="overwrite" in sys.argv):
        print("open", flush=True)
        sys.stdin.readline()
run_cli(command)
"""


@pytest.fixture
def config(toy_config):
    return toy_config


@pytest.fixture
def started(tmp_path, config):
    """A run with some rows of metrics, not open now."""
    path = tmp_path / "run"
    with open_run(path, config, layout="1 x cpu, jit") as run:
        for step in (3, 6, 9):
            run.log({"step": step, "loss": 1.0 / step})
    return path


def contents(path):
    """Every file of a folder but the lock's, and what is in it."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name not in LOCK_FILES)
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def steps(path):
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


# --- one writer


def test_a_run_is_locked_while_it_is_open(tmp_path, config):
    with open_run(tmp_path / "a" / "run", config) as run:
        assert owner_of(run.path).pid == os.getpid()
        run.check()
    assert owner_of(run.path) is None
    assert from_yaml((run.path / "config.yaml").read_text()) == config


def test_a_locked_run_is_not_touched(started, config):
    before = contents(started)
    with RunLock(started):
        for options in ({"resume": True}, {"overwrite": True}):
            for refused in (check_run, open_run):
                with pytest.raises(RunLocked, match=rf"run is locked by process {os.getpid()} "):
                    refused(started, config, **options)
        assert contents(started) == before


@pytest.mark.parametrize("place", ["new", "old"])
def test_of_racing_starts_exactly_one_opens_the_run(tmp_path, started, config, place):
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    path = tmp_path / "new" if place == "new" else started
    args = [sys.executable, "-c", OPEN, str(path), str(tmp_path / "config.yaml"), "overwrite"]
    racing = [
        subprocess.Popen(args, stdin=-1, stdout=-1, stderr=-1, text=True, cwd=os.getcwd()) for _ in range(3)
    ]
    for process in racing:
        assert process.stdout.readline() == "ready\n"
    for process in racing:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.stdout.readline() for process in racing]  # nothing where it was refused
    assert sorted(said) == ["", "", "open\n"]
    errors = [process.communicate("\n")[1] for process in racing]
    assert sorted(process.returncode for process in racing) == [0, 69, 69]
    for text, error in zip(said, errors, strict=True):
        assert text or "locked by" in error
    assert len(read_manifest(path).starts) == 1


def test_a_start_that_fails_gives_the_lock_back(started, config):
    (started / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is damaged.*delete it"):
        open_run(started, config, resume=True)
    assert owner_of(started) is None


def test_a_run_that_came_into_being_meanwhile_is_not_written_over(started, config, monkeypatch):
    # it was not there when looked at
    monkeypatch.setattr("specvit_jax.runs.directory.check_run", lambda *_, **__: None)
    before = contents(started)
    with pytest.raises(OutputError, match="holds a run already"):
        open_run(started, config)
    assert contents(started) == before
    assert owner_of(started) is None


def test_an_owner_who_lost_the_run_writes_no_more(started, config):
    with open_run(started, config, resume=True) as run:
        before = contents(started)
        run.lock.lost = "taken over by another"
        for write in (lambda: run.log({"step": 12}), lambda: run.rewind(3), lambda: run.finish(12)):
            with pytest.raises(RunLocked, match="taken over"):
                write()
        assert contents(started) == before


def test_of_several_processes_only_the_first_writes(tmp_path, config, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with open_run(tmp_path / "run", config) as run:
        run.log({"step": 1})
        run.rewind(0)
        run.finish(1)
        run.check()
    assert not run.path.exists()


# --- starting, continuing, deleting


def test_resume_needs_the_same_config(started, config):
    with pytest.raises(UsageError, match=r"steps: 12 -> steps: 11"):
        check_run(started, override(config, ["train.steps=11"]), resume=True)
    with pytest.raises(UsageError, match=r"it changed: seed: 42 -> seed: 1$"):
        check_run(started, override(config, ["train.steps=13", "train.seed=1"]), resume=True)
    (started / "config.yaml").write_text("train: {stepz: 1}")
    with pytest.raises(DataError, match=r"config\.yaml is damaged.*stepz.*--overwrite"):
        check_run(started, config, resume=True)


def test_a_run_may_be_lengthened(started, config):
    longer = override(config, ["train.steps=20"])
    with open_run(started, longer, resume=True) as run:
        assert [line for line in run.notes if "lengthened from 12 to 20 steps" in line]
    assert from_yaml((started / "config.yaml").read_text()) == longer
    with open_run(started, longer, resume=True) as run:
        assert list(run.notes) == []
    with pytest.raises(UsageError, match="steps: 20 -> steps: 12"):
        check_run(started, config, resume=True)


def test_files_that_changed_since_the_run_began_are_refused(tmp_path, config):
    file = Input("data.grid", "grid.h5", 10, 1, "aa")
    path = tmp_path / "run"
    for _ in range(2):
        with open_run(path, config, resume=True, inputs=[file]):
            assert read_manifest(path).inputs == (file,)
    before = contents(path)
    with pytest.raises(DataError, match=r"data\.grid grid\.h5 changed \(content\).*--overwrite"):
        open_run(path, config, resume=True, inputs=[replace(file, sample="bb")])
    assert contents(path) == before
    assert owner_of(path) is None
    with open_run(path, config, resume=True, inputs=[replace(file, modified=2)]) as run:
        assert "written again" in run.notes[0]
    with open_run(path, config, overwrite=True, inputs=[replace(file, sample="bb")]):
        pass


def test_a_run_of_before_inputs_were_noted_gets_them(started, config):
    assert "inputs" in (started / "manifest.json").read_text()
    manifest = json.loads((started / "manifest.json").read_text())
    del manifest["inputs"]
    (started / "manifest.json").write_text(json.dumps(manifest))
    file = Input("data.grid", "grid.h5", 10, 1, "aa")
    with open_run(started, config, resume=True, inputs=[file]) as run:
        assert list(run.notes) == []
    assert read_manifest(started).inputs == (file,)


def test_overwrite_starts_afresh(started, config):
    (started / "checkpoints" / "3").mkdir(parents=True)
    (started / ".metrics.77.partial.jsonl").write_text("left over by a killed process")
    with open_run(started, override(config, ["train.steps=13"]), overwrite=True):
        assert sorted(contents(started)) == ["config.yaml", "manifest.json"]
    assert "steps: 13" in (started / "config.yaml").read_text()


def test_a_deletion_that_was_cut_short_can_be_repeated(started, config, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    (started / "checkpoints").mkdir()
    monkeypatch.setattr("crlb.files.folders.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        open_run(started, config, overwrite=True)
    monkeypatch.undo()
    with open_run(started, config, overwrite=True):
        pass
    assert sorted(contents(started)) == ["config.yaml", "manifest.json"]
    assert not (started / ".deleted").exists()


def test_rewinding_drops_later_rows_and_a_line_cut_short(started, config):
    with (started / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "lo')
    with open_run(started, config, resume=True) as run:
        run.rewind(6)
        assert steps(started) == [3, 6]
        run.log({"step": 7})
    assert steps(started) == [3, 6, 7]


# --- the disk refuses


def test_a_row_the_disk_refuses_leaves_the_rows_before(started, config):
    with open_run(started, config, resume=True) as run:
        size = (started / "metrics.jsonl").stat().st_size
        with (
            small_disk(size + 5),
            pytest.raises(DiskError, match=r"cannot write .*metrics\.jsonl: File too large"),
        ):
            run.log({"step": 12, "loss": 0.5})
    with open_run(started, config, resume=True) as run:
        run.rewind(9)
    assert steps(started) == [3, 6, 9]


def test_what_the_disk_refuses_leaves_everything_as_it_was(started, config):
    with open_run(started, config, resume=True) as run, small_disk(20):
        before = contents(started)
        for write in (lambda: run.rewind(6), lambda: run.finish(12)):
            with pytest.raises(DiskError, match=r"cannot write .*json.*: File too large"):
                write()
        assert contents(started) == before


@pytest.mark.parametrize("limit", [20, 400])  # bytes: too few for the lock; for the manifest
def test_a_start_the_disk_refuses_changes_nothing(started, config, limit):
    before = contents(started)
    with small_disk(limit), pytest.raises(DiskError, match=r"run.*: File too large"):
        open_run(started, config, resume=True)
    assert owner_of(started) is None
    assert contents(started) == before
    with open_run(started, config, resume=True):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission_is_refused(started, config):
    before = contents(started)
    started.chmod(0o500)
    try:
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="cannot be written into"):
                open_run(started, config, **options)
        assert contents(started) == before
    finally:
        started.chmod(0o700)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written into"):
        open_run(tmp_path / "file" / "run", config)


# --- history


def test_every_start_is_in_the_manifest(started, config):
    with open_run(started, config, resume=True, layout="8 x cpu, pmap") as run:
        assert run.before == "1 x cpu, jit"
    with open_run(started, config, resume=True, layout="8 x cpu, pmap") as run:
        assert run.before == "8 x cpu, pmap"
    starts = read_manifest(started).starts
    assert [start.layout for start in starts] == ["1 x cpu, jit", "8 x cpu, pmap", "8 x cpu, pmap"]
    assert starts[0].devices == f"{len(jax.local_devices())} x cpu"
    assert starts[0].processes == 1
    assert starts[0].versions["jax"] == jax.__version__
    stored = json.loads((started / "manifest.json").read_text())["starts"]
    assert {"date", "command", "host", "cpus", "system"} < set(stored[0])
    assert read_manifest(started) == Manifest(starts, inputs=())


def test_the_end_is_noted_until_the_run_is_started_again(started, config):
    with open_run(started, config, resume=True) as run:
        run.finish(9)
        assert read_manifest(started).finished.step == 9
    with open_run(started, config, resume=True):
        assert read_manifest(started).finished is None


def test_a_change_of_devices_is_one_line():
    assert layout_change("", "1 x cpu, jit") is None
    assert layout_change("1 x cpu, jit", "1 x cpu, jit") is None
    line = layout_change("1 x cpu, jit", "8 x cpu, pmap")
    assert "were 1 x cpu, jit, now 8 x cpu, pmap" in line
    assert "\n" not in line


def test_tensorboard_gets_every_row_and_goes_on_after_a_resume(started, config):
    pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")
    for step in (9, 12):
        with open_run(started, config, resume=True, log_to=["tensorboard"]) as run:
            run.rewind(step - 3)
            run.log({"step": step, "loss": 0.5})
    assert len(list((started / "tensorboard").iterdir())) == 2
    with open_run(started, config, overwrite=True):
        assert not (started / "tensorboard").exists()
