"""The exact posterior against closed forms, brute-force integration, and the ranks of simulated truths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, kstest, truncnorm

import crlb.bayes.posterior as module
import crlb.bayes.solve as solve
from crlb.bayes.exact_limit import bayes_limit, simulate
from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.bayes.prior import make_prior
from crlb.errors import DataError, UsageError
from crlb.fisher.matrix import cramer_rao_bound, fisher_information, flux_jacobian
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import make_grid
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import band_mean, variance
from crlb.observation.noise_curves import NoiseModel
from tests.crlb.toy import toy_flux

KEY = jax.random.key(20)
WAVE = np.concatenate([np.arange(start, start + 32.0) for start in (7682.0, 8174.0, 8528.0)])  # Å
LOG_G, M_H = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([-1.0, -0.6, -0.3, 0.0])


def noise_of(signal_e: float, sky_e: float, read_var: float) -> NoiseModel:
    with jax.enable_x64(True):
        wave, flat = jnp.asarray(WAVE), jnp.ones(WAVE.size)
        sky, scalars = sky_e * flat, (4.0, 0.45, read_var, 0.01, 1.0)
        return NoiseModel(wave, signal_e * flat, sky, sky, *scalars, source="flat")


NOISE = noise_of(855.0, 110.0, 80.0)  # like the instrument's: the star's own light counts


@pytest.fixture(scope="module")
def star() -> Emulator:
    """The toy star at 4800 K: lines that depend on log g and [M/H]."""
    labels = np.stack(np.meshgrid([4800.0], LOG_G, M_H, indexing="ij"), axis=-1)[0]
    flux = toy_flux(labels, WAVE)
    with jax.enable_x64(True):
        return make_emulator(make_grid(WAVE, (LOG_G, M_H), flux, ("log_g", "M_H"), 20000.0, "-", "toy"))


def box_prior(emulator: Emulator):
    return make_prior(emulator.low, emulator.high, emulator.label_names)


def observed(emulator, labels, mag, key=KEY):
    """Noisy spectra of the stars with these labels."""
    flux = jax.vmap(emulator)(jnp.asarray(labels))
    sigma = jnp.sqrt(jax.vmap(lambda f: variance(f, mag, NOISE))(flux))
    return np.array(flux + sigma * jax.random.normal(key, flux.shape))


def brute_force(emulator, y, mag, usable=None, size=128):
    """Mean, standard deviation and quartiles by integration over a grid of two labels, zoomed once."""
    usable = np.ones(WAVE.size) if usable is None else usable
    low, high = emulator.low, emulator.high
    for _ in range(3):
        edges = [np.linspace(a, b, size + 1) for a, b in zip(low, high, strict=True)]
        middles = [(e[1:] + e[:-1]) / 2 for e in edges]
        points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
        mu = np.asarray(jax.vmap(emulator)(jnp.asarray(points)))
        v = np.asarray(jax.vmap(lambda f: variance(f, mag, NOISE))(mu))
        log_p = -0.5 * (((np.where(usable, y, 0) - mu) ** 2 / v + np.log(v)) * usable).sum(axis=1)
        p = np.exp(log_p - log_p.max()).reshape(size, size)
        heard = [np.flatnonzero(p.max(axis=1 - i) > 1e-9) for i in (0, 1)]
        low = [edges[i][heard[i][0]] for i in (0, 1)]
        high = [edges[i][heard[i][-1] + 1] for i in (0, 1)]
    p = p / p.sum()
    marginals = [p.sum(axis=1 - i) for i in (0, 1)]
    mean = np.array([m @ x for m, x in zip(marginals, middles, strict=True)])
    sd = np.array([np.sqrt(m @ (x - u) ** 2) for m, x, u in zip(marginals, middles, mean, strict=True)])
    quartiles = [
        np.interp([0.25, 0.5, 0.75], m.cumsum() - m / 2, x) for m, x in zip(marginals, middles, strict=True)
    ]
    return mean, sd, np.array(quartiles)


@pytest.mark.slow
@pytest.mark.parametrize("mag", [18.0, 20.5, 22.0, 23.5], ids=["bright", "medium", "faint", "fainter"])
def test_moments_and_quantiles_are_those_of_brute_force_integration(star, mag):
    labels = np.array([[2.7, -0.4], [1.0, -1.0], [5.0, 0.0], [4.8, -0.97]])  # the middle, and corners
    y = observed(star, labels, mag)
    usable = np.random.default_rng(1).random(y.shape) > 0.2
    y[~usable] = np.nan
    found = posterior(
        Observations(y, np.full(len(y), mag), usable), ForwardModel(star, NOISE), box_prior(star), key=KEY,
        inference=Inference(
            quantiles=(0.25, 0.5, 0.75), target_ess=1500.0, n_templates=4096, n_points=1024
        ),
    )  # fmt: skip
    assert found.converged.all()
    for i in range(len(y)):
        mean, sd, quartiles = brute_force(star, y[i], mag, usable[i])
        assert (
            np.abs(found.mean[i] - mean).max() / sd.min() < 0.1
            or (np.abs(found.mean[i] - mean) < 0.06 * sd).all()
        )
        np.testing.assert_allclose(found.sigma[i], sd, rtol=0.05)
        assert (np.abs(found.quantiles[i] - quartiles) < 0.1 * sd[:, None]).all()


def linear_emulator(*shapes: np.ndarray) -> Emulator:
    """1 + sum of label x shape, labels 0 to 1, the shapes without effect on the magnitude."""
    band = WAVE / (1 + np.exp((WAVE - 8250.0) / 80.0))  # weight of each pixel's flux in the magnitude
    shapes = tuple(s - (band @ s) / band.sum() for s in shapes)
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * len(shapes), indexing="ij"), axis=-1)
    return Emulator(
        coefficients=jnp.asarray(np.concatenate([np.ones((*corners.shape[:-1], 1)), corners], axis=-1)),
        basis=jnp.asarray(np.stack([np.ones(WAVE.size), *shapes])),
        wave=WAVE,
        axes=((0.0, 1.0),) * len(shapes),
        label_names=tuple(f"label_{i}" for i in range(len(shapes))),
        resolving_power=5000.0,
        source="linear",
    )


def unit_noise(emulator: Emulator, sigma: float) -> NoiseModel:
    """Read noise only, so that the first label alone is told to `sigma`."""
    noise = noise_of(1e7, 0.0, 1e10)  # the star's own light is a thousandth of the variance
    jac = np.asarray(emulator.basis[1])
    told = (jac**2 / np.asarray(variance(emulator.basis[0], 18.0, noise))).sum() ** -0.5
    return dataclasses.replace(noise, read_var=1e10 * (sigma / told) ** 2)


@pytest.fixture(scope="module")
def line() -> Emulator:
    with jax.enable_x64(True):
        return linear_emulator(np.sin(WAVE))


@pytest.mark.parametrize("sigma", [0.003, 0.1, 1.0])
def test_linear_gaussian_star_has_a_truncated_normal_posterior(line, sigma):
    noise = unit_noise(line, sigma)
    flux = np.asarray(jax.vmap(line)(jnp.array([[0.0], [0.4], [1.0]])))
    var = np.asarray(variance(line.basis[0], 18.0, noise))
    y = flux + np.sqrt(var) * np.random.default_rng(0).normal(size=flux.shape)
    prior = box_prior(line)
    found = posterior(
        Observations(y, np.full(3, 18.0)),
        ForwardModel(line, noise),
        prior,
        key=KEY,
        inference=Inference(target_ess=1000.0, n_templates=1024, n_points=1024),
    )
    jac = np.asarray(line.basis[1])
    best = ((y - np.asarray(line.basis[0])) / var * jac).sum(axis=1) / (jac**2 / var).sum()
    oracle = truncnorm((0 - best) / sigma, (1 - best) / sigma, best, sigma)
    np.testing.assert_allclose(found.mean[:, 0], oracle.mean(), atol=0.04 * sigma)
    np.testing.assert_allclose(found.sigma[:, 0], oracle.std(), rtol=0.05)
    np.testing.assert_allclose(found.quantiles[:, 0, 2], oracle.ppf(0.84), atol=0.08 * sigma)


@pytest.mark.slow
def test_five_labels_have_the_gaussian_posterior_of_least_squares():
    emulator = linear_emulator(*(np.sin(k * WAVE) for k in (1, 1.02, 2, 3, 5)))
    noise = unit_noise(emulator, 0.02)
    labels = np.array([0.5, 0.4, 0.6, 0.5, 0.3])
    var = np.asarray(variance(emulator.basis[0], 18.0, noise))
    y = np.asarray(emulator(labels)) + np.sqrt(var) * np.random.default_rng(0).normal(size=WAVE.size)
    found = posterior(
        Observations(y[None], np.array([18.0])),
        ForwardModel(emulator, noise),
        box_prior(emulator),
        key=KEY,
        inference=Inference(target_ess=500.0),
    )
    jac = np.asarray(emulator.basis[1:])
    covariance = np.linalg.inv((jac / var) @ jac.T)
    best = covariance @ (jac / var) @ (y - np.asarray(emulator.basis[0]))
    sd = np.sqrt(np.diag(covariance))
    assert found.converged.all()
    assert (np.abs(found.mean[0] - best) < 0.12 * sd).all()
    np.testing.assert_allclose(found.sigma[0], sd, rtol=0.12)


@pytest.mark.parametrize("amplitude", [0.05, np.inf])
def test_flux_scale_is_integrated_out(amplitude):
    line = linear_emulator(3 * np.sin(WAVE))  # strong, so that the volume of the scale depends on the label
    noise = unit_noise(line, 0.2)
    mu = lambda x: np.asarray(line.basis[0] + x * line.basis[1])  # noqa: E731
    var = np.asarray(variance(line.basis[0], 18.0, noise))
    y = 1.03 * mu(0.55) + np.sqrt(var) * np.random.default_rng(2).normal(size=WAVE.size)
    known = np.asarray(band_mean(line.basis[0], noise))[None]  # no label changes it
    found = posterior(
        Observations(y[None], np.array([18.0]), band_mean=known),
        ForwardModel(line, noise),
        box_prior(line),
        key=KEY,
        inference=Inference(Conditions(amplitude), target_ess=1000.0, n_templates=2048),
    )
    x, scale = np.linspace(0, 1, 401), np.linspace(-2, 4, 3001)
    table = np.empty((x.size, scale.size))
    for i, value in enumerate(x):
        residual = (y[None] - scale[:, None] * mu(value)[None]) ** 2 / var
        table[i] = -0.5 * (residual.sum(axis=1) + ((scale - 1) / amplitude) ** 2)
    p = np.exp(table - table.max()).sum(axis=1)
    p /= p.sum()
    mean = p @ x
    sd = np.sqrt(p @ (x - mean) ** 2)
    np.testing.assert_allclose(found.mean[0, 0], mean, atol=0.05 * sd)
    np.testing.assert_allclose(found.sigma[0, 0], sd, rtol=0.05)


@pytest.fixture(scope="module")
def sample(star):
    """300 stars of SNR near 8 with their posteriors."""
    with jax.enable_x64(True):
        prior = box_prior(star)
        truth, flux, *_ = simulate(jax.random.key(5), 300, 21.3, ForwardModel(star, NOISE), prior)
        mags = np.full(300, 21.3)
        return (
            truth,
            flux,
            posterior(Observations(flux, mags, truth=truth), ForwardModel(star, NOISE), prior, key=KEY),
        )


def test_ranks_of_the_truth_are_uniform(sample):
    _, _, found = sample
    assert found.converged.all()
    for i in (0, 1):
        counts, _ = np.histogram(found.cumulative[:, i], bins=10, range=(0, 1))
        assert chi2.sf(((counts - 30) ** 2 / 30).sum(), 9) > 0.01
        assert kstest(found.cumulative[:, i], "uniform").pvalue > 0.01


def test_no_estimator_beats_the_posterior_mean(star, sample):
    truth, flux, found = sample
    ours = ((found.mean - truth) ** 2).mean(axis=0)
    labels, spectra, *_ = simulate(jax.random.key(6), 4000, 21.3, ForwardModel(star, NOISE), box_prior(star))
    centre, offset = spectra.mean(axis=0), labels.mean(axis=0)
    x = (spectra - centre).astype(float)
    for penalty in (0.1, 1.0, 10.0):
        ridge = np.linalg.solve(x.T @ x + penalty * np.eye(WAVE.size), x.T @ (labels - offset))
        theirs = (((flux - centre) @ ridge + offset - truth) ** 2).mean(axis=0)
        assert (theirs > ours).all()
    mu = np.asarray(jax.vmap(star)(jnp.asarray(labels)))
    v = np.asarray(jax.vmap(lambda f: variance(f, 21.3, NOISE))(mu))
    fit = flux**2 @ (1 / v).T - 2 * flux @ (mu / v).T + (mu**2 / v + np.log(v)).sum(axis=1)
    assert (((labels[fit.argmin(axis=1)] - truth) ** 2).mean(axis=0) > ours).all()


def test_without_signal_the_posterior_is_the_prior(line):
    prior = make_prior(line.low, line.high, line.label_names, {"label_0": (3.0, 2.0)})
    (limit,) = bayes_limit(ForwardModel(line, NOISE), [32.0], prior, label="label_0", key=KEY, n=16)
    assert abs(limit.r2_bayes.value) < 0.003
    assert limit.snr_median < 0.01


@pytest.mark.slow
def test_at_high_snr_the_limit_is_that_of_the_cramer_rao_bound(star):
    prior = box_prior(star)
    n, mag = 128, 16.0
    (limit,) = bayes_limit(
        ForwardModel(star, NOISE),
        [mag],
        prior,
        label="log_g",
        key=KEY,
        n=n,
        inference=Inference(target_ess=100.0),
    )
    truth, *_ = simulate(jax.random.fold_in(KEY, 0), n, mag, ForwardModel(star, NOISE), prior)

    def squared_bound(labels):
        of = lambda x: variance(star(x), mag, NOISE)  # noqa: E731
        fisher = fisher_information(flux_jacobian(star, labels), 1 / of(labels), jax.jacfwd(of)(labels))
        return cramer_rao_bound(fisher)[0] ** 2

    expected = float(jnp.mean(jax.vmap(squared_bound)(jnp.asarray(truth)))) / prior.variance[0]
    assert limit.unconverged == 0
    np.testing.assert_allclose(1 - limit.r2_bayes.value, expected, rtol=0.1)


@pytest.mark.parametrize(("told", "mmse"), [(0.806**0.5, 0.0755), (0.00202**0.5, 0.00186)])
def test_linear_star_has_the_known_mean_squared_error(line, told, mmse):
    noise = unit_noise(line, told)
    (limit,) = bayes_limit(
        ForwardModel(line, noise),
        [18.0],
        box_prior(line),
        label="label_0",
        key=KEY,
        n=400,
        inference=Inference(n_templates=4096),
    )
    np.testing.assert_allclose((1 - limit.r2_bayes.value) / 12, mmse, rtol=0.015)
    truth = limit.r2_of_posterior_mean
    assert truth.low < 1 - 12 * mmse < truth.high


@pytest.mark.slow
def test_same_key_same_answer_and_another_key_nearly_so(star):
    y = observed(star, np.array([[2.7, -0.4], [4.0, -0.2]]), 20.0)

    def run(key):
        return posterior(
            Observations(y, np.full(2, 20.0)), ForwardModel(star, NOISE), box_prior(star), key=key
        )

    first, second, other = run(KEY), run(KEY), run(jax.random.key(9))
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.quantiles, second.quantiles)
    assert (first.mean != other.mean).all()
    assert (np.abs(first.mean - other.mean) < 0.5 * first.sigma).all()


@pytest.mark.slow
def test_stars_of_other_magnitudes_share_templates_as_a_first_guess_only(star, monkeypatch):
    monkeypatch.setattr(module, "MAG_BIN", 10.0)
    labels = np.array([[2.7, -0.4], [4.0, -0.2], [3.0, -0.9]])
    mags = np.array([21.0, 22.4, 23.4])
    y = np.concatenate([observed(star, labels[[i]], m) for i, m in enumerate(mags)])
    together = posterior(Observations(y, mags), ForwardModel(star, NOISE), box_prior(star), key=KEY)
    for i, mag in enumerate(mags):
        mean, sd, _ = brute_force(star, y[i], mag)
        assert (np.abs(together.mean[i] - mean) < 0.15 * sd).all()
        np.testing.assert_allclose(together.sigma[i], sd, rtol=0.12)


def test_a_star_that_does_not_converge_is_reported(star, monkeypatch):
    monkeypatch.setattr(solve, "MAX_ROUNDS", 1)
    y = observed(star, np.array([[2.7, -0.4]]), 20.0)
    found = posterior(
        Observations(y, np.array([20.0])),
        ForwardModel(star, NOISE),
        box_prior(star),
        key=KEY,
        inference=Inference(target_ess=1e5),
    )
    assert not found.converged[0]
    assert np.isfinite(found.mean).all()


def test_single_precision_callers_get_the_same_answer(star):
    y = observed(star, np.array([[2.7, -0.4]]), 20.0)

    def run():
        return posterior(
            Observations(y, np.array([20.0])), ForwardModel(star, NOISE), box_prior(star), key=KEY
        )

    double = run()
    with jax.enable_x64(False):
        np.testing.assert_allclose(run().mean, double.mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"flux": np.full((1, WAVE.size), np.nan)}, DataError, "flux must be finite"),
        ({"flux": np.ones((1, 5))}, DataError, "96 pixels of the model, found 5"),
        ({"mag": np.array([np.inf])}, DataError, "mag must be finite"),
        ({"usable": np.zeros((1, WAVE.size), bool)}, DataError, "no usable pixel"),
        ({"truth": np.array([[7.0, -0.5]])}, UsageError, "log_g must lie within the prior"),
        ({"prior": make_prior(np.array([0.0, -1.0]), np.array([5.0, 0.0]), ("log_g", "M_H"))}, UsageError,
         "log_g must lie within the grid"),
        ({"prior": make_prior(np.array([1.0]), np.array([5.0]), ("log_g",))}, UsageError, "emulator's label"),
    ],
)  # fmt: skip
def test_unusable_input_is_refused_in_words(star, change, error, words):
    prior = change.pop("prior", box_prior(star))
    stars = Observations(**{"flux": np.ones((1, WAVE.size)), "mag": np.array([20.0])} | change)
    with pytest.raises(error, match=words):
        posterior(stars, ForwardModel(star, NOISE), prior, key=KEY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantiles": (0.5, 1.0)}, "quantiles must lie"),
        ({"n_points": 100}, "power of two"),
        ({"n_templates": 0}, "power of two"),
        ({"target_ess": 0.5}, "target_ess"),
    ],
)
def test_impossible_settings_of_an_inference_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        Inference(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"label": "vsini"}, "vsini"), ({"n": 1}, "at least 2"), ({"mags": []}, "magnitude")],
)
def test_limit_refuses_unusable_settings(star, change, words):
    arguments = {"mags": [20.0], "label": "log_g", "n": 4}
    with pytest.raises(UsageError, match=words):
        bayes_limit(ForwardModel(star, NOISE), prior=box_prior(star), key=KEY, **arguments | change)
