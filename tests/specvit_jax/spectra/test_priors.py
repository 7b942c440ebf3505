"""Priors of labels: their moments, their ranges, and what they draw next to each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.bayes.prior import make_prior
from crlb.errors import UsageError
from specvit_jax.spectra.priors import make_snapped

AXES = ((4000.0, 4500.0, 6000.0), (1.0, 2.0, 3.0, 4.0, 5.0), (-2.0, -1.0, 0.0))
NAMES = ("T_eff", "log_g", "M_H")
LOW, HIGH = np.array([4000.0, 1.0, -2.0]), np.array([6000.0, 5.0, 0.0])
N = 30_000
KEY = jax.random.key(2)


def on_nodes(labels: np.ndarray) -> np.ndarray:
    return np.stack([np.isin(labels[:, i], axis) for i, axis in enumerate(AXES)], axis=1)


def test_the_share_on_nodes_is_one_less_one_over_the_number_of_labels():
    labels = np.asarray(make_snapped(AXES, LOW, HIGH, NAMES).draw(KEY, N))
    error = np.sqrt(1 / 3 * 2 / 3 / N)
    np.testing.assert_allclose(on_nodes(labels).mean(axis=0), 2 / 3, atol=5 * error)
    assert ((labels >= LOW) & (labels <= HIGH)).all()


def test_a_narrower_range_keeps_snapped_labels_and_nodes_within():
    low, high = np.array([4200.0, 2.0, -1.5]), np.array([6000.0, 3.5, -1.5])
    labels = np.asarray(make_snapped(AXES, low, high, NAMES).draw(KEY, N))
    assert ((labels >= low.astype(np.float32)) & (labels <= high.astype(np.float32))).all()
    assert (labels[:, 2] == -1.5).all()
    error = np.sqrt(0.25 / N)
    np.testing.assert_allclose(on_nodes(labels)[:, :2].mean(axis=0), 0.5, atol=5 * error)
    assert set(labels[on_nodes(labels)[:, 1], 1]) == {2.0, 3.0}


def test_one_node_in_a_range_is_enough_and_none_is_refused():
    one = make_snapped(AXES, np.array([4400.0, 1.0, -2.0]), np.array([4600.0, 5.0, 0.0]), NAMES)
    temperature = np.asarray(one.draw(KEY, 1000))[:, 0]
    assert abs((temperature == 4500.0).mean() - 2 / 3) < 0.08
    with pytest.raises(UsageError, match="range of T_eff, 4600 to 5900, holds none"):
        make_snapped(AXES, np.array([4600.0, 1.0, -2.0]), np.array([5900.0, 5.0, 0.0]), NAMES)


@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (0.5, 0.5), (8.0, 1.0)])
def test_beta_labels_have_the_mean_and_variance_of_their_distribution(a, b):
    prior = jax.tree.map(jnp.asarray, make_prior(LOW, HIGH, NAMES, {"log_g": (a, b)}))
    labels = np.asarray(jax.jit(lambda key: prior.draw(key, N))(KEY))
    unit = (labels[:, 1] - 1.0) / 4.0
    mean, variance = a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
    assert abs(unit.mean() - mean) < 5 * np.sqrt(variance / N)
    assert abs(unit.var() / variance - 1) < 5 * np.sqrt(3 / N)
    assert ((unit >= 0) & (unit <= 1)).all()
    assert abs(labels[:, 0].mean() - 5000) < 5 * 2000 / np.sqrt(12 * N)
