"""Numbers that are passed on carry a checksum, which is compared; nonsense in a sound file is refused."""

import random
import warnings
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy
from astropy.io import fits

from crlb.bosz.fits_table import parse_fits
from crlb.cli import parse
from crlb.errors import EXPECTED, DataError
from crlb.files.hdf5_checksum import check_seal
from crlb.files.npz import read_npz, write_npz
from crlb.files.observed import Observed, Origin
from crlb.files.spectra import read_spectra
from crlb.grids.grid_file import default_grid_path, load_grid, save_grid
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed
from specvit_jax.cli.info import Info
from specvit_jax.evaluation import training_set
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.weights import (
    Weights,
    content_digest,
    flatten,
    load_weights,
    save_tensors,
    save_weights,
)
from tests.crlb.readers.test_pfsspec import saved, sealed
from tests.fuzz.readers import posteriors, stored_posteriors, trained_on
from tests.hostile.test_hdf5 import small_grid

SHIPPED = [default_grid_path(), *sorted(shipped_weights("tiny").parent.glob("*.safetensors"))]


def bits_flipped(good: bytes, n: int, seed: int) -> list[bytes]:
    """Copies of a file, each with one bit of one byte flipped."""
    chance, found = random.Random(seed), []
    for _ in range(n):
        content = bytearray(good)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        found.append(bytes(content))
    return found


def contents(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and texts of a safetensors file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return safetensors.numpy.load_file(path), dict(file.metadata())


@pytest.mark.parametrize("rtol", [None, 1e-3])
def test_a_grid_is_read_as_it_was_written_or_not_at_all(tmp_path, rtol):
    path, chunk = tmp_path / "grid.h5", 60
    save_grid(small_grid(), path, rtol=rtol)
    good, grid = path.read_bytes(), load_grid(path)
    accepted = 0
    for content in bits_flipped(good, chunk, seed=3):
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                found = load_grid(path)
        except EXPECTED:
            continue
        accepted += 1
        np.testing.assert_array_equal(found.flux, grid.flux)
        np.testing.assert_array_equal(found.wave, grid.wave)
        np.testing.assert_array_equal(found.nodes, grid.nodes)
        for name in ("label_names", "resolving_power", "flux_unit", "source"):
            assert getattr(found, name) == getattr(grid, name)
    assert accepted < chunk


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["flux"].__setitem__((0, 0), 1.5),
        lambda file: file["wave"].__setitem__(0, file["wave"][0] - 0.1),
        lambda file: file.attrs.__setitem__("resolving_power", 5001.0),
        lambda file: file.attrs.__setitem__("source", "x"),
        lambda file: file.__setitem__("more", np.arange(3)),
    ],
)
def test_every_part_of_a_grid_file_counts(tmp_path, change):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(DataError, match=r"grid\.h5: what it holds is not what was written"):
        load_grid(path)
    with h5py.File(path, "a") as file:
        del file.attrs["sha256"]
    load_grid(path)


def has_sum(path) -> bool:
    with h5py.File(path, "r") as file:
        return "sha256" in file.attrs


def test_info_says_whether_there_is_a_checksum(tmp_path, capsys):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    parse(["grid", "info", str(path)])()
    assert "SHA-256 of the content agrees" in capsys.readouterr().out
    with h5py.File(path, "a") as file:
        del file.attrs["sha256"]
    parse(["grid", "info", str(path)])()
    assert "no checksum in the file" in capsys.readouterr().out


