"""The limit and the scores of a bin, from numbers whose answer is known."""

import numpy as np
import pytest

from crlb.errors import UsageError
from experiments.accuracy.experiment import MEAN, AccuracyResult, parse_networks, snr_rows


@pytest.fixture
def rows():
    """Truth = posterior mean + posterior noise, as under the right prior; sigma 0.6, variance 1."""
    rng = np.random.default_rng(0)
    mean = 0.8 * rng.normal(size=8_000)
    truth, snr = mean + 0.6 * rng.normal(size=mean.size), np.tile([2.0, 5.0], mean.size // 2)
    exact = np.stack([mean, np.full(mean.size, 0.6)], axis=-1)
    return snr_rows(truth, exact, snr, {"same": mean, "worse": 0.5 * mean})


@pytest.fixture
def found(rows):
    return next(row for row in rows[1:] if row.snr_low <= 5 < row.snr_high)


def test_the_limit_is_one_minus_the_posterior_variance_over_that_of_the_labels(found):
    assert found.n == 4_000
    assert found.r2_bayes == pytest.approx(0.64, abs=0.03)
    assert found.methods[MEAN].r2 == pytest.approx(0.64, abs=0.03)
    assert found.methods["same"] == found.methods[MEAN]
    assert found.methods["worse"].r2 == pytest.approx(1 - (0.6**2 + 0.4**2), abs=0.03)


def test_the_table_shows_what_is_missing(rows, found):
    lines = AccuracyResult(networks={"same": "a", "worse": "b"}, rows=tuple(rows)).table().splitlines()
    assert len(lines) == 2 + 3  # all stars, and the two bins that hold some
    assert lines[2].startswith("| all | 8000 | 0.6")
    assert lines[-1].startswith(f"| {found.snr_low:g}-{found.snr_high:g} | 4000 | 0.6")
    assert lines[-1].endswith(f"| {found.r2_bayes - found.methods['worse'].r2:.3f} |")


def test_bins_with_few_stars_are_counted_only():
    few = snr_rows(np.arange(3.0), np.ones((3, 2)), np.full(3, 5.0), {})
    assert few[0].n == sum(row.n for row in few[1:]) == 3
    assert {row.methods for row in few} == {row.r2_bayes for row in few} == {None}


def test_networks_are_named():
    assert parse_networks(["tiny=tiny", "mine=runs/a=b"]) == {"tiny": "tiny", "mine": "runs/a=b"}
    with pytest.raises(UsageError, match="NAME=RUN"):
        parse_networks(["tiny"])
