"""Output files exist whole or not at all."""

import errno
import re
import subprocess
import sys

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
from crlb.files.output import check_output, check_outputs, new_file


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
