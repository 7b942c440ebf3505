"""The survey experiment: limits of bins, honesty of sigmas, each unknown by itself, the table."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import norm

from crlb.observation.conditions import SURVEY
from experiments.study.beside_limit import network_row
from experiments.study.rows import scored_spans
from experiments.study.running import report
from experiments.survey.experiment import STUDY, SurveyOptions, cases, limit_row, network_rows
from experiments.survey.result import SurveyResult
from experiments.survey.rows import CaseRow, Network

RNG = np.random.default_rng(3)
N = 4000
TRUTH = RNG.normal(3.0, 1.0, N)
SIGMA = np.where(np.arange(N) % 2, 0.3, 0.6)
# A posterior N(mean, sigma^2) of truth ~ N(3, 1): its mean scatters by sqrt(1 - sigma^2).
MEAN = 3 + (1 - SIGMA**2) * (TRUTH - 3) + SIGMA * np.sqrt(1 - SIGMA**2) * RNG.normal(size=N)
EXACT = np.stack([MEAN, SIGMA], axis=1)
SNR = np.where(np.arange(N) % 2, 12.0, 4.0)


def test_the_limit_of_a_bin_is_that_of_its_stars():
    whole, faint, bright = (limit_row(span, TRUTH, EXACT, SNR) for span in scored_spans(SNR, whole=True))
    assert (whole.n, faint.n, bright.n) == (N, N // 2, N // 2)
    assert whole.r2_bayes == pytest.approx(1 - (0.36 + 0.09) / 2, abs=0.02)
    assert faint.r2_bayes == pytest.approx(1 - 0.36, abs=0.03)
    assert faint.r2_bayes_low < faint.r2_bayes < faint.r2_bayes_high
    assert (bright.sigma, faint.sigma) == (0.3, 0.6)
    assert whole.snr == "all"
    assert whole.r2_mean == pytest.approx(whole.r2_bayes, abs=0.02)


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
    limit = tuple(limit_row(span, TRUTH, EXACT, SNR) for span in spans)
    case = CaseRow(case="velocity known", n=7, r2={"toy": 0.5})
    result = SurveyResult(conditions=SURVEY, limit=limit, networks={"toy": network}, sensitivity=(case,))
    again = SurveyResult.from_json(result.to_json())
    assert again.conditions == SURVEY
    assert again.table().count("| toy |") == len(spans) + 1  # the last one heads the table of cases
    assert replace(again, sensitivity=()).table().count("| toy |") == len(spans)
    assert "| velocity known | 7 | 0.500 |" in again.table()
    assert again.plot().axes


def test_every_case_changes_one_unknown_and_all_unknowns_have_one():
    found = cases(SURVEY)
    changed = {
        name: [f.name for f in fields(SURVEY) if getattr(one, f.name) != getattr(SURVEY, f.name)]
        for name, one in found.items()
    }
    assert changed.pop("as they are") == []
    assert all(len(names) == 1 for names in changed.values())
    unknowns = {"scale", "continuum", "continuum_sigma", "rv_sigma_kms", "lsf_sigma", "lost", "sky_left"}
    assert {name for names in changed.values() for name in names} == unknowns
    assert found["velocity twice as uncertain"].rv_sigma_kms == 2 * SURVEY.rv_sigma_kms


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_trains_a_network_where_asked_and_tells_every_case(tmp_path):
    report(STUDY, SurveyOptions("smoke", out=tmp_path, train=True, sensitivity=True))
    result = SurveyResult.from_json(json.loads((tmp_path / "results.json").read_text()))
    assert list(result.networks) == ["survey"]
    assert "conditions survey" in result.networks["survey"].training
    assert [row.case for row in result.sensitivity] == list(cases(SURVEY))
    assert {row.n for row in result.sensitivity} == {30}
