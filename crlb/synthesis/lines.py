"""Opacity of atomic lines: Voigt profiles and Stark-broadened hydrogen, each only where it matters."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from crlb.errors import DataError
from crlb.synthesis.continuum import survival
from crlb.synthesis.species import ATOMIC_MASS, BOLTZMANN, BOLTZMANN_EV, HC_OVER_K, elements
from crlb.synthesis.state import State
from crlb.synthesis.voigt import voigt_hjerting

LIGHT_SPEED = 2.99792458e10  # cm/s, exact
CLASSICAL_CROSS_SECTION = 0.0265400886  # cm^2 Hz, pi e^2 / (m_e c), CODATA 2018
RYDBERG_HYDROGEN = 109677.5834  # cm^-1, CODATA 2018 with the reduced mass of hydrogen
HELIUM_PER_HYDROGEN = 0.42  # van der Waals width per helium atom, in that per hydrogen atom: Kurucz 1970
H2_PER_HYDROGEN = 0.85  # the same for H2
HOLTSMARK_FIELD = 1.2507e-9  # esu cm^-2 per (cm^-3)^(2/3), normal field 2.603 e n^(2/3)
# Spread of the Stark components, 5.5e-5 (n n')^4/(n'^2 - n^2) Å per esu cm^-2: Underhill & Waddell 1959
STARK_SPREAD = 5.5e-5
HOLTSMARK_WIDTH = 1.476  # makes (b^2 + beta^2)^(-5/4), of unit area, reach the asymptote 0.748 beta^(-5/2)
HOLTSMARK_AREA = 2.39628  # integral of (1 + x^2)^(-5/4): Gamma(1/2) Gamma(3/4) / Gamma(5/4)
PERTURBERS_PER_ELECTRON = 2.0  # ions and electrons both broaden the wings of hydrogen
TAPER = 0.2  # last fraction of a line's reach over which its wing is led to zero
COLUMNS = "species,wave_vac_A,e_low_eV,log_gf,gamma_rad,gamma_stark,gamma_vdw,vdw_exponent,reach_A,source"


@dataclass(frozen=True)
class Lines:
    """Atomic lines in order of wavelength; host arrays, one entry per line.

    Attributes:
        species: "Fe I", "Ca II", ...
        wave: vacuum wavelength, Å.
        e_low: energy of the lower level, eV.
        log_gf: log10 of statistical weight times oscillator strength.
        gamma_rad: log10 of the natural damping constant (full width), rad/s.
        gamma_stark: log10 of the damping constant per electron, rad/s cm^3.
        gamma_vdw: log10 of the damping constant per hydrogen atom at 10000 K, rad/s cm^3.
        vdw_exponent: power of T by which the latter grows.
        reach: distance from the centre beyond which the line is left out, Å.
        source: key of the data's origin, explained in crlb/data/lines.csv.
    """

    species: tuple[str, ...]
    wave: Float[np.ndarray, " n_lines"]
    e_low: Float[np.ndarray, " n_lines"]
    log_gf: Float[np.ndarray, " n_lines"]
    gamma_rad: Float[np.ndarray, " n_lines"]
    gamma_stark: Float[np.ndarray, " n_lines"]
    gamma_vdw: Float[np.ndarray, " n_lines"]
    vdw_exponent: Float[np.ndarray, " n_lines"]
    reach: Float[np.ndarray, " n_lines"]
    source: tuple[str, ...]

    def select(self, keep: np.ndarray) -> "Lines":
        """The lines that the mask or index array `keep` selects."""
        index = np.arange(len(self.species))[keep]
        numbers = {name: getattr(self, name)[index] for name in NUMBERS}
        return Lines(
            species=tuple(self.species[i] for i in index),
            source=tuple(self.source[i] for i in index),
            **numbers,
        )


NUMBERS = ("wave", "e_low", "log_gf", "gamma_rad", "gamma_stark", "gamma_vdw", "vdw_exponent", "reach")


@lru_cache(maxsize=1)
def load_lines() -> Lines:
    """The packaged line list, crlb/data/lines.csv, 7040-8960 Å in vacuum.

    Raises:
        DataError: the header of the file is not the expected one.
    """
    text = resources.files("crlb.data").joinpath("lines.csv").read_text(encoding="utf-8")
    header, *rows = (line for line in text.splitlines() if not line.startswith("#"))
    if header != COLUMNS:
        raise DataError(f"lines.csv: columns {header!r} where {COLUMNS!r} are needed; reinstall the package")
    species, *numbers, source = zip(*(row.split(",") for row in rows), strict=True)
    values = [np.array([float(item or "nan") for item in column]) for column in numbers]
    return Lines(species=species, source=source, **dict(zip(NUMBERS, values, strict=True)))


def line_opacity(
    wave: Float[np.ndarray, " n_wave"] | Float[Array, " n_wave"], state: State, lines: Lines
) -> Float[Array, "n_depth n_wave"]:
    """Opacity of atomic lines, stimulated emission taken off (cm^-1).

    alpha = pi e^2/(m c) gf N/U exp(-E/kT) (1 - exp(-hc/(lambda k T))) phi_nu

    Args:
        wave: vacuum wavelengths in Å, increasing; known when the function is traced.
        state: the gas at each depth; its dtype is that of the result.
        lines: the lines, as from `load_lines`.

    Returns:
        Absorption coefficient per cm.

    Source: Gray 2005, The Observation and Analysis of Stellar Photospheres, eqs. 11.12-11.54.
    """
    grid = np.asarray(wave, np.float64)
    opacity = jnp.zeros((state.temperature.size, grid.size), state.temperature.dtype)
    near = (lines.wave + lines.reach > grid[0]) & (lines.wave - lines.reach < grid[-1])
    hydrogen = np.array([name == "H I" for name in lines.species], bool)
    if (chosen := near & hydrogen).any():
        opacity = _add_class(opacity, grid, lines.select(chosen), state, _hydrogen_terms, _hydrogen_profile)
    for reach in np.unique(lines.reach[near & ~hydrogen]):
        chosen = near & ~hydrogen & (lines.reach == reach)
        opacity = _add_class(opacity, grid, lines.select(chosen), state, _voigt_terms, _voigt_profile)
    return opacity


Terms = tuple[Float[Array, "n_lines n_depth"], ...]


def _add_class(
    opacity: Float[Array, "n_depth n_wave"],
    grid: Float[np.ndarray, " n_wave"],
    lines: Lines,
    state: State,
    terms: Callable[[Lines, State], Terms],
    profile: Callable[..., Array],
) -> Float[Array, "n_depth n_wave"]:
    """Adds lines of about equal reach, one after another, each in a window of a common number of pixels."""
    dtype = opacity.dtype
    start, offset, taper = _windows(grid, lines)

    def add(total: Array, line: tuple[Array, ...]) -> tuple[Array, None]:
        first, from_centre, fade, *at_depth = line
        here = profile(from_centre[None, :], *(term[:, None] for term in at_depth)) * fade[None, :]
        there = jax.lax.dynamic_slice(total, (jnp.zeros_like(first), first), here.shape)
        return jax.lax.dynamic_update_slice(total, there + here, (jnp.zeros_like(first), first)), None

    per_line = (
        jnp.asarray(start),
        jnp.asarray(offset, dtype),
        jnp.asarray(taper, dtype),
        *terms(lines, state),
    )
    return jax.lax.scan(add, opacity, per_line)[0]


def _windows(
    grid: Float[np.ndarray, " n_wave"], lines: Lines
) -> tuple[Int[np.ndarray, " n_lines"], Float[np.ndarray, "n_lines n"], Float[np.ndarray, "n_lines n"]]:
    """First pixel of each line's window, distance of its pixels from the centre (Å), fading of the wing."""
    first = np.searchsorted(grid, lines.wave - lines.reach)
    last = np.searchsorted(grid, lines.wave + lines.reach)
    width = int(np.max(last - first))
    first = np.minimum(first, grid.size - width)
    offset = grid[first[:, None] + np.arange(width)] - lines.wave[:, None]
    taper = np.clip((1.0 - np.abs(offset) / lines.reach[:, None]) / TAPER, 0.0, 1.0)
    return first, offset, taper


