"""`crlb plan --population` against `crlb plan` of each star, `crlb.exposures_needed` and counting up."""

import csv
import json

import numpy as np
import pytest

from crlb.grids.grid_file import load_grid
from crlb.observation.build import with_unknowns
from crlb.observation.exposure import Exposure
from crlb.observation.nuisances import Nuisances
from crlb.observation.spectrograph import pfs_red_arm
from crlb.observation.star import observe
from crlb.planning.population import exposures_needed
from crlb.planning.share import SharePlan
from tests.crlb.conftest import SMALL_AXES

STARS = ((4700.0, 2.6, -0.8), (9000.0, 2.6, -0.8), (4650.0, 2.4, -0.9), (4800.0, 2.7, -0.7))
WEIGHTS = (1, 1, 2, 5)  # the second star lies outside the grid


@pytest.fixture
def run(crlb, toy_file, tmp_path):
    """Runs a command on the toy grid; returns its JSON and what it printed."""

    def asked(command, *options):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        status, said, err = crlb(command, "--grid", toy_file, *options, "--json", out)
        assert status == 0, err
        return json.loads(out.read_text()), said

    return asked


@pytest.fixture
def stars(tmp_path):
    path = tmp_path / "stars.csv"
    rows = (",".join(map(str, (*star, w))) for star, w in zip(STARS, WEIGHTS, strict=True))
    path.write_text("\n".join(["T_eff,log_g,M_H,weight", *rows]) + "\n")
    return path


@pytest.fixture
def many(tmp_path):
    """Twenty stars, more than are computed together, with magnitudes of their own."""
    rng = np.random.default_rng(2)
    low, high = (np.array([end(axis) for axis in SMALL_AXES]) for end in (min, max))
    table = np.column_stack([low + (high - low) * rng.uniform(size=(20, 3)), rng.uniform(18.0, 23.0, 20)])
    path = tmp_path / "many.csv"
    np.savetxt(path, table, delimiter=",", header="T_eff,log_g,M_H,mag", comments="")
    return path, table


def compare_with_one_by_one(run, stars, *options):
    """Compares with a run of each star; returns what was found of the stars."""
    table = stars.with_name("each.csv")
    drop = ("--population", stars, "--population-outside", "drop", "--csv", table)
    found, said = run("plan", *options, *drop)
    needed, kept = found["needed"], [0, 2, 3]
    assert found["stars"]["row"] == [1, 3, 4]
    assert found["stars"]["weight"] == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    for i, star in enumerate(kept):
        labels = zip(("--T_eff", "--log_g", "--M_H"), STARS[star], strict=True)
        alone, _ = run("plan", *options, *(word for pair in labels for word in pair))
        for row, one in zip(alone["exposures"], needed, strict=True):
            assert (row["mag"], row["label"], row["want"]) == (one["mag"], one["label"], one["want"])
            assert one["n_exp"][i] == row["n_exp"]
            assert one["floor"][i] == pytest.approx(row["floor"])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == len(kept) * len(needed)
    for row, n_exp in zip(rows, (n for one in needed for n in one["n_exp"]), strict=True):
        assert row["n_exp"] == ("" if n_exp is None else str(n_exp))
    assert [row["row"] for row in rows[:3]] == ["1", "3", "4"]
    assert SharePlan.from_json(found).to_json() == found
    return found, said


def test_every_star_needs_what_it_needs_alone(run, stars):
    options = (
        "--amplitude", "--continuum", 1, "--prior-sigma", "continuum_1=0,0.1",
        "--want", "log_g=0.3", "M_H=0.1", "--mag", 20, 23,
    )  # fmt: skip
    found, said = compare_with_one_by_one(run, stars, *options)
    assert [n is None for one in found["needed"] for n in one["n_exp"]].count(True) not in (0, 12)
    for row in found["reached"]:
        assert (row["n_exp"], row["hours"]) == (12, 3)
    for row, one in zip(found["reached"], found["needed"], strict=True):
        enough = [n is not None and n <= 12 for n in one["n_exp"]]
        assert row["share"] == pytest.approx(np.dot(enough, [1, 2, 5]) / 8)
    assert "Stars: 3 of" in said


@pytest.mark.slow
def test_every_star_needs_what_it_needs_alone_under_conditions(run, stars, tmp_path):
    file = tmp_path / "conditions.yaml"
    file.write_text("{scale: .inf, sky_left: 0.03, model_error: 0.02}")
    options = ("--conditions", file, "--mag", 20, "--want", "log_g=0.3", "--hours", 1)
    found, _ = compare_with_one_by_one(run, stars, *options)
    assert found["provenance"]["conditions"]["sky_left"] == 0.03


