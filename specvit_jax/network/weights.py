"""Weights files (safetensors): a trained network with all that prediction needs."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from crlb.errors import DataError, UsageError
from crlb.files import npz
from crlb.files.checksum import CHECKSUM, check_name
from crlb.files.memory import check_memory
from crlb.files.output import new_file
from crlb.files.text_input import parse_json
from specvit_jax.network.find import FORMAT, read_metadata, stored_config
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler, kept_arrays
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import from_yaml

MOST_NUMBERS = 2**28  # of a table of positions: 1 GB
SMALL = 2**16  # numbers: sizes below that need not be justified by those of a file
FEW = 64  # layers, likewise
COPIES = 3  # of a weights file in memory
WHOLE = ("input_scaler/sky_line",)  # arrays of whole numbers
Tree = TypeVar("Tree")


class Weights(NamedTuple):
    """A trained network: all that prediction needs."""

    params: dict[str, Any]
    config: Config
    label_scaler: LabelScaler
    input_scaler: InputScaler


def save_weights(path: Path, weights: Weights, about: Mapping[str, float | int]) -> None:
    """Writes a weights file (safetensors), replacing what was there only once it is complete.

    Equal weights give equal files, byte for byte.

    Raises:
        OutputError: the file cannot be created.
    """
    tensors = flatten(
        {
            "params": weights.params,
            "label_scaler": weights.label_scaler._asdict(),
            "input_scaler": weights.input_scaler._asdict(),
        }
    )
    metadata = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(weights.config)),
        "label_names": json.dumps(weights.config.model.label_names),
        "about": json.dumps(dict(about)),
    }
    save_tensors(path, tensors, metadata)


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes arrays and texts with the checksum of both (safetensors), whole or not at all.

    Equal content gives equal files, byte for byte.

    Raises:
        OutputError: the file cannot be created.
    """
    texts = dict(metadata) | {CHECKSUM: content_digest(tensors, metadata)}
    # safetensors writes the bytes as they lie: a transposed array would come back scrambled.
    ordered = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with new_file(path, overwrite=True) as temporary:
        temporary.write_bytes(_file_of(ordered, texts))


