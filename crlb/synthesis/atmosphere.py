"""The atmosphere: temperature at every optical depth, and pressure in hydrostatic equilibrium."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.synthesis.continuum import continuum_opacity
from crlb.synthesis.species import abundances, read_rows
from crlb.synthesis.state import State, equilibrium, solve_state

REFERENCE_WAVE = 8000.0  # Å, vacuum: where optical depth is measured
LOG_TAU = np.arange(-6.0, 1.51, 0.15)  # log10 of the optical depth in the continuum at REFERENCE_WAVE
# Labels of the fit scaled to [-1, 1]: T_eff (K), log_g, M_H, a little wider than the embedded grid
CENTRE = np.array([4875.0, 3.0, -0.875])
HALF_WIDTH = np.array([1275.0, 2.25, 1.825])
DEGREE = 6  # of the polynomials that benchmarks/distil_atmospheres.py fits
# kappa grows about as P^0.6, so that a full correction of ln P overshoots by that much.
DAMPING = 0.62
PRESSURE_ITERATIONS = 12  # leave at most 0.2 % in the density at the corners of the grid, 9 leave 1 %
MICROTURBULENCE = 2.0e5  # cm/s, as in BOSZ


def label_polynomials(labels: Float[Array, " n_labels"]) -> Float[Array, " n_terms"]:
    """Products T_i(x) T_j(y) T_k(z), i + j + k <= 6, of Chebyshev polynomials in scaled T_eff, log_g, M_H."""
    scaled = (labels[:3] - CENTRE.astype(labels.dtype)) / HALF_WIDTH.astype(labels.dtype)
    rows = [jnp.ones_like(scaled), scaled]
    for _ in range(DEGREE - 1):
        rows.append(2.0 * scaled * rows[-1] - rows[-2])
    orders = range(DEGREE + 1)
    return jnp.stack(
        [
            rows[i][0] * rows[j][1] * rows[k][2]
            for i in orders
            for j in orders
            for k in orders
            if i + j + k <= DEGREE
        ]
    )


@lru_cache(maxsize=1)
def temperature_table() -> Float[np.ndarray, "n_depth n_terms"]:
    """Coefficients of T / T_eff at every depth of LOG_TAU (crlb/data/temperature.csv)."""
    return np.array(read_rows("temperature.csv"), float)[:, 1:]


def temperature(labels: Float[Array, " n_labels"]) -> Float[Array, " n_depth"]:
    """Temperature (K) at the depths of LOG_TAU for labels (T_eff, log_g, M_H, ...).

    The structure is that of solar-scaled composition, whatever a_M and C_M.

    Source: ATLAS12 (C3K) models as emulated by atmosnet 1.0.1, distilled by benchmarks/distil_atmospheres.py.
    """
    return labels[0] * (temperature_table().astype(labels.dtype) @ label_polynomials(labels))


def hydrostatic_pressure(
    kappa: Float[Array, " n_depth"], gravity: Float[Array, ""]
) -> Float[Array, " n_depth"]:
    """Gas pressure (dyn/cm^2) by integrating dP / dtau = g / kappa from the top, in ln tau by trapezoids.

    Above the first depth kappa continues as tau^b, b from the first two depths: P = g tau / (kappa (1 - b)).

    Args:
        kappa: opacity at REFERENCE_WAVE per mass, cm^2/g.
        gravity: cm/s^2.
    """
    tau = jnp.asarray(10.0**LOG_TAU, kappa.dtype)
    slope = gravity * tau / kappa
    spacing = np.diff(LOG_TAU * np.log(10.0)).astype(kappa.dtype)
    increments = 0.5 * (slope[1:] + slope[:-1]) * spacing
    top: Array = slope[0] / (1.0 - jnp.log(kappa[1] / kappa[0]) / spacing[0])
    return top + jnp.concatenate([jnp.zeros_like(increments[:1]), jnp.cumsum(increments)])


def build_atmosphere(labels: Float[Array, " n_labels"]) -> State:
    """State of the gas in hydrostatic equilibrium at the depths of LOG_TAU, for all five labels."""
    heat, abundance, gravity = temperature(labels), abundances(labels), 10.0 ** labels[1]
    turbulence = jnp.full_like(heat, MICROTURBULENCE)
    wave = jnp.full((1,), REFERENCE_WAVE, heat.dtype)
    constants = equilibrium(heat)

    def improve(log_p: Array, _: None) -> tuple[Array, dict[str, Array | dict[str, Array]]]:
        gas = solve_state(heat, jnp.exp(log_p), abundance, turbulence, constants)
        kappa = continuum_opacity(wave, gas)[:, 0] / gas.rho
        return log_p + DAMPING * (jnp.log(hydrostatic_pressure(kappa, gravity)) - log_p), vars(gas)

    # the rough course of P (dyn/cm^2) with gravity and optical depth, for the iteration to improve
    start = 0.5 * jnp.log(gravity * 10.0) + 0.55 * np.log(10.0**LOG_TAU) + 6.0
    _, history = jax.lax.scan(improve, start.astype(heat.dtype), None, length=PRESSURE_ITERATIONS + 1)
    return State(**jax.tree.map(lambda each: each[-1], history))
