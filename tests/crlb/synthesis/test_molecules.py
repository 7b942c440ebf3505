"""Molecular bands: heads where they belong, strength that of the oscillators, smooth in temperature."""

from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import trapezoid

from crlb.synthesis.molecules import Bands, load_bands, molecular_opacity
from crlb.synthesis.species import partition
from crlb.synthesis.state import State


def gas(temperature, tio=1e8, cn=1e8, dtype=np.float64) -> State:
    t = jnp.asarray(temperature, dtype)
    full = jnp.ones_like(t)
    densities = {"TiO": tio * full, "CN": cn * full}
    return State(t, full, full, full, full, full, 2e5 * full, densities)


def single(name: str) -> Bands:
    bands = load_bands()
    index = bands.molecules.index(name)
    return replace(
        bands,
        molecules=(name,),
        coefficients=bands.coefficients[index : index + 1],
        source=(bands.source[index],),
    )


def smoothed(values, n):
    return np.convolve(values, np.ones(n) / n, "same")


@pytest.mark.parametrize(
    ("head", "within"),  # air, A: Pearse & Gaydon 1976, The Identification of Molecular Spectra
    [(7054.5, 1.0), (7087.9, 1.0), (7125.6, 1.0), (7589.6, 1.0), (7628.1, 1.0), (8442.0, 2.5), (8859.6, 1.0)],
)
def test_titanium_oxide_heads_rise_at_their_wavelengths(head, within):
    vacuum = head * (1 + 2.751e-4)  # refractive index of air: Ciddor 1996, to 0.02 A over the arm
    wave = np.arange(vacuum - 8, vacuum + 8, 0.05)
    sigma = np.asarray(molecular_opacity(wave, gas([3200.0]), single("TiO")))[0]
    means = smoothed(sigma, 40)
    jump = means[60:-20] / means[20:-60]
    here = wave[40:-40]
    assert jump.max() > 1.4
    assert abs(here[np.argmax(jump)] - vacuum) < within


def test_cn_is_concentrated_in_the_heads_of_the_red_system():
    wave = np.arange(7100.0, 8850.0, 0.1)
    sigma = np.asarray(molecular_opacity(wave, gas([4500.0]), single("CN")))[0]
    blue, gap, red = (
        sigma[(wave > a) & (wave < b)].mean() for a, b in ((7878, 8100), (7700, 7850), (7290, 7400))
    )
    assert blue > 5 * gap  # 2-0 band, head 7872.7 A in air: Pearse & Gaydon 1976
    assert red < blue


def test_absorption_of_tio_in_the_gamma_system_is_that_of_its_lifetime():
    # f_el = 0.0786: Alvarez & Plez 1998, A&A 330, 1109, table 1; the table holds part of its bands
    wave = np.arange(7046.0, 8950.0, 0.05)
    f = _oscillator_strength("TiO", wave, 2500.0)
    assert 0.03 < f < 0.0786 * 1.1


def test_absorption_of_cn_falls_short_of_the_whole_red_system():
    # sum over v' of f(v' <- 0) = 5.6e-3: Brooke et al. 2014, ApJS 210, 23; the arm holds v' - v'' = 2, 3, 4
    wave = np.arange(7046.0, 8950.0, 0.05)
    assert 0.7e-3 < _oscillator_strength("CN", wave, 3000.0) < 2.5e-3


def _oscillator_strength(name, wave, t):
    opacity = np.asarray(molecular_opacity(wave, gas([t], 1.0, 1.0), single(name)))[0]
    opacity = opacity / (1 - np.exp(-1.438777e8 / wave / t))
    return trapezoid(opacity / wave**2, wave) * 2.99792458e10 * 1e8 / 0.02654009


def test_cross_section_is_opacity_per_molecule_whatever_the_partition_function():
    t, bands, pixels = 3600.0, load_bands(), [1000, 20000]
    opacity = molecular_opacity(bands.wave[pixels], gas([t], tio=2.0, cn=0.0), bands)
    per_state = np.exp(np.polyval(bands.coefficients[0][::-1, pixels], 5040 / t - 1.2))
    expected = 2 * per_state / float(partition("TiO", jnp.asarray([t]))[0])
    np.testing.assert_allclose(np.asarray(opacity)[0], expected, rtol=1e-9)


def test_opacity_is_additive_and_zero_outside_the_table():
    wave = np.array([7000.0, 7200.0, 8000.0, 9000.0])
    both = np.asarray(molecular_opacity(wave, gas([3500.0]), load_bands()))
    parts = [np.asarray(molecular_opacity(wave, gas([3500.0]), single(name))) for name in ("TiO", "CN")]
    np.testing.assert_allclose(both, parts[0] + parts[1], rtol=1e-12)
    assert both[0, 0] == both[0, 3] == 0 < both[0, 1:3].min()


def test_opacity_is_finite_from_the_surface_to_the_bottom_of_an_atmosphere():
    wave = np.arange(7050.0, 8950.0, 0.5)
    for dtype in (np.float32, np.float64):
        opacity = np.asarray(
            molecular_opacity(wave, gas([1800.0, 4000.0, 12000.0], dtype=dtype), load_bands())
        )
        assert opacity.dtype == dtype
        assert np.isfinite(opacity).all()
        assert (opacity > 0).all()


def test_derivative_by_temperature_is_the_central_difference():
    wave = np.arange(7100.0, 7110.0, 0.1)

    def opacity(t):
        return molecular_opacity(wave, gas(jnp.stack([t, t + 500.0])), load_bands())

    _, slope = jax.jvp(opacity, (jnp.asarray(3500.0),), (jnp.asarray(1.0),))
    central = opacity(jnp.asarray(3500.5)) - opacity(jnp.asarray(3499.5))
    np.testing.assert_allclose(slope, central, rtol=1e-4)


def test_every_molecule_has_a_source():
    bands = load_bands()
    assert bands.molecules == ("TiO", "CN")
    assert all("19" in text or "20" in text for text in bands.source)


def test_bands_deepen_where_those_of_a_full_synthesis_do(reference):
    with h5py.File(reference / "synspec_grid_coarse.h5") as file:
        labels, wave = file["labels"][:], file["wave"][:]
        rows = [np.flatnonzero((labels == [t, 3.0, 0.0]).all(1))[0] for t in (4000.0, 4500.0)]
        cool, warm = (-np.log(file["flux"][row] / file["cont"][row]) for row in rows)
    sigma = np.asarray(molecular_opacity(wave, gas([3600.0]), single("TiO")))[0]
    here = (wave > 7115) & (wave < 7400)  # the gamma system
    assert np.corrcoef(smoothed(cool - warm, 31)[here], smoothed(sigma, 31)[here])[0, 1] > 0.85