def test_a_grid_of_one_pixel_is_refused(tmp_path):
    grid, path = small_grid(), tmp_path / "grid.h5"
    save_grid(grid, path)
    with h5py.File(path, "a") as file:
        for name, values in {"wave": grid.wave[:1], "flux": grid.flux.reshape(-1, 40)[:, :1]}.items():
            del file[name]
            file[name] = values
    with pytest.raises(DataError, match="at least two pixels"):
        load_grid(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["dataset/arrays/error/value"].__setitem__((2, 3), 0.06),
        lambda file: file["dataset/arrays/mask/value"].__setitem__((0, 9), 1),
        lambda file: file["spectrumdataset/wave_edges"].__setitem__(0, file["spectrumdataset/wave"][0] - 9),
        lambda file: file["dataset/params/table"].attrs.__setitem__("NROWS", 4),
        lambda file: file.attrs.__setitem__("seed", 7),
        lambda file: file.__setitem__("dataset/more", np.arange(3)),
    ],
)
def test_every_part_of_a_spectra_file_counts(tmp_path, capsys, change):
    path = sealed(tmp_path)
    parse(["check", str(path)])()
    assert "SHA-256 of the content agrees" in capsys.readouterr().out
    wave = read_spectra(path, wave=None).wave
    with h5py.File(path, "a") as file:
        change(file)
    for read in (open_observed, partial(read_spectra, wave=wave)):
        with pytest.raises(DataError, match=r"star\.h5: what it holds is not what was written"):
            read(path)
    with h5py.File(path, "a") as file:
        del file.attrs["sha256"]
    read_spectra(path, wave=wave)
    parse(["check", str(path)])()
    assert "no checksum in the file" in capsys.readouterr().out


def test_large_files_are_not_read_once_more_to_look_at_a_part(tmp_path, monkeypatch):
    path = sealed(tmp_path)
    with h5py.File(path, "a") as file:
        file["dataset/arrays/error/value"][2, 3] = 0.06
    monkeypatch.setattr("crlb.files.hdf5_checksum.AFFORDABLE", 1000)
    assert "checksum not compared" in " ".join(open_observed(path).understood)
    with h5py.File(path) as file, pytest.raises(DataError, match="not what was written"):
        check_seal(file)


def test_what_goes_in_circles_is_left(tmp_path):
    path = sealed(tmp_path)
    with h5py.File(path, "a") as file:
        file["dataset/loop"] = file["/"]
    with pytest.raises(DataError, match="more than 1000 groups"):
        open_observed(path)


@pytest.mark.parametrize("keep", ["archive", "member"])
def test_archives_are_read_as_they_were_written_or_not_at_all(tmp_path, keep):
    path = tmp_path / "a.npz"
    known = {"x": np.arange(5.0), "name": np.array("one"), "flags": np.zeros((2, 3), bool)}
    with path.open("wb") as file:
        write_npz(file, known)
    found = read_npz(path, "thing")
    assert list(found) == list(known)
    for name, array in known.items():
        np.testing.assert_array_equal(found[name], array)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | ({"x": known["x"] + 1} if keep == "archive" else {"y": known["x"]})))
    with pytest.raises(DataError, match=r"thing .*a\.npz is not what was written \(SHA-256 differs\)"):
        read_npz(path, "thing")
    np.savez(path, **known)
    assert set(read_npz(path, "thing")) == set(known)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mags": np.arange(4.0)},
        {"rest": np.full(16, np.nan)},
        {"errors": np.zeros((5, 16))},
        {"x": np.ones(2)},
    ],
)
def test_training_sets_that_cannot_be_are_made_anew(tmp_path, change):
    path = tmp_path / "t.safetensors"
    trained_on(path)
    tensors, metadata = contents(path)
    save_tensors(path, tensors | change, metadata)  # with a checksum that agrees
    assert (training_set._read(path, "stamp") is not None) == (not change)


@pytest.mark.parametrize("summed", [True, False])
def test_training_sets_whose_checksum_differs_or_is_gone_are_made_anew(tmp_path, summed):
    path = tmp_path / "t.safetensors"
    trained_on(path)
    tensors, metadata = contents(path)
    if summed:
        tensors["mean"] = tensors["mean"] + 1
    else:
        del metadata["sha256"]
    safetensors.numpy.save_file(tensors, path, metadata)
    assert training_set._read(path, "stamp") is None


