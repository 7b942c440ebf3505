"""Commands that are killed, at every step of their writing and at random: nothing half, nothing lost."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import jax
import pytest

from crlb.bosz.names import select
from crlb.cli.output import write_outputs
from crlb.errors import OutputError
from crlb.files import output, tables
from crlb.files.folders import tree
from crlb.files.output import new_file
from crlb.files.records import write_json
from crlb.files.tables import Column, TableFile
from crlb.grids.grid_file import save_grid
from experiments.study.running import claim_folder
from specvit_jax.spectra.shard_set import check_folder
from tests.crlb.bosz import bosz_files
from tests.crlb.conftest import MODEL_WAVE, SMALL_AXES
from tests.crlb.toy import toy_grid
from tests.hostile.deaths import Watch, perform, succeed

ROOT = Path(__file__).resolve().parents[2]
PROCESS = re.compile(r"\d+-[0-9a-f]{8}-[0-9a-f]{8}")  # of the name of a temporary file
TODAY = re.compile(rb"\d\d \w+ 20\d\d")  # of a report
MEANWHILE = frozenset({"provenance", "seconds", "command"})  # of results: when, how long, by which words
KILLS = int(os.environ.get("SPECVIT_KILLS", "1"))  # of every command, at random


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Args:
        program: crlb, specvit, or the module of an experiment.
        words: of its command line; OUT is the folder of its outputs, IN that of its inputs.
        other: words that make other outputs of the same names; empty: there is no --overwrite.
        again: word with which it goes on.
        grows: outputs that say how far it is.
    """

    program: str
    words: str
    other: str = ""
    again: str = ""
    grows: tuple[str, ...] = ()

    def told(self, words: str, out: Path, inputs: Path) -> list[str]:
        """Words of a command line."""
        return words.replace("OUT", str(out)).replace("IN", str(inputs)).split()


def case(program: str, words: str, old: tuple[str, str] | None = None, **more: object) -> Case:
    """A case whose other outputs come of one option's other value."""
    return Case(program, words, words.replace(*old) if old else "", **more)


CASES = {
    "build": case("crlb", "grid build IN/bosz --out OUT/g.h5 --wave 8300 8800", ("8800", "8700")),
    "report": case("specvit", "report IN/results -o OUT/r.html", ("IN/results", "IN/others")),
    "simulate": case(
        "specvit", "simulate --n 12 --seed 1 --grid IN/toy.h5 --out OUT/a.h5", ("seed 1", "seed 2")
    ),
    "shards": case(
        "specvit",
        "simulate --n 12 --seed 1 --grid IN/toy.h5 --out OUT/set --shards 2 --arrays flux",
        ("seed 1", "seed 2"),
        again="--resume",
        grows=("manifest.json",),
    ),
    "evaluate": case(
        "specvit", "evaluate tiny --data IN/stars.h5 --json OUT/e.json", ("IN/stars", "IN/more")
    ),
    "predict": case(
        "specvit", "predict tiny IN/stars.h5 --out OUT/p.csv --rv 0 --batch 4", ("IN/stars", "IN/more")
    ),
    "ceiling": case(
        "crlb",
        "ceiling --grid IN/toy.h5 --mag 21 --json OUT/c.json --csv OUT/c.csv --plot OUT/c.png",
        ("21", "22"),
    ),
    "synthesize": case(
        "crlb",
        "grid synthesize --out OUT/s.h5 --T_eff 4000 4250 --log_g 1 1.5 --M_H 0 --a_M 0 --C_M 0",
        ("1 1.5", "1 2"),
    ),
    "posterior": case(
        "crlb",
        "posterior IN/few.h5 --grid IN/toy.h5 --rv 0 --target-ess 20 --out OUT/q.csv --json OUT/q.json",
        ("IN/few", "IN/fewer"),
    ),
    "experiment": case(
        "tests.experiments.study.toy_study",
        "--preset smoke --grid IN/toy.h5 --out OUT/x",
        grows=("seconds.json",),
    ),
}


