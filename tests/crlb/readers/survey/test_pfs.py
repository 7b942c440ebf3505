"""PFS files: made small here, and the examples of the datamodel."""

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions
from crlb.readers.survey.pfs_axis import keyword_wave, planes_in_text, resolving_power
from tests.crlb.readers.survey.files import image, observed, one, read, real, saved, table

N = 64
WAVE = 840.0 + 0.0427 * np.arange(N)  # nm, steps of the medium-resolution red arm
FLUX = 100.0 + np.arange(N)
VARIANCE = np.full(N, 4.0)
PLANES = {"MP_BAD": 2, "MP_CR": 0, "HIERARCH MP_BAD_FLUXCAL": 9, "HIERARCH MP_FIBERTRACE": 5}


def covariance(n_fibres: int | None = None) -> np.ndarray:
    one_star = np.stack([VARIANCE, np.full(N, 0.7), np.full(N, 0.1)])
    return one_star if n_fibres is None else np.stack([one_star] * n_fibres)


def mask() -> np.ndarray:
    found = np.zeros(N, np.int32)
    found[3], found[4], found[5], found[6:] = 1 << 2, 1 << 9, 1 << 1, 1 << 5
    return found


def pfs_object(*more: fits.ImageHDU, **keywords: object) -> list[fits.ImageHDU]:
    images = [image("FLUX", FLUX.astype(np.float32), **keywords), image("MASK", mask(), **PLANES)]
    return [fits.PrimaryHDU(), *images, image("SKY", 0 * FLUX), image("COVAR", covariance()), *more]


def datamodel_keywords(first: float, last: float, n_pix: int) -> dict[str, object]:
    """What WavelengthArray.toFitsHeader of the datamodel writes, nm turned to m by astropy.wcs."""
    step = (last - first) / (n_pix - 1)
    return {
        "CTYPE1": "WAVE",
        "CUNIT1": "m",
        "CRVAL1": 0.5 * (first + last) * 1e-9,
        "CRPIX1": n_pix / 2 + 1.5,
        "CDELT1": step * 1e-9,
    }


def test_wavelengths_from_keywords_of_the_datamodel_are_those_that_were_written(tmp_path):
    path = saved(tmp_path, *pfs_object(**datamodel_keywords(WAVE[0], WAVE[-1], N)))
    (star,) = observed(path)
    np.testing.assert_allclose(star.wave, 10 * WAVE, rtol=1e-12)
    assert any("one pixel up" in said for said in star.done)


@pytest.mark.parametrize("n_pix", [101, 64])
def test_keywords_by_the_rule_of_fits_are_read_by_it(n_pix):
    keywords = datamodel_keywords(380.0, 1260.0, n_pix) | {"CRPIX1": n_pix / 2 + 0.5}
    wave, said = keyword_wave(keywords, n_pix)
    np.testing.assert_allclose(wave, np.linspace(380.0, 1260.0, n_pix), rtol=1e-12)
    assert "rule of FITS" in said


def test_models_without_errors_and_copies_without_sky_are_read_by_the_same_keywords(tmp_path):
    primary, flux, bits, _, covar = pfs_object(**datamodel_keywords(WAVE[0], WAVE[-1], N))
    target = table("TARGET", {"filterName": ("1A", ["i"])}, OBJID=5)
    for hdus, has_errors in (((primary, flux, bits, target), False), ((primary, flux, bits, covar), True)):
        (star,) = observed(saved(tmp_path, *hdus))
        np.testing.assert_allclose(star.wave, 10 * WAVE, rtol=1e-12)
        assert star.has_errors == has_errors


def test_steps_that_are_differences_of_float32_do_not_add_up():
    stored = np.float32(350.1) - np.float32(350.0)  # 0.1000061, as the old files have it
    wave, _ = keyword_wave({"CRVAL1": 350.0, "CRPIX1": 0, "CD1_1": float(stored)}, 9100)
    np.testing.assert_allclose(wave, 350 + 0.1 * np.arange(9100), atol=1e-9)


