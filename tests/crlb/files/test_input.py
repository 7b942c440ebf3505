"""Inputs that may not be read are named, with the reason and the status of a missing input."""

import os

import pytest

from crlb.errors import MissingInputError, run_cli
from crlb.files.input import check_file, check_inputs
from crlb.files.output import check_outputs
from tests.crlb.stranger import stranger

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@ROOT
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_files_of_another_user_are_refused_as_unreadable(tmp_path, locked):
    path = tmp_path / "folder" / "grid.h5"
    path.parent.mkdir()
    path.write_text("private")
    (path if locked == "file" else path.parent).chmod(0o700)
    with stranger(tmp_path):
        with pytest.raises(MissingInputError, match=r"--grid .*grid\.h5 cannot be read: Permission denied"):
            check_inputs({"--grid": path})
        check_outputs({"--json": None}, {"--grid": path})
    check_inputs({"--grid": path})


def test_a_name_that_the_system_does_not_allow_is_unreadable(tmp_path):
    with pytest.raises(MissingInputError, match="cannot be read: File name too long"):
        check_file(tmp_path / ("a" * 300), "--grid")


@ROOT
def test_a_command_that_may_not_read_something_ends_in_one_line_with_66(tmp_path, capsys):
    (tmp_path / "folder").mkdir(mode=0o700)
    with stranger(tmp_path), pytest.raises(SystemExit) as ended:
        run_cli(lambda: print((tmp_path / "folder" / "a").exists()))
    said = capsys.readouterr().err
    assert ended.value.code == 66
    assert said == f"error: cannot read {tmp_path / 'folder' / 'a'}: Permission denied\n"
