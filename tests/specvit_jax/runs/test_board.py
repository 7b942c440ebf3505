"""The metrics of a run for TensorBoard and Weights & Biases: every number once, also after a resume."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from crlb.errors import DataError, Interrupted, NumericalError, OutputError, UsageError
from crlb.files.folders import tree
from specvit_jax import cli
from specvit_jax.runs.board import TensorBoard, check_boards, curves
from specvit_jax.runs.directory import open_run
from specvit_jax.runs.listing import read_metrics
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import override
from specvit_jax.settings.presets import preset

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config() -> Config:
    return preset("tiny")


def losses(step: int) -> dict[str, float]:
    return {"step": step, "loss": 1 / step, "spectra_per_s": 100.0}


def scores(step: int) -> dict[str, float]:
    return {"step": step, "val_r2": 0.01 * step, "val_r2_log_g": 0.02 * step}


def points(rows: list[dict[str, float]]) -> list[tuple[int, str, float]]:
    """Step, curve and value of every number in rows of metrics."""
    return sorted((int(row["step"]), curve, value) for row in rows for curve, value in curves(row).items())


def test_a_row_becomes_points_of_curves():
    assert curves(losses(4)) == {"train/loss": 0.25, "train/spectra_per_s": 100.0}
    assert curves(scores(50)) == {"val/r2": 0.5, "val/r2_log_g": 1.0}


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch, config, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"--log-to {name} needs the package {package}, .*pip install 'specvit-jax\[{name}\]'"
    with pytest.raises(UsageError, match=said):
        open_run(tmp_path / "run", config, log_to=[name])
    command = ["train", "tiny", "--data", "emulator", "--out", str(tmp_path / "run"), "--log-to", name]
    with pytest.raises(UsageError, match=said):
        cli.parse(command)()
    assert not (tmp_path / "run").exists()


# --- TensorBoard


def read_events(folder):
    """The events in the only file of a folder."""
    from tensorboardX.proto import event_pb2

    (file,) = folder.iterdir()
    data, place = file.read_bytes(), 0
    while place < len(data):  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        size = int.from_bytes(data[place : place + 8], "little")
        yield event_pb2.Event.FromString(data[place + 12 : place + 12 + size])
        place += size + 16


def test_tensorboard_gets_points_at_their_steps(tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")
    board = TensorBoard(tmp_path, after=4)
    board.log(5, {"train/loss": 0.5, "train/spectra_per_s": 100.0})
    board.log(10, {"val/r2": 0.25, "val/r2_log_g": 0.125})
    board.close()
    events = list(read_events(tmp_path))
    assert [event.step for event in events if event.session_log.status] == [5]  # later ones are void
    found = [(value.tag, event.step, value.simple_value) for event in events for value in event.summary.value]
    assert found == [
        ("train/loss", 5, 0.5),
        ("train/spectra_per_s", 5, 100.0),
        ("val/r2", 10, 0.25),
        ("val/r2_log_g", 10, 0.125),
    ]


# --- Weights & Biases: what it is asked for


class Recorder(ModuleType):
    """Stands in for the package ``wandb``; notes its calls."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None)
        self.begun: list[dict[str, object]] = []
        self.rows: list[tuple[int, dict[str, float]]] = []  # its own counter, what was logged
        self.ends: list[object] = []
        self.account, self.problem = True, ""

    def setup(self):
        return SimpleNamespace(settings=SimpleNamespace(mode=os.environ.get("WANDB_MODE", "online")))

    def login(self, prompt, verify):
        assert not prompt  # nobody may sit there
        assert not verify  # it asks a server
        return self.account

    def Settings(self, **settings):
        return settings

    def init(self, **options):
        if self.problem:
            raise self.Error(self.problem)
        self.begun.append(options)
        return SimpleNamespace(
            dir=f"{options['dir']}/wandb/of-this-start/files",
            url="https://wandb.test/run",
            offline="WANDB_MODE" in os.environ,
            define_metric=lambda curve, step_metric: None,
            log=lambda row, step, commit: self.rows.append((step, row)),
            mark_preempting=lambda: self.ends.append("preempting"),
            finish=lambda exit_code: self.ends.append(exit_code),
        )


