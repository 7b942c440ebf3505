"""The two main walks, magnitudes -> ceiling and flux -> scores, enter every room once."""

import sys
from itertools import groupby
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from crlb.cli.ceiling import Ceiling
from crlb.grids.grid_file import save_grid
from specvit_jax.cli.evaluate import Evaluate
from specvit_jax.spectra.simulate import simulate
from specvit_jax.spectra.source import make_simulator
from tests.crlb.conftest import MODEL_WAVE, SMALL_AXES
from tests.crlb.toy import toy_grid

PLUMBING = {"crlb.files", "crlb.errors", "crlb.labels", "crlb.detector", "specvit_jax.settings"}


def room(frame: FrameType | None) -> str:
    """Package and folder of a frame's module; nothing for what is not of this project."""
    name = "" if frame is None else str(frame.f_globals.get("__name__", ""))
    return ".".join(name.split(".")[:2]) if name.startswith(("crlb.", "specvit_jax.")) else ""


def is_function(frame: FrameType) -> bool:
    """Whether a frame is a function of a module: no method, property or wrapper."""
    return bool(room(frame)) and frame.f_code.co_qualname.isidentifier()


def caller(frame: FrameType) -> str:
    """The room that called a frame; wrappers and type checkers between do not count."""
    found = frame.f_back
    while found is not None and (not room(found) or "<locals>" in found.f_code.co_qualname):
        found = found.f_back
    return room(found)


def rooms_entered(command, package: str) -> list[str]:
    """The rooms that functions of a command enter, in order; calls in a row into one room are one stay."""
    entered: list[str] = []

    def profile(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and is_function(frame) and room(frame) != f"{package}.cli" == caller(frame):
            entered.append(room(frame))

    sys.setprofile(profile)
    try:
        command()
    finally:
        sys.setprofile(None)
    return [name for name, _ in groupby(found for found in entered if found not in PLUMBING)]


def test_magnitudes_to_a_ceiling(tmp_path, capsys):
    grid = tmp_path / "grid.h5"
    save_grid(toy_grid(MODEL_WAVE, SMALL_AXES), grid)
    entered = rooms_entered(Ceiling(grid=grid, mag=(20.0,), json=tmp_path / "ceiling.json"), "crlb")
    assert entered == ["crlb.grids", "crlb.observation", "crlb.ceilings"]
    assert "R2_max" in capsys.readouterr().out


@pytest.mark.slow
def test_flux_to_scores(tmp_path, capsys):
    data = tmp_path / "data.h5"
    simulate(data, make_simulator(mag=(20.0, 21.0)), 64, 5)
    command = Evaluate(run=Path("tiny"), data=data, json=tmp_path / "scores.json")
    entered = rooms_entered(command, "specvit_jax")
    assert entered == ["specvit_jax.network", "specvit_jax.evaluation"]
    assert np.isfinite((tmp_path / "scores.json").stat().st_size)
    assert "log_g" in capsys.readouterr().out
