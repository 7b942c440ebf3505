"""Commands for single stars and for observed spectra: what they print is what the library computes."""

import csv
import json

import jax
import numpy as np
import pytest

from crlb.cli.information import InformationSummary
from crlb.detector import DETECTOR_WAVE
from crlb.files.spectra import read_spectra
from crlb.fisher.matrix import cramer_rao_bound, fisher_information, flux_jacobian
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import load_grid, save_grid
from crlb.observation.instrument import to_detector
from crlb.observation.noise import draw, variance
from crlb.observation.noise_curves import builtin_noise

STAR = {"T_eff": 4700.0, "log_g": 2.6, "M_H": -0.8}
OPTIONS = [word for name, value in STAR.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def emulator(toy_file):
    with jax.enable_x64(True):
        return make_emulator(to_detector(load_grid(toy_file)))


def test_fisher_prints_the_bounds_of_the_library(crlb, toy_file, emulator, tmp_path):
    out = tmp_path / "fisher.json"
    arguments = ("fisher", "--grid", toy_file, *OPTIONS, "--mag", 21.5, "--json", out)
    status, screen, _ = crlb(*arguments, "--ellipse", "T_eff", "log_g")
    assert status == 0
    result = json.loads(out.read_text())
    labels = np.array(list(STAR.values()))
    flux = emulator(labels)
    noise = lambda flux: variance(flux, 21.5, builtin_noise())  # noqa: E731
    jac = flux_jacobian(emulator, labels)
    variance_jac = flux_jacobian(lambda labels: noise(emulator(labels)), labels)
    bound = cramer_rao_bound(fisher_information(jac, 1 / noise(flux), variance_jac))
    np.testing.assert_allclose([result["marginal_bound"][name] for name in STAR], bound, rtol=1e-5)
    for name in STAR:
        assert f"{result['marginal_bound'][name]:.4g}" in screen
    assert result["condition_number"] > 1
    assert result["inversion_residual"] < 1e-9
    assert result["ellipse"]["label_names"] == ["T_eff", "log_g"]


@pytest.mark.slow
def test_nuisances_and_priors_move_the_bounds_the_right_way(crlb, toy_file, tmp_path):
    def bounds(*options):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        arguments = ("fisher", "--grid", toy_file, *OPTIONS, "--mag", 21.5, "--json", out, *options)
        status, _, err = crlb(*arguments)
        assert status == 0, err
        return json.loads(out.read_text())

    plain, free = bounds(), bounds("--amplitude", "--continuum", 2, "--rv", "--lsf")
    assert free["label_names"][3:] == ["amplitude", "continuum_1", "continuum_2", "rv_kms", "lsf_fwhm"]
    told = bounds("--prior-sigma", "T_eff=4700,1", "M_H=-0.8,0.001")
    for name in STAR:
        assert free["marginal_bound"][name] >= plain["marginal_bound"][name] * 0.999
        assert told["marginal_bound"][name] <= plain["marginal_bound"][name]
    assert told["marginal_bound"]["T_eff"] < 1.0


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "h5"])
def test_spectrum_is_written_as_the_library_draws_it(crlb, toy_file, emulator, tmp_path, suffix):
    out = tmp_path / f"star.{suffix}"
    status, screen, err = crlb(
        "spectrum", "--grid", toy_file, *OPTIONS, "--mag", 20, "--seed", 3, "--out", out
    )
    assert (status, err) == (0, "")
    assert f"wrote {out}" in screen
    flux = emulator(np.array(list(STAR.values())))
    noisy, error = draw(jax.random.key(3), flux, 20.0, builtin_noise())
    if suffix == "h5":
        stars = read_spectra(out, need=("flux", "error", "noisy"))
        found = {"wave": stars.wave, "flux": stars.flux[0], "error": stars.error[0], "noisy": stars.noisy[0]}
        assert stars.labels["log_g"] == pytest.approx(2.6)
    else:
        lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
        rows = list(csv.DictReader(lines))
        found = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    for name, expected in (("wave", DETECTOR_WAVE), ("flux", flux), ("error", error), ("noisy", noisy)):
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_ecsv_is_read_by_astropy_with_units_and_labels(crlb, toy_file, tmp_path):
    table = pytest.importorskip("astropy.table")
    out = tmp_path / "star.ecsv"
    crlb("spectrum", "--grid", toy_file, *OPTIONS, "--mag", 20, "--out", out)
    found = table.Table.read(out)
    assert found.colnames == ["wave", "flux", "error", "noisy"]
    assert str(found["wave"].unit) == "Angstrom"
    assert found.meta["log_g"] == 2.6


