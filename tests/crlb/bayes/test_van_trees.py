"""Van Trees bounds against closed forms and independently found optimal biases."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.integrate import quad
from scipy.linalg import solve_banded
from scipy.special import betaln
from scipy.stats import beta as beta_distribution

from crlb.bayes.quadrature import tensor_rule
from crlb.bayes.van_trees import PriorInformationError, beta_information, van_trees
from crlb.errors import DataError, UsageError
from tests.crlb.bayes.bounds_toy import bent_fisher, box, constant, weighted


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
