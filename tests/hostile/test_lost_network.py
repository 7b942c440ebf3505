"""A download without a network, or one that is lost: it ends soon, in one line, and so does Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from crlb.bosz import download
from crlb.bosz.mirror import most_bytes
from crlb.bosz.names import select
from crlb.bosz.tries import Settings
from crlb.cli.bosz import Download
from crlb.errors import run_cli
from crlb.files import progress
from tests.crlb.stranger import stranger
from tests.hostile.servers import OK, PACKED, Reply, honest, said, serving, silent, whole

ROOT = Path(__file__).resolve().parents[2]
BOX = {"T_eff": (5000.0, 5500.0), "log_g": (1.0, 3.0), "M_H": (-0.25, 0.0)}
NODES = select(2024, 5000, BOX | {"a_M": (0.0, 0.0), "C_M": (0.0, 0.0)})
COMMAND = (
    "import sys; from pathlib import Path\n"
    "from crlb.cli.bosz import Download; from crlb.errors import run_cli\n"
    "run_cli(Download(folder=Path(sys.argv[1]), list=Path(sys.argv[2]), mirror=sys.argv[3]))"
)


@pytest.fixture
def names(tmp_path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(node.name for node in NODES))
    return path


def run(mirror: str, tmp_path: Path, names: Path, capsys, **options) -> tuple[int, str]:
    """Exit code and what is said."""
    try:
        run_cli(Download(folder=tmp_path / "bosz", list=names, mirror=mirror, **options))
    except SystemExit as ended:
        return ended.code, capsys.readouterr().err
    return 0, capsys.readouterr().err


@contextmanager
def swallowing() -> Iterator[str]:
    """A mirror where packets vanish: its queue is full, and nobody takes from it."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield "http://{}:{}".format(*full.getsockname())


def said_later(*lines: str) -> Reply:
    """Says this after a while."""

    def reply(peer, request):
        time.sleep(0.6)
        said(*lines)(peer, request)

    return reply


def test_a_server_that_is_not_there_ends_a_download_at_once(tmp_path, names, capsys):
    """With the settings as they are: 30 files, none of which is tried."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        place = "{}:{}".format(*gone.getsockname())
    code, said = run(f"http://{place}", tmp_path, names, capsys)
    assert code == 75
    assert said == (
        f"error: no files come from http://{place}: no connection to '{place}': Connection refused (tried 3 "
        f"times); 0 of {len(NODES)} were fetched; check the network and --mirror, then run the same command "
        "again, it goes on where it stopped\n"
    )


def test_packets_that_vanish_end_a_download(tmp_path, names, capsys, monkeypatch):
    """After three tries; lines tell that it goes on meanwhile."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.2)
    with swallowing() as mirror:
        code, said = run(mirror, tmp_path, names, capsys, timeout_s=0.3)
    assert code == 75
    assert said.startswith(f"download: 0 of {len(NODES)} files, ")
    assert "timed out (tried 3 times); 0 of" in said


