"""Checkpoints that come back, or are skipped by name; weights files."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from crlb.errors import DataError, DiskError, MissingInputError, OutputError, UsageError
from specvit_jax.network.find import read_metadata, shipped_weights
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights, load_weights, save_weights
from specvit_jax.training.checkpoint import Checkpoints
from specvit_jax.training.step import make_state
from tests.specvit_jax.toy import small_disk

# A read that fails ends orbax's event loop while its other reads are still on their way.
broken = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def tree(value: float) -> dict[str, jax.Array]:
    noise = np.random.default_rng(0).normal(
        size=(300, 200)
    )  # does not compress: lies in a data file of its own
    return {"step": jnp.int32(value), "w": jnp.asarray(value + noise, jnp.float32)}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Checkpoints of steps 1 to 4, the second of which is the best."""
    with Checkpoints(tmp_path / "checkpoints") as saved:
        for step, r2 in enumerate((0.1, 0.9, 0.3, 0.4), start=1):
            saved.save(step, tree(float(step)), {"r2": r2, "best_step": min(step, 2)})
    return tmp_path / "checkpoints"


def restored(folder: Path):
    with Checkpoints(folder) as saved:
        return saved.restore(tree(0.0))


def test_the_latest_and_the_best_are_kept(folder):
    assert {path.name for path in folder.iterdir() if path.name.isdigit()} == {"2", "4"}


def test_the_latest_comes_back_bit_for_bit(folder):
    found, about, skipped = restored(folder)
    np.testing.assert_array_equal(found["w"], tree(4.0)["w"])
    assert found["step"].dtype == jnp.int32
    assert about == {"r2": 0.4, "best_step": 2}
    assert skipped == []


def test_without_checkpoints_there_is_nothing_to_restore(tmp_path):
    assert restored(tmp_path / "new") is None


@broken
def test_a_flipped_byte_is_found_and_the_checkpoint_before_is_used(folder):
    file = max((folder / "4" / "state").rglob("d/*"), key=lambda file: file.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found, _, skipped = restored(folder)
    assert int(found["step"]) == 2
    assert len(skipped) == 1
    assert "checkpoint 4" in skipped[0]


@broken
def test_an_empty_step_directory_is_skipped(folder):
    (folder / "7").mkdir()
    found, _, skipped = restored(folder)
    assert int(found["step"]) == 4
    assert all("checkpoint 7" in line for line in skipped)


@broken
def test_a_truncated_file_is_found(folder):
    file = max((folder / "4" / "state").rglob("d/*"), key=lambda file: file.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found, _, skipped = restored(folder)
    assert int(found["step"]) == 2
    assert "checkpoint 4" in skipped[0]


@broken
def test_strays_are_skipped(folder):
    (folder / "notes").mkdir()
    (folder / "9").mkdir()
    (folder / "9" / "state").write_text("not a checkpoint")
    (folder / "11").write_text("not even a folder")
    found, _, skipped = restored(folder)
    assert int(found["step"]) == 4
    assert any("checkpoint 9" in line for line in skipped)
    assert (folder / "notes").is_dir()


@broken
def test_steps_of_unusable_checkpoints_are_saved_again(folder):
    file = max((folder / "4" / "state").rglob("d/*"), key=lambda file: file.stat().st_size)
    file.write_bytes(b"")
    with Checkpoints(folder) as saved:
        assert int(saved.restore(tree(0.0))[0]["step"]) == 2
        for step in (3, 4):
            saved.save(step, tree(float(step)), {"r2": 0.1, "best_step": 2})
            saved.wait()
    found, _, skipped = restored(folder)
    assert int(found["step"]) == 4
    assert skipped == []
    assert (folder / "unusable_4").is_dir()


def test_a_step_that_is_not_the_newest_is_not_lost_in_silence(folder):
    with Checkpoints(folder) as saved, pytest.raises(OutputError, match="checkpoint 3 was not written"):
        saved.save(3, tree(3.0), {"r2": 0.1, "best_step": 2})


@broken
def test_when_no_checkpoint_fits_nothing_is_started_over(folder):
    with Checkpoints(folder) as saved, pytest.raises(DataError, match=r"checkpoint 4.*checkpoint 2"):
        saved.restore({"step": jnp.int32(0), "v": jnp.zeros(5)})


def too_large(folder: Path, waits: bool, first: Exception | None = None) -> None:
    """Saves a checkpoint that the disk refuses, in the background; another error may come first."""
    with small_disk(100_000), Checkpoints(folder) as saved:
        saved.save(5, tree(5.0), {"r2": 0.1, "best_step": 2})
        if first is not None:
            raise first
        if waits:
            saved.wait()


@broken
@pytest.mark.parametrize("waits", [True, False])
def test_a_disk_that_fills_while_a_checkpoint_is_written_is_one_error(folder, waits, caplog):
    with pytest.raises(DiskError, match="checkpoints: File too large"):
        too_large(folder, waits)
    assert [record for record in caplog.records if record.exc_info] == []  # no traceback beside it
    found, _, _ = restored(folder)
    assert int(found["step"]) == 4


@broken
def test_of_two_errors_the_first_one_is_told(folder):
    with pytest.raises(KeyError, match="what came first"):
        too_large(folder, False, KeyError("what came first"))


# --- weights files


@pytest.fixture
def weights(toy_config) -> Weights:
    n = toy_config.model.input_size
    label = LabelScaler(np.array([3.0], np.float32), np.array([1.2], np.float32))
    scaler = InputScaler(np.linspace(0.4, 0.6, n, dtype=np.float32), np.full(n, 0.2, np.float32))
    return Weights(make_state(toy_config).params, toy_config, label, scaler)


@pytest.fixture
def file(weights, tmp_path) -> Path:
    save_weights(tmp_path / "w.safetensors", weights, {"step": 3, "val_r2": 0.5})
    return tmp_path / "w.safetensors"


def test_weights_come_back_bit_for_bit_with_all_that_prediction_needs(weights, file):
    params, config, label_scaler, input_scaler = load_weights(file)
    assert config == weights.config
    for mine, saved in (
        (params, weights.params),
        (label_scaler, weights.label_scaler),
        (input_scaler, weights.input_scaler),
    ):
        assert jax.tree.structure(mine) == jax.tree.structure(saved)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(saved), strict=True):
            np.testing.assert_array_equal(a, b)


def test_equal_weights_give_equal_files(weights, file, tmp_path):
    for number in range(8):  # of an order of four keys, at random, one in 24 would agree by chance
        save_weights(tmp_path / f"{number}.safetensors", weights, {"step": 3, "val_r2": 0.5})
        assert (tmp_path / f"{number}.safetensors").read_bytes() == file.read_bytes()
    other = weights._replace(params=jax.tree.map(lambda leaf: leaf + 1, weights.params))
    save_weights(file, other, {"step": 3, "val_r2": 0.5})
    assert (tmp_path / "0.safetensors").read_bytes() != file.read_bytes()


@pytest.mark.parametrize(("preprocess", "n_pix"), [("zca", 64), ("pca", 200)])
def test_whitening_comes_back_with_the_weights(weights, tmp_path, preprocess, n_pix):
    k = 64 if preprocess == "pca" else 5
    rng = np.random.default_rng(0)
    analysis = np.asfortranarray(rng.normal(size=(n_pix, k)).astype(np.float32))
    synthesis = analysis.T if preprocess == "zca" else None
    level = np.ones(n_pix, np.float32)
    data = replace(weights.config.data, preprocess=preprocess, components=k)
    whitened = weights._replace(
        config=replace(weights.config, data=data), input_scaler=InputScaler(level, level, analysis, synthesis)
    )
    save_weights(tmp_path / "w.safetensors", whitened, {})
    found = load_weights(tmp_path / "w.safetensors").input_scaler
    flux = rng.normal(size=(3, n_pix)).astype(np.float32)
    np.testing.assert_array_equal(found.analysis, analysis)
    np.testing.assert_array_equal(found.encode(flux), whitened.input_scaler.encode(flux))
    lost = whitened._replace(input_scaler=InputScaler(level, level))
    save_weights(tmp_path / "lost.safetensors", lost, {})
    with pytest.raises(DataError, match="input_scaler/analysis must have shape"):
        load_weights(tmp_path / "lost.safetensors")


def test_a_cut_weights_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"w\.safetensors.*not a readable safetensors file"):
        load_weights(file)


