"""The original's network in numpy, its state dict, and a checkpoint as PyTorch writes it, without it."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from unittest import mock

import numpy as np
from scipy.special import erf

SMALL = {
    "name": "vit",
    "task_type": "reg",
    "image_size": 64,
    "patch_size": 8,
    "stride_size": 8,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "proj_fn": "C1D",
    "pos_encoding_type": "learned",
    "num_labels": 2,
}
EPS = 1e-12


def settings(**model: object) -> dict:
    """`hyper_parameters` of a small network, as Lightning keeps them."""
    data = {"file_path": "train/dataset.h5", "param": "log_g,M_H", "label_norm": "standard"}
    return {"config": {"model": SMALL | model, "data": data, "noise": {"noise_level": 1.0}}}


def state_dict(model: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by the names of transformers 4, without `model.`."""
    chance = np.random.default_rng(seed)
    d, patch = model["hidden_size"], model["patch_size"]
    windows = (model["image_size"] - patch) // model["stride_size"] + 1
    state = {"vit.embeddings.cls_token": (1, 1, d), "vit.embeddings.patch_embeddings.projection.bias": (d,)}
    conv = (d, 1, patch) if model["proj_fn"] == "C1D" else (d, patch)
    state["vit.embeddings.patch_embeddings.projection.weight"] = conv
    if model["pos_encoding_type"] == "learned":
        state["vit.embeddings.position_embeddings"] = (1, windows + 1, d)
    for i in range(model["num_hidden_layers"]):
        at = f"vit.encoder.layer.{i}"
        for name in ("attention.attention.query", "attention.attention.key", "attention.attention.value"):
            state |= layer(f"{at}.{name}", d, d)
        state |= layer(f"{at}.attention.output.dense", d, d)
        state |= layer(f"{at}.intermediate.dense", 4 * d, d) | layer(f"{at}.output.dense", d, 4 * d)
        state |= layer(f"{at}.layernorm_before", d) | layer(f"{at}.layernorm_after", d)
    state |= layer("vit.layernorm", d) | layer("vit.pooler.dense", d, d)
    state |= layer("regressor", model["num_labels"], d)
    return {name: chance.normal(0, 0.4, shape).astype(np.float32) for name, shape in state.items()}


def layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def forward(state: dict[str, np.ndarray], model: dict, flux: np.ndarray) -> np.ndarray:
    """What the original's network gives, scaled, in double precision."""
    s = {name: array.astype(np.float64) for name, array in state.items()}
    patch, stride = model["patch_size"], model["stride_size"]
    kernel = s["vit.embeddings.patch_embeddings.projection.weight"].reshape(-1, patch)
    windows = np.lib.stride_tricks.sliding_window_view(flux.astype(np.float64), patch, axis=1)[:, ::stride]
    x = windows @ kernel.T + s["vit.embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([np.broadcast_to(s["vit.embeddings.cls_token"], (len(x), 1, x.shape[2])), x], axis=1)
    x = x + s.get("vit.embeddings.position_embeddings", 0)
    for i in range(model["num_hidden_layers"]):
        at = f"vit.encoder.layer.{i}"
        y = attention(s, at, model, norm(s, f"{at}.layernorm_before", x))
        x = x + linear(s, f"{at}.attention.output.dense", y)
        y = linear(s, f"{at}.intermediate.dense", norm(s, f"{at}.layernorm_after", x))
        x = x + linear(s, f"{at}.output.dense", y * 0.5 * (1 + erf(y / np.sqrt(2))))
    return linear(s, "regressor", norm(s, "vit.layernorm", x)[:, 0])


def linear(s: dict, name: str, x: np.ndarray) -> np.ndarray:
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def norm(s: dict, name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS) * s[f"{name}.weight"]
        + s[f"{name}.bias"]
    )


def attention(s: dict, at: str, model: dict, x: np.ndarray) -> np.ndarray:
    heads, size = model["num_attention_heads"], x.shape[2] // model["num_attention_heads"]
    parts = [
        linear(s, f"{at}.attention.attention.{name}", x)
        .reshape(*x.shape[:2], heads, size)
        .transpose(0, 2, 1, 3)
        for name in ("query", "key", "value")
    ]
    if model["pos_encoding_type"] == "rope":
        parts[:2] = [rotated(part, model.get("rope_base", 10_000.0)) for part in parts[:2]]
    scores = parts[0] @ parts[1].transpose(0, 1, 3, 2) / np.sqrt(size)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    read = shares / shares.sum(-1, keepdims=True) @ parts[2]
    return read.transpose(0, 2, 1, 3).reshape(x.shape)


def rotated(x: np.ndarray, base: float) -> np.ndarray:
    """Rotary positions as the original has them: feature j turns with feature j + size/2."""
    size = x.shape[-1]
    angle = np.outer(np.arange(x.shape[2]), base ** (-np.arange(0, size, 2) / size))
    cos, sin = (np.concatenate([part, part], axis=1) for part in (np.cos(angle), np.sin(angle)))
    first, second = np.split(x, 2, axis=-1)
    return x * cos + np.concatenate([-second, first], axis=-1) * sin


class Stored:
    """A reference to numbers outside of a pickle."""

    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


class OnDisk:
    """An array that is pickled as a tensor of PyTorch."""

    def __init__(self, key: str, array: np.ndarray) -> None:
        self.storage, self.shape = Stored(key, array), array.shape
        self.strides = tuple(step // array.itemsize for step in array.strides)

    def __reduce__(self) -> tuple:
        tensor = sys.modules["torch._utils"]._rebuild_tensor_v2
        return tensor, (self.storage, 0, self.shape, self.strides, False, OrderedDict())


def fake_torch() -> dict[str, types.ModuleType]:
    """Modules with the names that a checkpoint refers to, and nothing in them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch._utils = utils
    return {"torch": torch, "torch._utils": utils}


class Pickler(pickle._Pickler):
    """Python's own pickler, with numbers outside as torch.save has them."""

    def persistent_id(self, found: object) -> object:
        if not isinstance(found, Stored):
            return None
        return "storage", sys.modules["torch"].FloatStorage, found.key, "cpu", found.array.size


def save(path: Path, content: dict) -> Path:
    """Writes a checkpoint: arrays at any depth become tensors."""
    arrays: list[np.ndarray] = []

    def replaced(value: object) -> object:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return OnDisk(str(len(arrays) - 1), value)
        return type(value)((k, replaced(v)) for k, v in value.items()) if isinstance(value, dict) else value

    with mock.patch.dict(sys.modules, fake_torch()):
        raw = io.BytesIO()
        Pickler(raw, protocol=2).dump(replaced(content))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("epoch=1/data.pkl", raw.getvalue())
        for i, array in enumerate(arrays):
            archive.writestr(f"epoch=1/data/{i}", array.tobytes())
        archive.writestr("epoch=1/version", "3\n")
    return path


def checkpoint(path: Path, prefix: str = "model.", **model: object) -> tuple[Path, dict, dict]:
    """A checkpoint of Lightning with random weights; its state dict and its section model."""
    hyper = settings(**model)
    section = hyper["config"]["model"]
    state = state_dict(section)
    named = OrderedDict((prefix + name, array) for name, array in state.items())
    content = {"epoch": 3, "global_step": 77, "state_dict": named, "hyper_parameters": hyper}
    return save(path, content), state, section
