"""Spectra in the columns of FITS tables."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

WAVE = np.linspace(8400.0, 8800.0, 50)
FLUX = np.linspace(1.0, 2.0, 50)
VACUUM = ReadOptions(medium="vacuum")


def column(name: str, values: np.ndarray, form: str = "D", **given: object) -> fits.Column:
    return fits.Column(name=name, format=form, array=values, **given)


def saved(folder: Path, *columns: fits.Column, header: dict[str, object] | None = None) -> Path:
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update(header or {})
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "star.fits")
    return folder / "star.fits"


def only(path: Path, options: ReadOptions = VACUUM) -> Observed:
    (found,) = open_observed(path, options).spectra()
    return found


def test_a_row_per_pixel_in_any_case_with_its_units(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        column("Lambda", WAVE / 10, unit="nm"),
        column("FLUX", FLUX, "E", unit="10**-17 erg/(s cm2 Angstrom)"),
        column("Ivar", np.full(50, 25.0), "E"),
        header={"OBJECT": "HD 1", "TEFF": "5000", "LOGG": 2.5, "FE_H": "-"},
    )
    found = only(path)
    np.testing.assert_allclose(found.wave, WAVE)
    np.testing.assert_allclose(found.flux, FLUX, rtol=1e-6)
    np.testing.assert_allclose(found.ivar, 25)
    assert found.flux.dtype.isnative
    assert found.unit == "1e-17 erg/s/cm2/A"
    assert (found.origin.star, found.origin.hdu) == ("HD 1", "1")
    assert found.labels == {"T_eff": 5000, "log_g": 2.5}


def test_one_row_of_vector_cells_is_one_spectrum(tmp_path: Path) -> None:
    cells = [column(name, values[None], "50D") for name, values in (("wave", WAVE), ("flux", FLUX))]
    found = only(saved(tmp_path, *cells), ReadOptions(wave_unit="A", medium="air"))
    np.testing.assert_allclose(found.flux, FLUX)
    assert found.origin.row is None


@pytest.mark.parametrize("form", ["50D", "PD()", "QD()"])
def test_many_rows_of_vector_cells_are_many_spectra(tmp_path: Path, form: str) -> None:
    flux = np.stack([FLUX, FLUX + 1, FLUX + 2])
    path = saved(
        tmp_path,
        column("TARGETID", np.array([2**60 + 1, 7, 8]), "K"),
        column("wave", np.tile(WAVE, (3, 1)), form, unit="Angstrom"),
        column("flux", flux, form),
        column("vhelio", np.array([0.0, 10.0, np.nan]), "D", unit="km/s"),
    )
    stars = list(open_observed(path, ReadOptions(medium="vacuum", columns={"rv": "VHELIO"})).spectra())
    np.testing.assert_allclose([star.flux for star in stars], flux)
    assert [star.origin.row for star in stars] == [0, 1, 2]
    assert [star.origin.star for star in stars] == [str(2**60 + 1), "7", "8"]
    assert [star.rv_kms for star in stars] == [0, 10, None]
    np.testing.assert_allclose(stars[1].wave * (1 + 10 / 299792.458), WAVE)
    (second,) = open_observed(path, ReadOptions(medium="vacuum", rows=(1, 2))).spectra()
    np.testing.assert_allclose(second.flux, flux[1])


def test_cells_of_different_lengths_are_spectra_of_different_lengths(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        column("wave", np.array([WAVE, WAVE[:30]], object), "PD()", unit="Angstrom"),
        column("flux", np.array([FLUX, FLUX[:30]], object), "PD()"),
    )
    assert [star.wave.size for star in open_observed(path, VACUUM).spectra()] == [50, 30]


def test_rows_that_are_pixels_of_several_spectra_are_turned(tmp_path: Path) -> None:
    flux = np.stack([FLUX, FLUX + 1])
    path = saved(tmp_path, column("wavelength", WAVE, unit="Angstrom"), column("flux", flux.T, "2D"))
    np.testing.assert_allclose([star.flux for star in open_observed(path, VACUUM).spectra()], flux)


def test_scaled_columns_come_scaled_and_null_is_no_data(tmp_path: Path) -> None:
    counts = np.arange(1, 51, dtype=np.int16)
    counts[7] = -99
    path = saved(
        tmp_path,
        column("wave", WAVE, unit="Angstrom"),
        fits.Column(name="flux", format="I", array=counts, null=-99),
        column("error", np.full(50, 0.5)),
    )
    with fits.open(path, mode="update") as hdus:  # astropy would scale the numbers back on writing
        hdus[1].header["TSCAL2"], hdus[1].header["TZERO2"] = 0.5, 10.0
    found = only(path)
    assert found.lost == {"flux not finite": 1}
    good = np.arange(50) != 7
    np.testing.assert_allclose(found.flux[good], 10 + 0.5 * np.arange(1, 51)[good])


def test_null_of_whole_numbers_is_no_data(tmp_path: Path) -> None:
    counts = np.arange(1, 51, dtype=np.int32)
    counts[7] = 1
    flux = fits.Column(name="flux", format="J", array=counts, null=1)
    assert only(saved(tmp_path, column("wave", WAVE, unit="A"), flux)).lost == {"flux not finite": 2}


def test_wavelengths_of_another_hdu_or_of_coefficients(tmp_path: Path) -> None:
    flux = column("flux", np.stack([FLUX, FLUX]), "50D")
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([flux])])
    hdus.append(fits.ImageHDU(WAVE, name="WAVELENGTH"))
    hdus.writeto(tmp_path / "two.fits")
    options = ReadOptions(wave_unit="A", medium="vacuum")
    assert [star.wave[0] for star in open_observed(tmp_path / "two.fits", options).spectra()] == [8400, 8400]
    path = saved(tmp_path, column("flux", FLUX), header={"COEFF0": 3.92, "COEFF1": 1e-4})
    np.testing.assert_allclose(only(path).wave, 10 ** (3.92 + 1e-4 * np.arange(50)))


def test_the_first_table_of_spectra_is_read_and_another_by_option(tmp_path: Path) -> None:
    one = [column("wave", WAVE, unit="Angstrom"), column("flux", FLUX)]
    two = [column("wave", WAVE, unit="Angstrom"), column("flux", FLUX + 5)]
    other = [column("ra", np.arange(3.0))]
    tables = [fits.BinTableHDU.from_columns(columns) for columns in (other, one, two)]
    tables[2].name = "COADD"
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(tmp_path / "star.fits")
    first = only(tmp_path / "star.fits")
    np.testing.assert_allclose(first.flux, FLUX)
    assert "HDU 2 read; spectra could be in 3, too: choose with --hdu" in first.done
    for hdu in ("coadd", "3"):
        found = only(tmp_path / "star.fits", ReadOptions(medium="vacuum", hdu=hdu))
        np.testing.assert_allclose(found.flux, FLUX + 5)
    with pytest.raises(DataError, match=r"--hdu NOPE: no such HDU; the file holds .*COADD"):
        open_observed(tmp_path / "star.fits", ReadOptions(hdu="NOPE"))


def test_the_medium_of_the_header_is_heeded(tmp_path: Path) -> None:
    for i, (header, first) in enumerate(
        [({"VACUUM": True}, 8400), ({"AIRORVAC": "air"}, 8402.31), ({"VACUUM": 0}, 8402.31)]
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        path = saved(folder, column("wave", WAVE, unit="Angstrom"), column("flux", FLUX), header=header)
        assert only(path, ReadOptions()).wave[0] == pytest.approx(first, abs=0.01)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((column("ra", FLUX), column("dec", FLUX)), "HDU 1: no column for wave among 'ra', 'dec'"),
        (
            (column("wave", WAVE, unit="A"), column("flux", FLUX + 1j, "M")),
            "flux must be numbers, found complex",
        ),
        (
            (column("wave", WAVE, unit="A"), column("flux", FLUX), column("error", FLUX + 1j, "M")),
            "error must be numbers, found complex",
        ),
        ((column("wave", WAVE, unit="A"), column("flux", np.full(50, "x"), "5A")), "flux must be numbers"),
        ((column("wave", WAVE, unit="furlong"), column("flux", FLUX)), "found 'furlong'; give --wave-unit"),
    ],
)
def test_a_table_that_is_no_spectrum_is_refused(
    tmp_path: Path, columns: tuple[fits.Column, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_observed(saved(tmp_path, *columns), VACUUM)


def test_a_mask_of_pypeit_is_one_of_good_pixels(tmp_path: Path) -> None:
    good = np.arange(50) != 4
    columns = [column("wave", WAVE, unit="A"), column("flux", FLUX), column("mask", good.astype(int), "K")]
    assert only(saved(tmp_path, *columns, header={"DMODCLS": "OneSpec"})).lost == {"masked good": 1}
