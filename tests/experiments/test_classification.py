"""Giants against dwarfs: rows follow from what is said of each star, and the result tells them."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.classification import experiment as module
from experiments.classification.experiment import (
    ClassificationResult,
    Judged,
    honesty,
    lost,
    probabilities,
    row_of,
    rows_of,
)
from experiments.study.frame import Work
from experiments.study.options import Options
from experiments.study.stars import Stars
from experiments.study.training import base
from specvit_jax import class_metrics

SNR = np.repeat([2.0, 30.0], 100)
ABOVE = np.tile([0.0, 1.0, 1.0, 1.0], 50)
STARS = Judged(ABOVE, np.where(ABOVE > 0, 0.9, 0.2), SNR)


def test_a_method_is_right_as_often_as_its_seeds_on_all_stars_and_in_every_bin():
    once, other = ABOVE > 0.5, np.ones(200, bool)  # always right; right where the class is the upper one
    whole, faint, bright = rows_of("some", STARS, [once, other])
    assert [row.n for row in (whole, faint, bright)] == [200, 100, 100]
    assert whole.accuracy == pytest.approx((1 + 0.75) / 2)
    assert whole.share_above == 0.75
    assert whole.accuracy_low < whole.accuracy < whole.accuracy_high
    assert (whole.expected, whole.cross_entropy, whole.skill) == (None, None, None)
    assert (whole.snr_low, whole.snr_high) == (0, None)
    assert (faint.snr_low, faint.snr_high) == (1.5, 2.5)
    assert whole.lost == pytest.approx(0.25 * 0.6 / 2)  # the other is wrong where P is 0.2, half of the seeds
    assert whole.lost_low < whole.lost < whole.lost_high


def test_what_is_lost_is_the_difference_of_accuracies_without_the_scatter_of_truths():
    rng = np.random.default_rng(0)
    exact, said = rng.uniform(size=400), rng.uniform(size=400) > 0.5
    truths = rng.uniform(size=(20_000, 400)) < exact  # as likely as the spectra say
    rates = [(truths == one).mean() for one in (exact > 0.5, said)]
    assert lost(exact, [said]).mean() == pytest.approx(rates[0] - rates[1], abs=1e-3)
    assert not lost(exact, [exact > 0.5]).any()


def test_probabilities_promise_an_accuracy_and_have_a_price():
    p = np.full(200, 0.75)
    row = row_of("some", STARS, [ABOVE > 2], [p], (0.0, np.inf))  # the lower class is always said
    assert row.expected == 0.75
    assert row.accuracy == 0.25
    assert row.cross_entropy == pytest.approx(class_metrics.cross_entropy(ABOVE, p))
    assert row.skill == pytest.approx(0, abs=1e-12)
    assert honesty(ABOVE, [p]) == pytest.approx(0, abs=1e-12)
    one_class = Judged(np.ones(50), p[:50], SNR[:50])
    assert row_of("some", one_class, [p[:50] > 0], [p[:50]], (0.0, 1.0)).skill is None


def test_probabilities_of_the_first_stars_are_kept_piece_by_piece(tmp_path, monkeypatch, toy_grid):
    monkeypatch.setattr(module, "PIECE", 20)
    asked = []

    def exact(simulator, flux, mag, *, above, advance):
        asked.append(len(mag))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return SimpleNamespace(probability=flux[:, 0].astype(float))

    monkeypatch.setattr(module, "exact_probability", exact)

    def work():
        found = Work(module.STUDY, Options("smoke", grid=toy_grid, out=tmp_path))
        found.stars = Stars(np.arange(60.0)[:, None], *[np.zeros(60)] * 3, np.zeros((60, 1)))
        return found

    with pytest.raises(KeyboardInterrupt):
        probabilities(work())
    np.testing.assert_array_equal(probabilities(work()), np.arange(40.0))
    assert asked == [20, 20, 20]  # the first piece once


def test_both_networks_have_one_output_and_differ_in_what_it_says_alone():
    label = f"model.label_names={module.LABEL}"
    one, other = (base("cpu", [label, *module.ARMS[arm]]) for arm in (module.CLASSES, module.VALUES))
    assert (one.model.threshold, other.model.threshold) == (2.5, None)
    assert (one.train.loss, other.train.loss) == ("cross_entropy", "mse")
    assert one.train.steps == other.train.steps
    assert one.model.embed_dim == other.model.embed_dim


def test_a_result_tells_every_method_and_comes_back_from_json():
    p = np.where(ABOVE > 0, 0.8, 0.4)
    rows = [row for arm in module.LOOKS for row in rows_of(arm, STARS, [p > 0.5], [p])]
    result = ClassificationResult(threshold=2.5, rows=tuple(rows), honesty={module.LIMIT_ARM: 0.1})
    assert ClassificationResult.from_json(result.to_json()) == result
    table = result.table()
    assert all(arm in table for arm in module.LOOKS)
    assert "| all | 200 | 0.75 |" in table
    figure = result.plot()
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(module.LOOKS)
    assert [len(axes.containers) for axes in figure.axes] == [3, 2]  # the exact posterior loses nothing
    assert "log g above or below 2.5" in result.caption()
