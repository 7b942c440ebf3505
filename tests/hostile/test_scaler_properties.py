"""Scalers of labels and spectra for numbers of any size: there and back, or refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crlb.errors import DataError, UsageError
from specvit_jax.network.standardise import InputScaler, Moments, fit_input_scaler, fit_label_scaler
from specvit_jax.settings.config import DataConfig

N, N_PIX = 12, 8
seeds = st.integers(0, 2**32 - 1)
powers = st.floats(-30, 30)
scalings = st.sampled_from(["zscore", "minmax"])


def labels_of(seed: int, power: float, offset: float) -> np.ndarray:
    """Labels of 1e-30 to 1e30, their mean some times their spread."""
    return 10.0**power * (offset + np.random.default_rng(seed).uniform(-1, 1, (N, 3)))


def spectra_of(seed: int, power: float) -> np.ndarray:
    values = 10.0**power * (3 + np.random.default_rng(seed).normal(size=(N, N_PIX)))
    return values.astype(np.float32)


@given(seeds, powers, st.floats(-100, 100), scalings)
def test_labels_come_back_from_scaled_ones_of_order_one(seed, power, offset, scaling):
    labels = labels_of(seed, power, offset)
    scaler = fit_label_scaler(labels, scaling)
    scaled = scaler.encode(labels)
    assert scaler.scale.dtype == np.float32
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() < 5
    back = scaler.decode(scaled)
    np.testing.assert_allclose(back, labels, rtol=1e-12, atol=1e-12 * np.abs(labels).max())
    beyond = 7 * labels[::-1]
    np.testing.assert_allclose(
        scaler.decode(scaler.encode(beyond)), beyond, atol=1e-10 * np.abs(labels).max()
    )


@given(seeds, powers, st.floats(-3, 3), scalings, st.floats(0.01, 100))
def test_scaled_labels_have_no_unit_and_no_order(seed, power, offset, scaling, unit):
    labels = labels_of(seed, power, offset)
    scaled = fit_label_scaler(labels, scaling).encode(labels)
    shuffled = np.random.default_rng(seed).permutation(labels)
    np.testing.assert_allclose(fit_label_scaler(shuffled, scaling).encode(labels), scaled, atol=1e-5)
    other = fit_label_scaler(labels * unit, scaling).encode(labels * unit)
    np.testing.assert_allclose(other, scaled, atol=1e-5)


@given(seeds, st.floats(allow_nan=False, allow_infinity=False), scalings)
def test_a_label_that_is_constant_is_refused_and_named_by_its_spread(seed, value, scaling):
    labels = labels_of(seed, 0.0, 0.0)
    labels[:, 1] = value
    with pytest.raises(UsageError, match=r"must vary, within float32, found spreads \["):
        fit_label_scaler(labels, scaling)


@given(seeds, st.sampled_from([-300.0, -60.0, -46.0, 39.0, 60.0, 300.0]), scalings)
def test_labels_whose_spread_float32_cannot_hold_are_refused(seed, power, scaling):
    with pytest.raises(UsageError, match="must vary"):
        fit_label_scaler(labels_of(seed, power, 0.0), scaling)


@given(seeds, st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(["zscore", "minmax", "none"]))
def test_labels_that_are_not_finite_are_refused(seed, bad, scaling):
    labels = labels_of(seed, 0.0, 0.0)
    labels[seed % N, seed % 3] = bad
    with pytest.raises(UsageError):
        fit_label_scaler(labels, scaling)


@given(seeds, st.floats(-30, 30), st.integers(1, N - 1))
def test_moments_do_not_depend_on_how_spectra_are_parted(seed, power, cut):
    flux, whole, parts = spectra_of(seed, power), Moments(), Moments()
    whole.add(flux)
    parts.add(flux[:cut])
    parts.add(flux[cut:])
    for overall in (False, True):
        one, two = whole.scaler(overall), parts.scaler(overall)
        np.testing.assert_allclose(two.mean, one.mean, rtol=1e-5)
        np.testing.assert_allclose(two.scale, one.scale, rtol=1e-5)
    scaled = np.asarray(whole.scaler().encode(flux))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-5)


@given(seeds, st.integers(0, N_PIX - 1), st.floats(width=32))
def test_a_pixel_that_is_constant_or_not_finite_is_named(seed, pixel, value):
    flux, moments = spectra_of(seed, 0.0), Moments()
    flux[:, pixel] = value
    with np.errstate(all="ignore"):
        moments.add(flux)
        with pytest.raises(DataError, match=f"pixel {pixel} does not"):
            moments.scaler()


@given(seeds, st.integers(0, N_PIX - 1), st.sampled_from([0.0, np.nan, np.inf]))
def test_a_pixel_without_noise_is_no_unit_of_scaled_flux(seed, pixel, bad):
    flux = spectra_of(seed, 0.0)
    error = np.full_like(flux, 0.1)
    data = DataConfig(input_scaling="noise")
    scaler = fit_input_scaler(flux, flux, error, data)
    np.testing.assert_allclose(scaler.scale, 0.1, rtol=1e-6)
    error[:, pixel] = bad
    with pytest.raises(DataError, match=f"pixel {pixel}"):
        fit_input_scaler(flux, flux, error, data)


def a_scaler(seed: int, level: bool) -> InputScaler:
    some = np.random.default_rng(seed).uniform
    scaler = InputScaler(some(0.3, 0.7, N_PIX).astype("f4"), some(0.1, 0.3, N_PIX).astype("f4"))
    if level:
        scaler = scaler._replace(level=np.full(N_PIX, 1 / N_PIX, np.float32))
    line = np.minimum(np.arange(N_PIX, dtype=np.int32), 4)
    return scaler._replace(sky=some(0, 2, N_PIX).astype("f4"), sky_line=line)


@given(seeds, st.booleans(), st.sampled_from([0.0, np.nan, np.inf, -1e30, 1e38]), st.data())
def test_what_stands_in_a_lost_pixel_is_not_read(seed, level, junk, data):
    lost = data.draw(st.lists(st.booleans(), min_size=N_PIX, max_size=N_PIX))
    assume(not all(lost))
    flux, scaler = spectra_of(seed, 0.0), a_scaler(seed, level)
    usable = np.where(lost, 0.0, 1.0).astype(np.float32) * np.ones((N, 1), np.float32)
    found = np.asarray(scaler.encode(jnp.asarray(flux), usable))
    other = np.asarray(scaler.encode(jnp.where(usable > 0, flux, junk), usable))
    np.testing.assert_array_equal(other, found)
    np.testing.assert_array_equal(found[:, np.array(lost)], 0)
    assert np.isfinite(found).all()
    if not any(lost):
        np.testing.assert_allclose(found, scaler.encode(jnp.asarray(flux)), rtol=1e-5, atol=1e-5)


@given(seeds, st.floats(-15, 15))
def test_flux_brought_to_a_level_has_no_unit(seed, power):
    flux, scaler = spectra_of(seed, 0.0), a_scaler(seed, True)
    found = np.asarray(scaler.encode(jnp.asarray(flux)))
    other = np.asarray(scaler.encode(jnp.asarray(flux * np.float32(10**power))))
    np.testing.assert_allclose(other, found, rtol=1e-3, atol=1e-4)
