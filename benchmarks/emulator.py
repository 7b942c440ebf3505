"""Spectra per second of the emulator on one core, as ratios to what limits it.

    python benchmarks/emulator.py

Writes outputs/benchmarks/emulator.json; `emulator_peers.py` compares it with scipy. One core is all
it uses: the process pins itself to one.
"""

import os

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from measure import SIZES, draw_labels, in_turn, made_up_emulator, ratio, save

from crlb import Emulator, default_grid_path, load_slice, make_emulator, to_detector

BATCH = 64
PUBLISHED_RATE = 0.913  # spectra/s of the published generator, 60 threads


def pieces(emulator: Emulator, batch: int) -> dict[str, Callable[[], Any]]:
    """The emulator on a batch, and the two things it cannot do without, each compiled."""
    labels = jnp.asarray(draw_labels(emulator, batch), emulator.basis.dtype)
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "emulator": (lambda emulator, labels: emulator.batch(labels), (emulator, labels)),
        "vmap": (lambda emulator, labels: jax.vmap(emulator)(labels), (emulator, labels)),
        "basis product": (
            partial(jnp.matmul, precision="highest"),
            (jnp.ones((batch, len(emulator.basis)), emulator.basis.dtype), emulator.basis),
        ),
        "reading coefficients": (partial(read, degree=emulator.degree), (emulator.coefficients, labels)),
    }
    return {name: partial(jax.jit(function), *args) for name, (function, args) in calls.items()}


def read(coefficients: jax.Array, labels: jax.Array, degree: int) -> jax.Array:
    """Sums the block of coefficients that each star needs, from a place that differs from star to star."""
    sizes = [min(degree + 1, n) for n in coefficients.shape[:-1]]
    room = np.array([n - size + 1 for n, size in zip(coefficients.shape[:-1], sizes, strict=True)])
    starts = jnp.abs(jnp.trunc(labels * 7919)).astype(int) % room[None, :]

    def one(start: jax.Array) -> jax.Array:
        place = (*start, jnp.zeros_like(start[0]))
        block = lax.dynamic_slice(coefficients, place, (*sizes, coefficients.shape[-1]))
        return block.reshape(-1, block.shape[-1]).sum(axis=0)

    return lax.map(one, starts)


def emulator_result(make: Callable[[type], Emulator]) -> dict[str, Any]:
    """Rates and shares of the slower limit, for both float types, one by one and in a batch."""
    result: dict[str, Any] = {}
    for dtype in (np.float32, np.float64):
        emulator = make(dtype)
        for batch in (1, BATCH):
            times = in_turn(pieces(emulator, batch), rounds=5)
            limits = "basis product", "reading coefficients"
            slower = max(limits, key=lambda what: median(times[what]))
            rate = batch / median(times["emulator"])
            result[f"{np.dtype(dtype).name}, batch {batch}"] = {
                "spectra_per_second_here": round(rate),
                "times_published_rate_of_60_threads": round(rate / PUBLISHED_RATE),
                "slower_limit": slower,
                "share_of_slower_limit": ratio(times, slower, "emulator"),
                "batch_over_vmap": ratio(times, "vmap", "emulator"),
            }
    return result


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    grid = to_detector(load_slice(default_grid_path()))

    def embedded(dtype: type) -> Emulator:
        return jax.tree.map(lambda x: jnp.asarray(x, dtype), make_emulator(grid))

    sizes = " x ".join(map(str, SIZES))
    result = {
        "unit": "one core, 4096 pixels; ratios are medians of rounds in which all pieces ran in turn",
        "targets": {"share_of_slower_limit": 1 / 3},
        f"made up, 5 labels, {sizes} nodes, rank 200": emulator_result(
            lambda dtype: made_up_emulator(dtype=dtype)
        ),
        f"embedded grid, 3 labels, {len(grid.nodes)} nodes": emulator_result(embedded),
    }
    save("emulator", result)


if __name__ == "__main__":
    main()
