"""LightGBM: deterministic, stopped early, absent without harm."""

import builtins
import sys
from dataclasses import replace

import numpy as np
import pytest

from crlb.errors import MissingInputError, UsageError
from experiments.baselines.boosting import PUBLISHED, TUNED, LightGBM, Settings, grow
from experiments.baselines.ridge import Ridge
from tests.experiments.baselines.test_protocol import MAG, spectra

SMALL = Settings(max_trees=40, num_leaves=7, learning_rate=0.2, min_data_in_leaf=5, threads=1)


def fitted(settings: Settings, n: int = 300) -> LightGBM:
    model = LightGBM(settings)
    model.fit([spectra(n)], spectra(100, seed=1))
    return model


def test_published_settings_are_those_of_the_report():
    found = PUBLISHED.parameters()
    assert (PUBLISHED.features, PUBLISHED.max_trees, PUBLISHED.patience) == ("pixels", 5000, 50)
    assert (found["learning_rate"], found["num_leaves"]) == (0.05, 63)
    assert (found["bagging_fraction"], found["bagging_freq"], found["feature_fraction"]) == (0.8, 1, 0.8)
    assert TUNED.features == "components"


@pytest.mark.parametrize("features", ["pixels", "components"])
def test_the_same_spectra_give_the_same_trees_on_any_number_of_threads(features):
    settings = replace(SMALL, features=features, n_principal=4)
    arrays = [fitted(replace(settings, threads=threads)).arrays() for threads in (1, 1, 2)]
    flux = spectra(50, seed=2)[0]
    for other in arrays[1:]:
        assert set(other) == set(arrays[0])
        found = LightGBM.restore(other).predict(flux, MAG[:50])
        np.testing.assert_array_equal(found, LightGBM.restore(arrays[0]).predict(flux, MAG[:50]))


def test_another_seed_grows_other_trees():
    flux = spectra(50, seed=2)[0]
    a, b = (fitted(replace(SMALL, seed=seed)).predict(flux, MAG[:50]) for seed in (1, 2))
    assert np.abs(a - b).max() > 0


def test_trees_end_at_the_best_validation_error():
    """Labels that have nothing to do with the spectra: every tree makes the prediction worse."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 5)), rng.normal(size=200)
    calls: list[int] = []
    settings = replace(SMALL, max_trees=300, patience=5)
    trees = grow(
        settings, (x, y), (rng.normal(size=(100, 5)), rng.normal(size=100)), lambda n: calls.append(1)
    )
    assert trees.num_trees() + 5 == len(calls) < 300


def test_no_more_trees_grow_than_are_allowed():
    model = fitted(replace(SMALL, max_trees=3))
    assert model.boosters is not None
    assert [booster.num_trees() for booster in model.boosters] == [3, 3]


def test_a_second_fit_forgets_the_first():
    model = fitted(replace(SMALL, features="components", n_principal=4))
    model.settings = SMALL
    model.fit([spectra(300)], spectra(100, seed=1))
    flux = spectra(50, seed=2)[0]
    np.testing.assert_array_equal(model.predict(flux, MAG[:50]), fitted(SMALL).predict(flux, MAG[:50]))


@pytest.mark.parametrize("error", [ImportError("No module named 'lightgbm'"), OSError("libgomp.so.1")])
def test_without_lightgbm_the_way_out_is_named_and_the_rest_works(error, monkeypatch):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "lightgbm":
            raise error
        return original(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingInputError, match=r"lightgbm.*pip install specvit-jax\[baselines\]"):
        fitted(SMALL)
    ridge = Ridge()
    ridge.fit([spectra(100)], spectra(50, seed=1))
    assert ridge.predict(spectra(5)[0], MAG[:5]).shape == (5, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"features": "wavelets"}, "pixels or components"), ({"max_trees": 0}, "at least 1, found 0")],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(SMALL, **changes)
