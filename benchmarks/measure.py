"""What the benchmarks share: a made-up emulator of any size, wall times, and where a result goes."""

import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from crlb import Emulator
from crlb.detector import DETECTOR_WAVE
from crlb.files.process import processor
from crlb.labels import LABELS

SIZES = (10, 9, 14, 4, 4)  # nodes of the axes: 20,160 in all


def made_up_emulator(
    sizes: tuple[int, ...] = SIZES, rank: int = 200, n_pix: int = 4096, dtype: type = np.float64
) -> Emulator:
    """Returns a smooth positive flux of so many labels: random coefficients, smaller from term to term."""
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(*sizes, rank)) * 0.02 / np.arange(1, rank + 1)
    basis = rng.normal(size=(rank, n_pix))
    basis[0], coefficients[..., 0] = 1.0, 1.0
    known = list(LABELS.items())[: len(sizes)]
    axes = [np.linspace(label.low, label.high, n) for n, (_, label) in zip(sizes, known, strict=True)]
    return Emulator(
        coefficients=jnp.asarray(coefficients, dtype),
        basis=jnp.asarray(basis, dtype),
        wave=DETECTOR_WAVE[:n_pix],
        axes=tuple(tuple(map(float, axis)) for axis in axes),
        label_names=tuple(name for name, _ in known),
        resolving_power=5000.0,
        source="made up for benchmarks",
    )


def draw_labels(emulator: Emulator, n: int) -> np.ndarray:
    """Returns labels (n, n_labels) uniform over the emulator's box."""
    return np.random.default_rng(2).uniform(emulator.low, emulator.high, (n, len(emulator.axes)))


def seconds(call: Callable[[], Any]) -> float:
    """Returns the wall time of one call."""
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int = 7) -> dict[str, list[float]]:
    """Returns wall times of every call, one per round, all calls in turn so that a busy machine is fair."""
    for call in calls.values():
        jax.block_until_ready(call())  # compiles
    times = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds)]
    return {name: [row[name] for row in times] for name in calls}


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
    """Returns the median over rounds of time(slow) / time(fast)."""
    return round(median(a / b for a, b in zip(times[slow], times[fast], strict=True)), 3)


def spread(times: dict[str, list[float]], slow: str, fast: str) -> list[float]:
    """Returns the quartiles of these ratios over rounds, the lower and the upper one."""
    found = [a / b for a, b in zip(times[slow], times[fast], strict=True)]
    return [round(float(x), 3) for x in np.quantile(found, (0.25, 0.75))]


def about() -> dict[str, Any]:
    """Returns device, versions and date."""
    return {
        "device": f"{jax.devices()[0].platform}: {jax.devices()[0].device_kind}",
        "processor": processor(),
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in ("jax", "jaxlib", "numpy", "scipy")},
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Writes outputs/benchmarks/NAME.json with device, versions and date, and prints it."""
    result |= about()
    path = Path("outputs/benchmarks") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), path, sep="\n")
