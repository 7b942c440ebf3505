"""Scores of many posteriors: what cannot be said is null, and rows cost numbers, not dictionaries."""

import json

import numpy as np
import pytest

from crlb.bayes.prior import make_prior
from crlb.cli.scores import KEPT, PosteriorScores, Tally, posterior_scores, star_text
from crlb.files.records import write_json

NAMES = ("T_eff", "log_g", "M_H")
PRIOR = make_prior(np.array([4000.0, 1.0, -1.0]), np.array([5000.0, 5.0, 0.0]), NAMES)
TRUE = {"T_eff": (4800.0, 4800.0), "log_g": (2.0, 3.0), "M_H": (0.1, 0.1)}
MEAN = {"T_eff": (4790.0, 4810.0), "log_g": (2.1, 2.8), "M_H": (0.2, 0.0)}


def row(i, flags="-", **changes):
    found = {"file": "a.h5", "row": i, "star": "", "converged": True, "flags": flags, "note": ""}
    for name in NAMES:
        found |= {f"{name}_true": TRUE[name][i % 2], f"{name}_mean": MEAN[name][i % 2], f"{name}_sigma": 1.0}
    return found | changes


def tally(*rows):
    found = Tally(NAMES)
    for one in rows:
        found.add(one)
    return found


def test_stars_of_equal_labels_have_no_r2_and_are_written(tmp_path):
    """Case 05: division by their variance of zero ended a long computation in a traceback."""
    scores = posterior_scores(tally(row(0), row(1)), PRIOR, {"command": "crlb"})
    write_json(scores, tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert (written["labels"]["T_eff"]["r2"], written["labels"]["M_H"]["r2"]) == (None, None)
    assert written["labels"]["T_eff"]["rmse"] == pytest.approx(10.0)
    assert written["labels"]["log_g"]["r2"] == pytest.approx(1 - 0.025 / 0.25)
    assert written["not_finite"] == {"labels/T_eff/r2": "nan", "labels/M_H/r2": "nan"}
    cells = [line.split() for line in scores.table().splitlines()]
    assert [one[-1] for name in NAMES for one in cells if one[:1] == [name]] == ["-", "0.9", "-"]
    assert PosteriorScores.from_json(written).labels["log_g"] == scores.labels["log_g"]


def test_without_labels_in_the_file_there_are_no_errors_and_r2_bayes_stays():
    """Case 07: a real star has no true labels."""
    bare = {name: value for name, value in row(0).items() if not name.endswith("_true")}
    scores = posterior_scores(tally(bare), PRIOR, {})
    assert scores.labels["log_g"].rmse is None
    assert scores.labels["log_g"].r2_bayes == pytest.approx(1 - 1.0 / (16 / 12))


def test_stars_without_numbers_do_not_enter_the_scores():
    lost = row(1, "UNUSABLE", converged=False, **{f"{name}_mean": np.nan for name in NAMES})
    scores = posterior_scores(tally(row(0), lost, row(0, "EDGE,POOR_FIT", converged=False)), PRIOR, {})
    assert (scores.n, scores.unusable, scores.unconverged) == (3, 1, 1)
    assert scores.flags == {"EDGE": 1, "POOR_FIT": 1, "UNUSABLE": 1}
    assert scores.labels["T_eff"].bias == pytest.approx(-10.0)
    assert "1 of 3 stars could not be used" in scores.table()


def test_many_rows_are_kept_as_numbers_only():
    found = tally(*(row(i) for i in range(1000)))
    assert len(found.stars) == KEPT
    assert found.numbers().mean.shape == (1000, 3)
    assert len(found._numbers) == 1000 * (3 * 3 + 1)


def test_a_star_without_labels_is_told_in_words():
    found = row(0, "BAD_SCALE,UNUSABLE", note="its median flux is 0, not positive")
    assert star_text(found, NAMES).splitlines()[0] == "no labels: its median flux is 0, not positive"
