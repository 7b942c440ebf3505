"""`crlb posterior`: files of any kind in, a row per star out, what is wrong with a file said in its row."""

import csv
import json
import os

import h5py
import jax
import numpy as np
import pytest

from crlb.cli.posterior_files import look_at
from crlb.cli.posterior_run import PosteriorRun
from crlb.cli.scores import PosteriorScores
from crlb.detector import DETECTOR_WAVE
from crlb.files.spectra import Spectra, write_spectra
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import load_grid
from crlb.observation.instrument import to_detector
from crlb.observation.noise import draw
from crlb.observation.noise_curves import builtin_noise
from crlb.readers.options import ReadOptions
from tests.crlb.toy import unsealed

TRUTH = {"T_eff": 4700.0, "log_g": 2.6, "M_H": -0.8}
MAG = 21.0
ARRAY = "dataset/arrays/{}/value"


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def number(row, name):
    return float(row[name])


@pytest.fixture(scope="module")
def stars(toy_file):
    """Clean flux, errors and noisy flux of three equal toy stars."""
    with jax.enable_x64(True):
        emulator = make_emulator(to_detector(load_grid(toy_file)))
        flux = np.tile(np.asarray(emulator(np.array(list(TRUTH.values())))), (3, 1))
        keys = jax.random.split(jax.random.key(2), 3)
        noisy, error = jax.vmap(draw, (0, 0, None, None))(keys, flux, MAG, builtin_noise())
    return flux, np.asarray(noisy), np.asarray(error)


@pytest.fixture(scope="module")
def folder(stars, tmp_path_factory):
    """Files of the same star, whole and spoilt in the ways of users (cases 03, 04, 07, 18)."""
    folder = tmp_path_factory.mktemp("spectra")
    flux, noisy, error = stars

    def write(name, rows=slice(0, 1), scale=1.0, errors=1.0):
        labels = {label: np.full(len(flux[rows]), value) for label, value in TRUTH.items()}
        arrays = {"flux": flux[rows], "noisy": scale * noisy[rows], "error": errors * error[rows]}
        single = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
        mag = np.full(len(flux[rows]), MAG)
        write_spectra(folder / f"{name}.h5", Spectra(DETECTOR_WAVE, labels, mag=mag, **single))

    write("good", slice(0, 3))
    write("errors10", errors=10.0)
    write("cgs", scale=1e-17)
    write("zero", scale=0.0)
    write("masked")
    write("unlabelled")
    with h5py.File(unsealed(folder / "masked.h5"), "a") as file:
        file[ARRAY.format("noisy")][0, 2500:2520] = 50.0
        file[ARRAY.format("mask")][0, 2500:2520] = 1
    with h5py.File(unsealed(folder / "unlabelled.h5"), "a") as file:
        del file["dataset/params"]
    (folder / "broken.h5").write_text("no spectrum")
    return folder


FILES = ("good", "errors10", "cgs", "zero", "masked", "unlabelled", "broken")


@pytest.fixture(scope="module")
def run(folder, toy_file, tmp_path_factory):
    """One run over all files: its rows by file, and the folder of what it wrote."""
    from crlb.cli import parse
    from crlb.errors import run_cli

    out = tmp_path_factory.mktemp("out")
    words = ["posterior", *(folder / f"{name}.h5" for name in FILES), "--grid", toy_file, "--rv", 0]
    words += ["--out", out / "labels.csv", "--json", out / "labels.json", "--target-ess", 32]
    words += ["--samples", out / "samples", "--plots", out / "plots"]
    with jax.enable_x64(True):
        run_cli(parse([str(word) for word in words]))
    found = {}
    for row in rows_of(out / "labels.csv"):
        found.setdefault(row["file"].rpartition("/")[2].removesuffix(".h5"), []).append(row)
    return found, out


def test_every_file_and_row_has_its_row_in_order(run):
    found, _ = run
    assert [(name, len(rows)) for name, rows in found.items()] == [
        (name, 3 if name == "good" else 1) for name in FILES
    ]
    assert [row["row"] for row in found["good"]] == ["0", "1", "2"]


def test_good_stars_are_right_and_not_flagged(run):
    for row in run[0]["good"]:
        assert row["flags"] == "-", row["note"]
        assert row["note"] == "-"
        for name, truth in TRUTH.items():
            assert abs(number(row, f"{name}_mean") - truth) < 4 * number(row, f"{name}_sigma")
            assert number(row, f"{name}_true") == pytest.approx(truth)
            quantiles = [number(row, f"{name}_q{q}") for q in (16, 50, 84)]
            assert quantiles == sorted(quantiles)
        assert 0.9 < number(row, "chi2_dof") < 1.1
        assert number(row, "n_pix") == DETECTOR_WAVE.size


