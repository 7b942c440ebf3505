"""Robustness: who reads distorted spectra and how, its figure, its point among the findings."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from crlb.observation.conditions import LEVEL
from experiments.robustness import experiment
from experiments.robustness.distortions import Case, distorted
from experiments.robustness.experiment import STUDY, Readers, case_rows, known_networks
from experiments.robustness.result import RobustnessResult
from experiments.study.frame import Work
from experiments.study.options import Options
from experiments.study.training import base, label_scores, read_label
from experiments.tables.findings import POINTS
from experiments.tables.results import ROOT, Result
from specvit_jax.network.weights import Weights
from specvit_jax.training.initial_state import fit_scalers, make_state

COMMITTED = json.loads((ROOT / "results/robustness/results.json").read_text(encoding="utf-8"))
FREE = "{scale: .inf, lost: 0.02}"


@pytest.fixture(scope="module")
def work(toy_grid, tmp_path_factory):
    found = Work(STUDY, Options("smoke", toy_grid, out=tmp_path_factory.mktemp("robustness")))
    found.size = replace(found.size, n_test=40, n_fit=80)
    return found


@pytest.fixture(scope="module")
def networks(work):
    """Untrained: one that takes the scale for granted, one that does not, as they differ by conditions."""

    def untrained(conditions):
        config = base("smoke")
        config = replace(config, data=replace(config.data, conditions=conditions))
        return Weights(make_state(config).params, config, *fit_scalers(work.simulator, config))

    return {"SpecViT": untrained("published"), "survey": untrained(FREE)}


@pytest.fixture
def readers(work, networks, monkeypatch):
    monkeypatch.setattr(experiment, "known_networks", lambda options: ("survey",))
    monkeypatch.setattr(experiment, "shipped_weights", lambda name: name)
    monkeypatch.setattr(experiment, "load_weights", networks.get)
    monkeypatch.setattr(experiment, "reference", lambda work: networks["SpecViT"])
    return Readers(work)


def test_survey_reads_where_it_is_shipped_for_the_stars_of_the_study(work, readers, monkeypatch):
    assert list(readers.read(work.stars.noisy)) == ["SpecViT", "survey", "Ridge"]
    monkeypatch.setattr(experiment, "known_networks", lambda options: ())
    assert list(Readers(work).networks) == ["SpecViT"]


def test_networks_are_known_for_the_embedded_grid_and_noise_once_shipped(monkeypatch, tmp_path):
    monkeypatch.setattr(experiment, "has_weights", lambda name: True)
    assert known_networks(Options()) == ("tiny", "survey")
    assert known_networks(Options(grid=tmp_path)) == known_networks(Options(noise=tmp_path)) == ()
    monkeypatch.setattr(experiment, "has_weights", lambda name: name == "tiny")
    assert known_networks(Options()) == ("tiny",)


def test_no_scale_reaches_survey_and_every_one_the_others(work, readers):
    plain = readers.read(work.stars.noisy)
    wrong = readers.read(distorted(work.simulator, work.stars, Case("scale", 0.05)))
    np.testing.assert_allclose(wrong["survey"], plain["survey"], atol=1e-3)
    for name in ("SpecViT", "Ridge"):
        assert np.abs(wrong[name] - plain[name]).max() > 0.01


def test_survey_gets_what_an_observer_would_hand_it(work, readers, networks):
    flux = distorted(work.simulator, work.stars, Case("masked in blocks", 0.2))
    usable = (~np.isnan(flux)).astype(np.float32)
    weight = usable * work.simulator.observer.level_weights
    level = (weight * np.nan_to_num(flux)).sum(axis=1) / weight.sum(axis=1)
    handed = np.nan_to_num(flux * (LEVEL / level)[:, None]).astype(np.float32)
    told = read_label(networks["survey"], work.stars._replace(noisy=handed, usable=usable))
    np.testing.assert_allclose(readers.read(flux)["survey"], told, atol=1e-3)


def test_flux_of_lost_pixels_is_not_read(work, networks):
    usable = np.ones_like(work.stars.noisy)
    usable[:, 1000:1400] = 0
    some = work.stars._replace(usable=usable)
    spoilt = some._replace(noisy=np.where(usable > 0, some.noisy, 50.0).astype(np.float32))
    for weights in networks.values():
        whole, lost, read = (read_label(weights, stars) for stars in (work.stars, some, spoilt))
        np.testing.assert_array_equal(lost, read)
        assert np.abs(lost - whole).max() > 1e-4
        scores = label_scores(weights, spoilt, work.simulator.label_names)
        np.testing.assert_array_equal(scores.pred, lost)


def test_a_case_is_read_again_where_other_weights_are_shipped(work, monkeypatch):
    count = []

    class Reader:
        def read(self, flux):
            count.append(flux.shape)
            return {"Ridge": work.truth + 0.1}

    monkeypatch.setattr(experiment, "known_networks", lambda options: ("survey",))
    monkeypatch.setattr(experiment, "shipped_weights", lambda name: name)
    for digest in ("one", "one", "other"):
        monkeypatch.setattr(experiment, "sha256", lambda path, digest=digest: digest)
        (row,) = case_rows(work, Reader(), Case("scale", 0.02))
        assert (row.kind, row.amount, row.reader, row.bias) == ("scale", 0.02, "Ridge", pytest.approx(0.1))
    assert count == [work.stars.noisy.shape] * 2


def with_survey_and_scale(values):
    """Results as they are, with rows that were not measured: of `survey`, and of a wrong scale."""
    values = deepcopy(values)
    ours = [row for row in values["rows"] if row["reader"] == "SpecViT"]
    shown = {"r2": 0.61, "r2_low": 0.6, "r2_high": 0.62}
    values["rows"] += [row | {"reader": "survey"} | shown for row in ours]
    scale = {"kind": "scale"} | dict.fromkeys(("r2_low", "r2_high"), 0.6)
    values["rows"] += [ours[0] | scale | {"amount": x, "r2": 0.6} for x in (0.005, 0.02)]
    return values


METHODS = {"SpecViT", "SpecViT, survey conditions", "Ridge"}


def panels(values):
    """Labels of the panels that are shown, and the readers in the legend."""
    figure = RobustnessResult.from_json(values).plot()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    return [axes.get_xlabel() for axes in figure.axes], legend


def test_the_figure_has_a_panel_for_the_scale_and_a_line_for_every_reader():
    plain = {**COMMITTED, "rows": [r for r in COMMITTED["rows"] if r["reader"] in ("SpecViT", "Ridge")]}
    plain["rows"] = [row for row in plain["rows"] if row["kind"] != "scale"]
    before, readers = panels(plain)
    assert len(before) == 6
    assert [name for name in readers if name in METHODS] == ["SpecViT", "Ridge"]
    after, readers = panels(with_survey_and_scale(plain))
    assert set(after) - set(before) == {"error of the scale (% rms)"}
    assert [name for name in readers if name in METHODS] == ["SpecViT", "SpecViT, survey conditions", "Ridge"]


def test_the_findings_tell_of_scale_and_survey_where_these_were_measured():
    plain = {**COMMITTED, "rows": [r for r in COMMITTED["rows"] if r["kind"] != "scale"]}
    plain["rows"] = [row for row in plain["rows"] if row["reader"] != "survey"]
    before, after = (
        POINTS["robustness"](Result(values, "f.json")) for values in (plain, with_survey_and_scale(plain))
    )
    assert after == (
        f"{before} A scale wrong by 0.5, 2 % rms leaves 0.60, 0.60. `survey`, trained with all of these "
        "unknown, has 0.61 undistorted, 0.61 under that tilt and 0.61 at 50 km/s, whatever the scale."
    )
