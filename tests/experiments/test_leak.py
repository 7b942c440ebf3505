"""What errors tell: three kinds beside formulas written out, products beside a label that is one, scores."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from crlb.observation.noise import band_mean
from experiments.baselines.ridge import Ridge
from experiments.leak.channels import channels_of, star_share
from experiments.leak.experiment import PIXELS, READINGS, SIZES, Read, about_label_free, row_of
from experiments.leak.reading import fit_scalers, numbers, products
from experiments.leak.result import BEST, SHOWN, LeakResult
from experiments.study.stars import error_of
from specvit_jax import make_simulator, metrics

N = 300


@pytest.fixture(scope="module")
def simulator(toy_grid):
    return make_simulator(toy_grid)


@pytest.fixture(scope="module")
def some(simulator):
    return channels_of(simulator, 5, N, "spectra")


def electrons(simulator, some):
    """Electrons per unit of flux, background in electrons^2, written out from the curves."""
    noise = simulator.noise
    wave, signal, sky, most = (
        np.asarray(x, float) for x in (noise.wave, noise.signal_e, noise.sky_e, noise.skymax_e)
    )
    means = np.array([float(band_mean(jnp.asarray(flux), noise)) for flux in some.clean])
    star = 12 * 10 ** (-0.4 * (some.mag - 18))
    per_flux = star[:, None] * (signal * (wave / 7975.0) ** 2)[None, :] / means[:, None]
    rest = 12 * (sky + noise.stray_e + noise.dark_var + noise.read_var)
    return per_flux, noise.noise_adjust * (rest + (noise.sky_floor * 12 * most) ** 2), means


def test_errors_are_counted_electrons_written_out(simulator, some):
    per_flux, rest, _ = electrons(simulator, some)
    model = np.sqrt(some.clean * per_flux + rest[None, :]) / per_flux
    observed = np.sqrt(np.maximum(some.flux, 0) * per_flux + rest[None, :]) / per_flux
    np.testing.assert_allclose(some.model, model, rtol=2e-5)
    np.testing.assert_allclose(some.observed, observed, rtol=2e-5)
    np.testing.assert_allclose(
        some.label_free, np.log(np.sqrt(rest)[None, :] / per_flux).mean(axis=1), atol=2e-5
    )
    np.testing.assert_allclose(some.model, error_of(simulator, some.clean, some.mag), rtol=1e-6)
    share = np.median(some.clean * per_flux / (some.clean * per_flux + rest[None, :]))
    assert float(star_share(simulator, some.clean, some.mag)) == pytest.approx(share, abs=1e-4)


def test_the_label_free_number_is_magnitude_and_mean_flux_of_the_i_band(simulator, some):
    means = electrons(simulator, some)[2]
    left = some.label_free - 0.4 * np.log(10) * some.mag - np.log(means)
    assert left.std() < 1e-5
    found = about_label_free(some)
    assert found["without_mag"] == pytest.approx(np.log(means).std(), abs=1e-4)
    assert found["scatter"] == pytest.approx(0.4 * np.log(10) * some.mag.std(), rel=0.1)


def test_the_scatter_of_an_observed_error_is_that_of_its_draws(some):
    bright = some.flux > 0
    pull = (np.log(some.observed) - np.log(some.model))[bright] / some.scatter[bright]
    assert pull.std() == pytest.approx(1, abs=0.1)  # linear: the scatter is a few per cent of the error


def test_every_channel_is_read_by_its_own_numbers(some):
    found = numbers(fit_scalers(some, 6), some)
    assert {name: rows.shape for name, rows in found.items()} == {
        "flux": (N, 7), "model": (N, 6), "observed": (N, 6), "label_free": (N, 1), "mag": (N, 1)
    }  # fmt: skip
    assert {name for names in READINGS.values() for name in names} == set(found)
    assert set(PIXELS) <= set(READINGS) >= set(SHOWN)


def test_products_read_what_no_straight_line_does():
    x = np.random.default_rng(0).normal(3, 2, (2000, 3)).astype(np.float32)
    y = ((x[:, 0] - 3) * (x[:, 1] - 3))[:, None].astype(np.float64)
    widen = products(x).of
    assert widen(x).shape == (2000, 3 + 6)
    for of, score in ((lambda rows: rows, 0.0), (widen, 1.0)):
        ridge = Ridge((1e-6,))
        ridge.fit([(of(x[:1000]), y[:1000])], (of(x[1000:]), y[1000:]))
        found = metrics.r2(y[1000:, 0], ridge.predict(of(x[1000:]), np.zeros(1000))[:, 0])
        assert found == pytest.approx(score, abs=0.05)


def test_a_row_compares_with_the_limit_and_with_flux_alone():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=400)
    one, plain = truth + 0.2 * rng.normal(size=400), truth + 0.5 * rng.normal(size=400)
    exact = np.stack([truth, np.full(400, 0.4)], axis=1)
    work = SimpleNamespace(truth=truth, exact=exact, stars=SimpleNamespace(snr=np.full(400, 4.0)))
    row = row_of(work, Read("model error", "Ridge", one), plain)
    score, limit = float(metrics.r2(truth, one)), 1 - 0.16 / truth.var()
    assert row.r2 == pytest.approx(score)
    assert row.excess == pytest.approx(score - limit)
    assert row.gain == pytest.approx(score - float(metrics.r2(truth, plain)))
    assert row.gain_low < row.gain < row.gain_high
    (only,) = row.by_snr
    assert (only.snr_low, only.snr_high, only.n, only.limit) == (3.5, 4.5, 400, pytest.approx(limit))
    assert row_of(work, Read("flux", "Ridge", plain), plain).gain is None
    assert row_of(work, Read("flux, magnitude", "posterior mean", plain), None).gain is None


def test_the_committed_result_shows_a_leak_and_an_honest_error():
    result = LeakResult.from_json(json.loads(Path("results/leak/results.json").read_text(encoding="utf-8")))
    found = {row.reading: row for row in result.of(BEST)}
    assert set(found) == set(READINGS)
    assert result.size["n_fit"] == SIZES["cpu"].n_fit
    assert all(found[name].excess_low > 0.2 for name in ("model error", "flux, model error"))
    honest = ("flux", "observed error", "label-free error", "flux, label-free error", "flux, magnitude")
    assert all(found[name].excess_high < 0 for name in honest)
    assert abs(found["label-free error"].r2) < 0.01


def test_products_of_one_number_are_its_square():
    rows = np.array([[1.0], [3.0]])
    np.testing.assert_allclose(products(rows).of(rows), [[-1, 1], [1, 1]])
