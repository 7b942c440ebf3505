"""Bounds under a prior against closed forms, brute-force integrals and independent optima."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.integrate import quad
from scipy.linalg import solve_banded
from scipy.special import betaln, ndtr
from scipy.stats import beta as beta_distribution

from crlb import noise as noise_module
from crlb.bounds import EFFORT, Effort, bayesian_bounds, pooled, shrinkage, work
from crlb.emulator import make_emulator
from crlb.errors import DataError, UsageError
from crlb.fisher import fisher_information, flux_jacobian
from crlb.fisher_field import CHUNK, fisher_field
from crlb.noise import Exposure, builtin_noise
from crlb.prior import Prior, make_prior
from crlb.quadrature import tensor_rule
from crlb.van_trees import (
    PriorInformationError,
    beta_information,
    polynomial_degrees,
    van_trees,
    weighted_van_trees,
)
from crlb.ziv_zakai import nuisance_directions, spectral_distance, ziv_zakai
from tests.crlb.toy import AXES, LABEL_NAMES, toy_grid

THIN = slice(None, None, 16)  # of the detector's pixels
MAGS = (15.0, 18.0, 22.0)


def box(*edges: tuple[float, float], shapes=None) -> Prior:
    names = [f"label {i}" for i in range(len(edges))]
    low, high = np.array(edges, float).T
    return make_prior(low, high, names, {n: s for n, s in zip(names, shapes or (), strict=False)})


def weighted(prior: Prior, fisher, orders: tuple[int, int], each: int) -> np.ndarray:
    """Weighted van Trees of label 0 for a function labels (n, d) -> Fisher matrices (n, n_mag, d, d)."""
    rules = [tensor_rule(prior, order) for order in orders]
    degrees = polynomial_degrees(len(prior.label_names), each, 99)
    return weighted_van_trees(prior, 0, *((rule, fisher(rule.labels)) for rule in rules), degrees)


# One label: two pixels, a point on a circle. d^2 = sum of squared flux differences over sigma^2.
TURNS = 2 * np.pi * 0.9


def circle(t: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(TURNS * t), np.sin(TURNS * t)], axis=-1)


def circle_fisher(sigmas) -> callable:
    return lambda labels: np.broadcast_to(
        (TURNS / np.asarray(sigmas))[None, :, None, None] ** 2, (len(labels), len(sigmas), 1, 1)
    )


def euclidean(flux, sigmas) -> callable:
    return lambda a, b: np.linalg.norm(flux(a) - flux(b), axis=-1)[:, None] / np.asarray(sigmas)[None, :]


def brute_force_mmse(flux, labels, weights, target, sigma) -> float:
    """E[Var(target | y)] for two pixels of equal noise, every y on a fine grid."""
    mean = flux(labels)
    edges = [np.arange(m.min() - 5 * sigma, m.max() + 5 * sigma, 0.4 * sigma) for m in mean.T]
    y = np.stack(np.meshgrid(*edges, indexing="ij"), -1).reshape(-1, 2)
    total = 0.0
    for part in np.array_split(y, len(y) // 1000 + 1):
        square = ((part[:, None, :] - mean[None]) ** 2).sum(-1)
        joint = weights * np.exp(-0.5 * square / sigma**2) / (2 * np.pi * sigma**2)
        evidence = np.maximum(joint.sum(1), 1e-300)
        expected = joint @ target / evidence
        total += (joint @ target**2 - evidence * expected**2).sum()
    return float(total * (0.4 * sigma) ** 2)


def test_pooled_and_shrinkage_are_plain_averages():
    bound, weights = np.array([0.5, 2.0]), np.array([0.25, 0.75])
    assert pooled(bound) == pytest.approx((0.25 + 4) / 2)
    assert pooled(bound, weights) == pytest.approx(0.25 * 0.25 + 0.75 * 4)
    expected = 0.25 * 0.25 * 2 / 2.25 + 0.75 * 4 * 2 / 6
    assert shrinkage(bound, 2.0, weights) == pytest.approx(expected)
    assert shrinkage(np.array([np.inf]), 2.0) == 2.0


@pytest.mark.parametrize("shape", [(3.0, 3.0), (2.5, 7.0)])
def test_beta_information_is_the_integral_of_the_squared_score(shape):
    a, b = shape
    prior = box((1.0, 5.0), (0.0, 2.0), shapes=[shape, (4.0, 4.0)])
    score = lambda u: ((a - 1) / u - (b - 1) / (1 - u)) ** 2 * beta_distribution.pdf(u, a, b)  # noqa: E731
    expected = quad(score, 0, 1, limit=200)[0] / 4.0**2
    found = beta_information(prior)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)
    assert found[0, 1] == 0
    assert found[1, 1] > 0


@pytest.mark.parametrize("shape", [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)])
def test_van_trees_refuses_priors_without_finite_information(shape):
    prior = box((0, 1), (0, 1), shapes=[(3.0, 3.0), shape])
    with pytest.raises(
        PriorInformationError, match=r"label 1 Beta.*weighted van Trees.*Ziv-Zakai"
    ) as refusal:
        beta_information(prior)
    assert isinstance(refusal.value, UsageError)
    assert "label 0" not in str(refusal.value)


def test_van_trees_of_a_linear_star_with_a_gaussian_prior_is_the_posterior_variance():
    rng = np.random.default_rng(1)
    design, covariance = rng.normal(size=(7, 3)), np.cov(rng.normal(size=(3, 9)))
    joint = covariance @ design.T  # Cov(labels, y), sigma = 1
    posterior = covariance - joint @ np.linalg.solve(design @ joint + np.eye(7), joint.T)
    found = van_trees(design.T @ design, np.linalg.inv(covariance), 1)
    assert found == pytest.approx(posterior[1, 1], rel=1e-10)


def test_a_nuisance_raises_the_van_trees_bound():
    rng = np.random.default_rng(2)
    design = rng.normal(size=(9, 4))
    fisher, prior = design.T @ design, np.diag([1.0, 2.0, 0.1, 3.0])
    bounds = [van_trees(fisher[:n, :n], prior[:n, :n], 0) for n in (1, 2, 3, 4)]
    assert (np.diff(bounds) > 0).all()


def test_van_trees_names_what_neither_spectrum_nor_prior_tells():
    with pytest.raises(UsageError, match="age"):
        van_trees(np.diag([1.0, 0.0]), np.zeros((2, 2)), 0, ["log_g", "age"])


def test_the_rule_integrates_polynomials_under_a_beta():
    prior = box((1.0, 3.0), (-1.0, 0.0), shapes=[(0.5, 2.5), (1.0, 1.0)])
    rule = tensor_rule(prior, 4)
    np.testing.assert_allclose(rule.weights @ rule.labels, prior.mean, rtol=1e-12)
    spread = rule.weights @ (rule.labels - prior.mean) ** 2
    np.testing.assert_allclose(spread, prior.variance, rtol=1e-12)
    moment = np.exp(betaln(7.5, 2.5) - betaln(0.5, 2.5))  # E[u^7]
    np.testing.assert_allclose(rule.weights @ rule.unit[:, 0] ** 7, moment, rtol=1e-11)


def constant(values) -> callable:
    values = np.asarray(values, float)
    return lambda labels: np.broadcast_to(values[None], (len(labels), *values.shape))


def test_weighted_van_trees_of_a_linear_star_in_closed_form():
    info = np.array([1e-9, 1 / 0.806, 1 / 0.00202, 1e4])
    root = np.sqrt(info)
    expected = (1 - 2 * np.tanh(root / 2) / root) / info
    expected[0] = 1 / 12  # nothing known: the variance of the prior
    found = weighted(box((0, 1)), constant(info[:, None, None]), (40, 47), 30)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(found[1:3], [0.0742, 0.00184], rtol=5e-3)  # the reference table


def optimal_bias_bound(info, a: float, b: float, n: int = 20000) -> float:
    """min over b(u) of E[(1 + b')^2/I + b^2] under Beta(a, b) on [0, 1]: one tridiagonal solve."""
    middle = (np.arange(n) + 0.5) / n
    stiff = beta_distribution.pdf(middle, a, b) / info(middle) / n
    cdf = beta_distribution.cdf(np.concatenate([[0.0], middle, [1.0]]), a, b)
    mass = np.diff(cdf)  # of the cell around every node 0, 1/n, ..., 1
    diagonal = mass + n**2 * (np.append(stiff, 0) + np.append(0, stiff))
    right = n * (np.append(stiff, 0) - np.append(0, stiff))  # - gradient of the linear term
    bands = np.stack([np.append(0, -(n**2) * stiff), diagonal, np.append(-(n**2) * stiff, 0)])
    bias = solve_banded((1, 1), bands, right)
    return float(stiff @ (1 + n * np.diff(bias)) ** 2 + mass @ bias**2)


@pytest.mark.parametrize("shape", [(1.0, 1.0), (2.0, 4.0), (3.5, 3.0)])
@pytest.mark.parametrize("strength", [3.0, 300.0])
def test_weighted_van_trees_in_one_label_is_the_optimal_bias_bound(shape, strength):
    info = lambda u: strength * (0.3 + 2 * u**2 + np.sin(5 * u) ** 2)  # noqa: E731
    found = weighted(box((0, 1), shapes=[shape]), lambda t: info(t)[:, :, None, None], (40, 47), 24)
    assert found[0] == pytest.approx(optimal_bias_bound(info, *shape), rel=2e-4)


def bent_fisher(strengths) -> callable:
    """Fisher matrices of two correlated labels in [0, 1] that change over the box."""

    def fisher(labels: np.ndarray) -> np.ndarray:
        u, v = labels.T
        matrix = np.array([[1 + u**2, 0.7 * (1 - u * v)], [0.7 * (1 - u * v), 1.2 - 0.5 * v]])
        return matrix.transpose(2, 0, 1)[:, None] * np.asarray(strengths)[None, :, None, None]

    return fisher


def optimal_bias_bound_2d(fisher, n: int = 120) -> float:
    """min over b of E[(e + grad b)^T I^-1 (e + grad b) + b^2] on the unit square: finite elements, sparse."""
    slope = sp.diags([-n * np.ones(n), n * np.ones(n)], [0, 1], shape=(n, n + 1))
    half = sp.diags([0.5 * np.ones(n), 0.5 * np.ones(n)], [0, 1], shape=(n, n + 1))
    grad = (sp.kron(slope, half).tocsr(), sp.kron(half, slope).tocsr())
    u = (np.arange(n) + 0.5) / n
    centres = np.stack(np.meshgrid(u, u, indexing="ij"), -1).reshape(-1, 2)
    inverse = np.linalg.inv(fisher(centres)[:, 0]) / n**2
    line = np.full(n + 1, 1 / n)
    line[[0, -1]] /= 2
    mass = sp.diags(np.kron(line, line))
    matrix = mass + sum(
        grad[i].T @ sp.diags(inverse[:, i, j]) @ grad[j] for i in range(2) for j in range(2)
    )  # fmt: skip
    right = -sum(grad[i].T @ inverse[:, i, 0] for i in range(2))
    bias = sp.linalg.spsolve(matrix.tocsc(), right)
    step = np.stack([g @ bias for g in grad], -1) + np.array([[1.0, 0.0]])
    return float(np.einsum("ni,nij,nj->", step, inverse, step) + bias @ (mass @ bias))


@pytest.mark.parametrize("strength", [5.0, 200.0])
def test_weighted_van_trees_in_two_labels_is_the_optimal_bias_bound(strength):
    found = weighted(box((0, 1), (0, 1)), bent_fisher([strength]), (16, 19), 10)
    assert found[0] == pytest.approx(optimal_bias_bound_2d(bent_fisher([strength])), rel=1e-3)


def test_weighted_van_trees_with_much_information_is_the_mean_cramer_rao_bound():
    fisher, rule = bent_fisher([1e6]), tensor_rule(box((0, 1), (0, 1)), 25)
    found = weighted(box((0, 1), (0, 1)), fisher, (26, 29), 20)
    expected = rule.weights @ np.linalg.inv(fisher(rule.labels)[:, 0])[:, 0, 0]
    assert expected * 0.99 < found[0] < expected


def test_weighted_van_trees_exceeds_plain_van_trees():
    prior = box((0, 1), (0, 1), shapes=[(3.0, 4.0), (3.0, 3.0)])
    rule, fisher = tensor_rule(prior, 16), bent_fisher([5.0, 500.0])
    mean = np.tensordot(rule.weights, fisher(rule.labels), 1)
    plain = [van_trees(m, beta_information(prior), 0) for m in mean]
    assert (weighted(prior, fisher, (16, 19), 10) > plain).all()


def test_weighted_van_trees_leaves_out_labels_without_effect():
    alone = weighted(box((0, 1)), constant([[[40.0]]]), (20, 23), 12)
    dead = weighted(box((0, 1), (0, 9), (0, 1)), constant([np.diag([40.0, 0, 0])]), (8, 9), 6)
    np.testing.assert_allclose(dead, alone, rtol=1e-3)


def test_weighted_van_trees_refuses_a_fisher_matrix_that_is_not_finite():
    with pytest.raises(DataError, match="prior inside the grid"):
        weighted(box((0, 1)), constant([[[np.nan]]]), (5, 6), 2)


def test_ziv_zakai_without_information_is_the_prior_variance():
    blind = lambda a, b: np.zeros((len(a), 1))  # noqa: E731
    for shapes, order in (([(1.0, 1.0)], 8), ([(3.0, 3.0)], 40)):
        prior = box((2, 6), shapes=shapes)
        found = ziv_zakai(blind, prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, order))
        expected = quad(lambda h, p=prior: h * overlap(p, h), 0, 4)[0] / 2
        assert found[0] == pytest.approx(expected, rel=2e-3)
    assert expected <= prior.variance[0] * (1 + 1e-9)


def overlap(prior: Prior, h: float) -> float:
    """int min(pi(t), pi(t + h)) dt of one label."""
    pdf = lambda t: beta_distribution.pdf((t - 2) / 4, prior.a[0], prior.b[0]) / 4  # noqa: E731
    return quad(lambda t: min(pdf(t), pdf(t + h)), 2, 6 - h)[0]


@pytest.mark.parametrize("sigma", [0.02, 0.3, 3.0])
def test_ziv_zakai_of_a_linear_star_in_closed_form(sigma):
    prior = box((0, 1))
    found = ziv_zakai(
        euclidean(lambda t: t, [sigma]), prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, 6)
    )  # fmt: skip
    expected = quad(lambda h: h * (1 - h) * ndtr(-h / (2 * sigma)), 0, 1, points=[3 * sigma % 1])[0]
    assert found[0] == pytest.approx(expected, rel=1e-3)


