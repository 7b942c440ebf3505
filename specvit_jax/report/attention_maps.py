"""Where a network looks in the stars of the explorer, small enough for a page."""

import base64
from typing import Any

import numpy as np
from jaxtyping import Float

from specvit_jax.evaluation.attention import attention_weights, rollout, token_wave
from specvit_jax.network.standardise import measured_under
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import ModelConfig

MOST_TOKENS = 96  # of a map; where there are more, neighbours are averaged
LEVELS = 255


def attention(
    name: str, weights: Weights, explorer: dict[str, Any], most_bytes: int
) -> dict[str, Any] | None:
    """The attention of a network in noisy spectra of an explorer; None where it has none on these pixels.

    Args:
        name: of the network.
        weights: the network.
        explorer: what `explore` returned; its stars and noisy spectra are referred to by their place.
        most_bytes: that its maps may take, of one byte per weight; the fewer stars are shown.

    Returns:
        Patches (`wave`: first and last pixel of each, vacuum Å), and per star and magnitude the `rollout` and
        `heads`, shares of the patches, and `maps`: token x token of every layer and head, in base64 of one
        byte per weight, 255 for the largest weight of the map, `largest`.
    """
    cfg, data = weights.config.model, weights.config.data
    whitening = measured_under(weights.config).preprocess
    fits = len(explorer["wave"]) == cfg.input_size and whitening != "pca"
    if cfg.network != "vit" or not fits:
        return None
    places = _places(cfg, explorer, data.mag, most_bytes)
    flux = np.array([_flux(explorer, *place) for place in places], np.float32)
    found = attention_weights(weights, flux)
    shares = rollout(found, cfg)
    return {
        "name": name,
        "patch_size": cfg.patch_size,
        "stride": cfg.patch_stride,
        "depth": cfg.depth,
        "num_heads": cfg.num_heads,
        "pool": cfg.pool,
        "whitened": whitening == "zca",
        "wave": np.round(token_wave(cfg, np.asarray(explorer["wave"])), 2).tolist(),
        "map_tokens": len(_pooled(found[0, 0, 0], cfg)),
        "tokens_per_cell": _cell(cfg),
        "seen": [
            {"star": star, "mag": mag} | _seen(maps, share, cfg)
            for (star, mag), maps, share in zip(places, found, shares, strict=True)
        ],
    }


def _places(
    cfg: ModelConfig, explorer: dict[str, Any], trained: tuple[float, float], most_bytes: int
) -> list[tuple[int, int]]:
    """Stars and magnitudes to show, as many as there is room for: the ends of the training's range first."""
    mags = np.asarray(explorer["mags"])
    chosen = dict.fromkeys(int(np.abs(mags - end).argmin()) for end in trained)
    places = [(star, mag) for mag in chosen for star in range(len(explorer["stars"]))]
    tokens = -(-cfg.num_patches // _cell(cfg))
    room = most_bytes // (cfg.depth * cfg.num_heads * tokens**2)
    return places if room >= len(places) else _spread(places[: len(explorer["stars"])], max(room, 1))


def _spread(places: list[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    """At most `n` of them, evenly."""
    return [places[i] for i in np.unique(np.linspace(0, len(places) - 1, n).round().astype(int))]


def _flux(explorer: dict[str, Any], star: int, mag: int) -> np.ndarray:
    found: np.ndarray = np.asarray(explorer["stars"][star]["at"][mag]["noisy"]) * explorer["flux_step"]
    return found


def _seen(
    maps: Float[np.ndarray, "depth num_heads n_tokens n_tokens"],
    share: Float[np.ndarray, " n_patches"],
    cfg: ModelConfig,
) -> dict[str, Any]:
    pooled = [[_pooled(head, cfg) for head in layer] for layer in maps]
    return {
        "rollout": _rounded(share),
        "heads": [[_rounded(_share(head, cfg)) for head in layer] for layer in maps],
        "maps": [[_bytes(head) for head in layer] for layer in pooled],
        "largest": [_rounded(np.array([head.max() for head in layer])) for layer in pooled],
    }


def _share(head: Float[np.ndarray, "n_tokens n_tokens"], cfg: ModelConfig) -> Float[np.ndarray, " n_patches"]:
    """What is read of every patch: by the class token where it is the one pooled, else by all on average."""
    row = head[0, 1:] if cfg.pool == "cls" else head.mean(axis=0)
    found: Float[np.ndarray, " n_patches"] = row / row.sum()
    return found


def _cell(cfg: ModelConfig) -> int:
    """Neighbouring patches that share a row and a column of a map."""
    return -(-cfg.num_patches // MOST_TOKENS)


def _pooled(head: Float[np.ndarray, "n_tokens n_tokens"], cfg: ModelConfig) -> Float[np.ndarray, "m m"]:
    """The map between patches, neighbours averaged; without the class token."""
    first, size = int(cfg.pool == "cls"), _cell(cfg)
    starts = np.arange(0, cfg.num_patches, size)
    counts = np.diff([*starts, cfg.num_patches])
    patches = head[first:, first:]
    summed = np.add.reduceat(np.add.reduceat(patches, starts, axis=0), starts, axis=1)
    found: Float[np.ndarray, "m m"] = summed / (counts[:, None] * counts[None, :])
    return found


def _bytes(values: Float[np.ndarray, "m m"]) -> str:
    return base64.b64encode(np.rint(LEVELS * values / values.max()).astype(np.uint8).tobytes()).decode()


def _rounded(values: Float[np.ndarray, " n"]) -> list[float]:
    return [float(f"{value:.3g}") for value in values]