def test_stars_with_their_own_magnitudes_need_what_is_counted_up(run, toy_file, many):
    path, table = many
    found, said = run("plan", "--want", "log_g=0.15", "--hours", 0.5, 4, "--population", path)
    (one,) = found["needed"]
    assert one["mag"] is None
    assert "Magnitudes are their own" in said
    n_exp = np.array([np.inf if n is None else n for n in one["n_exp"]])
    model, _ = with_unknowns(load_grid(toy_file), pfs_red_arm(), Nuisances())
    needed = exposures_needed(model, table[:, :3], table[:, 3], {"log_g": 0.15})
    assert 0 < np.isinf(n_exp).sum() < 20
    np.testing.assert_array_equal(n_exp, needed.n_exp[:, 0])
    np.testing.assert_allclose(one["floor"], needed.floor[:, 0])
    assert [row["share"] for row in found["reached"]] == pytest.approx([(n_exp <= n).mean() for n in (2, 16)])
    for star in np.flatnonzero(n_exp <= 12)[:3]:
        counted = (
            n
            for n in range(1, 13)
            if observe(model.with_exposure(Exposure(900.0, n, 0.8)), table[star, :3], table[star, 3])
            .fisher()
            .bound("log_g")
            <= 0.15
        )
        assert n_exp[star] == next(counted)


def test_of_many_stars_some_are_drawn_by_the_seed_and_none_without_weight(run, many, tmp_path):
    light, table = tmp_path / "light.csv", np.column_stack([many[1], np.arange(20) % 2])
    np.savetxt(light, table, delimiter=",", header="T_eff,log_g,M_H,mag,weight", comments="")
    options = ("--want", "M_H=0.2", "--mag", 20, "--population", light, "--n-stars", 6)
    first, again, other = (run("plan", *options, "--seed", seed) for seed in (1, 1, 2))
    assert first[0]["stars"] == again[0]["stars"]
    assert first[0]["stars"]["row"] != other[0]["stars"]["row"]
    assert (len(first[0]["stars"]["row"]), first[0]["stars"]["of"]) == (6, 10)
    assert all(row % 2 == 0 for row in first[0]["stars"]["row"])
    assert "drawn at random from 10 (seed 1)" in first[1]
    assert "--n-stars 10." in " ".join(first[1].split())


def test_a_picture_is_drawn_of_stars_that_never_reach_it(run, many, tmp_path):
    plot = tmp_path / "shares.png"
    found, _ = run("plan", "--want", "M_H=1e-6", "--mag", 21, 22, "--population", many[0], "--plot", plot)
    assert [one["never"] for one in found["needed"]] == pytest.approx([1, 1])
    assert plot.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--mag is needed: --population"),
        (("--mag", 20), "1 of 4 stars lie outside the grid"),
        (("--mag", 20, "--T_eff", 4700), "--T_eff has no effect with --population"),
        (("--mag", 20, "--bayes"), "--bayes has no effect with --population"),
        (("--mag", 20, "--n-bayes", 9), "--n-bayes has no effect with --population"),
        (("--mag", 20, "--plot-labels", "x.png"), "--plot-labels has no effect with --population"),
        (("--mag", 20, "--hours", 1, "--n-exp", 3), "--n-exp has no effect with --population"),
        (
            ("--mag", 20, "--prior-sigma", "T_eff=4700,50"),
            "--prior-sigma T_eff: its mean is the T_eff of one",
        ),
        (("--mag", 20, "--instrument", "pfs-mr", "gaia-rvs"), "--instrument"),
        (("--mag", 20, "--n-stars", 0), "--n-stars: n_stars must be positive"),
        (("--mag", *range(10, 23), "--plot", "x.png"), "--plot shows 12 magnitudes at most, found 13"),
    ],
)
def test_what_cannot_be_asked_of_many_stars_is_refused(crlb, toy_file, stars, options, words):
    command = ("plan", "--grid", toy_file, "--want", "log_g=0.2", "--population", stars)
    status, _, err = crlb(*command, *options)
    assert (status in (2, 65), words in " ".join(err.split())) == (True, True), err


@pytest.mark.parametrize("option", ["--n-stars", "--population-outside"])
def test_options_of_a_table_need_one(crlb, toy_file, option):
    value = {"--n-stars": 9, "--population-outside": "drop"}[option]
    star = ("--T_eff", 4700, "--log_g", 2.6, "--M_H", -0.8, "--mag", 20)
    status, _, err = crlb("plan", "--grid", toy_file, "--want", "log_g=0.2", *star, option, value)
    assert (status, f"{option} has no effect without --population" in err) == (2, True), err
