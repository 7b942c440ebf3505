"""Every command of every program, found by walking the parsers, with the options each has."""

import dataclasses
import io
import shutil
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin
from unittest import mock

import numpy as np

import crlb.cli.command
import experiments.baselines.__main__
import specvit_jax.cli.command
from crlb.detector import DETECTOR_WAVE
from crlb.errors import run_cli
from crlb.files.spectra import Spectra, write_spectra
from crlb.grids.grid_file import save_grid
from specvit_jax.network.find import shipped_weights
from specvit_jax.runs.directory import open_run
from specvit_jax.settings.config_file import to_yaml
from specvit_jax.settings.presets import preset
from tests.crlb.conftest import MODEL_WAVE, SMALL_AXES
from tests.crlb.toy import toy_grid
from tests.specvit_jax.exchange import theirs

PROGRAMS: Mapping[str, Any] = {
    "crlb": crlb.cli.command.Command,
    "specvit": specvit_jax.cli.command.Command,
    "baselines": experiments.baselines.__main__.Command,
}


@dataclass(frozen=True)
class Option:
    """An option or argument of a command, by its name in Python; `flag` is empty for an argument."""

    name: str
    flag: str
    kind: Any

    def holds(self, *kinds: type) -> bool:
        """Whether a value of it is, or is made of, one of these types."""
        return bool(set(kinds) & set(_atoms(self.kind)))

    @property
    def count(self) -> int:
        """How many values a tuple of fixed length has; 1 otherwise."""
        for one in (self.kind, *get_args(self.kind)):
            if get_origin(one) is tuple and ... not in get_args(one):
                return len(get_args(one))
        return 1


def _atoms(kind: Any) -> Iterator[Any]:
    if get_origin(kind) is typing.Literal or not get_args(kind):
        yield kind
    for inner in get_args(kind) if get_origin(kind) is not typing.Literal else ():
        yield from _atoms(inner)


def options_of(command: type) -> Iterator[Option]:
    """The options and arguments that a command takes on its command line."""
    hints, full = typing.get_type_hints(command), typing.get_type_hints(command, include_extras=True)
    for one in dataclasses.fields(command):
        marks = str(full[one.name])
        if "Suppress" not in marks:
            flag = "" if "Positional" in marks else "--" + one.name.replace("_", "-")
            yield Option(one.name, flag, hints[one.name])


def commands(program: str) -> Iterator[tuple[str, type]]:
    """The commands of a program, each by the words that choose it."""
    yield from _leaves(program, PROGRAMS[program])


def _leaves(words: str, kind: Any) -> Iterator[tuple[str, type]]:
    if isinstance(kind, types.UnionType) or get_origin(kind) is typing.Union:
        for inner in get_args(kind):
            yield from _leaves(words, inner)
    elif get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        yield from _leaves(f"{words} {marks[0].name}", inner)
    elif "action" in (hints := typing.get_type_hints(kind, include_extras=True)):
        yield from _leaves(words, hints["action"])
    else:
        yield words, kind


def run(words: list[str]) -> None:
    """Runs a command line in this process, the program's name first."""
    program, *args = words
    if program == "baselines":
        experiments.baselines.__main__.main(args)
    else:
        {"crlb": crlb.cli.command.parse, "specvit": specvit_jax.cli.command.parse}[program](args)()


def answer(words: Sequence[object], begun: Sequence[str] = ()) -> tuple[int | str, str]:
    """How a command line ends and what it says on stderr.

    Args:
        words: of the command line, the program's name first.
        begun: functions, by module and name, with which the work begins; where one is called the command
            ends as "begun".
    """

    def begin(*_: object, **__: object) -> NoReturn:
        raise Begun

    said = io.StringIO()
    with ExitStack() as stack:
        for name in begun:
            stack.enter_context(mock.patch(name, begin))
        stack.enter_context(redirect_stderr(said))
        stack.enter_context(redirect_stdout(io.StringIO()))
        try:
            run_cli(lambda: run([str(word) for word in words]))
        except SystemExit as end:
            return end.code or 0, said.getvalue()
        except Begun:
            return "begun", said.getvalue()
    return 0, said.getvalue()


class Begun(Exception):
    """All checks of a command were passed."""