def test_errors_of_the_file_count_and_are_compared_with_those_of_the_noise_model(run):
    """Case 03: ten times the errors changed nothing."""
    good, wide = run[0]["good"][0], run[0]["errors10"][0]
    for name in TRUTH:
        prior = {"T_eff": 700, "log_g": 1.5, "M_H": 0.4}[name] / 12**0.5
        assert number(wide, f"{name}_sigma") > min(3 * number(good, f"{name}_sigma"), 0.5 * prior)
    assert "errors 10 times those of the noise model at mag 21 for 12 x 900 s" in wide["note"]
    assert "LOW_SNR" in wide["flags"]


def test_masked_pixels_cost_pixels_only(run):
    """Case 03: a residual of the sky under a mask decided the labels."""
    good, masked = run[0]["good"][0], run[0]["masked"][0]
    assert masked["flags"] == "-"
    assert number(masked, "n_pix") == number(good, "n_pix") - 20
    for name in TRUTH:
        off = number(masked, f"{name}_mean") - number(good, f"{name}_mean")
        assert abs(off) < 0.5 * number(good, f"{name}_sigma")


def test_flux_that_is_none_is_flagged_and_costs_no_other_row(run):
    """Case 04: flux in 1e-17 units beside errors that are not, and zero flux, gave confident labels."""
    cgs = run[0]["cgs"][0]
    assert cgs["flags"] == "FEW_PIXELS,UNUSABLE"
    assert "error so large that it means no data 4096" in cgs["note"]
    zero = run[0]["zero"][0]
    assert zero["flags"] == "FEW_PIXELS,UNUSABLE"
    assert "flux filled with zeros 4096" in zero["note"]
    assert np.isnan(number(zero, "log_g_mean"))


def test_labels_of_the_file_are_not_needed(run):
    """Case 07."""
    good, bare = run[0]["good"][0], run[0]["unlabelled"][0]
    assert np.isnan(number(bare, "log_g_true"))
    assert number(bare, "log_g_mean") == pytest.approx(number(good, "log_g_mean"), abs=0.2)


def test_a_file_that_cannot_be_read_keeps_a_row_with_the_reason(run):
    broken = run[0]["broken"][0]
    assert broken["flags"] == "UNUSABLE"
    assert "broken.h5" in broken["note"]


def test_scores_have_every_row_and_say_how_they_were_made(run):
    written = json.loads((run[1] / "labels.json").read_text())
    assert (written["n"], written["unusable"]) == (9, 3)
    assert written["labels"]["T_eff"]["r2"] is None  # equal labels, case 05
    assert written["provenance"]["errors"] == "file"
    assert written["provenance"]["conditions"]["continuum"] == 3
    assert len(written["stars"]) == 9
    assert written["flags"]["UNUSABLE"] == 3


def test_samples_and_pictures_are_there_for_every_star_with_labels(run):
    _, out = run
    stems = {f"good-{i}" for i in range(3)} | {f"{name}-0" for name in ("errors10", "masked", "unlabelled")}
    for folder, ending in (("samples", ".samples.csv"), ("samples", ".corner.png"), ("plots", ".fit.png")):
        found = {
            path.name.removesuffix(ending) for path in (out / folder).iterdir() if path.name.endswith(ending)
        }
        assert found == stems
    samples = rows_of(out / "samples" / "good-0.samples.csv")
    row = run[0]["good"][0]
    for name in TRUTH:
        values = np.array([number(one, name) for one in samples])
        assert values.mean() == pytest.approx(
            number(row, f"{name}_mean"), abs=0.2 * number(row, f"{name}_sigma")
        )
        assert values.std() == pytest.approx(number(row, f"{name}_sigma"), rel=0.2)
    assert (out / "plots" / "good-0.fit.png").read_bytes()[:4] == b"\x89PNG"


def test_files_of_one_name_in_two_folders_do_not_share_their_pictures(folder, toy_file, tmp_path):
    from crlb.cli import parse

    other = tmp_path / "good.h5"
    other.write_bytes((folder / "good.h5").read_bytes())
    command = parse(["posterior", str(folder / "good.h5"), str(other), "--grid", str(toy_file)])
    files = look_at([folder / "good.h5", other], ReadOptions())
    run = PosteriorRun(command, files)
    assert sorted(run._stems.values()) == ["1-good", "2-good"]


