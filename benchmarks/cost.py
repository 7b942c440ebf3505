"""How the cost of a flux and of a Fisher matrix grows with nodes, pixels, labels and spectra.

    python benchmarks/cost.py

Writes outputs/benchmarks/cost.json; `python -m experiments.figures --only cost` draws what
benchmarks/results holds of it. On a GPU it also compares float32, TF32 and float64.
"""

from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measure import draw_labels, in_turn, made_up_emulator, save

from crlb import Emulator, ForwardModel, builtin_noise
from crlb.fisher.field import fisher_field

SPECTRA = 64
SWEEPS: dict[str, dict[int, dict[str, Any]]] = {
    "nodes": {n**3: {"sizes": (n, n, n)} for n in (6, 11, 17, 27)},
    "pixels": {n: {"n_pix": n} for n in (256, 1024, 4096)},
    "labels": {n: {"sizes": (6,) * n} for n in (1, 2, 3, 4, 5)},
    "spectra": {n: {} for n in (1, 16, 64, 256)},
}
DEFAULT: dict[str, Any] = {"sizes": (10, 9, 14), "rank": 200, "n_pix": 4096}


def milliseconds(emulator: Emulator, spectra: int) -> dict[str, float]:
    """Time per spectrum of the flux, and of the Fisher matrix at one magnitude."""
    labels = draw_labels(emulator, spectra)
    model = ForwardModel(emulator, builtin_noise().take(np.arange(len(emulator.wave))))
    batched = jax.jit(lambda emulator, x: jax.vmap(emulator)(x))
    calls = {
        "flux": partial(batched, emulator, jnp.asarray(labels)),
        "Fisher matrix": partial(fisher_field, model, [21.5], labels),
    }
    return {what: 1e3 * median(times) / spectra for what, times in in_turn(calls, rounds=3).items()}


def precision() -> Any:
    """Largest relative flux error of float32 and TF32 products against float64, on a GPU only."""
    if jax.devices()[0].platform != "gpu":
        return "not measured: no GPU"
    exact, single = made_up_emulator((10, 9, 14)), made_up_emulator((10, 9, 14), dtype=np.float32)
    labels = draw_labels(exact, SPECTRA)
    weights = jax.vmap(exact.weights)(jnp.asarray(labels))
    flux = weights @ exact.basis
    found = {}
    for name, way in (("float32", "highest"), ("TF32", "tensorfloat32")):
        other = jnp.matmul(weights.astype(np.float32), single.basis, precision=way)
        found[name] = float(jnp.abs(other / flux - 1).max())
    return found


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    sweeps = {
        what: {
            value: milliseconds(
                made_up_emulator(**(DEFAULT | options)), value if what == "spectra" else SPECTRA
            )
            for value, options in rows.items()
        }
        for what, rows in SWEEPS.items()
    }
    save(
        "cost",
        {
            "unit": "ms per spectrum, float64, all cores; medians of 3 rounds",
            "otherwise": {"nodes": 1260, "labels": 3, "rank": 200, "pixels": 4096, "spectra": SPECTRA},
            "labels_sweep": "6 nodes per label",
            "sweeps": sweeps,
            "gpu_error": precision(),
        },
    )


if __name__ == "__main__":
    main()
