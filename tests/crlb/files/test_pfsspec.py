"""The pfsspec layout: pandas opens what we write, we read what pandas writes, and nothing is unpickled."""

import os
import pickle
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.files import pfsspec
from crlb.files.pfsspec import column_names
from crlb.files.spectra import Spectra, read_spectra, write_spectra
from tests.crlb.toy import unsealed

ALL = ("flux", "error", "noisy")


def some_spectra(n: int = 5) -> Spectra:
    rng = np.random.default_rng(0)
    flux = rng.uniform(0.3, 0.6, (n, 4096)).astype(np.float32)
    error = rng.uniform(0.05, 0.2, (n, 4096)).astype(np.float32)
    return Spectra(
        wave=DETECTOR_WAVE,
        labels={"T_eff": rng.uniform(4000, 6000, n), "log_g": rng.uniform(1, 5, n)},
        flux=flux,
        error=error,
        noisy=flux + error,
        mag=rng.uniform(20, 22, n),
        snr=rng.uniform(2, 20, n),
    )


@pytest.fixture
def path(tmp_path):
    """A good file, for a test to spoil."""
    write_spectra(tmp_path / "test.h5", some_spectra())
    return unsealed(tmp_path / "test.h5")


def test_pandas_opens_the_label_table(path):
    frame, spectra = pd.read_hdf(path), some_spectra()
    assert list(frame.columns) == ["T_eff", "log_g", "redshift", "mag", "snr"]
    assert list(frame.index) == [0, 1, 2, 3, 4]
    for name, column in spectra.columns().items():
        np.testing.assert_array_equal(frame[name], column)
    assert (frame["redshift"] == 0).all()


def test_the_table_has_every_attribute_that_pandas_gives_its_own(path, tmp_path):
    pd.DataFrame({"T_eff": [1.0], "log_g": [2.0]}).to_hdf(
        tmp_path / "own.h5", key="dataset/params", format="table"
    )
    with h5py.File(path) as ours, h5py.File(tmp_path / "own.h5") as own:
        mine, theirs = ours["dataset/params"].attrs, own["dataset/params"].attrs
        assert set(theirs) - set(mine) <= {"data_col_nan_rep", "mi_level_nan_rep"}  # of 3.1, which may lack
        assert mine["pandas_version"] == b"0.15.2"  # written and asked for by pandas 1.0 to 3.0


@pytest.mark.parametrize(
    ("pixels", "value", "said"),
    [(slice(7, 8), -9999.0, "-9999 in pixel 7 of row 2"), (slice(None), 0.0, "0 in all pixels of row 2")],
)
def test_observed_flux_that_stands_for_missing_flux_is_named_unless_it_is_marked(path, pixels, value, said):
    with h5py.File(path, "a") as file:
        file["dataset/arrays/noisy/value"][2, pixels] = value
    with pytest.raises(DataError, match=rf"test\.h5: noisy must be .*found {said}"):
        read_spectra(path, need=ALL)
    with h5py.File(path, "a") as file:
        file["dataset/arrays/noisy/value"][2] = 0.4 + 0.01 * np.arange(4096) % 0.1
        file["dataset/arrays/noisy/value"][2, 7] = -9999.0
        file["dataset/arrays/mask/value"][2, 7] = 1
    assert read_spectra(path, need=ALL).usable[2, 7] == 0


def with_blosc(path, compressor="blosc2:zstd"):
    """Compresses the flux of a file as users of PyTables do."""
    tables = pytest.importorskip("tables", reason="PyTables is not installed")
    with h5py.File(path, "a") as file:
        flux = file["dataset/arrays/flux/value"][()]
        del file["dataset/arrays/flux"]
    with tables.open_file(path, "a") as file:
        filters = tables.Filters(5, compressor)
        file.create_carray("/dataset/arrays/flux", "value", obj=flux, createparents=True, filters=filters)