@pytest.fixture(autouse=True)
def limited() -> None:
    """Here whole commands are run again and again: the limit is that of any test."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A grid, stars, BOSZ files, results: what the commands read."""
    made = tmp_path_factory.mktemp("inputs")
    with jax.enable_x64(True):
        save_grid(toy_grid(MODEL_WAVE, SMALL_AXES), made / "toy.h5")
    for name, n in (("stars", 8), ("more", 7), ("few", 2), ("fewer", 1)):
        words = f"simulate --n {n} --mag 20 22 --grid {made}/toy.h5 --out {made}/{name}.h5"
        succeed("specvit", words.split())
    (made / "bosz").mkdir()
    box = {"T_eff": (5000.0, 5250.0), "log_g": (2.0, 2.5)} | dict.fromkeys(("M_H", "a_M", "C_M"), (0.0, 0.0))
    for node in select(2024, 2000, box):
        bosz_files.write(node, made / "bosz")
    shutil.copytree(ROOT / "results" / "chance", made / "results" / "chance")
    shutil.copytree(ROOT / "results" / "snapping", made / "others" / "snapping")
    return made


@dataclass(frozen=True)
class Killed:
    """A command, the states of its folder while it wrote, and what it has written in the end."""

    case: Case
    out: Path
    kept: Path
    words: list[str]
    seconds: float

    def states(self, which: str) -> list[Path]:
        """The folder before every step, each once: of the first run, or of one over older outputs."""
        found = sorted((self.kept / which).iterdir())
        return list({shape(state): state for state in reversed(found)}.values())[::-1]

    def put(self, state: Path | None) -> None:
        """Makes the folder of the outputs what a kill has left."""
        shutil.rmtree(self.out, ignore_errors=True)
        if state is None:
            self.out.mkdir()
        else:
            shutil.copytree(state, self.out)


@pytest.fixture(scope="module", params=CASES)
def killed(request, inputs, tmp_path_factory) -> Killed:
    """Every command, run twice by a process that is dead by now."""
    case, folder = CASES[request.param], tmp_path_factory.mktemp(request.param)
    out, kept = folder / "out", folder / "kept"
    words, other = (case.told(text, out, inputs) for text in (case.words, case.other))
    command = [sys.executable, "-m", "tests.hostile.deaths", out, kept, case.program, *words, "--old", *other]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Killed(case, out, kept, words, time.monotonic() - begun)


