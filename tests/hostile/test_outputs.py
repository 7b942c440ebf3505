"""No command writes over what it reads, or over another of its outputs; none reads what it may not read."""

import os
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import safetensors

from crlb.errors import DataError, OutputError
from crlb.files.folders import check_outside
from experiments.__main__ import NAMES
from experiments.study.frame import study_of
from experiments.study.options import Options
from experiments.study.running import claim_folder, inputs_of
from specvit_jax.network.weights import save_tensors
from specvit_jax.runs.listing import list_runs
from tests.crlb.stranger import stranger
from tests.hostile.commands import LINES, PROGRAMS, answer, commands, line, made, options_of

CREATED = {"json": ".json", "csv": ".csv", "plot": ".png", "predictions": ".csv", "slurm": ".sh"}
CREATED |= {"plot_labels": ".png"}
FOLDERS = ("samples", "plots")  # created, too
# What `out` is to be called, where it is no folder.
OUT = {"crlb spectrum": ".h5", "crlb grid synthesize": ".h5", "crlb grid index": ".txt"}
OUT |= {"crlb posterior": ".csv", "specvit simulate": ".h5", "specvit predict": ".csv"}
OUT |= {"crlb instrument new": ".yaml"}
OUT |= {"specvit report": ".html", "specvit export": ".onnx", "baselines fit": ".npz"}
# Which of the files of `made` stands for an option or argument that names an input.
READ = {
    "grid": "GRID", "noise": "NOISE", "data": "STARS", "spectra": "STARS", "files": "STARS",
    "conditions": "CONDITIONS", "config": "CONFIG", "init_weights": "WEIGHTS", "run": "WEIGHTS",
    "sources": "WEIGHTS", "list": "LIST", "file": "GRID", "checkpoint": "CKPT",
    "population": "POPULATION",
}  # fmt: skip
FILE = {"specvit sweep": "SWEEP", "baselines evaluate": "BASELINE"}
# Folders that a command reads, or keeps for itself, have tests of their own.
LEFT_OUT = {
    ("specvit train", "out"),
    ("specvit import", "out"),
    ("specvit sweep", "out"),
    ("crlb grid download", "folder"),
}
LEFT_OUT |= {("crlb grid build", name) for name in ("folder", "out")} | {("specvit runs", "folder")}


def ending(words, name):
    """The suffix of a file that an option creates; None: it creates none."""
    return OUT.get(words) if name == "out" else CREATED.get(name)


def sides():
    """Of every command the options that create files, and those that read them."""
    for program in PROGRAMS:
        for words, kind in commands(program):
            options = [one for one in options_of(kind) if (words, one.name) not in LEFT_OUT]
            named = [one for one in options if one.holds(Path) or one.name in {*READ, *CREATED} - {"file"}]
            named = [one for one in named if not one.holds(bool)]
            created = [one for one in named if ending(words, one.name) and one.holds(Path, str)]
            read = [one for one in named if one not in created and one.name not in FOLDERS]
            yield words, created, read


PAIRS = [(words, out, one) for words, created, read in sides() for out in created for one in read]
TWO = [(words, *two) for words, created, _ in sides() for two in combinations(created, 2)]
ALL_READ = [(words, one) for words, _, read in sides() for one in read]


def names(found):
    return [" ".join([words, *(one.name for one in options)]) for words, *options in found]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made(tmp_path_factory.mktemp("files"))


@pytest.fixture
def paths(files, tmp_path):
    """The files, once more for every test."""
    folder = tmp_path / "files"
    shutil.copytree(next(iter(files.values())).parent, folder)
    return {name: folder / path.name for name, path in files.items()}


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def file_of(words, one, paths):
    return paths[FILE.get(words, READ[one.name]) if one.name == "file" else READ[one.name]]


def reading(words, one, paths, folder):
    """A command line that reads the file of this option."""
    base = line(words, LINES[words][0], paths, folder)
    if one.name == "config" and "tiny" in base:
        base.remove("tiny")  # instead of a preset
    if one.flag and str(file_of(words, one, paths)) not in base:
        base += [one.flag, file_of(words, one, paths)]
    elif not one.flag and str(file_of(words, one, paths)) not in base:
        base += [file_of(words, one, paths)]
    return base


def test_every_option_that_names_a_file_is_tried():
    """A new one fails here until `READ` or `CREATED` has it."""
    assert len(PAIRS) >= 38
    assert len(TWO) >= 8
    for words, one in ALL_READ:
        assert one.name in READ, f"{words} {one.name}"


