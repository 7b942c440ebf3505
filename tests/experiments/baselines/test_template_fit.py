"""The template fit is exact without noise, reaches the Cramer-Rao bound with it, and equals scipy's fit."""

from functools import partial

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import chi2

from crlb.bayes.optimise import far_apart
from crlb.bayes.posterior import Observations, posterior
from crlb.bayes.prior import make_prior
from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.files import progress
from crlb.fisher.matrix import fisher_information, flux_jacobian
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import load_slice, make_grid
from crlb.observation.forward_model import ForwardModel
from crlb.observation.instrument import to_detector
from crlb.observation.noise import NoiseModel, builtin_noise, draw, variance
from crlb.observation.nuisance import NuisanceModel
from experiments.baselines import template_fit
from experiments.baselines.forward import Forward
from experiments.baselines.posterior_mean import PosteriorMean
from experiments.baselines.template_fit import TemplateFit, fit_labels
from specvit_jax.spectra.source import make_simulator
from tests.crlb.toy import unsealed

SLOW = pytest.mark.slow
X = np.linspace(-1, 1, DETECTOR_WAVE.size)  # wavelength scaled as Legendre polynomials want it
TILT = 0.7 * (1 + 0.25 * X - 0.1 * X**2)
OPTIONS = {
    "known": {},
    "free": {"amplitude": "free"},
    "continuum": {"amplitude": "free", "continuum": 2},
}


@pytest.fixture(scope="module")
def embedded() -> Emulator:
    return make_simulator().emulator


@pytest.fixture(scope="module")
def toy(toy_grid) -> Emulator:
    return make_emulator(to_detector(load_slice(toy_grid)))


@pytest.fixture(scope="module")
def noise() -> NoiseModel:
    return builtin_noise()


def anywhere(emulator: Emulator, n: int, seed: int = 0, margin: float = 0.0) -> np.ndarray:
    """Labels over the whole box, or away from its edges by a fraction of it."""
    unit = np.random.default_rng(seed).uniform(margin, 1 - margin, (n, len(emulator.axes)))
    return emulator.low + (emulator.high - emulator.low) * unit


def clean(emulator: Emulator, labels: np.ndarray) -> np.ndarray:
    return np.asarray(emulator.batch(jnp.asarray(labels, jnp.float32)))


def noisy(flux: np.ndarray, mag: float, noise: NoiseModel, seed: int = 0) -> np.ndarray:
    keys = jax.random.split(jax.random.key(seed), len(flux))
    return np.array(jax.vmap(lambda key, f: draw(key, f, mag, noise)[0])(keys, jnp.asarray(flux)))


def mags(n: int, mag: float) -> np.ndarray:
    return np.full(n, mag)


@pytest.mark.parametrize("grid", [pytest.param("embedded", marks=SLOW), "toy"])
def test_without_noise_every_star_of_the_box_is_recovered(grid, noise, request):
    emulator = request.getfixturevalue(grid)
    labels = anywhere(emulator, 64)
    found = fit_labels(clean(emulator, labels), np.linspace(18, 22.5, 64), ForwardModel(emulator, noise))
    error = np.abs(found.labels - labels)
    assert error[:, 1].max() < 0.02
    assert error[:, 0].max() < 5.0
    assert error[:, 2].max() < 0.01
    assert found.chi2.max() < 1e-3


@SLOW
@pytest.mark.parametrize(("options", "shape"), [("free", 1.37 + 0 * X), ("continuum", TILT)])
def test_a_free_scale_or_continuum_takes_up_what_multiplies_the_spectrum(options, shape, embedded, noise):
    labels = anywhere(embedded, 64, seed=1)
    flux = (clean(embedded, labels) * shape).astype(np.float32)
    found = fit_labels(flux, mags(64, 21.5), ForwardModel(embedded, noise), **OPTIONS[options])
    assert np.abs(found.labels - labels)[:, 1].max() < 0.02
    np.testing.assert_allclose(found.amplitude, 1.37 if options == "free" else 0.7 * (1 - 0.1 / 3), rtol=1e-3)
    fixed = fit_labels(flux, mags(64, 21.5), ForwardModel(embedded, noise))
    assert np.abs(fixed.labels - labels)[:, 1].max() > 0.5


