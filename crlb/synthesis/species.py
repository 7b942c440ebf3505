"""Elements, atoms, ions and molecules: abundances, masses, energies and partition functions."""

from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BOLTZMANN_EV = 8.617333262e-5  # eV/K, CODATA 2018
BOLTZMANN = 1.380649e-16  # erg/K, CODATA 2018
HC_OVER_K = 1.438776877  # cm K, second radiation constant, CODATA 2018
ATOMIC_MASS = 1.66053906660e-24  # g, CODATA 2018
LOG_QUANTUM_MASS = 46.6826108  # ln of (2 pi m_u k / h^2)^(3/2) for m in u, n in cm^-3 and T in K, CODATA 2018
ELECTRON_MASS_U = 5.48579909065e-4  # CODATA 2018
POLYNOMIAL_CENTRE = 4000.0  # K, in the middle of cool atmospheres
POLYNOMIAL_DEGREE = 5  # of ln U in ln T
LEAST_ROTATION = 0.2  # of b: levels below would be extrapolated too far in b - a (v + 1/2)
ALPHA_ELEMENTS = ("O", "Ne", "Mg", "Si", "S", "Ar", "Ca", "Ti")  # what [alpha/M] scales in BOSZ
# Water, the one molecule of three atoms: atomisation energy 917.8 kJ/mol (Ruscic et al. 2002, J. Phys. Chem.
# A 106, 2727), rotational constants and fundamentals in cm^-1 (Herzberg 1966, El. Spectra III, table 65).
WATER_ATOMISATION_EV = 9.5122
WATER_ROTATION = (27.877, 14.512, 9.285)
WATER_VIBRATION = (3657.05, 1594.75, 3755.93)


class Elements(NamedTuple):
    """The elements of the gas, hydrogen first."""

    names: tuple[str, ...]
    mass_u: Float[np.ndarray, " n_el"]
    solar: Float[np.ndarray, " n_el"]  # log10 n_X/n_H


class Molecule(NamedTuple):
    """Composition and dissociation energy into free neutral atoms in their ground states."""

    atoms: tuple[str, ...]
    energy_ev: float


def read_rows(name: str) -> list[list[str]]:
    """Rows of a packaged comma-separated table, header first, comments left out."""
    text = resources.files("crlb.data").joinpath(name).read_text(encoding="utf-8")
    return [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]


@lru_cache(maxsize=1)
def elements() -> Elements:
    """Solar composition and atomic weights (crlb/data/elements.csv)."""
    rows = read_rows("elements.csv")[1:]
    solar = np.array([float(row[3]) for row in rows]) - 12.0  # the scale of abundances with log n_H = 12
    return Elements(tuple(row[0] for row in rows), np.array([float(row[2]) for row in rows]), solar)


@lru_cache(maxsize=1)
def ionisation_energies() -> dict[str, float]:
    """Energy (eV) that takes one electron from an atom or ion in its ground state."""
    return {row[0]: float(row[1]) for row in read_rows("atoms.csv")[1:]}


@lru_cache(maxsize=1)
def partition_polynomials() -> dict[str, tuple[float, ...]]:
    """Quintics in ln(T / 4000 K) for ln U, highest power first, fitted to the table at 1500-10000 K."""
    header, *rows = read_rows("atoms.csv")
    x = np.log(np.array(header[2:], float) / POLYNOMIAL_CENTRE)
    return {row[0]: tuple(np.polyfit(x, np.log(np.array(row[2:], float)), POLYNOMIAL_DEGREE)) for row in rows}


def atomic_partitions(temperature: Float[Array, " n_depth"]) -> Float[Array, "n_depth n_el 3"]:
    """Logarithms of the partition functions, ln U, of every element: neutral, singly, doubly ionised."""
    zero = (0.0,) * (POLYNOMIAL_DEGREE + 1)  # H has no third stage
    table = partition_polynomials()
    rows = [[table.get(f"{name} {stage}", zero) for stage in ("I", "II", "III")] for name in elements().names]
    powers = jnp.log(temperature / POLYNOMIAL_CENTRE)[:, None] ** np.arange(POLYNOMIAL_DEGREE, -1, -1)[None]
    return jnp.einsum("dk,esk->des", powers, np.array(rows).astype(temperature.dtype), precision="highest")


