"""MaStar, CALSPEC and ESO spectra, and files that are of no survey."""

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions
from crlb.readers.surveys import read_survey
from crlb.wavelengths import air_to_vacuum
from tests.crlb.readers.survey.files import (
    ANYWHERE,
    image,
    observed,
    one,
    read,
    real,
    recognised,
    saved,
    table,
)

N = 60


def test_the_logarithms_of_a_mastar_template_are_seen_without_a_flag(tmp_path):
    header = fits.Header([("CRVAL1", 3.93), ("CRPIX1", 2), ("CD1_1", 1e-4)])
    path = saved(tmp_path, fits.PrimaryHDU(np.ones(N), header), image("SPECRES", np.full(N, 1900.0)))
    (star,) = observed(path)
    np.testing.assert_allclose(star.wave, 10 ** (3.93 + 1e-4 * (np.arange(N) - 1)))
    assert star.rv_kms == 0
    assert not star.has_errors
    assert (star.resolving_power == 1900).all()


def test_the_real_mastar_template(reference):
    (star,) = observed(real(reference, "mastar/mastar-8047-9101-tpl.fits"))
    assert star.wave.size == 4563
    assert star.wave[[0, -1]] == pytest.approx([3621.6, 10353.8], abs=0.1)
    # 2375 in README.md of the folder is where the resolving power is measured, at 8500 Å.
    assert star.resolving_power[np.argmin(abs(star.wave - 8500))] == pytest.approx(2375, abs=40)


def test_visits_of_mastar_are_rows(tmp_path):
    cells = {
        "WAVE": 8400 + np.arange(N),
        "FLUX": np.full(N, 2.0),
        "IVAR": np.full(N, 3.0),
        "MASK": np.r_[np.zeros(N - 1), 8],
    }
    columns = {
        name: (f"{N}{'J' if name == 'MASK' else 'D'}", np.stack([values] * 2))
        for name, values in cells.items()
    }
    columns |= {"MANGAID": ("6A", ["7-1", "7-2"]), "HELIOV": ("E", [30.0, -4.0])}
    name, spectra = read(saved(tmp_path, fits.PrimaryHDU(), table("GOODSPEC", columns)))
    assert name == "MaStar visits"
    assert [raw.origin.star for raw in spectra] == ["7-1", "7-2"]
    assert spectra[0].rv_kms is None
    assert any("30.0 km/s (not removed)" in said for said in spectra[0].notes)
    assert spectra[0].bad["masked"].sum() == 1


def calspec(**more: object) -> fits.BinTableHDU:
    columns = {
        "WAVELENGTH": ("D", 8000 + 4.88 * np.arange(N)),
        "FLUX": ("E", np.full(N, 3e-12)),
        "STATERROR": ("E", np.r_[0.0, np.full(N - 1, 3e-14)]),
        "SYSERROR": ("E", np.full(N, 4e-14)),
        "FWHM": ("E", np.full(N, 9.76)),
        "DATAQUAL": ("I", np.r_[1, 0, np.ones(N - 2)]),
    } | more
    return table("SCI", columns)


def test_errors_of_calspec_are_added_in_quadrature_and_widths_doubled(tmp_path):
    (star,) = observed(saved(tmp_path, fits.PrimaryHDU(), calspec()))
    unit = float(star.unit.split()[0])
    np.testing.assert_allclose(star.ivar[2:] ** -0.5 * unit, 5e-14, rtol=1e-6)
    np.testing.assert_allclose(star.flux[2:] * unit, 3e-12, rtol=1e-6)
    assert star.lost == {"statistical error 0: a model, not measured": 1, "DATAQUAL 0": 1}
    np.testing.assert_allclose(star.resolving_power, star.wave / (2 * 9.76), rtol=1e-6)


def test_a_column_of_widths_that_holds_fluxes_is_left_out(tmp_path):
    raw = one(saved(tmp_path, fits.PrimaryHDU(), calspec(FWHM=("E", np.full(N, 3e-12)))))
    assert raw.resolving_power is None
    assert any("holds no widths" in said for said in raw.notes)


def test_systematic_errors_stand_alone_where_the_others_have_no_value(tmp_path):
    raw = one(saved(tmp_path, fits.PrimaryHDU(), calspec(STATERROR=("E", np.full(N, 1.6e38)))))
    np.testing.assert_allclose(raw.noise, 4e-14, rtol=1e-6)
    assert any("stand alone" in said for said in raw.notes)


