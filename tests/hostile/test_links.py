"""Symbolic links inside a run, a set of shards or a folder of results lead nowhere."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from crlb.errors import DataError, MissingInputError, OutputError
from crlb.files.folders import tree
from crlb.synthesis.build import build_grid
from specvit_jax.network.find import find_weights, shipped_weights
from specvit_jax.report.sources import find_sources
from specvit_jax.runs.directory import CONTENTS, check_run, open_run
from specvit_jax.runs.listing import list_runs
from specvit_jax.runs.lock import LOCK_FILES
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.settings.presets import preset
from specvit_jax.spectra.shard_set import Recipe, ShardSet, check_folder, verify
from specvit_jax.spectra.shards import find_shards
from specvit_jax.spectra.simulate_shards import simulate_shards
from specvit_jax.training.checkpoint import Checkpoints

BOARDS = ("tensorboard/events", "wandb/run/logs/file")


@pytest.fixture
def config() -> Config:
    return preset("tiny")


@pytest.fixture
def run(tmp_path, config) -> Path:
    """A run with something of everything in it."""
    path = tmp_path / "run"
    with open_run(path, config) as opened:
        opened.log({"step": 1, "loss": 1.0})
    for name in ("checkpoints/1/state/d/data", "weights/best.safetensors", *BOARDS):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"precious")
    (path / "training_curves.png").write_bytes(b"precious")
    return path


def lead_away(path: Path, elsewhere: Path) -> None:
    """Puts a file or folder elsewhere, and a link in its place."""
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def everything(folder: Path) -> dict[str, bytes | str]:
    """All files and links below a folder, but those of locks."""
    found = (path for path in tree(folder) if path.is_symlink() or path.is_file())
    return {
        str(path): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in found
        if path.name not in LOCK_FILES
    }


PLACES = (*CONTENTS, "checkpoints/1", "checkpoints/1/state", "checkpoints/1/state/d/data")
INNER = ("weights/best.safetensors", "wandb/run", "wandb/run/logs", *BOARDS)


@pytest.mark.parametrize("place", [*PLACES, *INNER])
@pytest.mark.parametrize("way", ["resume", "overwrite"])
def test_a_run_with_a_link_in_it_is_refused_and_left_as_it_is(run, tmp_path, config, place, way):
    lead_away(run / place, tmp_path / "elsewhere")
    before = everything(tmp_path)
    for refused in (check_run, open_run):
        with pytest.raises(OutputError, match=f"{place} is a symbolic link, and none is followed here"):
            refused(run, config, **{way: True})
    assert everything(tmp_path) == before


@pytest.mark.parametrize("way", ["resume", "overwrite"])
def test_the_link_that_wandb_makes_to_its_log_is_removed_and_not_followed(run, tmp_path, config, way):
    """Left by a run that was killed within its first second."""
    (tmp_path / "elsewhere").write_text("precious")
    (run / "wandb/run/logs/debug-core.log").symlink_to(tmp_path / "elsewhere")
    check_run(run, config, **{way: True})
    with open_run(run, config, **{way: True}):
        assert not any(path.is_symlink() for path in tree(run))
    assert (tmp_path / "elsewhere").read_text() == "precious"


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_that_is_a_link_is_not_written_through(run, tmp_path, config, name):
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"{name} is a symbolic link"):
        open_run(run, config, resume=True)
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_directory_that_is_itself_a_link_is_the_users_choice(run, tmp_path, config):
    lead_away(run, tmp_path / "elsewhere")
    with open_run(run, config, resume=True):
        pass
    assert len(json.loads((tmp_path / "elsewhere" / "manifest.json").read_text())["starts"]) == 2


def test_checkpoints_are_not_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="checkpoints is a symbolic link"):
        Checkpoints(tmp_path / "checkpoints")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "manifest.json"])
def test_a_run_that_is_described_by_a_link_is_listed_as_damaged(run, tmp_path, config, name):
    with open_run(tmp_path / "sound", config):
        pass
    lead_away(run / name, tmp_path / "elsewhere")
    states = {one.name: (one.state, one.problem) for one in list_runs(tmp_path)}
    assert states["sound"] == ("interrupted", "")
    assert states["run"][0] == "damaged"
    assert f"{name} is a symbolic link" in states["run"][1]


@pytest.mark.parametrize("place", ["weights", "weights/best.safetensors"])
def test_weights_of_a_run_are_not_read_through_a_link(run, tmp_path, place):
    assert find_weights(run) == run / "weights" / "best.safetensors"
    lead_away(run / place, tmp_path / "elsewhere")
    for read in (find_weights, lambda run: find_sources([run])):
        with pytest.raises(DataError, match=f"{place} is a symbolic link"):
            read(run)


def test_a_weights_file_named_by_a_link_is_read(tmp_path):
    (tmp_path / "link.safetensors").symlink_to(shipped_weights("tiny"))
    assert find_weights(tmp_path / "link.safetensors") == tmp_path / "link.safetensors"


# --- folders of results


@pytest.fixture
def results(tmp_path) -> Path:
    for name in ("one", "two"):
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        (folder / "results.json").write_text('{"experiment": "x"}')
        for left in ("table.md", "figure.png", "explorer.json"):
            (folder / left).write_text("secret")
    return tmp_path / "results"


@pytest.mark.parametrize(
    "place", ["two", "two/results.json", "two/table.md", "two/figure.png", "two/explorer.json"]
)
def test_a_report_copies_nothing_through_a_link(results, tmp_path, place):
    assert sorted(find_sources([results]).experiments) == ["one", "two"]
    lead_away(results / place, tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"{place} is a symbolic link"):
        find_sources([results])
    if place != "two":
        with pytest.raises(DataError, match=f"{place} is a symbolic link"):
            find_sources([results / "two"])


def test_a_folder_of_results_named_by_a_link_is_read(results, tmp_path):
    lead_away(results, tmp_path / "elsewhere")
    assert sorted(find_sources([results]).experiments) == ["one", "two"]


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "manifest.json"])
def test_a_report_of_a_run_follows_no_link(run, tmp_path, name):
    lead_away(run / name, tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"{name} is a symbolic link"):
        find_sources([run])


# --- sets of shards


@pytest.fixture
def shards(tmp_path, monkeypatch) -> Path:
    """A set of shards by its names; what is in the files is none's concern here."""
    monkeypatch.setattr(
        "specvit_jax.spectra.simulate_shards.simulator", lambda data: SimpleNamespace(wave=range(8))
    )
    path = tmp_path / "set"
    made = ShardSet(path, Recipe(6, 0, DataConfig(), 3).settings(), {})
    for name in made.spans:
        (path / name).mkdir(parents=True)
        made.file(name).write_bytes(b"precious")
        made.done[name] = "0"
    made.write_manifest()
    made.write_index()
    return path


