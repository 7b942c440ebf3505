"""Networks of this project as checkpoints of the original PyTorch system, and under its names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crlb.errors import UsageError
from specvit_jax.exchange.names import POOLER, check_original, to_state
from specvit_jax.exchange.torch_file import save_torch
from specvit_jax.network.input_scaler import InputScaler
from specvit_jax.network.weights import Weights, save_tensors
from specvit_jax.settings.config import Config, ModelConfig
from specvit_jax.settings.original_keys import LABEL, THRESHOLD

SCALINGS = {"zscore": "standard", "minmax": "minmax", "none": "none"}  # ours, the original's
POSITIONS = {"learned": "learned", "rotary": "rope", "none": "none"}
LIGHTNING = "2.0.0"  # whose layout of a checkpoint this is


def save_checkpoint(path: Path, weights: Weights, step: int, overwrite: bool = False) -> list[str]:
    """Writes a network as a checkpoint that the original loads; returns notes for the user.

    Its ``state_dict`` has the names of HuggingFace's ViT after ``model.``; ``hyper_parameters`` its
    config and the scaling of the labels; ``input_scaler`` mean and scale of every pixel where flux is scaled.

    Raises:
        UsageError: the original has no such network.
        OutputError: the file exists and `overwrite` is False, or cannot be created.
    """
    state, scaler = state_dict(weights), input_arrays(weights.input_scaler, weights.config)
    content: dict[str, Any] = {
        "state_dict": {f"model.{name}": array for name, array in state.items()},
        "hyper_parameters": {"config": original_config(weights)},
        "epoch": 0,
        "global_step": step,
        "pytorch-lightning_version": LIGHTNING,
    }
    save_torch(path, content | ({"input_scaler": scaler} if scaler else {}), overwrite)
    return _notes(scaler)


def save_named(path: Path, weights: Weights) -> list[str]:
    """Writes a network as safetensors under HuggingFace's names; returns notes for the user.

    Raises:
        UsageError: the original has no such network.
        OutputError: the file cannot be created.
    """
    state, scaler = state_dict(weights), input_arrays(weights.input_scaler, weights.config)
    arrays = state | {f"input_scaler.{name}": array for name, array in scaler.items()}
    texts = {"format": "pt", "config": json.dumps(original_config(weights))}
    save_tensors(path, arrays, texts)
    return _notes(scaler)


def _notes(scaler: Mapping[str, np.ndarray]) -> list[str]:
    if not scaler:
        return []
    return [
        "the network reads scaled flux: give it (flux - mean) / scale, both under input_scaler in the file"
    ]


def state_dict(weights: Weights) -> dict[str, np.ndarray]:
    """The arrays by the names of HuggingFace's ViT, and a pooler of zeros, which it has and nothing reads.

    Raises:
        UsageError: the original has no such network.
    """
    check_original(weights.config.model)
    check_classes(weights.config.model)
    width = weights.config.model.embed_dim
    pooler = {"weight": np.zeros((width, width), np.float32), "bias": np.zeros(width, np.float32)}
    unused = {f"{POOLER}.{name}": array for name, array in pooler.items()}
    return to_state(weights.params, weights.config.model) | unused


def check_classes(model: ModelConfig) -> None:
    """Refuses classes that the original does not have: its two are divided at one value of log g.

    Raises:
        UsageError: another label or value.
    """
    if model.threshold is not None and (model.label_names, model.threshold) != ((LABEL,), THRESHOLD):
        raise UsageError(
            f"the original divides {LABEL} at {THRESHOLD:g}, found {model.label_names[0]} at "
            f"{model.threshold:g}; export it as onnx"
        )


def input_arrays(scaler: InputScaler, config: Config) -> dict[str, np.ndarray]:
    """Mean and scale of every pixel; nothing where flux is read as it is.

    Raises:
        UsageError: flux is brought to a level or whitened, which the original does not do so.
    """
    more = [
        name for name, part in scaler._asdict().items() if name not in ("mean", "scale") and part is not None
    ]
    if more:
        raise UsageError(
            f"the original reads flux as it is, this network with data.preprocess={config.data.preprocess} "
            f"and data.conditions={config.data.conditions}; export it as onnx, which takes that along"
        )
    mean, scale = (np.asarray(part, np.float32) for part in (scaler.mean, scaler.scale))
    return {} if (mean == 0).all() and (scale == 1).all() else {"mean": mean, "scale": scale}


def original_config(weights: Weights) -> dict[str, Any]:
    """The config of the original that describes a network, with what its labels were scaled with."""
    model, data = weights.config.model, weights.config.data
    mean, std = ([float(value) for value in np.asarray(part)] for part in weights.label_scaler)
    return {
        "model": {
            "name": "vit",
            "task_type": "reg" if model.threshold is None else "cls",
            "image_size": model.input_size,
            "patch_size": model.patch_size,
            "stride_size": model.patch_stride,
            "hidden_size": model.embed_dim,
            "num_hidden_layers": model.depth,
            "num_attention_heads": model.num_heads,
            "intermediate_size": int(model.mlp_ratio * model.embed_dim),
            "proj_fn": "C1D" if model.tokenizer == "conv" else "SW",
            "pos_encoding_type": POSITIONS[model.pos_embed],
            "rope_base": model.rotary_base,
            "hidden_dropout_prob": model.dropout,
            "attention_probs_dropout_prob": model.attention_dropout,
            "num_labels": len(model.label_names) if model.threshold is None else 2,
        },
        "data": {
            "file_path": data.source,
            "param": list(model.label_names),
            "label_norm": SCALINGS[data.label_scaling],
            "label_mean": mean,
            "label_std": std,
        },
        "noise": {"noise_level": data.noise_level},
    }
