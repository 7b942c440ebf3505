"""The networks beside SpecViT: their size and arithmetic, what depends on what, that they learn."""

from dataclasses import replace
from itertools import pairwise
from math import erf

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from specvit_jax.evaluation.predict import predict
from specvit_jax.network.inference import Scalers
from specvit_jax.network.networks import cost, make_network, parameter_counts
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights, load_weights, save_weights
from specvit_jax.settings.config import Config, ModelConfig, TrainConfig
from specvit_jax.spectra.source import Batch
from specvit_jax.training.step import make_state, train_step

N_PIX = 64
MLP = ModelConfig(
    network="mlp", input_size=N_PIX, hidden=(24, 12), dropout=0.0, init="scaled", label_names=("log_g", "M_H")
)
CNN = replace(MLP, network="cnn", channels=(3, 5), patch_size=7, hidden=(12,))
PUBLISHED = ModelConfig(network="mlp", label_names=("log_g", "T_eff", "M_H"))
X = np.random.default_rng(1).normal(size=(4, N_PIX)).astype(np.float32)

both = pytest.mark.parametrize("config", [MLP, CNN], ids=["mlp", "cnn"])


def make(config: ModelConfig):
    """A network with random weights everywhere, also where it starts with zeros."""
    model, rng = make_network(config), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, config.input_size)))["params"]
    return model, jax.tree.map(lambda s: jnp.asarray(0.3 * rng.normal(size=s.shape), s.dtype), shapes)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def numpy_mlp(x: np.ndarray, params, depth: int) -> np.ndarray:
    for i in range(depth):
        x = gelu(x @ params[f"hidden_{i}"]["kernel"] + params[f"hidden_{i}"]["bias"])
    return x @ params["head"]["kernel"] + params["head"]["bias"]


