"""Noise: the formula, its draws, the published SNR table."""

import dataclasses

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import UsageError
from crlb.grids.grid_file import default_grid_path, load_grid, load_slice
from crlb.observation.instrument import to_detector
from crlb.observation.noise import (
    Exposure,
    NoiseModel,
    background,
    draw,
    electrons_per_flux,
    load_noise,
    snr,
    variance,
    variance_of,
)

MAGS = np.array([18.0, 20.0, 21.5, 22.0, 22.5, 23.0])
PUBLISHED_SNR = np.array([87.4, 24.0, 7.1, 4.6, 3.0, 1.9])  # median per pixel, 12 x 900 s, BOSZ spectra


@pytest.fixture(scope="module")
def peer_spectra(reference) -> np.ndarray:
    with pytest.warns(UserWarning, match="1.60 to 1.77 Å is used"):
        return to_detector(load_grid(reference / "synspec_grid_coarse.h5")).flux.reshape(-1, 4096)


def flat_star() -> jax.Array:
    """Constant f_nu, for which the magnitude is the same at every wavelength."""
    flux = DETECTOR_WAVE**-2
    return jnp.asarray(0.5 * flux / np.median(flux))


def small_noise(n_pix: int = 300) -> NoiseModel:
    """A made-up instrument with a bright sky line, for tests of the formula."""
    wave = np.linspace(7900.0, 8000.0, n_pix)
    sky = 100.0 + 5000.0 * np.exp(-0.5 * ((wave - 7950.0) / 2.0) ** 2)
    return NoiseModel(
        wave=jnp.asarray(wave),
        signal_e=jnp.linspace(700.0, 900.0, n_pix),
        sky_e=jnp.asarray(sky),
        skymax_e=jnp.asarray(1.1 * sky),
        stray_e=4.0,
        dark_var=0.45,
        read_var=80.0,
        sky_floor=0.01,
        noise_adjust=1.015,
        source="test",
    )


@jax.jit
def all_snr(spectra: jax.Array, mag: float, noise: NoiseModel) -> jax.Array:
    def one(flux: jax.Array) -> jax.Array:
        return snr(flux, jnp.sqrt(variance(flux, mag, noise)))

    return jax.lax.map(one, spectra, batch_size=20)


def median_snr(spectra: np.ndarray, noise: NoiseModel, mag: float) -> float:
    """Median over spectra of the median over pixels."""
    return float(np.median(all_snr(jnp.asarray(spectra), mag, noise)))


def test_variance_is_the_published_formula():
    """S, V and error = flux sqrt(V)/S written out in electrons, as the exposure time calculator has them."""
    noise, exposure = small_noise(), Exposure(exptime_s=600.0, n_exp=7, seeing_arcsec=0.9)
    wave = np.asarray(noise.wave)
    flux = 0.5 + 0.2 * np.sin(wave)
    weight = 1 / (1 + np.exp((wave - 8250.0) / 80.0)) / wave
    f_nu = flux * wave**2 / np.average(flux * wave**2, weights=weight)
    t = 600.0 / 900.0
    s = 7 * t * 10 ** (-0.4 * (21.3 - 18)) * np.asarray(noise.signal_e) * f_nu * 0.877
    sky, skymax = np.asarray(noise.sky_e), np.asarray(noise.skymax_e)
    v = s + 1.015 * 7 * (t * (sky + 4.0) + 0.01**2 * 7 * t**2 * skymax**2 + t * 0.45 + 80.0)
    error = jnp.sqrt(variance(jnp.asarray(flux), 21.3, noise.with_exposure(exposure)))
    np.testing.assert_allclose(error, flux * np.sqrt(v) / s, rtol=1e-12)


def test_the_default_exposure_is_twelve_times_900_s_at_point_eight_arcsec():
    assert Exposure() == Exposure(900.0, 12, 0.8)
    assert Exposure().seeing_factor == 1.0


def test_draws_have_the_stated_mean_and_variance():
    noise, flux = small_noise(), jnp.linspace(0.4, 0.6, 300)
    n = 4000
    keys = jax.random.split(jax.random.key(1), n)
    noisy, error = jax.jit(jax.vmap(lambda key: draw(key, flux, 22.0, noise)))(keys)
    expected = variance(flux, 22.0, noise)
    np.testing.assert_allclose(error[0] ** 2, expected, rtol=1e-12)
    pull = (noisy - flux[None, :]) / jnp.sqrt(expected)[None, :]
    # Standard errors over n draws: 1/sqrt(n) of a mean, sqrt(2/n) of a variance; 300 pixels, so 4.5 sigma.
    assert float(jnp.abs(pull.mean(axis=0)).max()) < 4.5 / np.sqrt(n)
    assert float(jnp.abs(pull.var(axis=0) - 1).max()) < 4.5 * np.sqrt(2 / n)
    neighbours = (pull[:, 1:] * pull[:, :-1]).mean(axis=0)
    assert float(jnp.abs(neighbours).max()) < 4.5 / np.sqrt(n)