@pytest.mark.parametrize(("words", "out", "one"), PAIRS, ids=names(PAIRS))
def test_an_output_that_is_an_input_is_refused(words, out, one, paths, tmp_path):
    """By another name of the same file, which has the ending that the output needs."""
    link = tmp_path / f"link{ending(words, out.name)}"
    os.link(file_of(words, one, paths), link)
    before = snapshot(tmp_path)
    code, said = answer([*reading(words, one, paths, tmp_path), out.flag, link, "--overwrite"])
    assert (code, said.count("\n")) == (73, 1), said
    assert f"{link}: this is an input of the command" in said
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(("words", "one", "two"), TWO, ids=names(TWO))
def test_two_outputs_of_one_name_are_refused(words, one, two, paths, tmp_path):
    base = line(words, LINES[words][0], paths, tmp_path)
    path = tmp_path / f"same{ending(words, one.name)}"
    code, said = answer([*base, one.flag, path, two.flag, path.parent / "files" / ".." / path.name])
    assert (code, said.count("\n")) == (73, 1), said
    assert f"{one.flag} is the same file" in said
    assert not path.exists()


@pytest.mark.parametrize(("words", "one"), ALL_READ, ids=names(ALL_READ))
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_files_of_another_user_are_refused_in_one_line(words, one, paths, tmp_path):
    path = file_of(words, one, paths)
    for other in tmp_path.rglob("*"):
        other.chmod(0o755)
    path.chmod(0)
    tmp_path.chmod(0o777)
    with stranger(tmp_path):
        code, said = answer(reading(words, one, paths, tmp_path))
    assert code in (65, 66), said
    assert said.count("\n") == 1
    assert str(path) in said
    assert "Permission denied" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("specvit runs RUNS", "runs"),
        ("specvit report RUNS", "runs"),
        ("specvit report RUNS/one", "runs/one"),
        ("specvit train --config CONFIG --data emulator --out RUNS/one --resume", "runs/one/lock.json"),
        ("specvit train --config CONFIG --data emulator --out RUNS/one --resume", "runs/one/config.yaml"),
        ("specvit predict RUNS/one STARS --out NEW.csv", "runs/one"),
        ("specvit simulate --n 2 --shards 1 --out SPECTRA --resume", "spectra"),
        ("specvit train tiny --data SPECTRA --out NEWFOLDER", "spectra"),
        ("crlb grid build SPECTRA --out NEW.h5", "spectra"),
    ],
)
def test_folders_of_another_user_are_refused_in_one_line(words, place, paths, tmp_path):
    path = paths["RUNS"].parent / place
    path.touch()
    for other in tmp_path.rglob("*"):
        other.chmod(0o777)
    path.chmod(0)
    tmp_path.chmod(0o777)
    with stranger(tmp_path):
        words = words.replace("RUNS", str(paths["RUNS"]))
        program, rest = words.split(" ", 1)
        code, said = answer(line(program, rest, paths, tmp_path))
    assert code == 69 if place.endswith("lock.json") else code in (65, 66, 73), said
    assert said.count("\n") == 1
    assert str(path.parent) in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_run_of_another_user_is_listed_beside_the_others(paths, tmp_path):
    shutil.copytree(paths["RUNS"] / "one", paths["RUNS"] / "two")
    for other in tmp_path.rglob("*"):
        other.chmod(0o777)
    (paths["RUNS"] / "two").chmod(0)
    with stranger(tmp_path):
        found = {run.name: (run.state, run.problem) for run in list_runs(paths["RUNS"])}
    assert found["one"] == ("interrupted", "")
    assert found["two"] == ("damaged", f"{paths['RUNS'] / 'two'} cannot be read: Permission denied")


# --- folders that a command keeps for itself


@pytest.mark.parametrize("option", ["--config", "--conditions", "--grid", "--noise", "--init-weights"])
def test_a_run_that_is_deleted_holds_no_input(option, paths, tmp_path):
    run, name = paths["RUNS"] / "one", READ[option[2:].replace("-", "_")]
    inside = run / "weights" / paths[name].name
    shutil.copyfile(paths[name], inside)
    before = snapshot(run)
    start = [] if option == "--config" else ["tiny"]
    words = ["specvit", "train", *start, "--data", "emulator", "--out", run, "--overwrite", option, inside]
    code, said = answer(words)
    assert (code, said.count("\n")) == (73, 1), said
    assert f"would be written over {inside}, an input of the command ({option})" in said
    assert snapshot(run) == before


@pytest.mark.parametrize("option", ["--conditions", "--grid", "--noise"])
def test_a_set_of_shards_is_not_written_over_an_input(option, paths, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.json").write_text("{}")
    inside = tmp_path / "set" / paths[READ[option[2:]]].name
    shutil.copyfile(paths[READ[option[2:]]], inside)
    words = ["specvit", "simulate", "--n", "4", "--shards", "2", "--out", tmp_path / "set", option, inside]
    code, said = answer([*words, "--overwrite"])
    assert (code, said.count("\n")) == (73, 1), said
    assert f"would be written over {inside}" in said
    assert inside.exists()


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["star.fit.png", "star.samples.csv", "star.corner.png"])
def test_files_of_single_stars_are_not_written_over_an_input(folder, name, paths, tmp_path):
    (tmp_path / "stars").mkdir()
    shutil.copyfile(paths["STARS"], tmp_path / "stars" / name)
    words = ["crlb", "posterior", tmp_path / "stars" / name, "--grid", paths["GRID"]]
    code, said = answer([*words, f"--{folder}", tmp_path / "stars", "--overwrite"])
    assert (code, said.count("\n")) == (73, 1), said
    assert "(SPECTRA); choose another name" in said