def test_information_adds_up_to_the_bound(crlb, toy_file, tmp_path):
    names = {kind: tmp_path / f"information.{kind}" for kind in ("json", "csv", "png")}
    status, screen, err = crlb(
        "information", "--grid", toy_file, *OPTIONS, "--mag", 21.5, "--window", 20,
        "--json", names["json"], "--csv", names["csv"], "--plot", names["png"],
    )  # fmt: skip
    assert (status, err) == (0, "")
    result = json.loads(names["json"].read_text())
    rows = list(csv.DictReader(names["csv"].read_text().splitlines()))
    per_angstrom = np.array([float(row["marginal"]) for row in rows])
    total = per_angstrom.sum() * (DETECTOR_WAVE[1] - DETECTOR_WAVE[0])
    assert total == pytest.approx(result["bound"] ** -2, rel=1e-6)
    assert float(rows[-1]["cumulative_marginal"]) == pytest.approx(1)
    best = result["windows"][0]
    assert min(abs(0.5 * (best["low"] + best["high"]) - line) for line in (7698, 8190, 8544)) < 12
    assert f"{best['share']:.1%}" in screen
    assert names["png"].read_bytes()[:4] == b"\x89PNG"


def test_the_best_windows_of_a_star_are_written_drawn_and_shown(crlb, toy_file, tmp_path):
    names = {kind: tmp_path / f"information.{kind}" for kind in ("json", "pdf")}
    status, screen, err = crlb(
        "information", "--grid", toy_file, *OPTIONS, "--mag", 20, "--best-window", 240, 1750,
        "--json", names["json"], "--plot", names["pdf"],
    )  # fmt: skip
    assert (status, err) == (0, "")
    result = InformationSummary.from_json(json.loads(names["json"].read_text()))
    (best, arm), (curve, _) = result.best_windows, result.sliding
    assert arm.marginal[0].bound["marginal"] == pytest.approx(result.bound, rel=1e-6)
    assert arm.conditional[0].share["conditional"] == pytest.approx(1, rel=1e-9)
    first, second = best.marginal
    assert first.bound["marginal"] == min(curve.marginal) > result.bound
    assert first.share["marginal"] == pytest.approx((result.bound / first.bound["marginal"]) ** 2)
    assert best.conditional[0].bound["conditional"] == min(curve.conditional)
    assert first.high <= second.low or second.high <= first.low
    assert "best windows of 240 Å" in screen
    assert f"{first.low:.1f}-{first.high:.1f}" in screen
    assert names["pdf"].read_bytes()[:4] == b"%PDF"


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (
            2000,
            "width must lie between 0 and 1750.0 Å, the widest stretch of pixels without a gap; found 2000",
        ),
        (0, "--best-window: best_window must be positive and finite, found 0"),
    ],
)
def test_windows_that_cannot_be_are_usage_errors(crlb, toy_file, width, words):
    status, _, err = crlb(
        "information", "--grid", toy_file, *OPTIONS, "--mag", 20, "--best-window", 240, width
    )
    assert (status, err.count("\n")) == (2, 1)
    assert words in err


