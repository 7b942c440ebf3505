"""The networks of a page: their settings, for the diagram, their size and their speed."""

import time
from typing import Any

import jax
import numpy as np

from specvit_jax.evaluation.predict import predict
from specvit_jax.network.networks import parameter_counts
from specvit_jax.network.standardise import measured_under
from specvit_jax.network.weights import Weights

ROUNDS = 5  # of which the fastest counts
SPECTRA = 256  # in one call


def described(name: str, weights: Weights) -> dict[str, Any] | None:
    """What a diagram of a network says, with what it costs; None: it is no SpecViT.

    Args:
        name: of the network.
        weights: the network.

    Returns:
        Settings of the model, `parameters`, `preprocess`, `components`, and `ms`: milliseconds for a spectrum
        in a batch of `SPECTRA` on this machine, the best of `ROUNDS`, on `device`.
    """
    cfg = weights.config.model
    if cfg.network != "vit":
        return None
    kept = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "pool", "pos_embed", "input_size")
    return {
        "name": name,
        **{key: getattr(cfg, key) for key in kept},
        "stride": cfg.patch_stride,
        "num_patches": cfg.num_patches,
        "num_tokens": cfg.num_tokens,
        "n_pix": len(weights.input_scaler.mean),
        "label_names": list(cfg.output_names),
        "predict_sigma": cfg.predict_sigma,
        "preprocess": measured_under(weights.config).preprocess,
        "components": measured_under(weights.config).components,
        "parameters": sum(parameter_counts(cfg).values()),
        "ms": _milliseconds(weights),
        "device": jax.devices()[0].device_kind,
    }


def _milliseconds(weights: Weights) -> float:
    flux = np.repeat(np.asarray(weights.input_scaler.mean)[None], SPECTRA, axis=0)
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        predict(weights, flux)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:]) / SPECTRA