def test_weights_of_another_shape_are_refused_by_name(weights, file):
    weights.params["head"]["bias"] = jnp.zeros(2)
    save_weights(file, weights, {})
    with pytest.raises(DataError, match=r"params/head/bias must have shape \(1,\), found \(2,\)"):
        load_weights(file)


def test_weights_that_are_not_finite_are_refused(weights, file):
    weights.params["head"]["bias"] = jnp.full(1, jnp.nan)
    save_weights(file, weights, {})
    with pytest.raises(DataError, match="not finite"):
        load_weights(file)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
    safetensors.numpy.save_file({"x": np.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="format"):
        load_weights(tmp_path / "x.safetensors")


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.safetensors"):
        load_weights(tmp_path / "none.safetensors")


def test_weights_into_a_missing_folder_are_refused(weights, tmp_path):
    with pytest.raises(OutputError, match="folder"):
        save_weights(tmp_path / "no" / "w.safetensors", weights, {})


def test_settings_younger_than_a_weights_file_take_their_defaults(weights, file, tmp_path):
    metadata = read_metadata(file)
    del metadata["sha256"]  # younger, too
    config = json.loads(metadata["config"])
    config["preset"] = "tiny"
    for section, key in (("model", "pos_embed"), ("data", "preprocess"), ("data", "components")):
        del config[section][key]
    old = tmp_path / "old.safetensors"
    tensors = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(tensors, old, metadata | {"config": json.dumps(config)})
    found = load_weights(old).config
    assert (found.model.pos_embed, found.data.preprocess) == ("learned", "none")
    assert found.train == weights.config.train


def test_the_shipped_tiny_network_still_loads():
    assert load_weights(shipped_weights("tiny")).config.preset == "tiny"


def test_shipped_weights_are_asked_for_by_preset():
    with pytest.raises(UsageError, match="paper, small, tiny"):
        shipped_weights("huge")
    with pytest.raises(MissingInputError, match="small"):
        shipped_weights("small")