def test_an_interrupted_run_goes_on_to_the_same_bytes(crlb, folder, toy_file, tmp_path, monkeypatch):
    def command(out):
        words = ("--grid", toy_file, "--rv", 0, "--target-ess", 32, "--samples", out.with_suffix(""))
        return ("posterior", folder / "good.h5", folder / "masked.h5", *words, "--out", out)

    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    assert crlb(*command(whole))[0] == 0
    drawn, real = [], PosteriorRun._draw

    def stopping(self, star):
        drawn.append(star)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        real(self, star)

    monkeypatch.setattr(PosteriorRun, "_draw", stopping)
    status, _, err = crlb(*command(parts))
    assert (status, "stopped after 2 rows" in err) == (75, True)
    assert not parts.exists()
    monkeypatch.setattr(PosteriorRun, "_draw", real)
    assert crlb(*command(parts))[0] == 0
    assert parts.read_bytes() == whole.read_bytes()
    status, _, err = crlb(*command(parts))
    assert (status, "already" in err) == (73, True)


def test_an_interrupted_run_without_a_table_says_so(crlb, folder, toy_file, monkeypatch):
    def stop(self, first):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(PosteriorRun, "rows", stop)
    status, _, err = crlb("posterior", folder / "good.h5", "--grid", toy_file)
    assert (status, "with --out the same command goes on" in err) == (75, True)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["h5", "csv", "ecsv"])
def test_a_part_of_the_arm_written_by_the_product_is_read_back(crlb, toy_file, tmp_path, suffix):
    """Case 18: the product refused its own file."""
    star, out = tmp_path / f"part.{suffix}", tmp_path / "labels.csv"
    labels = [word for name, value in TRUTH.items() for word in (f"--{name}", value)]
    options = ("--grid", toy_file, "--wave-range", 8150, 8750)
    assert crlb("spectrum", *labels, "--mag", 20, *options, "--out", star)[0] == 0
    of_file = () if suffix == "h5" else ("--resolving-power", 3000)
    of_model = ("--noise", "model", *(("--mag", 20) if suffix == "csv" else ()))
    for told in (of_file, of_model):
        status, _, err = crlb("posterior", star, "--rv", 0, *options, "--out", out, "--overwrite", *told)
        assert status == 0, err
        row = rows_of(out)[0]
        for name, truth in TRUTH.items():
            assert abs(number(row, f"{name}_mean") - truth) < 4 * number(row, f"{name}_sigma")


def test_under_the_noise_model_the_magnitude_makes_the_errors(crlb, folder, toy_file, tmp_path):
    out = tmp_path / "labels.csv"
    files = [folder / f"{name}.h5" for name in ("good", "errors10", "zero")]
    status, _, err = crlb(
        "posterior", *files, "--grid", toy_file, "--noise", "model", "--rv", 0, "--out", out
    )
    assert status == 0, err
    rows = rows_of(out)
    assert [row["flags"] for row in rows] == ["-", "-", "-", "-", "FEW_PIXELS,UNUSABLE"]
    assert "flux filled with zeros 4096" in rows[4]["note"]
    # The same star, with points of its own: its errors are not read.
    first, other = (float(rows[i]["log_g_mean"]) for i in (0, 3))
    assert abs(other - first) < 0.1 * float(rows[0]["log_g_sigma"])


def test_the_old_option_of_a_prior_is_refused_with_the_new_one_named(crlb, folder, toy_file):
    """Case 06: `--prior T_eff=4800,100` was taken for the shapes of a Beta distribution."""
    status, out, err = crlb("posterior", folder / "good.h5", "--grid", toy_file, "--prior", "T_eff=4800,100")
    assert status == 2
    assert "--prior-sigma" in out + err


def test_for_few_spectra_the_compiler_does_not_try_hard_unless_told_otherwise(
    crlb, folder, toy_file, monkeypatch
):
    monkeypatch.setattr(PosteriorRun, "rows", lambda self, first: iter(()))
    monkeypatch.setattr(
        PosteriorRun, "scores", lambda self, tally, about: PosteriorScores(2, 0, 0, {}, {}, [], {})
    )
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    options = ("--grid", toy_file)
    command = ("posterior", folder / "good.h5", *options)
    assert crlb(*command)[0] == 0
    assert "--xla_backend_optimization_level=0" in os.environ["XLA_FLAGS"]
    monkeypatch.setenv("XLA_FLAGS", "")
    assert crlb(*command)[0] == 0
    assert os.environ["XLA_FLAGS"] == ""
    monkeypatch.delenv("XLA_FLAGS")
    assert crlb(*command[:2], folder / "masked.h5", folder / "errors10.h5", *options)[0] == 0
    assert "XLA_FLAGS" not in os.environ
