"""Giants against dwarfs: rows follow from what is said of each star, and the result tells them."""

import numpy as np
import pytest

from experiments.classification import experiment as module
from experiments.classification.experiment import ClassificationResult, honesty, row_of, rows_of
from experiments.study.training import base
from specvit_jax import class_metrics

SNR = np.repeat([2.0, 30.0], 100)
ABOVE = np.tile([0.0, 1.0, 1.0, 1.0], 50)


def test_a_method_is_right_as_often_as_its_seeds_on_all_stars_and_in_every_bin():
    once, other = ABOVE > 0.5, np.ones(200, bool)  # always right; right where the class is the upper one
    whole, faint, bright = rows_of("some", ABOVE, [once, other], SNR)
    assert [row.n for row in (whole, faint, bright)] == [200, 100, 100]
    assert whole.accuracy == pytest.approx((1 + 0.75) / 2)
    assert whole.share_above == 0.75
    assert whole.accuracy_low < whole.accuracy < whole.accuracy_high
    assert (whole.expected, whole.cross_entropy, whole.skill) == (None, None, None)
    assert (faint.snr_low, faint.snr_high) == (1.5, 2.5)


def test_probabilities_promise_an_accuracy_and_have_a_price():
    p = np.full(200, 0.75)
    row = row_of("some", ABOVE, ABOVE, [p], (0.0, np.inf))  # the upper class is always said
    assert row.expected == 0.75
    assert row.cross_entropy == pytest.approx(class_metrics.cross_entropy(ABOVE, p))
    assert row.skill == pytest.approx(0, abs=1e-12)
    assert honesty(ABOVE, [p]) == pytest.approx(0, abs=1e-12)
    assert row_of("some", np.ones(50), np.ones(50), [p[:50]], (0.0, 1.0)).skill is None


def test_both_networks_have_one_output_and_differ_in_what_it_says_alone():
    label = f"model.label_names={module.LABEL}"
    one, other = (base("cpu", [label, *module.ARMS[arm]]) for arm in (module.CLASSES, module.VALUES))
    assert (one.model.threshold, other.model.threshold) == (2.5, None)
    assert (one.train.loss, other.train.loss) == ("cross_entropy", "mse")
    assert one.train.steps == other.train.steps
    assert one.model.embed_dim == other.model.embed_dim


def test_a_result_tells_every_method_and_comes_back_from_json():
    p = np.where(ABOVE > 0, 0.8, 0.4)
    rows = [row for arm in module.LOOKS for row in rows_of(arm, ABOVE, [p > 0.5], SNR, [p])]
    result = ClassificationResult(threshold=2.5, rows=tuple(rows), honesty={module.LIMIT_ARM: 0.1})
    assert ClassificationResult.from_json(result.to_json()) == result
    table = result.table()
    assert all(arm in table for arm in module.LOOKS)
    assert "| all | 200 | 0.75 |" in table
    (axes,) = result.plot().axes
    assert {text.get_text() for text in axes.get_figure().legends[0].get_texts()} == set(module.LOOKS)
    assert "log g above or below 2.5" in result.caption()
