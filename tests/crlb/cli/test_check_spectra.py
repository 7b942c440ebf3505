"""`crlb check`: what is in a file, how it is understood, what is wrong with it, within about a second."""

import json
import subprocess
import sys

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.files.spectra import Spectra, write_spectra
from tests.conftest import REFERENCE

OBSERVED = REFERENCE / "observed"
C_KMS = 299792.458
REAL = (  # a file of every survey, relative to the folder of observed spectra: format as it is named
    "sdss", "desi", "lamost", "gaia_rvs", "pfs", "mastar",
)  # fmt: skip


@pytest.fixture(scope="module")
def star():
    """Wavelengths, flux and error of a star of the embedded grid at SNR 30."""
    from crlb.grids.grid_file import default_grid_path, load_nodes

    nodes = load_nodes(
        default_grid_path(),
        lambda names, labels: np.array(
            [np.abs((labels - [4750, 2.5, -0.5, 0, 0]) / [1000, 1, 1, 1, 1]).sum(1).argmin()]
        ),
    )
    wave, flux = DETECTOR_WAVE, np.interp(DETECTOR_WAVE, nodes.wave, nodes.flux[0])
    flux = 0.5 * flux / np.median(flux)
    error = np.full(wave.size, 0.5 / 30)
    return wave, flux + error * np.random.default_rng(0).normal(size=wave.size), error


def as_text(path, wave, flux, error):
    rows = "".join(f"{w:.4f},{f:.6g},{e:.6g}\n" for w, f, e in zip(wave, flux, error, strict=True))
    path.write_text("wave,flux,error\n" + rows)
    return path


TOLD = ("--wave-unit", "A", "--wave-medium", "vacuum", "--flux-unit", "unknown", "--resolving-power", 4500)


def test_a_moving_star_is_recognised_with_its_velocity_and_bad_pixels_by_cause(crlb, star, tmp_path):
    wave, flux, error = star
    flux, error = flux.copy(), error.copy()
    flux[10:15], error[20:23], error[30:34] = np.nan, 0.0, -1.0
    path = as_text(tmp_path / "star.csv", wave * (1 + 60 / C_KMS), flux, error)
    status, out, _ = crlb("check", path, *TOLD, "--json", tmp_path / "check.json")
    assert status == 0
    found = json.loads((tmp_path / "check.json").read_text())["files"][0]
    one = found["spectra"][0]
    assert one["significant"] is True
    assert one["rv_kms"] == pytest.approx(60, abs=max(5 * one["rv_sigma_kms"], 3))
    assert one["n_used"] == one["n_pix"] - 12
    assert sorted(one["lost"].values()) == [3, 4, 5]
    assert one["snr"] == pytest.approx(30, rel=0.1)
    assert f"moves at {one['rv_kms']:+.1f} km/s" in out
    assert "--rv" in out
    for cause in one["lost"]:
        assert cause in out


def test_air_read_as_vacuum_is_named(crlb, star, tmp_path):
    wave, flux, error = star
    path = as_text(tmp_path / "star.csv", wave * (1 - 82.5 / C_KMS), flux, error)
    status, out, _ = crlb("check", path, *TOLD)
    assert (status, "are they in air (--wave-medium air)?" in out) == (0, True)


def test_nanometres_read_as_angstrom_are_refused_with_the_way_out(crlb, star, tmp_path):
    wave, flux, error = star
    path = as_text(tmp_path / "star.csv", wave / 10, flux, error)
    status, out, err = crlb("check", path, *TOLD)
    assert status == 65
    assert "cannot be used" in out + err
    assert "unit" in out


@pytest.mark.parametrize("kind", ["zero", "negative", "noise"])
def test_what_is_no_star_is_said(crlb, star, tmp_path, kind):
    wave, flux, error = star
    noise = error * np.random.default_rng(1).normal(size=wave.size)
    other = {"zero": 0 * flux, "negative": -flux, "noise": noise}[kind]
    status, out, err = crlb("check", as_text(tmp_path / "star.csv", wave, other, error), *TOLD)
    assert status in (0, 65)
    said = ("no spectrum of a star", "no star of the grid is recognised", "no usable pixel: ")
    assert any(words in out for words in said)
    assert kind != "zero" or (status, "cannot be used" in out + err) == (65, True)


def test_a_table_shows_every_spectrum_and_says_warnings_once(crlb, star, tmp_path):
    _, flux, error = star
    labels = {"T_eff": np.full(3, 4750.0)}
    rows = {"noisy": np.tile(flux, (3, 1)), "error": np.tile(error, (3, 1))}
    single = {name: array.astype(np.float32) for name, array in rows.items()}
    path = tmp_path / "stars.h5"
    write_spectra(path, Spectra(DETECTOR_WAVE, labels, flux=single["noisy"], **single))
    status, out, _ = crlb("check", path, tmp_path / "stars.h5")
    assert status == 0
    assert out.count("3 spectra") == 2


def test_one_file_that_cannot_be_used_ends_with_65_and_the_others_are_shown(crlb, star, tmp_path):
    good = as_text(tmp_path / "good.csv", *star)
    (tmp_path / "bad.csv").write_text("nothing\n")
    status, out, err = crlb("check", good, tmp_path / "bad.csv", *TOLD)
    assert status == 65
    assert "1 of 2 files cannot be used" in err
    assert "pixels would be used" in out
    assert f"{tmp_path / 'bad.csv'}: cannot be used" in out


def test_it_never_loads_jax(star, tmp_path):
    path = as_text(tmp_path / "star.csv", *star)
    code = (
        "import sys; from crlb.cli import parse; from crlb.errors import run_cli\n"
        f"run_cli(parse({['check', str(path), *map(str, TOLD)]!r}))\n"
        "print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize("survey", REAL)
def test_a_real_file_of_every_survey_is_understood(crlb, survey):
    files = sorted(path for path in (OBSERVED / survey).glob("*.fits*") if path.is_file())
    if not files:
        pytest.skip(f"no {survey} file in {OBSERVED} (set SPECVIT_REFERENCE)")
    status, out, err = crlb("check", files[0], "--first", 2)
    assert status in (0, 65), err
    assert "would be used" in out or "cannot be used" in out or "spectra" in out
