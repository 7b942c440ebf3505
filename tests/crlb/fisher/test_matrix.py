"""Fisher matrix and bound against textbook least squares, the likelihood itself, and symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from crlb.fisher.matrix import (
    UnidentifiableError,
    bounds,
    cramer_rao_bound,
    fisher_covariance,
    fisher_information,
    flux_jacobian,
    schur_decay,
)

NAMES = ("T_eff", "log_g", "M_H")
X = np.linspace(-1, 1.4, 80)
IVAR = 1 / (0.1 + 0.05 * np.cos(3 * X)) ** 2


def curve(labels):
    """A spectrum that is not linear in its labels."""
    a, b, c = labels
    return 2 + a * X - jnp.exp(b - 20 * (X - 0.1) ** 2) + 0.3 * jnp.sin(c * X)


def variance_of(labels):
    return 0.01 * (1 + curve(labels) ** 2)


TRUTH = np.array([0.4, -0.2, 1.5])


@pytest.fixture
def jac():
    return flux_jacobian(curve, TRUTH)


def test_straight_line_has_the_textbook_bounds():
    sigma = 0.3
    fisher = fisher_information(
        flux_jacobian(lambda p: p[0] + p[1] * X, jnp.zeros(2)), np.full(80, sigma**-2)
    )
    spread = np.sum((X - X.mean()) ** 2)
    slope, offset = sigma / np.sqrt(spread), sigma * np.sqrt(np.mean(X**2) / spread)
    np.testing.assert_allclose(cramer_rao_bound(fisher), [offset, slope], rtol=1e-12)


def test_linear_gaussian_bound_is_the_least_squares_covariance(jac):
    design = np.asarray(jac) * np.sqrt(IVAR)[:, None]
    covariance = np.linalg.inv(design.T @ design)
    fisher = fisher_information(jac, IVAR)
    np.testing.assert_allclose(cramer_rao_bound(fisher), np.sqrt(np.diag(covariance)), rtol=1e-10)
    decay = 1 / (covariance[1, 1] * (design.T @ design)[1, 1])
    np.testing.assert_allclose(schur_decay(fisher, 1), decay, rtol=1e-10)
    assert 0 < decay < 1


def test_jacobian_is_the_central_difference(jac):
    for i in range(3):
        step = 1e-5 * np.eye(3)[i]
        np.testing.assert_allclose(jac[:, i], (curve(TRUTH + step) - curve(TRUTH - step)) / 2e-5, atol=1e-8)


def test_fisher_is_minus_the_hessian_of_the_log_likelihood(jac):
    def log_likelihood(labels):
        return -0.5 * jnp.sum(IVAR * (curve(TRUTH) - curve(labels)) ** 2)

    np.testing.assert_allclose(fisher_information(jac, IVAR), -jax.hessian(log_likelihood)(TRUTH), rtol=1e-10)


def test_trace_term_completes_the_hessian_where_the_variance_depends_on_the_labels(jac):
    flux, variance = curve(TRUTH), variance_of(TRUTH)

    def expected_log_likelihood(labels):
        v = variance_of(labels)
        return -0.5 * jnp.sum((variance + (flux - curve(labels)) ** 2) / v + jnp.log(v))

    full = fisher_information(jac, 1 / variance, flux_jacobian(variance_of, TRUTH))
    np.testing.assert_allclose(full, -jax.hessian(expected_log_likelihood)(TRUTH), rtol=1e-9)
    without = fisher_information(jac, 1 / variance)
    assert np.linalg.eigvalsh(full - without).min() > 0


def test_fisher_is_symmetric_positive_and_adds_over_pixels(jac):
    fisher = np.asarray(fisher_information(jac, IVAR))
    np.testing.assert_allclose(fisher, fisher.T, rtol=1e-14)
    assert np.linalg.eigvalsh(fisher).min() > 0
    parts = fisher_information(jac[:30], IVAR[:30]) + fisher_information(jac[30:], IVAR[30:])
    np.testing.assert_allclose(fisher, parts, rtol=1e-12)


def test_unusable_pixels_carry_no_information(jac):
    masked = np.where(np.arange(80) < 30, IVAR, 0.0)
    np.testing.assert_allclose(
        fisher_information(jac, masked), fisher_information(jac[:30], IVAR[:30]), rtol=1e-12
    )


def test_bound_is_covariant_under_linear_relabelling(jac):
    mix = np.array([[2.0, 0.3, 0.0], [0.0, 1.0, -0.5], [0.1, 0.0, 3.0]])  # old = mix @ new
    fisher = np.asarray(fisher_information(jac, IVAR))
    mixed = fisher_information(flux_jacobian(lambda new: curve(mix @ new), np.linalg.solve(mix, TRUTH)), IVAR)
    np.testing.assert_allclose(mixed, mix.T @ fisher @ mix, rtol=1e-10)
    to_new = np.linalg.inv(mix)
    covariance = to_new @ np.linalg.inv(fisher) @ to_new.T
    np.testing.assert_allclose(cramer_rao_bound(mixed), np.sqrt(np.diag(covariance)), rtol=1e-9)


def test_bound_does_not_depend_on_units(jac):
    unit = np.array([1e6, 1e-6, 1.0])
    plain = np.asarray(cramer_rao_bound(fisher_information(jac, IVAR)))
    scaled = np.asarray(cramer_rao_bound(fisher_information(np.asarray(jac) * unit, IVAR)))
    np.testing.assert_allclose(scaled * unit, plain, rtol=1e-11)


def test_bound_scales_as_one_over_snr(jac):
    faint, bright = (cramer_rao_bound(fisher_information(jac, IVAR * s**2)) for s in (1.0, 7.0))
    np.testing.assert_allclose(faint / bright, 7.0, rtol=1e-12)


def test_a_nuisance_never_lowers_a_bound(jac):
    fisher = fisher_information(jac, IVAR)
    every, two, one = (cramer_rao_bound(fisher, fixed=f)[0] for f in ((), (1,), (1, 2)))
    assert every >= two >= one
    np.testing.assert_allclose(one, 1 / np.sqrt(fisher[0, 0]), rtol=1e-12)
    np.testing.assert_allclose((one / every) ** 2, schur_decay(fisher, 0), rtol=1e-12)


def test_fixed_labels_have_bound_zero_by_index_or_name(jac):
    fisher = fisher_information(jac, IVAR)
    by_name = cramer_rao_bound(fisher, fixed=("log_g",), label_names=NAMES)
    np.testing.assert_array_equal(by_name, cramer_rao_bound(fisher, fixed=(1,)))
    assert by_name[1] == 0
    np.testing.assert_array_equal(cramer_rao_bound(fisher, fixed=(0, 1, 2)), np.zeros(3))


def test_prior_adds_its_information():
    fisher = np.array([[4.0]])
    np.testing.assert_allclose(cramer_rao_bound(fisher, prior_sigma=[0.5]), [8**-0.5], rtol=1e-14)
    np.testing.assert_allclose(cramer_rao_bound(fisher, prior_sigma=[np.inf]), [0.5], rtol=1e-14)


def test_tight_prior_equals_fixing(jac):
    fisher = fisher_information(jac, IVAR)
    tight = cramer_rao_bound(fisher, prior_sigma=np.array([np.inf, 1e-5, np.inf]))
    fixed = cramer_rao_bound(fisher, fixed=(1,))
    np.testing.assert_allclose(tight[np.array([0, 2])], fixed[np.array([0, 2])], rtol=1e-5)


def test_degenerate_labels_raise_and_are_named_with_their_direction():
    slope = np.stack([X, 2 * X, np.cos(X)], axis=1)
    fisher = fisher_information(slope, IVAR)
    with pytest.raises(
        UnidentifiableError, match=r"T_eff, log_g cannot .* T_eff by [+-]1, log_g by [+-]0.5 tog"
    ):
        cramer_rao_bound(fisher, label_names=NAMES)
    with pytest.raises(UnidentifiableError, match="label 0, label 1 cannot"):
        schur_decay(fisher, 2)
    assert np.isfinite(cramer_rao_bound(fisher, fixed=(1,))).all()
    assert np.isfinite(cramer_rao_bound(fisher, prior_sigma=[1.0, 1.0, 1.0])).all()


def test_three_way_degeneracy_that_survives_cholesky_is_found(jac):
    third = np.asarray(jac[:, 0] - 1e-4 * jac[:, 1])
    fisher = fisher_information(np.stack([jac[:, 0], jac[:, 1], third], axis=1), IVAR)
    with pytest.raises(UnidentifiableError, match="cannot be told apart"):
        cramer_rao_bound(fisher, label_names=NAMES)


def test_strong_but_genuine_correlation_is_not_refused():
    nearly = np.stack([X, X + 1e-4 * np.cos(9 * X)], axis=1)
    expected = np.sqrt(np.diag(np.linalg.inv((nearly * IVAR[:, None]).T @ nearly)))
    np.testing.assert_allclose(cramer_rao_bound(fisher_information(nearly, IVAR)), expected, rtol=1e-6)


def test_label_without_effect_is_named():
    fisher = fisher_information(np.stack([X, 0 * X], axis=1), IVAR)
    with pytest.raises(UnidentifiableError, match="does not depend on log_g; fix it"):
        cramer_rao_bound(fisher, label_names=NAMES[:2])


def test_unidentifiable_is_nan_when_traced():
    singular = jnp.asarray(fisher_information(np.stack([X, 2 * X], axis=1), IVAR))
    both = jnp.stack([singular, jnp.diag(jnp.array([4.0, 1.0]))])
    bounds = jax.jit(jax.vmap(cramer_rao_bound))(both)
    assert np.isnan(bounds[0]).all()
    np.testing.assert_allclose(bounds[1], [0.5, 1.0])
    assert np.isnan(jax.jit(schur_decay, static_argnums=1)(singular, 0))


def test_bad_arguments_are_refused_in_words():
    fisher = np.eye(3)
    with pytest.raises(UsageError, match=r"fixed must name labels among T_eff, log_g, M_H .* found 'vsini'"):
        cramer_rao_bound(fisher, fixed=("vsini",), label_names=NAMES)
    with pytest.raises(UsageError, match="found 3"):
        cramer_rao_bound(fisher, fixed=(3,))
    with pytest.raises(UsageError, match="prior_sigma must be positive"):
        cramer_rao_bound(fisher, prior_sigma=[1.0, 0.0, 1.0])
    with pytest.raises(UsageError, match="label_names must hold 3 names, found 1"):
        cramer_rao_bound(fisher, label_names=("T_eff",))
    with pytest.raises(DataError, match="finite"):
        cramer_rao_bound(fisher * np.nan)


def test_float32_follows_float64(jac):
    exact = cramer_rao_bound(fisher_information(jac, IVAR))
    with jax.enable_x64(False):
        rough = cramer_rao_bound(fisher_information(np.float32(jac), np.float32(IVAR)))
        assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, exact, rtol=1e-3)


def test_batch_finishes_and_says_why_a_star_has_no_bound(jac):
    good = np.asarray(fisher_information(jac, IVAR))
    twins = np.asarray(fisher_information(np.stack([X, 2 * X, np.cos(X)], axis=1), IVAR))
    deaf = np.diag([1.0, 0.0, 4.0])
    batch = np.stack([good, twins, deaf, np.full((3, 3), np.nan), good])
    found = bounds(batch, NAMES)
    np.testing.assert_allclose(found.sigma[[0, 4]], [cramer_rao_bound(good)] * 2, rtol=1e-12)
    assert np.isnan(found.sigma[1:4]).all()
    assert found.reason[0] == found.reason[4] == ""
    assert "moving T_eff by" in found.reason[1]
    assert "log_g by" in found.reason[1]
    assert "does not depend on log_g" in found.reason[2]
    assert "finite" in found.reason[3]


def test_batch_takes_priors_and_fixed_labels_like_a_single_star(jac):
    good = np.asarray(fisher_information(jac, IVAR))
    twins = np.asarray(fisher_information(np.stack([X, 2 * X, np.cos(X)], axis=1), IVAR))
    options = {"prior_sigma": [0.3, np.inf, np.inf], "fixed": ("M_H",), "label_names": NAMES}
    found = bounds(np.stack([good, twins]), **options)
    expected = [cramer_rao_bound(matrix, **options) for matrix in (good, twins)]
    np.testing.assert_allclose(found.sigma, expected, rtol=1e-12)
    assert found.reason == ["", ""]
    half_known = bounds(twins[None], fixed=("M_H",), label_names=NAMES)
    np.testing.assert_array_equal(half_known.sigma, [[np.nan, np.nan, 0.0]])
    with pytest.raises(UsageError, match="found 'vsini'"):
        bounds(good[None], fixed=("vsini",), label_names=NAMES)
    with pytest.raises(UsageError, match="prior_sigma must be positive"):
        bounds(good[None], prior_sigma=[1.0, 0.0, 1.0])


def test_covariance_is_the_inverse_and_its_diagonal_the_squared_bound(jac):
    fisher = fisher_information(jac, IVAR)
    covariance = fisher_covariance(fisher)
    np.testing.assert_allclose(covariance, np.linalg.inv(np.asarray(fisher)), rtol=1e-9)
    np.testing.assert_allclose(jnp.sqrt(jnp.diagonal(covariance)), cramer_rao_bound(fisher), rtol=1e-12)
