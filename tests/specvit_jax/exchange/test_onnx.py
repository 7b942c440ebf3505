"""ONNX models give in onnxruntime what the network gives here, with every scaling and every option."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from specvit_jax.evaluation.predict import predict
from specvit_jax.exchange import graph
from specvit_jax.exchange.onnx_network import onnx_model, save_onnx
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights, load_weights
from specvit_jax.settings.config import Config, DataConfig, ModelConfig
from specvit_jax.settings.presets import preset

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'specvit-jax[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
TOLERANCE = 1e-4  # of labels in units of their scaling, and of sigma
SMALL = ModelConfig(
    input_size=70, patch_size=8, embed_dim=24, depth=2, num_heads=3, label_names=("log_g", "T_eff")
)
OPTIONS = [
    {},
    {"stride": 3, "tokenizer": "linear", "pool": "mean", "pos_embed": "rotary", "embed_dim": 12},
    {"pos_embed": "rotary", "rotary_base": 50.0, "predict_sigma": True, "gelu": "tanh"},
    {"pos_embed": "sinusoidal", "pool": "attention", "chunk_norm": True},
    {"pos_embed": "wavelength", "pool": "mean"},
    {"pos_embed": "none", "pool": "flat", "patch_size": 70},
    {"input_layer": "pca", "input_components": 16, "patch_size": 4},
    {"input_layer": "zca", "input_components": 9, "pool": "mean"},
]


def differs(weights: Weights, flux: np.ndarray, usable: np.ndarray | None = None) -> tuple[float, float]:
    """The largest differences of labels, in units of their scaling, and of sigma, in its own."""
    session = onnxruntime.InferenceSession(onnx_model(weights).SerializeToString())
    feed = {"flux": flux} | ({} if usable is None else {"usable": usable})
    assert [one.name for one in session.get_inputs()] == list(feed)
    found, expected = session.run(None, feed), predict(weights, flux, usable)
    off = np.abs(found[0] - expected.labels) / np.asarray(weights.label_scaler.scale)
    if expected.sigma is None:
        assert len(found) == 1
        return float(off.max()), 0.0
    return float(off.max()), float(np.abs(found[1] / expected.sigma - 1).max())


def random_network(model: ModelConfig, data: DataConfig | None = None) -> Weights:
    """A network with weights that make every part of it count."""
    loss = "nll" if model.predict_sigma else "l1"
    base = preset("paper")
    config = Config("paper", model, replace(base.train, loss=loss), data or base.data)
    params = make_network(model).init(jax.random.key(1), jnp.zeros((1, model.input_size)))["params"]
    keys = iter(jax.random.split(jax.random.key(2), 200))
    params = jax.tree.map(lambda leaf: leaf + 0.2 * jax.random.normal(next(keys), leaf.shape), params)
    chance = np.random.default_rng(0)
    mean, scale = chance.random((2, model.input_size)).astype(np.float32)
    n = len(model.label_names)
    labels = LabelScaler(np.arange(n, dtype=np.float32), np.arange(1, n + 1, dtype=np.float32))
    return Weights(params, config, labels, InputScaler(mean, scale + 0.5))


def some_flux(weights: Weights, n: int) -> np.ndarray:
    mean = np.asarray(weights.input_scaler.mean)
    noise = np.random.default_rng(3).normal(size=(n, len(mean))) * np.asarray(weights.input_scaler.scale)
    return (mean + noise).astype(np.float32)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_of_the_network_is_the_same(options):
    weights = random_network(replace(SMALL, **options))
    assert max(differs(weights, some_flux(weights, 5))) < TOLERANCE


@pytest.mark.parametrize("n", [1, 6])
def test_the_shipped_network_is_the_same_for_any_number_of_spectra(n):
    weights = load_weights(shipped_weights("tiny"))
    assert max(differs(weights, some_flux(weights, n))) < TOLERANCE


def test_the_network_of_the_survey_reads_around_lost_pixels():
    weights = load_weights(shipped_weights("survey"))
    assert weights.input_scaler.sky is not None
    flux = some_flux(weights, 5)
    usable = (np.random.default_rng(4).random(flux.shape) > 0.05).astype(np.float32)
    usable[0], usable[1, 500:1900] = 1, 0
    assert max(differs(weights, flux, usable)) < TOLERANCE
    spoilt = np.where(usable > 0, flux, np.float32(np.nan))
    model = onnxruntime.InferenceSession(onnx_model(weights).SerializeToString())
    found = model.run(None, {"flux": spoilt, "usable": usable})
    np.testing.assert_array_equal(found[0], model.run(None, {"flux": flux, "usable": usable})[0])


def test_principal_components_with_a_noise_component_are_the_same():
    data = DataConfig(input_scaling="noise", preprocess="pca", components=9, noise_component=True)
    weights = random_network(replace(SMALL, input_size=10, patch_size=5), data)
    chance = np.random.default_rng(5)
    analysis = np.linalg.qr(chance.normal(size=(40, 9)))[0].astype(np.float32)
    gram = (np.eye(9) + 0.01 * chance.normal(size=(9, 1)) ** 2).astype(np.float32)
    mean, scale = np.full(40, 0.5, np.float32), np.full(40, 0.1, np.float32)
    scaler = InputScaler(
        mean, scale, analysis, gram=(gram + gram.T) / 2, rest=np.array([0.1, 0.3], np.float32)
    )
    weights = weights._replace(input_scaler=scaler)
    assert max(differs(weights, some_flux(weights, 4))) < TOLERANCE


def test_the_model_says_what_its_labels_are():
    model = onnx_model(random_network(SMALL))
    about = {one.key: one.value for one in model.metadata_props}
    assert about["label_names"] == '["log_g", "T_eff"]'
    assert about["label_units"] == '["dex", "K"]'
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_networks_that_cannot_be_written_are_refused_by_name(tmp_path, monkeypatch):
    weights = random_network(replace(SMALL, network="mlp", hidden=(4,)))
    with pytest.raises(UsageError, match=r"model\.network vit only, found mlp"):
        onnx_model(weights)
    monkeypatch.setattr(graph, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'specvit-jax\[onnx\]'"):
        save_onnx(tmp_path / "a.onnx", random_network(SMALL))