def numpy_conv(x: np.ndarray, layer, stride: int = 4) -> np.ndarray:
    """One spectrum (positions, channels), padded evenly so that every stride has one output."""
    kernel = layer["kernel"]
    n_out = -(-len(x) // stride)
    missing = max((n_out - 1) * stride + len(kernel) - len(x), 0)
    padded = np.pad(x, ((missing // 2, missing - missing // 2), (0, 0)))
    windows = [padded[i * stride : i * stride + len(kernel)] for i in range(n_out)]
    return np.stack([np.einsum("kc,kco->o", w, kernel) for w in windows]) + layer["bias"]


# --- size


@pytest.mark.parametrize("hidden", [(1024, 512, 256), (16,)])
def test_parameters_of_the_mlp_are_those_of_its_layers(hidden):
    counts = parameter_counts(replace(PUBLISHED, hidden=hidden))
    widths = [4096, *hidden, 3]
    names = [*(f"hidden_{i}" for i in range(len(hidden))), "head"]
    assert counts == {name: a * b + b for name, (a, b) in zip(names, pairwise(widths), strict=True)}


def test_parameters_of_the_cnn_are_those_of_its_kernels_and_layers():
    counts = parameter_counts(replace(PUBLISHED, network="cnn", channels=(16, 32, 64, 64), hidden=(256,)))
    kernels = [16 * a * b + b for a, b in ((1, 16), (16, 32), (32, 64), (64, 64))]
    assert [counts[f"conv_{i}"] for i in range(4)] == kernels
    assert counts["perceptron/hidden_0"] == 4096 // 4**4 * 64 * 256 + 256
    assert counts["perceptron/head"] == 256 * 3 + 3
    assert sum(counts.values()) == sum(kernels) + 262_400 + 771


@pytest.mark.parametrize(
    "config", [PUBLISHED, replace(PUBLISHED, network="cnn", hidden=(256,))], ids=["mlp", "cnn"]
)
def test_counted_flops_are_those_of_the_traced_network(config):
    config = replace(config, gelu="tanh")  # the error function is long: a sixth of what the cnn computes
    model, x = make_network(config), jax.ShapeDtypeStruct((1, 4096), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    traced = jax.jit(model.apply).lower(params, x).cost_analysis()["flops"]
    counted = cost(config)
    assert 0.95 * traced < counted["forward_flops"] < 1.05 * traced
    assert counted["train_flops"] == 3 * counted["forward_flops"]


# --- arithmetic


def test_the_mlp_is_matrix_products_and_gelu():
    model, params = make(MLP)
    found = np.asarray(model.apply({"params": params}, jnp.asarray(X)))
    expected = numpy_mlp(X, jax.tree.map(np.float64, params), 2)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


def test_the_cnn_is_strided_convolutions_and_an_mlp():
    model, params = make(CNN)
    found = np.asarray(model.apply({"params": params}, jnp.asarray(X)))
    p = jax.tree.map(np.float64, params)
    expected = []
    for spectrum in X.astype(np.float64):
        y = spectrum[:, None]
        for i in range(2):
            y = gelu(numpy_conv(y, p[f"conv_{i}"]))
        expected.append(numpy_mlp(y.reshape(-1), p["perceptron"], 1))
    np.testing.assert_allclose(found, np.array(expected), rtol=2e-5, atol=1e-5)


@pytest.mark.slow
@both
def test_a_spectrum_does_not_see_the_others_of_its_batch(config):
    model, params = make(config)
    whole = model.apply({"params": params}, jnp.asarray(X))
    for i in range(len(X)):
        alone = model.apply({"params": params}, jnp.asarray(X[i : i + 1]))
        np.testing.assert_allclose(np.asarray(alone)[0], np.asarray(whole)[i], rtol=1e-5, atol=1e-6)
    swapped = model.apply({"params": params}, jnp.asarray(X[::-1].copy()))
    np.testing.assert_allclose(np.asarray(swapped)[::-1], np.asarray(whole), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@both
def test_dropout_depends_on_the_key_and_the_index_only(config):
    model, params = make(replace(config, dropout=0.3))

    def out(x: np.ndarray, index: list[int], seed: int = 0) -> np.ndarray:
        rngs = {"dropout": jax.random.key(seed)}
        found = model.apply(
            {"params": params}, jnp.asarray(x), train=True, index=jnp.asarray(index), rngs=rngs
        )
        assert isinstance(found, Array)
        return np.asarray(found)

    whole = out(X, [5, 6, 7, 8])
    np.testing.assert_allclose(out(X[2:], [7, 8]), whole[2:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out(X[[3, 0]], [8, 5]), whole[[3, 0]], rtol=1e-5, atol=1e-6)
    assert np.abs(out(X, [5, 6, 7, 9])[3] - whole[3]).max() > 1e-3
    assert np.abs(out(X, [5, 6, 7, 8], seed=1) - whole).max() > 1e-3
    clean = np.asarray(model.apply({"params": params}, jnp.asarray(X)))
    assert np.abs(whole - clean).max() > 1e-3


@pytest.mark.slow
@both
def test_every_parameter_gets_gradient(config):
    model, params = make(config)
    grads = jax.grad(lambda p: jnp.sum(model.apply({"params": p}, jnp.asarray(X)) ** 2))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        assert np.abs(np.asarray(leaf)).max() > 0, path


# --- training


@pytest.mark.slow
@both
def test_eight_spectra_are_learnt_by_heart(config):
    train = TrainConfig(
        steps=400, batch_size=8, learning_rate=1e-2, schedule="constant", loss="mse", clip_norm=10.0
    )
    run = Config(preset="tiny", model=config, train=train)
    rng = np.random.default_rng(3)
    flux = jnp.asarray(rng.normal(size=(8, N_PIX)), jnp.float32)
    labels = jnp.asarray(rng.normal(size=(8, 2)), jnp.float32)
    batch = Batch(flux, labels, jnp.zeros(8), flux, jnp.ones_like(flux))
    ones, zeros = np.ones(N_PIX, np.float32), np.zeros(N_PIX, np.float32)
    scalers = Scalers(LabelScaler(zeros[:2], ones[:2]), InputScaler(zeros, ones))
    step = jax.jit(train_step, static_argnames="config")
    state = make_state(run)
    for _ in range(train.steps):
        state, row = step(state, batch, jnp.arange(8), scalers, run)
    assert float(row["loss"]) < 1e-3


@both
def test_weights_come_back_from_their_file(config, tmp_path):
    _, params = make(config)
    rng = np.random.default_rng(4)
    weights = Weights(
        params,
        Config(preset="tiny", model=config),
        LabelScaler(np.float32([3, -1]), np.float32([1, 0.5])),
        InputScaler(rng.normal(size=N_PIX).astype(np.float32), np.ones(N_PIX, np.float32)),
    )
    save_weights(tmp_path / "it.safetensors", weights, {"step": 1})
    found = load_weights(tmp_path / "it.safetensors")
    assert found.config == weights.config
    np.testing.assert_array_equal(predict(found, X).labels, predict(weights, X).labels)
