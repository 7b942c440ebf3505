"""`crlb plan` and `crlb compare` against `crlb fisher`, asked at what they answer."""

import csv
import json
import math

import pytest

from crlb.planning.comparison import Comparison
from crlb.planning.result import Plan

STAR = {"T_eff": 4700.0, "log_g": 2.6, "M_H": -0.8}
OPTIONS = [word for name, value in STAR.items() for word in (f"--{name}", value)]
UNKNOWN = ("--amplitude", "--continuum", 1, "--prior-sigma", "T_eff=4700,50")
OWN = """
name: Own
arms: [{name: one, pixels: {start: 8400, end: 8700, step: 0.5}, resolving_power: 6000}]
magnitude: [8400, 8700]
noise: {snr: 20, mag: 20, exptime_s: 3600, background: 0.4}
"""


@pytest.fixture
def run(crlb, toy_file, tmp_path):
    """Runs a command on the toy star; returns its JSON and what it printed."""

    def asked(command, *options):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        status, said, err = crlb(command, "--grid", toy_file, *OPTIONS, *options, "--json", out)
        assert status == 0, err
        return json.loads(out.read_text()), said

    return asked


def fisher_bound(run, *options, label="log_g"):
    return run("fisher", *options)[0]["marginal_bound"][label]


def test_exposures_and_magnitudes_are_those_at_which_fisher_gives_what_is_wanted(run, tmp_path):
    table = tmp_path / "plan.csv"
    options = ("--want", "log_g=0.3", "--mag", 20, 23, "--hours", 1.5, "--exptime-s", 600, "--csv", table)
    found, said = run("plan", *UNKNOWN, *options)
    first, second = found["exposures"]
    more = (*UNKNOWN, "--exptime-s", 600)
    assert fisher_bound(run, *more, "--mag", 20, "--n-exp", first["n_exp"]) == pytest.approx(first["sigma"])
    assert first["sigma"] <= 0.3
    if first["n_exp"] > 1:
        assert fisher_bound(run, *more, "--mag", 20, "--n-exp", first["n_exp"] - 1) > 0.3
    assert first["hours"] == pytest.approx(first["n_exp"] / 6)
    limit = fisher_bound(run, *more, "--mag", 23, "--n-exp", 10**9)
    assert second["floor"] == pytest.approx(limit, rel=1e-3)
    assert second["n_exp"] is None
    assert f"{second['floor']:.3g} dex is the floor, set by 1 % of the sky left over." in " ".join(
        said.split()
    )
    (faint,) = found["faintest"]
    assert faint["n_exp"] == 9
    assert fisher_bound(run, *more, "--mag", faint["mag"], "--n-exp", 9) == pytest.approx(0.3, rel=1e-5)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["mag"] for row in rows[:2]] == ["20.0", "23.0"]
    assert rows[2]["hours"] == "1.5"
    assert Plan.from_json(found).to_json() == found


