"""Losses, positions, multitask, snapping, capacity, robustness: what can be wrong without any training."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA, SPEED_OF_LIGHT_KMS
from crlb.observation.instrument import detector_flux
from crlb.observation.noise import builtin_noise, draw, variance
from experiments.capacity import experiment as capacity
from experiments.loss_and_scaling import experiment as loss_and_scaling
from experiments.multitask import experiment as multitask
from experiments.position import experiment as position
from experiments.position.moved_grid import (
    Sampling,
    fitted_to,
    interpolated,
    moved_wave,
    observed_at,
    read,
    scaled_at,
)
from experiments.robustness import distortions
from experiments.robustness import experiment as robustness
from experiments.robustness.distortions import (
    Case,
    distorted,
    masked,
    name_of,
    reshaped,
    shifted,
    sky_lines,
    tilted,
)
from experiments.snapping import experiment as snapping
from experiments.study import stars
from experiments.study.training import base
from specvit_jax.evaluation.predict import predict
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler, fit_label_scaler
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import Config, ModelConfig
from specvit_jax.spectra.source import make_simulator

PIXEL = DETECTOR_WAVE[1] - DETECTOR_WAVE[0]
CENTRE, SIGMA = 8000.0, 1.6 / FWHM_PER_SIGMA  # A, of a line as the instrument shows it


@pytest.fixture(scope="module")
def simulator(toy_grid):
    return make_simulator(toy_grid, mag=(18.0, 20.0))


@pytest.fixture(scope="module")
def some(simulator):
    return stars.test_stars(simulator, 40)


def seen(sigma: float = SIGMA, centre: float = CENTRE) -> np.ndarray:
    """A Gaussian line of depth times width 1 A, integrated over every pixel: closed form."""
    edges = np.append(DETECTOR_WAVE - PIXEL / 2, DETECTOR_WAVE[-1] + PIXEL / 2)
    return (1 - np.diff(ndtr((edges - centre) / sigma)) / PIXEL)[None]


def fwhm(flux: np.ndarray) -> float:
    """Full width at half depth of the one line of a spectrum, A."""
    depth = 1 - flux[0]
    fine = np.linspace(CENTRE - 8, CENTRE + 8, 20_001)
    above = fine[np.interp(fine, DETECTOR_WAVE, depth) > depth.max() / 2]
    return above[-1] - above[0]


def centroid(flux: np.ndarray) -> float:
    return float(((1 - flux[0]) * DETECTOR_WAVE).sum() / (1 - flux[0]).sum())


# losses


def test_hubers_delta_is_the_same_error_for_both_scalings():
    labels = np.random.default_rng(0).uniform(1, 5, (100_000, 1)).astype(np.float32)
    scales = {name: fit_label_scaler(labels, name).scale[0] for name in loss_and_scaling.SCALINGS}
    in_dex = [loss_and_scaling.delta(name) * scale for name, scale in scales.items()]
    assert in_dex[0] == pytest.approx(in_dex[1], rel=0.01)
    assert in_dex[0] == pytest.approx(0.5 * 4 / np.sqrt(12), rel=0.01)
    with pytest.raises(ValueError, match="found 'none'"):
        loss_and_scaling.delta("none")


def test_every_loss_meets_every_scaling_at_both_rates():
    configs = [base("cpu", arm.settings) for arm in loss_and_scaling.ARMS]
    found = {(c.train.loss, c.data.label_scaling, round(c.train.learning_rate, 5)) for c in configs}
    assert len(found) == len(configs) == 4 * 2 * 2
    assert all(c.model.predict_sigma == (c.train.loss == "nll") for c in configs)
    rates = sorted({c.train.learning_rate for c in configs})
    assert rates[1] / rates[0] == pytest.approx(np.sqrt(12), rel=0.01)


# positions


def test_a_sampling_stays_within_the_arm():
    np.testing.assert_allclose(moved_wave(DETECTOR_WAVE, Sampling("same")), DETECTOR_WAVE, rtol=1e-12)
    np.testing.assert_allclose(
        moved_wave(DETECTOR_WAVE, Sampling("moved", 16)), DETECTOR_WAVE[16:], rtol=1e-12
    )
    for size in (0.9, 0.97, 1.03, 1.1):
        wave = moved_wave(DETECTOR_WAVE, Sampling("other", size=size))
        assert np.allclose(np.diff(wave), size * PIXEL)
        assert wave[0] - size * PIXEL / 2 == pytest.approx(7100)
        assert 0 <= 8850 - (wave[-1] + size * PIXEL / 2) < size * PIXEL


def test_interpolated_lines_stay_where_and_what_they_are():
    wave = moved_wave(DETECTOR_WAVE, Sampling("fine", size=0.9))
    inside = np.abs(wave - CENTRE) < 20
    depth = 1 - interpolated(DETECTOR_WAVE, seen(), wave)[0]
    expected = np.interp(wave, np.linspace(7100, 8850, 400_000), gaussian(np.linspace(7100, 8850, 400_000)))
    assert depth[inside].max() > 0.5
    np.testing.assert_allclose(depth[inside], expected[inside], atol=3e-3)


def gaussian(wave: np.ndarray) -> np.ndarray:
    """The line averaged over a pixel of the detector around every wavelength."""
    return (ndtr((wave + PIXEL / 2 - CENTRE) / SIGMA) - ndtr((wave - PIXEL / 2 - CENTRE) / SIGMA)) / PIXEL


def test_smaller_pixels_are_noisier_by_the_light_they_miss(simulator, some):
    flux, wave = observed_at(simulator, some, Sampling("fine", size=0.81))
    clean = interpolated(DETECTOR_WAVE, some.clean, wave)
    error = stars.error_of(simulator, some.clean, some.mag)
    ratio = (flux - clean) / np.stack([np.interp(wave, DETECTOR_WAVE, row) for row in error])
    assert ratio.std() == pytest.approx(1 / 0.9, rel=0.01)
    assert np.corrcoef(ratio[:, 1:].ravel(), ratio[:, :-1].ravel())[0, 1] == pytest.approx(0, abs=0.01)


def test_pixels_that_are_only_renumbered_keep_their_noise(simulator, some):
    flux, _ = observed_at(simulator, some, Sampling("moved", 3))
    np.testing.assert_array_equal(flux, some.noisy[:, 3:])


def test_a_scaler_follows_the_wavelengths(some):
    rng = np.random.default_rng(0)
    scaler = InputScaler(rng.normal(size=4096).astype(np.float32), rng.uniform(1, 2, 4096).astype(np.float32))
    wave = moved_wave(DETECTOR_WAVE, Sampling("moved", 5))
    x = scaled_at(scaler, DETECTOR_WAVE, some.noisy[:, 5:], wave)
    np.testing.assert_allclose(x, scaler.encode(some.noisy)[:, 5:], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(fitted_to(x, 4096)[:, -5:], 0)
    np.testing.assert_array_equal(fitted_to(x, 4000), x[:, :4000])
    white = scaler._replace(analysis=np.eye(4096, 2, dtype=np.float32))
    with pytest.raises(ValueError, match="whitening"):
        scaled_at(white, DETECTOR_WAVE, some.noisy, DETECTOR_WAVE)


def test_reading_scaled_spectra_is_predicting():
    settings = {"pool": "mean", "pos_embed": "wavelength", "wave_range": (7100.0, 8850.0)}
    model = ModelConfig(input_size=32, patch_size=8, embed_dim=8, depth=1, num_heads=2, **settings)
    config = Config(model=model)
    scaler = InputScaler(np.full(32, 0.5, np.float32), np.full(32, 0.1, np.float32))
    labels = LabelScaler(np.array([3.0], np.float32), np.array([1.2], np.float32))
    shapes = jax.eval_shape(make_network(model).init, jax.random.key(0), jnp.zeros((1, 32)))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    weights = Weights(params, config, labels, scaler)
    flux = rng.normal(0.5, 0.1, (7, 32)).astype(np.float32)
    x, wave = np.asarray(scaler.encode(flux)), np.linspace(7100, 8850, 32)
    np.testing.assert_allclose(read(weights, x), predict(weights, flux).labels, rtol=1e-4)
    np.testing.assert_allclose(read(weights, x, wave), predict(weights, flux).labels, rtol=1e-4)
    assert np.abs(read(weights, x, wave + 50) - predict(weights, flux).labels).max() > 1e-3


def test_no_position_is_tested_on_whitened_spectra():
    configs = [base("cpu", [*position.SETTINGS, *arm.settings]) for arm in position.ARMS]
    assert {c.data.preprocess for c in configs} == {"none"}
    assert len({(c.model.pos_embed, c.model.pool) for c in configs}) == len(configs) == 10


# labels


def test_networks_read_the_labels_they_are_named_for(simulator):
    config = base("cpu", multitask.settings(("M_H", "log_g"), simulator, 43))
    assert config.model.label_names == ("M_H", "log_g")
    assert config.data.labels == ("T_eff", "log_g", "M_H")
    assert config.train.seed == 43


def test_limits_are_those_of_each_label(some):
    sigma = np.array([100.0, 0.3, 0.2])
    exact = np.stack([some.labels, np.broadcast_to(sigma, some.labels.shape)], axis=-1)
    found = multitask.limits(some, exact, ("T_eff", "log_g", "M_H"))
    for i, name in enumerate(("T_eff", "log_g", "M_H")):
        assert found[name].limit == pytest.approx(1 - sigma[i] ** 2 / some.labels[:, i].var(), rel=1e-4)


def test_distance_from_a_node_is_a_share_of_the_way_to_the_next():
    nodes = np.array([1.0, 1.5, 2.5])
    values = np.array([1.0, 1.1, 1.25, 1.6, 2.0, 2.4])
    np.testing.assert_allclose(snapping.distance(values, nodes), [0, 0.2, 0.5, 0.1, 0.5, 0.1], atol=1e-12)


def test_heads_keep_their_size_at_every_width():
    for size in capacity.SIZES.values():
        for depth in size.depths:
            for width in size.widths:
                model = base("cpu", capacity.arm(depth, width).settings).model
                assert (model.depth, model.embed_dim, model.embed_dim // model.num_heads) == (
                    depth,
                    width,
                    16,
                )


# distortions


@pytest.mark.parametrize("rv", [-50.0, -5.0, 10.0, 50.0])
def test_a_line_moves_by_wave_times_v_over_c(rv):
    moved = shifted(DETECTOR_WAVE, seen(), rv)
    by = CENTRE * rv / SPEED_OF_LIGHT_KMS
    assert centroid(moved) - CENTRE == pytest.approx(by, abs=2e-3)
    # the closed form, its width stretched by less than 2e-4
    np.testing.assert_allclose(moved, seen(centre=CENTRE + by), atol=2e-3)


@pytest.mark.parametrize("change", [-0.2, -0.05, 0.05, 0.2, 1.0])
def test_a_line_gets_the_width_of_the_other_instrument_and_keeps_its_flux(change):
    found = reshaped(seen(), 1.6 / PIXEL, change)
    expected = seen((1 + change) * SIGMA)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert fwhm(found) == pytest.approx(fwhm(expected), abs=0.01)
    assert found.sum() == pytest.approx(seen().sum(), rel=1e-9)


def test_width_and_velocity_are_those_of_the_instrument():
    wave = np.arange(7080.0, 8870.0, 0.1)
    fine = 1 - 0.5 * np.exp(-0.5 * ((wave - 8500) / 0.5) ** 2) - 0.3 * (np.abs(wave - 8520) < 2)
    instrument = partial(detector_flux, wave, detector_wave=DETECTOR_WAVE)
    with jax.enable_x64(True):
        rest, wide, moved = (
            np.asarray(instrument(flux=jnp.asarray(fine), lsf_sigma=sigma, rv_kms=rv))[None]
            for sigma, rv in ((SIGMA, 0.0), (1.2 * SIGMA, 0.0), (SIGMA, 20.0))
        )
    inner = slice(50, -50)
    np.testing.assert_allclose(reshaped(rest, 1.6 / PIXEL, 0.2)[:, inner], wide[:, inner], atol=1e-8)
    np.testing.assert_allclose(shifted(DETECTOR_WAVE, rest, 20.0)[:, inner], moved[:, inner], atol=1e-3)


def test_the_lsf_cannot_vanish():
    with pytest.raises(ValueError, match="above -1"):
        reshaped(seen(), 1.6 / PIXEL, -1.0)


def test_a_tilt_is_its_size_from_end_to_end():
    found = tilted(np.full((2, 4096), 0.5), 0.1)
    assert found[0, -1] / 0.5 - found[0, 0] / 0.5 == pytest.approx(0.1)
    assert found.mean() == pytest.approx(0.5)
    assert found[0, -1] > found[0, 0]


def test_a_wrong_scale_multiplies_each_whole_spectrum_by_its_own_factor():
    noisy = np.random.default_rng(0).normal(1, 0.3, (3000, 7)).astype(np.float32)
    factor = distortions.scaled(np.random.default_rng(1), noisy, 0.05) / noisy
    np.testing.assert_allclose(factor, factor[:, :1].repeat(7, axis=1), rtol=1e-5)
    assert factor[:, 0].std() == pytest.approx(0.05, rel=0.06)
    assert factor[:, 0].mean() == pytest.approx(1, abs=0.004)


def test_residuals_hit_bright_pixels_only_by_so_many_sigma():
    rng, flux = np.random.default_rng(0), np.zeros((200, 4096))
    error = np.linspace(0.1, 0.2, 4096)[None].repeat(200, axis=0)
    bright = sky_lines(builtin_noise())
    found = distortions.with_residuals(rng, flux, error, bright, 0.1, 10.0)
    hit = found != 0
    assert not hit[:, ~bright].any()
    assert hit[:, bright].mean() == pytest.approx(0.1, abs=0.005)
    np.testing.assert_allclose(np.abs(found[hit]), 10 * error[hit])
    assert (found[hit] > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_bright_pixels_stand_above_their_surroundings():
    noise = builtin_noise()
    bright, sky = sky_lines(noise), np.asarray(noise.sky_e)
    assert 0.05 < bright.mean() < 0.25
    assert np.median(sky[bright]) > 5 * np.median(sky[~bright])


@pytest.mark.parametrize(("fraction", "block"), [(0.05, 1), (0.2, 1), (0.05, 50), (0.2, 50)])
def test_so_many_pixels_are_lost(fraction, block):
    lost = np.isnan(masked(np.random.default_rng(1), np.ones((300, 4096)), fraction, block))
    assert lost.mean() == pytest.approx(fraction, abs=0.006)
    assert np.ptp(lost.mean(axis=0)) < 0.25  # everywhere alike
    starts = (lost & ~np.roll(lost, 1, axis=1)).sum(axis=1)
    if block == 1:
        assert starts.mean() == pytest.approx(4096 * fraction * (1 - fraction), rel=0.02)
    else:
        assert starts.max() <= round(fraction * 82)
        assert len({row.tobytes() for row in lost}) == 300


def test_distorted_stars_keep_their_noise(simulator, some):
    noise = some.noisy - some.clean
    for case in (Case("width", 0.2), Case("velocity", 20.0), Case("tilt", 0.1)):
        found = distorted(simulator, some, case)
        change = found - noise - some.clean
        assert 1e-4 < np.abs(change).max() < 0.2
        assert np.abs(np.diff(change, axis=1)).max() < 0.05  # smooth, unlike noise
    np.testing.assert_array_equal(distorted(simulator, some, robustness.NONE), some.noisy)
    scaled = distorted(simulator, some, Case("scale", 0.02)) / some.noisy
    assert 0.01 < np.ptp(scaled.mean(axis=1)) < 0.2
    assert np.ptp(scaled, axis=1).max() < 1e-5  # noise and all
    for kind in ("masked", "masked in blocks"):
        found = distorted(simulator, some, Case(kind, 0.2))
        kept = ~np.isnan(found)
        np.testing.assert_array_equal(found[kept], some.noisy[kept])
    with pytest.raises(ValueError, match="moon"):
        distorted(simulator, some, Case("moon", 1.0))


def test_every_case_has_a_name_of_its_own():
    names = [name_of(case) for case in robustness.CASES]
    assert len(set(names)) == len(names)
    assert names[0] == "width -20 %"
    assert "scale 0.5 % rms" in names
    assert "sky residuals, 10 % of bright pixels, 10 sigma" in names
    assert set(robustness.FEW) <= set(robustness.CASES)
    with pytest.raises(ValueError, match="moon"):
        name_of(Case("moon", 1.0))


def test_a_noise_level_scales_every_variance(some):
    noise, flux = builtin_noise(), jnp.asarray(some.clean[0])
    for level in (0.5, 2.0):
        ratio = variance(flux, 21.0, noise.with_level(level)) / variance(flux, 21.0, noise)
        np.testing.assert_allclose(ratio, level**2, rtol=1e-5)


def test_noisier_stars_are_those_of_a_noisier_observer(simulator, some):
    star = (jax.random.key(0), jnp.asarray(some.clean[0]), some.mag[0])
    usual, noisy = (np.asarray(draw(*star, simulator.noise.with_level(x))[0]) for x in (1.0, 2.0))
    found = robustness.noisier(some.take(slice(0, 1))._replace(noisy=usual[None]), 2.0)
    np.testing.assert_allclose(found.noisy[0], noisy, atol=1e-6)


def test_limits_from_some_stars_hold_that_of_all_as_often_as_they_say():
    rng = np.random.default_rng(1)
    truth, sigma = rng.uniform(1, 5, 1000), rng.gamma(4, 0.15, 1000)
    every = multitask.limited(truth, sigma)
    assert every == multitask.Limit(limit=pytest.approx(stars.limit(truth, sigma)), limit_reach=0.0)
    some = [multitask.limited(truth, rng.permutation(sigma)[:300]) for _ in range(2000)]
    assert np.mean([found.limit for found in some]) == pytest.approx(every.limit, abs=1e-3)
    held = [abs(found.limit - every.limit) < found.limit_reach for found in some]
    assert 0.93 < np.mean(held) < 0.97
