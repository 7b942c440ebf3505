"""Parsers of BOSZ files: exact wavelengths, physical flux, vacuum; nothing but whole files."""

import gzip

import h5py
import numpy as np
import pytest

from crlb.bosz.names import make_node, parse_name
from crlb.bosz.read import read_spectrum
from crlb.bosz.wave_grid import wave_2017, wave_2024
from crlb.errors import DataError, MissingInputError
from crlb.wavelengths import air_to_vacuum, vacuum_to_air
from tests.crlb.bosz.bosz_files import N0, TRIPLET_AIR, TRIPLET_VACUUM, content, stored_flux, table, write

LABELS = {"T_eff": 5000.0, "log_g": 2.0, "M_H": -0.5}
FITS = make_node(2017, LABELS, 2000)
ASCII = make_node(2017, LABELS, 2000, file_format="ascii")
TEXT = make_node(2024, LABELS, 2000)
ORIGINAL = make_node(2024, LABELS, "orig")
ALL = pytest.mark.parametrize("node", [FITS, ASCII, TEXT, ORIGINAL], ids=["fits", "ascii", "txt", "orig"])


def minima(wave, flux):
    """Wavelength of the deepest point around each line, by a parabola through three pixels."""
    found = []
    for line in TRIPLET_VACUUM:
        near = np.flatnonzero(np.abs(wave - line) < 12)
        i = near[np.argmin(flux[near])]
        a, b, _ = np.polyfit(wave[i - 1 : i + 2] - wave[i], flux[i - 1 : i + 2] / flux[i], 2)
        found.append(wave[i] - b / (2 * a))
    return np.array(found)


def test_ca_triplet_from_air_to_vacuum():
    np.testing.assert_allclose(air_to_vacuum(TRIPLET_AIR), TRIPLET_VACUUM, atol=0.006)


def test_air_and_vacuum_are_inverse_and_ultraviolet_is_left_alone():
    air = np.geomspace(2001.0, 30000.0, 500)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(air)), air, rtol=1e-9)
    below = np.array([500.0, 1999.9])
    np.testing.assert_array_equal(air_to_vacuum(below), below)
    np.testing.assert_array_equal(vacuum_to_air(below), below)


@ALL
def test_flux_is_physical_and_lines_lie_at_vacuum_wavelengths(node, tmp_path):
    spectrum = read_spectrum(write(node, tmp_path))
    vacuum = spectrum.vacuum_wave
    flux, cont = stored_flux(node, spectrum.wave)
    factor = np.pi if node.edition == 2017 else 4 * np.pi
    # the stored wavelengths of `orig` have three decimals in these files, flux has seven digits
    np.testing.assert_allclose(spectrum.flux, factor * flux, rtol=1e-4)
    np.testing.assert_allclose(spectrum.cont, factor * cont, rtol=1e-4)
    np.testing.assert_allclose(minima(vacuum, spectrum.flux / spectrum.cont), TRIPLET_VACUUM, atol=0.1)
    assert spectrum.node == node


@pytest.mark.parametrize("power", [1000, 50000, 300000])
def test_wavelengths_of_2017_get_their_digits_back(power):
    every = max(1, 300000 // power // 2)
    n = int(np.log(320.0) / np.log1p(1 / 300000)) // every
    exact = 10 * np.exp(np.log1p(1 / 300000) * (N0 + every * np.arange(n)))
    found = wave_2017(np.round(exact, 3).astype(np.float32).astype(np.float64), power)
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_wavelengths_of_real_spectra_lie_on_the_2017_grid(reference):
    """Every 30th of 10 Å (1 + 1/300000)^n, in phase with 1000 Å; the Ca II triplet where vacuum has it."""
    with h5py.File(reference / "bosz2017_r5000.h5") as file:
        wave, flux = file["wave"][:], file["flux"][:]
    n = np.log(wave / 10) / np.log1p(1 / 300000)
    assert np.abs(n - np.round(n)).max() < 0.05
    assert set(np.round(n).astype(int) % 30) == {N0 % 30}
    np.testing.assert_allclose(minima(wave, np.median(flux, axis=0)), TRIPLET_VACUUM, atol=0.15)


def test_wavelengths_of_2024_follow_the_published_formula():
    wave = wave_2024(5000)
    assert len(wave) == 75000
    np.testing.assert_allclose(wave[0], 500.0)
    np.testing.assert_allclose(np.diff(np.log(wave)), np.log(640) / 75000, rtol=1e-9)
    np.testing.assert_allclose(wave_2024(20000)[-1], 319993.11, atol=0.01)  # as measured in the archive


@ALL
def test_a_truncated_file_is_refused_by_name(node, tmp_path):
    path = write(node, tmp_path)
    whole = path.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - (3000 if node is FITS else 5)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"truncated or damaged|must") as caught:
            read_spectrum(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("node", [ASCII, TEXT])
def test_a_flipped_byte_is_refused(node, tmp_path):
    path = write(node, tmp_path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(DataError, match="truncated or damaged"):
        read_spectrum(path)


@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(node, bad, tmp_path):
    columns = table(node)
    columns[7, -1] = bad
    with pytest.raises(DataError, match=rf"{node.name[:8]}.*must be finite"):
        read_spectrum(write(node, tmp_path, columns))


@ALL
@pytest.mark.parametrize("rows", [slice(None, -200), slice(100, None)])
def test_missing_rows_are_refused(node, rows, tmp_path):
    """Whole by their compression, yet not whole spectra."""
    with pytest.raises(DataError, match=r"must have 30000 rows|must reach from"):
        read_spectrum(write(node, tmp_path, table(node)[rows]))


@pytest.mark.parametrize("node", [FITS, ASCII])
def test_a_row_missing_within_is_refused(node, tmp_path):
    with pytest.raises(DataError, match=r"wavelength 500 must be .* a row is missing"):
        read_spectrum(write(node, tmp_path, np.delete(table(node), 500, axis=0)))


def test_another_resolving_power_under_the_name_is_refused(tmp_path):
    other = make_node(2017, LABELS, 1000, file_format="ascii")
    (tmp_path / ASCII.name).write_bytes(content(other))
    with pytest.raises(DataError, match="another resolving power"):
        read_spectrum(tmp_path / ASCII.name)


def test_wrong_columns_and_text_are_refused(tmp_path):
    with pytest.raises(DataError, match="must have 3 columns, found 2"):
        read_spectrum(write(ASCII, tmp_path, table(ASCII)[:, :2]))
    (tmp_path / TEXT.name).write_bytes(gzip.compress(b"not a table of numbers\n"))
    with pytest.raises(DataError, match="no table of numbers; it begins with 'not a table"):
        read_spectrum(tmp_path / TEXT.name)
    (tmp_path / TEXT.name).write_bytes(gzip.compress(b""))
    with pytest.raises(DataError):
        read_spectrum(tmp_path / TEXT.name)


def test_other_files_are_told_apart(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        read_spectrum(tmp_path / FITS.name)
    (tmp_path / "other.txt.gz").write_bytes(b"")
    with pytest.raises(DataError, match="not the name of a BOSZ spectrum"):
        read_spectrum(tmp_path / "other.txt.gz")


def test_names_in_tests_are_those_of_the_archive():
    assert parse_name(ORIGINAL.name) == ORIGINAL
