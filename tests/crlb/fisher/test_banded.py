"""Fisher matrix with correlated pixels against dense linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from crlb.fisher.banded import fisher_information_banded
from crlb.fisher.matrix import fisher_information

N_PIX = 600  # more than two of the blocks of columns
X = np.linspace(-1, 1, N_PIX)
JAC = np.stack([np.exp(-30 * X**2), np.cos(5 * X), 1 + X], axis=1)
LABELS = np.array([0.3, -0.2, 0.5])


def bands_of(labels):
    """Variance, and covariance with the first and the second neighbour, all depending on the labels."""
    a, b, c = labels
    variance = 0.04 * jnp.exp(a * X + 0.3 * jnp.cos(9 * X))
    return jnp.stack([variance, (0.35 + 0.1 * b) * variance, 0.1 * jnp.sin(c + X) * variance])


def dense(bands):
    """The symmetric matrix with these lower bands."""
    n = bands.shape[1]
    return sum(
        np.diag(band[: n - d], -d) + (np.diag(band[: n - d], d) if d else 0) for d, band in enumerate(bands)
    )


def dense_fisher(jac, covariance, slopes=None):
    inverse = np.linalg.inv(covariance)
    fisher = jac.T @ inverse @ jac
    if slopes is None:
        return fisher
    products = [inverse @ slope for slope in slopes]
    return fisher + 0.5 * np.array([[np.sum(p * q.T) for q in products] for p in products])


@pytest.fixture
def bands():
    return np.asarray(bands_of(LABELS))


@pytest.fixture
def bands_jac():
    return np.asarray(jax.jacfwd(bands_of)(jnp.asarray(LABELS)))


def test_banded_covariance_equals_the_dense_one(bands):
    np.testing.assert_allclose(
        fisher_information_banded(JAC, bands), dense_fisher(JAC, dense(bands)), rtol=1e-10
    )


def test_trace_term_equals_the_dense_one_and_can_be_left_out(bands, bands_jac):
    slopes = [dense(bands_jac[..., i]) for i in range(3)]
    with_term = fisher_information_banded(JAC, bands, bands_jac)
    np.testing.assert_allclose(with_term, dense_fisher(JAC, dense(bands), slopes), rtol=1e-9)
    assert np.linalg.eigvalsh(with_term - fisher_information_banded(JAC, bands)).min() > 0


def test_trace_term_completes_the_hessian_of_the_likelihood(bands, bands_jac):
    few = 40
    variance = dense(bands[:, :few])

    def expected_log_likelihood(labels):
        b = bands_of(labels)[:, :few]
        c = sum(jnp.diag(b[d, : few - d], -d) + (jnp.diag(b[d, : few - d], d) if d else 0) for d in range(3))
        miss = jnp.asarray(JAC[:few]) @ (labels - LABELS)
        inverse = jnp.linalg.inv(c)
        return -0.5 * (jnp.trace(inverse @ variance) + miss @ inverse @ miss + jnp.linalg.slogdet(c)[1])

    found = fisher_information_banded(JAC[:few], bands[:, :few], bands_jac[:, :few])
    np.testing.assert_allclose(found, -jax.jit(jax.hessian(expected_log_likelihood))(LABELS), rtol=1e-8)


def test_one_band_is_the_diagonal_case(bands, bands_jac):
    diagonal = fisher_information_banded(JAC, bands[:1], bands_jac[:1])
    np.testing.assert_allclose(diagonal, fisher_information(JAC, 1 / bands[0], bands_jac[0]), rtol=1e-12)


def test_entries_past_the_end_of_a_band_do_not_matter(bands, bands_jac):
    dirty, dirty_jac = bands.copy(), bands_jac.copy()
    for d in (1, 2):
        dirty[d, N_PIX - d :] = np.nan
        dirty_jac[d, N_PIX - d :] = np.nan
    np.testing.assert_array_equal(
        fisher_information_banded(JAC, dirty, dirty_jac), fisher_information_banded(JAC, bands, bands_jac)
    )


def test_unusable_pixels_are_as_if_they_had_never_been(bands, bands_jac):
    usable = np.abs(np.arange(N_PIX) - 250) > 4
    usable[[0, 400]] = False
    kept = np.ix_(usable, usable)
    slopes = [dense(bands_jac[..., i])[kept] for i in range(3)]
    expected = dense_fisher(JAC[usable], dense(bands)[kept], slopes)
    found = fisher_information_banded(JAC, bands, bands_jac, usable)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    bad = np.where(usable, bands, np.nan)
    np.testing.assert_allclose(fisher_information_banded(JAC, bad, bands_jac, usable), found, rtol=1e-14)


def test_bad_covariances_are_refused_in_words(bands):
    with pytest.raises(DataError, match="positive definite"):
        fisher_information_banded(JAC, bands[::-1])
    with pytest.raises(DataError, match="finite, found NaN"):
        fisher_information_banded(JAC, np.where(X > 0.9, np.nan, bands))
    with pytest.raises(UsageError, match="needed 1 to 2 bands, found 3"):
        fisher_information_banded(JAC[:2], bands[:, :2])