def test_same_key_same_draw_and_another_key_another():
    noise, flux = small_noise(), jnp.full(300, 0.5)
    first, _ = draw(jax.random.key(3), flux, 21.0, noise)
    again, _ = draw(jax.random.key(3), flux, 21.0, noise)
    other, _ = draw(jax.random.key(4), flux, 21.0, noise)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_variance_scales_as_the_square_of_the_flux_unit():
    noise, flux = small_noise(), jnp.linspace(0.2, 0.8, 300)
    np.testing.assert_allclose(
        variance(1e7 * flux, 21.0, noise), 1e14 * variance(flux, 21.0, noise), rtol=1e-12
    )


def test_dark_pixels_keep_a_finite_variance_and_gradient():
    """A pixel without starlight has the background's variance; flux sqrt(V)/S would be 0/0 there."""
    noise, flux = small_noise(), jnp.full(300, 0.5).at[10].set(0.0)
    per_flux = electrons_per_flux(flux, 22.0, noise)
    seen = variance(flux, 22.0, noise)
    assert float(seen[10]) == pytest.approx(float((background(noise) / per_flux**2)[10]), rel=1e-12)
    slope = jax.grad(lambda f: jnp.sqrt(variance(f, 22.0, noise)).sum())(flux)
    assert jnp.isfinite(slope).all()


def test_variance_of_counted_electrons_is_poisson_and_background():
    noise, flux = small_noise().with_level(2.0), jnp.linspace(0.0, 0.6, 300)
    per_flux = jnp.linspace(900.0, 1100.0, 300)
    electrons = np.asarray(flux * per_flux) + np.asarray(background(noise))
    np.testing.assert_allclose(variance_of(flux, per_flux, noise), 4 * electrons / np.asarray(per_flux) ** 2)
    told = electrons_per_flux(flux, 22.0, noise)
    np.testing.assert_allclose(variance_of(flux, told, noise), variance(flux, 22.0, noise), rtol=1e-12)


def test_the_subtraction_floor_never_averages_down():
    sky_only = dataclasses.replace(small_noise(), stray_e=0.0, dark_var=0.0, read_var=0.0)
    four, one = (background(sky_only.with_exposure(Exposure(n_exp=n))) for n in (4, 1))

    poisson = 1.015 * sky_only.sky_e
    np.testing.assert_allclose(four - 4 * poisson, 16 * (one - poisson), rtol=1e-9)
    np.testing.assert_allclose(one - poisson, 1.015 * (0.01 * sky_only.skymax_e) ** 2, rtol=1e-9)


def test_long_exposures_pay_read_noise_once():
    noise = small_noise()
    both = Exposure(450.0, 2), Exposure(900.0, 1)
    many, one = (background(noise.with_exposure(exposure)) for exposure in both)
    np.testing.assert_allclose(many - one, 1.015 * 80.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("seeing", "factor"),
    [(0.5, 1.471), (0.6, 1.298), (0.7, 1.141), (0.9, 0.877), (1.0, 0.770), (1.2, 0.600), (1.5, 0.426)],
)
def test_seeing_changes_the_starlight_only(seeing, factor):
    noise, flux = small_noise(), jnp.full(300, 0.5)
    seen = electrons_per_flux(flux, 20.0, noise.with_exposure(Exposure(seeing_arcsec=seeing)))
    np.testing.assert_allclose(seen, factor * electrons_per_flux(flux, 20.0, noise), rtol=1e-12)
    sky = background(noise.with_exposure(Exposure(seeing_arcsec=seeing)))
    np.testing.assert_array_equal(sky, background(noise))


def test_seeing_factors_agree_with_the_calculators_fibre_throughput(reference):
    with h5py.File(reference / "pfs_mr_noise.h5") as file:
        group = file["legacy_20211220"]
        seeing = group["fiber_throughput_seeing_arcsec"][()]
        through = group["fiber_throughput"][()].mean(axis=1)
    for at in np.arange(0.5, 1.5, 0.05):
        expected = np.interp(at, seeing, through) / np.interp(0.8, seeing, through)
        assert Exposure(seeing_arcsec=float(at)).seeing_factor == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeing_arcsec": 0.4}, "0.5 to 1.5 arcsec"),
        ({"seeing_arcsec": 1.6}, "found 1.6"),
        ({"seeing_arcsec": float("nan")}, "found nan"),
        ({"exptime_s": 0.0}, "must be positive"),
        ({"n_exp": 0}, "must be positive"),
    ],
)
def test_impossible_exposures_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        Exposure(**change)


def test_snr_is_the_median_over_usable_pixels():
    flux = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    error = jnp.array([1.0, 1.0, 0.5, jnp.nan, 0.0, jnp.inf])
    assert float(snr(flux, error)) == 2.0  # of 1, 2, 6