@pytest.mark.parametrize(
    ("compressor", "said"), [("blosc2:zstd", "blosc2 .32026."), ("blosc", "blosc .32001.")]
)
def test_a_filter_that_is_missing_is_named_and_not_called_damage(path, monkeypatch, compressor, said):
    with_blosc(path, compressor)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)  # as if it were not installed
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code < 32000)
    with pytest.raises(DataError, match=rf"test\.h5: .*flux.* compressed by .*{said}.*hdf5plugin") as error:
        read_spectra(path)
    assert "damaged" not in str(error.value)


def test_a_filter_of_hdf5plugin_is_used(path):
    pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
    with_blosc(path)
    np.testing.assert_array_equal(read_spectra(path).flux, some_spectra().flux)


def test_pandas_reads_single_columns_and_rows_by_key(path):
    frame = pd.read_hdf(path, key="dataset/params", columns=["log_g"], start=1, stop=3)
    np.testing.assert_array_equal(frame["log_g"], some_spectra().labels["log_g"][1:3])


def test_what_is_written_is_read_back_exactly(path):
    found, spectra = read_spectra(path, need=ALL), some_spectra()
    for name in ALL:
        np.testing.assert_array_equal(getattr(found, name), getattr(spectra, name))
    for name, column in spectra.columns().items():
        np.testing.assert_array_equal(found.columns()[name], column)
    np.testing.assert_array_equal(found.wave, DETECTOR_WAVE)


def test_the_file_has_the_layout_of_the_field(path):
    with h5py.File(path) as file:
        edges = file["spectrumdataset/wave_edges"][()]
        np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2, DETECTOR_WAVE, rtol=1e-12)
        assert edges.shape == (4097,)
        for name in ALL:
            array = file[f"dataset/arrays/{name}/value"]
            assert (array.dtype, array.shape) == (np.float32, (5, 4096))
            assert array.chunks is None
        assert not file["dataset/arrays/mask/value"][()].any()


def test_arrays_that_are_not_asked_for_are_not_read(path):
    with h5py.File(path, "a") as file:
        del file["dataset/arrays/noisy"]
    found = read_spectra(path, need=("flux",))
    assert found.noisy is None
    assert found.error is None


@pytest.mark.parametrize("options", [{}, {"data_columns": True}, {"data_columns": ["log_g"], "index": False}])
def test_a_table_written_by_pandas_is_read(path, options):
    frame = pd.DataFrame(
        {
            "id": np.arange(5),
            "T_eff": np.linspace(4000, 5000, 5),
            "log_g": np.linspace(1, 5, 5).astype(np.float32),
            "name": list("abcde"),
            "mag": np.full(5, 21.0),
        }
    )
    with h5py.File(path, "a") as file:
        del file["dataset/params"]
    frame.to_hdf(path, key="dataset/params", format="table", **options)
    found = read_spectra(path)
    np.testing.assert_array_equal(found.labels["T_eff"], frame["T_eff"])
    np.testing.assert_array_equal(found.labels["log_g"], frame["log_g"])
    np.testing.assert_array_equal(found.mag, frame["mag"])
    assert found.snr is None
    assert set(found.labels) == {"T_eff", "log_g"}


class Planted:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_planted_command_is_refused_and_does_not_run(path, tmp_path, protocol):
    trace = tmp_path / "trace"
    bomb = pickle.dumps([Planted(f"touch {trace}"), "T_eff"], protocol=protocol)
    with h5py.File(path, "a") as file:
        file[pfsspec.TABLE].attrs["values_block_0_kind"] = np.void(bomb) if protocol else np.bytes_(bomb)
    with pytest.raises(DataError, match=r"refused|column names"):
        read_spectra(path)
    assert not trace.exists()
    pickle.loads(bomb)  # it would have worked
    assert trace.exists()


@pytest.mark.parametrize(
    "bad",
    [
        b"(lp0\nVT_eff\np1\na",  # no end
        b"cos\nsystem\n(S'true'\ntR.",
        pickle.dumps({"T_eff": 1}, protocol=0),
        pickle.dumps([1.5], protocol=0),
        b"\xff\x00rubbish",
        None,
    ],
)
def test_anything_but_a_list_of_strings_is_refused(bad):
    with pytest.raises(DataError, match="values_block_0_kind"):
        column_names(bad, "values_block_0")


