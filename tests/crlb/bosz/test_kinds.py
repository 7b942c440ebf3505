"""BOSZ files as people have them: unpacked, packed otherwise, renamed, converted; one spectrum from all."""

import bz2
import gzip
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.bosz.names import make_node, parse_name
from crlb.bosz.read import read_spectrum
from crlb.errors import DataError
from crlb.wavelengths import air_to_vacuum
from tests.crlb.bosz.bosz_files import content, table, text, write

LABELS = {"T_eff": 5000.0, "log_g": 2.0, "M_H": -0.5}
FITS = make_node(2017, LABELS, 200)
ASCII = make_node(2017, LABELS, 200, file_format="ascii")
TEXT = make_node(2024, LABELS, 500)
ORIGINAL = make_node(2024, LABELS, "orig")


def lines(columns, row="{:.6e} {:.6e}") -> bytes:
    return "".join(row.format(*values) + "\n" for values in columns).encode()


def named(node, suffix: str) -> str:
    stem = node.name.removesuffix(".txt.gz").removesuffix(".asc.bz2").removesuffix(".fits")
    return stem + suffix


def put(folder: Path, node, suffix: str, raw: bytes) -> Path:
    path = folder / named(node, suffix)
    path.write_bytes(raw)
    return path


def assert_same(node, path, rtol=1e-6):
    """The spectrum as it is stored, by closed form."""
    spectrum, factor = read_spectrum(path), np.pi if node.edition == 2017 else 4 * np.pi
    columns = table(node)
    np.testing.assert_allclose(spectrum.flux, factor * columns[:, -2], rtol=rtol)
    np.testing.assert_allclose(spectrum.cont, factor * columns[:, -1], rtol=rtol)
    assert spectrum.node.labels == node.labels
    assert spectrum.node.resolving_power == node.resolving_power


@pytest.mark.parametrize("node", [ASCII, TEXT, ORIGINAL], ids=["ascii", "txt", "orig"])
@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".txt", bytes),
        (".asc", bytes),
        (".TXT", bytes),
        (".txt.bz2", bz2.compress),
        (".asc.gz", gzip.compress),
        (".txt.gz", bytes),  # unpacked under its old name
        (".txt", gzip.compress),
        (".fits", bytes),
    ],
)
def test_text_under_any_suffix(node, suffix, pack, tmp_path):
    assert_same(node, put(tmp_path, node, suffix, pack(text(table(node)))))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".fits", bytes), (".FITS", bytes), (".fits.gz", gzip.compress), (".fit.bz2", bz2.compress)],
)
def test_fits_under_any_suffix(suffix, pack, tmp_path):
    raw = write(FITS, tmp_path).read_bytes()
    (tmp_path / FITS.name).unlink()
    assert_same(FITS, put(tmp_path, FITS, suffix, pack(raw)))


def test_names_in_capitals_lead_to_the_same_node():
    for node in (FITS, ASCII, TEXT, ORIGINAL):
        assert parse_name(node.name.upper()) == node
        assert parse_name(named(node, ".fits.gz")).labels == node.labels


@pytest.mark.parametrize("medium", ["air", "vacuum"])
@pytest.mark.parametrize("heading", ["", "# wavelength, H, continuum\n"])
def test_2024_with_wavelengths_in_the_first_column(medium, heading, tmp_path):
    wave = 500 * 640 ** (np.arange(7500) / 7500)
    wave = wave if medium == "air" else air_to_vacuum(wave)
    rows = np.column_stack([wave, table(TEXT)])
    raw = heading.encode() + lines(rows, "{:.3f},{:.6e},{:.6e}")
    assert_same(TEXT, put(tmp_path, TEXT, ".csv", raw))


def test_2024_columns_may_be_named_in_another_order(tmp_path):
    rows = np.column_stack([table(TEXT)[:, ::-1], np.arange(7500)])
    raw = b"continuum H row\n" + lines(rows, "{:.6e} {:.6e} {:.0f}")
    assert_same(TEXT, put(tmp_path, TEXT, ".txt", raw))


def test_2024_as_fits(tmp_path):
    names = ("H", "continuum")
    columns = [fits.Column(n, "D", array=c) for n, c in zip(names, table(TEXT).T, strict=True)]
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(file)
    assert_same(TEXT, put(tmp_path, TEXT, ".fits", file.getvalue()))


def test_other_wavelengths_beside_2024_spectra_are_refused(tmp_path):
    wave = 500 * 640 ** (np.arange(7500) / 7499)  # the last pixel at 320000 Å
    raw = lines(np.column_stack([wave, table(TEXT)]), "{:.3f} {:.6e} {:.6e}")
    with pytest.raises(DataError, match=r"must be .* at R = 500, found .*: not the wavelengths of BOSZ 2024"):
        read_spectrum(put(tmp_path, TEXT, ".txt", raw))