@pytest.mark.parametrize(
    "found",
    [
        np.ones((4, 3)),
        np.ones((4, 3, 3)),
        np.ones((3, 3, 2)),
        np.ones((4, 3, 2), complex),
        np.ones((4, 3, 2), bool),
        np.full((4, 3, 2), np.nan),
        -np.ones((4, 3, 2)),
    ],
    ids=lambda found: f"{found.dtype}{found.shape}{found.flat[0]}",
)
def test_posteriors_that_cannot_be_are_refused(tmp_path, found):
    path = tmp_path / "p.npz"
    posteriors(path)
    assert len(stored_posteriors(path)) == 4
    np.savez(path, found=found, marks=read_npz(path, "posteriors")["marks"])
    with pytest.raises(DataError, match=r"p\.npz must hold"):
        stored_posteriors(path)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return load_weights(shipped_weights("tiny"))


def test_weights_are_read_as_they_were_written_or_not_at_all(tmp_path, weights):
    path = tmp_path / "w.safetensors"
    save_weights(path, weights, {"step": 5})
    good, known = path.read_bytes(), flatten(load_weights(path)._asdict() | {"config": 0})
    header = 8 + int.from_bytes(good[:8], "little")
    for part in (slice(0, header), slice(header, len(good))):
        for content in bits_flipped(good[part], 10, seed=5):
            path.write_bytes(good[: part.start] + content + good[part.stop :])
            try:
                found = load_weights(path)
            except EXPECTED:
                continue
            assert found.config == weights.config
            for name, leaf in flatten(found._asdict() | {"config": 0}).items():
                np.testing.assert_array_equal(leaf, known[name])


def test_weights_of_before_have_no_checksum_and_are_read(weights, tmp_path):
    path = tmp_path / "w.safetensors"
    tensors, texts = contents(shipped_weights("tiny"))
    del texts["sha256"]
    safetensors.numpy.save_file(tensors, path, texts)
    assert load_weights(path).config == weights.config
    assert not Info(str(path)).stored().weights.checksum


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_what_is_shipped_holds_its_checksum(file):
    if file.suffix == ".h5":
        assert has_sum(file)
    else:
        tensors, texts = contents(file)
        assert texts["sha256"] == content_digest(tensors, texts)


def test_info_of_a_weights_file_says_what_it_is_and_that_it_is_whole(tmp_path):
    found = Info(str(shipped_weights("tiny"))).stored()
    assert found.weights.checksum
    assert found.weights.about["step"] == 6000
    assert "SHA-256 of the content agrees" in found.table()
    damaged = tmp_path / "w.safetensors"
    damaged.write_bytes(shipped_weights("tiny").read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="SHA-256 differs"):
        Info(str(damaged)).stored()


@pytest.mark.parametrize("name", ["label_scaler/scale", "input_scaler/scale", "params/head/kernel"])
@pytest.mark.parametrize("change", ["zero", "negative", "nan", "bool", "int", "complex"])
def test_weights_that_cannot_be_are_refused(tmp_path, name, change):
    source, path = shipped_weights("tiny"), tmp_path / "w.safetensors"
    tensors = safetensors.numpy.load_file(source)
    name = next(key for key in tensors if key.startswith(name.removesuffix("kernel")))
    if change in ("bool", "int", "complex"):
        tensors[name] = tensors[name].astype({"bool": "?", "int": "i4", "complex": "c8"}[change])
    else:
        tensors[name] = tensors[name] * {"zero": 0, "negative": -1, "nan": np.nan}[change]
    with safetensors.safe_open(source, framework="numpy") as file:
        metadata = {key: text for key, text in file.metadata().items() if key != "sha256"}
    tensors = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    try:
        safetensors.numpy.save_file(tensors, path, metadata)
    except (KeyError, ValueError, TypeError):
        pytest.skip("safetensors does not write this type")
    if name.startswith("params") and change in ("zero", "negative"):
        load_weights(path)  # what a network may well have learnt
        return
    with pytest.raises(DataError, match=r"w\.safetensors"):
        load_weights(path)


