"""What the weights of the published network are called here and in the original's state dict.

The original is HuggingFace's ViT behind a Conv1d, or a linear map of windows, with a linear regressor.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from crlb.errors import DataError, UsageError
from specvit_jax.network.weights import flatten
from specvit_jax.settings.config import ModelConfig

# Linear maps and norms of a block: ours, transformers 4, transformers 5.
BLOCK = (
    ("query", "attention.attention.query", "attention.q_proj"),
    ("key", "attention.attention.key", "attention.k_proj"),
    ("value", "attention.attention.value", "attention.v_proj"),
    ("out", "attention.output.dense", "attention.o_proj"),
    ("up", "intermediate.dense", "mlp.fc1"),
    ("down", "output.dense", "mlp.fc2"),
    ("norm_attention", "layernorm_before", "layernorm_before"),
    ("norm_mlp", "layernorm_after", "layernorm_after"),
)
PATCHES = "vit.embeddings.patch_embeddings.projection"
CLASSES = "classifier"  # its head of two classes, whose softmax is told
CLS, POSITION = "vit.embeddings.cls_token", "vit.embeddings.position_embeddings"
POOLER = "vit.pooler.dense"  # HuggingFace adds it; nothing of the published network reads it
BLOCKS = "vit.encoder.layer", "vit.layers"  # of transformers 4 and 5
CLASSIFIER = tuple(f"{CLASSES}.{kind}" for kind in ("weight", "bias"))
# What the original's network is, setting by setting of ours.
ONLY: dict[str, tuple[object, ...]] = {
    "network": ("vit",),
    "input_layer": ("none",),
    "pool": ("cls",),
    "pos_embed": ("learned", "rotary", "none"),
    "chunk_norm": (False,),
    "predict_sigma": (False,),
    "gelu": ("exact",),
}


class Entry(NamedTuple):
    """An array here and there.

    Args:
        ours: its path in the parameters: block_0/query/kernel.
        theirs: its name in the state dict.
        turned: whether axes are the other way round: the matrix of a linear map.
        rotary: whether its outputs are queries or keys that rotary positions turn.
    """

    ours: str
    theirs: str
    turned: bool = False
    rotary: bool = False


def check_original(cfg: ModelConfig) -> None:
    """Refuses networks that the original system does not have.

    Raises:
        UsageError: naming the setting.
    """
    for name, values in ONLY.items():
        if getattr(cfg, name) not in values:
            words = " or ".join(map(str, values))
            raise UsageError(
                f"the original's network has model.{name} {words}, found {getattr(cfg, name)}: "
                "export it as onnx, or train one with that setting"
            )


def entries(cfg: ModelConfig, newer: bool = False) -> Iterator[Entry]:
    """Every array of the network, by both of its names; `newer`: as transformers 5 has them."""
    yield from _layer("tokens/patches", PATCHES)
    yield Entry("tokens/cls", CLS)
    if cfg.pos_embed == "learned":
        yield Entry("tokens/position", POSITION)
    for i in range(cfg.depth):
        for ours, older, other in BLOCK:
            theirs = f"{BLOCKS[newer]}.{i}.{other if newer else older}"
            turns = cfg.pos_embed == "rotary" and ours in ("query", "key")
            yield from _layer(f"block_{i}/{ours}", theirs, turns)
    yield from _layer("norm", "vit.layernorm")
    yield from _layer("head", "regressor" if cfg.threshold is None else CLASSES)


def _layer(ours: str, theirs: str, rotary: bool = False) -> Iterator[Entry]:
    """Weight and bias of a linear map or of a norm."""
    kind = "scale" if "norm" in ours.rpartition("/")[2] else "kernel"
    yield Entry(f"{ours}/{kind}", f"{theirs}.weight", kind == "kernel", rotary)
    yield Entry(f"{ours}/bias", f"{theirs}.bias", False, rotary)


def to_state(params: Mapping[str, Any], cfg: ModelConfig, newer: bool = False) -> dict[str, np.ndarray]:
    """The parameters as a state dict of the original, float32; `newer`: as transformers 5 has the names.

    The network is one that `check_original` passes, but for its activation.
    """
    flat = flatten(params)
    state = {one.theirs: _theirs(flat[one.ours], one, cfg) for one in entries(cfg, newer)}
    if cfg.threshold is not None:
        state |= {name: np.concatenate([0 * state[name], state[name]]) for name in CLASSIFIER}
    if cfg.tokenizer == "conv":
        state[f"{PATCHES}.weight"] = state[f"{PATCHES}.weight"][:, None, :]
    return state


def from_state(state: Mapping[str, np.ndarray], like: Mapping[str, Any], cfg: ModelConfig) -> dict[str, Any]:
    """The parameters of a network from a state dict of the original.

    Args:
        state: arrays by name, without `model.`; what is of the pooler is not read.
        like: shapes of the parameters that the config asks for, as a tree.
        cfg: the network.

    Raises:
        DataError: an array is missing, has another shape than the config asks for, or has no place.
    """
    shapes = {name: leaf.shape for name, leaf in flatten(like).items()}
    left = {name: array for name, array in state.items() if not name.startswith(POOLER)}
    if cfg.threshold is not None:
        left |= {name: log_odds(left[name], name) for name in CLASSIFIER if name in left}
    tree: dict[str, Any] = {}
    for one in entries(cfg, any(name.startswith(BLOCKS[1]) for name in state)):
        if one.theirs not in left:
            raise DataError(f"it has no {one.theirs}, which its settings ask for")
        found = _ours(left.pop(one.theirs), one, cfg)
        if found.shape != shapes[one.ours]:
            needed = shapes[one.ours][::-1] if one.turned else shapes[one.ours]
            seen = found.shape[::-1] if one.turned else found.shape
            raise DataError(f"its settings ask for {one.theirs} of shape {needed}, found {seen}")
        _put(tree, one.ours.split("/"), found)
    if left:
        raise DataError(f"it holds {min(left)}, which has no place in this network ({len(left)} such arrays)")
    return tree


def log_odds(rows: np.ndarray, name: str) -> np.ndarray:
    """The one row that stands for two of a softmax: p_1 = 1/(1 + exp(-(z_1 - z_0))), exactly.

    Raises:
        DataError: there are other than two.
    """
    if len(rows) != 2:
        raise DataError(f"its {name} must have two rows, one for each class, found {len(rows)}")
    return np.asarray(rows[1:] - rows[:1])


def _put(tree: dict[str, Any], path: list[str], leaf: np.ndarray) -> None:
    """Puts an array into a tree, under its path."""
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = leaf


def _theirs(array: np.ndarray, one: Entry, cfg: ModelConfig) -> np.ndarray:
    """An array of ours as the original has it."""
    if one.rotary:
        array = array[..., np.argsort(_pairs(cfg))]
    return np.ascontiguousarray(array.T if one.turned else array, np.float32)


def _ours(array: np.ndarray, one: Entry, cfg: ModelConfig) -> np.ndarray:
    """An array of the original as we have it."""
    if one.theirs == f"{PATCHES}.weight" and array.ndim == 3:
        array = array.reshape(len(array), -1)
    array = array.T if one.turned else array
    if one.rotary and array.shape[-1] == cfg.embed_dim:
        array = array[..., _pairs(cfg)]
    return np.ascontiguousarray(array)


def _pairs(cfg: ModelConfig) -> np.ndarray:
    """For every feature of a query here its place in the original's.

    Rotary positions turn features 2 j and 2 j + 1 of a head here, j and j + size/2 there, by the same angle.
    """
    size = cfg.embed_dim // cfg.num_heads
    head = np.arange(size).reshape(2, -1).T.reshape(-1)
    return (np.arange(cfg.num_heads)[:, None] * size + head[None, :]).reshape(-1)
