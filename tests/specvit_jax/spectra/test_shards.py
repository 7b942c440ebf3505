"""Files of spectra: which ones a source names, what they must hold, and that a row is read as written."""

import h5py
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files import pfsspec
from crlb.files.spectra import read_spectra
from specvit_jax.spectra import shards as sharding
from specvit_jax.spectra.shards import count_rows, find_shards, open_shards
from tests.specvit_jax.toy import LABELS, rows_of, write_clean

N_PIX = 16
FLUX = pfsspec.ARRAYS["flux"]
WAVE = DETECTOR_WAVE[:N_PIX]


@pytest.fixture
def folder(tmp_path):
    """Three shards of 7 spectra each and their index."""
    for i in range(3):
        write_clean(tmp_path / f"shard_{i}" / "dataset.h5", 7, 7 * i, N_PIX)
    text = "# a comment\nshard_2  # the last\n\n  shard_0\nshard_1\n"
    (tmp_path / "shard_index.txt").write_text(text)
    return tmp_path


def test_an_index_a_folder_and_commas_name_files(folder):
    shard = [folder / f"shard_{i}" / "dataset.h5" for i in range(3)]
    in_order = [shard[2], shard[0], shard[1]]
    assert find_shards(str(folder / "shard_index.txt")) == in_order
    assert find_shards(str(folder)) == in_order
    assert find_shards(str(shard[0])) == find_shards(str(shard[0].parent)) == [shard[0]]
    assert find_shards(f"{shard[1]}, {shard[0].parent},") == [shard[1], shard[0]]


def test_an_existing_file_with_a_comma_is_one_file(tmp_path):
    path = write_clean(tmp_path / "a,b.h5", 2, n_pix=N_PIX)
    assert find_shards(str(path)) == [path]