@pytest.mark.parametrize(
    ("node", "suffix", "raw", "words"),
    [
        (TEXT, ".txt.gz", lambda: b"<html>404 Not Found</html>", "a web page"),
        (FITS, ".fits", lambda: b"<!DOCTYPE html>", "a web page"),
        (TEXT, ".txt", lambda: b"", "is empty"),
        (
            TEXT,
            ".txt",
            lambda: lines(table(TEXT)[:, [0, 1, 1, 1]], "{} {} {} {}"),
            "must have 2 columns .* found 4",
        ),
        (ASCII, ".asc", lambda: lines(table(ASCII)[:, 1:]), "must have 3 columns, found 2"),
        (TEXT, ".txt", lambda: lines(table(TEXT)[:-1]), "must have 7500 rows at R = 500, found 7499$"),
        (
            TEXT,
            ".txt.gz",
            lambda: content(make_node(2024, LABELS, 1000)),
            "must have 7500 rows at R = 500, found 15000: those of R = 1000, another resolving power",
        ),
        (
            ASCII,
            ".asc",
            lambda: content(make_node(2017, LABELS, 500, file_format="ascii")),
            "the spacing is that of R = 500, another resolving power than the name says",
        ),
        (ASCII, ".asc", lambda: text(table(ASCII)[::-1]), "the rows run from long to short wavelengths"),
        (
            TEXT,
            ".txt",
            lambda: text(table(TEXT)).replace(b"\n", b" x\n", 7).replace(b" x", b"", 6),
            "line 7 has 3",
        ),
        (
            TEXT,
            ".txt",
            lambda: lines(table(TEXT) * [1, 0.5]),
            "the flux lies above the continuum",
        ),
    ],
)
def test_messages_name_the_cause_and_not_the_download(node, suffix, raw, words, tmp_path):
    path = put(tmp_path, node, suffix, raw())
    with pytest.raises(DataError, match=words) as caught:
        read_spectrum(path)
    assert str(path) in str(caught.value)
    assert "download" not in str(caught.value)


def test_exchanged_columns_are_refused(tmp_path):
    """Lines in every third pixel: flux above the continuum is no star's."""
    columns = table(TEXT)
    columns[::3, 0] *= 0.7
    read_spectrum(write(TEXT, tmp_path, columns))
    with pytest.raises(DataError, match=r"above the continuum in 33% .* below it in 0%: are the columns"):
        read_spectrum(write(TEXT, tmp_path, columns[:, ::-1]))
    raw = b"cont flux\n" + lines(columns[:, ::-1])
    (tmp_path / TEXT.name).unlink()
    with pytest.raises(DataError, match="are the columns exchanged"):
        read_spectrum(put(tmp_path, TEXT, ".txt", raw))
    spectrum = read_spectrum(put(tmp_path, TEXT, ".txt", b"flux cont\n" + lines(columns)))
    np.testing.assert_allclose(spectrum.flux, 4 * np.pi * columns[:, 0], rtol=1e-6)


def test_zero_flux_on_continuum_one_is_the_placeholder_of_the_archive(tmp_path):
    columns = table(TEXT)
    columns[:400] = 0.0, 1.0
    spectrum = read_spectrum(write(TEXT, tmp_path, columns))
    assert not spectrum.flux[:400].any()
    assert not spectrum.cont[:400].any()
    np.testing.assert_allclose(spectrum.cont[400:], 4 * np.pi * columns[400:, 1], rtol=1e-6)


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize("kind", ["bz-bz2_bomb", "bz-fits_complex", "bz-fits_tnull"])
def test_hostile_files_are_refused_or_read_within_bounds(kind, reference):
    """In a process that may take 1 GB of memory more than its imports."""
    folder = reference.parent / "cases" / "hostile" / "fits" / kind
    if not folder.is_dir():
        pytest.skip(f"no hostile files at {folder}")
    (path,) = folder.iterdir()
    program = (
        "import resource, sys; from astropy.io import fits; from crlb.bosz.read import read_spectrum\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 10**9,) * 2)\n"
        "from crlb.errors import DataError\n"
        "try: read_spectrum(sys.argv[1])\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=200, check=False
    )
    words = {
        "bz-bz2_bomb": "when unpacked",
        "bz-fits_complex": "complex numbers",
        "bz-fits_tnull": "must be finite",
    }
    assert words[kind] in done.stdout, done.stderr
