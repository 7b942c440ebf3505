"""The physical state of the gas at every depth: what opacities are computed from."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


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
            raise KeyError(f"species {species!r} is not part of the equation of state; known: {known}")
        return self.densities[species]

    def partition(self, species: str) -> Float[Array, " n_depth"]:
        """Partition function U(T) of a species, the one the equation of state was solved with."""
        return partition(species, self.temperature)


@lru_cache(maxsize=1)
def partition_coefficients() -> dict[str, tuple[float, ...]]:
    """Coefficients of ln U = sum_k c_k x^k, x = ln(T / 5000 K), by species, valid 2000-10000 K."""
    text = resources.files("crlb.data").joinpath("partition.csv").read_text(encoding="utf-8")
    rows = (line.split(",") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: tuple(map(float, values)) for name, *values in rows}


def partition(species: str, temperature: Float[Array, " n_depth"]) -> Float[Array, " n_depth"]:
    """Partition function of a species at `temperature` (K)."""
    coefficients = np.asarray(partition_coefficients()[species][::-1], temperature.dtype)
    return jnp.exp(jnp.polyval(coefficients, jnp.log(temperature / 5000.0)))