def content(folder: Path) -> dict[str, bytes]:
    """Files of a folder by their path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def shape(folder: Path) -> tuple[tuple[str, bytes], ...]:
    """What tells two states apart: names, and content where no temporary file's, which nobody reads."""
    found = [(str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*"))]
    read = [path.is_file() and not PROCESS.search(name) for name, path in found]
    return tuple(
        (PROCESS.sub("N", name), path.read_bytes() if whole else b"")
        for (name, path), whole in zip(found, read, strict=True)
    )


def visible(found: dict[str, bytes]) -> dict[str, bytes]:
    """Those under their final names, which is what others take for whole."""
    return {name: raw for name, raw in found.items() if "/." not in f"/{name}" and ".parts/" not in name}


def same(one: bytes, two: bytes) -> bool:
    """Whether two files hold the same, but for the time at which they were made."""
    if one[:1] == two[:1] == b"{":
        one, two = (json.dumps(timeless(json.loads(raw))).encode() for raw in (one, two))
    return TODAY.sub(b"", one) == TODAY.sub(b"", two)


def timeless(values: object) -> object:
    if not isinstance(values, dict):
        return values
    return {name: timeless(value) for name, value in values.items() if name not in MEANWHILE}


def check_whole(killed: Killed, which: str) -> None:
    """No file under its final name is half-written, and none is lost that was there before."""
    whole = visible(content(killed.kept / "whole"))
    old = visible(content(killed.kept / "old")) if which == "over" else {}
    found = visible(content(killed.out))
    for name, raw in found.items():
        if Path(name).name in killed.case.grows:
            json.loads(raw)
        else:
            assert any(same(raw, known[name]) for known in (whole, old) if name in known), f"{name} is half"
    if which == "over" and not killed.case.again:
        assert set(found) >= set(old), "lost"


def check_finishes(killed: Killed, which: str) -> None:
    """The same command ends as if nobody had killed it, and leaves nothing beside its outputs."""
    there = visible(content(killed.out))
    words = list(killed.words)
    if which == "over" or (there and killed.case.other and not killed.case.again):
        words.append("--overwrite")
    elif killed.case.again:
        words.append(killed.case.again)
    status, said = perform(killed.case.program, words)
    assert status == 0, said
    found, whole = content(killed.out), content(killed.kept / "whole")
    assert set(found) == set(whole)
    differ = [
        name for name in whole if Path(name).name != "seconds.json" and not same(found[name], whole[name])
    ]
    assert differ == []


def write_text(path: Path, overwrite: bool) -> None:
    with new_file(path, overwrite) as temporary:
        temporary.write_text("whole\n")


def write_record(path: Path, overwrite: bool) -> None:
    """As commands do: what writes JSON is given a temporary name."""
    write_outputs({path: lambda temporary: write_json({"whole": 1}, temporary)}, overwrite)


def write_rows(path: Path, overwrite: bool) -> None:
    columns = (Column("star", kind="integer"), Column("note", kind="text"))
    table = TableFile(path, columns, about={}, fingerprint={"seed": "1"}, overwrite=overwrite)
    with mock.patch.object(tables, "COMMIT_S", 0.0), table:
        for i in range(table.rows, 3):
            table.append({"star": [i], "note": ["whole"]})


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("write", [write_text, write_record, write_rows])
def test_a_writer_that_is_killed_is_made_up_for(write, old, tmp_path, monkeypatch):
    out, path, kept = tmp_path / "out", tmp_path / "out" / "a.csv", tmp_path / "kept"
    out.mkdir()
    if old:
        path.write_text("old\n")
    Watch(out).during(lambda: write(path, old), kept)
    whole, states = path.read_bytes(), sorted(kept.iterdir())
    assert {path.name: whole} == content(out)
    monkeypatch.setattr(output, "is_alive", lambda process: False)  # the process of the test, who wrote it
    for state in states:
        found = visible(content(state))
        assert found in ([{path.name: whole}, {path.name: b"old\n"}] if old else [{path.name: whole}, {}])
        shutil.rmtree(out)
        shutil.copytree(state, out)
        write(path, bool(found))
        assert content(out) == {path.name: whole}
    assert len(states) >= 3


def test_what_killed_writers_leave_keeps_no_folder_from_being_used(tmp_path):
    (tmp_path / ".manifest.123-0123abcd-4567cdef.partial.json").write_text("{")
    (tmp_path / ".table.123-0123abcd-4567cdef.partial.md").write_text("|")
    assert check_folder(tmp_path) == []
    claim_folder(tmp_path)
    (tmp_path / ".table.partial.md").write_text("a user's")
    with pytest.raises(OutputError, match=r"holds \.table\.partial\.md"):
        check_folder(tmp_path)
    with pytest.raises(OutputError, match=r"\.table\.partial\.md"):
        claim_folder(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", ["fresh", "over"])
def test_whatever_the_step_of_writing_nothing_is_half_and_the_same_command_ends_it(killed, which):
    if which == "over" and not killed.case.other:
        pytest.skip("it has no --overwrite")
    states, faults = killed.states(which), []
    for state in states:
        killed.put(state)
        try:
            check_whole(killed, which)
            check_finishes(killed, which)
        except AssertionError as fault:
            names = [PROCESS.sub("N", name) for name in content(state)]
            faults.append(f"{state.name} of {len(states)} {names}: {str(fault)[:300]}")
    assert not faults, "\n".join(faults)
    assert len(states) >= 3


def start(killed: Killed, words: list[str]) -> "subprocess.Popen[bytes]":
    """The command as a process of its own."""
    code = "import sys; from tests.hostile.deaths import succeed; succeed(sys.argv[1], sys.argv[2:])"
    command = [sys.executable, "-c", code, killed.case.program, *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill(killed: Killed, words: list[str], after: float, writing: bool) -> bool:
    """SIGKILL after a time, from the start or the first change of its folder; whether in time."""
    process, before = start(killed, words), list(tree(killed.out))
    while writing and process.poll() is None and list(tree(killed.out)) == before:
        time.sleep(0.001)
    time.sleep(after)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_random_nothing_is_half_and_the_same_command_ends_it(killed):
    dice, came = random.Random(1), 0
    for i in range(KILLS):
        which = "over" if i % 2 and killed.case.other else "fresh"
        killed.put(killed.kept / "old" if which == "over" else None)
        words = [*killed.words, *(["--overwrite"] if which == "over" else [])]
        writing = i % 4 < 2
        came += kill(killed, words, dice.uniform(0.0, 0.05 if writing else killed.seconds / 3), writing)
        check_whole(killed, which)
        check_finishes(killed, which)
    print(f"{came} of {KILLS} kills came before the end")
    assert came or KILLS < 2