@SLOW
@pytest.mark.parametrize("options", ["known", "free"])
def test_errors_are_those_of_the_cramer_rao_bound(options, embedded, noise):
    """The Mahalanobis distances of 2 x 96 draws, by the Fisher matrix of `crlb nuisances`, are chi^2."""
    stars, n, mag = anywhere(embedded, 2, seed=5, margin=0.25), 96, 18.0
    truth = np.repeat(stars, n, axis=0)
    flux = noisy(clean(embedded, truth), mag, noise, seed=2)
    found = fit_labels(flux, mags(len(flux), mag), ForwardModel(embedded, noise), **OPTIONS[options])
    empty = jnp.zeros((0, DETECTOR_WAVE.size))
    model = NuisanceModel(embedded, None, None, empty, options == "free", 1.6)
    for i, star in enumerate(stars):
        vector = model.at_rest(star)
        fisher = fisher_information(flux_jacobian(model, vector), 1 / variance(model(vector), mag, noise))
        covariance = np.linalg.inv(np.asarray(fisher, np.float64))[:3, :3]
        error = found.labels[i * n : (i + 1) * n] - star
        distance = np.einsum("ni,ij,nj->n", error, np.linalg.inv(covariance), error)
        assert 0.001 < chi2.sf(distance.sum(), 3 * n) < 0.999
        sigma = np.sqrt(np.diag(covariance))
        assert (np.abs(error.mean(axis=0)) < 3.5 * sigma / np.sqrt(n)).all()
        np.testing.assert_allclose(found.sigma[i * n], sigma, rtol=0.05)
    assert 0.001 < chi2.sf(found.chi2.sum(), found.chi2.size * (DETECTOR_WAVE.size - 3)) < 0.999


def scipy_fit(
    emulator: Emulator, y: np.ndarray, mag: float, noise: NoiseModel, start: np.ndarray, order: int
):
    """Labels by least_squares on (y - c mu)/sqrt(V), V of the round before; c of powers of X to `order`."""
    with jax.enable_x64(True):
        emulator, noise = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (emulator, noise))
        flux_of = jax.jit(emulator)
        var_of = jax.jit(lambda f: variance(f, mag, noise))
        low, width = emulator.low, emulator.high - emulator.low
        powers = np.array([X**k for k in range(order + 1)])

        def mean(p: np.ndarray) -> np.ndarray:
            scale = p[3:] @ powers if order >= 0 else 1.0
            return np.asarray(flux_of(low + width * np.clip(p[:3], 0, 1))) * scale

        p = np.concatenate([(start - low) / width, [1.0] * (order >= 0), [0.0] * order])
        box = (np.where(np.arange(p.size) < 3, 0, -np.inf), np.where(np.arange(p.size) < 3, 1, np.inf))
        residual = lambda p, error: (y - mean(p)) / error  # noqa: E731
        for _ in range(6):
            error = np.sqrt(np.asarray(var_of(jnp.asarray(mean(p)))))
            start = np.clip(p, box[0] + 1e-9, box[1] - 1e-9)
            p = least_squares(residual, start, bounds=box, xtol=1e-12, args=(error,)).x
        return low + width * p[:3]


@pytest.mark.parametrize(
    ("options", "order", "grid"),
    [
        ("known", -1, "toy"),
        pytest.param("free", 0, "toy", marks=SLOW),
        pytest.param("continuum", 2, "embedded", marks=SLOW),
    ],
)
def test_noisy_stars_get_the_labels_of_scipy(options, order, grid, noise, request):
    emulator = request.getfixturevalue(grid)
    labels = anywhere(emulator, 4, seed=3, margin=0.15)
    flux = noisy(clean(emulator, labels), 18.0, noise, seed=4)  # bright: there V follows the star's own light
    found = fit_labels(flux, mags(4, 18.0), ForwardModel(emulator, noise), **OPTIONS[options])
    for star in range(4):
        expected = scipy_fit(emulator, flux[star].astype(np.float64), 18.0, noise, labels[star], order)
        assert (np.abs(found.labels[star] - expected) < 0.02 * found.sigma[star]).all()


def test_starts_are_the_best_points_that_lie_far_from_those_before():
    unit = np.array([[0.0, 0.0], [0.1, 0.1], [0.1, 0.2], [0.9, 0.0], [0.8, 0.1]])
    value = np.array([[5.0, 4.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 5.0, 4.0]])
    np.testing.assert_array_equal(far_apart(unit, value, 3), [[0, 4, 2], [3, 2, 0]])


