"""Every documented cause ends a real command with the documented status, in one line."""

import os
import re
import resource
from pathlib import Path

import pytest

import crlb.cli.command
import specvit_jax.cli.command
from crlb.errors import EXPECTED, ConfigError, RunLocked
from specvit_jax.runs.directory import open_run
from specvit_jax.settings.presets import preset
from tests.crlb.stranger import stranger
from tests.hostile.commands import answer, line, made

ROOT = Path(__file__).resolve().parents[2]
CAUSES = [  # command line, status, what is said
    ("crlb ceiling --grid GRID --bayes --n-bayes 1", 2, "--n-bayes"),
    ("specvit simulate --n 0 --out NEW.h5", 2, "--n"),
    ("specvit train tiny --data emulator --out NEWFOLDER --seed -1", 2, "--seed"),
    ("baselines fit ridge --seed 9223372036854775808 --out NEW.npz", 2, "--seed"),
    ("specvit train tiny --data emulator --out NEWFOLDER --set train.seed=-1", 78, "train.seed"),
    ("specvit train tiny --data emulator --out NEWFOLDER --set train.batch_size=0", 78, "train.batch_size"),
    ("specvit sweep LIST", 78, "list.txt"),
    ("crlb grid info BASELINE", 65, "ridge.npz"),
    ("crlb ceiling --grid GRID --noise LIST", 65, "list.txt"),
    ("specvit import LIST --out NEWFOLDER", 65, "list.txt"),
    ("specvit import CKPT --out NEWFOLDER", 2, "--label-mean"),
    ("specvit import none.ckpt --out NEWFOLDER", 66, "none.ckpt"),
    ("specvit export WEIGHTS --format torch --out NEW.pt", 2, "model.pool"),
    ("specvit export WEIGHTS --format torch --out LIST", 73, "exists already"),
    ("specvit predict LIST STARS --out NEW.csv", 65, "list.txt"),
    ("specvit evaluate BASELINE --data STARS --json NEW.json", 65, "ridge.npz"),
    ("baselines evaluate BASELINE --data STARS --json NEW.json", 65, "ridge.npz"),
    ("specvit train tiny --data LIST --out NEWFOLDER", 66, "dataset.h5"),
    ("crlb grid info none.h5", 66, "none.h5"),
    ("crlb check none.h5", 66, "none.h5"),
    ("crlb ceiling --grid SPECTRA", 66, "spectra"),
    ("specvit evaluate WEIGHTS --data SPECTRA --json NEW.json", 66, "spectra"),
    ("specvit predict SPECTRA STARS --out NEW.csv", 66, "spectra"),
    ("specvit sweep SPECTRA", 66, "spectra"),
    ("specvit runs none", 66, "none"),
    ("specvit report none", 66, "none"),
    ("baselines evaluate SPECTRA --data STARS --json NEW.json", 66, "spectra"),
    ("crlb grid index --out LIST", 73, "exists already"),
    ("crlb grid index --out NEWFOLDER/list.txt", 73, "not an existing folder"),
    ("specvit evaluate WEIGHTS --data STARS --json SPECTRA", 73, "spectra"),
    ("specvit train tiny --data emulator --out SPECTRA/../list.txt", 73, "list.txt"),
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return made(tmp_path_factory.mktemp("files"))


def ends(words, paths, folder):
    program, rest = words.split(" ", 1)
    return answer(line(program, rest.replace("SPECTRA/..", str(folder)), paths, folder))


@pytest.mark.parametrize(("words", "status", "what"), CAUSES, ids=[words for words, _, _ in CAUSES])
def test_a_cause_has_its_status(words, status, what, paths, tmp_path):
    (tmp_path / "list.txt").write_text("precious")
    code, said = ends(words, paths, tmp_path)
    assert (code, said.count("error: "), said.count("\n")) == (status, 1, 1), said
    assert what in said


@pytest.mark.parametrize("program", ["crlb ceiling", "specvit simulate", "baselines fit"])
def test_an_option_that_there_is_not_is_usage(program, paths, tmp_path):
    assert ends(f"{program} --no-such-option", paths, tmp_path)[0] == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    "words",
    ["crlb grid index --out NEW.txt", "specvit simulate --n 2 --out NEW.h5",
     "specvit train tiny --data emulator --out NEWFOLDER", "specvit sweep SWEEP --slurm NEW.sh",
     "specvit evaluate WEIGHTS --data STARS --json NEW.json"],
)  # fmt: skip
def test_a_folder_that_is_not_ours_cannot_be_written_into(words, paths, tmp_path):
    for path in paths["GRID"].parent.rglob("*"):
        path.chmod(0o755)
    tmp_path.chmod(0o755)
    with stranger(paths["GRID"].parent):
        code, said = ends(words, paths, tmp_path)
    assert (code, said.count("\n")) == (73, 1), said
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_74(paths, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        code, said = ends("crlb grid index --out NEW.txt", paths, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, said.count("\n")) == (74, 1), said
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_another_process_trains_is_69(paths, tmp_path):
    with open_run(tmp_path / "new", preset("tiny")):
        words = "specvit train tiny --data emulator --out NEWFOLDER --resume"
        code, said = ends(words, paths, tmp_path)
    assert (code, said.count("\n")) == (69, 1), said


def test_every_status_is_documented_everywhere():
    codes = {str(error.exit_code) for error in (*EXPECTED, ConfigError)} | {"0", "130", "143"}
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    named = page[page.index("Exit codes:") :].split("\n\n")[0]
    assert codes | {str(RunLocked.exit_code)} <= set(re.findall(r"\d+", named))
    for module in (crlb.cli.command, specvit_jax.cli.command):
        assert codes <= set(re.findall(r"\d+", str(module.__doc__)))