def test_ziv_zakai_under_a_beta_prior_is_its_double_integral():
    prior, sigma = box((0, 1), shapes=[(2.5, 4.0)]), 0.2
    found = ziv_zakai(
        euclidean(lambda t: t, [sigma]), prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, 40)
    )  # fmt: skip
    h = (np.arange(400) + 0.5) / 400
    t = (np.arange(2000)[None, :] + 0.5) / 2000 * (1 - h[:, None])
    p, q = (beta_distribution.pdf(x, 2.5, 4.0) for x in (t, t + h[:, None]))
    d, tilt = h[:, None] / sigma, np.log(p / q) * sigma / h[:, None]
    inner = (p * ndtr(-d / 2 - tilt) + q * ndtr(-d / 2 + tilt)).mean(1) * (1 - h)
    assert found[0] == pytest.approx(0.5 * (h * inner).mean(), rel=1e-3)


def test_one_label_bounds_stay_below_the_error_of_the_posterior_mean():
    sigmas, prior = [0.1, 0.4, 1.0, 3.0], box((0, 1))
    t = (np.arange(300) + 0.5) / 300
    mmse = np.array([brute_force_mmse(circle, t, np.full(300, 1 / 300), t, s) for s in sigmas])
    local = weighted(prior, circle_fisher(sigmas), (40, 47), 24)
    zakai = ziv_zakai(
        euclidean(lambda a: circle(a[:, 0]), sigmas), prior, 0, np.ones((1, 1)), rule=tensor_rule(prior, 40)
    )
    assert (local < mmse).all()
    assert (zakai < mmse).all()
    assert (zakai > 0.4 * mmse).all()
    assert local[1] < 0.3 * mmse[1]  # confusion with a distant label, which local bounds do not see
    assert zakai[1] > 1.7 * local[1]


