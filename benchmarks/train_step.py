"""What a training step of a preset spends its time on, as ratios to its forward pass.

    python benchmarks/train_step.py [PRESET]

Writes outputs/benchmarks/train_step.json.
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

from specvit_jax import make_simulator, preset
from specvit_jax.network.inference import eval_step
from specvit_jax.spectra.feed import TrainBatch
from specvit_jax.training.initial_state import fit_scalers
from specvit_jax.training.step import fresh_step, make_state, select, train_step

REPEATS = 7


def parts(name: str) -> dict[str, Callable[[], Any]]:
    """The pieces of a step, each compiled and bound to its arguments."""
    config, simulator = preset(name), make_simulator()
    state, scalers = make_state(config), fit_scalers(simulator, config)
    key, index = jax.random.key(0), jnp.arange(config.train.batch_size)
    batch = jax.jit(type(simulator).sample)(simulator, key, index)
    selected = select(batch, simulator.label_names, config)
    flux = batch.flux
    pieces: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "forward": (partial(eval_step, config=config), (state.params, flux, scalers)),
        "step on a constant batch": (partial(train_step, config=config), (state, selected, index, scalers)),
        "step on fresh spectra": (
            partial(fresh_step, config=config),
            (state, simulator, scalers, TrainBatch(index)),
        ),
        "fresh spectra": (type(simulator).sample, (simulator, key, index)),
        "normal deviates": (lambda key: jax.random.normal(key, flux.shape), (key,)),
        "median of every spectrum": (lambda flux: jnp.median(flux, axis=1), (flux,)),
    }
    return {what: partial(jax.jit(function), *args) for what, (function, args) in pieces.items()}


def seconds(call: Callable[[], Any]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def main() -> None:
    """Times the pieces in turn, several rounds, and writes the medians of their ratios."""
    name = sys.argv[1] if len(sys.argv) > 1 else "tiny"
    calls = parts(name)
    for call in calls.values():
        seconds(call)  # compiles
    rounds = [{what: seconds(call) for what, call in calls.items()} for _ in range(REPEATS)]
    ratios = {what: round(median(row[what] / row["forward"] for row in rounds), 3) for what in calls}
    result = {
        "preset": name,
        "batch_size": preset(name).train.batch_size,
        "unit": "ratio to the forward pass, median of rounds",
        "ratios": ratios,
        "forward_seconds_here": round(median(row["forward"] for row in rounds), 4),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
    path = Path("outputs/benchmarks/train_step.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1), path, sep="\n")


if __name__ == "__main__":
    main()
