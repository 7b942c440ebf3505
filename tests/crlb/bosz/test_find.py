"""Which files of a folder are spectra: twins, files of wavelengths, mixed kinds."""

import bz2
import gzip

import numpy as np
import pytest

from crlb.bosz.build import build_grid
from crlb.bosz.find import find_spectra
from crlb.bosz.names import select
from crlb.errors import DataError, MissingInputError
from crlb.grids.grid_file import load_grid
from tests.crlb.bosz.bosz_files import table, text, write, write_fits

BOX = {
    "T_eff": (5000.0, 5250.0),
    "log_g": (2.0, 2.5),
    "M_H": (0.0, 0.0),
    "a_M": (0.0, 0.0),
    "C_M": (0.0, 0.0),
}
WAVE = (8300.0, 8800.0)  # Å
NODES = {2024: select(2024, 500, BOX), 2017: select(2017, 500, BOX, file_format="ascii")}


def filled(folder, edition=2024):
    folder.mkdir()
    for node in NODES[edition]:
        write(node, folder)
    return folder


def grid(folder, tmp_path, name="grid.h5"):
    build_grid(find_spectra(folder), tmp_path / name, wave_range=WAVE)
    return load_grid(tmp_path / name)


@pytest.mark.parametrize("edition", [2017, 2024])
def test_a_folder_of_mixed_kinds_gives_the_grid_of_the_archive(edition, tmp_path):
    """Case 09: gunzipped, bunzipped, packed otherwise, in folders below, in capitals."""
    expected = grid(filled(tmp_path / "archive", edition), tmp_path, "archive.h5")
    mixed, below = tmp_path / "mixed", tmp_path / "mixed" / "below"
    below.mkdir(parents=True)
    for i, node in enumerate(NODES[edition]):
        stem, raw = node.name.split(".txt")[0].split(".asc")[0], text(table(node))
        (mixed / f"{stem}.txt").write_bytes(raw) if i == 0 else None
        (below / f"{stem}.asc").write_bytes(raw) if i == 1 else None
        (mixed / f"{stem}.TXT.bz2").write_bytes(bz2.compress(raw)) if i == 2 else None
        if i == 3 and edition == 2017:
            write_fits(mixed / f"{stem}.fits", table(node))
            (mixed / f"{stem}.fits.gz").write_bytes(gzip.compress((mixed / f"{stem}.fits").read_bytes()))
            (mixed / f"{stem}.fits").unlink()
        elif i == 3:
            (mixed / f"{stem}.dat.gz").write_bytes(gzip.compress(raw.replace(b"e+", b"D+")))
    (mixed / "readme.txt").write_text("not a spectrum")
    found = grid(mixed, tmp_path)
    np.testing.assert_allclose(found.flux, expected.flux, rtol=2e-6)
    assert found.label_names == expected.label_names


def test_twins_of_the_same_content_are_read_once_and_told(tmp_path):
    folder = filled(tmp_path / "spectra")
    for path in sorted(folder.iterdir())[:2]:
        path.with_name(path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"2 spectra are there more than once .*txt\.gz; .*\.txt is read"):
        found = find_spectra(folder)
    assert len(found) == 4


def test_twins_that_differ_are_refused(tmp_path):
    folder = filled(tmp_path / "spectra")
    node = NODES[2024][0]
    (folder / node.name.removesuffix(".gz")).write_bytes(text(table(node) * 1.01))
    with pytest.raises(DataError, match=r"two files are of one node, .* and they differ; remove one"):
        find_spectra(folder)


def wave_file(folder, wave):
    (folder / "bosz2024_wave_r500.txt").write_text("".join(f"{x:.3f}\n" for x in wave))


def test_the_file_of_wavelengths_is_no_spectrum_and_is_checked(tmp_path):
    folder = filled(tmp_path / "spectra")
    wave = 500 * 640 ** (np.arange(7500) / 7500)
    wave_file(folder, wave)
    assert len(find_spectra(folder)) == 4
    wave_file(folder, wave * 1.0003)
    with pytest.raises(DataError, match=r"bosz2024_wave_r500.txt: wavelength \d+ must be .* found"):
        find_spectra(folder)
    wave_file(folder, wave[:-1])
    with pytest.raises(DataError, match=r"bosz2024_wave_r500.txt: the table must have 7500 rows"):
        find_spectra(folder)
    wave_file(folder, wave[:-1])
    (folder / "bosz2024_wave_r500.txt").rename(folder / "bosz2024_wave_r1000.txt")
    assert len(find_spectra(folder)) == 4  # of other files


def test_ranges_may_be_rounded(tmp_path):
    folder = filled(tmp_path / "spectra")
    assert len(find_spectra(folder, {"T_eff": (5000.0003, 5249.9995), "log_g": (2.0000001, 2.5)})) == 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="0 files look like spectra"):
        find_spectra(tmp_path / "empty")


def test_the_placeholder_is_refused_only_within_the_wavelengths_kept(tmp_path):
    folder = tmp_path / "spectra"
    folder.mkdir()
    for node in NODES[2024]:
        columns = table(node)
        columns[:1200] = 0.0, 1.0  # up to 500 x 640^(1199 / 7500) Å
        write(node, folder, columns)
    assert (grid(folder, tmp_path).flux > 0).all()
    with pytest.raises(DataError, match=r"placeholder \(flux 0, continuum 1.* up to 1404\.70 Å"):
        build_grid(find_spectra(folder), tmp_path / "blue.h5", wave_range=(1300.0, 2000.0))
    build_grid(find_spectra(folder), tmp_path / "near.h5", wave_range=(1407.0, 2000.0))
