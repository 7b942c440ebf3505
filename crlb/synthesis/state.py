"""The state of the gas at every depth in LTE: ionisation and molecules at given temperature and pressure."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.synthesis import species as table
from crlb.synthesis.species import ATOMIC_MASS, BOLTZMANN, BOLTZMANN_EV

BALANCED = ("H", "C", "N", "O", "Si")  # elements whose molecules deplete the free atoms; the rest follow them
H_MINUS_EV = 0.754195  # electron affinity of hydrogen: Lykke et al. 1991, Phys. Rev. A 43, 6104
NO_SUCH_ION = -200.0  # ln of a Saha constant that leaves no H III
NEWTON_ITERATIONS = 24  # 16 reach rounding at the corners and in the middle of the embedded grid
MAX_CHANGE = 3.0  # in the logarithm of a density


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """LTE gas at each depth, outermost first.

    Attributes:
        temperature: K.
        n_e: electrons, cm^-3.
        n_HI: neutral hydrogen atoms in all levels, cm^-3.
        n_HeI: neutral helium, cm^-3.
        n_H2: molecular hydrogen, cm^-3.
        rho: mass density, g/cm^3.
        microturbulence: cm/s.
        densities: number density of every species by name ("Fe I", "Ca II", "TiO"), cm^-3.
    """

    temperature: Float[Array, " n_depth"]
    n_e: Float[Array, " n_depth"]
    n_HI: Float[Array, " n_depth"]
    n_HeI: Float[Array, " n_depth"]
    n_H2: Float[Array, " n_depth"]
    rho: Float[Array, " n_depth"]
    microturbulence: Float[Array, " n_depth"]
    densities: dict[str, Float[Array, " n_depth"]]

    def density(self, species: str) -> Float[Array, " n_depth"]:
        """Number density of a species such as "Fe I", "Ca II", "TiO" or "CN" (cm^-3)."""
        if species not in self.densities:
            known = ", ".join(sorted(self.densities))
            raise KeyError(f"species {species!r} is not part of the equation of state, which knows {known}")
        return self.densities[species]

    def partition(self, species: str) -> Float[Array, " n_depth"]:
        """Partition function U(T) of a species, the one the equation of state was solved with."""
        return table.partition(species, self.temperature)


class Equilibrium(NamedTuple):
    """Logarithms of the equilibrium constants at each depth.

    saha: ln(n_II n_e / n_I) and ln(n_III n_e / n_II) of every element, cm^-3; h_minus: ln(n_H- / (n_HI n_e));
    bond: ln(n_molecule / product of the neutral atoms), in the order of `molecules()`.
    """

    saha: Float[Array, "n_depth n_el 2"]
    h_minus: Float[Array, " n_depth"]
    bond: Float[Array, "n_depth n_mol"]


def equilibrium(temperature: Float[Array, " n_depth"]) -> Equilibrium:
    """All equilibrium constants at `temperature` (K).

    Saha: n_upper n_e / n_lower = 2 U_upper / U_lower (2 pi m_e k T / h^2)^(3/2) exp(-chi / kT)
    Molecules: n_AB / (n_A n_B) = q_AB / (q_A q_B) exp(D / kT),  q = U (2 pi m k T / h^2)^(3/2)

    Source: Mihalas 1978, Stellar Atmospheres, eq. 5-14 (no lowering of the ionisation energy); Tatum 1966,
    Publ. Dom. Astrophys. Obs. Victoria 13, 1, eq. 11.
    """
    log_u = table.atomic_partitions(temperature)
    energies = table.ionisation_energies()
    chi = [[energies.get(f"{name} {stage}", 0.0) for stage in ("I", "II")] for name in table.elements().names]
    kt = (BOLTZMANN_EV * temperature)[:, None, None]
    log_electron = np.log(2.0) + table.LOG_QUANTUM_MASS + 1.5 * jnp.log(table.ELECTRON_MASS_U * temperature)
    saha = log_u[..., 1:] - log_u[..., :-1] + log_electron[:, None, None]
    saha = saha - np.array(chi).astype(temperature.dtype)[None] / kt
    saha = saha.at[:, 0, 1].set(NO_SUCH_ION)
    h_minus = H_MINUS_EV / kt[:, 0, 0] - log_u[:, 0, 0] - log_electron
    mass_u = table.elements().mass_u.astype(temperature.dtype)
    log_q = log_u[..., 0] + table.LOG_QUANTUM_MASS + 1.5 * jnp.log(mass_u[None] * temperature[:, None])
    bond = [_bond_constant(name, temperature, log_q) for name in table.molecules()]
    return Equilibrium(saha, h_minus, jnp.stack(bond, axis=-1))


def _bond_constant(
    name: str, temperature: Float[Array, " n_depth"], log_q: Float[Array, "n_depth n_el"]
) -> Float[Array, " n_depth"]:
    """Equilibrium constant ln(n_AB / (n_A n_B)) of one molecule, given ln q of the neutral atoms."""
    molecule = table.molecules()[name]
    log_mass = table.LOG_QUANTUM_MASS + 1.5 * jnp.log(table.molecule_mass(name) * temperature)
    atoms = log_q[:, [table.elements().names.index(atom) for atom in molecule.atoms]].sum(axis=1)
    energy = molecule.energy_ev / (BOLTZMANN_EV * temperature)
    return jnp.log(table.partition(name, temperature)) + log_mass + energy - atoms


def composition() -> Float[np.ndarray, "n_mol n_balanced"]:
    """How many atoms of each balanced element a molecule holds."""
    return np.array([[m.atoms.count(el) for el in BALANCED] for m in table.molecules().values()], float)


def _balanced_molecules() -> np.ndarray:
    """Which molecules hold balanced elements only, so that their density follows from those."""
    return np.array([all(atom in BALANCED for atom in m.atoms) for m in table.molecules().values()])


def residuals(
    log_n: Float[Array, " n_unknown"],
    constants: Equilibrium,
    log_total: Float[Array, ""],
    abundance: Float[Array, " n_el"],
) -> Float[Array, " n_unknown"]:
    """Logarithmic imbalance at one depth of charge, pressure and the nuclei of each balanced element.

    Args:
        log_n: ln of the densities of electrons, hydrogen nuclei, and neutral free H, C, N, O, Si (cm^-3).
        constants: one depth of `equilibrium`.
        log_total: ln(P_gas / kT), cm^-3.
        abundance: atoms per hydrogen nucleus.
    """
    log_e, log_h, log_atom = log_n[0], log_n[1], log_n[2:]
    balanced = np.array([table.elements().names.index(el) for el in BALANCED])
    count, known = composition().astype(log_n.dtype), _balanced_molecules()
    once = jnp.exp(constants.saha[:, 0] - log_e)
    twice = once * jnp.exp(constants.saha[:, 1] - log_e)
    stages = 1.0 + once + twice
    # densities in units of the total keep every term within float32
    molecule = jnp.exp(constants.bond[known] + count[known] @ log_atom - log_total)
    free = (
        (abundance * jnp.exp(log_h - log_total))
        .at[balanced]
        .set(jnp.exp(log_atom - log_total) * stages[balanced])
    )
    nuclei = free[balanced] + molecule @ count[known]
    electrons = jnp.exp(log_e - log_total)
    h_minus = jnp.exp(constants.h_minus + log_atom[0] + log_e - log_total)
    charge = jnp.sum(free * (once + 2.0 * twice) / stages)
    return jnp.concatenate(
        [
            jnp.log(charge / (electrons + h_minus))[None],
            jnp.log(electrons + jnp.sum(free) + jnp.sum(molecule))[None],
            jnp.log(nuclei / abundance[balanced]) - (log_h - log_total),
        ]
    )


def first_guess(
    constants: Equilibrium, log_total: Float[Array, " n_depth"], abundance: Float[Array, " n_el"]
) -> Float[Array, "n_depth n_unknown"]:
    """Start of the Newton iteration: hydrogen and its molecule alone, electrons from hydrogen and metals."""
    names = table.elements().names
    log_h = log_total - jnp.log(1.0 + abundance[1])
    bond = jnp.exp(constants.bond[:, list(table.molecules()).index("H2")] + log_h)
    log_free = log_h + jnp.log(2.0 / (1.0 + jnp.sqrt(1.0 + 8.0 * bond)))
    ionised = jnp.exp(0.5 * (constants.saha[:, 0, 0] - log_h))
    # 0.3: the share of metals that are ionised, and of atoms that are free; Newton's method corrects it
    metal = abundance[names.index("Mg")] + abundance[names.index("Fe")]
    log_e = log_h + jnp.log(ionised / (1.0 + ionised) + 0.3 * metal)
    others = [log_h + jnp.log(0.3 * abundance[names.index(el)]) for el in BALANCED[1:]]
    return jnp.stack([log_e, log_h, log_free, *others], axis=-1)


def solve_densities(
    constants: Equilibrium, log_total: Float[Array, " n_depth"], abundance: Float[Array, " n_el"]
) -> Float[Array, "n_depth n_unknown"]:
    """Newton's method with limited changes and a fixed number of iterations, at every depth at once."""

    def newton(log_n: Array, constants: Equilibrium, total: Array) -> Array:
        def iterate(log_n: Array, _: None) -> tuple[Array, None]:
            value = residuals(log_n, constants, total, abundance)
            slope = jax.jacfwd(residuals)(log_n, constants, total, abundance)
            return log_n - jnp.clip(jnp.linalg.solve(slope, value), -MAX_CHANGE, MAX_CHANGE), None

        return jax.lax.scan(iterate, log_n, None, length=NEWTON_ITERATIONS)[0]

    return jax.vmap(newton)(first_guess(constants, log_total, abundance), constants, log_total)