def test_a_table_is_not_called_as_a_folder(paths, tmp_path):
    words = ["crlb", "posterior", paths["STARS"], "--grid", paths["GRID"], "--plots", tmp_path / "a.csv"]
    code, said = answer([*words, "--out", tmp_path / "a.csv"])
    assert (code, said.count("\n")) == (73, 1), said


def test_curves_of_runs_are_not_written_over_their_list(paths):
    same = paths["RUNS"] / "one" / "training_curves.png"
    code, said = answer(["specvit", "runs", paths["RUNS"], "--curves", "--json", same])
    assert (code, said.count("\n")) == (73, 1), said
    assert "--curves one is the same file" in said


@pytest.mark.parametrize("name", ["grid", "train.teacher", "data.validation", "data"])
@pytest.mark.parametrize("option", ["slurm", "out"])
def test_a_sweep_writes_over_no_file_of_its_runs(name, option, paths, tmp_path):
    path = tmp_path / "sweep.json"
    shutil.copyfile(paths["STARS"], path)
    name = "data.grid" if name == "grid" else name
    data = f"data: {path}\n" if name == "data" else f"data: emulator\nset: [{name}={path}]\n"
    paths["SWEEP"].write_text(f"preset: tiny\n{data}runs: [[]]\n")
    end = ["--slurm", path, "--overwrite"] if option == "slurm" else ["--out", tmp_path]
    before = snapshot(tmp_path)
    code, said = answer(["specvit", "sweep", paths["SWEEP"], *end])
    assert (code, said.count("\n")) == (73, 1), said
    assert "this is an input of the command" in said
    assert snapshot(tmp_path) == before


# --- experiments


@pytest.mark.parametrize("way", ["name", "detour", "hard link"])
def test_an_input_in_a_folder_that_is_written_into_is_found(way, tmp_path):
    inside = tmp_path / "out" / "parts" / "a.json"
    inside.parent.mkdir(parents=True)
    inside.write_text("precious")
    path = {"name": inside, "detour": tmp_path / "link" / "a.json"}.get(way, tmp_path / "b.json")
    if way == "detour":
        (tmp_path / "link").symlink_to(inside.parent)
    elif way == "hard link":
        os.link(inside, path)
    with pytest.raises(OutputError, match=r"--out .*out would be written over .*\(--grid\)"):
        check_outside(tmp_path / "out", {"--noise": None, "--grid": path})
    check_outside(tmp_path / "other", {"--grid": path})


@pytest.mark.parametrize("place", ["parts", "parts/a.json", "results.json", "seconds.json", "runs/one"])
def test_an_experiment_writes_through_no_link(place, tmp_path):
    out = tmp_path / "out"
    (out / place).parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (out / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"{place} is a symbolic link, and none is followed here"):
        claim_folder(out)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("place", ["parts", "results.json"])
def test_an_experiment_that_would_write_through_a_link_is_not_begun(place, tmp_path):
    from experiments.study.running import report

    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a symbolic link"):
        report(study_of("accuracy"), study_of("accuracy").options("smoke", out=tmp_path / "out"))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_keeps_its_inputs(name, tmp_path):
    found = study_of(name)
    grid = tmp_path / "results.json"
    grid.write_text("precious")
    asked = found.options("smoke", grid, out=tmp_path)
    assert inputs_of(asked)["--grid"] == grid
    from experiments.study.running import report

    with pytest.raises(OutputError, match=r"would be written over .*results.json"):
        report(found, asked)
    assert grid.read_text() == "precious"


def test_damaged_parts_of_an_experiment_are_a_documented_error(tmp_path):
    from experiments.study.clock import Clock

    (tmp_path / "seconds.json").write_text("{")
    with pytest.raises(DataError, match=r"seconds\.json"):
        Clock(tmp_path / "seconds.json")
    assert inputs_of(Options(out=tmp_path)) == {}


# --- what killed writers leave


@pytest.mark.parametrize("package", ["crlb", "specvit_jax", "experiments", "benchmarks"])
def test_no_library_writes_under_a_name_of_its_own(package):
    """`safetensors.save_file` does, as `.tmpXXXXXX`: what it leaves when it is killed is found by nobody."""
    root = Path(__file__).resolve().parents[2] / package
    found = [path for path in root.rglob("*.py") if ".save_file(" in path.read_text(encoding="utf-8")]
    assert found == []


def test_equal_arrays_and_texts_give_equal_files(tmp_path):
    tensors = {"b": np.zeros(3, np.float32), "a": np.ones((2, 2), np.float16)}
    about = {name: "text" for name in "zyxwvutsrqponmlkjihgfedcba"}
    path, files = tmp_path / "a.safetensors", set()
    for _ in range(5):
        save_tensors(path, tensors, about)
        files.add(path.read_bytes())
    assert len(files) == 1
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata().items() >= about.items()
        assert np.array_equal(file.get_tensor("a"), tensors["a"])
