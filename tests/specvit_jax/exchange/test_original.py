"""Networks of the original are read from its checkpoints and predict as they did there; and go back."""

import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from specvit_jax.evaluation.predict import predict
from specvit_jax.exchange.checkpoint_file import read_checkpoint
from specvit_jax.exchange.original import Given, imported
from specvit_jax.exchange.original_export import save_checkpoint
from specvit_jax.network.weights import flatten, load_weights, save_weights
from tests.specvit_jax.exchange import theirs

SCALED = Given(mean=(3.0, -0.5), std=(1.2, 0.8))
KINDS = [
    {},
    {"proj_fn": "SW"},
    {"stride_size": 4},
    {"proj_fn": "SW", "stride_size": 4, "pos_encoding_type": "none"},
    {"pos_encoding_type": "rope"},
    {"proj_fn": "SW", "pos_encoding_type": "rope", "stride_size": 2, "rope_base": 300.0},
]


def some_flux(n: int = 5, n_pix: int = 64) -> np.ndarray:
    return np.random.default_rng(9).normal(0.5, 0.3, (n, n_pix)).astype(np.float32)


@pytest.mark.parametrize("model", KINDS, ids=str)
def test_an_imported_network_predicts_what_the_original_does(tmp_path, model):
    path, state, section = theirs.checkpoint(tmp_path / "a.ckpt", **model)
    network = imported(read_checkpoint(path), SCALED)
    expected = theirs.forward(state, section, some_flux()) * np.array(SCALED.std) + np.array(SCALED.mean)
    np.testing.assert_allclose(predict(network, some_flux()).labels, expected, atol=1e-5)
    assert network.config.model.label_names == ("log_g", "M_H")


@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_prefixes_of_names_do_not_matter(tmp_path, prefix):
    path, state, _ = theirs.checkpoint(tmp_path / "a.ckpt", prefix)
    assert set(read_checkpoint(path).tensors) == set(state)


@pytest.mark.parametrize("model", KINDS, ids=str)
def test_a_network_exported_and_imported_is_the_same_bit_for_bit(tmp_path, model):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt", **model)
    first = imported(read_checkpoint(path), SCALED)
    assert save_checkpoint(tmp_path / "b.pt", first, 77) == []
    again = read_checkpoint(tmp_path / "b.pt")
    second = imported(again)
    for one, two in zip(flatten(first).items(), flatten(second).items(), strict=True):
        assert one[0] == two[0]
        np.testing.assert_array_equal(one[1], two[1])
    assert again.counts == {"epoch": 0, "global_step": 77}


def test_the_scaling_of_the_input_goes_along(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    first = imported(read_checkpoint(path), SCALED)
    mean = np.random.default_rng(1).random(64).astype(np.float32)
    first = first._replace(input_scaler=first.input_scaler._replace(mean=mean, scale=mean + 1))
    assert "(flux - mean) / scale" in save_checkpoint(tmp_path / "b.pt", first, 0)[0]
    second = imported(read_checkpoint(tmp_path / "b.pt"))
    np.testing.assert_array_equal(predict(first, some_flux()).labels, predict(second, some_flux()).labels)


def test_an_imported_network_is_a_weights_file(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt", pos_encoding_type="rope")
    network = imported(read_checkpoint(path), SCALED)
    save_weights(tmp_path / "w.safetensors", network, {"step": 3})
    found = load_weights(tmp_path / "w.safetensors")
    assert found.config == network.config
    np.testing.assert_array_equal(predict(found, some_flux()).labels, predict(network, some_flux()).labels)


def test_what_the_checkpoint_does_not_say_is_asked_for(tmp_path):
    path, state, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match="--label-mean and --label-std"):
        imported(read_checkpoint(path))
    with pytest.raises(UsageError, match="--label-std must be 2 finite numbers"):
        imported(read_checkpoint(path), Given(mean=(1.0, 2.0), std=(1.0,)))
    with pytest.raises(UsageError, match="positive"):
        imported(read_checkpoint(path), Given(mean=(1.0, 2.0), std=(1.0, 0.0)))
    bare = read_checkpoint(theirs.save(tmp_path / "b.pt", dict(state)))
    with pytest.raises(UsageError, match=r"model.image_size.*--config"):
        imported(bare, SCALED)
    nameless = {"model": theirs.settings()["config"]["model"]}
    with pytest.raises(UsageError, match="does not name its labels"):
        imported(bare, Given(nameless))
    named = Given(nameless, ("log_g", "M_H"), SCALED.mean, SCALED.std)
    assert imported(bare, named).config.model.label_names == ("log_g", "M_H")
    given = Given(theirs.settings()["config"], mean=SCALED.mean, std=SCALED.std)
    assert predict(imported(bare, given), some_flux()).labels.shape == (5, 2)


def test_labels_that_were_not_scaled_need_no_scaling(tmp_path):
    hyper = theirs.settings()
    del hyper["config"]["data"]["label_norm"]
    hyper["config"]["data"]["label_norm"] = "none"
    state = theirs.state_dict(hyper["config"]["model"])
    path = theirs.save(tmp_path / "a.ckpt", {"state_dict": state, "hyper_parameters": hyper})
    network = imported(read_checkpoint(path))
    np.testing.assert_array_equal(network.label_scaler.scale, [1, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"preprocessor.weight": np.ones((2, 2), np.float32)}, "preprocessor.weight, which has no place"),
        ({"regressor.bias": None}, "has no regressor.bias"),
        ({"regressor.bias": np.ones(3, np.float32)}, r"regressor.bias of shape \(2,\), found \(3,\)"),
        ({"vit.layernorm.weight": np.ones((2, 6), np.float32)}, "vit.layernorm.weight of shape"),
    ],
)
def test_networks_that_do_not_fit_are_refused_by_name(tmp_path, change, words):
    hyper = theirs.settings()
    state = theirs.state_dict(hyper["config"]["model"]) | change
    state = {name: array for name, array in state.items() if array is not None}
    path = theirs.save(tmp_path / "a.ckpt", {"state_dict": state, "hyper_parameters": hyper})
    with pytest.raises(DataError, match=words):
        imported(read_checkpoint(path), SCALED)


def test_windows_with_a_rest_and_endless_spectra_are_refused(tmp_path):
    kind = {"proj_fn": "SW", "image_size": 66, "pos_encoding_type": "none"}
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt", **kind)
    with pytest.raises(DataError, match="leave 2 of 66 pixels"):
        imported(read_checkpoint(path), SCALED)
    path, _, _ = theirs.checkpoint(tmp_path / "b.ckpt", image_size=2**30, pos_encoding_type="rope")
    with pytest.raises(DataError, match=r"image_size must be at most 262,144 pixels"):
        imported(read_checkpoint(path), SCALED)