def bent(labels: np.ndarray) -> np.ndarray:
    """Two pixels of two labels in [0, 1]."""
    u, v = labels[..., 0], labels[..., 1]
    return np.stack([u + 0.8 * v + 0.3 * u**2, 0.5 * u + 1.2 * v - 0.4 * u * v], -1)


def bent_flux_fisher(sigmas) -> callable:
    def fisher(labels: np.ndarray) -> np.ndarray:
        u, v = labels.T
        jac = np.stack([[1 + 0.6 * u, 0.5 - 0.4 * v], [0.8 + 0 * u, 1.2 - 0.4 * u]]).transpose(2, 0, 1)
        return (jac @ jac.transpose(0, 2, 1))[:, None] / np.asarray(sigmas)[None, :, None, None] ** 2

    return fisher


def test_two_label_bounds_stay_below_the_error_of_the_posterior_mean():
    sigmas, prior = [0.05, 0.3, 1.0], box((0, 1), (0, 1))
    u = (np.arange(24) + 0.5) / 24
    labels = np.stack(np.meshgrid(u, u, indexing="ij"), -1).reshape(-1, 2)
    uniform = np.full(len(labels), 1 / len(labels))
    mmse = [brute_force_mmse(bent, labels, uniform, labels[:, 0], s) for s in sigmas]
    fisher, rule = bent_flux_fisher(sigmas), tensor_rule(prior, 12)
    directions = nuisance_directions(fisher(np.array([[0.2, 0.3], [0.5, 0.5]]))[:, 0], 0)
    zakai = ziv_zakai(euclidean(bent, sigmas), prior, 0, directions, rule=rule)
    alone = ziv_zakai(euclidean(bent, sigmas), prior, 0, directions[:1], rule=rule)
    local = weighted(prior, fisher, (20, 23), 12)
    assert (local < mmse).all()
    assert (zakai < mmse).all()
    assert (zakai > 0.3 * np.array(mmse)).all()
    assert zakai[0] > 1.3 * alone[0]  # moving the nuisance along hides the target


