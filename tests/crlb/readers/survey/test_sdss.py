"""SDSS and BOSS spectra: made small here, and two real ones."""

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions
from tests.crlb.readers.survey.files import observed, one, read, real, saved, table

N = 50
LOGLAM = 3.92 + 1e-4 * np.arange(N)


def coadd(name: str = "COADD", capital: bool = False, **more: object) -> fits.BinTableHDU:
    mask = np.zeros(N, np.int32)
    mask[2], mask[3], mask[4] = 1 << 18, 1 << 24, 1 << 19
    columns = {
        "loglam": ("E", LOGLAM),
        "flux": ("E", np.linspace(5, 6, N)),
        "ivar": ("E", np.r_[0.0, np.full(N - 1, 4.0)]),
        "and_mask": ("J", mask),
        "or_mask": ("J", np.full(N, 1 << 28)),
        "wdisp": ("E", np.full(N, 1.2)),
    } | more
    return table(name, {key.upper() if capital else key: value for key, value in columns.items()})


@pytest.mark.parametrize("capital", [False, True])
def test_a_spectrum_is_read_whatever_the_case_of_its_columns(tmp_path, capital):
    path = saved(tmp_path, fits.PrimaryHDU(), coadd(capital=capital))
    (star,) = observed(path)
    np.testing.assert_allclose(star.wave, 10**LOGLAM, rtol=3e-7)
    np.testing.assert_allclose(star.flux[5:], np.linspace(5, 6, N)[5:], rtol=1e-6)
    assert star.unit == "1e-17 erg/s/cm2/A"
    assert star.rv_kms is None
    # One standard deviation is 1.2 pixels of 1e-4 in log10.
    np.testing.assert_allclose(star.resolving_power, 1 / (2.354820 * 1.2 * np.log(10) * 1e-4), rtol=1e-5)


def test_bits_that_make_pixels_unusable_do_and_the_others_are_told(tmp_path):
    path = saved(tmp_path, fits.PrimaryHDU(), coadd())
    (star,) = observed(path)
    assert star.lost == {"inverse variance 0": 1, "masked FULLREJECT": 1}
    assert any("PARTIALREJECT 1, NODATA 1" in said for said in star.done)
    every = one(path, ReadOptions(mask_bits=("all",))).bad
    assert {cause: int(bad.sum()) for cause, bad in every.items()} == {"masked": 3}
    assert one(path, ReadOptions(mask_bits=("PARTIALREJECT", "2"))).bad["masked PARTIALREJECT"][4]


def test_an_exposure_is_read_by_name_and_another_hdu_is_refused(tmp_path):
    exposure = coadd("R1-00104927", mask=("J", np.ones(N, np.int32)), flux=("E", np.full(N, 2.0)))
    path = saved(tmp_path, fits.PrimaryHDU(), exposure, coadd(), table("SPALL", {"CLASS": ("4A", ["STAR"])}))
    assert one(path).origin.hdu == "COADD"
    assert one(path, ReadOptions(hdu="r1-00104927")).flux[7] == 2.0
    with pytest.raises(DataError, match=r"COADD, R1-00104927\), found SPALL"):
        one(path, ReadOptions(hdu="SPALL"))
    with pytest.raises(UsageError, match="--hdu must be one of PRIMARY, R1"):
        one(path, ReadOptions(hdu="NOTHERE"))


def test_rows_of_an_image_are_flux_and_error(tmp_path):
    rows = np.stack([np.full(N, 7.0), np.zeros(N), np.full(N, 0.5), np.zeros(N), np.zeros(N)]).astype("f4")
    header = fits.Header([("TELESCOP", "SDSS 2.5-M"), ("COEFF0", 3.6), ("COEFF1", 1e-4)])
    name, (raw,) = read(saved(tmp_path, fits.PrimaryHDU(rows, header)))
    assert name == "SDSS spSpec"
    assert raw.noise_kind == "error"
    np.testing.assert_allclose(raw.wave, 10 ** (3.6 + 1e-4 * np.arange(N)))
    np.testing.assert_array_equal(raw.noise, 0.5)


def test_a_boss_spectrum(reference):
    path = real(reference, "sdss/spec-3586-55181-0500.fits")
    (star,) = observed(path)
    with fits.open(path) as hdus:
        data = hdus["COADD"].data
        bright = (data["and_mask"] & (1 << 23)) != 0
        good = (data["ivar"] > 0) & ~bright
    assert star.wave.size == 4625
    assert star.origin.star == "3586-55181-500"
    np.testing.assert_array_equal(star.usable, good)
    np.testing.assert_allclose(star.flux[good], data["flux"][good])
    np.testing.assert_allclose(star.ivar[good], data["ivar"][good])
    assert np.median(star.resolving_power) == pytest.approx(1790, abs=10)
    assert star.snr == pytest.approx(57, abs=3)
    assert any("STAR G1V" in said for said in star.done)


def test_a_white_dwarf_of_the_first_sdss(reference):
    (star,) = observed(real(reference, "sdss/spec-0266-51602-0031.fits"))
    assert star.usable.sum() == 3842 - 220
    assert any("STAR WD" in said for said in star.done)
