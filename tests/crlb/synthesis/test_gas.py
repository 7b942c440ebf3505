"""The gas: ionisation, molecules, continuous opacity, hydrostatics, radiative transfer."""

import itertools
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from crlb.synthesis import atmosphere, continuum, species, state
from crlb.synthesis import radiative_transfer as transfer

SUN = (5772.0, 4.438, 0.0, 0.0, 0.0)


@lru_cache(maxsize=1)
def compiled_state():
    return jax.jit(state.solve_state)


@lru_cache(maxsize=1)
def compiled_atmosphere():
    return jax.jit(atmosphere.build_atmosphere)


def gas_at(temperature, pressure, labels=SUN):
    temperature = jnp.atleast_1d(jnp.asarray(temperature, float))
    pressure = jnp.full_like(temperature, pressure)
    return compiled_state()(
        temperature, pressure, species.abundances(jnp.array(labels)), jnp.full_like(temperature, 2e5)
    )


def test_electron_density_solves_saha_written_out_and_solved_by_scipy():
    temperature, pressure = 7000.0, 2e4  # a temperature of the table; too hot for molecules to matter
    header, *rows = species.read_rows("atoms.csv")
    column = header.index("7000")
    u = {row[0]: float(row[column]) for row in rows}
    chi = {row[0]: float(row[1]) for row in rows}
    k, h, m_e = 1.380649e-16, 6.62607015e-27, 9.1093837e-28
    thermal = 2.0 * (2.0 * np.pi * m_e * k * temperature / h**2) ** 1.5

    def ratio(low, high):
        return thermal * u[high] / u[low] * np.exp(-chi[low] * 1.602176634e-12 / (k * temperature))

    def excess(log_ne):
        n_e = np.exp(log_ne)
        nuclei, charge = 0.0, 0.0
        for name, _, _, abundance in species.read_rows("elements.csv")[1:]:
            one = ratio(f"{name} I", f"{name} II") / n_e
            two = 0.0 if name == "H" else one * ratio(f"{name} II", f"{name} III") / n_e
            share = 10 ** (float(abundance) - 12)
            nuclei += share
            charge += share * (one + 2.0 * two) / (1.0 + one + two)
        return charge / nuclei * (pressure / (k * temperature) - n_e) / n_e - 1.0

    expected = np.exp(brentq(excess, np.log(1e8), np.log(1e17), xtol=1e-12))
    assert float(gas_at(temperature, pressure).n_e[0]) == pytest.approx(expected, rel=2e-3)


def test_molecular_constants_agree_with_tsuji():
    # log10 K_p (dyn/cm^2) as polynomials in 5040/T: Tsuji 1973, A&A 23, 411, table A (for molecules whose
    # dissociation energy has not been revised since)
    tsuji = {
        "H2": (12.739, -5.1172, 0.12572, -0.014149, 0.00063021),
        "OH": (12.371, -5.0578, 0.13822, -0.016547, 0.00077224),
        "N2": (13.590, -10.585, 0.22067, -0.029997, 0.0014993),
        "SiO": (13.413, -8.8710, 0.15042, -0.019581, 0.00094828),
    }
    temperature = np.array([3000.0, 4000.0, 5000.0])
    bond = jax.jit(state.equilibrium)(jnp.asarray(temperature)).bond
    for name, coefficients in tsuji.items():
        i = list(species.molecules()).index(name)
        ours = np.log10(1.380649e-16 * temperature) - np.asarray(bond[:, i]) / np.log(10)
        np.testing.assert_allclose(ours, np.polyval(coefficients[::-1], 5040 / temperature), atol=0.1)


