"""Noise of instruments: the signal-to-noise ratios that were described come back from the noise model."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import DataError
from crlb.instruments.describe import described
from crlb.observation.exposure import Exposure
from crlb.observation.noise import REFERENCE_WAVE, variance

ARM = {"name": "red", "pixels": {"start": 8400.0, "end": 8700.0, "step": 0.5}, "resolving_power": 7000}
WAVE = np.arange(8400.25, 8700, 0.5)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def make(noise, folder=Path(), **more):
    values = {"name": "toy", "arms": [ARM], "noise": noise, "magnitude": [8400, 8700], **more}
    return described(values, "instrument", folder)


def snr(found, mag, exptime_s, n_exp=1):
    """Of a source of constant f_nu: what an exposure-time calculator tabulates."""
    flat = jnp.asarray((REFERENCE_WAVE / WAVE) ** 2)
    noise = found.noise.with_exposure(Exposure(float(exptime_s), n_exp))
    return np.asarray(flat / jnp.sqrt(variance(flat, mag, noise)))


def one_table(name):
    return {"tables": [{"file": name, "mag": 18, "exptime_s": 9, "background": 0}]}


def table(folder, name, values, column="snr"):
    rows = "\n".join(f"{wave},{value}" for wave, value in zip([8390, 8550, 8710], values, strict=True))
    (folder / name).write_text(f"wave,{column}\n{rows}\n")
    return np.interp(WAVE, [8390, 8550, 8710], values)


@pytest.mark.parametrize("background", [0.0, 0.3, 0.95])
def test_a_table_at_one_magnitude_comes_back_and_scales_as_photons_do(tmp_path, background):
    told = table(tmp_path, "s.csv", [20.0, 30.0, 24.0])
    given = {"file": "s.csv", "mag": 19, "exptime_s": 1800, "n_exp": 3, "background": background}
    found = make({"tables": [given]}, tmp_path)
    assert found.calibrated
    np.testing.assert_allclose(snr(found, 19.0, 1800, 3), told, rtol=2e-6)
    np.testing.assert_allclose(snr(found, 19.0, 3600, 6), 2 * told, rtol=2e-6)  # four times the time
    ratio = 10 ** (-0.4 * 2)
    signal = told**2 / (1 - background)
    fainter = ratio * signal / np.sqrt(ratio * signal + signal * background / (1 - background))
    np.testing.assert_allclose(snr(found, 21.0, 1800, 3), fainter, rtol=1e-5)


def test_tables_at_two_magnitudes_tell_the_background(tmp_path):
    signal, sky = np.array([900.0, 1600.0, 1200.0]), np.array([400.0, 100.0, 2500.0])
    for name, mag in (("a.csv", 18), ("b.csv", 20.5)):
        photons = signal * 10 ** (-0.4 * (mag - 18))
        table(tmp_path, name, photons / np.sqrt(photons + sky))
    shared = {"exptime_s": 900, "n_exp": 4}
    tables = [{"file": "b.csv", "mag": 20.5, **shared}, {"file": "a.csv", "mag": 18, **shared}]
    found = make({"tables": tables}, tmp_path)
    nodes = np.searchsorted(WAVE, 8550)
    np.testing.assert_allclose(found.noise.signal_e[nodes] * 4, 1600.0, rtol=2e-2)
    np.testing.assert_allclose(found.noise.sky_e[nodes] * 4, 100.0, rtol=2e-1)
    for name, mag in (("a.csv", 18.0), ("b.csv", 20.5)):
        rows = np.loadtxt(tmp_path / name, delimiter=",", skiprows=1)
        np.testing.assert_allclose(snr(found, mag, 900, 4), np.interp(WAVE, *rows.T), rtol=1e-6)


def test_relative_errors_are_inverse_ratios(tmp_path):
    told = table(tmp_path, "e.csv", [0.02, 0.05, 0.04], "error")
    given = {"file": "e.csv", "mag": 19, "exptime_s": 900, "background": 0.1}
    np.testing.assert_allclose(snr(make({"tables": [given]}, tmp_path), 19.0, 900), 1 / told, rtol=2e-6)


def test_one_ratio_is_per_pixel_or_per_resolution_element():
    given = {"snr": 40, "mag": 18, "exptime_s": 600, "background": 0.0}
    np.testing.assert_allclose(snr(make(given), 18.0, 600), 40.0, rtol=1e-6)
    pixels = WAVE / 7000 / 0.5
    np.testing.assert_allclose(
        snr(make({**given, "per": "element"}), 18.0, 600), 40 / np.sqrt(pixels), rtol=1e-6
    )


def test_curves_of_electrons_are_counted(tmp_path):
    (tmp_path / "c.csv").write_text("wave,signal_e,sky_e\n8390,500,60\n8710,500,60\n")
    scalars = {"stray_e": 4.0, "dark_var": 2.0, "read_var": 9.0}
    found = make({"curves": "c.csv", "exptime_s": 450, **scalars}, tmp_path)
    electrons = 500 * 10 ** (-0.4 * (20 - 18))
    expected = electrons / np.sqrt(electrons + 60 + 4 + 2 + 9)
    np.testing.assert_allclose(snr(found, 20.0, 450), expected, rtol=1e-6)
    total = 6 * electrons / np.sqrt(6 * electrons + 6 * (60 + 4 + 2) + 3 * 9)  # three of 900 s
    np.testing.assert_allclose(snr(found, 20.0, 900, 3), total, rtol=1e-6)


def test_without_noise_photons_follow_flux_and_pixel_size():
    values = {"name": "toy", "arms": [ARM], "noise": "none", "magnitude": [8400, 8700]}
    found = described(values, "instrument", Path())
    assert not found.calibrated
    flat = jnp.ones(len(WAVE))  # constant f_lambda: photons per Å grow with wavelength
    error = np.sqrt(np.asarray(variance(flat, 18.0, found.noise)))
    np.testing.assert_allclose(error**2 * WAVE, (error**2 * WAVE)[0], rtol=1e-5)


def test_the_magnitude_is_the_mean_over_the_band(tmp_path):
    given = {"snr": 40, "mag": 18, "exptime_s": 600, "background": 0.0}
    found = make(given, magnitude=[8500, 8600])
    inside = np.asarray(found.noise.band) > 0
    np.testing.assert_array_equal(inside, (WAVE > 8500) & (WAVE < 8600))
    brighter = jnp.asarray((REFERENCE_WAVE / WAVE) ** 2 * np.where(inside, 1.0, 3.0))
    error = jnp.sqrt(variance(brighter, 18.0, found.noise.with_exposure(Exposure(600.0, 1))))
    np.testing.assert_allclose((brighter / error)[inside], 40.0, rtol=1e-6)
    np.testing.assert_allclose((brighter / error)[~inside], 40.0 * np.sqrt(3), rtol=1e-5)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ({"snr": 40, "mag": 18, "exptime_s": 600}, "background must be a finite number above"),
        ({"snr": 40, "mag": 18, "exptime_s": 600, "background": 1.0}, "background must be a finite number"),
        ({"snr": 40, "mag": 18, "exptime_s": 600, "background": 0, "per": "arcsec"}, "pixel or element"),
        ({"snr": 0, "mag": 18, "exptime_s": 600, "background": 0}, "snr must be a finite number above 0"),
        (
            {"snr": 40, "mag": 18, "exptime_s": 0, "background": 0},
            "exptime_s must be a finite number above 0",
        ),
        ({"snr": 40, "curves": "x.csv"}, "needed one of curves, snr, tables, found curves, snr"),
        ({"tables": []}, "needed tables, a list of mappings"),
        ("some", "noise: needed a mapping, found 'some'"),
        (
            {"tables": [{"file": "s.csv", "mag": 18, "exptime_s": 9, "background": 0}]},
            "needed wavelengths from",
        ),
        (
            {"tables": [{"file": "n.csv", "mag": 18, "exptime_s": 9, "background": 0}]},
            "needed a column error",
        ),
        ({"tables": [{"file": "z.csv", "mag": 18, "exptime_s": 9, "background": 0}]}, "snr must be positive"),
        ({"tables": [{"file": "t.csv", "mag": 18, "exptime_s": 9, "background": 0}]}, "'x'"),
        ({"tables": [{"file": "u.csv", "mag": 18, "exptime_s": 9, "background": 0}]}, "wave must increase"),
    ],
)
def test_what_describes_no_noise_is_refused_in_words(tmp_path, noise, words):
    texts = {
        "s": "wave,snr\n8500,3\n8600,3\n",
        "n": "wave,rate\n8300,3\n8900,3\n",
        "z": "wave,snr\n8300,3\n8500.25,0\n8900,3\n",
        "t": "wave,snr\n8300,3\n8900,x\n",
        "u": "wave,snr\n8900,3\n8300,4\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        make(noise, tmp_path)


def test_two_magnitudes_that_no_photons_give_are_refused(tmp_path):
    table(tmp_path, "a.csv", [20.0, 20.0, 20.0])
    table(tmp_path, "b.csv", [19.0, 19.0, 19.0])
    tables = [{"file": f"{n}.csv", "mag": m, "exptime_s": 900} for n, m in (("a", 18), ("b", 21))]
    with pytest.raises(DataError, match="must fall with magnitude as photons"):
        make({"tables": tables}, tmp_path)
    with pytest.raises(DataError, match="must differ, found 18 twice"):
        make({"tables": [tables[0], {**tables[1], "mag": 18}]}, tmp_path)
    with pytest.raises(DataError, match="must be of the same exposures"):
        make({"tables": [tables[0], {**tables[1], "exptime_s": 1800}]}, tmp_path)
