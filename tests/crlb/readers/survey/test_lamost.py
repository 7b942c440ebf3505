"""LAMOST spectra: made small here, and real ones."""

import numpy as np
import pytest
from astropy.io import fits

from crlb.readers.options import ReadOptions
from tests.crlb.readers.survey.files import observed, one, read, real, saved, table

N = 30
WAVE = 10 ** (3.93 + 1e-4 * np.arange(N))


def image_file(third: np.ndarray, **keywords: object) -> fits.PrimaryHDU:
    mask = np.zeros(N)
    mask[4] = 1
    rows = np.stack([np.full(N, 8.0), np.full(N, 4.0), third, mask, np.ones(N)]).astype("f4")
    cards = {"TELESCOP": "LAMOST", "COEFF0": 3.93, "COEFF1": 1e-4, "VACUUM": True, "HELIO": True} | keywords
    return fits.PrimaryHDU(rows, fits.Header(list(cards.items())))


@pytest.mark.parametrize("third", [WAVE, np.ones(N)], ids=["wavelengths", "without continuum"])
def test_wavelengths_are_those_of_the_keywords_whatever_the_third_row_holds(tmp_path, third):
    path = saved(tmp_path, image_file(third))
    (star,) = observed(path)
    np.testing.assert_allclose(star.wave, WAVE, rtol=1e-12)
    assert star.lost == {"masked": 1}
    assert not star.usable[4]
    assert (star.ivar[5:] == 4).all()
    assert (star.resolving_power == 1500).all()
    assert one(path, ReadOptions(mask_bits=("none",))).bad == {}


def test_air_wavelengths_are_believed_where_the_file_says_air(tmp_path):
    assert one(saved(tmp_path, image_file(WAVE, VACUUM=False))).medium == "air"


def spectrum(name: str, wave: np.ndarray) -> fits.BinTableHDU:
    cells = {
        "FLUX": np.full(N, 3.0),
        "IVAR": np.full(N, 2.0),
        "WAVELENGTH": wave,
        "ANDMASK": np.zeros(N),
        "ORMASK": np.ones(N),
    }
    return table(
        name, {key: (f"{N}E" if key != "WAVELENGTH" else f"{N}D", [values]) for key, values in cells.items()}
    )


def test_a_table_of_vector_cells_is_read_as_the_images_are(tmp_path):
    primary = fits.PrimaryHDU(header=fits.Header([("TELESCOP", "LAMOST"), ("DESIG", "LAMOST J0+0")]))
    name, (raw,) = read(saved(tmp_path, primary, spectrum("COADD", WAVE)))
    assert name == "LAMOST LRS"
    assert raw.origin.star == "LAMOST J0+0"
    assert raw.bad == {}
    np.testing.assert_array_equal(raw.wave, WAVE)
    np.testing.assert_array_equal(raw.noise, 2.0)


def test_the_arms_of_medium_resolution_are_segments(tmp_path):
    primary = fits.PrimaryHDU(header=fits.Header([("TELESCOP", "LAMOST")]))
    parts = [spectrum("COADD_B", WAVE - 3000), spectrum("COADD_R", WAVE - 1800), spectrum("B-8432", WAVE)]
    name, (raw,) = read(saved(tmp_path, primary, *parts))
    assert name == "LAMOST MRS"
    assert raw.resolving_power == 7500
    np.testing.assert_array_equal(raw.segment, np.repeat([0, 1], N))
    picked = one(saved(tmp_path, primary, *parts), ReadOptions(hdu="B-8432"))
    np.testing.assert_array_equal(picked.wave, WAVE)


@pytest.mark.parametrize("name", ["cals_example.fits", "b6212/spec-55862-B6212_sp06-003.fits"])
def test_real_spectra_of_two_releases(reference, name):
    path = real(reference, f"lamost/{name}")
    (star,) = observed(path)
    with fits.open(path) as hdus:
        rows, header = hdus[0].data, hdus[0].header
    np.testing.assert_allclose(
        star.wave, 10 ** (header["CRVAL1"] + header["CD1_1"] * np.arange(rows.shape[1]))
    )
    # Beyond its end a spectrum is filled with zeros that have errors.
    np.testing.assert_array_equal(star.usable, (rows[1] > 0) & (rows[3] == 0) & (rows[0] != 0))
    np.testing.assert_allclose(star.flux[star.usable], rows[0][star.usable])
    if header["EXTEN0"].count("Wavelength"):
        np.testing.assert_allclose(star.wave, rows[2], atol=0.003)
    assert star.origin.star == header["DESIG"]