def test_names_are_those_pickle_would_give():
    names = ["T_eff", "log_g", "\u03b1", "with\nnewline and 'quotes'"]
    assert column_names(pickle.dumps(names, protocol=0), "values_block_0") == names


def test_a_number_of_names_that_differs_from_the_columns_is_refused(path):
    with h5py.File(path, "a") as file:
        file[pfsspec.TABLE].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(["T_eff"], protocol=0))
    with pytest.raises(DataError, match="5 columns but 1 names"):
        read_spectra(path)


def spoil(path, name, value, index=...):
    with h5py.File(path, "a") as file:
        file[name][index] = value


def replace(path, name, **how):
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, **how)


FLUX, ERROR, NOISY = (pfsspec.ARRAYS[name] for name in ALL)


def test_bad_content_is_named(path):
    for name, value, at, said in [
        (FLUX, np.nan, (2, 7), "flux must be finite: 1 values are not, first nan at spectrum 2, pixel 7"),
        (ERROR, 0.0, (1, 3), "error must be positive.*first 0.0 at spectrum 1, pixel 3"),
        (ERROR, -1.0, (4, 0), "error must be positive.*first -1.0 at spectrum 4, pixel 0"),
        (ERROR, np.nan, (0, 1), "error must be positive.*spectrum 0, pixel 1"),
        (ERROR, np.inf, (0, 9), "error must be positive.*spectrum 0, pixel 9"),
        (NOISY, np.inf, (3, 8), "noisy must be finite.*spectrum 3, pixel 8"),
    ]:
        with h5py.File(path, "a") as file:
            before = file[name][at]
            file[name][at] = value
        with pytest.raises(DataError, match=f"test.h5: {said}"):
            read_spectra(path, need=ALL)
        spoil(path, name, before, at)
    assert read_spectra(path, need=ALL).n == 5


def test_nan_errors_of_the_outermost_pixels_mark_them_unusable(path):
    spoil(path, ERROR, np.nan, (slice(None), 0))
    spoil(path, ERROR, np.nan, (slice(2, None), 4095))
    spoil(path, NOISY, np.nan, (slice(None), 0))
    found = read_spectra(path, need=ALL)
    assert np.isnan(found.error).sum() == 5 + 3
    spoil(path, NOISY, np.nan, (0, 4095))  # but its error is good
    with pytest.raises(DataError, match=r"noisy must be finite.*spectrum 0, pixel 4095"):
        read_spectra(path, need=ALL)


def test_unusable_pixels_are_masked_in_what_we_write(tmp_path):
    spectra = some_spectra()
    spectra.error[1, 0] = np.nan
    write_spectra(tmp_path / "masked.h5", spectra)
    with h5py.File(tmp_path / "masked.h5") as file:
        mask = file["dataset/arrays/mask/value"][()]
    assert mask[1, 0] == 1
    assert mask.sum() == 1


def test_labels_that_are_not_finite_are_refused(path):
    with h5py.File(path, "a") as file:
        rows = file[pfsspec.TABLE][()]
        rows["values_block_0"][3, 1] = np.nan
        file[pfsspec.TABLE][...] = rows
    with pytest.raises(DataError, match=r"log_g must be finite.*spectrum 3"):
        read_spectra(path)


def test_other_wavelengths_are_refused(path):
    spoil(path, pfsspec.WAVE, DETECTOR_WAVE + 0.1)
    with pytest.raises(DataError, match=r"4096 pixels from 7100.214.*found 4096 from 7100.314.*resample"):
        read_spectra(path)
    assert read_spectra(path, wave=None).wave[0] == pytest.approx(DETECTOR_WAVE[0] + 0.1)


def test_wavelengths_stored_in_float32_are_the_same_wavelengths(path):
    replace(path, pfsspec.WAVE, data=DETECTOR_WAVE.astype(np.float32))
    assert read_spectra(path).n == 5


def test_wavelengths_that_do_not_increase_are_refused(path):
    spoil(path, pfsspec.WAVE, DETECTOR_WAVE[::-1])
    with pytest.raises(DataError, match="increasing"):
        read_spectra(path, wave=None)


