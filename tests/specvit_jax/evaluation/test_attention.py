"""Attention as the network computes it, its rollout, and the gradient of a label."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from specvit_jax.evaluation.attention import attention_weights, input_gradient, rollout, token_wave
from specvit_jax.evaluation.predict import predict
from specvit_jax.network.model import SpecViT
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import Config, ModelConfig

N_PIX = 40
RNG = np.random.default_rng(0)
FLUX = (0.5 + 0.1 * RNG.normal(size=(3, N_PIX))).astype(np.float32)


def toy_model(**changes) -> ModelConfig:
    return ModelConfig(
        **{"input_size": N_PIX, "patch_size": 8, "embed_dim": 8, "depth": 2, "num_heads": 2, "token_std": 0.5}
        | {"init": "scaled", "label_names": ("log_g", "T_eff"), "dropout": 0.0, "attention_dropout": 0.0}
        | changes
    )


def toy(**changes) -> Weights:
    model = toy_model(**changes)
    params = SpecViT(model).init(jax.random.key(1), jnp.zeros((1, N_PIX)))["params"]
    label = LabelScaler(jnp.array([3.0, 5000.0]), jnp.array([1.2, 600.0]))
    scaler = InputScaler(jnp.full(N_PIX, 0.5), jnp.full(N_PIX, 0.1))
    return Weights(params, Config(model=model), label, scaler)


@pytest.mark.slow
def test_every_row_is_a_distribution_and_depends_on_its_own_spectrum():
    found = attention_weights(toy(), FLUX)
    assert found.shape == (3, 2, 2, 6, 6)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(attention_weights(toy(), FLUX[1:2])[0], found[1], atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_first_block_equals_a_numpy_attention():
    weights = toy(pool="flat", pos_embed="none")
    p = jax.tree.map(np.asarray, weights.params)
    x = ((FLUX - 0.5) / 0.1).reshape(3, 5, 8) @ p["tokens"]["patches"]["kernel"] + p["tokens"]["patches"][
        "bias"
    ]
    y = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    block = p["block_0"]
    q, k = (y @ block[name]["kernel"] + block[name]["bias"] for name in ("query", "key"))
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = np.exp(np.einsum("nqd,nkd->nqk", q[..., part], k[..., part]) / 2)
        expected = scores / scores.sum(-1, keepdims=True)
        np.testing.assert_allclose(attention_weights(weights, FLUX)[:, 0, head], expected, rtol=2e-4)


@pytest.mark.parametrize(("pool", "n_tokens"), [("cls", 6), ("flat", 5)])
def test_rollout_of_even_attention_is_even(pool, n_tokens):
    even = np.full((1, 2, 2, n_tokens, n_tokens), 1 / n_tokens)
    np.testing.assert_allclose(rollout(even, toy_model(pool=pool)), 1 / 5)


def test_rollout_shares_out_one():
    found = RNG.random((3, 2, 2, 6, 6))
    share = rollout(found / found.sum(axis=-1, keepdims=True), toy_model())
    np.testing.assert_allclose(share.sum(axis=1), 1)


def test_rollout_finds_the_token_that_all_attend_to():
    cfg = toy_model(pool="flat")
    attention = np.zeros((1, 2, 2, 5, 5))
    attention[..., 3] = 1
    # each block hands half of a token on, so 3/4 of every token is token 3, and token 3 all of itself
    np.testing.assert_allclose(rollout(attention, cfg)[0], [0.05, 0.05, 0.05, 0.8, 0.05])


@pytest.mark.parametrize("label", ["log_g", "T_eff"])
def test_the_gradient_is_that_of_the_prediction(label):
    weights, column, step = toy(), ["log_g", "T_eff"].index(label), 1e-2
    found = input_gradient(weights, FLUX, label)
    for pixel in (0, 17, 39):
        shifted = [FLUX.copy(), FLUX.copy()]
        shifted[0][:, pixel] -= step / 2
        shifted[1][:, pixel] += step / 2
        low, high = (predict(weights, flux).labels[:, column] for flux in shifted)
        np.testing.assert_allclose(
            (high - low) / step, found[:, pixel], rtol=2e-2, atol=2e-3 * np.abs(found).max()
        )


def test_patches_have_the_wavelengths_of_their_pixels():
    wave = np.arange(N_PIX) * 0.5 + 7000
    found = token_wave(toy_model(stride=4), wave)
    assert found.shape == (9, 2)
    np.testing.assert_allclose(found[2], [7004, 7007.5])
    with pytest.raises(UsageError, match="40 inputs"):
        token_wave(toy_model(), wave[:-1])


def test_networks_without_attention_and_labels_that_are_not_read_are_refused():
    weights = toy()
    with pytest.raises(UsageError, match="M_H"):
        input_gradient(weights, FLUX, "M_H")
    mlp = weights._replace(config=Config(model=ModelConfig(network="mlp", input_size=N_PIX)))
    with pytest.raises(UsageError, match="vit"):
        attention_weights(mlp, FLUX)
