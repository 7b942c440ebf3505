"""The survey experiment: limits of bins, honesty of sigmas, the table."""

import numpy as np
import pytest
from scipy.stats import norm

from crlb.observation.conditions import SURVEY
from experiments.study.beside_limit import network_row
from experiments.study.rows import scored_spans
from experiments.survey.experiment import limit_row, network_rows
from experiments.survey.result import SurveyResult
from experiments.survey.rows import Network

RNG = np.random.default_rng(3)
N = 4000
TRUTH = RNG.normal(3.0, 1.0, N)
SIGMA = np.where(np.arange(N) % 2, 0.3, 0.6)
# A posterior N(mean, sigma^2) of truth ~ N(3, 1): its mean scatters by sqrt(1 - sigma^2).
MEAN = 3 + (1 - SIGMA**2) * (TRUTH - 3) + SIGMA * np.sqrt(1 - SIGMA**2) * RNG.normal(size=N)
EXACT = np.stack([MEAN, SIGMA], axis=1)
SNR = np.where(np.arange(N) % 2, 12.0, 4.0)


def test_the_limit_of_a_bin_is_that_of_its_stars():
    whole, faint, bright = (limit_row(span, TRUTH, SIGMA, SNR) for span in scored_spans(SNR, whole=True))
    assert (whole.n, faint.n, bright.n) == (N, N // 2, N // 2)
    assert whole.r2_bayes == pytest.approx(1 - (0.36 + 0.09) / 2, abs=0.02)
    assert faint.r2_bayes == pytest.approx(1 - 0.36, abs=0.03)
    assert faint.r2_bayes_low < faint.r2_bayes < faint.r2_bayes_high
    assert (bright.sigma, faint.sigma) == (0.3, 0.6)
    assert whole.snr == "all"


def test_the_posterior_itself_is_efficient_and_honest():
    row = network_row(TRUTH, EXACT, EXACT)
    assert row.efficiency == pytest.approx(1, abs=0.02)
    assert row.cover_68 == pytest.approx(0.68, abs=0.025)
    assert row.cover_95 == pytest.approx(0.95, abs=0.012)
    assert row.sigma_ratio == 1


def test_a_sigma_half_as_wide_covers_as_little_as_it_must():
    row = network_row(TRUTH, EXACT, np.stack([MEAN, SIGMA / 2], axis=1))
    expected = 2 * norm.cdf(0.5 * norm.ppf(0.5 + 0.68 / 2)) - 1
    assert row.cover_68 == pytest.approx(expected, abs=0.025)
    assert row.sigma_ratio == pytest.approx(0.5)


def test_a_network_without_sigma_is_scored_without():
    row = network_row(TRUTH, EXACT, np.stack([MEAN, np.full(N, np.nan)], axis=1))
    assert row.cover_68 is row.cover_95 is row.sigma_ratio is None


def test_the_result_survives_json_and_shows_every_network_in_every_bin():
    spans = scored_spans(SNR, whole=True)
    network = Network(training="toy", rows=network_rows(spans, TRUTH, EXACT, EXACT))
    limit = tuple(limit_row(span, TRUTH, SIGMA, SNR) for span in spans)
    result = SurveyResult(conditions=SURVEY, limit=limit, networks={"toy": network})
    again = SurveyResult.from_json(result.to_json())
    assert again.conditions == SURVEY
    assert again.table().count("| toy |") == len(spans)
    assert again.plot().axes
