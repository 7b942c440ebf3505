"""A trained network as an ONNX model: noisy flux in, labels and their sigma in their units out."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from crlb.errors import UsageError
from crlb.files.output import new_file
from crlb.labels import unit_of
from specvit_jax.exchange.graph import IR_VERSION, OPSET, Graph, check_onnx
from specvit_jax.exchange.onnx_input import encode
from specvit_jax.network import position
from specvit_jax.network.input_layer import NAME
from specvit_jax.network.model import LAYER_NORM_EPS
from specvit_jax.network.tokens import CHUNK_EPS, wavelength_features
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import ModelConfig
from specvit_jax.settings.observed_under import conditions_in
from specvit_jax.settings.pixels import token_wave


def save_onnx(path: Path, weights: Weights, overwrite: bool = False) -> None:
    """Writes a network with its scalers as an ONNX model in float32, whole or not at all.

    Its inputs are ``flux`` (batch, n_pix) and, for a network that was trained with lost pixels, ``usable``
    (batch, n_pix), 0 where flux is not to be read, else 1; its outputs ``labels`` (batch, n_labels) and,
    where it predicts errors, ``sigma`` (batch, n_labels). A network that tells two classes apart has one
    output instead, ``probability`` (batch, 1), that the label lies above the threshold. The batch may have
    any size.

    Raises:
        UsageError: the package onnx is not installed, or the network is none that can be written.
        OutputError: the file exists and `overwrite` is False, or cannot be created.
    """
    check_onnx()
    model = onnx_model(weights)
    with new_file(path, overwrite) as temporary:
        temporary.write_bytes(model.SerializeToString())


def onnx_model(weights: Weights) -> Any:
    """The network as an ONNX model (``onnx.ModelProto``).

    Raises:
        UsageError: it is a perceptron or a convolutional network, which cannot be written.
    """
    import onnx
    import onnx.helper as helper

    cfg, graph = weights.config.model, Graph()
    if cfg.network != "vit":
        raise UsageError(f"onnx is written of model.network vit only, found {cfg.network}")
    masked = bool(conditions_in(weights.config.data.conditions).lost)
    x = encode(graph, weights.input_scaler, "flux", "usable" if masked else None)
    out = forward(graph, cfg, weights.params, x, token_wave(weights.config))
    outputs = _outputs(graph, weights, out)
    n_pix, n_labels, kind = len(weights.input_scaler.mean), len(cfg.label_names), onnx.TensorProto.FLOAT
    inputs = ["flux", "usable"] if masked else ["flux"]
    built = helper.make_graph(
        graph.nodes,
        "specvit",
        [helper.make_tensor_value_info(name, kind, ["batch", n_pix]) for name in inputs],
        [helper.make_tensor_value_info(name, kind, ["batch", n_labels]) for name in outputs],
        graph.constants,
    )
    model = helper.make_model(
        built, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="specvit-jax"
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, _about(weights))
    onnx.checker.check_model(model)
    return model


def _about(weights: Weights) -> dict[str, str]:
    """What a reader of the file needs to know."""
    cfg, data = weights.config.model, weights.config.data
    return {
        "label_names": json.dumps(cfg.output_names),
        "label_units": json.dumps([unit_of(name) for name in cfg.output_names]),
        "wave_range": json.dumps(cfg.wave_range),
        "conditions": data.conditions,
    }


def _outputs(graph: Graph, weights: Weights, out: str) -> list[str]:
    """Labels and sigma in the labels' units, or a probability, under their names, as `inference.decoded`."""
    if weights.config.model.threshold is not None:
        graph.nodes.append(_named(str(graph.node("Sigmoid", (out,))), "probability"))
        return ["probability"]
    mean, scale = (np.asarray(part)[None, :] for part in weights.label_scaler)
    n = mean.shape[1]
    scaled = graph.times(graph.sliced(out, 0, n), graph.constant(scale))
    found = {"labels": graph.add(scaled, graph.constant(mean))}
    if weights.config.model.predict_sigma:
        raised = graph.node("Exp", (graph.sliced(out, n, 2 * n),))
        found["sigma"] = graph.times(raised, graph.constant(scale))
    for name, value in found.items():
        graph.nodes.append(_named(value, name))
    return list(found)


def _named(value: str, name: str) -> Any:
    import onnx.helper

    return onnx.helper.make_node("Identity", [value], [name])


def forward(
    graph: Graph, cfg: ModelConfig, params: dict[str, Any], x: str, wave: np.ndarray | None = None
) -> str:
    """Labels and logs of sigma, scaled, of the network input: `network.model` in the same steps."""
    for matrix in ("analysis", "synthesis"):
        if matrix in params.get(NAME, {}):
            x = graph.matmul(x, graph.constant(params[NAME][matrix]["kernel"]))
    x = _tokens(graph, cfg, params["tokens"], x, wave)
    for i in range(cfg.depth):
        block = params[f"block_{i}"]
        y = _norm(graph, block["norm_attention"], x)
        x = graph.add(x, graph.dense(_attention(graph, cfg, block, y), block["out"]))
        y = graph.dense(_norm(graph, block["norm_mlp"], x), block["up"])
        y = str(graph.node("Gelu", (y,), approximate="tanh" if cfg.gelu == "tanh" else "none"))
        x = graph.add(x, graph.dense(y, block["down"]))
    return graph.dense(_pooled(graph, cfg, params, _norm(graph, params["norm"], x)), params["head"])


