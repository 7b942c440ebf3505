"""The ceiling over stars of a table against that over nodes, plain numpy, and bounds star by star."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crlb.bayes.population import Population
from crlb.ceilings.ceiling import ceiling
from crlb.ceilings.of_population import population_ceilings, stars_of, with_population_limits
from crlb.ceilings.result import Ceiling
from crlb.errors import UsageError
from crlb.fisher.field import fisher_field
from crlb.observation.forward_model import ForwardModel
from crlb.readers.star_table import StarTable

MAGS = [20.0, 21.5]
NAMES = ("T_eff", "log_g", "M_H")


@pytest.fixture(scope="module")
def model(thin_emulator, thin_noise) -> ForwardModel:
    return ForwardModel(thin_emulator, thin_noise)


def of(labels, weight=None, mag=None) -> Population:
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, float)
    return Population(np.asarray(labels, float), weight / weight.sum(), NAMES, mag)


@pytest.fixture(scope="module")
def some(thin_emulator) -> np.ndarray:
    unit = np.random.default_rng(4).random((30, 3))
    return thin_emulator.low + (thin_emulator.high - thin_emulator.low) * unit


def test_nodes_as_stars_have_the_ceiling_of_the_nodes(model):
    nodes = model.emulator.nodes
    for found in population_ceilings(model, MAGS, of(nodes), targets=["log_g", "M_H"]):
        i = NAMES.index(found.label)
        assert found.variance == pytest.approx(nodes[:, i].var())
        expected = ceiling(model, MAGS, label=found.label, variance=nodes[:, i].var())
        for one, other in zip(found.bins, expected.bins, strict=True):
            for name in ("r2_max", "bound", "schur_decay"):
                for key, value in vars(getattr(other, name)).items():
                    assert getattr(getattr(one, name), key) == pytest.approx(value, rel=1e-6), (name, key)
            assert one.snr_median == pytest.approx(other.snr_median)


def test_weights_repeat_stars(model, some):
    """A star of weight three is three stars, for quantiles taken at a star and for the mean."""
    weight = np.arange(30) % 3 + 1
    once = population_ceilings(model, [21.0], of(some, weight), targets=["log_g"])[0]
    often = population_ceilings(model, [21.0], of(np.repeat(some, weight, axis=0)), targets=["log_g"])[0]
    assert once.variance == pytest.approx(often.variance)
    assert once.bins[0].r2_max.mean == pytest.approx(often.bins[0].r2_max.mean)
    assert once.bins[0].bound.median == pytest.approx(often.bins[0].bound.median, rel=0.05)


def test_stars_with_magnitudes_are_seen_at_them(model, some):
    mags = np.linspace(19.0, 22.0, 30)
    found = population_ceilings(model, None, of(some, mag=mags), targets=["log_g"])[0]
    at_all = population_ceilings(model, sorted(mags.tolist()), of(some), targets=["log_g"])[0]
    assert len(found.bins) == 1
    assert at_all.bins[0].bound.median < found.bins[0].bound.median < at_all.bins[-1].bound.median
    assert mags.min() < found.bins[0].mag < mags.max()
    bounds = [
        np.sqrt(np.linalg.inv(fisher_field(model, [mag], star[None])[0, 0])[1, 1])
        for mag, star in zip(mags, some, strict=True)
    ]
    assert found.bins[0].bound.median == pytest.approx(np.median(bounds), rel=1e-5)


def test_a_sparse_table_has_a_reason_instead_of_a_limit_and_a_dense_one_has_it(model, thin_emulator, some):
    results = population_ceilings(model, [16.0], of(some), targets=["log_g", "T_eff"])
    for one in with_population_limits(results, model, of(some), n=20):
        assert one.bins[0].r2_bayes is None
        assert "no limit, for a posterior consists of" in one.bins[0].r2_bayes_reason
        about = stars_of(StarTable(Path("stars.csv"), "-", {"T_eff": some[:, 0]}), of(some), 0)
        assert one.bins[0].r2_bayes_reason in " ".join(replace(one, population=about).table().split())
        with pytest.raises(UsageError, match="no limit"):
            one.exact_limits()
    unit = np.random.default_rng(3).random((2000, 3))
    dense = of(thin_emulator.low + (thin_emulator.high - thin_emulator.low) * unit)
    results = population_ceilings(model, [23.0], of(some), targets=["log_g", "T_eff"])
    found = with_population_limits(results, model, dense, n=20)
    assert [one.label for one in found] == ["log_g", "T_eff"]
    assert all(0 <= one.exact_limits()[0].value <= 1 for one in found)
    assert found[0].exact_limits()[0].value != found[1].exact_limits()[0].value


def test_what_is_said_of_the_stars_survives_json(model, some, tmp_path):
    table = StarTable(tmp_path / "stars.csv", "-", dict(zip(NAMES, some.T, strict=True)), ("age",))
    about = stars_of(table, of(some), 3, smoothed={"log_g": 0.1})
    made = population_ceilings(model, [20.0], of(some), targets=["log_g"])[0]
    made = replace(made, population=about)
    assert Ceiling.from_json(json.loads(json.dumps(made.to_json()))) == made
    words = " ".join(made.table().split())
    for part in (
        "Stars: 30 of",
        "(3 outside the grid left out)",
        "kernels, log_g 0.1",
        "at each star of the table",
    ):
        assert part in words
    assert about.labels["M_H"].variance == pytest.approx(some[:, 2].var())


def test_what_cannot_be_asked_is_refused(model, some):
    with pytest.raises(UsageError, match="no magnitudes of its own"):
        population_ceilings(model, None, of(some), targets=["log_g"])
    with pytest.raises(UsageError, match="several different ones, found log_g, log_g"):
        population_ceilings(model, [20.0], of(some), targets=["log_g", "log_g"])
    flat = some.copy()
    flat[:, 1] = 2.5
    with pytest.raises(UsageError, match=r"all stars have log_g 2.5, so there is nothing to know"):
        population_ceilings(model, [20.0], of(flat), targets=["log_g"])
    with pytest.raises(UsageError, match="T_eff must lie within the grid"):
        population_ceilings(model, [20.0], of(some + 1e4), targets=["log_g"])


def test_every_star_counts_once_in_the_progress(model, some):
    steps: list[int] = []
    population_ceilings(model, [20.0], of(some), targets=["log_g", "M_H"], advance=steps.append)
    assert sum(steps) == 30
