"""The door to files of spectra: what is recognised, and what is refused without harm."""

import bz2
import gzip
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.errors import DataError, MissingInputError
from crlb.readers import content
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

WAVE = np.linspace(8400.0, 8800.0, 400)
VACUUM = ReadOptions(wave_unit="A", medium="vacuum")


def fits_bytes(folder: Path) -> bytes:
    columns = [fits.Column("wave", "D", array=WAVE), fits.Column("flux", "D", array=WAVE / 8400)]
    fits.BinTableHDU.from_columns(columns).writeto(folder / "made.fits")
    return (folder / "made.fits").read_bytes()


def text_bytes(_: Path) -> bytes:
    return "".join(f"{wave} {wave / 8400}\n" for wave in WAVE).encode()


@pytest.mark.parametrize("make", [fits_bytes, text_bytes])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_the_content_decides_not_the_name(tmp_path: Path, make: object, pack: object) -> None:
    path = tmp_path / "star.h5"
    path.write_bytes(pack(make(tmp_path)))
    (found,) = open_observed(path, VACUUM).spectra()
    np.testing.assert_allclose(found.wave, WAVE)


def test_one_bad_spectrum_costs_no_other(tmp_path: Path) -> None:
    wave = np.tile(WAVE, (3, 1))
    wave[0] = np.nan
    columns = [fits.Column("wave", "400D", array=wave), fits.Column("flux", "400D", array=wave / 8400)]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "star.fits")
    file = open_observed(tmp_path / "star.fits", VACUUM)
    bad, *good = file.each()
    assert isinstance(bad, DataError)
    assert [star.origin.row for star in good] == [1, 2]
    with pytest.raises(DataError, match=r"star.fits\[0\]: no wavelength is a finite number"):
        list(file.spectra())


@pytest.mark.parametrize(
    ("bytes_of_file", "message"),
    [
        (b"", "empty"),
        (os.urandom(4096), "no FITS, HDF5 or text file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no FITS, HDF5 or text file"),
        (pickle.dumps({"wave": [1, 2]}, 4), "no FITS, HDF5 or text file"),
        (b"PK\x03\x04" + bytes(50), "compressed by xz or zip"),
        (b"\x1f\x8b\x08\x00broken", "truncated or damaged"),
        (gzip.compress(b"8400 1\n8401 1\n", mtime=0)[:-12], "truncated or damaged"),
        (b"BZh9broken", "truncated or damaged"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "truncated or damaged"),
        (gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(200), mtime=0), "compressed HDF5"),
        ("a page about stars\n".encode("utf-16"), "no FITS, HDF5 or text file"),
        (b"<html>\n<body>404 not found</body></html>\n", "HTML or XML"),
    ],
)
def test_junk_is_refused_by_what_it_is(tmp_path: Path, bytes_of_file: bytes, message: str) -> None:
    path = tmp_path / "star.fits"
    path.write_bytes(bytes_of_file)
    with pytest.raises(DataError, match=message) as caught:
        open_observed(path, VACUUM)
    assert str(path) in str(caught.value)


def test_folders_and_absent_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a file"):
        open_observed(tmp_path)
    with pytest.raises(MissingInputError, match="does not exist"):
        open_observed(tmp_path / "absent.fits")


@pytest.mark.parametrize("cut", [100, 2879, 2881, 6000, -2300, -2881])
def test_a_truncated_fits_file_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "star.fits"
    path.write_bytes(fits_bytes(tmp_path)[:cut])
    with pytest.raises(DataError):
        open_observed(path, VACUUM)


def test_a_file_truncated_in_a_part_that_is_not_read_is_an_error(tmp_path: Path) -> None:
    columns = [fits.Column("wave", "D", array=WAVE), fits.Column("flux", "D", array=WAVE / 8400)]
    sky = fits.ImageHDU(np.ones(2000), name="SKY")
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns), sky]).writeto(
        tmp_path / "star.fits"
    )
    path = tmp_path / "cut.fits"
    path.write_bytes((tmp_path / "star.fits").read_bytes()[:-8000])
    with pytest.raises(DataError, match=r"HDU 2 needs the first .* truncated"):
        open_observed(path, VACUUM)


@pytest.mark.parametrize(
    "card", [f"NAXIS2  = {10**12:>20}", f"NAXIS1  = {-5:>20}", "TFORM1  = '999999999999D'", "NAXIS   = 'two'"]
)
def test_headers_that_promise_nonsense_are_refused_without_using_memory(tmp_path: Path, card: str) -> None:
    whole = fits_bytes(tmp_path)
    key = card[:8].encode()
    at = whole.index(key, 2880)
    path = tmp_path / "star.fits"
    path.write_bytes(whole[:at] + card.ljust(80).encode() + whole[at + 80 :])
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            open_observed(path, VACUUM)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_bomb_is_defused(tmp_path: Path, pack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "star.fits"
    path.write_bytes(pack(bytes(2**26)))
    monkeypatch.setattr(content, "MOST", 2**22)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="too much to read"):
            open_observed(path, VACUUM)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()


def test_tile_compressed_images_are_read_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flux, header = np.ones((40, 400), np.float32), fits.Header()
    header.update({"CRVAL1": 8400.0, "CDELT1": 1.0, "CTYPE1": "WAVE", "CUNIT1": "Angstrom"})
    packed = fits.CompImageHDU(flux, header, name="FLUX")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "star.fits")
    assert open_observed(tmp_path / "star.fits").n == 40
    monkeypatch.setattr("crlb.readers.fits.MOST", 50000)
    with pytest.raises(DataError, match="HDU 1 has 64,000 bytes once unpacked"):
        open_observed(tmp_path / "star.fits")


def test_another_format_than_the_asked_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "star.fits"
    fits_bytes(tmp_path)
    (tmp_path / "made.fits").rename(path)
    with pytest.raises(DataError, match="format must be text as asked, found FITS table"):
        open_observed(path, ReadOptions(format="text", wave_unit="A", medium="vacuum"))


def test_segments_are_combined_on_request(tmp_path: Path) -> None:
    path = tmp_path / "star.txt"
    path.write_bytes(text_bytes(tmp_path) * 3)
    (apart,) = open_observed(path, VACUUM).spectra()
    assert len(list(apart.parts())) == 3
    (one,) = open_observed(path, ReadOptions(wave_unit="A", medium="vacuum", combine=True)).spectra()
    np.testing.assert_allclose(one.wave, WAVE)
    np.testing.assert_allclose(one.flux, WAVE / 8400)