def _file_of(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The bytes of a safetensors file, with the keys of its header in alphabetical order.

    safetensors writes the metadata in an order that changes from call to call, and its `save_file` writes
    under a name of its own (`.tmpXXXXXX`), which would stay for ever where it is killed.

    Source: https://github.com/huggingface/safetensors, Format: length of the header (8 bytes, little endian),
    the header (JSON, padded with spaces), the tensors.
    """
    file = safetensors.numpy.save(tensors, metadata)
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]


def load_weights(path: str | Path) -> Weights:
    """The network in a weights file.

    Raises:
        MissingInputError: no such file.
        DataError: not a weights file of this project, or its arrays are not those its config asks for.
    """
    path = Path(path)
    metadata = read_metadata(path)
    try:
        check_name(metadata)
    except DataError as error:
        raise DataError(f"weights {path}: {error}") from None
    check_memory(COPIES * path.stat().st_size, f"weights {path}")
    tensors = safetensors.numpy.load_file(path)
    if metadata.get(CHECKSUM, "") not in ("", content_digest(tensors, metadata)):
        raise DataError(f"weights {path} are not what was written (SHA-256 differs); take an earlier file")
    config = _config_of(path, metadata)
    _check_sizes(path, config, tensors)
    try:
        like = _like(config, tensors)
    except UsageError as error:
        raise DataError(f"weights {path}: its config is damaged: {error}") from error
    _check_shapes(path, like, tensors)
    _check_values(path, tensors)
    tree = unflatten(like, tensors)
    return Weights(
        tree["params"], config, LabelScaler(**tree["label_scaler"]), InputScaler(**tree["input_scaler"])
    )


def _check_shapes(path: Path, like: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Refuses arrays that are not those of the tree `like`."""
    needed = {name: leaf.shape for name, leaf in flatten(like).items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    wrong = sorted(name for name in needed | found if needed.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise DataError(
            f"weights {path} does not fit its config: {name} must have shape {needed.get(name, 'none')}, "
            f"found {found.get(name, 'none')} ({len(wrong)} such arrays); it was cut or mixed up"
        )


def _check_values(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuses numbers of another kind, that are not finite, or that cannot scale or count anything."""
    for name, tensor in tensors.items():
        kind = "i" if name in WHOLE else "f"
        if tensor.dtype.kind != kind:
            words = "whole" if kind == "i" else "real"
            raise DataError(f"weights {path}: {name} must hold {words} numbers, found {tensor.dtype}")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise DataError(f"weights {path} holds numbers that are not finite; take an earlier file")
    for name in ("label_scaler/scale", "input_scaler/scale"):
        if not (tensors[name] > 0).all():
            raise DataError(f"weights {path}: {name} must be positive, found {tensors[name].min():g}")
    for name in tensors.keys() & set(WHOLE):
        line = tensors[name]
        if line.min() < 0 or line.max() >= line.size or (np.diff(line) < 0).any():
            raise DataError(f"weights {path}: {name} must number the lines of the sky in their order")


def content_digest(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of all that a weights file holds but this checksum, as it reads."""
    texts = (f"{name} {text}\n" for name, text in sorted(metadata.items()) if name != CHECKSUM)
    return npz.content_digest(tensors, "".join(texts).encode("utf-8", "replace"))


def flatten(tree: object) -> dict[str, np.ndarray]:
    """The leaves of a tree on the host, by their path: ``params/block_0/query/kernel``."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def unflatten(like: Tree, flat: dict[str, np.ndarray]) -> Tree:
    """The tree of the structure of ``like`` with the leaves of ``flat``."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    tree: Tree = jax.tree_util.tree_unflatten(treedef, [jnp.asarray(flat[name]) for name in names])
    return tree


def _config_of(path: Path, metadata: Mapping[str, str]) -> Config:
    """The config in a weights file; younger settings take their defaults, whatever its preset says.

    Raises:
        DataError: it is damaged, or none that a network can have.
    """
    stored, default = stored_config(path), dataclasses.asdict(Config())
    sections = {name: default[name] | section for name, section in stored.items()}
    try:
        return from_yaml(json.dumps(parse_json(metadata["config"]) | sections))
    except UsageError as error:
        raise DataError(f"weights {path}: its config is damaged: {error}") from error


def _check_sizes(path: Path, config: Config, found: Mapping[str, np.ndarray]) -> None:
    """Refuses a config of a network that these arrays cannot be, before it is built.

    Raises:
        DataError: naming the setting.
    """
    model, total = config.model, sum(tensor.size for tensor in found.values())
    layers: dict[str, float] = {
        "depth": model.depth,
        "hidden": len(model.hidden),
        "channels": len(model.channels),
    }
    layers |= {"label_names": len(model.label_names)}
    width: dict[str, float] = {
        "input_size": model.input_size,
        "embed_dim": model.embed_dim,
        "patch_size": model.patch_size,
    }
    width |= {"hidden": max(model.hidden), "channels": max(model.channels), "num_heads": model.num_heads}
    width |= {"mlp_ratio": model.mlp_ratio * model.embed_dim, "components": config.data.components}
    if model.input_layer != "none":
        width |= {"input_components": model.input_components}
    for sizes, most in ((layers, max(len(found), FEW)), (width, max(total, SMALL))):
        for name, size in sizes.items():
            if size > most:
                raise DataError(
                    f"weights {path} does not fit its config: {name} {size:g} is more than it has"
                )
    if model.num_tokens * model.embed_dim > MOST_NUMBERS:
        raise DataError(f"weights {path}: {model.num_tokens} tokens of width {model.embed_dim} are too many")


def _like(config: Config, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The tree a weights file of this config holds, its leaves shapes only in memory no larger than one.

    What pca reads has the pixels of the mean that was ``found``; the network behind it sees components.
    """
    model, data = config.model, config.data
    shapes = jax.eval_shape(make_network(model).init, jax.random.key(0), jnp.zeros((1, model.input_size)))
    n_pix, n_labels = model.input_size, len(model.label_names)
    if data.preprocess == "pca" and "input_scaler/mean" in found:
        n_pix = found["input_scaler/mean"].size
    arrays: dict[str, tuple[int, ...]] = {"mean": (n_pix,), "scale": (n_pix,)}
    if data.preprocess != "none":
        arrays["analysis"] = (n_pix, data.components)
    if data.preprocess == "zca":
        arrays["synthesis"] = (data.components, n_pix)
    arrays |= kept_arrays(config, n_pix)
    return {
        "params": jax.tree.map(lambda leaf: _shape_only(leaf.shape), shapes["params"]),
        "label_scaler": {name: _shape_only((n_labels,)) for name in ("mean", "scale")},
        "input_scaler": {name: _shape_only(shape) for name, shape in arrays.items()},
    }


def _shape_only(shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.float32(0), shape)