def test_bounds_do_not_care_for_units():
    sigmas, plain, scaled = [0.05, 0.5], box((0, 1), (0, 1)), box((0, 1e6), (0, 1e-3))
    unit = np.array([[1e6, 1e-3]])
    fisher = bent_flux_fisher(sigmas)
    found = []
    for prior, s in ((plain, np.ones((1, 2))), (scaled, unit)):
        info = lambda t, s=s: fisher(t / s) / (s.T * s)[None, None]  # noqa: E731
        directions = nuisance_directions(info(s / 2)[:, 0], 0)
        distance = euclidean(lambda t, s=s: bent(t / s), sigmas)
        zakai = ziv_zakai(distance, prior, 0, directions, rule=tensor_rule(prior, 5))
        found.append(np.stack([weighted(prior, info, (8, 9), 5), zakai]))
    np.testing.assert_allclose(found[1], found[0] * 1e12, rtol=1e-8)


def test_nuisance_directions_follow_the_valley_of_the_information():
    fisher = np.array([[[4.0, 1.0, 0.5], [1.0, 2.0, 0.3], [0.5, 0.3, 1.0]]])
    found = nuisance_directions(fisher, 1, scales=(1.0,))
    np.testing.assert_allclose(found[0], [0, 1, 0])
    np.testing.assert_allclose(fisher[0, [0, 2]] @ found[1], 0, atol=1e-12)
    assert found[1][1] == 1
    assert len(nuisance_directions(np.zeros((1, 3, 3)), 1)) == 1


