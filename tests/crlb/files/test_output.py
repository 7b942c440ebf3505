"""Output files exist whole or not at all."""

import errno
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from crlb.errors import (
    ConfigError,
    DataError,
    DiskError,
    Interrupted,
    Locked,
    MissingInputError,
    NumericalError,
    OutputError,
    RunLocked,
    UsageError,
    run_cli,
)
from crlb.files.input import check_inputs
from crlb.files.output import FORGOTTEN_S, check_output, check_outputs, hidden, new_file


def test_file_appears_when_the_block_ends(tmp_path):
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
        assert temporary.suffix == ".txt"
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskError),
        (OSError(errno.EACCES, "Permission denied"), OutputError),
        (RuntimeError("Can't decrement id (file write failed: errno = 28, error message ...)"), DiskError),
        (ValueError("RESOURCE_EXHAUSTED: No space left [os_error_code=28]"), DiskError),
        (ValueError("OUT_OF_RANGE: File too large [os_error_code='27']"), DiskError),
        (MissingInputError("no input"), MissingInputError),
        (ValueError("bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, raised, expected):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(expected) as caught, new_file(tmp_path / "a.txt", overwrite=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise raised
    assert type(caught.value) is expected
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_is_named(tmp_path):
    with (
        pytest.raises(DiskError, match=r"cannot write .*a\.txt: No space left.*free some space"),
        new_file(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")


def test_what_is_no_place_for_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place, words in (
        (tmp_path, "it is a folder"),
        (tmp_path / "none" / "a.txt", "not an existing folder"),
        (tmp_path / "file" / "a.txt", "not an existing folder"),
        (tmp_path / "file", "exists already"),
    ):
        with pytest.raises(OutputError, match=words):
            check_output(place)
    assert check_output(tmp_path / "file", overwrite=True) == tmp_path / "file"


@pytest.mark.parametrize(
    "writing",
    [
        "path.write_text('x' * 200_000)",
        "import h5py, numpy\n    with h5py.File(path, 'w') as file: file['x'] = numpy.zeros(50_000)",
        "import safetensors.numpy as s, numpy\n    s.save_file({'x': numpy.zeros(50_000)}, path)",
    ],
    ids=["text", "hdf5", "safetensors"],
)
def test_a_disk_that_takes_no_more_ends_the_command_with_74(tmp_path, writing):
    (tmp_path / "a.txt").write_text("old")
    code = f"""
import resource
from crlb.errors import run_cli
from crlb.files.output import new_file
def command():
  with new_file({str(tmp_path / "a.txt")!r}, overwrite=True) as path:
    {writing}
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
run_cli(command)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 74, done.stderr
    assert "a.txt: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (DataError("x"), 65),
        (MissingInputError("x"), 66),
        (NumericalError("x"), 70),
        (OutputError("x"), 73),
        (DiskError("x"), 74),
        (OSError(errno.ENOSPC, "full", "x"), 74),
        (OSError(errno.EROFS, "read-only", "x"), 74),
        (OSError(errno.EIO, "failing", "x"), 74),
        (OSError(errno.EDQUOT, "quota", "x"), 74),
        (Interrupted("x"), 75),
        (Locked("x"), 75),
        (RunLocked("x"), 69),
        (ConfigError("x"), 78),
    ],
)
def test_every_error_has_its_exit_code_and_one_line(error, code, capsys):
    def command():
        raise error

    with pytest.raises(SystemExit) as stop:
        run_cli(command)
    assert stop.value.code == code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "x" in said
    assert said.count("\n") == 1


def test_what_is_not_the_disks_fault_is_not_hidden():
    def command():
        raise OSError(errno.ECONNREFUSED, "refused")

    with pytest.raises(ConnectionRefusedError):
        run_cli(command)


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "grid.h5").write_text("grid")
    (tmp_path / "folder").mkdir()
    return tmp_path / "grid.h5"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("way", ["name", "detour", "symbolic", "hard", "folder"])
def test_an_output_that_is_an_input_is_refused_whichever_way_it_is_named(grid, way, overwrite):
    out = grid if way == "name" else grid.parent / "out.json"
    if way == "detour":
        out = grid.parent / "folder" / ".." / "grid.h5"
    elif way == "symbolic":
        out.symlink_to(grid)
    elif way == "hard":
        out.hardlink_to(grid)
    elif way == "folder":
        (grid.parent / "link").symlink_to(grid.parent, target_is_directory=True)
        out = grid.parent / "link" / "grid.h5"
    words = rf"--json {re.escape(str(out))}: this is an input of the command \(--grid\)"
    with pytest.raises(OutputError, match=words):
        check_outputs({"--csv": None, "--json": out}, {"--noise": None, "--grid": grid}, overwrite)


def test_an_input_reached_through_a_link_is_an_input(grid):
    (grid.parent / "link.h5").symlink_to(grid)
    with pytest.raises(OutputError, match=r"this is an input of the command \(--grid\)"):
        check_outputs({"--json": grid}, {"--grid": grid.parent / "link.h5"}, overwrite=True)


def test_two_outputs_of_one_name_are_refused(grid):
    new, detour = grid.parent / "a.json", grid.parent / "folder" / ".." / "a.json"
    with pytest.raises(OutputError, match=r"--plot .*: --json is the same file; choose another name"):
        check_outputs({"--json": new, "--plot": detour}, {}, overwrite=True)


def test_outputs_of_their_own_are_free_where_they_may_be_created(grid):
    outputs = {"--json": grid.parent / "a.json", "--csv": grid.parent / "a.csv", "--plot": None}
    check_outputs(outputs, {"--grid": grid, "--noise": grid.parent / "none.h5"})
    (grid.parent / "a.csv").write_text("old")
    with pytest.raises(OutputError, match=r"a\.csv exists already"):
        check_outputs(outputs, {"--grid": grid})
    check_outputs(outputs, {"--grid": grid}, overwrite=True)
    assert grid.read_text() == "grid"


def test_inputs_that_are_not_there_are_named_with_their_option(grid):
    check_inputs({"--grid": grid, "--noise": None})
    for path in (grid.parent / "none.h5", grid.parent / "folder"):
        with pytest.raises(MissingInputError, match=rf"--noise .*{path.name} does not exist or is no"):
            check_inputs({"--grid": grid, "--noise": path})


# --- two writers of one file


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "a file system without"])
def test_of_two_writers_the_first_wins_and_the_other_is_refused(tmp_path, monkeypatch, links):
    if not links:

        def refuse(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.txt"
    with pytest.raises(OutputError, match=r"a\.txt exists already"), new_file(path) as late:  # noqa: PT012
        with new_file(path) as early:
            early.write_text("early")
        late.write_text("late")
    assert path.read_text() == "early"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_of_two_writers_that_may_replace_the_last_wins(tmp_path):
    with new_file(tmp_path / "a.txt", overwrite=True) as late:
        with new_file(tmp_path / "a.txt", overwrite=True) as early:
            early.write_text("early")
        late.write_text("late")
    assert (tmp_path / "a.txt").read_text() == "late"


def test_of_many_racing_writers_exactly_one_wins(tmp_path):
    start, ends = threading.Barrier(8), []

    def write(number):
        start.wait()
        try:
            with new_file(tmp_path / "a.txt") as temporary:
                temporary.write_text(f"{number}" * 10_000)
        except OutputError as error:
            ends.append(error.exit_code)
        else:
            ends.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [end for end in ends if end < 8]
    assert ends.count(73) == 7
    assert (tmp_path / "a.txt").read_text() == f"{winner}" * 10_000
    assert os.listdir(tmp_path) == ["a.txt"]


# --- what a killed writer left

WRITE = """
import sys, time
from crlb.files.output import new_file
with new_file(sys.argv[1], overwrite=True) as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    time.sleep(60)
"""


def writer(path):
    """A process that writes a file and does not come to an end, and the temporary name it uses."""
    process = subprocess.Popen([sys.executable, "-c", WRITE, str(path)], stdout=-1, text=True)
    return process, process.stdout.readline().strip()


def kill(process):
    process.kill()
    process.communicate()


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    names = ("a.txt", "a.csv", "b.txt")
    processes = {name: writer(tmp_path / name) for name in names}
    for process, _ in processes.values():
        kill(process)
    (tmp_path / ".a.notes.partial.txt").write_text("a user's")
    alive, other = writer(tmp_path / "a.txt")
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    left = {processes["a.csv"][1], processes["b.txt"][1], ".a.notes.partial.txt", other, "a.txt"}
    assert set(os.listdir(tmp_path)) == left
    kill(alive)


def test_a_writer_on_another_machine_counts_as_dead_after_a_day_without_a_change(tmp_path):
    old, new = (tmp_path / f".a.1-00000000-0000000{i}.partial.txt" for i in range(2))
    for path, age in ((old, FORGOTTEN_S + 60), (new, FORGOTTEN_S - 600)):
        path.write_text("half")
        os.utime(path, times=(time.time() - age,) * 2)
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == [new.name, "a.txt"]


# --- names


@pytest.mark.parametrize(
    "name",
    [
        "a" * 236 + ".txt",
        "a" * 255,
        "a." + "b" * 253,
        "." + "a" * 254,
        "Å" * 125 + ".csv",
        "a" * 248 + ".tar.gz",
        "a b\tc",
        "...",
    ],
)
def test_every_name_that_the_system_allows_can_be_written(tmp_path, name):
    for content in ("old", "new"):
        with new_file(tmp_path / name, overwrite=True) as temporary:
            temporary.write_text(content)
        assert (tmp_path / name).read_text() == content
    assert os.listdir(tmp_path) == [name]
    (tmp_path / hidden(tmp_path / name, ".partial.json").name).write_text("")


def test_long_names_that_begin_alike_have_temporary_names_of_their_own(tmp_path):
    one, two = (hidden(tmp_path / ("a" * 250 + end), ".partial") for end in ("b.csv", "c.csv"))
    assert one != two
    assert hidden(tmp_path / "a.csv", ".partial").name == ".a.csv.partial"


def test_a_name_that_the_system_does_not_allow_is_refused_at_once(tmp_path):
    with pytest.raises(OutputError, match=r"cannot create .*: File name too long"):
        check_output(tmp_path / ("a" * 256))


@pytest.mark.parametrize("overwrite", [False, True])
def test_pipes_and_devices_are_not_replaced(tmp_path, overwrite):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("pipe", "null"):
        with pytest.raises(OutputError, match="it is a pipe or a device" if overwrite else "exists already"):
            check_output(tmp_path / name, overwrite)


def test_a_link_that_leads_nowhere_is_a_name_that_is_taken(tmp_path):
    (tmp_path / "a.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="exists already"):
        check_output(tmp_path / "a.txt")
    with new_file(tmp_path / "a.txt", overwrite=True) as temporary:
        temporary.write_text("new")
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "a.txt").is_symlink()


# --- permissions


@pytest.fixture(params=[0o022, 0o077, 0o002, 0o027], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("private", [False, True])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, private):
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
        if private:  # as tempfile makes them
            temporary.chmod(0o600)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_safetensors_are_not_private(tmp_path, umask):
    import numpy as np
    import safetensors.numpy

    with new_file(tmp_path / "a.safetensors") as temporary:
        safetensors.numpy.save_file({"x": np.zeros(3)}, temporary)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