def test_the_whole_model_is_a_jit_argument_and_vmaps():
    noise = small_noise().with_exposure(Exposure(n_exp=3)).with_level(2.0)
    fluxes, mags = jnp.stack([jnp.full(300, 0.5), jnp.linspace(0.2, 0.8, 300)]), jnp.array([20.0, 22.0])
    many = jax.jit(jax.vmap(variance, in_axes=(0, 0, None)))(fluxes, mags, noise)
    np.testing.assert_allclose(many[1], variance(fluxes[1], 22.0, noise), rtol=1e-12)


def test_float32_agrees_with_float64(builtin):
    flux = flat_star()
    exact = variance(flux, 23.0, builtin)
    with jax.enable_x64(False):
        halved = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), builtin)
        single = variance(flux.astype(jnp.float32), 23.0, halved)
    mixed = variance(flux.astype(jnp.float32), 23.0, builtin)
    assert single.dtype == mixed.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=2e-5)
    np.testing.assert_allclose(mixed, exact, rtol=2e-5)


def test_drawing_sorts_nothing():
    flux = jnp.full(300, 0.5)
    program = jax.make_jaxpr(lambda key: draw(key, flux, 22.0, small_noise()))(jax.random.key(0))
    assert "random_bits" in str(program)
    assert "sort" not in str(program)


# The built-in curves


def test_median_pixel_is_as_dark_as_published(builtin):
    dark = background(builtin)
    floor = (12 * 0.01 * builtin.skymax_e) ** 2
    assert float(12 * jnp.median(builtin.signal_e)) == pytest.approx(9630, rel=0.04)
    assert float(jnp.median(dark)) == pytest.approx(2510, rel=0.04)
    assert float(12 * 80.0 / jnp.median(dark)) == pytest.approx(0.37, abs=0.02)
    assert float((floor > 0.5 * dark).mean()) == pytest.approx(0.126, abs=0.01)


def test_snr_table_on_peer_made_spectra(builtin, peer_spectra):
    reached = [median_snr(peer_spectra, builtin, mag) for mag in MAGS]
    np.testing.assert_allclose(reached, PUBLISHED_SNR, rtol=0.04)


def test_snr_table_over_the_embedded_grid(builtin):
    nodes = to_detector(load_slice(default_grid_path())).flux.reshape(-1, 4096)
    reached = [median_snr(nodes[::3], builtin, mag) for mag in MAGS]  # a third of 1260, on all axes
    np.testing.assert_allclose(reached, PUBLISHED_SNR, rtol=0.04)


# The magnitude


def test_magnitudes_are_logarithmic_and_apply_to_a_flat_star_everywhere(builtin):
    star = flat_star()
    electrons = electrons_per_flux(star, 18, builtin) * star
    np.testing.assert_allclose(electrons, 12 * builtin.signal_e, rtol=1e-9)
    fainter = electrons_per_flux(star, 20.5, builtin) * star
    np.testing.assert_allclose(electrons, 10 * fainter, rtol=1e-9)


def test_stars_are_redder_than_flat_as_published(builtin, peer_spectra):
    """Star over flat: 0.80-0.99 at 7150 A to 1.04-1.24 at 8800 A over the label box."""
    flat = np.asarray(electrons_per_flux(flat_star(), 20.0, builtin) * flat_star())

    def span(wave: float) -> list[float]:
        near = np.abs(DETECTOR_WAVE - wave) < 25.0
        ratios = [
            np.median((np.asarray(electrons_per_flux(flux, 20.0, builtin) * flux) / flat)[near])
            for flux in map(jnp.asarray, peer_spectra)
        ]
        return [min(ratios), max(ratios)]

    assert span(7150.0) == pytest.approx([0.80, 0.99], abs=0.05)
    assert span(8800.0) == pytest.approx([1.04, 1.24], abs=0.04)


# The curves of the exposure time calculator


def test_the_median_pixel_of_the_instrument_follows_two_numbers(reference):
    """Published fit to the 2024 instrument: S = 9630 e at magnitude 18, B = 2510 e2."""
    star, noise = flat_star(), load_noise(reference / "pfs_mr_noise.h5", "etc_v2_20240714")
    for mag in MAGS:
        signal = 9630 * 10 ** (-0.4 * (mag - 18))
        reached = float(snr(star, jnp.sqrt(variance(star, mag, noise))))
        assert reached == pytest.approx(signal / np.sqrt(signal + 2510), rel=0.005)


def test_snr_table_with_the_published_instrument(legacy, peer_spectra):
    reached = [median_snr(peer_spectra, legacy, mag) for mag in MAGS]
    np.testing.assert_allclose(reached, PUBLISHED_SNR, rtol=0.04)


def test_published_background_of_the_median_pixel(reference):
    """2615 e2, 37 % of it read noise; the floor above half of it in 12.6 % of the pixels."""
    noise = load_noise(reference / "pfs_mr_noise.h5", "etc_v2_20240714")
    dark = background(noise)
    assert float(jnp.median(dark)) == pytest.approx(2615, rel=0.005)
    floor = 1.015 * (12 * 0.01 * noise.skymax_e) ** 2
    assert float((floor > 0.5 * dark).mean()) == pytest.approx(0.126, abs=0.002)