@pytest.mark.parametrize(
    ("name", "power"),
    [
        ("18sco_stis_005.fits.gz", 435.0),
        ("kf06t2_stiswfcnic_005.fits.gz", None),
        ("sun_reference_stis_001.fits", 425.0),
    ],
)
def test_real_standard_stars(reference, name, power):
    path = real(reference, f"calspec/{name}")
    (star,) = observed(path)
    if power is None:
        assert star.resolving_power is None
    else:
        assert star.resolving_power[np.argmin(abs(star.wave - 8500))] == pytest.approx(power, rel=0.02)
    assert star.usable.any()
    assert star.has_errors


def eso(ucd: str | None = "em.wl;obs.atmos", columns: tuple[str, str] = ("FLUX", "ERR")) -> fits.BinTableHDU:
    values = {"WAVE": 840 + 0.01 * np.arange(N), columns[0]: np.full(N, 2.0), columns[1]: np.full(N, 0.1)}
    hdu = table("SPECTRUM", {name: (f"{N}D", [one]) for name, one in values.items()}, VOCLASS="SPECTRUM V1.0")
    hdu.header["TUNIT1"], hdu.header["TUNIT2"] = "nm", "adu"
    hdu.header["SPECSYS"] = "TOPOCENT"
    if ucd is not None:
        hdu.header["TUCD1"] = ucd
    return hdu


@pytest.mark.parametrize("columns", [("FLUX", "ERR"), ("FLUX_REDUCED", "ERR_REDUCED")])
def test_the_medium_of_eso_spectra_is_that_of_their_ucd(tmp_path, columns):
    primary = fits.PrimaryHDU(header=fits.Header([("OBJECT", "HD 1"), ("SPEC_RES", 115000.0)]))
    (air,) = observed(saved(tmp_path, primary, eso(columns=columns)))
    nominal = 8400 + 0.1 * np.arange(N)
    np.testing.assert_allclose(air.wave, air_to_vacuum(nominal))
    assert (air.resolving_power == 115000).all()
    assert (air.ivar > 99).all()
    assert air.origin.star == "HD 1"
    (vacuum,) = observed(saved(tmp_path, primary, eso("em.wl", columns)))
    np.testing.assert_allclose(vacuum.wave, nominal)
    assert any("TOPOCENT" in said for said in vacuum.done)


def test_the_medium_is_asked_for_where_eso_does_not_say_it(tmp_path):
    path = saved(tmp_path, fits.PrimaryHDU(), eso(ucd=None))
    with pytest.raises(DataError, match="--wave-medium"):
        observed(path)
    assert observed(path, ReadOptions(medium="vacuum"))[0].wave[0] == pytest.approx(8400)


def test_other_files_are_of_no_survey():
    plain = table("SPECTRUM", {"wave": ("D", [1.0, 2.0]), "flux": ("D", [1.0, 2.0])})
    header = fits.Header([("CRVAL1", 8400.0), ("CDELT1", 0.5)])
    assert recognised([fits.PrimaryHDU(), plain]) is None
    assert recognised([fits.PrimaryHDU(np.ones(9), header)]) is None
    assert recognised([fits.PrimaryHDU(np.ones((5, 9)), header)]) is None
    assert recognised([fits.PrimaryHDU(), image("FLUX", np.ones(9)), image("IVAR", np.ones(9))]) is None


@pytest.mark.parametrize("name", ["stelib", "deimos_cat", "indous_cat", "mike"])
def test_real_files_of_no_survey_are_left_to_the_generic_readers(reference, name):
    for path in sorted((reference / "observed" / name).glob("*.fits"))[:3]:
        with fits.open(path) as hdus:
            assert recognised(hdus) is None, path


def test_a_format_that_the_file_has_not_is_refused():
    hdus = [fits.PrimaryHDU(), calspec()]
    with pytest.raises(DataError, match=r"some.fits: is no file of the format SDSS spec"):
        next(read_survey("SDSS spec", hdus, ANYWHERE, ReadOptions()))
    with pytest.raises(UsageError, match="--hdu has no meaning for files of the format CALSPEC"):
        next(read_survey("CALSPEC", hdus, ANYWHERE, ReadOptions(hdu="SCI")))
    with pytest.raises(UsageError, match="must be one of PFS pfsObject"):
        next(read_survey("SDSS", hdus, ANYWHERE, ReadOptions()))
