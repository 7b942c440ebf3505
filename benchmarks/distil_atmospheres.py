"""Distils the temperature structure of ATLAS12 atmospheres into crlb/data/temperature.csv.

Input are the neural networks of atmosnet 1.0.1 (Nidever 2021, trained on the C3K grid of ATLAS12 models by
Conroy et al.; its file data/atmosnet_c3k_300neurons_cool.pkl, opened with dill). Their outputs are log10 of
column mass, temperature and gas pressure at 80 depths; the package's own code takes exp of them, wrongly.
For a box of stars a little larger than the embedded grid, the optical depth at 8000 Å is integrated over
column mass with the opacity of crlb.synthesis, and T / T_eff at fixed optical depths is fitted by Chebyshev
polynomials in the labels. Only this script needs atmosnet; the synthesis reads the table.

    python benchmarks/distil_atmospheres.py atmosnet_c3k_300neurons_cool.pkl
"""

import pickle
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.progress import track

from crlb.synthesis import atmosphere, continuum, species, state

NETWORK_BOX = ((3600.0, 6150.0, 18), (0.75, 5.25, 10), (-2.7, 0.95, 14))
HEADER = """\
# T / T_eff of ATLAS12 (C3K) atmospheres as emulated by atmosnet 1.0.1 (Nidever 2021), distilled by
# benchmarks/distil_atmospheres.py: one row per depth, log10 tau(8000 Å) then the coefficients of the
# Chebyshev polynomials of crlb.synthesis.atmosphere.label_polynomials.
"""
TABLE = Path(__file__).resolve().parents[1] / "crlb" / "data" / "temperature.csv"


def network(layers: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """One column of the atmosphere at 80 depths: two hidden layers of leaky rectifiers, then 10**x."""
    x = (labels - layers["x_min"]) / (layers["x_max"] - layers["x_min"]) - 0.5
    for i in range(3):
        x = layers[f"w_array_{i}"] @ x + layers[f"b_array_{i}"]
        x = x if i == 2 else np.where(x > 0, x, 0.01 * x)
    return 10.0**x


@jax.jit
def reference_tau(temperature, pressure, column_mass, labels):
    """log10 of the optical depth at the reference wavelength along an atmosphere."""
    abundance = species.abundances(labels)
    gas = state.solve_state(temperature, pressure, abundance, jnp.full_like(temperature, 2e5))
    wave = jnp.array([atmosphere.REFERENCE_WAVE])
    kappa = continuum.continuum_opacity(wave, gas)[:, 0] / gas.rho
    steps = 0.5 * (kappa[1:] + kappa[:-1]) * jnp.diff(column_mass)
    return jnp.log10(kappa[0] * column_mass[0] + jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)]))


def main(path: str) -> None:
    jax.config.update("jax_enable_x64", True)
    with open(path, "rb") as file:
        columns = pickle.load(file)
    axes = [np.linspace(*box) for box in NETWORK_BOX]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    rows: list[np.ndarray] = []
    short: list[float] = []
    for node in track(nodes, "structures"):
        mass, temperature, pressure = (network(columns[i], np.append(node, 0.0)) for i in range(3))
        log_tau = reference_tau(temperature, pressure, mass, np.append(node, [0.0, 0.0]))
        if log_tau[0] > atmosphere.LOG_TAU[0] or log_tau[-1] < atmosphere.LOG_TAU[-1]:
            short.append(log_tau[0])
        rows.append(np.interp(atmosphere.LOG_TAU, np.asarray(log_tau), temperature / node[0]))
    print(
        f"{len(short)} of {len(nodes)} atmospheres begin below the table (worst log tau {max(short):.2f}): "
        "constant T above"
    )
    design = np.asarray(jax.vmap(atmosphere.label_polynomials)(jnp.asarray(nodes)))
    fitted, *_ = np.linalg.lstsq(design, np.array(rows), rcond=None)
    error = np.abs(design @ fitted / np.array(rows) - 1.0)
    print("relative error of T: median, 99 %, max", np.median(error), np.quantile(error, 0.99), error.max())
    with TABLE.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for depth, values in zip(atmosphere.LOG_TAU, fitted.T, strict=True):
            file.write(",".join([f"{depth:.2f}", *(f"{v:.5e}" for v in values)]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
