"""Simulated spectra per second, written to a set of shards with their checksums.

    python benchmarks/simulate.py

Writes outputs/benchmarks/simulate.json. Every set is written at two sizes, and the rate is that of the
difference: starting processes and compiling are left out, and stated by themselves.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import save

from specvit_jax.config import DataConfig
from specvit_jax.shard_set import Recipe
from specvit_jax.simulate_shards import simulate_shards

SMALL, LARGE = 2_000, 12_000  # spectra
SHARDS = 2
ARRAYS = {"flux and error": ("flux", "error"), "flux": ("flux",)}
WORKERS = (1, 2)


def seconds(n: int, arrays: tuple[str, ...], workers: int) -> float:
    """Returns the wall time of writing a set to a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        simulate_shards(Path(folder) / "set", Recipe(n, 1, DataConfig(), SHARDS, arrays), workers=workers)
        return time.perf_counter() - begin


def main() -> None:
    """Measures and writes."""
    load = os.getloadavg()
    simulate = {}
    for name, arrays in ARRAYS.items():
        for workers in WORKERS:
            if workers == 1:
                seconds(SHARDS, arrays, workers)  # makes the emulator and compiles
            short, long = (seconds(n, arrays, workers) for n in (SMALL, LARGE))
            simulate[f"{name}, {workers} worker(s)"] = {
                "spectra_per_s": round((LARGE - SMALL) / (long - short)),
                "seconds": {str(SMALL): round(short, 2), str(LARGE): round(long, 2)},
            }
    result: dict[str, Any] = {
        "unit": "spectra/s with the write and the checksum, from the difference of two sizes",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": [round(value, 1) for value in load],
        "shards": SHARDS,
        "targets": {"spectra_per_s on 2 cores": 2000},
        "sets": simulate,
    }
    save("simulate", result)


if __name__ == "__main__":
    main()
