"""What is only declared is compared with what is there and with free memory before anything is allocated."""

import bz2
import gzip
import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy

from crlb.bosz.part import check_whole
from crlb.cli import parse
from crlb.errors import DataError, UsageError, run_cli
from crlb.files.npz import read_npz
from crlb.grids.grid_file import load_grid, save_grid
from crlb.grids.holes import find_holes
from crlb.readers.read import open_observed
from specvit_jax.network.find import conditions_of, grid_of, outputs_of, shipped_weights
from specvit_jax.network.weights import load_weights
from specvit_jax.report.experiments import files as figure_and_table
from specvit_jax.spectra.shard_set import read_set, verify
from tests.hostile.test_hdf5 import small_grid


def test_labels_on_no_grid_are_refused_before_their_tensor_is_made():
    labels = np.random.default_rng(0).random((90, 5))
    with pytest.raises(DataError, match="90 nodes have 90 x 90 x 90 x 90 x 90 different values"):
        find_holes(labels)
    assert len(find_holes(labels[:3, :2])) == 6


@pytest.mark.parametrize("holes", ["refuse", "drop", "fill"])
def test_a_grid_file_of_scattered_labels_is_refused(tmp_path, holes):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        for name in ("labels", "flux"):
            del file[name]
        file["labels"] = np.random.default_rng(1).random((200, 3))
        file["flux"] = np.ones((200, 40), np.float32)
    with pytest.raises(DataError, match=r"grid\.h5: labels must form a tensor grid"):
        load_grid(path, holes=holes)


def test_factors_that_stand_for_a_giant_are_refused(tmp_path):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        for name in ("labels", "flux", "wave"):
            del file[name]
        file.create_dataset("labels", data=np.zeros((40_000, 3)), compression="gzip")
        file.create_dataset("coefficients", data=np.ones((40_000, 1)), compression="gzip")
        file.create_dataset("basis", data=np.ones((1, 40_000)), compression="gzip")
        file.create_dataset("wave", data=np.arange(1.0, 40_001), compression="gzip")
    with pytest.raises(DataError, match="stand for 1,600,000,000 values"):
        load_grid(path)


def test_holes_are_not_filled_beyond_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        labels, flux = file["labels"][1:], file["flux"][1:]
        for name, values in {"labels": labels, "flux": flux}.items():
            del file[name]
            file[name] = values
    monkeypatch.setattr("crlb.files.memory.free_memory", lambda: 16_000)
    with pytest.raises(DataError, match="a grid of 18 nodes and 40 pixels needs"):
        load_grid(path, holes="fill")


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("Unable to allocate 14.9 GiB"), "jax"])
def test_memory_that_runs_out_is_one_line_and_65(capsys, error):
    def command() -> None:
        raise (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating\n5 bytes") if error == "jax" else error
        )

    with pytest.raises(SystemExit) as ended:
        run_cli(command)
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (65, 1)
    assert said.startswith("error: there is not enough memory")


def test_other_errors_of_a_program_stay_what_they_are():
    def command() -> None:
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        run_cli(command)


@pytest.mark.parametrize(
    "line",
    [
        "ceiling --lsf-fwhm 1e9",
        "ceiling --bayes --n-bayes 1000000000000",
        "nuisances --bayes --n-bayes 1000000000000",
        "fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --continuum 1000000",
        "information --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --target log_g --continuum 1000000",
        "grid download --connections 1000000",
    ],
)
def test_numbers_that_no_machine_can_serve_are_refused_at_once(line):
    with pytest.raises(UsageError, match="must be at most"):
        parse(line.split())()


def png(path: Path, width: int, height: int) -> None:
    import matplotlib.image

    matplotlib.image.imsave(path, np.zeros((2, 2)), format="png")
    content = bytearray(path.read_bytes())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("size", [(13000, 13000), (2**31 - 1, 1), (0, 5), (2**31 - 1, 2**31 - 1)])
def test_a_giant_picture_is_refused_by_its_header(tmp_path, size):
    png(tmp_path / "figure.png", *size)
    with pytest.raises(DataError, match=f"at most 32,000,000 pixels, found {size[0]} x {size[1]}"):
        figure_and_table(tmp_path, "title")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "figure.png").write_bytes(content)
    with pytest.raises(DataError, match=r"figure\.png is not a PNG image"):
        figure_and_table(tmp_path, "title")


