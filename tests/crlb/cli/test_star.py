"""Commands for single stars and for observed spectra: what they print is what the library computes."""

import csv
import json

import jax
import numpy as np
import pytest

from crlb.bayes.prior import make_prior
from crlb.bayes.result import Posterior
from crlb.cli.scores import PosteriorScores, posterior_scores, star_posteriors
from crlb.detector import DETECTOR_WAVE
from crlb.files.records import write_json
from crlb.files.spectra import Spectra, read_spectra, write_spectra
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
    told = bounds("--prior-sigma", "T_eff=1", "M_H=0.001")
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
        ((*OPTIONS, "--prior-sigma", "M_H=0"), "--prior-sigma M_H must be positive"),
        ((*OPTIONS, "--fix", "M_H"), "--fix needs LABEL=VALUE"),
        ((*OPTIONS[:4], "--fix", "M_H=0.33"), "M_H can be fixed at a node of the grid only"),
        ((*OPTIONS, "--wave-range", 9000, 9100), "wave_range must hold at least two"),
        ((*OPTIONS, "--continuum", -1), "continuum must be an order of 0 or more"),
        ((*OPTIONS, "--prior-sigma", "vsini=3"), "--prior-sigma: unknown label vsini"),
    ],
)
def test_unusable_stars_are_usage_errors(crlb, toy_file, options, words):
    status, _, err = crlb("fisher", "--grid", toy_file, "--mag", 20, *options)
    assert (status, err.count("\n")) == (2, 1)
    assert words in err


