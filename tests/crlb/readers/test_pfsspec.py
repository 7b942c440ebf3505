"""Spectra of this project's HDF5 files, as observed."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.files import pfsspec
from crlb.files.observed import MODEL_UNIT, UNKNOWN_UNIT
from crlb.files.spectra import Spectra, write_spectra
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed
from tests.crlb.toy import unsealed

N = 5
PART = DETECTOR_WAVE[3000:3400]


def saved(folder: Path, wave: np.ndarray = PART, **change: np.ndarray | None) -> Path:
    """A file of spectra for a test to change, which therefore has no checksum."""
    return unsealed(sealed(folder, wave, **change))


def sealed(folder: Path, wave: np.ndarray = PART, **change: np.ndarray | None) -> Path:
    rng = np.random.default_rng(0)
    flux = rng.normal(0.5, 0.05, (N, wave.size)).astype(np.float32)
    values = {
        "labels": {"T_eff": np.full(N, 4800.0), "log_g": np.linspace(1, 3, N)},
        "flux": np.full_like(flux, 0.5),
        "error": np.full_like(flux, 0.05),
        "noisy": flux,
        "mag": np.full(N, 20.0),
        "snr": np.full(N, 10.0),
    }
    write_spectra(folder / "star.h5", Spectra(wave, **(values | change)))
    return folder / "star.h5"


def test_a_part_of_the_arm_is_read_with_errors_labels_and_magnitude(tmp_path: Path) -> None:
    found = open_observed(saved(tmp_path))
    assert (found.format, len(found)) == ("pfsspec HDF5", N)
    stars = list(found.spectra())
    np.testing.assert_array_equal(stars[0].wave, PART)
    np.testing.assert_allclose(stars[0].ivar, 400, rtol=1e-5)
    np.testing.assert_allclose(stars[0].resolving_power, PART / 1.6)
    assert stars[0].unit == MODEL_UNIT
    assert [star.labels["log_g"] for star in stars] == [1, 1.5, 2, 2.5, 3]
    assert (stars[3].mag, stars[3].origin.row, stars[3].rv_kms) == (20, 3, None)


def test_rows_are_read_on_request(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert [star.origin.row for star in open_observed(path).spectra(1, 3)] == [1, 2]
    part = open_observed(path, ReadOptions(rows=(2, 9)))
    assert part.n == 3
    assert [star.origin.row for star in part.spectra()] == [2, 3, 4]
    assert [star.origin.row for star in part.spectra(1)] == [3, 4]
    with pytest.raises(UsageError, match=r"--rows 5 6: .* has the rows 0 to 4"):
        open_observed(path, ReadOptions(rows=(5, 6)))


def test_masked_pixels_and_bad_errors_cost_their_star_only(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with h5py.File(path, "a") as file:
        file[pfsspec.ARRAYS["mask"]][1, 100:120] = 1
        file[pfsspec.ARRAYS["noisy"]][1, 100:120] = 50.0
        file[pfsspec.ARRAYS["error"]][2, 7] = np.nan
        file[pfsspec.ARRAYS["noisy"]][3, 8] = np.inf
        file[pfsspec.ARRAYS["error"]][4, :200] = 1e30
    stars = list(open_observed(path).spectra())
    assert [star.lost for star in stars] == [
        {},
        {"masked mask": 20},
        {"error not finite": 1},
        {"flux not finite": 1},
        {"error so large that it means no data": 200},
    ]
    assert not stars[1].flux[100:120].any()


def test_a_star_without_labels_or_without_a_table_is_a_star(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with h5py.File(path, "a") as file:
        del file[pfsspec.TABLE]
        pfsspec.write_table(file, {"id": np.arange(N) + 7.0, "Teff": np.full(N, 5000.0), "mag": np.zeros(N)})
    stars = list(open_observed(path).spectra())
    assert (stars[1].origin.star, stars[1].labels, stars[1].mag) == ("8", {"T_eff": 5000}, 0)
    with h5py.File(path, "a") as file:
        del file["dataset/params"]
    assert [star.labels for star in open_observed(path).spectra()] == [{}] * N


def test_without_noise_the_flux_is_read_and_this_is_said(tmp_path: Path) -> None:
    found = open_observed(saved(tmp_path, noisy=None, error=None))
    (star, *_) = found.spectra()
    assert not star.has_errors
    assert "without noise" in "; ".join(found.understood)


def test_other_pixels_have_no_known_resolution_and_the_unit_can_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, wave=np.linspace(8300, 8900, 400))
    (star, *_) = open_observed(path, ReadOptions(flux_unit="unknown")).spectra()
    assert (star.resolving_power, star.unit) == (None, UNKNOWN_UNIT)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    whole = [star.flux for star in open_observed(path).spectra()]
    monkeypatch.setattr("crlb.readers.pfsspec.BLOCK", 2 * PART.size)
    np.testing.assert_array_equal([star.flux for star in open_observed(path).spectra()], whole)


def test_files_of_another_layout_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with h5py.File(path, "a") as file:
        file[pfsspec.ARRAYS["error"].replace("value", "other")] = 1
        del file[pfsspec.ARRAYS["error"]]
        file[pfsspec.ARRAYS["error"]] = np.ones((N, 3))
    with pytest.raises(DataError, match="dataset/arrays/error/value' must hold numbers in the shape"):
        open_observed(path)
    with h5py.File(path, "w") as file:
        file["spectra"] = np.ones(3)
    with pytest.raises(DataError, match=r"no spectra in the layout.*it holds spectra"):
        open_observed(path)


def test_links_out_of_the_file_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with h5py.File(path, "a") as file:
        del file[pfsspec.ARRAYS["noisy"]]
        file[pfsspec.ARRAYS["noisy"]] = h5py.ExternalLink(str(path), pfsspec.ARRAYS["flux"])
    with pytest.raises(DataError, match="link to elsewhere"):
        open_observed(path)