@SLOW
def test_several_starts_escape_a_false_minimum_that_one_falls_into(noise):
    """A spectrum whose two lines run through a figure of eight: near its crossing two labels look alike."""
    label = np.linspace(0, 1, 12)
    lines = [np.exp(-0.5 * ((DETECTOR_WAVE - centre) / 20) ** 2) for centre in (7600, 8100)]
    depth = np.stack([np.sin(2 * np.pi * label), np.sin(4 * np.pi * label)])
    flux = 1 + 0.3 * np.einsum("kn,kp->np", depth, np.stack(lines))
    emulator = make_emulator(make_grid(DETECTOR_WAVE, (label,), flux, ("log_g",), 5000.0, "-", "eight"))
    truth = np.concatenate([np.linspace(0.02, 0.48, 47), np.linspace(0.52, 0.98, 47)])[:, None]
    fit = partial(fit_labels, clean(emulator, truth), mags(94, 18.0), ForwardModel(emulator, noise))
    one, three = fit(n_starts=1), fit(n_starts=3)
    assert np.abs(one.labels - truth).max() > 0.1
    assert np.abs(three.labels - truth).max() < 1e-3
    assert one.starts_agree.all()
    assert not three.starts_agree.all()


@pytest.mark.slow
@pytest.mark.parametrize("mag", [18.0, 22.5])
def test_labels_stay_inside_the_box_and_finite(mag, toy, noise):
    corners = np.array(np.meshgrid(*zip(toy.low, toy.high, strict=True))).reshape(3, -1).T
    flux = noisy(clean(toy, np.repeat(corners, 8, axis=0)), mag, noise)
    found = fit_labels(flux, mags(len(flux), mag), ForwardModel(toy, noise))
    assert ((found.labels >= toy.low) & (found.labels <= toy.high)).all()
    assert ((found.labels == toy.low) | (found.labels == toy.high)).mean() > 0.2
    assert np.isfinite(found.sigma).all()


@pytest.mark.slow
def test_a_star_is_fitted_on_its_own(toy, noise):
    flux = noisy(clean(toy, anywhere(toy, 64)), 21.5, noise)
    together = fit_labels(flux, mags(64, 21.5), ForwardModel(toy, noise))
    alone = [
        fit_labels(flux[i : i + 1], mags(1, 21.5), ForwardModel(toy, noise)).labels[0]
        for i in range(0, 64, 17)
    ]
    assert (np.abs(np.array(alone) - together.labels[::17]) < 0.01 * together.sigma[::17]).all()


@SLOW
def test_labels_do_not_depend_on_the_unit_of_flux_where_its_scale_is_free(toy, noise):
    flux = noisy(clean(toy, anywhere(toy, 16)), 21.0, noise)
    one, other = (
        fit_labels(flux * scale, mags(16, 21.0), ForwardModel(toy, noise), amplitude="free")
        for scale in np.array([1, 1e-17], np.float32)
    )
    assert (np.abs(one.labels - other.labels) < 0.01 * one.sigma).all()
    np.testing.assert_allclose(other.amplitude, 1e-17 * one.amplitude, rtol=1e-3)


