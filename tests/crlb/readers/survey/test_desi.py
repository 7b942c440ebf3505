"""DESI spectra: made small here, and a real file."""

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions
from crlb.readers.survey.widths import of_band
from tests.crlb.readers.survey.files import image, observed, read, real, saved, table

N, ROWS = 40, 3
SIGMA = 1.1  # pixels


def arm(letter: str, first: float, compressed: bool = False) -> list[object]:
    flux = np.arange(ROWS * N, dtype="f4").reshape(ROWS, N) + 1
    ivar = np.full((ROWS, N), 4.0, "f4")
    ivar[1] = 0
    mask = np.zeros((ROWS, N), np.uint32)
    mask[2, 5], mask[2, 6] = 4, 1 << 31
    stored = (
        fits.CompImageHDU(mask.view("i4"), name=f"{letter}_MASK")
        if compressed
        else image(f"{letter}_MASK", mask)
    )
    return [
        image(f"{letter}_WAVELENGTH", first + 0.8 * np.arange(N)),
        image(f"{letter}_FLUX", flux),
        image(f"{letter}_IVAR", ivar),
        stored,
        image(f"{letter}_RESOLUTION", np.stack([band()] * ROWS)),
    ]


def band() -> np.ndarray:
    """Diagonals +5 to -5 of a matrix with a Gaussian in every column, as scipy.sparse.dia_matrix has them."""
    offsets = np.arange(5, -6, -1)
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    return np.repeat((weights / weights.sum())[:, None], N, axis=1)


def coadd(**keywords: object) -> list[object]:
    fibermap = {"TARGETID": ("K", [11, 22, 33]), "OBJTYPE": ("3A", ["TGT", "", "SKY"])}
    return [fits.PrimaryHDU(), table("FIBERMAP", fibermap), *arm("R", 7580.0), *arm("Z", 7600.0, **keywords)]


@pytest.mark.parametrize("compressed", [False, True])
def test_arms_become_segments_of_one_star(tmp_path, compressed):
    path = saved(tmp_path, *coadd(compressed=compressed))
    stars = observed(path)
    assert [star.origin.star for star in stars] == ["11", "22", "33"]
    assert [part.stop - part.start for part in stars[0].parts()] == [N, N]
    np.testing.assert_allclose(stars[0].wave, np.r_[7580 + 0.8 * np.arange(N), 7600 + 0.8 * np.arange(N)])
    np.testing.assert_allclose(stars[0].flux, np.r_[1 : N + 1, 1 : N + 1])
    assert stars[0].unit == "1e-17 erg/s/cm2/A"
    assert (stars[0].ivar == 4).all()
    assert not stars[1].usable.any()
    assert any("empty fibre" in said for said in stars[1].done)
    assert stars[2].lost == {"masked COSMIC": 2, "masked bit 31": 2}
    assert any("sky" in said for said in stars[2].done)


def test_the_resolution_is_that_of_the_matrix(tmp_path):
    (star, *_) = observed(saved(tmp_path, *coadd()))
    inside = slice(N + 5, 2 * N - 5)
    expected = star.wave[inside] / (2 * np.sqrt(2 * np.log(2)) * SIGMA * 0.8)
    np.testing.assert_allclose(star.resolving_power[inside], expected, rtol=2e-3)


def test_columns_of_the_band_are_columns_of_the_matrix():
    from scipy.sparse import dia_matrix

    rng = np.random.default_rng(1)
    diagonals, offsets = rng.random((5, 30)), np.arange(2, -3, -1)
    matrix = dia_matrix((diagonals, offsets), shape=(30, 30)).toarray()
    pixels, column = np.arange(30), 12
    mean = np.average(pixels, weights=matrix[:, column])
    spread = np.sqrt(np.average((pixels - mean) ** 2, weights=matrix[:, column]))
    assert of_band(diagonals)[column] == pytest.approx(spread)


def test_rows_are_chosen_and_hdus_are_not(tmp_path):
    path = saved(tmp_path, *coadd())
    assert [raw.origin.row for raw in read(path, ReadOptions(rows=(1, 3)))[1]] == [1, 2]
    with pytest.raises(UsageError, match="--hdu has no meaning"):
        read(path, ReadOptions(hdu="Z_FLUX"))


def test_arms_of_other_shapes_are_refused(tmp_path):
    hdus = coadd()
    hdus[-3] = image("Z_IVAR", np.ones((ROWS, N - 1)))
    with pytest.raises(DataError, match=r"spectrum.fits: HDU Z_IVAR must have the shape \(3, 40\)"):
        read(saved(tmp_path, *hdus))


def test_a_real_coadd_has_two_targets_a_sky_fibre_and_two_empty_rows(reference):
    path = real(reference, "desi/coadd-sv3-dark-26065.fits")
    stars = observed(path)
    assert [bool(star.usable.any()) for star in stars] == [False, False, True, False, True]
    said = [" ".join(star.done) for star in stars]
    assert ["no target" in text for text in said] == [True, True, False, True, False]
    with fits.open(path) as hdus:
        z_flux, wave = hdus["Z_FLUX"].data[4], hdus["Z_WAVELENGTH"].data
        bad = sum(np.count_nonzero(hdus[f"{a}_MASK"].data[2] != 0) for a in "BRZ")
    star = stars[4]
    part = list(star.parts())[2]
    np.testing.assert_array_equal(star.wave[part], wave)
    np.testing.assert_allclose(star.flux[part], z_flux)
    at = part.start + int(np.argmin(abs(wave - 8500)))
    assert star.resolving_power[at] == pytest.approx(4900, abs=60)
    assert stars[2].lost["masked SOMEBADPIX"] == bad == 35
