"""The excess of the posterior mean, on stars whose answer is known: right posteriors, narrow ones, ranks."""

import numpy as np
import pytest

from experiments.chance.experiment import ChanceResult, Known, SnrAtMag, rows_of, snr_at_mag
from experiments.study.stars import Stars

N = 20_000


def known(narrow=1.0):
    """Truth = posterior mean + normal posterior noise of 0.6 dex; sigma given as `narrow` times that."""
    rng = np.random.default_rng(0)
    mean = 3 + 0.5 * rng.normal(size=N)
    truth = mean + 0.6 * rng.normal(size=N)
    return Known(truth, mean, np.full(N, 0.6 * narrow), rng.uniform(size=N))


def stars(truth):
    """Of magnitudes 22 to 22.5, SNR a function of magnitude and, by 2 %, of the first label."""
    rng = np.random.default_rng(1)
    mag, other = rng.uniform(22, 22.5, N), rng.uniform(-1, 1, N)
    snr = 4 * 10 ** (-0.4 * (mag - 22)) * np.exp(0.02 * other)
    empty = np.empty((N, 0))
    return Stars(empty, np.column_stack([other, truth]), mag, snr, empty)


def test_a_right_posterior_has_no_excess_in_any_bin():
    found = known()
    rows = rows_of("fresh", found, stars(found.truth))
    assert {row.what for row in rows} == {"all", "mag", "SNR", "posterior mean"}
    assert max(abs(row.z) for row in rows) < 3.5
    total = rows[0]
    assert (total.n, total.low, total.high) == (N, None, None)
    assert total.excess_error == pytest.approx(0.36 * np.sqrt(2 / N), rel=0.05)  # of a squared normal deviate
    assert sum(row.n for row in rows if row.what == "mag") == N


def test_a_sigma_a_tenth_too_narrow_is_found_with_its_size():
    found = known(narrow=0.9)
    total = rows_of("fresh", found, stars(found.truth))[0]
    assert total.excess == pytest.approx(0.36 * (1 - 0.81), abs=4 * total.excess_error)
    assert total.z > 10


def test_ranks_that_are_not_uniform_are_found_and_none_are_not_tested():
    found = known()
    assert rows_of("a", found._replace(rank=found.rank**2), stars(found.truth))[0].rank_p < 1e-6
    assert rows_of("a", found._replace(rank=None), stars(found.truth))[0].rank_p is None


def test_snr_at_a_magnitude_follows_the_label_it_was_made_from():
    found = snr_at_mag(stars(known().truth), ("other", "log_g"))
    assert found.scatter == pytest.approx(
        0.02 / np.sqrt(3), rel=0.03
    )  # standard deviation of uniform -1 to 1
    assert found.correlation["other"] > 0.99
    assert abs(found.correlation["log_g"]) < 0.03


def test_a_result_is_read_back_and_tabled():
    found = known()
    result = ChanceResult(
        fresh_seed=1,
        fresh_mag=(22.0, 22.5),
        unconverged=0,
        rows=tuple(rows_of("fresh", found, stars(found.truth))),
        snr_at_mag=SnrAtMag(scatter=0.02, correlation={"T_eff": -0.9}),
    )
    assert ChanceResult.from_json(result.to_json()) == result
    assert result.table().splitlines()[2].startswith(f"| fresh | {N} |")
    assert "T_eff -0.90" in result.table()