def table(path: Path, flux: np.ndarray, format: str = "D", **options: object) -> Path:
    wave = fits.Column("wave", "D", unit="Angstrom", array=np.linspace(8000, 8100, len(flux)))
    made = fits.BinTableHDU.from_columns([wave, fits.Column("flux", format, array=flux, **options)])
    made.writeto(path, checksum=True)
    return path


VACUUM = ReadOptions(medium="vacuum")


def test_data_of_a_fits_file_are_compared_with_their_datasum(tmp_path):
    path = table(tmp_path / "a.fits", np.linspace(1, 2, 50))
    assert len(open_observed(path, VACUUM)) == 1
    content = bytearray(path.read_bytes())
    content[-2880 + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.fits: the data of HDU 1 are not those that its DATASUM"):
        open_observed(path, VACUUM)
    with pytest.raises(DataError, match="the data of HDU 1 are not those that its DATASUM"):
        parse_fits(bytes(content))


@pytest.mark.parametrize(
    ("flux", "format", "options"),
    [
        (np.array(["a"] * 50), "1A", {}),
        (np.ones(50, bool), "L", {}),
        (np.ones(50, complex), "M", {}),
        (np.full(50, 7, np.int32), "J", {"null": 7}),
        (np.full(50, np.nan), "D", {}),
        (np.full(50, 1e300), "D", {}),
    ],
    ids=["text", "logical", "complex", "null", "nan", "1e300"],
)
def test_columns_that_are_no_flux_are_refused(tmp_path, flux, format, options):
    path = table(tmp_path / "a.fits", flux, format, **options)
    with pytest.raises(DataError, match=r"a\.fits"):
        list(open_observed(path, VACUUM).spectra())


def test_flux_beyond_float32_and_magnitudes_of_nothing_are_refused(tmp_path):
    path = saved(tmp_path)
    with h5py.File(path, "a") as file:
        wave = file["spectrumdataset/wave"][:]
        values = file["dataset/arrays/flux/value"][:].astype(np.float64)
        values[2, 7] = 1e300
        del file["dataset/arrays/flux/value"]
        file["dataset/arrays/flux/value"] = values
    with pytest.raises(DataError, match=r"must fit into float32, found 1e\+300 in row 2, pixel 7"):
        read_spectra(path, wave=wave)
    pixels = np.arange(5.0) + 1
    with pytest.raises(DataError, match=r"mag must be a magnitude .* found 1e\+30"):
        Observed(pixels, pixels, pixels, Origin("a", "b"), mag=1e30)
    with pytest.raises(DataError, match=r"flux must be below 3\.4e\+38, found 1e\+300"):
        Observed(pixels, pixels * 0 - 1e300, pixels, Origin("a", "b"))


def renamed(path: Path) -> None:
    """Flips one byte: of the name of the checksum."""
    content = path.read_bytes()
    assert content.count(b"sha256") == 1
    path.write_bytes(content.replace(b"sha256", b"sha;56"))


def test_a_checksum_under_a_damaged_name_is_not_none(tmp_path, weights):
    path = tmp_path / "w.safetensors"
    save_weights(path, weights, {})
    renamed(path)
    with pytest.raises(DataError, match=r"w\.safetensors: its checksum has the name 'sha;56' instead"):
        load_weights(path)
    save_grid(small_grid(), tmp_path / "grid.h5")
    renamed(tmp_path / "grid.h5")
    with pytest.raises(DataError, match=r"grid\.h5: its checksum has the name 'sha;56'"):
        load_grid(tmp_path / "grid.h5")
    trained_on(tmp_path / "t.safetensors")
    renamed(tmp_path / "t.safetensors")
    assert training_set._read(tmp_path / "t.safetensors", "stamp") is None


def test_what_others_call_their_texts_is_no_checksum(tmp_path):
    save_grid(small_grid(), tmp_path / "grid.h5")
    with h5py.File(tmp_path / "grid.h5", "r+") as file:
        del file.attrs["sha256"]
        file.attrs["parent_sha256"] = np.bytes_(64 * "a")
        file.attrs["remark"] = np.bytes_(64 * "y")
    load_grid(tmp_path / "grid.h5")