def test_a_name_that_nobody_knows_ends_a_download(tmp_path, names, capsys, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    code, said = run("https://archive.example", tmp_path, names, capsys, retries=0)
    assert code == 75
    assert "no connection to 'archive.example': Temporary failure in name resolution" in said


def test_a_name_that_is_looked_up_for_ever_ends_a_download(tmp_path, names, capsys, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: never.wait(280))
    monkeypatch.setattr(download, "CONTACT_S", 0.2)
    code, said = run("https://archive.example", tmp_path, names, capsys, timeout_s=0.3)
    never.set()
    assert code == 75
    assert "no files come from https://archive.example: no answer within 0.5 s" in said


def test_the_first_contact_takes_less_than_a_minute():
    assert Settings().timeout_s + download.CONTACT_S < 60


def test_a_server_that_never_answers_ends_a_download_before_all_tries(tmp_path, names, capsys, monkeypatch):
    """Six tries of 1 s each, and the waits between them, would take half a minute."""
    monkeypatch.setattr(download, "CONTACT_S", 0.5)
    with serving(silent()) as server:
        begun = time.monotonic()
        code, said = run(server.url, tmp_path, names, capsys, timeout_s=1.0)
        assert time.monotonic() - begun < 25
    assert code == 75
    assert f"no files come from {server.url}: no answer within 1.5 s; 0 of {len(NODES)} were fetched" in said


def test_a_server_that_thinks_almost_as_long_as_it_may_is_waited_for(tmp_path, names, capsys, monkeypatch):
    """It never says a size, and is slow with every file."""
    monkeypatch.setattr(download, "CONTACT_S", 0.5)  # for the question after the size

    def slow(peer, request):
        time.sleep(0.6)
        (silent() if request.startswith("HEAD") else honest(PACKED))(peer, request)

    names.write_text(NODES[0].name)
    monkeypatch.setattr("crlb.bosz.http.CONNECT_S", 0.4)  # for the size
    with serving(slow) as server:
        assert run(server.url, tmp_path, names, capsys, retries=0, timeout_s=1.0) == (0, "")


def test_a_server_in_trouble_is_tried_as_often_as_asked(tmp_path, names, capsys, monkeypatch):
    """It answers, if only that it cannot."""
    monkeypatch.setattr(download, "CONTACT_S", 0.0)
    names.write_text(NODES[0].name)
    with serving(said_later("HTTP/1.1 503 Busy")) as server:
        code, error = run(server.url, tmp_path, names, capsys, retries=1, timeout_s=1.0)
    assert code == 75
    assert "answers 503 Busy (tried 2 times)" in error


@pytest.mark.parametrize("answers", [0, 7])
def test_a_network_that_is_lost_meanwhile_ends_a_download(tmp_path, names, capsys, answers):
    """The other files are not tried one after the other."""
    with serving(honest(PACKED)) as server:
        left, nothing = iter(range(1 + answers)), silent()  # the first is asked for its size

        def reply(peer, request):
            (nothing if next(left, None) is None else honest(PACKED))(peer, request)

        server.reply = reply
        code, said = run(server.url, tmp_path, names, capsys, retries=0, timeout_s=1.0, connections=2)
        assert server.requests <= 1 + answers + 4
    assert code == 75
    assert f"no answer: nothing came for 1 s (tried 1 times); {answers} of {len(NODES)} were" in said
    assert "no files come from" in said


def test_a_page_instead_of_every_file_ends_a_download(tmp_path, names, capsys):
    """As of a network that wants a password first."""
    with serving(whole(b"<html>log in</html>")) as server:
        code, error = run(server.url, tmp_path, names, capsys, retries=0)
        assert server.requests < len(NODES)
    assert code == 75
    assert "no files come from http" in error
    assert "Not a gzipped file" in error


def test_some_files_that_fail_do_not_end_it(tmp_path, names, capsys):
    with serving(honest(PACKED)) as server:
        count = iter(range(10_000))

        def reply(peer, request):
            (said() if next(count) % 4 == 1 else honest(PACKED))(peer, request)

        server.reply = reply
        code, error = run(server.url, tmp_path, names, capsys, retries=0, connections=2)
        assert server.requests == 1 + len(NODES)
    assert code == 75
    assert f"{(len(NODES) + 3) // 4} of {len(NODES)} files could not be fetched, the first http" in error


def test_lines_tell_where_there_is_no_terminal(tmp_path, names, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.2)
    with serving(silent(OK, "Content-Length: 1000")) as server:
        said = run(server.url, tmp_path, names, capsys, retries=0, timeout_s=1.5)[1]
    assert said.startswith(f"download: 0 of {len(NODES)} files, ")


def press(moment, number, *arguments) -> tuple[int, str, float]:
    """Exit code, what is said, and how long the command takes to end once the moment has come."""
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", start + COMMAND, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        while not moment():
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.2)
        begun = time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=200)[1]
        return process.returncode, said, time.monotonic() - begun
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_signal_ends_a_download_from_a_silent_server(tmp_path, names, method, number):
    """Four connections wait for up to 30 s each."""
    asked = []

    def reply(peer, request):
        asked.append(request.split()[0])
        (silent() if method in asked else whole(PACKED))(peer, request)

    with serving(reply) as server:
        code, error, took = press(lambda: method in asked, number, tmp_path / "bosz", names, server.url)
    assert (code, error) == (
        75,
        f"error: stopped after 0 of {len(NODES)} files; run the same command again, it goes on where it "
        "stopped\n",
    )
    assert took < 25


def test_ctrl_c_ends_a_download_that_waits_for_a_connection(tmp_path, names):
    with swallowing() as mirror:
        folder = tmp_path / "bosz"
        code, error, took = press(folder.exists, signal.SIGINT, folder, names, mirror)
    assert code == 75
    assert error.count("\n") == 1
    assert took < 25


def test_a_file_of_a_local_mirror_that_is_far_too_large_is_not_copied(tmp_path, names, capsys):
    """Ten GB, as `ls` has it; on the disk it takes nothing."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with (mirror / NODES[0].name).open("wb") as file:
        file.truncate(10 * 10**9)
    code, error = run(str(mirror), tmp_path, names, capsys, retries=0)
    assert code == 66
    assert f"1 of {len(NODES)} files cannot be had" in error
    assert f"{NODES[0].url(str(mirror))}: it has more than {most_bytes(NODES[0]):,} bytes" in error
    assert not list((tmp_path / "bosz").glob("*.part"))


@pytest.mark.parametrize("kind", ["part", "whole"])
def test_a_full_disk_is_74(tmp_path, names, capsys, monkeypatch, kind):
    """Either while bytes come, or, as on NFS and with quotas, when they are synced at the end."""
    refused = OSError(28, "No space left on device")

    def full(*_):
        raise refused

    if kind == "part":
        monkeypatch.setattr("crlb.bosz.part.check_size", full)  # between a read and its write
    else:
        monkeypatch.setattr(os, "fsync", full)
    with serving(honest(PACKED)) as server:
        code, error = run(server.url, tmp_path, names, capsys, retries=0)
    assert code == 74
    assert "No space left on device; free some space and start again" in error
    assert error.count("\n") == 1
    assert not [path for path in (tmp_path / "bosz").iterdir() if path.name.endswith(".gz")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_locked_folder_is_73(tmp_path, names, capsys, is_there):
    folder = tmp_path / "locked" / "bosz"
    (folder if is_there else folder.parent).mkdir(parents=True)
    with serving(honest(PACKED)) as server:
        run(server.url, tmp_path, names, capsys, retries=0)  # imports what the stranger may not read
        names.chmod(0o644)
        with stranger(folder.parent), pytest.raises(SystemExit) as ended:
            run_cli(Download(folder=folder, list=names, mirror=server.url))
    assert ended.value.code == 73
    assert "bosz: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    "mirror", ["http://[bad", "http://host:x/", "http:///x", "ftp://host/", "https://h:99999"]
)
def test_a_mirror_that_is_no_address_is_refused(tmp_path, names, capsys, mirror):
    code, error = run(mirror, tmp_path, names, capsys)
    assert code == 2
    assert "mirror must be" in error
