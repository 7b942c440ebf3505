"""What each unknown costs the exact limit: in every row the same stars, and the limit of `bayes_limit`."""

import jax
import pytest

from crlb.bayes.exact_limit import bayes_limit
from crlb.bayes.solve import AVERAGED, Inference
from crlb.bayes.unknowns import prior_under
from crlb.ceilings.prices import NO_UNKNOWN, NOTHING, Price, price_table, prices, unknowns_one_by_one
from crlb.errors import UsageError
from crlb.files.text import text_of
from crlb.observation.conditions import SURVEY, Conditions
from tests.crlb.bayes.conditions_toy import toy_model

KEY, MAGS, N = jax.random.key(4), (20.0, 21.0), 16
TILTED = Conditions(scale=0.3, continuum=1, continuum_sigma=0.3)
ROWS = {NO_UNKNOWN: NOTHING, "continuum": TILTED}


@pytest.fixture(scope="module")
def found():
    return prices(toy_model, ROWS, MAGS, n=N, key=KEY)


def test_every_row_is_the_exact_limit_under_its_conditions(found):
    assert [(row.unknown, row.mag) for row in found] == [(name, mag) for name in ROWS for mag in MAGS]
    model = toy_model(TILTED)
    limits = bayes_limit(
        model, MAGS, prior_under(TILTED, model), label="log_g", key=KEY, n=N,
        inference=Inference(TILTED, tolerance=AVERAGED),
    )  # fmt: skip
    for row, limit in zip(found[2:], limits, strict=True):
        assert {name: getattr(row, name) for name in vars(limit)} == vars(limit)


def test_what_is_lost_is_the_difference_to_the_row_with_nothing_unknown_at_that_magnitude(found):
    for plain, row in zip(found[:2], found[2:], strict=True):
        assert plain.lost.value == plain.lost.low == plain.lost.high == 0
        assert row.lost.value == pytest.approx(plain.r2_bayes.value - row.r2_bayes.value, abs=1e-12)
        assert row.lost.low < row.lost.value < row.lost.high
        # the same stars: sharper than the limits themselves
        assert row.lost.high - row.lost.low < row.r2_bayes.high - row.r2_bayes.low
    assert found[3].lost.value > 0.01


def test_prices_survive_json_and_stand_in_a_table(found):
    assert tuple(Price.from_json(row.to_json()) for row in found) == found
    lines = text_of(price_table(found, "log_g")).splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["21"] and "continuum" in line]
    assert f"{found[3].r2_bayes.value:.4f}" in line
    assert f"{found[3].sigma.median:.3f}" in line


def test_every_unknown_of_a_survey_has_a_row_of_its_own():
    rows = unknowns_one_by_one(SURVEY)
    unknowns = ["scale", "continuum", "velocity", "width", "lost pixels", "sky"]
    assert list(rows) == [NO_UNKNOWN, *unknowns, "all"]
    assert rows["all"] == SURVEY
    assert rows["width"] == Conditions(lsf_sigma=0.1, lost_block=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "vsini"}, "label must be one of log_g, M_H, found vsini"),
        ({"n": 1}, "at least 2 stars, found 1"),
        ({"mags": ()}, "at least one finite magnitude"),
    ],
)
def test_what_no_price_can_be_given_of_is_refused(change, words):
    with pytest.raises(UsageError, match=words):
        prices(toy_model, **{"rows": ROWS, "mags": MAGS, "n": N, "key": KEY} | change)