@pytest.mark.parametrize("temperature", [2500.0, 3500.0, 5000.0, 9000.0])
def test_nuclei_charge_and_pressure_are_conserved(temperature):
    gas = gas_at(temperature, 3e4)
    names = species.elements().names
    nuclei = dict.fromkeys(names, 0.0)
    charge = total = 0.0
    for name, density in gas.densities.items():
        n = float(density[0])
        total += n
        if name in species.molecules():
            for atom in species.molecules()[name].atoms:
                nuclei[atom] += n
        else:
            nuclei[name.split()[0]] += n
            charge += n * {"I": 0, "II": 1, "III": 2}[name.split()[1]]
    abundance = np.asarray(species.abundances(jnp.array(SUN)))
    for element in ("H", "C", "N", "O", "Si", "Ti", "Fe"):
        assert nuclei[element] / nuclei["He"] == pytest.approx(
            abundance[names.index(element)] / abundance[names.index("He")], rel=2e-3
        )
    assert (total + float(gas.n_e[0])) * 1.380649e-16 * temperature == pytest.approx(3e4, rel=1e-4)
    assert charge == pytest.approx(float(gas.n_e[0]), rel=0.02)  # the rest of the electrons sits in H-
    assert charge >= float(gas.n_e[0])


def test_alpha_and_carbon_labels_scale_their_elements_only():
    base, alpha, carbon = (
        np.asarray(species.abundances(jnp.array((5e3, 3.0, -1.0, a, c))))
        for a, c in ((0, 0), (0.4, 0), (0, 0.3))
    )
    names = species.elements().names
    raised = {n for n, r in zip(names, alpha / base, strict=True) if r > 1.01}
    assert raised == {"O", "Ne", "Mg", "Si", "S", "Ar", "Ca", "Ti"}
    assert {n for n, r in zip(names, carbon / base, strict=True) if r > 1.01} == {"C"}
    assert (alpha / base)[names.index("Ca")] == pytest.approx(10**0.4)


def test_h_minus_free_free_equals_the_table_of_bell_and_berrington():
    # Bell & Berrington 1987, J. Phys. B 20, 801, table 1, 1e-26 cm^4/dyn; the fit of John 1988 is good to 1 %
    wave, temperature = jnp.array([7595.0, 9113.0]), jnp.array([5040.0 / 1.0, 5040.0 / 0.8, 5040.0 / 1.2])
    expected = 1e-26 * np.array([[0.409, 0.576], [0.332, 0.468], [0.484, 0.677]])
    np.testing.assert_allclose(continuum.h_minus_free_free(wave, temperature), expected, rtol=0.01)


def test_h_minus_bound_free_is_saha_times_the_cross_section_of_wishart():
    wave, temperature = jnp.array([8500.0]), jnp.array([6000.0])
    k, t = 1.380649e-16, 6000.0
    pairs = 4.0 * (2.0 * np.pi * 9.1093837e-28 * k * t / 6.62607015e-27**2) ** 1.5  # n_H n_e / n_H-
    per_pressure = np.exp(0.754195 / (8.617333e-5 * t)) / pairs / (k * t)
    cross_section = 3.96e-17  # cm^2 at 8500 A: Wishart 1979, MNRAS 187, 59P
    expected = per_pressure * cross_section * -np.expm1(-1.438777e8 / (8500.0 * t))
    found = float(continuum.h_minus_bound_free(wave, temperature)[0, 0])
    assert found / expected == pytest.approx(1.0, rel=0.02)  # the fit of John 1988 lies 1 % above the table


def test_planck_function_integrates_to_stefan_boltzmann():
    def b(log_wave):
        wave = jnp.array([np.exp(log_wave)])
        return float(transfer.planck(wave, jnp.array([5000.0]))[0, 0]) * np.exp(log_wave)

    total = np.pi * quad(b, np.log(1e3), np.log(1e7), limit=200)[0]
    assert total == pytest.approx(5.670374e-5 * 5000.0**4, rel=1e-3)


@pytest.mark.parametrize("mu", [0.1, 0.5, 1.0])
def test_linear_source_function_gives_eddington_barbier_exactly(mu):
    tau = jnp.concatenate([jnp.zeros(1), jnp.logspace(-6, 2, 60)])[:, None]
    intensity = transfer.emergent_intensity(tau, 2.0 + 3.0 * tau, mu)
    np.testing.assert_allclose(intensity, 2.0 + 3.0 * mu, rtol=1e-9)