@pytest.fixture(scope="module")
def observed(emulator, tmp_path_factory):
    """Thirty noisy toy stars in a file."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(5)
        labels = rng.uniform(emulator.low, emulator.high, (30, 3))
        flux = np.asarray(jax.jit(jax.vmap(emulator))(labels))
        keys = jax.random.split(jax.random.key(2), 30)
        mag = np.full(30, 20.0)
        noisy, error = jax.jit(jax.vmap(draw, (0, 0, 0, None)))(keys, flux, mag, builtin_noise())
        arrays = {"flux": flux, "error": error, "noisy": noisy}
        path = tmp_path_factory.mktemp("observed") / "stars.h5"
        single = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        columns = {name: labels[:, i] for i, name in enumerate(emulator.label_names)}
        write_spectra(path, Spectra(DETECTOR_WAVE, columns, mag=mag, **single))
    return path


@pytest.mark.slow
def test_posterior_finds_the_labels_within_its_own_errors(crlb, toy_file, observed, tmp_path):
    names = {kind: tmp_path / f"labels.{kind}" for kind in ("csv", "json")}
    status, screen, err = crlb(
        "posterior", observed, "--grid", toy_file, "--csv", names["csv"], "--json", names["json"]
    )
    assert status == 0, err
    rows = list(csv.DictReader(names["csv"].read_text().splitlines()))
    assert len(rows) == 30
    pull = [(float(row["log_g_mean"]) - float(row["log_g_true"])) / float(row["log_g_sigma"]) for row in rows]
    assert 0.5 < np.std(pull) < 1.6
    assert all(float(row["log_g_q16"]) < float(row["log_g_q50"]) < float(row["log_g_q84"]) for row in rows)
    result = json.loads(names["json"].read_text())
    assert result["n"] == 30
    assert f"{result['labels']['log_g']['r2_bayes']:.4g}" in screen
    assert crlb("posterior", observed, "--grid", toy_file, "--csv", names["csv"])[0] == 73


@pytest.mark.slow
def test_rows_of_a_file_are_those_asked_for(crlb, toy_file, observed, tmp_path):
    out = tmp_path / "two.csv"
    assert crlb("posterior", observed, "--grid", toy_file, "--rows", 4, 6, "--csv", out)[0] == 0
    assert [row["star"] for row in csv.DictReader(out.read_text().splitlines())] == ["4", "5"]
    status, _, err = crlb("posterior", observed, "--grid", toy_file, "--rows", 4, 60)
    assert (status, "--rows must lie within 0 and 30" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--prior-beta", "log_g=3"), "--prior-beta needs LABEL=A,B, for example log_g=3,3; found log_g=3"),
        (("--prior-beta", "log_g=3,3,9"), "--prior-beta needs LABEL=A,B"),
        (("--prior-beta", "log_g=3,3", "log_g=2,2"), "--prior-beta names log_g twice"),
        (("--prior-beta", "T_eff=4800,100"), "shapes of a Beta distribution over the grid's range"),
        (("--prior-beta", "M_H=-0.5,0.1"), "shapes of a Beta distribution over the grid's range"),
        (("--prior-beta", "vsini=3,3"), "--prior-beta: unknown label vsini"),
        (("--mag", 15), "--mag 15 has no effect"),
        (("--rows", 4, 60), "--rows must lie within 0 and 30, found 4 60"),
        (("--quantiles", 0.5, 1.5), "--quantiles must lie between 0 and 1, found 1.5"),
        (("--amplitude", 0), "--amplitude must be positive"),
    ],
)
def test_options_of_the_posterior_that_mean_nothing_are_usage_errors(
    crlb, toy_file, observed, options, words
):
    status, _, err = crlb("posterior", observed, "--grid", toy_file, *options)
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


@pytest.mark.slow
def test_a_part_of_the_arm_gives_the_labels_with_larger_errors(crlb, toy_file, tmp_path):
    star = tmp_path / "star.h5"
    assert crlb("spectrum", "--grid", toy_file, *OPTIONS, "--mag", 20, "--out", star)[0] == 0

    def found(*options):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.csv"
        status, _, err = crlb("posterior", star, "--grid", toy_file, "--csv", out, *options)
        assert status == 0, err
        return {
            k: float(v)
            for k, v in next(csv.DictReader(out.read_text().splitlines())).items()
            if k.startswith("T_eff")
        }

    arm, part = found(), found("--wave-range", 8400, 8750)
    assert abs(part["T_eff_mean"] - STAR["T_eff"]) < 3 * part["T_eff_sigma"]
    assert part["T_eff_sigma"] >= arm["T_eff_sigma"]


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


def equal_stars(n=2):
    """Posteriors of stars whose true labels are all the same."""
    labels = {"T_eff": np.full(n, 4800.0), "log_g": np.array([2.0, 3.0]), "M_H": np.full(n, 0.1)}
    mean = np.array([[4790.0, 2.1, 0.2], [4810.0, 2.8, 0.0]])
    points = np.ones(n)
    prior = make_prior(np.array([4000.0, 1.0, -1.0]), np.array([5000.0, 5.0, 0.0]), tuple(labels))
    quantiles = np.stack([mean - 1, mean, mean + 1], axis=-1)
    sigma = np.ones((n, 3))
    found = Posterior(tuple(labels), mean, sigma, quantiles, sigma, 300 * points, points > 0)
    return found, labels, prior


def test_stars_of_equal_labels_have_no_r2_and_are_written(tmp_path):
    """Case 05: division by their variance of zero ended a long computation in a traceback."""
    found, labels, prior = equal_stars()
    scores = posterior_scores(found, labels, prior, {"command": "crlb"})
    write_json(scores, tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert (written["labels"]["T_eff"]["r2"], written["labels"]["M_H"]["r2"]) == (None, None)
    assert written["labels"]["T_eff"]["rmse"] == pytest.approx(10.0)
    assert written["labels"]["log_g"]["r2"] == pytest.approx(1 - 0.025 / 0.25)
    assert written["not_finite"] == {"labels/T_eff/r2": "nan", "labels/M_H/r2": "nan"}
    cells = [line.split() for line in scores.table().splitlines()]
    assert [row[-1] for name in labels for row in cells if row[:1] == [name]] == ["-", "0.9", "-"]
    again = PosteriorScores.from_json(written)
    assert again.labels["log_g"] == scores.labels["log_g"]


def test_rows_of_stars_are_numbered_as_in_their_file():
    found, labels, _ = equal_stars()
    rows = [
        star.row()
        for star in star_posteriors(found, {"log_g": labels["log_g"]}, np.array([20.0, 21.0]), tuple(labels),
                                    (0.16, 0.5, 0.84), first=7)
    ]  # fmt: skip
    assert [row["star"] for row in rows] == [7, 8]
    assert rows[1]["log_g_true"] == 3.0
    assert "T_eff_true" not in rows[1]
    assert (rows[1]["T_eff_q16"], rows[1]["T_eff_mean"], rows[1]["mag"]) == (4809.0, 4810.0, 21.0)
