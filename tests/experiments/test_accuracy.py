"""The limit and the scores of a bin, from numbers whose answer is known."""

import numpy as np
import pytest

from crlb.errors import UsageError
from experiments.accuracy import parse_networks, row, table


@pytest.fixture
def found():
    """Truth = posterior mean + posterior noise, as under the right prior; sigma 0.6, variance 1."""
    rng = np.random.default_rng(0)
    mean = 0.8 * rng.normal(size=8_000)
    truth, snr = mean + 0.6 * rng.normal(size=mean.size), np.tile([2.0, 5.0], mean.size // 2)
    exact = np.stack([mean, np.full(mean.size, 0.6)], axis=-1)
    return row(truth, exact, snr, {"same": mean, "worse": 0.5 * mean}, 4.0, 6.0)


def test_the_limit_is_one_minus_the_posterior_variance_over_that_of_the_labels(found):
    assert found["n"] == 4_000
    assert found["r2_bayes"] == pytest.approx(0.64, abs=0.03)
    assert found["posterior mean"]["r2"] == pytest.approx(0.64, abs=0.03)
    assert found["same"] == found["posterior mean"]
    assert found["worse"]["r2"] == pytest.approx(1 - (0.6**2 + 0.4**2), abs=0.03)


def test_the_table_shows_what_is_missing(found):
    line = table([found], ["same", "worse"]).splitlines()[-1]
    assert line.startswith("| 4-6 | 4000 | 0.6")
    assert line.endswith(f"| {found['r2_bayes'] - found['worse']['r2']:.3f} |")


def test_bins_with_few_stars_are_counted_only():
    few = row(np.arange(3.0), np.ones((3, 2)), np.full(3, 5.0), {}, 4.0, 6.0)
    assert few == {"snr_low": 4.0, "snr_high": 6.0, "n": 3}


def test_networks_are_named():
    assert parse_networks(["tiny=tiny", "mine=runs/a=b"]) == {"tiny": "tiny", "mine": "runs/a=b"}
    with pytest.raises(UsageError, match="NAME=RUN"):
        parse_networks(["tiny"])
