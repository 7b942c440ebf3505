"""`specvit import` and `specvit export` as a user types them."""

import json

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import OutputError, UsageError
from crlb.files.spectra import Spectra, write_spectra
from specvit_jax.cli import parse
from specvit_jax.evaluation.trained import load
from specvit_jax.exchange.checkpoint_file import read_checkpoint
from specvit_jax.network.find import shipped_weights
from tests.specvit_jax.exchange import theirs

SCALING = ["--label-mean", "2.9975", "-0.9", "--label-std", "1.1683", "0.8"]


def specvit(*words: object) -> None:
    parse([str(word) for word in words])()


def test_a_run_is_written_that_other_commands_read(tmp_path, capsys):
    path, state, section = theirs.checkpoint(tmp_path / "a.ckpt")
    specvit("import", path, "--out", tmp_path / "run", *SCALING)
    assert "log_g, M_H" in capsys.readouterr().out
    specvit("info", tmp_path / "run", "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["weights"]["about"] == {"step": 77, "epoch": 3}
    assert about["parameters"]["with_unused_pooler"] == sum(array.size for array in state.values())
    flux = np.random.default_rng(2).normal(0.5, 0.1, (3, 64)).astype(np.float32)
    expected = theirs.forward(state, section, flux) * [1.1683, 0.8] + [2.9975, -0.9]
    np.testing.assert_allclose(load(tmp_path / "run").predict(flux).labels, expected, atol=1e-5)


def test_labels_of_files_follow_from_their_flux(tmp_path, capsys):
    """Not from a flux of zero, to which the mean of a network that reads flux as it is would scale all."""
    path, state, section = theirs.checkpoint(
        tmp_path / "a.ckpt", image_size=4096, patch_size=64, stride_size=64
    )
    specvit("import", path, "--out", tmp_path / "run", *SCALING)
    chance = np.random.default_rng(3)
    flux = (7.0 * chance.normal(0.5, 0.05, (2, len(DETECTOR_WAVE)))).astype(np.float32)
    labels = {"log_g": np.full(2, 2.0)}
    stars = Spectra(DETECTOR_WAVE, labels, error=np.full_like(flux, 0.35), noisy=flux)
    write_spectra(tmp_path / "s.h5", stars)
    specvit("predict", tmp_path / "run", tmp_path / "s.h5", "--rv", "0", "--out", tmp_path / "l.csv")
    rows = (tmp_path / "l.csv").read_text().splitlines()
    at = rows[0].split(",").index("log_g")
    found = [float(row.split(",")[at]) for row in rows[1:]]
    scaled = flux * (0.5 / np.median(flux, axis=1))[:, None]
    expected = theirs.forward(state, section, scaled)[:, 0] * 1.1683 + 2.9975
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert abs(found[0] - found[1]) > 1e-3


def test_nothing_is_overwritten_unasked(tmp_path, capsys):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    run, out = tmp_path / "run", tmp_path / "b.pt"
    specvit("import", path, "--out", run, *SCALING)
    with pytest.raises(OutputError, match="--overwrite"):
        specvit("import", path, "--out", run, *SCALING)
    specvit("import", path, "--out", run, *SCALING, "--overwrite")
    specvit("export", run, "--format", "torch", "--out", out)
    with pytest.raises(OutputError, match="--overwrite"):
        specvit("export", run, "--format", "safetensors", "--out", out)
    weights = run / "weights" / "best.safetensors"
    with pytest.raises(OutputError, match="input of the command"):
        specvit("export", run, "--format", "torch", "--out", weights, "--overwrite")


def test_what_was_exported_is_imported_as_it_was(tmp_path, capsys):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt", proj_fn="SW", pos_encoding_type="rope")
    specvit("import", path, "--out", tmp_path / "one", *SCALING)
    specvit("export", tmp_path / "one", "--format", "torch", "--out", tmp_path / "b.pt")
    specvit("import", tmp_path / "b.pt", "--out", tmp_path / "two")
    flux = np.random.default_rng(2).normal(0.5, 0.1, (3, 64)).astype(np.float32)
    one, two = (load(tmp_path / name).predict(flux).labels for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    assert read_checkpoint(tmp_path / "b.pt").counts["global_step"] == 77


def test_a_config_stands_for_settings_that_are_not_there(tmp_path, capsys):
    _, state, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    bare = theirs.save(tmp_path / "b.pt", state)
    yaml = tmp_path / "vit.yaml"
    yaml.write_text(json.dumps(theirs.settings()["config"]))
    specvit("import", bare, "--out", tmp_path / "run", "--config", yaml, *SCALING)
    assert load(tmp_path / "run").label_names == ("log_g", "M_H")


@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_networks_the_original_cannot_have_are_refused_by_name(tmp_path, format):
    with pytest.raises(UsageError, match=r"model\.pool cls, found flat: export it as onnx"):
        specvit("export", shipped_weights("tiny"), "--format", format, "--out", tmp_path / "a")


def test_the_shipped_network_is_written_as_onnx(tmp_path, capsys):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'specvit-jax[onnx]'")
    specvit("export", shipped_weights("tiny"), "--format", "onnx", "--out", tmp_path / "tiny.onnx")
    assert "2.1 MB" in capsys.readouterr().out