def _column(values: Float[np.ndarray, " n_lines"], state: State) -> Float[Array, "n_lines 1"]:
    return jnp.asarray(values, state.temperature.dtype)[:, None]


def _absorbers(lines: Lines, state: State) -> tuple[Array, Array]:
    """Strength and Doppler velocity (cm/s) of every line at every depth.

    The strength is pi e^2/(mc) gf lambda n_low/g_low (1 - stimulated emission), s^-1.
    """
    names, mass_u, _ = elements()
    unique = sorted(set(lines.species))
    index = np.array([unique.index(name) for name in lines.species])
    per_weight = jnp.stack([state.density(name) / state.partition(name) for name in unique])
    mass = np.array([mass_u[names.index(name.split()[0])] for name in unique])
    thermal = _column(2.0 * BOLTZMANN / (mass * ATOMIC_MASS), state) * state.temperature[None, :]
    velocity = jnp.sqrt(thermal + state.microturbulence[None, :] ** 2)
    temperature = state.temperature[None, :]
    boltzmann = jnp.exp(-_column(lines.e_low / BOLTZMANN_EV, state) / temperature)
    stimulated = -jnp.expm1(-_column(HC_OVER_K / (lines.wave * 1e-8), state) / temperature)
    strength = _column(CLASSICAL_CROSS_SECTION * 10.0**lines.log_gf * lines.wave * 1e-8, state)
    return strength * per_weight[index] * boltzmann * stimulated, velocity[index]