@pytest.mark.parametrize("name", [pfsspec.WAVE, pfsspec.TABLE, FLUX, "dataset"])
def test_a_missing_dataset_is_named(path, name):
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(DataError, match=f"'{name}.*missing"):
        read_spectra(path)


def test_an_array_of_another_shape_is_refused(path):
    replace(path, FLUX, data=np.ones((4, 4096), np.float32))
    with pytest.raises(DataError, match=r"must have shape \(5, 4096\).*found \(4, 4096\)"):
        read_spectra(path)


def test_a_table_without_any_label_is_refused(path):
    with h5py.File(path, "a") as file:
        names = ["a", "b", "c", "d", "e"]
        file[pfsspec.TABLE].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(names, protocol=0))
    with pytest.raises(DataError, match=r"must have a column of T_eff, log_g.*found a, b, c, d, e"):
        read_spectra(path)


def test_a_plain_array_in_place_of_the_table_is_refused(path):
    replace(path, pfsspec.TABLE, data=np.ones(5))
    with pytest.raises(DataError, match="must be a table"):
        read_spectra(path)


def test_links_and_data_in_other_files_are_refused(path, tmp_path):
    other = tmp_path / "other.h5"
    write_spectra(other, some_spectra())
    layout = h5py.VirtualLayout((5, 4096), np.float32)
    layout[...] = h5py.VirtualSource(str(other), FLUX, (5, 4096))
    for put, said in [
        (lambda file: file.__setitem__(FLUX, h5py.ExternalLink(str(other), FLUX)), "link"),
        (lambda file: file.__setitem__(FLUX, h5py.SoftLink("/" + NOISY)), "link"),
        (lambda file: file.create_virtual_dataset(FLUX, layout), "another file"),
        (
            lambda file: file.create_dataset(
                FLUX, (5, 4096), np.float32, external=[(str(other), 0, h5py.h5f.UNLIMITED)]
            ),
            "another file",
        ),
    ]:
        with h5py.File(path, "a") as file:
            del file[FLUX]
            put(file)
        with pytest.raises(DataError, match=said):
            read_spectra(path)


def test_a_linked_group_on_the_way_is_refused(path, tmp_path):
    other = tmp_path / "other.h5"
    write_spectra(other, some_spectra())
    with h5py.File(path, "a") as file:
        del file["dataset/arrays"]
        file["dataset/arrays"] = h5py.ExternalLink(str(other), "dataset/arrays")
    with pytest.raises(DataError, match=r"'arrays' of .* is a link"):
        read_spectra(path)


def test_a_missing_file_and_a_folder_are_missing_input(tmp_path):
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(MissingInputError, match="does not exist or is not a file"):
            read_spectra(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("T_eff,log_g\n")
    with pytest.raises(DataError, match=r"text.h5 is not an HDF5 file"):
        read_spectra(tmp_path / "text.h5")


def test_a_truncated_file_is_refused(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_spectra(path)


def test_a_file_with_flipped_bytes_is_read_or_refused_in_words(path):
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(0), []
    metadata = np.flatnonzero(np.frombuffer(whole[:9000], np.uint8))
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.choice(metadata, 2):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_spectra(path)
        except DataError as error:
            refusals.append(str(error))
    assert 30 < len(refusals) < 150
    assert all("test.h5" in refusal for refusal in refusals)


def test_an_unknown_label_is_a_usage_error():
    spectra = some_spectra()
    np.testing.assert_array_equal(spectra.select(("log_g",))[:, 0], spectra.labels["log_g"])
    with pytest.raises(UsageError, match="label must be one of T_eff, log_g, found M_H"):
        spectra.select(("log_g", "M_H"))


def test_a_file_is_replaced_only_when_asked(path):
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        write_spectra(path, some_spectra(3))
    assert path.read_bytes() == before
    write_spectra(path, some_spectra(3), overwrite=True)
    assert read_spectra(path).n == 3
    assert [entry.name for entry in path.parent.iterdir()] == ["test.h5"]