STAR = "--grid GRID --T_eff 4700 --log_g 2.6 --M_H -0.8 --mag 20"
# For every command: words with which all of its options have an effect. Capitals are files of `made`.
LINES: Mapping[str, tuple[str, ...]] = {
    "crlb ceiling": ("--grid GRID --bayes --n-bayes 10",),
    "crlb fisher": (f"{STAR} --ellipse T_eff log_g",),
    "crlb spectrum": (f"{STAR} --out NEW.csv",),
    "crlb information": (STAR,),
    "crlb nuisances": ("--grid GRID --bayes",),
    "crlb plan": (
        f"{STAR} --want log_g=0.2",
        "--grid GRID --want log_g=0.2 --population POPULATION --mag 20",
    ),
    "crlb compare": (f"{STAR} --instrument pfs-mr gaia-rvs".replace("--mag", "--snr"),),
    "crlb instruments": ("gaia-rvs",),
    "crlb instrument new": ("--out NEW.yaml",),
    "crlb instrument show": ("gaia-rvs",),
    "crlb check": ("STARS --grid GRID",),
    "crlb posterior": ("STARS --grid GRID", "BARE --grid GRID --noise model --mag 20"),
    "crlb grid info": ("GRID",),
    "crlb grid validate": ("GRID",),
    "crlb grid index": ("",),
    "crlb grid download": ("NEWFOLDER",),
    "crlb grid build": ("SPECTRA --out NEW.h5",),
    "crlb grid synthesize": ("--out NEW.h5",),
    "specvit info": ("tiny",),
    "specvit doctor": ("",),
    "specvit settings": ("",),
    "specvit train": ("tiny --data emulator --out NEWFOLDER",),
    "specvit simulate": ("--n 10 --out NEW.h5", "--n 10 --out NEWFOLDER --shards 2"),
    "specvit evaluate": ("WEIGHTS --data STARS --json NEW.json",),
    "specvit predict": ("WEIGHTS STARS --out NEW.csv",),
    "specvit import": ("CKPT --out NEWFOLDER",),
    "specvit export": ("WEIGHTS --format onnx --out NEW.onnx",),
    "specvit report": ("WEIGHTS --out NEW.html",),
    "specvit runs": ("RUNS",),
    "specvit sweep": ("SWEEP",),
    "baselines fit": ("ridge --out NEW.npz",),
    "baselines evaluate": ("BASELINE --data STARS --json NEW.json",),
}


def made(folder: Path) -> dict[str, Path]:
    """Files of every kind that commands read, by the names that `LINES` uses."""
    names = {
        "GRID": "grid.h5", "STARS": "stars.h5", "BARE": "bare.h5", "SPECTRA": "spectra", "RUNS": "runs",
        "WEIGHTS": "weights.safetensors", "SWEEP": "sweep.yaml", "BASELINE": "ridge.npz",
        "NOISE": "noise.h5", "CONDITIONS": "conditions.yaml", "CONFIG": "config.yaml", "LIST": "list.txt",
        "CKPT": "a.ckpt", "POPULATION": "population.csv",
    }  # fmt: skip
    paths = {name: folder / file for name, file in names.items()}
    save_grid(toy_grid(MODEL_WAVE, SMALL_AXES), paths["GRID"])
    flux = np.full((2, len(DETECTOR_WAVE)), 0.5, np.float32)
    labels = {"T_eff": np.full(2, 4700.0), "log_g": np.full(2, 2.6), "M_H": np.full(2, -0.8)}
    bare = Spectra(DETECTOR_WAVE, labels, error=0.1 * flux, noisy=flux)
    write_spectra(paths["BARE"], bare)
    write_spectra(paths["STARS"], replace(bare, mag=np.full(2, 20.0)))
    shutil.copyfile(shipped_weights("tiny"), paths["WEIGHTS"])
    shutil.copyfile(paths["GRID"], paths["NOISE"])
    paths["CONDITIONS"].write_text("rv_sigma_kms: .inf\n")
    paths["CONFIG"].write_text(to_yaml(preset("tiny")))
    paths["SWEEP"].write_text("preset: tiny\ndata: emulator\ngrid: {train.seed: [1, 2]}\n")
    paths["LIST"].write_text("list")
    paths["POPULATION"].write_text("T_eff,log_g,M_H,mag\n4700,2.6,-0.8,20\n4800,2.5,-0.5,21\n")
    theirs.checkpoint(paths["CKPT"])
    paths["BASELINE"].write_bytes(b"PK")
    paths["SPECTRA"].mkdir()
    with open_run(paths["RUNS"] / "one", preset("tiny")):
        pass
    return paths


def line(command: str, words: str, paths: Mapping[str, Path], folder: Path) -> list[str]:
    """A command line with paths in place of their names; what is new goes into a folder."""
    named = {"NEWFOLDER": str(folder / "new"), **{name: str(path) for name, path in paths.items()}}
    return [
        *command.split(),
        *(named.get(word, word.replace("NEW.", f"{folder}/new.")) for word in words.split()),
    ]