@lru_cache(maxsize=1)
def molecules() -> dict[str, Molecule]:
    """The molecules of the equation of state, by name."""
    found = {}
    for name, energy, *_ in read_rows("diatomics.csv")[1:]:
        split = 1 if len(name) == 2 else 2 if name[1].islower() else 1
        second = name[0] if name[1] == "2" else name[split:]
        found[name] = Molecule((name[:split], second), float(energy))
    return found | {"H2O": Molecule(("H", "H", "O"), WATER_ATOMISATION_EV)}


def molecule_mass(name: str) -> float:
    """Mass of a molecule in atomic mass units."""
    names, mass_u, _ = elements()
    return float(sum(mass_u[names.index(atom)] for atom in molecules()[name].atoms))


@lru_cache(maxsize=1)
def rovibrational_levels() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Energy above the lowest level and rotational constant (cm^-1), weight / symmetry of each (state, v)."""
    levels: dict[str, list[tuple[float, float, float]]] = {}
    zero: dict[str, float] = {}
    for name, energy_ev, symmetry, _state, *constants in read_rows("diatomics.csv")[1:]:
        t_e, weight, w, wx, b, a = map(float, constants)
        zero.setdefault(name, 0.5 * w - 0.25 * wx)
        dissociation = float(energy_ev) / BOLTZMANN_EV / HC_OVER_K
        for v in range(int(w / (2.0 * wx))):
            level = t_e + w * (v + 0.5) - wx * (v + 0.5) ** 2 - zero[name]
            rotation = b - a * (v + 0.5)
            if level < dissociation and rotation > LEAST_ROTATION * b:
                levels.setdefault(name, []).append((level, rotation, weight / float(symmetry)))
    return {name: tuple(np.array(rows).T) for name, rows in levels.items()}


def partition(species: str, temperature: Float[Array, " n_depth"]) -> Float[Array, " n_depth"]:
    """Partition function of an atom, ion or molecule at `temperature` (K).

    Diatomics: sum over electronic states and v of g/sigma exp(-E/kT) [kT/(hc B_v) + 1/3], nuclear spin left
    out. Water: rigid rotor and harmonic oscillators.

    Source: Herzberg 1950, Spectra of Diatomic Molecules, eq. III.164; Herzberg 1945, Infrared and Raman
    Spectra, eq. V.28 for water.
    """
    if species in (polynomials := partition_polynomials()):
        x = jnp.log(temperature / POLYNOMIAL_CENTRE)
        return jnp.exp(jnp.polyval(np.asarray(polynomials[species], temperature.dtype), x))
    c2_over_t = HC_OVER_K / temperature
    if species == "H2O":
        abc = float(np.prod(WATER_ROTATION))
        rotation = 0.5 * jnp.sqrt(np.pi / abc) * c2_over_t**-1.5
        for mode in WATER_VIBRATION:
            rotation = rotation / -jnp.expm1(-mode * c2_over_t)
        return rotation
    energy, rotation_b, weight = (row.astype(temperature.dtype) for row in rovibrational_levels()[species])
    boltzmann = jnp.exp(-c2_over_t[:, None] * energy[None])
    return boltzmann * (1.0 / (c2_over_t[:, None] * rotation_b[None]) + 1.0 / 3.0) @ weight


def abundances(labels: Float[Array, " n_labels"]) -> Float[Array, " n_el"]:
    """Number of atoms per hydrogen nucleus for labels (T_eff, log_g, M_H, a_M, C_M)."""
    names, _, solar = elements()
    metal = np.array([name not in ("H", "He") for name in names], float)
    alpha = np.array([name in ALPHA_ELEMENTS for name in names], float)
    carbon = np.array([name == "C" for name in names], float)
    log10 = jnp.asarray(solar, labels.dtype) + metal * labels[2] + alpha * labels[3] + carbon * labels[4]
    return (10.0**log10).astype(labels.dtype)
