"""Atomic lines: the list, the Voigt function, the opacity."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import gamma, wofz

from crlb.synthesis.lines import Lines, _hydrogen_profile, line_opacity, load_lines
from crlb.synthesis.state import State
from crlb.synthesis.voigt import voigt_hjerting


def gas(temperature=(4000.0, 5000.0), n_e=1e13, n_hi=1e17, metals=1e12, dtype=np.float64) -> State:
    """A gas of two depths in which every species of the list has the same density."""
    t = jnp.asarray(temperature, dtype)
    full = jnp.ones_like(t)
    densities = dict.fromkeys(set(load_lines().species), metals * full) | {"H I": n_hi * full}
    return State(
        temperature=t,
        n_e=n_e * full,
        n_HI=n_hi * full,
        n_HeI=0.1 * n_hi * full,
        n_H2=0.0 * full,
        rho=2e-24 * n_hi * full,
        microturbulence=2e5 * full,
        densities=densities,
    )


def only(species: str, wave: float) -> Lines:
    """The strongest line of a species within 0.1 A."""
    lines = load_lines()
    near = np.flatnonzero((np.array(lines.species) == species) & (np.abs(lines.wave - wave) < 0.1))
    return lines.select(near[np.argmax(lines.log_gf[near])][None])


def opacity_of(wave: np.ndarray, state: State, lines: Lines) -> np.ndarray:
    """The opacity, compiled as one piece: quicker than operation by operation."""
    return np.asarray(jax.jit(lambda gas: line_opacity(wave, gas, lines))(state))


def some_lines() -> Lines:
    """A tenth of the weak lines, with hydrogen and the calcium triplet."""
    lines = load_lines()
    keep = np.isin(lines.species, ["H I", "Ca II"]) & (lines.wave > 8540) & (lines.wave < 8760)
    keep[::10] = True
    return lines.select(keep & np.isin(lines.reach, [0.8, 100, 200]))


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 7e-5), (np.float32, 2e-3)])
def test_voigt_function_agrees_with_the_faddeeva_function(dtype, rtol):
    a = np.logspace(-3, 2, 60)[:, None]
    u = np.concatenate([np.linspace(0, 8, 400), np.logspace(0.9, 4, 100)])[None]
    ours = voigt_hjerting(
        jnp.asarray(np.broadcast_to(a, (60, 500)), dtype), jnp.asarray(u.repeat(60, 0), dtype)
    )
    np.testing.assert_allclose(ours, wofz(u + 1j * a).real, rtol=rtol)


def test_voigt_function_is_within_4e6_of_its_peak_for_vanishing_damping():
    u = np.linspace(-20, 20, 2001)
    for a in (1e-8, 1e-6, 1e-4):
        np.testing.assert_allclose(
            voigt_hjerting(jnp.full(2001, a), jnp.asarray(u)), wofz(u + 1j * a).real, atol=4e-6
        )


def test_voigt_function_has_finite_derivatives_everywhere():
    a, u = jnp.asarray([1e-12, 1e-3, 1.0]), jnp.asarray([0.0, 0.5246, 1.6507, 5.4999, 5.5001, 1e4])
    a, u = a.astype(np.float32), u.astype(np.float32)
    a, u = (x.ravel() for x in jnp.meshgrid(a, u))
    for index in (0, 1):
        assert np.isfinite(jax.jit(jax.vmap(jax.grad(voigt_hjerting, argnums=index)))(a, u)).all()


def test_line_list_is_long_sorted_and_every_row_has_a_source():
    lines = load_lines()
    assert len(lines.species) >= 250
    assert (np.diff(lines.wave) >= 0).all()
    assert lines.wave[0] < 7100 < 8850 < lines.wave[-1]
    assert set(lines.source) == {"GES+BPO", "GES+K", "GES+U", "BM"}
    atoms = np.array(lines.species) != "H I"
    for name in ("e_low", "log_gf", "gamma_rad", "gamma_stark", "gamma_vdw", "vdw_exponent", "reach"):
        assert np.isfinite(getattr(lines, name)[atoms]).all(), name


def test_line_list_covers_the_species_that_show_in_the_arm():
    neutral = ["H", "C", "O", "Na", "Mg", "Al", "Si", "S", "K", "Ca", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni"]
    assert {f"{element} I" for element in neutral} | {"Ca II", "Fe II", "Ti II"} <= set(load_lines().species)


@pytest.mark.parametrize(
    ("species", "wave"),  # vacuum, NIST Atomic Spectra Database 5.9
    [
        ("Ca II", 8500.36),
        ("Ca II", 8544.44),
        ("Ca II", 8664.52),
        ("K I", 7667.01),
        ("K I", 7701.08),
        ("Na I", 8185.51),
        ("Na I", 8197.08),
        ("Mg I", 8809.18),
        ("O I", 7774.08),
        ("Fe I", 8691.01),
        ("Ti I", 8437.28),
        ("H I", 8600.75),
        ("H I", 8752.88),
    ],
)
def test_strong_lines_are_at_their_vacuum_wavelengths(species, wave):
    assert only(species, wave).wave[0] == pytest.approx(wave, abs=0.012)


def test_hydrogen_oscillator_strengths_are_those_of_the_tables():
    f = {11: 4.996e-3, 12: 3.711e-3, 14: 2.224e-3, 20: 7.118e-4}  # Wiese, Smith & Glennon 1966, NSRDS-NBS 4
    lines = load_lines()
    ours = sorted(10 ** lines.log_gf[np.array(lines.species) == "H I"] / 18)
    for n, value in f.items():
        assert min(abs(np.array(ours) / value - 1)) < 2e-3, n


def test_van_der_waals_width_of_the_calcium_triplet_is_that_of_its_cross_section():
    # sigma = 291 a0^2 at 10 km/s, alpha = 0.275: Barklem & O'Mara 1998, MNRAS 300, 863; width by their eq. 3
    speed = np.sqrt(8 * 1.380649e-16 * 1e4 / np.pi / 1.66054e-24 * (1 / 40.078 + 1 / 1.008))
    width = 2 * (4 / np.pi) ** 0.1375 * gamma(2 - 0.1375) * 291 * 2.8003e-17 * 1e6 * (speed / 1e6) ** 0.725
    line = only("Ca II", 8544.44)
    assert 10 ** line.gamma_vdw[0] == pytest.approx(width, rel=0.01)
    assert line.vdw_exponent[0] == pytest.approx(0.3625, abs=0.001)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_area_of_a_line_is_that_of_its_oscillators(dtype):
    state, line = gas(n_hi=1e15, n_e=1e11, dtype=dtype), only("Fe I", 8691.01)
    wave = line.wave[0] + np.linspace(-7.9, 7.9, 20001)
    opacity = np.asarray(opacity_of(wave, state, line), np.float64)
    area = trapezoid(opacity, wave * 1e-8, axis=1) * 2.99792458e10 / (line.wave[0] * 1e-8) ** 2
    t = np.array([4000.0, 5000.0])
    lower = 1e12 / np.asarray(state.partition("Fe I"), np.float64) * np.exp(-line.e_low[0] / 8.617333e-5 / t)
    emission = 1 - np.exp(-1.438777e8 / line.wave[0] / t)
    np.testing.assert_allclose(area, 0.02654009 * 10 ** line.log_gf[0] * lower * emission, rtol=2e-3)


def test_opacity_is_proportional_to_gf_and_to_the_density_of_the_absorber():
    line, wave = only("Fe I", 8691.01), np.linspace(8690, 8692, 101)
    once = opacity_of(wave, gas(), line)
    np.testing.assert_allclose(
        opacity_of(wave, gas(), replace(line, log_gf=line.log_gf + 1)), 10 * once, rtol=1e-10
    )
    np.testing.assert_allclose(opacity_of(wave, gas(metals=3e12), line), 3 * once, rtol=1e-10)


def test_wings_fall_with_the_square_of_the_distance_and_grow_with_pressure():
    line = only("Ca II", 8544.44)
    wave = line.wave[0] + np.array([-40.0, -20.0, 0.0, 20.0, 40.0])
    wing = opacity_of(wave, gas(), line)
    np.testing.assert_allclose(wing[:, 3] / wing[:, 4], 4.0, rtol=1e-3)
    np.testing.assert_allclose(wing[:, 0], wing[:, 4], rtol=1e-10)
    denser = opacity_of(wave, gas(n_hi=2e17), line)
    np.testing.assert_allclose(denser[:, 4] / wing[:, 4], 2.0, rtol=0.1)


def test_a_piece_of_the_spectrum_equals_the_piece_of_a_longer_one():
    wave, lines = np.arange(8540.0, 8700.0, 0.05), some_lines()
    whole = opacity_of(wave, gas(), lines)
    part = opacity_of(wave[1000:2000], gas(), lines)
    np.testing.assert_allclose(part, whole[:, 1000:2000], rtol=1e-9)


def test_no_line_in_reach_is_no_opacity():
    assert (opacity_of(np.linspace(5000, 5001, 50), gas(), load_lines()) == 0).all()


def test_single_precision_agrees_with_double():
    wave = np.arange(8650.0, 8760.0, 0.05)
    double = opacity_of(wave, gas(), some_lines())
    single = opacity_of(wave, gas(dtype=np.float32), some_lines())
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=5e-3)


def test_derivative_by_the_state_is_the_central_difference():
    wave, lines, state = np.arange(8580.0, 8610.0, 0.1), some_lines(), gas()
    names = ("temperature", "n_e", "n_HI", "microturbulence")

    @jax.jit
    def opacity(factors):
        changed = {name: getattr(state, name) * factors[i] for i, name in enumerate(names)}
        return line_opacity(wave, replace(state, **changed), lines)

    slope = jax.jit(lambda x, dx: jax.jvp(opacity, (x,), (dx,))[1])
    for direction in np.eye(4):
        ahead, behind = (opacity(jnp.asarray(1 + step * direction)) for step in (1e-5, -1e-5))
        central = np.asarray(ahead - behind) / 2e-5
        ours = slope(jnp.ones(4), jnp.asarray(direction))
        np.testing.assert_allclose(ours, central, rtol=1e-4, atol=1e-6 * np.abs(central).max())


def test_hydrogen_profile_has_unit_area_and_the_wings_of_holtsmark():
    offset = np.sinh(np.linspace(-16, 16, 40001))
    stark, doppler, one = (jnp.full((1,), x) for x in (1.476 * 0.3, 0.3, 1.0))
    profile = np.asarray(_hydrogen_profile(jnp.asarray(offset), one, stark, doppler))
    assert trapezoid(profile, offset) == pytest.approx(1.0, rel=1e-3)
    far = offset > 300  # 0.748 beta^(-5/2) / (K F0): Mihalas 1978, eq. 9-34, half to either side
    np.testing.assert_allclose(profile[far], 0.748 * 0.3**1.5 * offset[far] ** -2.5, rtol=5e-3)


def test_hydrogen_lines_vanish_at_the_density_of_inglis_and_teller():
    line = only("H I", 8415.63)  # to n = 19
    wave = line.wave[0] + np.sinh(np.linspace(-7, 7, 4001))
    last = 10 ** (23.26 - 7.5 * np.log10(19))  # electrons per cm^3, Inglis & Teller 1939, ApJ 90, 439
    whole, half, none = (
        trapezoid(opacity_of(wave, gas(n_e=last * x), replace(line, reach=line.reach * 50))[0], wave)
        for x in (0.01, 1.0, 30.0)
    )
    assert 0.1 < half / whole < 0.9
    assert none / whole < 0.05


def test_hydrogen_lines_keep_their_area_at_low_density():
    state = gas(n_e=1e10)
    line = only("H I", 8752.88)
    wave = line.wave[0] + np.linspace(-40, 40, 16001)
    opacity = opacity_of(wave, state, line)
    area = trapezoid(opacity, wave * 1e-8, axis=1) * 2.99792458e10 / (line.wave[0] * 1e-8) ** 2
    t = np.array([4000.0, 5000.0])
    lower = 1e17 / 2 * np.exp(-12.0875 / 8.617333e-5 / t) * (1 - np.exp(-1.438777e8 / line.wave[0] / t))
    np.testing.assert_allclose(area, 0.02654009 * 18 * 3.711e-3 * lower, rtol=0.01)