def test_sources_that_name_nothing_or_too_much_are_refused(folder, tmp_path):
    first = folder / "shard_0" / "dataset.h5"
    link = folder / "link.h5"
    link.symlink_to(first)
    for source, error, said in [
        (f"{first},{folder / 'none.h5'}", MissingInputError, "none.h5 does not exist"),
        (f"{first},{first}", UsageError, "shard_0/dataset.h5 twice"),
        (f"{first},{link}", UsageError, "link.h5 twice"),
        (" , ", UsageError, "must name files of spectra"),
    ]:
        with pytest.raises(error, match=said):
            find_shards(source)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MissingInputError, match=r"must hold shard_index.txt or dataset.h5"):
        find_shards(str(empty))
    (empty / "shard_index.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match="names no shard"):
        find_shards(str(empty))
    (empty / "shard_index.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="must be text"):
        find_shards(str(empty))


def test_a_missing_shard_of_an_index_is_named(folder):
    (folder / "shard_1" / "dataset.h5").unlink()
    with pytest.raises(MissingInputError, match=r"shard_1/dataset.h5"):
        open_shards(find_shards(str(folder)), WAVE)


@pytest.mark.parametrize("size", [3, 256])
def test_rows_of_many_files_come_in_the_order_asked_for(folder, monkeypatch, size):
    monkeypatch.setattr(sharding, "SLICE", size)
    monkeypatch.setattr(sharding, "GAP", 2)
    found = open_shards(find_shards(str(folder)), WAVE)
    assert (found.rows, found.label_names, found.row_bytes) == (21, LABELS, 4 * (N_PIX + 3))
    written = np.concatenate([np.arange(14, 21), np.arange(14)])
    for rows in (np.arange(21), np.array([20, 0, 7, 6, 20, 13, 1]), np.array([], int)):
        clean, labels, mag = found.read(rows)
        expected = 1 + written[rows][:, None] / 4096 + 0.1 * np.sin(np.arange(N_PIX))
        np.testing.assert_allclose(clean, expected, rtol=1e-6)
        np.testing.assert_array_equal(rows_of(labels), written[rows])
        np.testing.assert_array_equal(mag, (20.5 + written[rows] % 3).astype(np.float32))
        assert clean.dtype == labels.dtype == mag.dtype == np.float32


def test_files_with_other_labels_wavelengths_or_without_magnitudes_are_refused(tmp_path):
    good = write_clean(tmp_path / "good.h5", 3, n_pix=N_PIX)
    for name, columns, said in [
        (
            "more",
            {"M_H": np.zeros(3)},
            "labels must be T_eff, log_g as in .*good.h5, found T_eff, M_H, log_g",
        ),
        ("less", {"log_g": None}, "labels must be T_eff, log_g as in"),
        ("faint", {"mag": None}, "must have mag"),
        ("nan", {"log_g": np.array([1, np.nan, 2])}, "labels and mag must be finite, found nan at row 1"),
    ]:
        other = write_clean(tmp_path / f"{name}.h5", 3, n_pix=N_PIX, **columns)
        said = said.replace("T_eff, M_H, log_g", ".*M_H.*")
        with pytest.raises(DataError, match=said):
            open_shards([good, other], WAVE)
    with pytest.raises(DataError, match="wavelengths must be the 12 pixels"):
        open_shards([good], DETECTOR_WAVE[:12])


def test_flux_of_another_shape_or_none_is_refused(tmp_path):
    path = write_clean(tmp_path / "a.h5", 3, n_pix=N_PIX)
    with h5py.File(path, "a") as file:
        del file[FLUX]
        file[FLUX] = np.ones((2, N_PIX), np.float32)
    with pytest.raises(DataError, match=r"in the shape \(3, 16\).*found float32 in the shape \(2, 16\)"):
        open_shards([path], WAVE)
    with h5py.File(path, "a") as file:
        del file[FLUX]
    with pytest.raises(DataError, match=FLUX):
        open_shards([path], WAVE)


def test_links_to_other_files_are_refused(tmp_path):
    victim, path = (write_clean(tmp_path / f"{name}.h5", 3, n_pix=N_PIX) for name in "ab")
    with h5py.File(path, "a") as file:
        del file[FLUX]
        file[FLUX] = h5py.ExternalLink(str(victim), FLUX)
    with pytest.raises(DataError, match="link"):
        open_shards([path], WAVE)


@pytest.mark.parametrize(
    ("column", "value"),
    [("T_eff", -9999.0), ("log_g", 99.0), ("log_g", -9.99), ("mag", 99.0), ("mag", -9999.0), ("mag", 1e30)],
)
def test_labels_and_magnitudes_that_stand_for_missing_ones_are_named_by_row_and_column(
    tmp_path, column, value
):
    columns = {"T_eff": np.full(7, 4000.0), "log_g": np.arange(7) / 2, "mag": np.full(7, 21.0)}
    columns[column][[3, 5]] = value
    path = write_clean(tmp_path / "a.h5", 7, n_pix=N_PIX, **columns)
    for read in (lambda: open_shards([path], WAVE), lambda: read_spectra(path, need=(), wave=WAVE)):
        said = rf"a\.h5: column {column} must lie .* found {value:g} at row 3 \(2 such rows\)"
        with pytest.raises(DataError, match=said.replace("1e+30", r"1e\+30")):
            read()


@pytest.mark.parametrize(
    ("pixels", "value", "said"),
    [
        (slice(None), 0.0, "found 0 in all pixels of row 4"),
        (slice(None), 99.0, "found 99 in all pixels of row 4"),
        (slice(9, 10), -9999.0, "found -9999 in pixel 9 of row 4"),
        (slice(3, 200), -99.0, "found -99 in pixel 3 of row 4"),
        (slice(9, 10), 1e30, r"found 1e\+30 in pixel 9 of row 4"),
        (slice(9, 10), 999.0, "found 999 in pixel 9 of row 4"),
    ],
)
def test_flux_that_stands_for_missing_flux_is_named_by_row_and_pixel(tmp_path, pixels, value, said):
    path = write_clean(tmp_path / "a.h5", 7, n_pix=400)
    with h5py.File(path, "a") as file:
        file[FLUX][4, pixels] = value
    wave = DETECTOR_WAVE[:400]
    shards = open_shards([path], wave)
    with pytest.raises(DataError, match=rf"a\.h5: flux must be .*{said} \(1 such rows\)"):
        shards.read(np.arange(7)[::-1])
    shards.read(np.array([0, 6]))
    with pytest.raises(DataError, match=rf"a\.h5: flux must be .*{said}"):
        read_spectra(path, wave=wave)


def test_flux_that_is_not_finite_is_refused_by_its_file_and_row(folder):
    path = folder / "shard_1" / "dataset.h5"
    with h5py.File(path, "a") as file:
        file[FLUX][4, 9] = np.inf
    found = open_shards(find_shards(str(folder)), WAVE)
    with pytest.raises(DataError, match=r"shard_1/dataset.h5.*flux must be finite, found inf at row 4"):
        found.read(np.arange(21))
    found.read(np.arange(14))  # of the other two


@pytest.mark.parametrize("rows", [1, 6, 7, 8, 14, 20, 21, 100])
def test_rows_after_those_that_are_used_are_never_read(folder, rows):
    paths = find_shards(str(folder))
    for path, used in zip(paths, count_rows(paths, rows), strict=True):
        with h5py.File(path, "r+") as file:
            file[FLUX][used:] = np.nan
            table = file[pfsspec.TABLE][()]
            table["values_block_0"][used:] = np.nan
            file[pfsspec.TABLE][...] = table
    found = open_shards(paths, WAVE, rows)
    assert found.rows == min(rows, 21) == sum(count_rows(paths, rows))
    assert len(found.paths) == -(-found.rows // 7)
    clean, labels, _ = found.read(np.arange(found.rows))
    assert np.isfinite(clean).all()
    np.testing.assert_array_equal(rows_of(labels), [*range(14, 21), *range(14)][:rows])
    if rows < 21:
        with pytest.raises(DataError, match="must be finite"):
            open_shards(paths, WAVE)
