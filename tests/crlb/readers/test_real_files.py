"""Real files of observatories, read with the options that their readers need."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

TRIPLET = np.array([8500.36, 8544.44, 8664.52])  # Ca II, vacuum Å
AIR = ReadOptions(wave_unit="A", medium="air")
FILES = {
    "deimos_cat/t5_HD161096.fits": (AIR, -0.25),
    "indous_cat/indo-us_HD45282.fits": (AIR, 1),
    "stelib/STELIB_v3.2_HD113226.fits": (ReadOptions(medium="air"), -13),
    "mike/hd122563.fits": (AIR, 0.3),
    "sun/sao2010_690_900nm.txt": (
        ReadOptions(wave_unit="nm", medium="vacuum", flux_unit="photon/s/cm2/nm"),
        0.8,
    ),
}


def only(reference: Path, name: str, options: ReadOptions) -> Observed:
    path = reference / "observed" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    (found,) = open_observed(path, options).spectra()
    return found


def velocity(star: Observed) -> float:
    """Where the cores of the triplet lie, km/s: centroids of the deepest part of each."""
    found = []
    for line in TRIPLET:
        near = np.abs(star.wave - line) < 3.5
        wave, flux = star.wave[near], star.flux[near]
        core = np.abs(wave - wave[np.argmin(flux)]) < max(1.5, 1.1 * np.diff(wave).max())
        depth = flux[core].max() - flux[core]
        found.append(299792.458 * ((wave[core] * depth).sum() / depth.sum() / line - 1))
    return float(np.median(found))


@pytest.mark.parametrize("name", FILES)
def test_the_triplet_lies_where_it_was_measured(reference: Path, name: str) -> None:
    options, expected = FILES[name]
    assert velocity(only(reference, name, options)) == pytest.approx(expected, abs=8)


def test_air_read_as_vacuum_is_wrong_by_83_km_per_second(reference: Path) -> None:
    star = only(reference, "deimos_cat/t5_HD161096.fits", ReadOptions(wave_unit="A", medium="vacuum"))
    assert velocity(star) == pytest.approx(-83, abs=6)


@pytest.mark.parametrize("name", [name for name in FILES])
def test_what_no_file_says_is_asked_for(reference: Path, name: str) -> None:
    with pytest.raises(DataError, match="--wave-medium"):
        only(reference, name, ReadOptions())


def test_labels_and_name_of_a_header_and_the_unknown_ones(reference: Path) -> None:
    star = only(reference, "stelib/STELIB_v3.2_HD113226.fits", ReadOptions(medium="air"))
    assert star.origin.star == "HD113226"
    assert star.labels["log_g"] == pytest.approx(2.8, abs=0.3)


def test_the_red_part_that_is_filled_with_zeros_is_no_spectrum(reference: Path) -> None:
    star = only(reference, "stelib/STELIB_v3.2_HD006268.fits", ReadOptions(medium="air"))
    flux = fits.getdata(reference / "observed/stelib/STELIB_v3.2_HD006268.fits")
    there = np.flatnonzero(flux)
    assert star.lost == {"flux filled with zeros": flux.size - (there[-1] - there[0] + 1)}
    np.testing.assert_array_equal(np.flatnonzero(star.usable)[[0, -1]], there[[0, -1]])


def test_only_the_last_seven_pixels_of_kepler_93_are_unusable(reference: Path) -> None:
    options = ReadOptions(format="text", wave_unit="nm", medium="vacuum")
    star = only(reference, "gaia_rvs/Kepler-93.csv", options)
    np.testing.assert_array_equal(np.flatnonzero(~star.usable), np.arange(2394, 2401))


def test_a_file_of_wavelengths_or_of_labels_is_no_spectrum(reference: Path) -> None:
    for name in (
        "gaia_rvs/gaia_rvs_wavelength.fits",
        "labels/gbs_v3_tmass_gaiadr3_hip_allwise_all_lite.fits",
    ):
        with pytest.raises(DataError, match=r"no spectrum in this FITS file|no column for wave"):
            only(reference, name, AIR)


def test_logarithms_without_a_flag_are_told_by_their_values(reference: Path) -> None:
    name = "mastar/mastar-8047-9101-tpl.fits"
    star = only(reference, name, ReadOptions(format="FITS image", medium="vacuum"))
    assert velocity(star) == pytest.approx(-4, abs=8)
    assert star.resolving_power is not None
    assert np.interp(8500, star.wave, star.resolving_power) == pytest.approx(2375, rel=0.05)
