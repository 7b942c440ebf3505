"""Networks of two classes: the original's softmax of two outputs is our probability, there and back; ONNX."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.special

from crlb.errors import DataError, UsageError
from specvit_jax.cli.info import describe, with_pooler
from specvit_jax.evaluation.predict import predict
from specvit_jax.exchange.checkpoint_file import read_checkpoint
from specvit_jax.exchange.original import Given, imported
from specvit_jax.exchange.original_export import save_checkpoint, save_named, state_dict
from specvit_jax.network.weights import flatten
from tests.specvit_jax.exchange import theirs
from tests.specvit_jax.exchange.test_original import KINDS, some_flux

NAME = "P_log_g_above_2.5"


def classes(path, n=2, **model):
    """A checkpoint of the original's task cls: its head is called classifier; and what it says."""
    hyper = theirs.settings(task_type="cls", num_labels=n, **model)
    hyper["config"]["data"].pop("param")
    section = hyper["config"]["model"]
    state = theirs.state_dict(section)
    out = theirs.forward(state, section, some_flux())
    named = {f"model.{name.replace('regressor', 'classifier')}": array for name, array in state.items()}
    content = {"epoch": 3, "global_step": 77, "state_dict": named, "hyper_parameters": hyper}
    return theirs.save(path, content), scipy.special.softmax(out, axis=1)


@pytest.mark.parametrize("model", KINDS, ids=str)
def test_the_probability_is_the_softmax_of_the_original(tmp_path, model):
    path, shares = classes(tmp_path / "a.ckpt", **model)
    network = imported(read_checkpoint(path))
    assert network.config.model.output_names == (NAME,)
    np.testing.assert_allclose(predict(network, some_flux()).of(NAME), shares[:, 1], atol=1e-5)


def test_a_network_of_classes_goes_there_and_back_bit_for_bit(tmp_path):
    path, _ = classes(tmp_path / "a.ckpt")
    first = imported(read_checkpoint(path))
    save_checkpoint(tmp_path / "b.pt", first, 77)
    again = read_checkpoint(tmp_path / "b.pt")
    rows = again.tensors["classifier.weight"]
    assert rows.shape == (2, 12)
    second = imported(again)
    assert second.config.model == first.config.model
    for one, two in zip(flatten(first).items(), flatten(second).items(), strict=True):
        assert one[0] == two[0]
        np.testing.assert_array_equal(one[1], two[1])
    assert save_named(tmp_path / "c.safetensors", first) == []
    model = first.config.model
    counted = describe(first.config).parameters.total
    assert with_pooler(model, counted) == sum(array.size for array in state_dict(first).values())


def test_what_cannot_be_said_of_classes_is_refused(tmp_path):
    path, _ = classes(tmp_path / "a.ckpt")
    for given in (Given(labels=("T_eff",)), Given(mean=(3.0,), std=(1.0,))):
        with pytest.raises(UsageError, match=r"tells two classes apart .* leave out --labels"):
            imported(read_checkpoint(path), given)
    path, _ = classes(tmp_path / "three.ckpt", 3)
    with pytest.raises(DataError, match=r"classifier.weight must have two rows, one for each class, found 3"):
        imported(read_checkpoint(path))


def test_a_regressor_of_two_outputs_for_one_label_is_refused_by_name(tmp_path):
    path, _, _ = theirs.checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(DataError, match=r"ask for regressor.weight of shape \(1, 12\), found \(2, 12\)"):
        imported(read_checkpoint(path), Given(labels=("log_g",), mean=(3.0,), std=(1.0,)))


def test_classes_that_the_original_has_not_are_refused(tmp_path):
    path, _ = classes(tmp_path / "a.ckpt")
    network = imported(read_checkpoint(path))
    other = replace(network.config, model=replace(network.config.model, threshold=3.5))
    with pytest.raises(UsageError, match=r"divides log_g at 2.5, found log_g at 3.5; export it as onnx"):
        state_dict(network._replace(config=other))


def test_an_onnx_model_says_the_probability_under_its_name(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'specvit-jax[onnx]'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from specvit_jax.exchange.onnx_network import onnx_model

    network = imported(read_checkpoint(classes(tmp_path / "a.ckpt")[0]))
    session = onnxruntime.InferenceSession(onnx_model(network).SerializeToString())
    assert [one.name for one in session.get_outputs()] == ["probability"]
    assert session.get_modelmeta().custom_metadata_map["label_names"] == f'["{NAME}"]'
    (found,) = session.run(None, {"flux": some_flux()})
    np.testing.assert_allclose(found, predict(network, some_flux()).labels, atol=1e-5)
