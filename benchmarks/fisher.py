"""Jacobian, Fisher matrix and bound of many stars, as ratios to finite differences in numpy.

    python benchmarks/fisher.py

Writes outputs/benchmarks/fisher.json. Every rate is measured on fewer stars and scaled to 30,000.
"""

import resource
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measure import draw_labels, in_turn, made_up_emulator, ratio, save
from scipy.interpolate import NdBSpline

from crlb import Emulator, ForwardModel, builtin_noise, cramer_rao_bound
from crlb.fisher.field import fisher_field
from crlb.grids.emulator import _knots
from crlb.labels import coordinate
from crlb.observation.noise import NoiseModel, variance

STARS = 30_000
SOME, FEW = 512, 4  # stars timed with jax, with numpy
MAGS = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)
STEP = 1e-3  # of the axis, of the differences


def differences(emulator: Emulator, noise: NoiseModel, labels: np.ndarray) -> np.ndarray:
    """Fisher matrices by central differences, star by star; only the noise itself is jax."""
    spread_of = jax.jit(variance)
    flux_of = _numpy_flux(emulator)
    step = STEP * (emulator.high - emulator.low)
    found = np.empty((len(labels), len(MAGS), labels.shape[1], labels.shape[1]))
    for i, point in enumerate(labels):
        flux = flux_of(point)
        sides = [(flux_of(point + move), flux_of(point - move)) for move in np.diag(step)]
        jac = np.array([(up - down) / (2 * h) for (up, down), h in zip(sides, step, strict=True)])
        for j, mag in enumerate(MAGS):
            spread = np.asarray(spread_of(flux, mag, noise))
            change = [np.asarray(spread_of(a, mag, noise)) - spread_of(b, mag, noise) for a, b in sides]
            relative = np.array(change) / (2 * step[:, None]) / spread
            found[i, j] = (jac / spread) @ jac.T + 0.5 * relative @ relative.T
    return found


def _numpy_flux(emulator: Emulator) -> Callable[[np.ndarray], np.ndarray]:
    """The flux as scipy's cubic interpolation of the same coefficients and a product with the basis."""
    named = zip(emulator.label_names, map(np.array, emulator.axes), strict=True)
    axes = [np.asarray(coordinate(*pair)) for pair in named]
    knots = tuple(_knots(tuple(axis), emulator.degree) for axis in axes)
    degrees = tuple(min(emulator.degree, len(axis) - 1) for axis in axes)
    spline = NdBSpline(knots, np.asarray(emulator.coefficients), degrees)
    low, width = np.array([axis[0] for axis in axes]), np.array([np.ptp(axis) for axis in axes])
    basis = np.asarray(emulator.basis)

    def flux(point: np.ndarray) -> np.ndarray:
        place = np.array([coordinate(*pair) for pair in zip(emulator.label_names, point, strict=True)])
        return spline((place - low) / width) @ basis

    return flux


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    emulator, noise = made_up_emulator(), builtin_noise()
    model = ForwardModel(emulator, noise)
    low, high = emulator.low, emulator.high
    labels = low + (high - low) * (0.01 + 0.98 * (draw_labels(emulator, SOME) - low) / (high - low))
    bound = jax.jit(jax.vmap(jax.vmap(cramer_rao_bound)))
    calls: dict[str, Callable[[], Any]] = {
        "fisher_field and bound": lambda: bound(jnp.asarray(fisher_field(model, MAGS, labels))),
        "numpy differences and inverse": lambda: np.linalg.inv(differences(emulator, noise, labels[:FEW])),
    }
    times = in_turn(calls, rounds=3)
    stars = {name: FEW if name.startswith("numpy") else SOME for name in calls}
    per_star = {name: [t / stars[name] for t in times[name]] for name in calls}
    exact = fisher_field(model, MAGS, labels[:2])
    scale = np.sqrt(np.einsum("nmaa->nma", exact))
    scale = scale[..., :, None] * scale[..., None, :]
    result = {
        "stars": STARS,
        "labels": len(emulator.axes),
        "magnitudes": len(MAGS),
        "pixels": len(emulator.wave),
        "nodes": len(emulator.nodes),
        "unit": "float64, all cores; seconds scaled from the stars timed, ratios per star",
        "targets": {"seconds": 60, "peak_memory_gb": 4, "times_numpy": 10},
        "seconds_here": {name: round(STARS * median(per_star[name]), 1) for name in calls},
        "stars_timed": stars,
        "times_numpy": ratio(per_star, "numpy differences and inverse", "fisher_field and bound"),
        "largest_difference_from_numpy": float(
            (np.abs(differences(emulator, noise, labels[:2]) - exact) / scale).max()
        ),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    save("fisher", result)


if __name__ == "__main__":
    main()