def test_keywords_without_wavelengths_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"spectrum.fits: .*CRVAL1 None"):
        read(saved(tmp_path, *pfs_object()))


def test_wavelengths_come_from_the_hdu_before_the_keywords(tmp_path):
    keywords = datamodel_keywords(380.0, 1260.0, N)
    raw = one(saved(tmp_path, *pfs_object(image("WAVELENGTH", WAVE), **keywords)))
    np.testing.assert_array_equal(raw.wave, WAVE)


def test_mask_bits_count_by_the_names_of_this_file(tmp_path):
    path = saved(tmp_path, *pfs_object(image("WAVELENGTH", WAVE)))
    raw = one(path)
    bad = {cause: np.flatnonzero(pixels).tolist() for cause, pixels in raw.bad.items()}
    assert bad == {"masked BAD": [3], "masked BAD_FLUXCAL": [4], "masked bit 1": [5]}
    assert any("FIBERTRACE 58" in said for said in raw.notes)
    traced = one(path, ReadOptions(mask_bits=("fibertrace",))).bad
    assert traced["masked FIBERTRACE"].sum() == N - 6
    assert len(traced) == 1
    assert one(path, ReadOptions(mask_bits=("none",))).bad == {}
    assert one(path, ReadOptions(mask_bits=("all",))).bad["masked"].sum() == N - 3
    with pytest.raises(UsageError, match=r"BAD_FLUXCAL.*found WHAT"):
        one(path, ReadOptions(mask_bits=("WHAT",)))


@pytest.mark.parametrize(
    ("name", "columns", "kind"),
    [
        ("FLUXTABLE", ("wavelength", "flux", "error", "mask"), "error"),
        ("FLUX_TABLE", ("WAVELENGTH", "Flux", "Error", "Mask"), "error"),
        ("FLUXTBL", ("lambda", "flux", "fluxVariance", "mask"), "variance"),
    ],
)
def test_fluxes_that_were_not_resampled_come_first(tmp_path, name, columns, kind):
    error = 2.0 if kind == "error" else 4.0
    values = zip(columns, ("D", "E", "E", "K"), (WAVE, FLUX, np.full(N, error), mask()), strict=True)
    tbl = table(name, {key: (form, value) for key, form, value in values}, **PLANES)
    path = saved(tmp_path, *pfs_object(tbl, **datamodel_keywords(380.0, 1260.0, N)))
    raw = one(path)
    assert (raw.noise_kind, raw.wave_unit, raw.medium, raw.flux_unit) == (kind, "nm", "vacuum", "nJy")
    np.testing.assert_array_equal(raw.wave, WAVE)
    assert set(raw.bad) == {"masked BAD", "masked BAD_FLUXCAL", "masked bit 1"}
    (star,) = observed(path)
    flam = FLUX * 1e-32 * 2.99792458e18 / (10 * WAVE) ** 2  # nJy to erg/s/cm2/Å
    unit = float(star.unit.split()[0])
    np.testing.assert_allclose(star.flux[6:] * unit, flam[6:], rtol=1e-6)
    np.testing.assert_allclose(star.flux[6:] ** 2 * star.ivar[6:], (FLUX[6:] / 2) ** 2, rtol=1e-6)
    np.testing.assert_allclose(10 * WAVE / star.resolving_power, 1.6)
    assert one(path, ReadOptions(hdu="FLUX")).wave[0] == pytest.approx(380.0)