def solve_state(
    temperature: Float[Array, " n_depth"],
    gas_pressure: Float[Array, " n_depth"],
    abundance: Float[Array, " n_el"],
    microturbulence: Float[Array, " n_depth"],
    constants: Equilibrium | None = None,
) -> State:
    """State of a gas of given temperature (K), gas pressure (dyn/cm^2) and composition (atoms per H).

    Args:
        temperature: K, between about 1500 and 12000.
        gas_pressure: dyn/cm^2, electrons included.
        abundance: atoms of each element of `elements()` per hydrogen nucleus.
        microturbulence: cm/s, carried along for the line profiles.
        constants: `equilibrium(temperature)` where the caller has it already.
    """
    constants = equilibrium(temperature) if constants is None else constants
    log_total = jnp.log(gas_pressure / BOLTZMANN) - jnp.log(temperature)
    log_n = solve_densities(constants, log_total, abundance)
    densities = _all_densities(log_n, constants, abundance)
    mass = (abundance * table.elements().mass_u.astype(abundance.dtype)).sum() * ATOMIC_MASS
    return State(
        temperature=temperature,
        n_e=jnp.exp(log_n[:, 0]),
        n_HI=densities["H I"],
        n_HeI=densities["He I"],
        n_H2=densities["H2"],
        rho=mass * jnp.exp(log_n[:, 1]),
        microturbulence=microturbulence,
        densities=densities,
    )


