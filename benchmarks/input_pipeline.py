"""What drawing and observing spectra costs a training step: against a constant batch, in one run.

    python benchmarks/input_pipeline.py

`on the fly` draws labels, evaluates the emulator and observes, all in the compiled step; `resident` observes
noiseless spectra that are on the device. Writes outputs/benchmarks/input_pipeline.json.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
from measure import in_turn, ratio, save

from specvit_jax import Config, Simulator, make_simulator, preset
from specvit_jax.spectra.feed import TrainBatch
from specvit_jax.spectra.file_sources import StoredSpectra
from specvit_jax.spectra.source import Rows
from specvit_jax.training.initial_state import fit_scalers
from specvit_jax.training.step import fresh_step, make_state, select, train_step

ROWS = 1024  # resident spectra: 16 MB
ROUNDS = 15
PAPER_BATCH = {"cpu": 8, "gpu": 256}
TARGET = {"cpu": 1.10, "gpu": 1.05}  # of the time of a step on a constant batch


def repeated(step: Callable[..., Any], config: Config, count: int, *args: Any) -> Callable[[], Any]:
    """Returns a call that takes `count` compiled steps, each on the state the one before left."""
    compiled = jax.jit(partial(step, config=config), donate_argnums=0)
    state = make_state(config)

    def call() -> Any:
        nonlocal state
        for _ in range(count):
            state, metrics = compiled(state, *args)
        return metrics["loss"]

    return call


def resident(simulator: Simulator) -> StoredSpectra:
    """Returns spectra of the simulator, kept as files of noiseless spectra are."""
    batch = jax.jit(Simulator.sample)(simulator, jax.random.key(1), jnp.arange(ROWS))
    return StoredSpectra(Rows(batch.clean, batch.labels, batch.mag), simulator.observer)


def measure(config: Config, simulator: Simulator, count: int) -> dict[str, Any]:
    """Returns how much longer a step takes with every source of spectra than on a constant batch."""
    scalers, index = fit_scalers(simulator, config), jnp.arange(config.train.batch_size)
    batch = jax.jit(Simulator.sample)(simulator, jax.random.key(0), index)
    batch = select(batch, simulator.label_names, config)
    calls = {
        "constant": repeated(train_step, config, count, batch, index, scalers),
        "on the fly": repeated(fresh_step, config, count, simulator, scalers, TrainBatch(index)),
        "resident": repeated(fresh_step, config, count, resident(simulator), scalers, TrainBatch(index)),
    }
    times = in_turn(calls, ROUNDS)
    return {
        "batch_size": config.train.batch_size,
        "times_constant": {name: ratio(times, name, "constant") for name in calls if name != "constant"},
        "steps_per_second_here": {name: round(count / median(times[name]), 3) for name in calls},
    }


def main() -> None:
    """Measures the presets tiny and paper, and writes the ratios."""
    platform = "gpu" if jax.default_backend() == "gpu" else "cpu"
    paper = preset("paper")
    paper = replace(paper, train=replace(paper.train, batch_size=PAPER_BATCH[platform]))
    simulator = make_simulator()
    result: dict[str, Any] = {
        "unit": "time of a step over that on a constant batch, median of rounds in which all took turns",
        "rounds": ROUNDS,
        "target": TARGET[platform],
        "tiny": measure(preset("tiny"), simulator, 20 if platform == "gpu" else 2),
        "paper": measure(paper, simulator, 20 if platform == "gpu" else 1),
    }
    save("input_pipeline", result)


if __name__ == "__main__":
    main()