def test_labels_of_the_pipeline_are_read_and_an_empty_table_gives_none(tmp_path):
    def labels(temperature):
        columns = {
            "param": ("5A", ["v_los", "M_H", "T_eff", "log_g"]),
            "value": ("E", [30.0, -1.5, temperature, 2.0]),
            "flag": ("L", [False, True, False, False]),
        }
        extra = (image("WAVELENGTH", WAVE), table("STELLARPARAM", columns))
        return read(saved(tmp_path, *pfs_object(*extra)))

    name, (raw,) = labels(4500.0)
    assert name == "PFS pfsGAObject"
    assert raw.labels == {"T_eff": 4500.0, "log_g": 2.0}
    assert raw.rv_kms is None
    assert labels(0.0)[1][0].labels == {}


def arm(wave: np.ndarray, n_fibres: int = 2, norm: bool = True) -> list[fits.ImageHDU]:
    flux = np.stack([FLUX * (1 + k) for k in range(n_fibres)])
    hdus = [fits.PrimaryHDU(header=fits.Header(list(PLANES.items()))), image("FIBERID", np.array([17, 42]))]
    hdus += [image("WAVELENGTH", wave), image("FLUX", flux), image("MASK", np.stack([mask()] * n_fibres))]
    hdus += [image("SKY", 0 * flux), image("COVAR", covariance(n_fibres))]
    return [*hdus, image("NORM", np.full(flux.shape, 50.0))] if norm else hdus


def test_an_arm_has_a_spectrum_per_fibre_divided_by_its_norm(tmp_path):
    path = saved(tmp_path, *arm(np.stack([WAVE, WAVE + 0.01])))
    name, spectra = read(path)
    assert name == "PFS pfsArm"
    assert [raw.origin.star for raw in spectra] == ["fibre 17", "fibre 42"]
    np.testing.assert_allclose(spectra[1].flux, 2 * FLUX / 50)
    np.testing.assert_allclose(spectra[1].noise, VARIANCE / 50**2)
    np.testing.assert_array_equal(spectra[1].wave, WAVE + 0.01)
    assert set(spectra[0].bad) == {
        "masked BAD",
        "masked BAD_FLUXCAL",
        "masked bit 1",
    }  # of the primary header
    assert [raw.origin.row for raw in read(path, ReadOptions(rows=(1, 9)))[1]] == [1]


def test_a_merged_file_shares_its_wavelengths(tmp_path):
    name, spectra = read(saved(tmp_path, *arm(WAVE, norm=False)))
    assert name == "PFS pfsMerged"
    np.testing.assert_array_equal(spectra[1].wave, WAVE)
    np.testing.assert_array_equal(spectra[1].flux, 2 * FLUX)
    assert spectra[1].flux_unit == "unknown"
    assert spectra[1].resolving_power is None


def coadd(lengths: tuple[int, int]) -> list[fits.BinTableHDU]:
    """Two objects of different lengths, bits named in their metadata as YAML text."""

    def cells(name, values, form):
        return table(name, {"value": (form, np.array([*values, None], object)[:-1])})

    wave, flux, bits = [WAVE[:k] for k in lengths], [FLUX[:k] for k in lengths], [mask()[:k] for k in lengths]
    rows = {
        f"row_{k}": ("PD()", np.array([*[covariance()[k][:n] for n in lengths], None], object)[:-1])
        for k in range(3)
    }
    target = {
        "targetId": ("I", [0, 1]),
        "catId": ("J", [9, 9]),
        "objId": ("K", [1 << 60, 5]),
        "targetType": ("I", [1, 3]),
    }
    text = np.array([*["A: x\nMP_BAD: 5\nMP_CR: 9\nMP_GOOD: 2\nMP_FINE: 1\n"] * 2])
    observations = {"targetId": ("I", [0, 1]), "arm": ("1A", ["m", "r"])}
    return [
        fits.PrimaryHDU(),
        table("TARGET", target),
        cells("WAVELENGTH", wave, "PD()"),
        cells("FLUX", flux, "PE()"),
        cells("MASK", bits, "PJ()"),
        cells("SKY", flux, "PE()"),
        table("COVAR", rows),
        table("OBSERVATIONS", observations),
        table("METADATA", {"targetId": ("I", [0, 1]), "metadata": ("60A", text)}),
    ]


