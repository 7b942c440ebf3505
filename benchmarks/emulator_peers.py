"""How many times faster the emulator is than scipy: at its own order, and at a lower one; on one core.

    python benchmarks/emulator_peers.py

Writes outputs/benchmarks/emulator_peers.json. One core is all it uses: the process pins itself to one.
Looked for, and no peers: `scipy.ndimage.map_coordinates` splines the pixels as one more axis, so that a
spectrum costs four times as many products; interpax ends at three dimensions.
"""

import os

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measure import draw_labels, in_turn, made_up_emulator, ratio, save, spread
from scipy.interpolate import NdBSpline, RegularGridInterpolator, make_interp_spline

BATCH = 64
ROUNDS = {1: 1000, BATCH: 9}
SIZES = (5, 5, 5, 4, 4)  # 2000 nodes, 66 MB: a table of all 20,160 would be 660 MB, twice with its copy


def against_scipy(sizes: tuple[int, ...]) -> dict[str, Any]:
    """How many times faster than scipy on the same grid, float64, same batches: medians and quartiles.

    The peer of equal order is `NdBSpline`, which `RegularGridInterpolator` has behind its method "cubic": the
    same tensor product of cubic B-splines, fitted before; on the flux itself, or on the coefficients of the
    basis, with which they are multiplied afterwards, as the emulator does. The fastest rounds of single
    spectra say what a busy machine hides: XLA hands its work to a thread, which waits for the core.
    """
    emulator = made_up_emulator(sizes)
    basis = np.asarray(emulator.basis)
    flux = np.asarray(emulator.coefficients @ emulator.basis)
    linear = RegularGridInterpolator(emulator.axes, flux, method="linear")
    splines = fitted(emulator.axes, flux), fitted(emulator.axes, np.asarray(emulator.coefficients))
    found: dict[str, Any] = {}
    for batch in (BATCH, 1):
        labels = draw_labels(emulator, batch)
        batched = jax.jit(lambda emulator, x: emulator.batch(x))
        calls: dict[str, Callable[[], Any]] = {
            "emulator": partial(batched, emulator, jnp.asarray(labels)),
            "linear": partial(linear, labels),
            "B-splines of the flux": partial(splines[0], labels),
            "B-splines of the basis": lambda labels=labels: splines[1](labels) @ basis,  # type: ignore[misc]
        }
        times = in_turn(calls, ROUNDS[batch])
        for name in list(calls)[1:]:
            found[f"{name}, batch {batch}"] = ratio(times, name, "emulator")
            found[f"{name}, batch {batch}, fastest"] = round(min(times[name]) / min(times["emulator"]), 3)
            found[f"{name}, batch {batch}, quartiles"] = spread(times, name, "emulator")
    return found


def fitted(axes: tuple[tuple[float, ...], ...], values: np.ndarray) -> NdBSpline:
    """The tensor product of cubic B-splines through values at nodes; further axes of the values stay."""
    knots = []
    for i, axis in enumerate(axes):
        spline = make_interp_spline(axis, np.moveaxis(values, i, 0), 3)
        values = np.moveaxis(spline.c, 0, i)
        knots.append(spline.t)
    return NdBSpline(tuple(knots), np.ascontiguousarray(values), 3)


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    result = {
        "unit": "one core, 4096 pixels, five labels, float64; time of the peer over that of the emulator, "
        "median and quartiles of rounds in which all ran in turn",
        "target": 20,
        "nodes": " x ".join(map(str, SIZES)),
        "orders": "linear: continuous only; all others: cubic, two derivatives, as the emulator",
        "times": against_scipy(SIZES),
    }
    save("emulator_peers", result)


if __name__ == "__main__":
    main()