def pair(emulator: Emulator, columns: list[int], n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    labels = anywhere(emulator, n)
    return clean(emulator, labels), labels[:, columns]


@pytest.fixture(params=[TemplateFit, pytest.param(PosteriorMean, marks=SLOW)])
def baseline(request, toy_grid):
    return request.param(Forward(grid=str(toy_grid), label_names=("M_H", "log_g")))


@pytest.mark.slow
def test_predictions_come_in_the_order_of_the_labels_to_fit(baseline, toy):
    flux, labels = pair(toy, [2, 1])
    baseline.fit([], (flux, labels))
    assert np.abs(baseline.predict(flux, mags(4, 16.0)) - labels).max() < 0.02


def test_a_stored_baseline_predicts_the_same(baseline, toy, tmp_path):
    flux, labels = pair(toy, [2, 1])
    baseline.fit([], (flux, labels))
    np.savez(tmp_path / "fit.npz", **baseline.arrays())
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as file:
        again = type(baseline).restore(dict(file))
    np.testing.assert_array_equal(again.predict(flux, mags(4, 20.0)), baseline.predict(flux, mags(4, 20.0)))
    assert again.forward == baseline.forward


def test_a_stored_baseline_refuses_a_grid_that_changed(toy, toy_grid, tmp_path):
    flux, labels = pair(toy, [1, 2])
    grid = tmp_path / "grid.h5"
    grid.write_bytes(toy_grid.read_bytes())
    baseline = TemplateFit(Forward(grid=str(grid), label_names=("log_g", "M_H")))
    baseline.fit([], (flux, labels))
    again = TemplateFit.restore(baseline.arrays())
    with h5py.File(unsealed(grid), "a") as file:
        file["flux"][0, 0] *= 1.5
    with pytest.raises(DataError, match=r"grid\.h5 has changed.*fit"):
        again.predict(flux, mags(4, 20.0))


def test_a_baseline_refuses_labels_in_another_order_number_or_range(baseline, toy):
    flux, labels = pair(toy, [1, 2])
    with pytest.raises(DataError, match=r"M_H must lie within the grid.*label_names"):
        baseline.fit([], (flux, labels))
    with pytest.raises(DataError, match="1 labels to fit"):
        baseline.fit([], (flux, labels[:, :1]))


def test_a_baseline_refuses_to_predict_before_it_is_fitted(baseline, toy):
    with pytest.raises(UsageError, match="fit"):
        baseline.predict(pair(toy, [])[0], mags(4, 20.0))


def test_a_baseline_refuses_stars_it_cannot_compare(baseline, toy):
    flux, labels = pair(toy, [2, 1])
    baseline.fit([], (flux, labels))
    for spectra, mag, words in [
        (flux[:, :-1], mags(4, 20.0), "4096 pixels"),
        (flux[:0], mags(0, 20.0), "at least one"),
        (flux, mags(3, 20.0), "one magnitude"),
        (flux * np.nan, mags(4, 20.0), "finite"),
        (flux, mags(4, np.inf), "finite"),
    ]:
        with pytest.raises(DataError, match=words):
            baseline.predict(spectra, mag)


@pytest.mark.parametrize("wrong", [{"amplitude": "none"}, {"continuum": -1}, {"n_starts": 0}])
def test_settings_out_of_range_are_refused(wrong, toy, noise):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        TemplateFit(**wrong)
    with pytest.raises(UsageError, match=next(iter(wrong))):
        fit_labels(clean(toy, anywhere(toy, 1)), mags(1, 20.0), ForwardModel(toy, noise), **wrong)


@pytest.mark.slow
def test_long_fits_say_how_they_are_getting_on(toy_grid, toy, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    monkeypatch.setattr(template_fit, "STARS", 1)
    flux, labels = pair(toy, [0, 1, 2], n=3)
    model = TemplateFit(Forward(grid=str(toy_grid)))
    model.fit([], (flux, labels))
    model.predict(flux, mags(3, 20.0))
    assert "Template fit: 1 of 3 stars" in capsys.readouterr().err


@SLOW
def test_the_posterior_mean_is_that_of_crlb(toy_grid, toy, noise):
    flux = noisy(clean(toy, anywhere(toy, 4)), 21.5, noise)
    model = PosteriorMean(Forward(grid=str(toy_grid)), seed=3)
    model.fit([], pair(toy, [0, 1, 2]))
    prior = make_prior(toy.low, toy.high, toy.label_names)
    observed = Observations(flux, mags(4, 21.5))
    expected = posterior(observed, ForwardModel(toy, noise), prior, key=jax.random.key(3))
    np.testing.assert_array_equal(model.predict(flux, mags(4, 21.5)), expected.mean)


@SLOW
def test_at_high_snr_posterior_mean_and_template_fit_agree(toy_grid, toy, noise):
    flux = noisy(clean(toy, anywhere(toy, 8, margin=0.2)), 18.0, noise)
    model = PosteriorMean(Forward(grid=str(toy_grid)))
    model.fit([], pair(toy, [0, 1, 2]))
    fit = fit_labels(flux, mags(8, 18.0), ForwardModel(toy, noise))
    found = model.posterior(flux, mags(8, 18.0))
    assert found.converged.all()
    assert (np.abs(found.mean - fit.labels) < 0.3 * fit.sigma).all()
    np.testing.assert_allclose(found.sigma, fit.sigma, rtol=0.25)


@SLOW
@pytest.mark.parametrize("options", list(OPTIONS))
def test_without_noise_two_thousand_stars_are_recovered(options, embedded, noise):
    labels = anywhere(embedded, 2000, seed=11)
    mag = np.random.default_rng(12).uniform(18.0, 22.5, 2000)
    found = fit_labels(clean(embedded, labels), mag, ForwardModel(embedded, noise), **OPTIONS[options])
    assert np.abs(found.labels - labels)[:, 1].max() < 0.02