def test_objects_of_different_lengths_are_cells_of_tables(tmp_path):
    name, spectra = read(saved(tmp_path, *coadd((N, 40))))
    assert name == "PFS pfsCoadd"
    assert [raw.wave.size for raw in spectra] == [N, 40]
    assert spectra[0].origin.star == f"9/{1 << 60}"
    np.testing.assert_allclose(spectra[1].flux, FLUX[:40])
    np.testing.assert_allclose(spectra[1].noise, VARIANCE[:40])
    # The names of the metadata: here bit 5 is BAD, bits 2 and 1 are harmless, bit 9 a cosmic ray.
    assert {cause: int(pixels.sum()) for cause, pixels in spectra[1].bad.items()} == {
        "masked BAD": 34,
        "masked CR": 1,
    }
    assert any("flux standard" in said for said in spectra[1].notes)
    np.testing.assert_allclose(10 * WAVE / spectra[0].resolving_power, 1.6)
    np.testing.assert_allclose(10 * WAVE[:40] / spectra[1].resolving_power, 2.6)


def test_names_in_text_are_those_of_yaml():
    assert planes_in_text("MP_BAD: 3\n'MP_NO_DATA': 12\nOTHER: 4") == {"BAD": 3, "NO_DATA": 12}


def test_the_arm_is_unknown_where_two_could_have_been_resampled():
    wave = np.linspace(720.0, 880.0, 200)
    assert resolving_power(wave, "mr", native=False)[0] is None
    assert resolving_power(wave, "", native=False)[0] is None
    np.testing.assert_allclose(10 * wave / resolving_power(wave, "bmn", native=False)[0], 1.6)


def test_the_example_of_the_medium_arm(reference):
    path = real(reference, "pfs/pfsArm-000001-m1.fits")
    (star,) = observed(path)
    with fits.open(path) as hdus:
        wave, flux = hdus["WAVELENGTH"].data[0], hdus["FLUX"].data[0]
        sigma = np.sqrt(hdus["COVAR"].data[0, 0])
    assert star.wave.size == 4096
    assert star.usable.all()
    np.testing.assert_allclose(star.wave[[0, -1]], [7100.0, 8849.57])
    np.testing.assert_allclose(star.wave, 10 * wave)
    np.testing.assert_allclose(star.flux, flux)
    np.testing.assert_allclose(star.ivar, sigma**-2.0)
    assert np.median(sigma) == pytest.approx(0.179, abs=0.002)
    assert star.resolving_power[2048] == pytest.approx(4984, abs=3)


def test_the_example_of_an_object_has_300_dead_pixels_in_its_image_and_none_in_its_table(reference):
    path = real(reference, "pfs/pfsObject-00000-0,0-000-00000001-01-0x395428ab.fits")
    (table_star,) = observed(path)
    assert table_star.wave.size == 11640
    assert table_star.usable.all()
    (star,) = observed(path, ReadOptions(hdu="FLUX"))
    np.testing.assert_array_equal(np.flatnonzero(~star.usable), np.arange(300))
    assert star.lost == {"masked": 300}
    # Fluxes drawn from one star by two routes agree best where their wavelengths do: within 0.02 nm.
    shifts = np.arange(-0.1, 0.11, 0.02)
    inside = slice(3000, 5800)
    like = [
        np.corrcoef(
            star.flux[inside], np.interp(star.wave[inside] + 10 * shift, table_star.wave, table_star.flux)
        )[0, 1]
        for shift in shifts
    ]
    assert abs(shifts[np.argmax(like)]) < 0.021


def test_the_empty_example_of_the_archaeology_pipeline_is_read(reference):
    name, (raw,) = read(real(reference, "pfs/pfsGAObject.fits"))
    assert name == "PFS pfsGAObject"
    assert raw.labels == {}
    assert raw.wave[-1] == 885.0