@pytest.fixture
def wandb(monkeypatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    return recorder


def test_every_number_is_logged_once_at_its_step_also_where_it_is_computed_twice(tmp_path, wandb, config):
    def start(begin: int, end: int, **options: bool) -> None:
        with open_run(tmp_path, config, log_to=["wandb"], **options) as run:
            run.rewind(begin, scored=options.get("scored", True))
            for step in range(begin + 5, end + 1, 5):
                run.log(losses(step))
                if step % 10 == 0:
                    run.log(scores(step))

    start(0, 25)
    start(10, 15, resume=True)  # from an older checkpoint, and not as far as before
    start(10, 40, resume=True)
    assert len(wandb.begun) == 3
    logged = [row for _, row in wandb.rows]
    found = sorted((row["step"], name, row[name]) for row in logged for name in row if name != "step")
    assert found == points(read_metrics(tmp_path))
    counters = [counter for counter, _ in wandb.rows]
    assert counters == sorted(set(counters))  # wandb drops a row whose counter is not above the last one


def test_scores_that_a_stop_held_back_are_logged_after_the_resume(tmp_path, wandb, config):
    with open_run(tmp_path, config, log_to=["wandb"]) as run:
        run.log(losses(10))
    with open_run(tmp_path, config, log_to=["wandb"], resume=True) as run:
        run.rewind(10, scored=False)
        run.log(scores(10))
    assert [row for _, row in wandb.rows] == [
        {"step": 10, "train/loss": 0.1, "train/spectra_per_s": 100.0},
        {"step": 10, "val/r2": 0.1, "val/r2_log_g": 0.2},
    ]


def test_a_run_has_its_whole_config_and_keeps_its_id_until_it_is_overwritten(
    tmp_path, wandb, config, monkeypatch
):
    longer = override(config, [f"train.steps={config.train.steps + 1}"])
    ways = [(config, {}), (longer, {"resume": True}), (config, {"overwrite": True})]
    for asked, way in ways:
        with open_run(tmp_path / "mine", asked, log_to=["wandb"], **way) as run:
            run.rewind(0)
            assert run.notes[-1] == "Weights & Biases: https://wandb.test/run"
        monkeypatch.setenv("WANDB_NAME", "other")
        monkeypatch.setenv("WANDB_PROJECT", "team")
    first, second, third = wandb.begun
    assert [start["config"] for start in wandb.begun] == [asdict(one) for one, _ in ways]
    assert first["id"] == second["id"] != third["id"]
    assert {start["resume"] for start in wandb.begun} == {"allow"}
    assert [(start["project"], start["name"]) for start in (first, second)] == [
        ("specvit-jax", "mine"),
        ("team", "other"),
    ]
    assert second["allow_val_change"]


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (None, [0]),
        (Interrupted("stopped"), ["preempting", 75]),
        (NumericalError("nan"), [70]),
        (KeyboardInterrupt(), [1]),
    ],
)
def test_the_run_is_ended_as_the_training_ends(tmp_path, wandb, config, error, ends):
    def trained() -> None:
        with open_run(tmp_path, config, log_to=["wandb"]) as run:
            run.log(losses(5))
            if error is not None:
                raise error

    if error is None:
        trained()
    else:
        with pytest.raises(type(error)):
            trained()
    assert wandb.ends == ends
    assert not (tmp_path / "lock.json").exists()


def test_without_an_account_it_is_refused_unless_offline(tmp_path, wandb, config, monkeypatch):
    wandb.account = False
    with pytest.raises(UsageError, match=r"needs an account, .*wandb login.*WANDB_MODE=offline"):
        open_run(tmp_path / "run", config, log_to=["wandb"])
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WANDB_MODE", "offline")
    with open_run(tmp_path / "run", config, log_to=["wandb"]) as run:
        run.rewind(0)
        assert run.notes[-1].endswith(f"wandb sync {tmp_path}/run/wandb/of-this-start")


def test_a_server_that_does_not_answer_is_one_line(tmp_path, wandb, config):
    wandb.problem = "timed out\nafter 90 s"
    with (
        pytest.raises(UsageError, match=r"--log-to wandb: timed out after 90 s; or set WANDB_MODE=offline"),
        open_run(tmp_path, config, log_to=["wandb"]) as run,
    ):
        run.rewind(0)


