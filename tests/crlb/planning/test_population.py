"""The exposures of many stars against stars that are observed one by one."""

from functools import partial

import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.observation.exposure import Exposure
from crlb.observation.star import observe
from crlb.planning.population import exposures_needed
from crlb.planning.variance import CHUNK

WANT = {"log_g": 0.2, "M_H": 0.1}
COMPARED = (*range(6), CHUNK)  # stars that are observed one by one


@pytest.fixture(scope="module")
def stars(thin_model):
    rng = np.random.default_rng(5)
    low, high = thin_model.emulator.low, thin_model.emulator.high
    labels = low + (high - low) * rng.uniform(size=(CHUNK + 1, 3))
    return labels, rng.uniform(17.0, 23.0, len(labels))


@pytest.fixture(scope="module")
def needed(thin_model, stars):
    return exposures_needed(thin_model, *stars, WANT)


def test_one_exposure_fewer_does_not_suffice(thin_model, stars, needed):
    assert needed.n_exp.shape == needed.floor.shape == (len(stars[0]), 2)
    some, none = 0, 0
    for row in COMPARED:
        for column, (name, want) in enumerate(WANT.items()):
            n_exp, floor = needed.n_exp[row, column], needed.floor[row, column]
            bound = partial(observed_bound, thin_model, stars[0][row], stars[1][row], name)
            if np.isinf(n_exp):
                none += 1
                assert floor > want
                assert bound(10**9) == pytest.approx(floor, rel=1e-3)
                continue
            some += n_exp > 1
            assert bound(int(n_exp)) <= want * (1 + 1e-9)
            assert n_exp == 1 or bound(int(n_exp) - 1) > want * (1 - 1e-9)
    assert some > 1
    assert none > 0


def observed_bound(model, labels, mag, name, n_exp):
    seen = model.with_exposure(Exposure(900.0, n_exp, 0.8))
    return observe(seen, labels, mag).fisher().bound(name)


def test_a_star_outside_the_grid_has_no_number(thin_model, stars):
    labels, mags = stars[0][:2].copy(), stars[1][:2]
    labels[0, 0] = 9000.0
    found = exposures_needed(thin_model, labels, mags, WANT)
    assert np.isnan(found.n_exp[0]).all()
    assert np.isnan(found.floor[0]).all()
    assert np.isfinite(found.floor[1]).all()


def test_progress_counts_every_star_once(thin_model, stars):
    told = []
    exposures_needed(thin_model, *stars, {"M_H": 0.5}, advance=told.append)
    assert sum(told) == len(stars[0])


@pytest.mark.parametrize(
    ("want", "n", "words"),
    [
        ({}, 2, "at least one label"),
        ({"logg": 0.1}, 2, "unknown label logg.*did you mean log_g"),
        ({"log_g": 0.0}, 2, "bound of log_g must be positive"),
        (WANT, 0, "a magnitude for every star"),
    ],
)
def test_what_cannot_be_asked_is_refused(thin_model, stars, want, n, words):
    with pytest.raises(UsageError, match=words):
        exposures_needed(thin_model, stars[0][:n], stars[1][:n], want)