def _norm(graph: Graph, layer: dict[str, Any], x: str) -> str:
    scale, bias = (graph.constant(layer[name]) for name in ("scale", "bias"))
    return str(graph.node("LayerNormalization", (x, scale, bias), epsilon=LAYER_NORM_EPS))


def _tokens(graph: Graph, cfg: ModelConfig, params: dict[str, Any], x: str, wave: np.ndarray | None) -> str:
    """Windows of the spectrum as vectors that know their place (batch, n_tokens, width)."""
    count, size, stride = cfg.num_patches, cfg.patch_size, cfg.patch_stride
    if stride == size:
        x = graph.reshaped(graph.sliced(x, 0, count * size), (0, count, size))
    else:
        places = stride * np.arange(count)[:, None] + np.arange(size)[None, :]
        x = str(graph.node("Gather", (x, graph.constant(places, int)), axis=1))
    x = graph.dense(_chunk_norm(graph, x) if cfg.chunk_norm else x, params["patches"])
    if cfg.pool == "cls":
        first = graph.sliced(x, 0, 1)
        shape = graph.node("Shape", (first,))
        x = str(
            graph.node("Concat", (graph.node("Expand", (graph.constant(params["cls"]), shape)), x), axis=1)
        )
    table = _positions(cfg, params, wave)
    return x if table is None else graph.add(x, graph.constant(table))


def _chunk_norm(graph: Graph, x: str) -> str:
    """Every window with mean 0 and standard deviation 1."""
    axis = graph.constant([2], int)
    centred = str(graph.node("Sub", (x, graph.node("ReduceMean", (x, axis)))))
    variance = str(graph.node("ReduceMean", (graph.times(centred, centred), axis)))
    return str(
        graph.node("Div", (centred, graph.node("Sqrt", (graph.add(variance, graph.constant(CHUNK_EPS)),))))
    )


def _positions(cfg: ModelConfig, params: dict[str, Any], wave: np.ndarray | None) -> np.ndarray | None:
    """What is added to the tokens for their places (1, n_tokens, width); None: nothing."""
    if cfg.pos_embed == "learned":
        return np.asarray(params["position"])
    if cfg.pos_embed == "sinusoidal":
        return np.asarray(position.sinusoidal(cfg.num_tokens, cfg.embed_dim))[None]
    if cfg.pos_embed == "wavelength":
        places = np.asarray(wavelength_features(cfg, wave)) @ np.asarray(params["position"]["kernel"])
        return np.pad(places, ((cfg.num_tokens - len(places), 0), (0, 0)))[None]
    return None


def _attention(graph: Graph, cfg: ModelConfig, block: dict[str, Any], x: str) -> str:
    """softmax(q k^T / sqrt(size)) v in every head."""
    n, size = cfg.num_tokens, cfg.embed_dim // cfg.num_heads
    heads = []
    for name in ("query", "key", "value"):
        y = graph.reshaped(graph.dense(x, block[name]), (0, n, cfg.num_heads, size))
        y = _rotated(graph, cfg, y) if cfg.pos_embed == "rotary" and name != "value" else y
        heads.append(str(graph.node("Transpose", (y,), perm=(0, 2, 1, 3))))
    query = graph.times(heads[0], graph.constant(size**-0.5))
    scores = graph.matmul(query, str(graph.node("Transpose", (heads[1],), perm=(0, 1, 3, 2))))
    read = graph.matmul(str(graph.node("Softmax", (scores,), axis=-1)), heads[2])
    return graph.reshaped(str(graph.node("Transpose", (read,), perm=(0, 2, 1, 3))), (0, n, cfg.embed_dim))


def _rotated(graph: Graph, cfg: ModelConfig, x: str) -> str:
    """Pairs of features (batch, n_tokens, heads, size) turned by the angle of their token."""
    n, size = cfg.num_tokens, cfg.embed_dim // cfg.num_heads
    angle = position.angles(n, size, cfg.rotary_base)[None, :, None, :, None]
    pairs = graph.reshaped(x, (0, n, cfg.num_heads, size // 2, 2))
    crossed = graph.matmul(pairs, graph.constant([[0.0, 1.0], [-1.0, 0.0]]))  # (a, b) -> (-b, a)
    turned = graph.add(
        graph.times(pairs, graph.constant(np.cos(angle))), graph.times(crossed, graph.constant(np.sin(angle)))
    )
    return graph.reshaped(turned, (0, n, cfg.num_heads, size))


def _pooled(graph: Graph, cfg: ModelConfig, params: dict[str, Any], x: str) -> str:
    """What the head reads (batch, width)."""
    if cfg.pool == "cls":
        return graph.reshaped(graph.sliced(x, 0, 1), (0, cfg.embed_dim))
    if cfg.pool == "flat":
        return graph.reshaped(x, (0, cfg.num_tokens * cfg.embed_dim))
    if cfg.pool == "mean":
        return str(graph.node("ReduceMean", (x, graph.constant([1], int)), keepdims=0))
    query = np.asarray(params["query"])
    scores = graph.matmul(x, graph.constant(query[:, None] * query.size**-0.5))
    return graph.total(graph.times(x, str(graph.node("Softmax", (scores,), axis=1))), 1, keep=False)
