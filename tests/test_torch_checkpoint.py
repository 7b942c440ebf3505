"""Checkpoints go over from PyTorch and back: predictions of HuggingFace's ViT with random weights agree."""

import math

import numpy as np
import pytest

from specvit_jax.evaluation.predict import predict
from specvit_jax.exchange.checkpoint_file import read_checkpoint
from specvit_jax.exchange.original import Given, imported
from specvit_jax.exchange.original_export import save_checkpoint, save_named
from tests.specvit_jax.exchange import theirs

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'specvit-jax[torch]'")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'specvit-jax[torch]'"
)
SCALED = Given(mean=(3.0, -0.5), std=(1.2, 0.8))
LARGE = {"image_size": 512, "patch_size": 16, "stride_size": 16, "hidden_size": 64, "num_attention_heads": 4}
KINDS = [
    {},
    {"proj_fn": "SW", "stride_size": 8},
    {"pos_encoding_type": "rope"},
    {"proj_fn": "SW", "pos_encoding_type": "rope"},
    {"pos_encoding_type": "none"},
]


def make(model: dict) -> "torch.nn.Module":
    """The original's network: HuggingFace's ViT behind its own embeddings, with random weights."""
    torch.manual_seed(3)
    d = model["hidden_size"]
    sizes = {
        "num_hidden_layers": model["num_hidden_layers"],
        "num_attention_heads": model["num_attention_heads"],
    }
    config = transformers.ViTConfig(
        hidden_size=d, intermediate_size=4 * d, layer_norm_eps=1e-12, qkv_bias=True, **sizes
    )
    vit = transformers.ViTModel(config)  # with the pooler that nothing reads
    vit.embeddings = Embeddings(model)
    if model["pos_encoding_type"] == "rope":
        for layer in vit.encoder.layer:
            layer.attention.attention = turned(layer.attention.attention)
    network = torch.nn.Module()
    network.vit, network.regressor = vit, torch.nn.Linear(d, model["num_labels"])
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    return network.eval()


class Embeddings(torch.nn.Module):
    """Windows as tokens, class token, learned position where there is one."""

    def __init__(self, model: dict) -> None:
        super().__init__()
        size, stride, d = model["patch_size"], model["stride_size"], model["hidden_size"]
        self.patch_embeddings, self.size, self.stride = torch.nn.Module(), size, stride
        conv = model["proj_fn"] == "C1D"
        self.patch_embeddings.projection = (
            torch.nn.Conv1d(1, d, size, stride) if conv else torch.nn.Linear(size, d)
        )
        self.cls_token = torch.nn.Parameter(torch.randn(1, 1, d))
        count = (model["image_size"] - size) // stride + 2
        learned = model["pos_encoding_type"] == "learned"
        self.position_embeddings = torch.nn.Parameter(torch.randn(1, count, d)) if learned else None

    def forward(self, x, **_):
        projection = self.patch_embeddings.projection
        if isinstance(projection, torch.nn.Conv1d):
            tokens = projection(x[:, None]).transpose(1, 2)
        else:
            tokens = projection(x.unfold(1, self.size, self.stride))
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        return tokens if self.position_embeddings is None else tokens + self.position_embeddings


def turned(attention):
    """Self-attention with rotary positions: feature j of a head turns with feature j + size/2."""
    heads, size = attention.num_attention_heads, attention.attention_head_size

    def rotary(x):
        angle = torch.outer(torch.arange(x.shape[2]).float(), 10_000.0 ** (-torch.arange(0, size, 2) / size))
        angle = torch.cat([angle, angle], dim=1)
        first, second = x.chunk(2, dim=-1)
        return x * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin()

    def forward(x, *_, **__):
        parts = (layer(x) for layer in (attention.query, attention.key, attention.value))
        query, key, value = (y.view(len(x), -1, heads, size).transpose(1, 2) for y in parts)
        scores = rotary(query) @ rotary(key).transpose(-1, -2) / math.sqrt(size)
        read = scores.softmax(-1) @ value
        return read.transpose(1, 2).reshape(x.shape), None

    attention.forward = forward
    return attention


def labels_of(network, flux: np.ndarray) -> np.ndarray:
    """What PyTorch predicts, in the labels' units."""
    with torch.no_grad():
        scaled = network.regressor(network.vit(torch.from_numpy(flux)).last_hidden_state[:, 0]).numpy()
    return scaled * np.array(SCALED.std, np.float32) + np.array(SCALED.mean, np.float32)


def some_flux(model: dict) -> np.ndarray:
    return np.random.default_rng(5).normal(0.5, 0.2, (7, model["image_size"])).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_checkpoint_that_torch_saved_predicts_as_it_does_there(tmp_path, kind):
    hyper = theirs.settings(**LARGE | kind)
    model = hyper["config"]["model"]
    network = make(model)
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters()).state_dict()
    content = {"state_dict": state, "hyper_parameters": hyper, "epoch": 1, "optimizer_states": [optimizer]}
    torch.save(content, tmp_path / "a.ckpt")
    found = imported(read_checkpoint(tmp_path / "a.ckpt"), SCALED)
    flux = some_flux(model)
    np.testing.assert_allclose(predict(found, flux).labels, labels_of(network, flux), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_exported_network_loads_in_torch_and_predicts_the_same(tmp_path, kind):
    path, _, model = theirs.checkpoint(tmp_path / "a.ckpt", **LARGE | kind)
    ours = imported(read_checkpoint(path), SCALED)
    save_checkpoint(tmp_path / "b.pt", ours, 5)
    content = torch.load(tmp_path / "b.pt", weights_only=True)
    network = make(model)
    state = {name.removeprefix("model."): tensor for name, tensor in content["state_dict"].items()}
    network.load_state_dict(state)  # every name, the pooler's too
    flux = some_flux(model)
    np.testing.assert_allclose(labels_of(network, flux), predict(ours, flux).labels, atol=1e-4, rtol=1e-4)
    assert content["global_step"] == 5
    assert content["hyper_parameters"]["config"]["data"]["label_std"] == pytest.approx(SCALED.std)


def test_the_named_arrays_are_those_of_the_checkpoint(tmp_path):
    from safetensors.torch import load_file

    path, _, model = theirs.checkpoint(tmp_path / "a.ckpt", **LARGE)
    ours = imported(read_checkpoint(path), SCALED)
    save_named(tmp_path / "b.safetensors", ours)
    network = make(model)
    network.load_state_dict(load_file(tmp_path / "b.safetensors"))
    flux = some_flux(model)
    np.testing.assert_allclose(labels_of(network, flux), predict(ours, flux).labels, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_other_widths_are_read(tmp_path, dtype):
    torch.manual_seed(0)
    whole = torch.randn(6, 5)
    torch.save(
        {"a": whole.T.to(dtype), "b": whole[2:4].to(dtype), "c": whole.to(dtype)[1]}, tmp_path / "a.pt"
    )
    found = read_checkpoint(tmp_path / "a.pt").tensors
    expected = whole.to(dtype).float().numpy()
    for name, array in (("a", expected.T), ("b", expected[2:4]), ("c", expected[1])):
        np.testing.assert_array_equal(found[name], array)


def test_the_format_before_1_6_is_refused(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"before 1\.6"):
        read_checkpoint(tmp_path / "a.pt")