def _voigt_terms(lines: Lines, state: State) -> Terms:
    """Opacity scale (1/cm), damping parameter a, and Doppler widths per Å."""
    absorbers, velocity = _absorbers(lines, state)
    perturbers = state.n_HI + HELIUM_PER_HYDROGEN * state.n_HeI + H2_PER_HYDROGEN * state.n_H2
    hotter = (state.temperature[None, :] / 1e4) ** _column(lines.vdw_exponent, state)
    gamma = (
        _column(10.0**lines.gamma_rad, state)
        + _column(10.0 ** (lines.gamma_stark + 10), state) * (state.n_e[None, :] * 1e-10)
        + _column(10.0 ** (lines.gamma_vdw + 10), state) * hotter * (perturbers[None, :] * 1e-10)
    )
    damping = gamma * _column(lines.wave * 1e-8 / (4 * np.pi), state) / velocity
    return (
        absorbers / (math.sqrt(math.pi) * velocity),
        damping,
        _column(LIGHT_SPEED / lines.wave, state) / velocity,
    )


def _voigt_profile(offset: Array, scale: Array, damping: Array, per_doppler: Array) -> Array:
    return scale * voigt_hjerting(damping, offset * per_doppler)


def _hydrogen_terms(lines: Lines, state: State) -> Terms:
    """Opacity times width (Å/cm), Stark width and Doppler width (Å)."""
    absorbers, velocity = _absorbers(lines, state)
    lower = 3  # Paschen, the one series of this range
    upper = np.rint((1.0 / lower**2 - 1e8 / (lines.wave * RYDBERG_HYDROGEN)) ** -0.5)
    spread = STARK_SPREAD * (lower * upper) ** 4 / (upper**2 - lower**2) * HOLTSMARK_FIELD * HOLTSMARK_WIDTH
    stark = _column(spread, state) * jnp.cbrt(PERTURBERS_PER_ELECTRON * state.n_e[None, :]) ** 2
    doppler = _column(lines.wave / LIGHT_SPEED, state) * velocity
    alive = survival(jnp.asarray(upper, stark.dtype)[None, :], state.n_e[:, None], state.temperature[:, None])
    return absorbers * alive.T * _column(lines.wave / LIGHT_SPEED, state), stark, doppler


def _hydrogen_profile(offset: Array, scale: Array, stark: Array, doppler: Array) -> Array:
    """Profile of linear Stark effect: Holtsmark's wings, Doppler core.

    Ions, and in the wings electrons like them, give the quasi-static b^(3/2)/2.396 (b^2 + offset^2)^(-5/4),
    which has Holtsmark's asymptote. Doppler motion widens its core to w^2 = b^2 + doppler^2; the share
    (b/w)^(3/2) of the line keeps the wings, the rest is a Gaussian. Impacts in the core are left out.

    Source: Holtsmark 1919, Ann. Phys. 363, 577; Mihalas 1978, Stellar Atmospheres, section 9-3.
    """
    width = jnp.sqrt(stark**2 + doppler**2)
    share = (stark / width) ** 1.5
    winged = (1.0 + (offset / width) ** 2) ** -1.25 / (HOLTSMARK_AREA * width)
    gaussian = jnp.exp(-((offset / doppler) ** 2)) / (math.sqrt(math.pi) * doppler)
    return scale * (share * winged + (1.0 - share) * gaussian)
