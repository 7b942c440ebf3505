"""A signal while a command computes: one line and a documented status, whatever it was doing."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from crlb.files.process import is_alive
from tests.hostile.commands import line, made
from tests.hostile.test_signals import ROOT, SAID, START, ended, program

pytestmark = pytest.mark.slow
STOPS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
WORK = {  # what takes longer than the moments below
    "predict": "specvit_jax predict WEIGHTS MANY --out NEW.csv",
    "evaluate": "specvit_jax evaluate WEIGHTS --data MANY --json NEW.json",
    "report": "specvit_jax report WEIGHTS --out NEW.html",
    "posterior": "crlb posterior MANY --out NEW.csv",
    "synthesize": "crlb grid synthesize --out NEW.h5",
}
# After the start: jax is imported, steps are compiled and run. 0.5, 3, 8, 15 s with both signals: 40 of 40.
MOMENTS = ((2.0, signal.SIGINT), (9.0, signal.SIGTERM))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    from specvit_jax.spectra.simulate import simulate
    from specvit_jax.spectra.source import make_simulator

    folder = tmp_path_factory.mktemp("files")
    simulate(folder / "many.h5", make_simulator(mag=(20.0, 21.0)), 2000, 5)
    return made(folder) | {"MANY": folder / "many.h5"}


@pytest.mark.parametrize(("after", "number"), MOMENTS, ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", WORK)
def test_a_command_that_computes_is_left_in_one_line(name, after, number, paths, tmp_path):
    package, rest = WORK[name].split(" ", 1)
    process = program(package, *line("", rest, paths, tmp_path))
    code, said = ended(process, number, after)
    if code == 0:
        pytest.skip("it had ended before")
    last = said.splitlines()[-1]
    assert "Traceback" not in said
    assert said.count("error: ") == 1
    assert (code, f"{last}\n") == SAID[number] or (code == 75 and last.startswith("error: stopped"))
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "new.h5.parts"))]
    assert left == []


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.mark.usefixtures("linux")
@STOPS
@pytest.mark.parametrize("after", [0.0, 0.3, 2.0])
def test_processes_that_write_shards_end_without_a_word(after, number, tmp_path):
    """A terminal sends Ctrl-C to all of them, Slurm SIGTERM; most moments lie in their imports."""
    words = ["simulate", "--n", "200000", "--shards", "4", "--workers", "2", "--arrays", "flux", "--out"]
    code = f"{START}from specvit_jax.cli import main\nprint('up', flush=True)\nmain()\n"
    command = [sys.executable, "-c", code, *words, str(tmp_path / "set")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
    try:
        while len(children(process.pid)) < 2:  # the first one keeps the semaphores
            time.sleep(0.005)
        time.sleep(after)
        workers = children(process.pid)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=200)[1]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 75
    assert "Traceback" not in said
    assert said.count("error: ") == 1
    assert said.splitlines()[-1].startswith(f"error: stopped by {number.name}")
    assert not [worker for worker in workers[1:] if is_alive(int(worker))]
