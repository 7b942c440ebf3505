"""Files that changed between two starts of a run are found; those that did not are not blamed."""

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from crlb.errors import DataError, MissingInputError
from crlb.files import pfsspec
from specvit_jax.runs import inputs
from specvit_jax.runs.inputs import check_inputs_same, describe_inputs
from specvit_jax.settings.config import Config, DataConfig
from tests.specvit_jax.toy import write_clean

FLUX = pfsspec.ARRAYS["flux"]


@pytest.fixture
def config(tmp_path) -> Config:
    """A run on two files of spectra, with a validation file and a grid that is any file."""
    for name in ("a", "b", "v"):
        write_clean(tmp_path / f"{name}.h5", 40, n_pix=64)
    (tmp_path / "grid.h5").write_bytes(bytes(1000))
    files = {name: str(tmp_path / f"{name}.h5") for name in ("a", "b", "v", "grid")}
    data = DataConfig(source=f"{files['a']},{files['b']}", validation=files["v"], grid=files["grid"])
    return replace(Config(), data=data)


def test_the_files_of_a_run_are_named_by_their_settings(config):
    found = describe_inputs(config)
    assert [one.name for one in found] == ["data.source", "data.source", "data.validation", "data.grid"]
    assert found[0].sample == found[1].sample  # written alike
    assert describe_inputs(Config()) == ()


def reverse_flux(path):
    with h5py.File(path, "a") as file:
        file[FLUX][...] = file[FLUX][()][::-1]


def change_one_label(path):
    with h5py.File(path, "a") as file:
        table = file[pfsspec.TABLE]
        rows = table[()]
        rows["values_block_0"][17, 1] += 0.5
        table[...] = rows


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("a.h5", reverse_flux, r"data\.source .*a\.h5 changed \(content\)"),
        ("v.h5", change_one_label, r"data\.validation .*v\.h5 changed \(labels and content\)"),
        (
            "b.h5",
            lambda path: write_clean(path, 41, n_pix=64),
            r"b\.h5 changed \(size and labels and content",
        ),
        ("grid.h5", lambda path: path.write_bytes(b"1" * 1000), r"data\.grid .* changed \(content\)"),
    ],
)
def test_a_file_that_changed_is_named_with_what_did(config, tmp_path, name, change, said):
    before = describe_inputs(config)
    change(tmp_path / name)
    times = (0, before[0].modified)
    os.utime(tmp_path / name, ns=times)  # the time need not tell
    with pytest.raises(DataError, match=said):
        check_inputs_same(before, describe_inputs(config))


def test_a_copy_with_another_time_is_a_line(config, tmp_path):
    before = describe_inputs(config)
    assert check_inputs_same(before, describe_inputs(config)) == []
    os.utime(tmp_path / "b.h5", (1.0, 1.0))
    lines = check_inputs_same(before, describe_inputs(config))
    assert len(lines) == 1
    assert "b.h5 was written again since the run began, with the same content" in lines[0]


def test_a_file_more_or_less_is_a_change(config):
    both = describe_inputs(config)
    with pytest.raises(DataError, match="not read any more"):
        check_inputs_same(both, both[:1])
    with pytest.raises(DataError, match="not read then"):
        check_inputs_same(both[:1], both)


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_of_a_large_file_its_beginning_middle_and_end_count(tmp_path, monkeypatch, place):
    monkeypatch.setattr(inputs, "BLOCK", 100)
    path = tmp_path / "large"
    content = np.random.default_rng(0).bytes(1_000_000)
    config = replace(Config(), data=DataConfig(noise=str(path)))
    path.write_bytes(content)
    before = describe_inputs(config)
    at = round(place * (len(content) - 1_000 * 20))
    path.write_bytes(content[:at] + bytes(20_000) + content[at + 20_000 :])
    with pytest.raises(DataError, match="content"):
        check_inputs_same(before, describe_inputs(config))


def test_a_file_that_is_gone_is_refused(config, tmp_path):
    (tmp_path / "grid.h5").unlink()
    with pytest.raises(MissingInputError, match=r"data\.grid .*grid\.h5 cannot be read: No such file"):
        describe_inputs(config)
