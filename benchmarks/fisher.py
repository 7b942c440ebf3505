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
from jax import lax
from measure import draw_labels, in_turn, made_up_emulator, ratio, save
from scipy.interpolate import NdBSpline

from crlb.emulator import Emulator, _knots
from crlb.fisher import cramer_rao_bound
from crlb.fisher_field import fisher_field
from crlb.noise import Exposure, NoiseModel, background, electrons_per_flux, variance
from crlb.noise_curves import builtin_noise

STARS = 30_000
SOME, FEW = 512, 4  # stars timed with jax, with numpy
MAGS = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)
STEP = 1e-3  # of the axis, of the differences
CHUNK = 32


def closed_form(emulator: Emulator, noise: NoiseModel, labels: np.ndarray) -> np.ndarray:
    """Returns Fisher matrices (n, n_mag, n_labels, n_labels) including the trace term.

    With c = r g / m electrons per flux (r by magnitude, g by pixel, m = mean(flux)), V = flux/c + B/c^2 and
    dV_a / V = m_a X + J_a Y, X = (flux/(r g) + 2 m B/(r g)^2) / V, Y = (m / (r g)) / V, so that
    F = J W J^T + 1/2 (m p^T + p m^T + s m m^T), W = 1/V + Y^2/2, p = J (X Y), s = sum X^2.
    """
    parts = [_closed(emulator, noise, jnp.asarray(part)) for part in np.split(labels, len(labels) // CHUNK)]
    return np.concatenate([np.asarray(part) for part in parts])


@jax.jit
def _closed(emulator: Emulator, noise: NoiseModel, labels: jax.Array) -> jax.Array:
    flux = jnp.ones(emulator.basis.shape[1])
    unit = jnp.stack([electrons_per_flux(flux, mag, noise) for mag in MAGS])  # r g / mean(1)
    mean = _mean(noise)
    rest = background(noise, Exposure())
    terms = lax.map(emulator.tangent, labels)
    spectra = jnp.matmul(terms, emulator.basis, precision="highest")

    def one(rows: jax.Array) -> jax.Array:
        flux, jac, level = rows[0], rows[1:], rows @ mean

        def at_mag(unit: jax.Array) -> jax.Array:
            per = level[0] / unit
            spread = per * (flux + per * rest)
            x = (flux + 2 * per * rest) / (unit * spread)
            y = per / spread
            gram = (jac * (1 / spread + 0.5 * y**2)) @ jac.T
            cross = jnp.outer(level[1:], jac @ (x * y))
            return gram + 0.5 * (cross + cross.T + jnp.sum(x**2) * jnp.outer(level[1:], level[1:]))

        return jax.vmap(at_mag)(unit)

    return lax.map(one, spectra)


def _mean(noise: NoiseModel) -> jax.Array:
    """Weights w with mean(flux) = w . flux, 1 for flux 1 per Å: electrons per flux go as 1 / mean(flux)."""
    ones = jnp.ones(len(noise.wave))
    slope = jax.grad(lambda flux: 1 / electrons_per_flux(flux, 18.0, noise)[0])(ones)
    return slope * electrons_per_flux(ones, 18.0, noise)[0]


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
    knots = tuple(_knots(axis, emulator.degree) for axis in emulator.axes)
    degrees = tuple(min(emulator.degree, len(axis) - 1) for axis in emulator.axes)
    spline = NdBSpline(knots, np.asarray(emulator.coefficients), degrees)
    basis = np.asarray(emulator.basis)
    return lambda point: spline((point - emulator.low) / (emulator.high - emulator.low)) @ basis


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    emulator, noise = made_up_emulator(), builtin_noise()
    low, high = emulator.low, emulator.high
    labels = low + (high - low) * (0.01 + 0.98 * (draw_labels(emulator, SOME) - low) / (high - low))
    bound = jax.jit(jax.vmap(jax.vmap(cramer_rao_bound)))
    calls: dict[str, Callable[[], Any]] = {
        "fisher_field and bound": lambda: bound(jnp.asarray(fisher_field(emulator, noise, MAGS, labels))),
        "closed form and bound": lambda: bound(jnp.asarray(closed_form(emulator, noise, labels))),
        "numpy differences and inverse": lambda: np.linalg.inv(differences(emulator, noise, labels[:FEW])),
    }
    times = in_turn(calls, rounds=3)
    stars = {name: FEW if name.startswith("numpy") else SOME for name in calls}
    per_star = {name: [t / stars[name] for t in times[name]] for name in calls}
    exact, closed = (
        fisher_field(emulator, noise, MAGS, labels[:64]),
        closed_form(emulator, noise, labels[:64]),
    )
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
        "times_numpy": {
            name: ratio(per_star, "numpy differences and inverse", name) for name in list(calls)[:2]
        },
        "largest_difference_from_fisher_field": {
            "closed form": float((np.abs(closed - exact) / scale).max()),
            "numpy": float((np.abs(differences(emulator, noise, labels[:2]) - exact[:2]) / scale[:2]).max()),
        },
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    save("fisher", result)


if __name__ == "__main__":
    main()
