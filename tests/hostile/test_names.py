"""Names are data: in scripts, on the terminal and in tables they do nothing."""

import io
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.progress import Progress
from rich.table import Table

from crlb.cli import parse as crlb_parse
from crlb.errors import DataError, UsageError, run_cli
from crlb.files.console import console
from crlb.files.hdf5_attributes import write_texts
from crlb.files.text import text_of
from crlb.grids.grid_file import grid_labels, make_grid, save_grid
from crlb.labels import LABEL_NAMES, check_label_names
from crlb.terminal import escaping, printable
from specvit_jax import cli
from specvit_jax.runs.array_script import slurm_script
from specvit_jax.runs.sweep import read_sweep
from specvit_jax.settings.config import ModelConfig
from tests.hostile.test_hdf5 import small_grid
from tests.specvit_jax.runs.test_listing import make_run

SWEEP = "preset: tiny\ndata: {data}\nruns:\n  - [train.seed=1]\n"
# A name, and what a terminal or a shell would make of it.
NAMES = {
    "clear": "a\x1b[2Jb",
    "title": "\x1b]0;owned\x07",
    "back": "good\b\b\b\bevil",
    "return": "evil\rgood",
    "c1": "\x9b2J",
    "turned": "a\u202egnp.exe",
    "line": "a\u2028b",
    "surrogate": "a\udcffb",
    "markup": "[/x]",
    "bold": "[bold]a[/bold]",
    "emoji": ":boom:",
}


def harmless(said: str) -> bool:
    return all(line.isprintable() for line in said.split("\n"))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_are_shown_in_tables_as_they_are(name, capsys):
    table = Table("run", title=name)
    table.add_column(name)
    table.add_row(name, name)
    console().print(table)
    console().print(name)
    said = capsys.readouterr().out + text_of(table, name)
    assert harmless(said)
    assert printable(name) in said


def test_what_is_printed_is_escaped_and_what_rich_draws_is_not(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with escaping():
        print("grid \x1b[2J of\ttwo\nlines", file=sys.stderr)
        assert sys.stderr.isatty()
        assert terminal.getvalue() == "grid \\x1b[2J of\ttwo\nlines\n"
        with Progress(console=console(stderr=True)) as bar:
            bar.add_task("stars", total=2)
    assert sys.stderr is terminal
    assert "\x1b[?25l" in terminal.getvalue()  # the cursor hidden while the bar is there


def test_printable_keeps_text_and_makes_the_rest_visible():
    assert printable("Mészáros, 8580 Å, T\u00a0eff\n", "\n") == "Mészáros, 8580 Å, T\u00a0eff\n"
    assert printable("a\x1b\n\x9b\udcff\u202e") == r"a\x1b\n\x9b\udcff\u202e"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_error_is_one_line_without_control_characters(name, capsys):
    def command() -> None:
        raise DataError(f"grid {name}\nerror: all is well")

    with pytest.raises(SystemExit):
        run_cli(command)
    said = capsys.readouterr().err
    shown = printable(" ".join(name.splitlines()))
    assert said == f"error: grid {shown} error: all is well\n"
    assert harmless(said)


@pytest.mark.parametrize("place", ["file", "data", "out"])
@pytest.mark.parametrize("evil", ["a\ntouch owned\n#", "a\rtouch owned", "a\x1b[2J"])
def test_a_name_is_no_command_in_a_script(tmp_path, place, evil):
    file = tmp_path / (f"{evil}.yaml" if place == "file" else "sweep.yaml")
    data = '"' + evil.encode("unicode_escape").decode() + '"' if place == "data" else "emulator"
    file.write_text(SWEEP.format(data=data))
    runs = read_sweep(file, tmp_path / (evil if place == "out" else "runs"))
    with pytest.raises(UsageError, match="one line of text"):
        slurm_script(runs, file)


@pytest.mark.parametrize("evil", ["$(touch owned)", "`touch owned`", "'; touch owned #", "a b\\", '"$HOME"'])
def test_a_name_with_signs_of_the_shell_is_quoted(tmp_path, evil):
    file = tmp_path / f"{evil.replace('/', '_')}.yaml"
    file.write_text(SWEEP.format(data="emulator"))
    script = slurm_script(read_sweep(file, tmp_path / evil), file)
    program = tmp_path / "bin" / "specvit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/bash\nfor word in "$@"; do echo "$word" >> {tmp_path / "words"}; done\n')
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "0", "HOME": "/h"}
    subprocess.run(["bash", "-c", script], check=True, cwd=tmp_path, env=environment)
    assert str(tmp_path / evil / "seed=1") in (tmp_path / "words").read_text().splitlines()
    assert not list(tmp_path.glob("owned*"))


def test_a_run_is_listed_under_its_name_whatever_that_is(tmp_path, capsys):
    for name in (*NAMES.values(), "two\nlines"):
        if name != NAMES["markup"]:  # a slash makes a folder
            make_run(tmp_path / name)
    cli.parse(["runs", str(tmp_path)])()
    said = capsys.readouterr().out
    assert harmless(said)
    assert r"a\x1b[2Jb" in said
    assert r"two\nlines" in said


@pytest.mark.parametrize("name", [name for name in NAMES.values() if name != NAMES["surrogate"]])
def test_the_source_of_a_grid_does_nothing_on_a_terminal(tmp_path, capsys, name):
    path = tmp_path / "grid.h5"
    save_grid(small_grid(), path)
    with h5py.File(path, "a") as file:
        del file.attrs["sha256"], file.attrs["source"]
        write_texts(file, source=name)
    with escaping():
        crlb_parse(["grid", "info", str(path)])()
    said = capsys.readouterr().out
    assert harmless(said)
    assert printable(name) in said


def grid_of(path: Path, names: list[str]) -> Path:
    with h5py.File(path, "w") as file:
        write_texts(file, label_names=names)
    return path


@pytest.mark.parametrize(
    "name", [*NAMES.values(), "", "1a", "a b", "a,b", "a/b", "a=b", "é", "x" * 41, "-x", "$x", "a\n"]
)
def test_labels_have_an_alphabet(tmp_path, name):
    with pytest.raises(DataError, match="label_names must begin with a letter"):
        check_label_names([name])
    with pytest.raises(DataError):
        grid_labels(grid_of(tmp_path / "grid.h5", ["T_eff", name]))
    with pytest.raises(UsageError, match="label_names must"):
        ModelConfig(label_names=("log_g", name))
    with pytest.raises(DataError):
        make_grid(np.arange(1.0, 4.0), (np.arange(2.0),), np.ones((2, 3)), (name,), 1e4, "erg", "a test")


def test_labels_that_are_names_are_taken(tmp_path):
    names = [*LABEL_NAMES, "v.sin-i", "Fe_H+", "x" * 40]
    check_label_names(names)
    assert grid_labels(grid_of(tmp_path / "grid.h5", names)) == tuple(names)
