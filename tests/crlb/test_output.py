"""Output files exist whole or not at all."""

import pytest

from crlb.errors import MissingInputError, OutputError
from crlb.output import check_output, new_file


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
        (OSError(28, "No space left on device"), OutputError),
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
        pytest.raises(OutputError, match=r"cannot create .*a\.txt: No space left"),
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