@pytest.fixture(scope="module")
def noise():
    with jax.enable_x64(True):
        full = builtin_noise()
        arrays = {
            f.name: getattr(full, f.name)[THIN]
            for f in dataclasses.fields(full)
            if np.ndim(getattr(full, f.name)) == 1
        }
        return dataclasses.replace(full, **arrays)


@pytest.fixture(scope="module")
def emulator(noise):
    with jax.enable_x64(True):
        return make_emulator(toy_grid(np.asarray(noise.wave)), rtol=1e-8)


def stars(emulator, n: int, seed: int = 3) -> np.ndarray:
    unit = np.random.default_rng(seed).random((n, len(emulator.label_names)))
    return emulator.low + (emulator.high - emulator.low) * unit


@pytest.mark.parametrize("variance_term", [True, False])
def test_fisher_field_is_the_fisher_matrix_star_by_star(emulator, noise, variance_term):
    points, done = stars(emulator, CHUNK + 2), []
    found = fisher_field(
        emulator, noise, MAGS, points, columns=(2, 0), variance_term=variance_term, advance=done.append
    )
    assert found.shape == (CHUNK + 2, 3, 2, 2)
    assert done == [CHUNK, 2]

    @jax.jit
    def expected(point):
        variance = lambda x: noise_module.variance(emulator(x), 18.0, noise)  # noqa: E731
        jac, variance_jac = flux_jacobian(emulator, point), flux_jacobian(variance, point)
        return fisher_information(jac, 1 / variance(point), variance_jac if variance_term else None)

    for i in (0, CHUNK + 1):
        reference = expected(jnp.asarray(points[i]))[np.ix_([2, 0], [2, 0])]
        np.testing.assert_allclose(found[i, 1], reference, rtol=1e-10)


