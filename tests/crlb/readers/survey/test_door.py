"""Files of surveys through the door that all commands use."""

import bz2
import gzip

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions
from crlb.readers.read import FORMATS, open_observed
from crlb.readers.surveys import SURVEYS
from tests.crlb.readers.survey.files import real, saved
from tests.crlb.readers.survey.test_desi import coadd
from tests.crlb.readers.survey.test_lamost import WAVE, image_file
from tests.crlb.readers.survey.test_sdss import coadd as sdss

RVS = "source_id,wavelength,flux,flux_error\n" + "".join(
    f"4611686018427387905,{846 + 0.01 * i:.2f},{'' if i == 2400 else 0.9},0.01\n" for i in range(2401)
)


def test_every_survey_is_a_format_that_can_be_asked_for():
    assert set(SURVEYS) <= set(FORMATS)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_survey_is_recognised_whatever_the_file_is_called_and_packed(tmp_path, pack):
    path = saved(tmp_path, fits.PrimaryHDU(), sdss())
    other = tmp_path / "pfsObject.csv"
    other.write_bytes(pack(path.read_bytes()))
    found = open_observed(other)
    assert (found.format, found.n) == ("SDSS spec", 1)
    assert any("vacuum" in said for said in found.understood)
    (star,) = found.spectra()
    assert star.wave.size == 50


def test_rows_of_many_stars_are_read_on_request(tmp_path):
    found = open_observed(saved(tmp_path, *coadd()), ReadOptions(rows=(1, 3)))
    assert found.n == 2
    assert [star.origin.row for star in found.each()] == [1, 2]
    assert [star.origin.star for star in found.each(1)] == ["33"]


def test_what_the_user_says_goes_before_what_the_format_says(tmp_path):
    path = saved(tmp_path, image_file(WAVE))
    options = ReadOptions(rv_kms=100.0, resolving_power=1800.0, flux_unit="normalised", medium="vacuum")
    (star,) = open_observed(path, options).spectra()
    np.testing.assert_allclose(star.wave, WAVE / (1 + 100 / 299792.458))
    assert star.rv_kms == 100
    assert (star.resolving_power == 1800).all()
    assert star.unit == "normalised"


def test_a_csv_file_of_the_gaia_archive_is_recognised_by_its_columns(tmp_path):
    path = tmp_path / "star.txt"
    path.write_text(RVS)
    found = open_observed(path)
    (star,) = found.spectra()
    assert (found.format, star.origin.star) == ("Gaia RVS", "4611686018427387905")
    assert star.rv_kms == 0
    np.testing.assert_array_equal(np.flatnonzero(~star.usable), [2400])
    assert open_observed(path, ReadOptions(format="gaia rvs")).format == "Gaia RVS"
    generic = ReadOptions(format="text", wave_unit="nm", medium="vacuum")
    assert open_observed(path, generic).format == "text"


def test_a_format_that_was_asked_for_and_columns_that_are_known_are_no_silent_wishes(tmp_path):
    path = saved(tmp_path, fits.PrimaryHDU(), sdss())
    with pytest.raises(DataError, match="DESI spectra as asked, found SDSS spec"):
        open_observed(path, ReadOptions(format="DESI spectra"))
    with pytest.raises(UsageError, match="columns of the format SDSS spec are known"):
        open_observed(path, ReadOptions(columns={"flux": "model"}))


@pytest.mark.parametrize(
    ("name", "name_of_format"),
    [
        ("sdss/spec-3586-55181-0500.fits", "SDSS spec"),
        ("desi/coadd-sv3-dark-26065.fits", "DESI spectra"),
        ("lamost/cals_example.fits", "LAMOST LRS"),
        ("gaia_rvs/Kepler-93.csv", "Gaia RVS"),
        ("mastar/mastar-8047-9101-tpl.fits", "MaStar template"),
        ("calspec/18sco_stis_005.fits.gz", "CALSPEC"),
        ("pfs/pfsArm-000001-m1.fits", "PFS pfsArm"),
        ("pfs/pfsGAObject.fits", "PFS pfsGAObject"),
    ],
)
def test_a_real_file_of_every_survey_needs_no_option(reference, name, name_of_format):
    found = open_observed(real(reference, name))
    assert found.format == name_of_format
    assert all(np.isfinite(star.wave).all() for star in found.spectra())
