"""The PyTorch side of the throughput benchmark is this network: same weights, same output, same gradient."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import torch_vit
from specvit_jax.network.model import SpecViT
from specvit_jax.settings.config import ModelConfig
from specvit_jax.settings.presets import PAPER

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'specvit-jax[torch]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'specvit-jax[torch]'")

TOY = replace(PAPER.model, input_size=256, embed_dim=32, depth=2, num_heads=4, label_names=("log_g", "M_H"))


def both(config: ModelConfig, n: int):
    """Spectra, weights and the network of either side, with those weights."""
    x = np.random.default_rng(0).normal(size=(n, config.input_size)).astype(np.float32)
    params = SpecViT(config).init(jax.random.key(0), jnp.asarray(x))["params"]
    network = torch_vit.make_vit(config)
    torch_vit.load(network, params, config)
    return x, params, network


@pytest.mark.parametrize("config", [PAPER.model, replace(TOY, gelu="tanh"), replace(TOY, stride=8)])
def test_same_weights_give_the_same_output(config):
    torch = pytest.importorskip("torch")
    x, params, network = both(config, 2)
    with torch.no_grad():
        theirs = network.eval()(torch.from_numpy(x)).numpy()
    ours = SpecViT(config).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_same_weights_give_the_same_gradient():
    torch = pytest.importorskip("torch")
    x, params, network = both(TOY, 3)
    network.eval()(torch.from_numpy(x)).pow(2).sum().backward()
    ours = jax.grad(lambda p: jnp.sum(SpecViT(TOY).apply({"params": p}, jnp.asarray(x)) ** 2))(params)
    theirs = network.vit.embeddings.patch_embeddings.projection.weight.grad.numpy()[:, 0].T
    np.testing.assert_allclose(ours["tokens"]["patches"]["kernel"], theirs, rtol=1e-3, atol=1e-4)


def test_both_sides_have_the_same_number_of_parameters():
    _, params, network = both(PAPER.model, 1)
    ours = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(p.numel() for p in network.parameters()) == ours


def test_dropout_is_on_both_sides_alike():
    rates = {m.p for m in torch_vit.make_vit(PAPER.model).modules() if type(m).__name__ == "Dropout"}
    assert rates == {PAPER.model.dropout}
    assert torch_vit.make_vit(PAPER.model).vit.config.attention_probs_dropout_prob == 0.1


def test_options_without_a_counterpart_are_refused():
    with pytest.raises(ValueError, match="pool"):
        torch_vit.make_vit(replace(TOY, pool="mean"))