def test_a_picture_cut_short_is_refused(tmp_path):
    png(tmp_path / "figure.png", 2, 2)
    content = (tmp_path / "figure.png").read_bytes()
    (tmp_path / "figure.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"figure\.png is not a PNG image"):
        figure_and_table(tmp_path, "title")


def rewritten(path: Path, **settings: object) -> Path:
    """The weights of tiny with other settings in the config: section__key=value."""
    source = shipped_weights("tiny")
    tensors = safetensors.numpy.load_file(source)
    with safetensors.safe_open(source, framework="numpy") as file:
        metadata = dict(file.metadata())
    config = json.loads(metadata["config"])
    for name, value in settings.items():
        section, _, key = name.partition("__")
        if key:
            config[section][key] = value
        else:
            config[section] = value
    safetensors.numpy.save_file(tensors, path, metadata | {"config": json.dumps(config)})
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {"model__depth": 10**9},
        {"model__network": "mlp", "model__hidden": [8] * 10**4},
        {"model__network": "cnn", "model__channels": [8] * 10**4},
        {"model__embed_dim": 10**12},
        {"model__input_size": 10**12},
        {"model__mlp_ratio": 1e300},
        {"model__mlp_ratio": "inf"},
        {"data__components": 10**12, "data__preprocess": "pca"},
        {
            "model__patch_size": 16,
            "model__stride": 1,
            "model__input_size": 60_000,
            "model__embed_dim": 60_000,
        },
        {"model__depth": None},
        {"model": [1]},
        {"train": 5},
        {"data__conditions": "scale: ["},
        {"preset": "none"},
    ],
    ids=str,
)
def test_weights_of_a_network_that_their_arrays_cannot_be_are_refused_at_once(tmp_path, settings):
    path, begun = rewritten(tmp_path / "w.safetensors", **settings), time.monotonic()
    with pytest.raises(DataError, match=r"w\.safetensors"):
        load_weights(path)
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    "config", ["", "[" * 10**5, "[1]", "{}", '{"model": 5}', '{"model": {"label_names": 5}}']
)
def test_metadata_of_another_type_is_refused(tmp_path, config):
    path = tmp_path / "w.safetensors"
    metadata = {"format": "specvit-jax weights 1", "config": config, "label_names": "[1]", "about": "{}"}
    safetensors.numpy.save_file({"a": np.zeros(3, np.float32)}, path, metadata)
    for read in (load_weights, outputs_of):
        with pytest.raises(DataError, match=r"w\.safetensors"):
            read(path)
    if config != "{}" and "label_names" not in config:
        for read in (conditions_of, grid_of):
            with pytest.raises(DataError, match=r"w\.safetensors"):
                read(path)


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress])
def test_bombs_are_left_before_they_fill_memory_or_hours(tmp_path, monkeypatch, packed):
    bomb = packed(bytes(2**27))
    path = tmp_path / "amp00cp00op00t5000g30v20modrt0b200rs.asc.bz2"
    path.write_bytes(bomb)
    name = "a.gz" if packed is gzip.compress else "a.bz2"
    with pytest.raises(DataError, match="no spectrum is packed so well"):
        check_whole(path, name)
    monkeypatch.setattr("crlb.readers.content.free_memory", lambda: 3 * 2**25)
    with pytest.raises(DataError, match="more than 33,554,432 bytes once decompressed"):
        open_observed(path)


def test_a_bomb_is_left_with_memory_to_spare(tmp_path):
    bomb = bz2.compress(bytes(2**27))
    path = tmp_path / "a.fits.bz2"
    path.write_bytes(bomb)
    with pytest.raises(DataError, match=f"more than {1000 * len(bomb) + 2**26:,} bytes once decompressed"):
        open_observed(path)


def archive(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, raw in content.items():
            file.writestr(f"{name}.npy", raw)
    return path


def npy(shape: tuple[int, ...], descr: str = "<f8", data: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy((10**11,)), "declares 800,000,000,000 bytes, but 0 are there"),
        (npy((2,), data=bytes(15)), "declares 16 bytes, but 15 are there"),
        (npy((1,), "|O", bytes(8)), "objects"),
        (b"no array", "magic string"),
        (b"\x93NUMPY\1\0\4\0{'a(", "EOF"),
        (npy((2**63, 2**63)), "declares"),
    ],
)
def test_arrays_in_archives_are_what_they_declare(tmp_path, content, words):
    with pytest.raises(DataError, match=rf"thing .*a\.npz is not a readable npz file: .*{words}"):
        read_npz(archive(tmp_path / "a.npz", {"x": content}), "thing")


def test_archives_beyond_the_memory_are_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10**6), y=np.arange(3))
    assert read_npz(tmp_path / "a.npz", "thing")["y"].tolist() == [0, 1, 2]
    monkeypatch.setattr("crlb.files.memory.free_memory", lambda: 10**6)
    with pytest.raises(DataError, match="all that is in it needs"):
        read_npz(tmp_path / "a.npz", "thing")


@pytest.mark.parametrize(
    "settings",
    [{}, {"n": 5, "shards": 0}, {"n": 10**12, "shards": 10**12}, {"n": True, "shards": 1}, 5, None],
)
def test_sets_of_shards_that_cannot_be_are_refused(tmp_path, settings):
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": settings, "sha256": {}}))
    for read in (read_set, verify):
        with pytest.raises(DataError, match=r"manifest\.json is damaged"):
            read(tmp_path)


@pytest.mark.usefixtures("linux")
def test_a_command_under_a_limit_of_memory_says_so_in_one_line(tmp_path):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        del file["wave"]
        file.create_dataset("wave", data=np.zeros(2**23), compression="gzip")
    program = (
        "import resource, sys\n"
        "import h5py, numpy\n"
        "from crlb.errors import run_cli\n"
        "from crlb.grids.grid_file import load_grid\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))\n"
        "run_cli(lambda: print(load_grid(sys.argv[1]).wave.size))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 65, done.stderr[-500:]
    assert done.stderr.count("\n") == 1