def test_a_label_without_effect_gets_no_information_from_rounding(emulator, noise):
    mean = jnp.mean(emulator.coefficients, axis=1, keepdims=True)
    deaf = dataclasses.replace(emulator, coefficients=jnp.broadcast_to(mean, emulator.coefficients.shape))
    fisher = fisher_field(deaf, noise, MAGS, stars(emulator, CHUNK + 2))
    assert (fisher[:, :, 1] == 0).all()
    assert (fisher[:, :, 0, 0] > 0).all()


def test_distance_is_the_bhattacharyya_distance_of_the_two_spectra(emulator, noise):
    first, second = stars(emulator, 2, 4), stars(emulator, 2, 5)
    found = spectral_distance(emulator, noise, MAGS, exposure=Exposure())(first, second)
    flux = [np.asarray(emulator(jnp.asarray(x[1]))) for x in (first, second)]
    var = [np.asarray(noise_module.variance(jnp.asarray(f), MAGS[2], noise)) for f in flux]
    x = np.linspace(-9, 9, 4001)  # sigma of the first
    log = 0.0
    for m1, m2, v1, v2 in zip(*flux, *var, strict=True):
        y = m1 + np.sqrt(v1) * x
        p, q = (np.exp(-0.5 * (y - m) ** 2 / v) / np.sqrt(2 * np.pi * v) for m, v in ((m1, v1), (m2, v2)))
        log += np.log(np.sqrt(p * q).sum() * (y[1] - y[0]))
    assert found[1, 2] == pytest.approx(np.sqrt(-8 * log), rel=1e-6)
    plain = spectral_distance(emulator, noise, MAGS[2:], exposure=Exposure(), variance_term=False)
    np.testing.assert_allclose(
        plain(first, second)[1, 0], np.sqrt(2 * ((flux[0] - flux[1]) ** 2 / (var[0] + var[1])).sum())
    )


