"""Grid files: what is written is read back, and what cannot be used is refused in one sentence."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.grids.compression import Factors, compress
from crlb.grids.grid_file import (
    Nodes,
    SpectralGrid,
    default_grid_path,
    grid_from_nodes,
    load_grid,
    load_slice,
    save_grid,
)
from tests.crlb.toy import toy_grid

WAVE = np.linspace(7600.0, 8600.0, 200)


@pytest.fixture
def grid() -> SpectralGrid:
    plain = toy_grid(WAVE)
    return dataclasses.replace(
        plain, spectra=Factors(1e6 * plain.flux), continuum=Factors(2e6 * np.sqrt(plain.flux))
    )


@pytest.fixture
def path(tmp_path, grid):
    save_grid(grid, tmp_path / "grid.h5")
    return tmp_path / "grid.h5"


def put(path, name, data) -> None:
    """Replaces a dataset of a grid file, on purpose: its checksum goes, too."""
    with h5py.File(path, "r+") as file:
        file.attrs.pop("sha256", None)
        del file[name]
        file[name] = data


@pytest.mark.parametrize("rtol", [None, 1e-4])
def test_grid_survives_writing_and_reading(tmp_path, grid, rtol):
    save_grid(grid, tmp_path / "grid.h5", rtol=rtol)
    back = load_grid(tmp_path / "grid.h5")
    np.testing.assert_allclose(back.flux, grid.flux, rtol=rtol or 1e-7)
    np.testing.assert_allclose(back.cont, grid.cont, rtol=rtol or 1e-7)
    np.testing.assert_array_equal(back.wave, grid.wave)
    np.testing.assert_array_equal(back.nodes, grid.nodes)
    for name in ("label_names", "resolving_power", "flux_unit", "source"):
        assert getattr(back, name) == getattr(grid, name)


def test_factorised_file_is_smaller(tmp_path, grid):
    save_grid(grid, tmp_path / "whole.h5")
    save_grid(grid, tmp_path / "factors.h5", rtol=1e-3)
    assert (tmp_path / "factors.h5").stat().st_size < 0.5 * (tmp_path / "whole.h5").stat().st_size


def test_compression_keeps_its_promise_with_few_vectors():
    table = toy_grid(WAVE).flux.reshape(-1, 200) * np.geomspace(1, 1e4, 100)[:, None]
    sizes = []
    for rtol in (1e-2, 1e-4, 1e-6):
        coefficients, basis = compress(table, rtol)
        assert np.abs(coefficients @ basis / table - 1).max() <= rtol
        sizes.append(len(basis))
    assert sizes[0] < sizes[1] < sizes[2] < 100
    with pytest.raises(UsageError, match="rtol=1e-12 is below what float32 holds"):
        compress(table, 1e-12, np.float32)


def test_compression_finds_spikes_that_the_rms_error_hides():
    """Each row has a spike of its own: the rms error is small with one vector, the largest is not."""
    table = np.ones((60, 3000)) + 1e-3 * np.eye(60, 3000)
    coefficients, basis = compress(table, 5e-4)
    assert len(basis) > 30
    assert np.abs(coefficients @ basis / table - 1).max() <= 5e-4
    assert len(compress(table, 2e-3)[1]) == 1


def test_nodes_may_come_in_any_order_on_irregular_axes(path, grid):
    order = np.random.default_rng(0).permutation(len(grid.nodes))
    with h5py.File(path) as file:
        data = {name: file[name][:][order] for name in ("labels", "flux", "cont")}
    for name, values in data.items():
        put(path, name, values)
    np.testing.assert_allclose(load_grid(path).flux, grid.flux, rtol=1e-7)


def test_real_files_are_read_in_the_order_of_their_labels(reference):
    path = reference / "synspec_grid_coarse.h5"
    grid = load_grid(path)
    assert grid.flux.shape == (5, 5, 4, 4096)
    with h5py.File(path) as file:
        wanted = (file["labels"][:] == [5000.0, 2.0, -0.5]).all(axis=1)
        np.testing.assert_array_equal(grid.flux[2, 1, 1], file["flux"][wanted][0])


def test_missing_nodes_are_listed(path, grid):
    with h5py.File(path) as file:
        data = {name: np.delete(file[name][:], [3, 17], axis=0) for name in ("labels", "flux", "cont")}
    for name, values in data.items():
        put(path, name, values)
    with pytest.raises(DataError, match=r"2 of 100 nodes .*\(4000, 1, 0\) \(4000, 4\.5, -0\.6\)"):
        load_grid(path)


def test_a_node_given_twice_is_refused(grid):
    nodes = np.concatenate([grid.nodes, grid.nodes[:1]])
    flux = np.concatenate([grid.flux.reshape(-1, 200)] * 2)[:101]
    with pytest.raises(DataError, match=r"occur twice: \(4000, 1, -1\)"):
        grid_from_nodes(
            WAVE,
            Nodes(nodes, flux),
            label_names=grid.label_names,
            resolving_power=1.0,
            flux_unit="",
            source="",
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize("name", ["flux", "cont"])
def test_flux_that_is_not_finite_and_positive_is_located(path, name, bad):
    with h5py.File(path, "r+") as file:
        file[name][1, 10] = bad
    with pytest.raises(DataError, match=rf"{name} must be finite and positive.*log_g 1, M_H -0.6, 7650.25 Å"):
        load_grid(path)


def with_label_names(*names):
    return lambda file: file.attrs.__setitem__("label_names", list(names))


BROKEN = {
    "wave must increase": lambda file: file["wave"].__setitem__(5, 7000.0),
    "wave must hold finite": lambda file: file["wave"].__setitem__(5, np.nan),
    "labels must be finite": lambda file: file["labels"].__setitem__((5, 1), np.nan),
    "dataset 'flux' is missing; the file holds cont, labels, wave": lambda file: file.__delitem__("flux"),
    "dataset 'wave' is missing": lambda file: file.__delitem__("wave"),
    "root attribute 'source' is missing": lambda file: file.attrs.__delitem__("source"),
    "'resolving_power' must be one positive number": lambda file: file.attrs.__setitem__(
        "resolving_power", -5
    ),
    "wave_medium must be 'vacuum', found 'air'": lambda file: file.attrs.__setitem__("wave_medium", "air"),
    "label_names must give 3 different names": with_label_names("T_eff", "log_g"),
    "found T_eff, log_g, log_g": with_label_names("T_eff", "log_g", "log_g"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_content_is_named(path, message):
    with h5py.File(path, "r+") as file:
        BROKEN[message](file)
    with pytest.raises(DataError, match=rf"grid\.h5: .*{message}"):
        load_grid(path)


def test_shapes_that_disagree_are_refused(path):
    put(path, "flux", np.ones((100, 150)))
    with pytest.raises(DataError, match=r"flux must have shape \(100, 200\) .* found \(100, 150\)"):
        load_grid(path)
    put(path, "flux", np.ones(100))
    with pytest.raises(DataError, match=r"shape \(n, n_pix\)"):
        load_grid(path)


def test_factors_that_disagree_are_refused(tmp_path, grid):
    save_grid(grid, tmp_path / "grid.h5", rtol=1e-3)
    put(tmp_path / "grid.h5", "basis", np.ones((2, 200)))
    with pytest.raises(DataError, match="must agree in k"):
        load_grid(tmp_path / "grid.h5")


def test_files_that_are_no_grids_are_refused(tmp_path, path):
    with pytest.raises(MissingInputError, match="does not exist"):
        load_grid(tmp_path / "none.h5")
    with pytest.raises(MissingInputError, match="not a file"):
        load_grid(tmp_path)
    (tmp_path / "text.h5").write_text("wave flux")
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_grid(tmp_path / "text.h5")
    whole = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        load_grid(tmp_path / "cut.h5")


def test_data_that_lies_in_other_files_is_refused(tmp_path, path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(8 * 200))
    with h5py.File(path, "r+") as file:
        del file["wave"]
        file.create_dataset("wave", (200,), dtype="f8", external=[(str(secret), 0, 1600)])
    with pytest.raises(DataError, match="'wave' keeps its data in another file"):
        load_grid(path)
    with h5py.File(path, "r+") as file:
        del file["wave"]
        file["wave"] = h5py.ExternalLink(str(path), "labels")
    with pytest.raises(DataError, match="'wave' of 'wave' is a link to elsewhere"):
        load_grid(path)
    with h5py.File(path, "r+") as file:
        del file["wave"]
        layout = h5py.VirtualLayout(shape=(200,), dtype="f8")
        layout[:] = h5py.VirtualSource(str(path), "elsewhere", shape=(200,))
        file.create_virtual_dataset("wave", layout)
    with pytest.raises(DataError, match="'wave' keeps its data in another file"):
        load_grid(path)


def test_a_file_is_replaced_only_on_request(path, grid):
    with pytest.raises(OutputError, match="exists already"):
        save_grid(grid, path)
    save_grid(dataclasses.replace(grid, source="newer"), path, overwrite=True)
    assert load_grid(path).source == "newer"


def test_what_cannot_be_created_is_refused_and_leaves_nothing(tmp_path, grid):
    with pytest.raises(OutputError, match="not an existing folder"):
        save_grid(grid, tmp_path / "nowhere" / "grid.h5")
    with pytest.raises(OutputError, match="it is a folder"):
        save_grid(grid, tmp_path)
    with pytest.raises(UsageError, match="rtol"):
        save_grid(grid, tmp_path / "grid.h5", rtol=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_file(path, grid):
    before = path.read_bytes()
    with pytest.raises(UsageError, match="rtol"):
        save_grid(grid, path, overwrite=True, rtol=1e-12)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["grid.h5"]


def test_grid_checks_itself_when_made(grid):
    with pytest.raises(DataError, match="axis T_eff must increase"):
        dataclasses.replace(grid, axes=(grid.axes[0][::-1], *grid.axes[1:]))
    with pytest.raises(DataError, match="flux must have shape"):
        dataclasses.replace(grid, spectra=Factors(grid.flux[:, :, :2]), continuum=None)


def test_cut_keeps_the_pixels_within(grid):
    part = grid.cut(7700.0, 7800.0)
    assert 7700.0 <= part.wave[0] < 7706.0
    assert 7794.0 < part.wave[-1] <= 7800.0
    keep = (WAVE >= 7700.0) & (WAVE <= 7800.0)
    np.testing.assert_array_equal(part.flux, grid.flux[..., keep])
    np.testing.assert_array_equal(part.cont, grid.cont[..., keep])
    with pytest.raises(UsageError, match=r"covers 7600\.00 to 8600\.00 Å"):
        grid.cut(9000.0, 9100.0)


def test_nodes_run_through_the_last_label_fastest(grid):
    assert grid.nodes.shape == (100, 3)
    np.testing.assert_array_equal(grid.nodes[1], [4000.0, 1.0, -0.6])


def test_embedded_grid_is_looked_for_inside_the_package():
    assert default_grid_path().parts[-3:] == ("crlb", "data", "embedded_grid.h5")


def test_slice_holds_the_spectra_at_the_fixed_label(grid, path):
    part = load_grid(path, {"log_g": 2.5})
    assert part.label_names == ("T_eff", "M_H")
    np.testing.assert_allclose(part.flux, grid.flux[:, 2], rtol=1e-7)
    np.testing.assert_allclose(part.cont, grid.cont[:, 2], rtol=1e-7)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ({"log_g": 2.2}, r"log_g can be fixed at a node of the grid only, 1 2 2.5 3.5 4.5; found 2.2"),
        ({"vsini": 2.0}, "unknown label vsini: this grid has T_eff, log_g, M_H"),
        ({"T_eff": 4000.0, "log_g": 1.0, "M_H": 0.0}, "at least one label must be left free"),
    ],
)
def test_slices_that_cannot_be_are_refused(path, fixed, words):
    with pytest.raises(UsageError, match=words):
        load_grid(path, fixed)


@pytest.fixture
def five_label_path(tmp_path) -> Path:
    """The toy star with two abundance ratios that scale its flux."""
    plain = toy_grid(WAVE)
    ratio = 1 + 0.1 * np.arange(2)[:, None] + 0.01 * np.arange(3)[None, :]
    five = dataclasses.replace(
        plain,
        axes=(*plain.axes, np.array([0.0, 0.4]), np.array([-0.2, 0.0, 0.2])),
        label_names=(*plain.label_names, "a_M", "C_M"),
        spectra=Factors(plain.flux[:, :, :, None, None] * ratio[..., None]),
    )
    save_grid(five, tmp_path / "five.h5")
    return tmp_path / "five.h5"


def test_abundance_ratios_are_solar_unless_asked_for(five_label_path):
    plain = toy_grid(WAVE)
    default = load_slice(five_label_path)
    assert default.label_names == ("T_eff", "log_g", "M_H")
    np.testing.assert_allclose(default.flux, 1.01 * plain.flux, rtol=1e-6)
    rich = load_slice(five_label_path, fixed={"a_M": 0.4, "C_M": 0.2})
    np.testing.assert_allclose(rich.flux, 1.12 * plain.flux, rtol=1e-6)
    free = load_slice(five_label_path, ("T_eff", "log_g", "M_H", "C_M"))
    assert free.label_names == ("T_eff", "log_g", "M_H", "C_M")
    with pytest.raises(UsageError, match="either free or fixed, found both for a_M"):
        load_slice(five_label_path, ("log_g", "a_M"), {"a_M": 0.0})


def test_holes_are_refused_dropped_or_filled_as_asked(grid, path):
    hole = 37  # T_eff 4300, log_g 4.5, M_H -0.6: inside its line of metallicities
    with h5py.File(path, "r+") as file:
        del file.attrs["sha256"]
        for name in ("flux", "cont", "labels"):
            kept = np.delete(file[name][:], hole, axis=0)
            del file[name]
            file[name] = kept
    with pytest.raises(DataError, match=r"1 of 100 nodes .* are missing: \(4300, 4.5, -0.6\)"):
        load_grid(path)
    with pytest.warns(UserWarning, match="interpolated 1 of 100 nodes"):
        filled = load_grid(path, holes="fill")
    assert np.argwhere(filled.filled).tolist() == [[1, 4, 1]]
    np.testing.assert_allclose(filled.flux[1, 4, 1], grid.flux[1, 4, 1], rtol=1e-2)
    with pytest.warns(UserWarning, match="left out T_eff 4300"):
        dropped = load_grid(path, holes="drop")
    np.testing.assert_allclose(dropped.flux.size, grid.flux.size * 4 / 5)
    save_grid(filled, path, overwrite=True)
    assert load_grid(path).filled.sum() == 1


def test_labels_that_differ_by_rounding_are_one_node(path, grid):
    """Half of the rows went through float32: the grid has the axes it had, and `fixed` finds its nodes."""
    labels = grid.nodes.copy()
    labels[:, 0] += 0.1
    exact = np.unique(labels[:, 0])
    labels[::2] = labels[::2].astype(np.float32)
    put(path, "labels", labels)
    assert len(np.unique(labels[:, 0])) > len(exact)
    back = load_grid(path)
    assert back.flux.shape == grid.flux.shape
    np.testing.assert_array_equal(back.axes[0], exact)
    np.testing.assert_allclose(back.flux, grid.flux, rtol=1e-7)
    name = grid.label_names[0]
    for value in (exact[0], np.float32(exact[0])):
        np.testing.assert_array_equal(load_grid(path, fixed={name: float(value)}).flux, back.flux[0])


def test_a_node_given_twice_up_to_rounding_is_refused(path, grid):
    labels = grid.nodes.copy()
    labels[1] = labels[0] * (1 + 1e-8)
    put(path, "labels", labels)
    with pytest.raises(DataError, match="occur twice"):
        load_grid(path)
    axes = (np.array([*grid.axes[0][:1], grid.axes[0][0] * (1 + 5e-8), *grid.axes[0][2:]]), *grid.axes[1:])
    with pytest.raises(DataError, match=r"axis \w+ must hold every node once.* differ by rounding only"):
        dataclasses.replace(grid, axes=axes)
