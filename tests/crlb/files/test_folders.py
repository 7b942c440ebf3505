"""Entries of a folder are deleted all or none, and nothing that a link leads to is touched."""

import os
from pathlib import Path

import pytest

from crlb.errors import DataError, OutputError
from crlb.files.folders import DELETED, check_links, delete_entries, finish_deletion, tree
from tests.crlb.stranger import stranger


@pytest.fixture
def folder(tmp_path):
    """A folder with three files in it, one of them two folders deep, and one that is not to be deleted."""
    for name in ("a", "b/c/d", "e", "kept"):
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "folder"


def content(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in tree(folder) if path.is_file())


def test_what_is_named_goes_and_the_rest_stays(folder):
    delete_entries(folder, ["a", "b", "e", "not there"])
    assert sorted(os.listdir(folder)) == ["kept"]


@pytest.mark.parametrize("place", ["e", "b", "b/c", "b/c/d"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_anywhere_is_refused_and_nothing_is_deleted(folder, tmp_path, place, dangling):
    (folder / place).rename(tmp_path / "elsewhere")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    if dangling:
        (tmp_path / "elsewhere").rename(tmp_path / "gone")
    before = sorted(tmp_path.rglob("*")), content(folder)
    with pytest.raises(OutputError, match=f"{place} is a symbolic link, and none is"):
        delete_entries(folder, ["a", "b", "e"])
    assert (sorted(tmp_path.rglob("*")), content(folder)) == before


def test_a_link_where_entries_are_moved_to_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / DELETED).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"\.deleted is a symbolic link"):
        delete_entries(folder, ["a", "b", "e"])
    assert len(content(folder)) == 4


def test_an_entry_that_cannot_be_moved_stays_with_all_others(folder, monkeypatch):
    """A mounted folder, say, can be neither renamed nor removed: the system says it is busy."""
    rename = Path.rename

    def busy(path, target):
        if path.name == "e":
            raise OSError(16, "Device or resource busy", str(path))
        return rename(path, target)

    before = content(folder)
    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(OutputError, match="Device or resource busy"):
        delete_entries(folder, ["a", "b", "e"])
    assert content(folder) == before
    assert not (folder / DELETED).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_another_user_is_refused_and_nothing_is_deleted(folder, tmp_path):
    (folder / "b" / "c").chmod(0o755)
    for path in (folder, folder / "b"):
        path.chmod(0o777)
    before = content(folder)
    with stranger(tmp_path), pytest.raises(OutputError, match=r"no permission to change .*b/c; nothing was"):
        delete_entries(folder, ["a", "b", "e"])
    assert content(folder) == before


def test_a_deletion_that_was_cut_short_is_finished_later(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("crlb.files.folders.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_entries(folder, ["a"])
    finish_deletion(folder)
    assert sorted(os.listdir(folder)) == ["b", "e", "kept"]
    finish_deletion(folder)


def test_links_are_refused_by_the_error_asked_for(folder):
    check_links([folder / "a", folder / "none"])
    (folder / "link").symlink_to("a")
    with pytest.raises(DataError, match="link is a symbolic link"):
        check_links([folder / "a", folder / "link"], DataError)
