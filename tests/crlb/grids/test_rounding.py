"""Labels that differ by rounding are one, and no others."""

import numpy as np

from crlb.grids.rounding import is_node, unite_rounded


def test_values_that_went_through_float32_are_united_with_those_that_did_not():
    exact = np.array([[4999.9, 0.3], [5250.1, 0.7], [5500.1, 1.1]])
    mixed = np.concatenate([exact, exact.astype(np.float32).astype(np.float64)])
    np.testing.assert_array_equal(unite_rounded(mixed), np.concatenate([exact, exact]))
    assert is_node(mixed[:, 1], 0.3).tolist() == [True, False, False] * 2
    assert is_node(mixed[:, 1], float(np.float32(0.3))).sum() == 2
    assert not is_node(mixed[:, 1], 0.3001).any()


def test_the_value_with_the_fewest_digits_stands_for_its_like():
    column = np.array([4999.9995, 5000.0, 5000.0001, 5250.0])[:, None]
    np.testing.assert_array_equal(np.ravel(unite_rounded(column)), [5000.0, 5000.0, 5000.0, 5250.0])
    single = np.float64(np.float32([0.3, 0.7]))[:, None]
    np.testing.assert_array_equal(unite_rounded(single), single)
    np.testing.assert_array_equal(unite_rounded(np.array([[5000.0], [5000.01]])), [[5000.0], [5000.01]])
