"""`crlb grid info`: a file whose checksum agrees is described without computing all of its spectra."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from crlb.cli import grid
from crlb.cli.grid import describe_grid, describe_sealed
from crlb.errors import DataError
from crlb.files.hdf5_checksum import seal
from crlb.grids.grid_file import load_grid, save_grid
from tests.crlb.toy import toy_grid, unsealed


@pytest.fixture(params=[None, 1e-3], ids=["whole", "factors"])
def path(request, tmp_path):
    file = tmp_path / "grid.h5"
    save_grid(toy_grid(np.linspace(7600.0, 8600.0, 50)), file, rtol=request.param)
    return file


def test_what_is_sealed_is_described_as_the_grid_that_is_read_whole(path):
    found = describe_sealed(path)
    assert found.checksum
    assert replace(found, checksum=False) == describe_grid(load_grid(path), str(path))


def test_of_many_nodes_some_are_looked_at_and_that_is_said(path, monkeypatch):
    monkeypatch.setattr(grid, "MOST_LOOKED_AT", 7)
    found, whole = describe_sealed(path), describe_grid(load_grid(path), str(path))
    assert (found.looked_at, found.n_nodes) == (7, 100)
    assert whole.flux_range[0] <= found.flux_range[0] < found.flux_range[1] <= whole.flux_range[1]
    assert "in 7 of the nodes" in found.table()
    assert "of the nodes" not in whole.table()


def test_without_a_checksum_or_with_missing_nodes_all_is_read(path):
    assert describe_sealed(unsealed(path)) is None
    with h5py.File(path, "a") as file:
        for name in ("labels", "flux", "coefficients", "scale"):
            if name in file:
                values = file[name][1:]
                del file[name]
                file[name] = values
        seal(file)
    assert describe_sealed(path) is None


def test_what_was_changed_is_refused(path):
    with h5py.File(path, "a") as file:
        file["wave"][3] += 0.5
    with pytest.raises(DataError, match="not what was written"):
        describe_sealed(path)
