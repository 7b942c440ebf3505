"""What a command leaves that is killed: the state of its folder before every step of its writing.

python -m tests.hostile.deaths FOLDER KEPT PROGRAM WORDS... --old WORDS... runs the program twice, its outputs
in FOLDER: with the first words into the empty folder, then with these and --overwrite over what those after
--old have written there. Whenever any file or folder is about to be opened, named, linked, changed or
removed, and FOLDER is another than the last time, it is copied: this is what SIGKILL would leave at that
moment. KEPT then holds `fresh/000`, ..., `whole`, `old`, `over/000`, ...
"""

import importlib
import io
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np

from crlb.command_line import parse
from crlb.errors import run_cli
from crlb.files import tables
from crlb.synthesis import build
from experiments.study.options import Options
from experiments.study.running import report
from tests.crlb.toy import toy_flux

PROGRAMS = {"crlb": "crlb.cli", "specvit": "specvit_jax.cli"}
STEPS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")


def toy_spectra(labels: np.ndarray, **settings: object) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths and fluxes instead of a synthesis."""
    wave = np.linspace(7000.0, 9000.0, 50)
    return wave, toy_flux(labels[:, :3], wave)


def perform(program: str, words: Sequence[str]) -> tuple[int, str]:
    """Runs a command in this process; returns its exit status and what it said."""
    said = io.StringIO()
    with (
        mock.patch("sys.argv", [program, *words]),
        mock.patch.object(tables, "COMMIT_S", 0.0),  # after every batch
        mock.patch.object(build, "node_spectra", toy_spectra),  # in no time
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        try:
            if program in PROGRAMS:
                run_cli(importlib.import_module(PROGRAMS[program]).parse(list(words)))
            else:
                study = importlib.import_module(program).STUDY
                run_cli(lambda: print(*report(study, parse(Options, program, ""))))
        except SystemExit as left:
            return int(left.code or 0), said.getvalue()
    return 0, ""


def _look(folder: Path) -> tuple[object, ...]:
    """What changes when anything in a folder does."""
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found)


class Watch:
    """Copies a folder whenever it has changed and a step of writing is about to be taken."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.into, self.n = folder, Path(), 0
        self.seen: tuple[object, ...] = ()
        self.off = True
        sys.addaudithook(lambda event, args: self.step() if event in STEPS else None)

    def step(self) -> None:
        """Copies the folder if it is another one than before."""
        if self.off:
            return
        self.off = True  # what follows are steps, too
        try:
            if (now := _look(self.folder)) != self.seen:
                shutil.copytree(self.folder, self.into / f"{self.n:03}", symlinks=True)
                self.seen, self.n = now, self.n + 1
        finally:
            self.off = False

    def during(self, call: Callable[[], None], into: Path) -> None:
        """Watches a call."""
        self.into, self.n, self.seen, self.off = into, 0, (), False
        try:
            call()
            self.step()
        finally:
            self.off = True


def succeed(program: str, words: Sequence[str]) -> None:
    """Runs a command that has to end well."""
    status, said = perform(program, words)
    assert status == 0, said


def main(out: str, kept: str, program: str, *words: str) -> None:
    """Does what the module says."""
    folder, into = Path(out), Path(kept)
    at = words.index("--old")
    asked, other = words[:at], words[at + 1 :]
    watch = Watch(folder)
    folder.mkdir()
    watch.during(lambda: succeed(program, asked), into / "fresh")
    shutil.copytree(folder, into / "whole")
    if other:
        shutil.rmtree(folder)
        folder.mkdir()
        succeed(program, other)
        shutil.copytree(folder, into / "old")
        watch.during(lambda: succeed(program, [*asked, "--overwrite"]), into / "over")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