def test_pixels_outside_the_range_are_left_out(crlb, toy_file, tmp_path):
    out = tmp_path / "star.csv"
    crlb("spectrum", "--grid", toy_file, *OPTIONS, "--mag", 20, "--wave-range", 8400, 8700, "--out", out)
    wave = [float(row["wave"]) for row in csv.DictReader(out.read_text().splitlines())]
    assert 8400 <= wave[0] < 8400.5
    assert 8699.5 < wave[-1] <= 8700


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--T_eff", 9000, "--log_g", 2.6, "--M_H", -0.8), "T_eff must lie within the grid, 4300 to 5000"),
        ((*OPTIONS, "--a_M", 0.2), "--a_M 0.2 has no effect: a_M is not a free label of this grid"),
        ((*OPTIONS, "--fix", "M_H=-1"), "--M_H -0.8 has no effect: M_H is held at -1 by --fix"),
        ((*OPTIONS, "--fix", "a_M=0"), "--fix: unknown label a_M: this grid has T_eff, log_g, M_H"),
        (OPTIONS[:4], "--M_H is needed: it is a free label of this grid"),
        ((*OPTIONS, "--probability", 0.9), "--probability has no effect without --ellipse"),
        ((*OPTIONS, "--ellipse", "T_eff", "rv_kms"), "--ellipse: unknown label rv_kms: this star has T_eff"),
        ((*OPTIONS, "--prior-sigma", "M_H=-0.8,0"), "--prior-sigma M_H: SIGMA must be positive"),
        ((*OPTIONS, "--fix", "M_H"), "--fix needs LABEL=VALUE"),
        ((*OPTIONS[:4], "--fix", "M_H=0.33"), "M_H can be fixed at a node of the grid only"),
        ((*OPTIONS, "--wave-range", 9000, 9100), "wave_range must hold at least two"),
        ((*OPTIONS, "--continuum", -1), "continuum must be an order of 0 or more"),
        ((*OPTIONS, "--prior-sigma", "vsini=3,1"), "--prior-sigma: unknown label vsini"),
        (
            (*OPTIONS, "--prior-sigma", "M_H=0.1"),
            "--prior-sigma needs LABEL=MEAN,SIGMA, for example T_eff=4800,100",
        ),
        ((*OPTIONS, "--prior-sigma", "M_H=-0.5,0.1"), "needed M_H=-0.8,0.1"),
        ((*OPTIONS, "--rv", "--prior-sigma", "rv_kms=5,1"), "needed rv_kms=0,1"),
    ],
)
def test_unusable_stars_are_usage_errors(crlb, toy_file, options, words):
    status, _, err = crlb("fisher", "--grid", toy_file, "--mag", 20, *options)
    assert (status, err.count("\n")) == (2, 1)
    assert words in err


@pytest.fixture(scope="module")
def part_file(toy_file, tmp_path_factory):
    """The toy grid at one metallicity, without that axis."""
    path = tmp_path_factory.mktemp("grid") / "part.h5"
    save_grid(load_grid(toy_file, fixed={"M_H": -0.6}), path)
    return path


def test_a_label_without_an_axis_cannot_be_given(crlb, part_file):
    status, _, err = crlb("fisher", "--grid", part_file, *OPTIONS, "--mag", 20)
    assert (status, "--M_H -0.8 has no effect: M_H is not a free label of this grid" in err) == (2, True)


def test_a_part_of_the_arm_has_the_flux_of_the_whole(crlb, toy_file, tmp_path):
    columns = {}
    for name, options in (("arm", ()), ("part", ("--wave-range", 8400, 8750))):
        out = tmp_path / f"{name}.csv"
        assert crlb("spectrum", "--grid", toy_file, *OPTIONS, "--mag", 20, "--out", out, *options)[0] == 0
        rows = list(csv.DictReader(out.read_text().splitlines()))
        columns[name] = {
            key: np.array([float(row[key]) for row in rows]) for key in ("wave", "flux", "error")
        }
    same = np.isin(columns["arm"]["wave"], columns["part"]["wave"])
    assert same.sum() == len(columns["part"]["wave"]) > 800
    for key in ("flux", "error"):
        np.testing.assert_allclose(columns["part"][key], columns["arm"][key][same], rtol=1e-6)