def test_flux_of_linear_source_function_is_milne_eddington():
    tau = jnp.concatenate([jnp.zeros(1), jnp.logspace(-6, 2, 60)])[:, None]
    flux = transfer.emergent_flux(tau, 2.0 + 3.0 * tau)
    np.testing.assert_allclose(flux, np.pi * (2.0 + 3.0 * 2 / 3), rtol=1e-9)


def test_optical_depth_of_proportional_opacities_is_proportional():
    tau = jnp.asarray(10.0**atmosphere.LOG_TAU)
    reference = tau**0.7
    found = transfer.optical_depth(jnp.stack([reference, 5.0 * reference], 1), reference, tau)
    np.testing.assert_allclose(found[:, 1], 5.0 * found[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 0], tau, rtol=0.01)


@pytest.mark.parametrize(
    "labels",
    [SUN, (4000.0, 1.0, 0.5, 0.0, 0.0), (3750.0, 5.0, -2.5, 0.0, 0.0), (6000.0, 1.0, -1.0, 0.0, 0.0)],
)
def test_pressure_balances_gravity(labels):
    gas = compiled_atmosphere()(jnp.array(labels))
    pressure = np.asarray((gas.n_e + sum(gas.densities.values())) * 1.380649e-16 * gas.temperature)
    kappa = np.asarray(continuum.continuum_opacity(jnp.array([8000.0]), gas)[:, 0] / gas.rho)
    tau = 10.0**atmosphere.LOG_TAU
    steps = np.diff(pressure) / np.diff(tau)
    weight = 10.0 ** labels[1] * np.sqrt((1 / kappa[1:]) * (1 / kappa[:-1]))
    np.testing.assert_allclose(steps / weight, 1.0, atol=0.08)  # differences over a factor 1.4 in tau
    column = np.sum(np.diff(tau) / np.sqrt(kappa[1:] * kappa[:-1]))
    assert pressure[-1] - pressure[0] == pytest.approx(10.0 ** labels[1] * column, rel=0.01)


def test_temperature_rises_inwards_over_the_whole_box():
    box = itertools.product(np.linspace(3750, 6000, 10), np.linspace(1, 5, 5), np.linspace(-2.5, 0.75, 7))
    heat = np.asarray(jax.vmap(atmosphere.temperature)(jnp.array([(*node, 0.0, 0.0) for node in box])))
    assert (np.diff(heat, axis=1) > -8.0).all()  # flat within 8 K at the top, rising below
    assert (np.diff(heat[:, atmosphere.LOG_TAU > -2.0], axis=1) > 0.0).all()
    assert heat.min() > 1900.0
    assert heat.max() < 12000.0
    at_unity = heat[:, np.argmin(np.abs(atmosphere.LOG_TAU))]
    assert np.all(np.abs(at_unity / np.repeat(np.linspace(3750, 6000, 10), 35) - 1.1) < 0.1)


def test_solar_continuum_is_that_of_the_sun():
    # 1.13 W/m^2/nm at 800 nm and 1 au, times (au / solar radius)^2; continuum about 1 % above: Wehrli 1985
    gas = compiled_atmosphere()(jnp.array(SUN))
    wave = jnp.array([8000.0])
    kappa = continuum.continuum_opacity(wave, gas)
    tau = transfer.optical_depth(kappa, kappa[:, 0], jnp.asarray(10.0**atmosphere.LOG_TAU))
    flux = float(transfer.emergent_flux(tau, transfer.planck(wave, gas.temperature))[0])
    assert flux == pytest.approx(1.13 * 100.0 * 215.03**2, rel=0.04)


def test_unknown_species_names_the_known_ones():
    with pytest.raises(KeyError, match=r"'Xx I' is not part of the equation of state.*Fe I"):
        gas_at(5000.0, 1e4).density("Xx I")