def test_a_process_of_wandb_that_died_is_one_line(tmp_path, wandb, config):
    def died(row, step, commit):
        raise ConnectionResetError("Connection lost")

    with open_run(tmp_path, config, log_to=["wandb"]) as run:
        run.rewind(0)
        run.boards[0].run.log = died
        with pytest.raises(OutputError, match=r"does not answer \(Connection lost\); .* --resume"):
            run.log(losses(5))


def test_a_damaged_record_of_the_id_is_refused(tmp_path, wandb, config):
    (tmp_path / "wandb").mkdir()
    with open_run(tmp_path / "run", config, log_to=["wandb"]) as run:
        run.rewind(0)
    (tmp_path / "run/wandb/run.json").write_text("{")
    with (
        pytest.raises(DataError, match=r"wandb/run\.json"),
        open_run(tmp_path / "run", config, resume=True, log_to=["wandb"]) as run,
    ):
        run.rewind(0)


def test_only_the_first_of_several_processes_logs(tmp_path, wandb, config, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    with open_run(tmp_path / "run", config, log_to=["wandb"]) as run:
        run.rewind(0)
        run.log(losses(5))
    assert not wandb.begun
    assert not (tmp_path / "run").exists()


# --- Weights & Biases itself, offline

START = """
import sys
from specvit_jax.runs.directory import open_run
from specvit_jax.settings.presets import preset
begin, end = map(int, sys.argv[2:4])
with open_run(sys.argv[1], preset("tiny"), resume=True, log_to=["wandb"]) as run:
    run.rewind(begin)
    for step in range(begin + 1, end + 1):
        run.log({"step": step, "loss": 1 / step})
        run.log({"step": step, "val_r2": 0.5})
    if sys.argv[4:]:
        import os, time
        time.sleep(4)
        os.kill(os.getpid(), 9)
"""
BLOCK = 32768  # bytes; no record of a .wandb file, a LevelDB log, goes from one into the next


def history(path: Path) -> Iterator[dict[str, float]]:
    """The rows in a `.wandb` file, which is a LevelDB log of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        if BLOCK - place % BLOCK < 7 or kind == 0:
            place += BLOCK - place % BLOCK
            continue
        record += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or its last piece
            items = Record.FromString(record).history.item
            record = b""
            row = {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}
            if row:
                yield row


@pytest.fixture
def network(monkeypatch) -> Iterator[list[bytes]]:
    """What is sent anywhere: all connections by way of a proxy, which only notes them."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        yield heard
        server.shutdown(socket.SHUT_RDWR)


def start(run: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", START, run, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_MODE": "offline", "HOME": str(run.parent), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)


def test_offline_everything_lies_in_the_run_and_nothing_is_sent_or_said(tmp_path, network):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    run = tmp_path / "run"
    for begin, end in ((0, 3), (2, 5)):
        done = start(run, begin, end)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    name = json.loads((run / "wandb/run.json").read_text())["id"]
    assert {file.name for file in files} == {f"run-{name}.wandb"}
    rows = [row for file in files for row in history(file)]
    found = sorted((row["step"], name, row[name]) for row in rows for name in row if "/" in name)
    assert found == points(read_metrics(run))
    assert len({row["_step"] for row in rows}) == len(rows) == 10
    assert [path for path in tree(run) if path.is_symlink()] == []
    assert network == []


def test_a_kill_loses_nothing_that_was_logged_seconds_before(tmp_path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    assert start(tmp_path / "run", 0, 3, "killed").returncode == -9
    assert start(tmp_path / "run", 3, 4).returncode == 0
    rows = [row for file in sorted(tmp_path.glob("run/wandb/*/*.wandb")) for row in history(file)]
    assert [row["step"] for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_settings_of_wandb_that_cannot_be_are_one_line(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    code = "from specvit_jax.runs.board import check_boards; check_boards(['wandb'])"
    environment = os.environ | {"WANDB_MODE": "sideways", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "UsageError: --log-to wandb: " in done.stderr.splitlines()[-1]
    assert "sideways" in done.stderr.splitlines()[-1]


def test_a_package_that_is_there_is_accepted(wandb):
    check_boards(["wandb"])