def test_half_the_distance_tells_how_often_the_best_choice_errs(emulator, noise):
    first, second = stars(emulator, 1, 4), stars(emulator, 1, 4) + np.array([[30.0, -0.05, 0.01]])
    mag = 20.5
    d = spectral_distance(emulator, noise, [mag, *MAGS[1:]], exposure=Exposure())(first, second)[0, 0]
    flux = [np.asarray(emulator(jnp.asarray(x[0]))) for x in (first, second)]
    sigma = [np.sqrt(np.asarray(noise_module.variance(jnp.asarray(f), mag, noise))) for f in flux]
    rng, errors, n = np.random.default_rng(6), 0, 10000
    for truth in (0, 1):
        y = flux[truth] + sigma[truth] * rng.normal(size=(n, len(flux[0])))
        chi = [(-0.5 * ((y - f) / s) ** 2 - np.log(s)).sum(1) for f, s in zip(flux, sigma, strict=True)]
        errors += int((chi[truth] < chi[1 - truth]).sum())
    rate = errors / (2 * n)
    assert 0.02 < rate < 0.48
    assert ndtr(-d / 2) == pytest.approx(rate, abs=4 * np.sqrt(rate / (2 * n)))


@pytest.fixture(scope="module")
def results(emulator, noise) -> list[dict]:
    small = Effort(fit=7, check=9, each=4, total=12, pairs=4)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORT, 3, small)
        shapes = {name: (3.0, 3.0) for name in LABEL_NAMES}
        found = []
        for prior in (
            make_prior(emulator.low, emulator.high, LABEL_NAMES),
            make_prior(emulator.low, emulator.high, LABEL_NAMES, shapes),
        ):
            done: list[int] = []
            found.append(bayesian_bounds(emulator, noise, MAGS, prior, label="log_g", advance=done.append))
            assert 0.3 * work(3) < sum(done) <= work(3)
        return found


def test_all_bounds_are_ordered_and_approach_their_limits(results):
    for bins in results:
        for found in bins:
            mse, variance = found["mse"], found["variance"]
            for name in ("shrinkage", "weighted_van_trees", "ziv_zakai"):
                assert 0 < mse[name] <= variance * (1 + 1e-9)
                assert found["r2"][name] == pytest.approx(1 - mse[name] / variance)
            assert mse["weighted_van_trees"] <= mse["pooled"]
        assert bins[-1]["mse"]["weighted_van_trees"] > bins[0]["mse"]["weighted_van_trees"]
    assert results[0][0]["mag"] == MAGS[0]
    bright = results[1][0]["mse"]
    assert bright["weighted_van_trees"] == pytest.approx(bright["pooled"], rel=0.1)
    assert results[0][0]["variance"] == pytest.approx((AXES[1][-1] - AXES[1][0]) ** 2 / 12)


def test_van_trees_is_given_for_betas_and_refused_with_a_reason_for_a_uniform_prior(results):
    uniform, smooth = results
    assert all(found["mse"]["van_trees"] is None and found["r2"]["van_trees"] is None for found in uniform)
    assert "Beta(1, 1)" in uniform[0]["reason"]["van_trees"]
    for found in smooth:
        assert 0 < found["mse"]["van_trees"] < found["mse"]["weighted_van_trees"] * 1.01
        assert found["reason"] == {}


@pytest.mark.parametrize(
    ("names", "label", "stretch", "message"),
    [
        (("T_eff", "M_H", "log_g"), "log_g", 1.0, "emulator's labels"),
        (LABEL_NAMES, "age", 1.0, "found age"),
        (LABEL_NAMES, "log_g", 1.5, "within the grid"),
    ],
)
def test_a_prior_that_does_not_match_is_refused(emulator, noise, names, label, stretch, message):
    prior = make_prior(emulator.low, emulator.low + stretch * (emulator.high - emulator.low), names)
    with pytest.raises(UsageError, match=message):
        bayesian_bounds(emulator, noise, MAGS, prior, label=label)
