"""A network with all that the page needs to run it: arrays in base64, and the training's spectra."""

import base64
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.flags import LEAST_PIXELS, LEAST_RANGE, LEAST_SNR, LEGEND
from crlb.files.observed import MODEL_UNIT, NORMALISED, UNKNOWN_UNIT
from crlb.labels import unit_of
from crlb.readers import columns, meta, units
from specvit_jax.evaluation import distance, prepared
from specvit_jax.evaluation.explore import STARS
from specvit_jax.evaluation.instrument import LSF_FWHM
from specvit_jax.evaluation.limits import label_box
from specvit_jax.evaluation.trained import TrainedNetwork
from specvit_jax.network import position
from specvit_jax.network.input_scaler import REST_REACH
from specvit_jax.network.model import LAYER_NORM_EPS
from specvit_jax.network.tokens import CHUNK_EPS, wavelength_features
from specvit_jax.network.weights import Weights, flatten
from specvit_jax.settings.observed_under import LEVEL, conditions_in
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.spectra.source import Batch, Rows, Simulator, fold_in

MOST_NUMBERS = 1_400_000  # of a network on the page: 7.5 MB of text
EXAMPLE = next(star for star in STARS if star.name == "Subgiant")
EXAMPLE_SEED = 5
TYPES = {  # of the network's settings that the page reads
    *("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "pool", "pos_embed", "gelu"),
    *("chunk_norm", "predict_sigma", "input_size"),
}


def trial(name: str, weights: Weights, path: Path | None) -> tuple[dict[str, Any] | None, str]:
    """All that the page needs to read labels with a network; or None, and why it cannot.

    Args:
        name: of the network.
        weights: the network.
        path: of its weights, beside which the spectra of its training are kept; None: nowhere.
    """
    cfg, network = weights.config.model, TrainedNetwork(weights, path)
    if cfg.network != "vit" or cfg.pos_embed == "rotary":
        return None, f"{name}: the page runs SpecViT without rotary positions only; left out of Try it"
    if cfg.input_layer != "none":
        return None, f"{name} has an input layer, which the page does not know; left out of Try it"
    if cfg.threshold is not None:
        return None, f"{name} says {cfg.output_names[0]}, a probability and no label; left out of Try it"
    tensors = _tensors(weights)
    if (count := sum(tensor.size for tensor in tensors.values())) > MOST_NUMBERS:
        return None, f"{name} holds {count:,} numbers, more than the {MOST_NUMBERS:,} of a page"
    try:
        reads = network.reads
    except DataError:
        return None, f"{name} reads other pixels than the detector's; left out of Try it"
    frame = network.frame
    found = {
        "name": name,
        "label_names": list(network.label_names),
        "units": [unit_of(label) for label in network.label_names],
        "model": _model(weights),
        "tensors": {key: _text(tensor) for key, tensor in tensors.items()},
        "level": LEVEL,
        "rest_reach": REST_REACH,
        "lost": bool(conditions_in(weights.config.data.conditions).lost),
        "assumes": network.assumes(),
        "wave": base64.b64encode(np.asarray(reads.wave, "<f8").tobytes()).decode(),
        "lsf_fwhm": reads.lsf_fwhm,
        "power": reads.power,
        "spacing": reads.spacing,
        "limits": _limits(),
        "training": None if frame is None else {"tensors": _training(network, frame)},
        "example": _example(weights),
    }
    return found, "" if frame is not None else network.training[1]


def size_of(trials: list[dict[str, Any]]) -> int:
    """Characters of the arrays of networks that run in the page."""
    texts = (part for one in trials for part in (one["tensors"], (one["training"] or {}).get("tensors", {})))
    return sum(len(text) for part in texts for text in part.values())


def words() -> dict[str, Any]:
    """What columns, units and keywords of spectra are called, and what flags mean."""
    return {
        "names": {role: list(names) for role, names in columns.NAMES.items()},
        "own": list(columns.OWN),
        "units": units.SIZES,
        "medium_keys": list(meta.MEDIUM),
        "wave_unit_keys": list(meta.WAVE_UNIT),
        "flux_unit_keys": list(meta.FLUX_UNIT),
        "star_keys": list(meta.STAR),
        "model_unit": MODEL_UNIT,
        "normalised": NORMALISED,
        "unknown": UNKNOWN_UNIT,
        "lsf_fwhm": LSF_FWHM,
        "flags": dict(LEGEND),
    }


def _limits() -> dict[str, Any]:
    """Numbers from which on a spectrum counts as another than those of the training."""
    return {
        "least_pixels": LEAST_PIXELS,
        "least_range": LEAST_RANGE,
        "least_snr": LEAST_SNR,
        "covered": prepared.COVERED,
        "other_errors": prepared.OTHER_ERRORS,
        "other_snr": prepared.OTHER_SNR,
        "coarser": prepared.COARSER,
        "sharper": prepared.SHARPER,
        "significant": prepared.SIGNIFICANT,
        "wrong_errors": distance.WRONG_ERRORS,
        "unknown": distance.UNKNOWN,
        "amplitudes": list(distance.AMPLITUDES),
    }


def _model(weights: Weights) -> dict[str, Any]:
    """The settings of the network that its computation depends on, and what the diagram says."""
    cfg = weights.config.model
    kept = {name: getattr(cfg, name) for name in sorted(TYPES)}
    counted = {"stride": cfg.patch_stride, "num_patches": cfg.num_patches, "num_tokens": cfg.num_tokens}
    return kept | counted | {"eps": LAYER_NORM_EPS, "chunk_eps": CHUNK_EPS}


def _tensors(weights: Weights) -> dict[str, np.ndarray]:
    """Parameters and scalers by name; positions as a table, however they are told."""
    cfg, found = weights.config.model, flatten(weights.params)
    table = found.pop("tokens/position", None)
    layer = found.pop("tokens/position/kernel", None)
    if cfg.pos_embed == "sinusoidal":
        table = np.asarray(position.sinusoidal(cfg.num_tokens, cfg.embed_dim))
    elif layer is not None:
        places = np.asarray(wavelength_features(cfg, None)) @ layer
        table = np.pad(places, ((cfg.num_tokens - len(places), 0), (0, 0)))
    scaler = {key: part for key, part in weights.input_scaler._asdict().items() if part is not None}
    label = {f"label_{key}": part for key, part in weights.label_scaler._asdict().items()}
    return {
        key: np.asarray(part, np.float32)
        for key, part in {**found, "position": table, **scaler, **label}.items()
        if part is not None
    }


def _training(network: TrainedNetwork, frame: distance.Frame) -> dict[str, str]:
    """The spectra of the training as `evaluation.distance` compares with them."""
    training = network.training[0]
    assert training is not None
    arrays = {
        "mean": training.mean,
        "basis": training.basis,
        "deviation": training.deviation,
        "coefficients": training.coefficients,
        "draws": frame.draws,
        "floor": frame.floor,
        "calm": training.calm,
        "mags": training.mags,
        "errors": training.errors,
        "log_snr": training.log_snr,
        "snr_range": training.snr_range,
        "label_range": training.label_range,
    }
    return {key: _text(array) for key, array in arrays.items()}


def _example(weights: Weights) -> dict[str, Any] | None:
    """A star of the simulator the network learnt from, as it is observed; None: its grid is not here."""
    try:
        simulator = simulator_of(weights.config.data)
    except (MissingInputError, DataError, UsageError):
        return None
    low, high = label_box(simulator)
    values = np.array([EXAMPLE.labels.get(name, 0.0) for name in simulator.label_names])
    if not ((values >= low) & (values <= high)).all():
        values = (low + high) / 2
    mag = float(simulator.mag_range[0]) + 0.25
    batch = _observed(simulator, jnp.asarray(values[None], jnp.float32), jnp.float32(mag))
    usable = jnp.ones_like(batch.flux) if batch.usable is None else batch.usable
    error = jnp.where(usable > 0, batch.error, jnp.nan)  # as files mark pixels that are lost
    return {
        "name": EXAMPLE.name,
        "labels": dict(zip(simulator.label_names, values.tolist(), strict=True)),
        "mag": mag,
        "flux": _text(np.asarray(batch.flux)[0]),
        "error": _text(np.asarray(error)[0]),
    }


@jax.jit
def _observed(simulator: Simulator, labels: Float[Array, "1 n_labels"], mag: Float[Array, ""]) -> Batch:
    keys = fold_in(jax.random.key(EXAMPLE_SEED), jnp.arange(1))
    rows = Rows(simulator.clean(labels), labels, mag[None])
    return simulator.observer.observe(keys, rows)


def _text(array: Any) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
