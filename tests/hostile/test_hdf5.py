"""HDF5 from strangers: nothing hangs, and no shape that is only declared is allocated."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError
from crlb.files.hdf5 import dataset, open_input, read_numbers
from crlb.files.hdf5_attributes import attribute, text, texts, write_texts
from crlb.files.memory import check_memory, free_memory
from crlb.files.spectra import read_spectra
from crlb.grids.grid_file import load_grid, save_grid
from crlb.grids.spectral_grid import SpectralGrid, make_grid
from crlb.readers.read import open_observed
from tests.crlb.readers.test_pfsspec import saved


def small_grid() -> SpectralGrid:
    axes = tuple(np.arange(n, dtype=float) + 1 for n in (3, 3, 2))
    chance = np.random.default_rng(0)
    flux = 1 + chance.random((3, 3, 2, 40))
    return make_grid(np.linspace(7000, 9000, 40), axes, flux, ("T_eff", "log_g", "M_H"), 5000.0, "u", "Å")


def damage_heap(path: Path) -> None:
    """The first object of every heap of texts gets size and number 0: HDF5 goes round in circles."""
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL")
    assert at > 0
    while at > 0:
        content[at + 16 : at + 32] = bytes(16)
        at = content.find(b"GCOL", at + 1)
    path.write_bytes(content)


def test_texts_are_written_with_a_fixed_length_and_come_back(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_texts(file, one="Å 1", many=("a", "bcd", ""), none="", raw=b"x\x80", empty=())
    with h5py.File(tmp_path / "a.h5") as file:
        assert not any(file.attrs.get_id(name).dtype.hasobject for name in file.attrs)
        assert (text(file, "one"), texts(file, "many"), text(file, "none")) == ("Å 1", ("a", "bcd", ""), "")
        assert (attribute(file, "raw"), attribute(file, "absent"), texts(file, "one")) == (
            b"x\x80",
            None,
            ("Å 1",),
        )
        with pytest.raises(DataError, match="'raw' must be text in UTF-8"):
            text(file, "raw")


def test_no_file_of_this_project_has_texts_of_variable_length(tmp_path):
    save_grid(small_grid(), tmp_path / "grid.h5")
    with h5py.File(tmp_path / "grid.h5") as file:
        assert not any(file.attrs.get_id(name).dtype.hasobject for name in file.attrs)
    assert load_grid(tmp_path / "grid.h5").source == "Å"


def test_texts_of_variable_length_of_others_are_read_by_a_process_of_its_own(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(one="Å 1", many=["a", "bcd"], number=3.5)
        file.create_dataset("inner/x", data=1).attrs["unit"] = "K"
    with h5py.File(path) as file:
        assert (text(file, "one"), texts(file, "many"), attribute(file, "number")) == (
            "Å 1",
            ("a", "bcd"),
            3.5,
        )
        assert text(file["inner/x"], "unit") == "K"
    with h5py.File(path, "a") as file:
        file.attrs["one"] = "other"
    os.utime(path, (1, 1))
    with h5py.File(path) as file:
        assert text(file, "one") == "other"


def test_attributes_of_odd_kinds_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["reference"] = file.ref
        rows = np.empty(1, object)
        rows[0] = np.arange(3)
        file.attrs.create("vlen", rows, dtype=h5py.vlen_dtype(np.dtype("int64")))
        for name in ("reference", "vlen"):
            with pytest.raises(DataError, match=f"'{name}' must hold numbers or text"):
                attribute(file, name)
        file.attrs["number"] = 5
        for read in (text, texts):
            with pytest.raises(DataError, match="'number'"):
                read(file, "number")


def test_a_heap_that_goes_in_circles_is_left_within_seconds(tmp_path):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        del file.attrs["source"]
        file.attrs["source"] = "of variable length"
    damage_heap(path)
    with pytest.raises(DataError, match=r"grid\.h5: texts of its attributes do not come back"):
        load_grid(path)


def declared(path: Path, name: str, shape: tuple[int, ...], **options: object) -> None:
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, np.float32, **options)


@pytest.mark.parametrize("options", [{}, {"chunks": True}, {"chunks": True, "compression": "gzip"}])
@pytest.mark.parametrize("name", ["wave", "labels", "flux"])
def test_a_grid_that_declares_what_is_not_stored_is_refused(tmp_path, name, options):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    shape = {"wave": (10**11,), "labels": (10**9, 3), "flux": (18, 10**9)}[name]
    declared(path, name, shape, **options)
    with pytest.raises(DataError, match=f"'{name}' of shape .* would have .* but .* stored"):
        load_grid(path)


def test_what_is_compressed_well_is_read_and_what_no_filter_reaches_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.zeros(2**23), compression="gzip", shuffle=True, chunks=(2**20,))
    with open_input(path, "grid") as file:
        assert read_numbers(file, "x", ("n",)).size == 2**23
        assert dataset(file, "x").id.get_storage_size() * 500 < 2**26


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    monkeypatch.setattr("crlb.files.memory.free_memory", lambda: 2000)
    with pytest.raises(DataError, match=r"'flux' of shape \(18, 40\) needs .* GiB of memory"):
        load_grid(path)


@pytest.mark.usefixtures("linux")
def test_free_memory_knows_the_limits_of_the_process():
    assert 0 < free_memory() < 2**50
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "from crlb.files.memory import *\n"
        "assert 2**31 < free_memory() <= 2**33, free_memory()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=200)
    with pytest.raises(DataError, match=r"all of it needs 9\.31e"):
        check_memory(10**30, "all of it")


def test_a_table_of_millions_of_rows_is_refused(tmp_path):
    path = saved(tmp_path, DETECTOR_WAVE)
    with h5py.File(path, "a") as file:
        kind = file["dataset/params/table"].dtype
        attributes = dict(file["dataset/params/table"].attrs)
        del file["dataset/params/table"]
        table = file.create_dataset("dataset/params/table", (3 * 10**9,), kind, chunks=(4096,))
        table.attrs.update(attributes)
    for read in (read_spectra, open_observed):
        with pytest.raises(DataError, match="'dataset/params/table' of shape"):
            read(path)