def _all_densities(
    log_n: Float[Array, "n_depth n_unknown"], constants: Equilibrium, abundance: Float[Array, " n_el"]
) -> dict[str, Float[Array, " n_depth"]]:
    """Every species from the solved ones; an element not balanced shares its nuclei with its molecules."""
    names, molecules = table.elements().names, table.molecules()
    balanced = [names.index(el) for el in BALANCED]
    followers = np.array(
        [[m.atoms.count(el) * (el not in BALANCED) for el in names] for m in molecules.values()]
    )
    followers = followers.astype(log_n.dtype)  # at most one to a molecule
    once = jnp.exp(constants.saha[:, :, 0] - log_n[:, :1])
    twice = once * jnp.exp(constants.saha[:, :, 1] - log_n[:, :1])
    partners = constants.bond + _product(log_n[:, 2:], composition().T)
    bound = _product(jnp.exp(partners), followers)
    log_atom = jnp.log(abundance)[None] + log_n[:, 1:2] - jnp.log(1.0 + once + twice + bound)
    log_atom = log_atom.at[:, balanced].set(log_n[:, 2:])
    molecule = jnp.exp(partners + _product(log_atom, followers.T))
    neutral = jnp.exp(log_atom)
    stages = {"I": neutral, "II": neutral * once, "III": neutral * twice}
    found = {f"{el} {stage}": n[:, i] for i, el in enumerate(names) for stage, n in stages.items()}
    return found | {name: molecule[:, i] for i, name in enumerate(molecules)}


def _product(left: Float[Array, "n k"], right: Float[np.ndarray, "k m"]) -> Float[Array, "n m"]:
    return jnp.matmul(left, right.astype(left.dtype), precision="highest")
