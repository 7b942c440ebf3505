"""A signal ends a program with one line and 128 + its number, at whatever moment it comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crlb.errors import DataError, Interrupted, run_cli

ROOT = Path(__file__).resolve().parents[2]
SAID = {
    signal.SIGINT: (130, "error: stopped by Ctrl-C\n"),
    signal.SIGTERM: (143, "error: stopped by SIGTERM\n"),
    signal.SIGUSR1: (138, "error: stopped by SIGUSR1\n"),
}
SIGNALS = pytest.mark.parametrize("number", SAID, ids=lambda number: number.name)
# Whoever runs the tests in the background of a script hands on that Ctrl-C is ignored.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def start(code: str, *words: object) -> "subprocess.Popen[str]":
    """A program that has said that it is up."""
    command = [sys.executable, "-c", START + code, *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    assert process.stdout.readline() == "up\n"
    return process


def ended(process: "subprocess.Popen[str]", number: int, after: float = 0.0) -> tuple[int, str]:
    """How a program ends that gets a signal, and what it says."""
    time.sleep(after)
    process.send_signal(number)
    try:
        said = process.communicate(timeout=200)[1]
    finally:
        process.kill()
    return process.returncode, said


def program(package: str, *words: object) -> "subprocess.Popen[str]":
    code = f"from {package}.cli import main\nprint('up', flush=True)\nmain()\n"
    return start(code, *words)


def command(body: str) -> "subprocess.Popen[str]":
    head = "import sys, time\nfrom crlb.errors import run_cli\ndef command():\n"
    return start(f"{head}{body}\nrun_cli(command)\n")


@SIGNALS
def test_a_command_is_left_in_one_line_and_tidies_up(number):
    body = """
  try:
    print('up', flush=True)
    time.sleep(60)
  finally:
    print('tidy', flush=True)
"""
    process = command(body)
    process.send_signal(number)
    out, said = process.communicate(timeout=200)
    assert (process.returncode, said) == SAID[number]
    assert out == "tidy\n"


@SIGNALS
def test_a_call_that_does_not_come_back_is_ended_from_outside(number):
    """A lock that is taken twice: C never returns, so that Python never sees the signal."""
    body = """
  import crlb.signals, ctypes
  crlb.signals.GRACE_S = 0.5
  nothing = ctypes.create_string_buffer(64)
  print('up', flush=True)
  ctypes.CDLL(None).pthread_mutex_lock(nothing)
  ctypes.CDLL(None).pthread_mutex_lock(nothing)  # for ever, whatever the signal
"""
    assert ended(command(body), number, 0.2) == SAID[number]


def test_a_signal_that_is_swallowed_is_raised_again():
    body = """
  class Deaf:
    def __del__(self):
      print('up', flush=True)
      time.sleep(60)
  Deaf()
  time.sleep(60)
"""
    assert ended(command(body), signal.SIGINT, 0.2) == SAID[signal.SIGINT]


def test_a_program_that_a_signal_ended_is_not_taken_apart():
    """Threads that compute would crash beside that; here, what is called at the end would."""
    code = """
import atexit, sys, time, types
from crlb.program import run_program
module = types.ModuleType('slow')
def command():
    atexit.register(lambda: print('taken apart', file=sys.stderr, flush=True))
    print('up', flush=True)
    time.sleep(60)
module.parse = lambda: command
sys.modules['slow'] = module
run_program('slow')
"""
    assert ended(start(code), signal.SIGTERM) == SAID[signal.SIGTERM]


def test_what_libraries_make_of_a_signal_is_still_the_signal(capsys):
    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except BaseException as error:
            raise DataError("numpy cannot be imported") from error

    with pytest.raises(SystemExit) as stop:
        run_cli(command)
    assert (stop.value.code, capsys.readouterr().err) == SAID[signal.SIGTERM]


def test_what_can_be_resumed_says_so(capsys):
    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise Interrupted("the same command goes on") from None

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        run_cli(command)
    assert (stop.value.code, capsys.readouterr().err) == (75, "error: the same command goes on\n")
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_ignored_signal_stays_ignored():
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += "import time\nfrom crlb.errors import run_cli\n"
    code += "run_cli(lambda: (print('up', flush=True), time.sleep(1)) and None)\n"
    assert ended(start(code), signal.SIGINT) == (0, "")


@pytest.mark.parametrize("after", [0.01, 0.1, 0.4])
def test_an_early_signal_leaves_no_traceback(after, tmp_path):
    """While what the commands need is imported, and while jax is."""
    process = program("crlb", "ceiling", "--json", tmp_path / "ceiling.json")
    assert ended(process, signal.SIGINT, after) == SAID[signal.SIGINT]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [((), 143), (("--resume",), 75)])
def test_a_run_that_was_to_be_resumed_is_queued_again(words, code, tmp_path):
    wait = "lambda *_: (print('up', flush=True), time.sleep(60))"
    body = f"import time\nfrom specvit_jax.training import parallel\nparallel.connect = {wait}\n"
    body += "from specvit_jax.cli import main\nmain()\n"
    process = start(body, "train", "tiny", "--data", "emulator", "--out", tmp_path / "run", *words)
    found = ended(process, signal.SIGTERM)
    assert found[0] == code
    assert found[1].startswith("error: stopped")
    assert found[1].count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("after", [0.03 * 1.35**i for i in range(16)], ids="{:.2f}".format)
@pytest.mark.parametrize("package", ["crlb", "specvit_jax"])
def test_no_moment_leaves_a_traceback(package, after, number, tmp_path):
    words = {
        "crlb": ["ceiling", "--json", tmp_path / "ceiling.json"],
        "specvit_jax": ["train", "tiny", "--data", "emulator", "--out", tmp_path / "run", "--resume"],
    }
    code, said = ended(program(package, *words[package]), number, after)
    assert code in (128 + number, 75)
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert said.endswith("\n")