@pytest.mark.slow
def test_conditions_hold_and_their_model_error_is_named(run, tmp_path):
    file = tmp_path / "conditions.yaml"
    file.write_text("{scale: .inf, sky_left: 0.03, model_error: 0.02}")
    more = ("--conditions", file, "--mag", 19)
    found, _ = run("plan", *more, "--want", "log_g=0.2", "M_H=0.0001")
    one, never = found["exposures"]
    assert fisher_bound(run, *more, "--n-exp", one["n_exp"]) == pytest.approx(one["sigma"])
    limit = fisher_bound(run, *more, "--n-exp", 10**9, label="M_H")
    assert never["floor"] == pytest.approx(limit, rel=1e-3)
    words = "1 % of the sky left over and an error of the model of 2 % and 3 % of the sky's lines left"
    assert never["set_by"] == words


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the grid")
def test_instruments_stand_side_by_side_and_figures_are_drawn(run, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    plot, labels = tmp_path / "times.png", tmp_path / "labels.png"
    found, _ = run(
        "plan", "--want", "M_H=0.2", "--mag", 20, "--instrument", "pfs-mr", own, "--plot", plot,
        "--plot-labels", labels, "--n-exp", 5,
    )  # fmt: skip
    assert [row["instrument"] for row in found["exposures"]] == ["pfs-mr", str(own)]
    assert plot.read_bytes()[:4] == labels.read_bytes()[:4] == b"\x89PNG"
    plan = Plan.from_json(found)
    for one in plan.time_maps:
        assert one.sigma.shape == (len(one.hours), len(one.mags))
        assert one.sigma[0, 0] < one.sigma[0, -1]
        assert one.sigma[-1, 0] < one.sigma[0, 0]
    first = plan.label_maps[0]
    assert (first.mag, first.n_exp, first.hours) == (20, 5, 1.25)
    star = ("--T_eff", float(first.T_eff[7]), "--log_g", float(first.log_g[4]), "--M_H", -0.8)
    right = fisher_bound(run, *star, "--mag", 20, "--n-exp", 5, label="M_H")
    assert first.sigma[4, 7] == pytest.approx(right)


@pytest.mark.filterwarnings("ignore:the grid")
def test_compared_are_the_bounds_of_fisher_one_by_one_and_together(run, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    table, plot, more = tmp_path / "table.csv", tmp_path / "compare.png", (*UNKNOWN, "--mag", 20)
    both = ("--instrument", "pfs-mr", own)
    found, said = run("compare", *both, *more, "--hours", 1, "--csv", table, "--plot", plot)
    first, second, together = found["rows"]
    assert (first["n_pix"], second["n_pix"], together["n_pix"]) == (4096, 600, None)
    assert first["mag"] == 20
    for row, options in (
        (first, ("--mag", 20)),
        (second, ("--mag", second["mag"], "--instrument", own)),
        (together, ("--mag", 20, *both)),
    ):
        right, _ = run("fisher", *UNKNOWN, *options, "--n-exp", 4)
        for name in STAR:
            assert row["conditional_bound"][name] == pytest.approx(right["conditional_bound"][name])
            assert row["marginal_bound"][name] == pytest.approx(right["marginal_bound"][name])
        if row is not together:
            assert row["snr"] == pytest.approx(right["snr"])
    assert second["snr_per_element"] == pytest.approx(second["snr"] * math.sqrt(8550 / 6000 / 0.5), rel=1e-3)
    assert "amplitude, continuum_1" in said
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert float(rows[2]["marginal_log_g"]) == together["marginal_bound"]["log_g"]
    assert plot.read_bytes()[:4] == b"\x89PNG"
    assert Comparison.from_json(found).to_json() == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--mag", 20), "--want"),
        (("--want", "log_g", "--mag", 20), "--want needs LABEL=VALUE"),
        (("--want", "logg=0.1", "--mag", 20), "--want: unknown label logg"),
        (("--want", "log_g=-1", "--mag", 20), "--want log_g: SIGMA must be positive"),
        (("--want", "log_g=0.1"), "one of --mag and --hours is needed"),
        (("--want", "log_g=0.1", "--hours", 0.1), "one exposure takes 0.25 h, found 0.1 h"),
        (("--want", "log_g=0.1", "--hours", 1, "--plot", "x.png"), "--plot needs a magnitude"),
        (("--want", "log_g=0.1", "--mag", 20, "--n-exp", 3), "--n-exp has no effect without --plot-labels"),
        (("--want", "log_g=0.1", "--mag", 20, "--n-bayes", 9), "--n-bayes has no effect without --bayes"),
        (("--want", "log_g=0.1", "--mag", 20, "--bayes", "--rv"), "use --conditions with --bayes"),
        (("--want", "log_g=0.1", "--mag", 20, "--instrument", "gaia-rvs"), "crlb instrument new"),
    ],
)
def test_what_cannot_be_planned_is_a_usage_error(crlb, toy_file, options, words):
    status, _, err = crlb("plan", "--grid", toy_file, *OPTIONS, *options)
    assert status == 2
    assert words in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--instrument", "pfs-mr", "--mag", 20), "--instrument needs two or more to compare"),
        (("--instrument", "pfs-mr", "gaia-rvs", "--mag", 20), "--snr is needed"),
        (("--instrument", "pfs-mr", "gaia-rvs", "--snr", 20, "--hours", 0.1), "one exposure takes 0.25 h"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(crlb, toy_file, options, words):
    status, _, err = crlb("compare", "--grid", toy_file, *OPTIONS, *options)
    assert (status, words in err) == (2, True), err
