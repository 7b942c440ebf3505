"""FITS files as people have them: columns, vector cells or images, and the same numbers from each."""

import io

import numpy as np
import pytest
from astropy.io import fits

from crlb.bosz.fits_table import parse_fits
from crlb.errors import DataError

N = 50
WAVE, FLUX = 1000.0 + np.arange(N), 2.0 + np.arange(N) % 7
COLUMNS = {"wave": WAVE, "flux": FLUX, "cont": FLUX + 1}
NAMES = ("Wavelength", "SpecificIntensity", "Continuum")


def raw(*hdus) -> bytes:
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(file)
    return file.getvalue()


def table(names=NAMES, formats=("D", "D", "D"), arrays=None, **options):
    arrays = COLUMNS.values() if arrays is None else arrays
    columns = [
        fits.Column(name, form, array=array, **options)
        for name, form, array in zip(names, formats, arrays, strict=True)
    ]
    return fits.BinTableHDU.from_columns(columns)


def image(name, values):
    return fits.ImageHDU(np.asarray(values), name=name)


def shuffled():
    names = ("CONTINUUM", "quality", "specific_intensity", "WAVELENGTH (A)")
    return table(names, ("E", "J", "D", "D"), (FLUX + 1, np.arange(N), FLUX, WAVE))


def whole_numbers(offset=0.0, factor=1.0):
    return table(formats=("J",) * 3, arrays=[(factor * (c - offset)).astype(int) for c in COLUMNS.values()])


def scaled(hdu):
    """The same bytes, said to be half as large, and one more."""
    for i in (1, 2, 3):
        hdu.header[f"TSCAL{i}"], hdu.header[f"TZERO{i}"] = 0.5, 1.0
    return hdu


KINDS = {
    "plain": lambda: [table()],
    "capitals": lambda: [table(tuple(name.upper() for name in NAMES))],
    "other order, more columns": lambda: [shuffled()],
    "a table before it": lambda: [table(("a", "b", "c")), table()],
    "one row of vectors": lambda: [table(formats=(f"{N}D",) * 3, arrays=[c[None] for c in COLUMNS.values()])],
    "vectors of variable length": lambda: [
        table(formats=("PD()",) * 3, arrays=[np.array([c], object) for c in COLUMNS.values()])
    ],
    "whole numbers": lambda: [whole_numbers()],
    "scaled": lambda: [scaled(whole_numbers(offset=1.0, factor=2.0))],
    "table in ASCII": lambda: [
        fits.TableHDU.from_columns(
            [fits.Column(n, "D25.17", array=a) for n, a in zip(NAMES, COLUMNS.values(), strict=True)]
        )
    ],
    "three images": lambda: [image(n, a) for n, a in zip(NAMES, COLUMNS.values(), strict=True)],
    "images the other way": lambda: [image(n, a) for n, a in zip(NAMES, COLUMNS.values(), strict=True)][::-1],
    "images in rows": lambda: [image(n, a[None]) for n, a in zip(NAMES, COLUMNS.values(), strict=True)],
    "one image, 3 x n": lambda: [image("", np.stack(list(COLUMNS.values())))],
    "one image, n x 3": lambda: [image("", np.stack(list(COLUMNS.values()), 1).astype(np.float32))],
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_from_every_kind(kind):
    found = parse_fits(raw(*KINDS[kind]()))
    assert set(found) == set(COLUMNS)
    for name, values in COLUMNS.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-15)
        assert found[name].dtype == np.float64
        assert found[name].dtype.isnative


def test_undefined_values_become_nan():
    """TNULL marks them, in scaled columns before the scale."""
    for hdu, null in ((whole_numbers(), 4), (scaled(whole_numbers(offset=1.0, factor=2.0)), 6)):
        hdu.header["TNULL2"] = null
        found = parse_fits(raw(hdu))["flux"]
        np.testing.assert_array_equal(np.isnan(found), FLUX == 4.0)
        np.testing.assert_array_equal(found[FLUX != 4.0], FLUX[FLUX != 4.0])


def test_bare_2024_columns_need_no_wavelengths():
    hdu = table(("H", "continuum"), ("D", "D"), (FLUX, FLUX + 1))
    assert set(parse_fits(raw(hdu), ("flux", "cont"))) == {"flux", "cont"}
    with pytest.raises(DataError, match="column Wavelength is missing; the table has H, continuum"):
        parse_fits(raw(hdu))


@pytest.mark.parametrize(
    ("hdus", "words"),
    [
        (lambda: [], "must hold a table or images, found none"),
        (
            lambda: [table(("wave", "flux", "error"))],
            "column SpecificIntensity is missing; the table has wave, flux",
        ),
        (lambda: [table(formats=("D", "M", "D"))], "must hold real numbers, found complex numbers"),
        (lambda: [table(formats=("D", "8A", "D"), arrays=(WAVE, ["x"] * N, WAVE))], "found no numbers"),
        (
            lambda: [table(formats=("2D",) * 3, arrays=[np.ones((N, 2))] * 3)],
            r"found an array of shape \(50, 2\)",
        ),
        (
            lambda: [image("SCI", FLUX), image("ERR", FLUX)],
            "images named Wave.* found SCI, ERR",
        ),
        (lambda: [image("", np.ones((4, N)))], r"must have three rows .* found the shape \(4, 50\)"),
        (lambda: [image(n, np.ones(5 + i)) for i, n in enumerate(NAMES)], "columns must be of one length"),
    ],
)
def test_what_is_absent_or_of_another_kind_is_named(hdus, words):
    with pytest.raises(DataError, match=words):
        parse_fits(raw(*hdus()))


@pytest.mark.parametrize("card", ["NAXIS2", "NAXIS1", "TFIELDS", "PCOUNT"])
@pytest.mark.parametrize("value", ["99999999999", "-1", "x"])
def test_headers_that_contradict_the_data_end_in_a_refusal(card, value):
    """No memory is taken for rows that a header claims, and no other error comes out."""
    whole = raw(table())
    at = whole.index(card.ljust(8).encode() + b"=")
    damaged = whole[: at + 10] + value.rjust(20).encode() + whole[at + 30 :]
    with pytest.raises(DataError):
        parse_fits(damaged)


def test_truncation_is_refused():
    whole = raw(table())
    for length in (9, 80, 2880, 2900, 5760, len(whole) - 2880):
        with pytest.raises(DataError):
            parse_fits(whole[:length])