@pytest.mark.parametrize(
    "place", ["shard_000", "shard_001/dataset.h5", "shard_002", "manifest.json", "shard_index.txt"]
)
@pytest.mark.parametrize("way", ["resume", "overwrite"])
def test_a_set_with_a_link_in_it_is_refused_and_left_as_it_is(shards, tmp_path, place, way):
    lead_away(shards / place, tmp_path / "elsewhere")
    before = everything(tmp_path)
    recipe = Recipe(6, 0, DataConfig(), 3)
    for refused in (check_folder, lambda path, **options: simulate_shards(path, recipe, **options)):
        with pytest.raises(OutputError, match=f"{place} is a symbolic link"):
            refused(shards, **{way: True})
    assert everything(tmp_path) == before


def test_a_set_without_links_is_deleted_whole(shards, monkeypatch):
    (shards / "shard_001" / "dataset.h5").unlink()
    monkeypatch.setattr("specvit_jax.spectra.simulate_shards._inline", lambda *_: iter(()))
    simulate_shards(shards, Recipe(6, 1, DataConfig(), 2), overwrite=True)
    assert sorted(os.listdir(shards)) == ["manifest.json", "shard_000", "shard_001", "shard_index.txt"]
    assert not list(shards.rglob("dataset.h5"))


def test_a_set_whose_deletion_was_cut_short_can_be_begun_again(shards, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    recipe = Recipe(6, 1, DataConfig(), 2)
    with monkeypatch.context() as patch:
        patch.setattr("crlb.files.folders.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            simulate_shards(shards, recipe, overwrite=True)
    assert check_folder(shards) == []
    monkeypatch.setattr("specvit_jax.spectra.simulate_shards._inline", lambda *_: iter(()))
    simulate_shards(shards, recipe)
    assert sorted(os.listdir(shards)) == ["manifest.json", "shard_000", "shard_001", "shard_index.txt"]


@pytest.mark.parametrize("place", ["shard_001", "shard_001/dataset.h5"])
def test_shards_are_neither_verified_nor_read_through_a_link(shards, tmp_path, place):
    assert len(find_shards(str(shards))) == len(find_shards(str(shards / "shard_index.txt"))) == 3
    lead_away(shards / place, tmp_path / "elsewhere")
    assert f"shard_001: {shards / place} is a symbolic link, which is not followed" in verify(shards)
    for source in (shards, shards / "shard_index.txt"):
        with pytest.raises(DataError, match=f"{place} is a symbolic link"):
            find_shards(str(source))


@pytest.mark.parametrize("name", ["shard_index.txt", "dataset.h5"])
def test_a_folder_of_spectra_leads_to_no_link(shards, tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).symlink_to(shards / ("shard_000/dataset.h5" if name[0] == "d" else name))
    with pytest.raises(DataError, match=f"{name} is a symbolic link"):
        find_shards(str(tmp_path / "folder"))
    assert find_shards(str(tmp_path / "folder" / name))


def test_a_pipe_in_place_of_an_index_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "shard_index.txt")
    with pytest.raises(MissingInputError, match="not a regular file"):
        find_shards(str(tmp_path / "shard_index.txt"))


# --- grids


def test_pieces_of_a_grid_are_not_kept_behind_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "grid.h5.parts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"grid\.h5\.parts is a symbolic link"):
        build_grid(tmp_path / "grid.h5")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_of_pieces_that_no_system_can_name_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"cannot create .*\.parts: File name too long"):
        build_grid(tmp_path / ("g" * 252 + ".h5"))
