"""Gaia RVS spectra: made small here, and real CSV files."""

import csv
from pathlib import Path

import numpy as np
from astropy.io import fits

from crlb.readers.options import ReadOptions
from crlb.readers.survey.gaia import gaia_rvs
from crlb.readers.understand import observed_of
from tests.crlb.readers.survey.files import read, real, saved, table

N = 2401
WAVE = 846 + 0.01 * np.arange(N)
ERROR = np.r_[np.full(N - 3, 0.01), np.full(3, np.nan)]


def columns(path: Path) -> dict[str, np.ndarray]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_stars_of_one_table_are_told_apart_by_their_identifiers():
    two = {
        "SOURCE_ID": np.repeat([77, 5], N),
        "wavelength": np.tile(WAVE, 2),
        "flux": np.r_[np.ones(N), np.full(N, 0.5)],
        "flux_error": np.tile(ERROR, 2),
    }
    first, second = gaia_rvs(two, Path("x.csv"))
    assert (first.origin.star, second.origin.star) == ("77", "5")
    assert second.flux[0] == 0.5
    assert second.origin.row == 1
    assert (first.wave_unit, first.medium, first.rv_kms, first.flux_unit) == (
        "nm",
        "vacuum",
        0.0,
        "normalised",
    )


def test_other_tables_are_not_taken_for_it():
    names = {name: np.ones(9) for name in ("source_id", "flux", "flux_error")}
    assert gaia_rvs(names | {"wavelength": np.linspace(400, 900, 9)}, Path("x.csv")) == []
    assert gaia_rvs(names, Path("x.csv")) == []


def test_a_table_with_a_row_per_pixel_is_a_star(tmp_path):
    values = {
        "source_id": ("K", np.full(N, 6)),
        "wavelength": ("D", WAVE),
        "flux": ("E", np.ones(N)),
        "flux_error": ("E", ERROR),
    }
    name, (raw,) = read(saved(tmp_path, fits.PrimaryHDU(), table("RVS", values)))
    assert name == "Gaia RVS"
    assert raw.origin.star == "6"
    star = observed_of(raw, ReadOptions())
    assert star.usable.sum() == N - 3
    assert star.rv_kms == 0


def test_a_table_with_a_row_per_star_is_as_many_stars(tmp_path):
    values = {
        "source_id": ("K", [6, 8]),
        "flux": (f"{N}E", np.stack([np.ones(N), np.full(N, 0.9)])),
        "flux_error": (f"{N}E", np.stack([ERROR, ERROR])),
    }
    name, spectra = read(saved(tmp_path, fits.PrimaryHDU(), table("RVS", values)))
    assert name == "Gaia RVS"
    assert [raw.origin.star for raw in spectra] == ["6", "8"]
    np.testing.assert_allclose(spectra[1].wave[[0, -1]], [846, 870])
    np.testing.assert_allclose(spectra[1].flux, 0.9, rtol=1e-6)


def test_the_last_seven_pixels_of_kepler_93_are_unusable_and_no_others(reference):
    path = real(reference, "gaia_rvs/Kepler-93.csv")
    (raw,) = gaia_rvs(columns(path), path)
    star = observed_of(raw, ReadOptions())
    np.testing.assert_array_equal(np.flatnonzero(~star.usable), np.arange(2394, 2401))
    np.testing.assert_allclose(star.wave, 8460 + 0.1 * np.arange(2401))
    assert star.origin.star == "2052747119115620352"
    assert star.flux[0] == 0.9942193
    np.testing.assert_allclose(star.ivar[0], 0.009473045**-2)
