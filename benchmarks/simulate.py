"""Simulated spectra per second, written to a set of shards with their checksums.

    python benchmarks/simulate.py

Writes outputs/benchmarks/simulate.json. The rate is that of the second half of the shards, by the times at
which they were finished: by then all processes are at work. The wall time of the whole set, in which every
process starts a jax and compiles, stands beside it.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import save

from crlb.files.process import cores
from specvit_jax import DataConfig
from specvit_jax.spectra.shard_set import Recipe
from specvit_jax.spectra.simulate_shards import simulate_shards

N, SHARDS = 40_000, 16  # spectra, files: 1.3 GB with flux and error
ARRAYS = {"flux and error": ("flux", "error"), "flux": ("flux",)}
WORKERS = (1, 2)


def measured(n: int, arrays: tuple[str, ...], workers: int) -> dict[str, float]:
    """Returns the rate of the second half of a set, and the wall time of all of it."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.time()
        simulate_shards(Path(folder) / "set", Recipe(n, 1, DataConfig(), SHARDS, arrays), workers=workers)
        wall = time.time() - begin
        finished = sorted(path.stat().st_mtime for path in Path(folder).glob("set/*/dataset.h5"))
    half = finished[SHARDS // 2 :]
    rate = n / SHARDS * (len(half) - 1) / (half[-1] - half[0])
    return {"spectra_per_s": round(rate), "seconds_in_all": round(wall, 1)}


def main() -> None:
    """Measures and writes."""
    load = os.getloadavg()
    simulate = {}
    for name, arrays in ARRAYS.items():
        measured(SHARDS, arrays, 1)  # makes the emulator and compiles
        for workers in WORKERS:
            simulate[f"{name}, {workers} worker(s)"] = measured(N, arrays, workers)
    result: dict[str, Any] = {
        "unit": "spectra/s with the write and the checksum, of the second half of the shards",
        "cores": cores(),
        "load_before": [round(value, 1) for value in load],
        "spectra": N,
        "shards": SHARDS,
        "targets": {"spectra_per_s on 2 cores": 2000},
        "sets": simulate,
    }
    save("simulate", result)


if __name__ == "__main__":
    main()
