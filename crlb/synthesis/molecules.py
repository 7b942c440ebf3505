"""Opacity of the molecular bands of a cool star: TiO and CN, from tabulated cross sections."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.synthesis.state import State

THETA = 5040.0  # K; the polynomials run in x = THETA / T - THETA_CENTRE
THETA_CENTRE = 1.2  # 4200 K


@dataclass(frozen=True)
class Bands:
    """Cross section times partition function of each molecule: ln(sigma U / cm^2) = sum_k c_k x^k.

    x = 5040 K / T - 1.2; the fit spans 2200-8000 K and holds to 1 % rms there. Stimulated emission is taken
    off. Lines have their Doppler width for the molecule's mass and a microturbulence of 2 km/s, averaged over
    the table's pixels of 1.9 km/s.

    Attributes:
        molecules: names of the molecules, "TiO", "CN".
        wave: vacuum wavelength of the table, Å, equally spaced in ln wave, 7045-8955 Å.
        coefficients: c_k.
        source: per molecule, the published lines the table was made from.
    """

    molecules: tuple[str, ...]
    wave: Float[np.ndarray, " n_table"]
    coefficients: Float[np.ndarray, "n_molecules 4 n_table"]
    source: tuple[str, ...]


@lru_cache(maxsize=1)
def load_bands() -> Bands:
    """The packaged cross sections, crlb/data/bands.npz."""
    with resources.files("crlb.data").joinpath("bands.npz").open("rb") as stream, np.load(stream) as file:
        multiples = file["coefficients"].astype(np.float64)  # integers: multiples of `scale` from `offset`
        coefficients = file["scale"] * multiples + file["offset"][None, :, None]
        wave = np.exp(file["log_wave_first"] + file["log_wave_step"] * np.arange(multiples.shape[2]))
        return Bands(
            molecules=tuple(map(str, file["molecules"])),
            wave=wave,
            coefficients=coefficients,
            source=tuple(map(str, file["source"])),
        )


def molecular_opacity(
    wave: Float[np.ndarray, " n_wave"], state: State, bands: Bands
) -> Float[Array, "n_depth n_wave"]:
    """Opacity of molecular bands, sum over molecules of N sigma(T), stimulated emission taken off (cm^-1).

    Args:
        wave: vacuum wavelengths in Å, increasing; known when the function is traced. Outside the table there
            is no molecular opacity.
        state: the gas at each depth; its dtype is that of the result.
        bands: cross sections, as from `load_bands`.
    """
    grid = np.asarray(wave, np.float64)
    dtype = state.temperature.dtype
    x = (THETA / state.temperature - THETA_CENTRE)[:, None]
    covered = jnp.asarray((grid >= bands.wave[0]) & (grid <= bands.wave[-1]), dtype)[None, :]
    opacity = jnp.zeros((state.temperature.size, grid.size), dtype)
    for name, table in zip(bands.molecules, bands.coefficients, strict=True):
        c0, c1, c2, c3 = (jnp.asarray(np.interp(grid, bands.wave, row), dtype)[None, :] for row in table)
        per_weight = (state.density(name) / state.partition(name))[:, None]
        opacity = opacity + per_weight * jnp.exp(c0 + x * (c1 + x * (c2 + x * c3)))
    return opacity * covered
