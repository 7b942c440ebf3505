"""Spectra in FITS images."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

FLUX = np.linspace(1.0, 2.0, 400)
LINEAR = {"CRVAL1": 8400.0, "CDELT1": 0.5, "CRPIX1": 1.0}
EXPECTED = 8400 + 0.5 * np.arange(400)
VACUUM = ReadOptions(wave_unit="A", medium="vacuum")


def saved(folder: Path, data: np.ndarray, header: dict[str, object], *more: fits.ImageHDU) -> Path:
    primary = fits.PrimaryHDU(data)
    primary.header.update(header)
    fits.HDUList([primary, *more]).writeto(folder / "star.fits")
    return folder / "star.fits"


def only(path: Path, options: ReadOptions = VACUUM) -> Observed:
    (found,) = open_observed(path, options).spectra()
    return found


@pytest.mark.parametrize(
    ("header", "options", "expected"),
    [
        (LINEAR, VACUUM, EXPECTED),
        ({"CRVAL1": 8400.0, "CD1_1": 0.5, "CDELT1": 1.0}, VACUUM, EXPECTED),
        ({"CRVAL1": 8400.0, "CDELT1": 0.5}, VACUUM, EXPECTED),
        ({"CRVAL1": 8400.0, "CDELT1": 0.5, "CRPIX1": 0.0}, VACUUM, EXPECTED + 0.5),
        ({"CRVAL1": 8450.0, "CDELT1": 0.5, "CRPIX1": 101.0}, VACUUM, EXPECTED),
        (LINEAR | {"CUNIT1": "Angstrom"}, ReadOptions(medium="vacuum"), EXPECTED),
        (LINEAR | {"WAT1_001": "wtype=linear units=Angstroms"}, ReadOptions(medium="vacuum"), EXPECTED),
        (LINEAR | {"CTYPE1": "Angstrom"}, ReadOptions(medium="vacuum"), EXPECTED),
        (LINEAR | {"CTYPE1": "WAVE", "CUNIT1": "Angstrom"}, ReadOptions(), EXPECTED),
        (
            {"CTYPE1": "WAVE", "CUNIT1": "m", "CRVAL1": 8.4e-7, "CDELT1": 5e-11, "CRPIX1": 1.0},
            ReadOptions(),
            EXPECTED,
        ),
        (
            {"CRVAL1": 3.92, "CDELT1": 1e-5, "DC-FLAG": 1},
            ReadOptions(medium="vacuum"),
            10 ** (3.92 + 1e-5 * np.arange(400)),
        ),
        (
            {"CRVAL1": 3.92, "CDELT1": 1e-5},
            ReadOptions(medium="vacuum"),
            10 ** (3.92 + 1e-5 * np.arange(400)),
        ),
        (
            {"CTYPE1": "WAVE-LOG", "CUNIT1": "Angstrom", "CRVAL1": 8400.0, "CDELT1": 0.5},
            ReadOptions(),
            8400 * np.exp(0.5 * np.arange(400) / 8400),
        ),
        (
            {"COEFF0": 3.92, "COEFF1": 1e-5},
            ReadOptions(medium="vacuum"),
            10 ** (3.92 + 1e-5 * np.arange(400)),
        ),
    ],
)
def test_keywords_give_the_wavelengths(
    tmp_path: Path, header: dict[str, object], options: ReadOptions, expected: np.ndarray
) -> None:
    found = only(saved(tmp_path, FLUX, header), options)
    np.testing.assert_allclose(found.wave, expected, rtol=1e-12)
    np.testing.assert_allclose(found.flux, FLUX)


def test_air_by_the_type_of_the_axis(tmp_path: Path) -> None:
    found = only(saved(tmp_path, FLUX, LINEAR | {"CTYPE1": "AWAV", "CUNIT1": "Angstrom"}), ReadOptions())
    assert found.wave[0] == pytest.approx(8402.31, abs=0.01)


def test_what_the_axis_does_not_say_is_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, FLUX, LINEAR | {"CTYPE1": "LINEAR"})
    with pytest.raises(DataError, match=r"--wave-unit .*--wave-medium"):
        open_observed(path)


def test_errors_masks_and_resolution_of_extensions_by_name(tmp_path: Path) -> None:
    mask = np.zeros(400, np.int16)
    mask[9] = 4
    path = saved(
        tmp_path,
        FLUX.astype(">f4"),
        LINEAR | {"BUNIT": "1e-17 erg/s/cm2/A", "OBJECT": "HD 2"},
        fits.ImageHDU(np.full(400, 0.04), name="STAT"),
        fits.ImageHDU(mask, name="DQ"),
        fits.ImageHDU(np.full(400, 5000.0), name="SPECRES"),
    )
    found = only(path)
    np.testing.assert_allclose(found.ivar[0], 25)
    assert found.lost == {"masked dq": 1}
    np.testing.assert_allclose(found.resolving_power, 5000)
    assert (found.unit, found.origin.star) == ("1e-17 erg/s/cm2/A", "HD 2")


def test_wavelengths_of_an_extension_win(tmp_path: Path) -> None:
    path = saved(tmp_path, FLUX, {}, fits.ImageHDU(np.log10(EXPECTED), name="LOGLAM"))
    np.testing.assert_allclose(only(path, ReadOptions(medium="vacuum")).wave, EXPECTED)


def test_rows_of_one_axis_of_wavelengths_are_spectra(tmp_path: Path) -> None:
    two = np.stack([FLUX, FLUX[::-1]])
    path = saved(tmp_path, two, LINEAR | {"CTYPE1": "WAVE", "CUNIT1": "Angstrom"})
    assert [star.flux[0] for star in open_observed(path).spectra()] == [1, 2]


def test_rows_of_a_plain_image_are_spectra_only_on_request(tmp_path: Path) -> None:
    path = saved(tmp_path, np.stack([FLUX, FLUX[::-1]]), LINEAR)
    with pytest.raises(DataError, match="if the rows of an image are spectra, give --hdu 0"):
        open_observed(path, VACUUM)
    assert open_observed(path, ReadOptions(hdu="0", wave_unit="A", medium="vacuum")).n == 2


def test_bands_of_iraf_hold_spectrum_and_error(tmp_path: Path) -> None:
    bands = np.stack([FLUX, FLUX * 0, FLUX * 0.1])[:, None, :]
    names = {"BANDID1": "spectrum - background none", "BANDID2": "sky", "BANDID3": "sigma - background"}
    found = only(saved(tmp_path, bands, LINEAR | names | {"CTYPE1": "LINEAR"}))
    np.testing.assert_allclose(found.flux, FLUX)
    assert found.snr == pytest.approx(10)
    (tmp_path / "star.fits").unlink()
    np.testing.assert_allclose(only(saved(tmp_path, FLUX[None, None], LINEAR)).flux, FLUX)


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CDELT1": 1e-4}


@pytest.mark.parametrize(
    ("data", "header", "message"),
    [
        (np.ones((300, 300)), SKY, "no spectrum in this FITS file; it holds 0 PRIMARY: image 300 x 300"),
        (np.ones((300, 300)), {"CRVAL1": 1.0, "CDELT1": 1.0}, "no spectrum in this FITS file"),
        (FLUX, {}, "no spectrum in this FITS file; it holds 0 PRIMARY: image 400"),
        (None, {}, "no spectrum in this FITS file; it holds 0 PRIMARY: no data"),
        (np.ones((4, 5, 400)), LINEAR | {"CTYPE1": "AWAV"}, "cube"),
        (FLUX, LINEAR | {"CTYPE1": "FREQ"}, "CTYPE1 = 'FREQ' is no axis of wavelengths"),
        (FLUX, LINEAR | {"CTYPE1": "MULTISPE", "WAT0_001": "system=multispec"}, "multispec"),
        (FLUX, {"CRVAL1": 8400.0}, "step of the wavelengths is missing"),
        (np.ones((3, 400)), LINEAR | {"CTYPE1": "LAMBDA", "WV_0_01": "4000 0.1"}, "MAKEE"),
        (np.stack([FLUX, EXPECTED]), LINEAR | {"CTYPE1": "WAVE"}, "2 rows of the image are flux, errors"),
    ],
)
def test_images_that_are_no_spectra_are_refused_by_what_they_are(
    tmp_path: Path, data: np.ndarray | None, header: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_observed(saved(tmp_path, data, header), VACUUM)
