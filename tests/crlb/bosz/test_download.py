"""Downloads from a local server that is slow, breaks off, fails and lies: only whole files remain."""

import gzip
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple

import pytest

from crlb.bosz import download as download_module
from crlb.bosz.download import HOLES, download, read_holes
from crlb.bosz.mirror import most_bytes
from crlb.bosz.names import make_node, select
from crlb.bosz.part import check_whole
from crlb.bosz.tries import Settings
from crlb.errors import DataError, DiskError, Interrupted, Locked, MissingInputError, OutputError, UsageError
from tests.crlb.bosz.file_server import fits, serving

FAST = Settings(retries=3, timeout_s=0.5, backoff_s=0.01)
PATIENT = Settings(retries=3, timeout_s=30.0, backoff_s=0.01)  # for a busy machine
BOX = {"T_eff": (5000.0, 5500.0), "log_g": (2.0, 2.0), "M_H": (-0.25, 0.0)}
NODES = select(2024, 5000, BOX | {"a_M": (0.0, 0.0), "C_M": (0.0, 0.0)})  # six
NODE = NODES[0]


def payload(seed: int, size: int = 200_000) -> bytes:
    """A gzip file of about `size` bytes; what the numbers mean does not matter to a download."""
    return gzip.compress(random.Random(seed).randbytes(size), 1, mtime=0)


@pytest.fixture
def server():
    with serving() as running:
        running.files = {node.path: payload(i) for i, node in enumerate(NODES)}
        yield running


def fetch(server, folder, nodes=(NODE,), **options):
    return download(list(nodes), folder, mirror=server.url, **({"settings": FAST} | options))


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != download_module.LOCK)


def test_all_files_arrive_over_several_connections(server, tmp_path):
    report = fetch(server, tmp_path, NODES, connections=3)
    assert sorted(report.fetched) == sorted(node.name for node in NODES)
    assert names(tmp_path) == sorted(node.name for node in NODES)
    for node in NODES:
        assert (tmp_path / node.name).read_bytes() == server.files[node.path]


def test_files_that_are_there_are_not_asked_for(server, tmp_path):
    fetch(server, tmp_path, NODES[:2])
    before = len(server.requests)
    report = fetch(server, tmp_path, NODES)
    assert len(server.requests) - before == len(NODES) - 2
    assert sorted(report.present) == sorted(node.name for node in NODES[:2])


def test_files_that_were_unpacked_since_are_not_fetched_again(server, tmp_path):
    fetch(server, tmp_path, NODES[:2])
    for path in tmp_path.glob("*.txt.gz"):
        path.rename(path.with_suffix(""))
    report = fetch(server, tmp_path, NODES)
    assert len(report.present) == 2
    assert not (set(report.fetched) & {node.name for node in NODES[:2]})


def test_server_errors_are_tried_again(server, tmp_path):
    server.script[NODE.path] = [500, 503]
    assert fetch(server, tmp_path).fetched == [NODE.name]
    assert len(server.requests) == 3


def test_waits_between_tries_double(server, tmp_path):
    server.script[NODE.path] = [500, 500, 500]
    begun = time.monotonic()
    fetch(server, tmp_path, settings=Settings(retries=3, timeout_s=1.0, backoff_s=0.05))
    assert time.monotonic() - begun >= 0.05 + 0.1 + 0.2


def test_a_dropped_connection_is_continued(server, tmp_path):
    server.script[NODE.path] = ["drop", "drop"]
    fetch(server, tmp_path)
    content = server.files[NODE.path]
    assert (tmp_path / NODE.name).read_bytes() == content
    half = len(content) // 2
    assert server.ranges(NODE.path)[:2] == [None, f"bytes={half}-"]
    assert sum(sent for *_, sent in server.requests) == len(content)
    assert names(tmp_path) == [NODE.name]


def test_a_silent_server_is_given_up_and_tried_again(server, tmp_path):
    server.script[NODE.path] = ["silent"]
    assert fetch(server, tmp_path, settings=Settings(2, 0.2, 0.01)).fetched == [NODE.name]


def test_what_fails_for_good_is_told_and_leaves_a_part_to_continue(server, tmp_path):
    server.script[NODE.path] = ["drop", 500, 500, 500]
    with pytest.raises(Interrupted, match=r"1 of 2 files .*500.*tried 4 times.*run the same command"):
        fetch(server, tmp_path, NODES[:2])
    assert names(tmp_path) == sorted([NODES[1].name, f"{NODE.name}.part", f"{NODE.name}.part.json"])
    fetch(server, tmp_path, NODES[:2])
    assert (tmp_path / NODE.name).read_bytes() == server.files[NODE.path]
    assert server.ranges(NODE.path)[-1].startswith("bytes=")


def test_forbidden_is_not_tried_again(server, tmp_path):
    server.script[NODE.path] = [403]
    with pytest.raises(MissingInputError, match=r"1 of 1 files cannot be had.*403.*--mirror"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("answer", "asked"), [(None, 1), ("anew", 1), ("naive", 2)])
def test_a_part_of_a_changed_file_is_never_glued(server, tmp_path, answer, asked):
    """FITS of equal length: no checksum would tell."""
    node = make_node(2017, {"T_eff": 5000.0, "log_g": 2.0}, 5000)
    server.files[node.path] = fits(9, b"1")
    server.script[node.path] = ["drop", 403]
    with pytest.raises(MissingInputError):
        fetch(server, tmp_path, [node])
    server.files[node.path] = fits(9, b"2")
    server.etags[node.path] = '"v2"'
    server.script[node.path] = [answer]
    fetch(server, tmp_path, [node])
    assert (tmp_path / node.name).read_bytes() == server.files[node.path]
    assert len(server.ranges(node.path)) == 2 + asked


def test_a_part_damaged_on_the_disk_is_noticed_and_fetched_anew(server, tmp_path):
    server.script[NODE.path] = ["drop", 403]
    with pytest.raises(MissingInputError):
        fetch(server, tmp_path)
    part = tmp_path / f"{NODE.name}.part"
    part.write_bytes(bytes(part.stat().st_size))
    fetch(server, tmp_path)
    assert (tmp_path / NODE.name).read_bytes() == server.files[NODE.path]


def test_a_part_without_its_note_is_begun_anew(server, tmp_path):
    (tmp_path / f"{NODE.name}.part").write_bytes(server.files[NODE.path][:1000])
    fetch(server, tmp_path)
    assert server.ranges(NODE.path) == [None]
    assert (tmp_path / NODE.name).read_bytes() == server.files[NODE.path]


@pytest.mark.parametrize("content", [payload(0)[:-100], b"<html>busy</html>", b""])
def test_what_is_not_whole_never_gets_the_name(server, tmp_path, content):
    """The server announces the size of the broken content, so only its format tells."""
    server.files[NODE.path] = content
    with pytest.raises(Interrupted, match=r"truncated or damaged|no FITS"):
        fetch(server, tmp_path)
    assert NODE.name not in names(tmp_path)


def test_whole_is_checked_by_format(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(fits(2))
    check_whole(path, "a.fits")
    path.write_bytes(fits(2)[:-2880])
    with pytest.raises(DataError, match="announces 5760 bytes of data, 2880 are there"):
        check_whole(path, "a.fits")
    for content in (b"SIMPLE" + bytes(2880), b"", bytes(2880)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no FITS file"):
            check_whole(path, "a.fits")
    with pytest.raises(DataError, match="truncated or damaged"):
        check_whole(path, "a.asc.bz2")


def test_absent_files_are_holes_told_once(server, tmp_path):
    del server.files[NODE.path]
    report = fetch(server, tmp_path, NODES)
    assert report.holes == [NODE.name]
    assert read_holes(tmp_path) == {NODE.name}
    assert (tmp_path / HOLES).read_text().splitlines() == ["name,path", f"{NODE.name},{NODE.path}"]
    assert server.ranges(NODE.path) == [None]
    before = len(server.requests)
    assert fetch(server, tmp_path, NODES).holes == [NODE.name]
    assert len(server.requests) == before


def test_a_killed_download_resumes_and_ends_with_the_same_bytes(server, tmp_path):
    for node in NODES[:2]:
        server.script[node.path] = ["slow"]
    code = (
        "import sys; from crlb.bosz.download import download; from crlb.bosz.names import parse_name\n"
        "download([parse_name(name) for name in sys.argv[3:]], sys.argv[1], mirror=sys.argv[2])"
    )
    arguments = [str(tmp_path), server.url, *(node.name for node in NODES[:2])]
    running = subprocess.Popen([sys.executable, "-c", code, *arguments])
    parts = [tmp_path / f"{node.name}.part" for node in NODES[:2]]
    deadline = time.monotonic() + 200
    while not all(part.exists() and part.stat().st_size > 10_000 for part in parts):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not any((tmp_path / node.name).exists() for node in NODES[:2])
    fetch(server, tmp_path, NODES[:2])
    for node in NODES[:2]:
        assert (tmp_path / node.name).read_bytes() == server.files[node.path]
        assert server.ranges(node.path)[1].startswith("bytes=")
    assert names(tmp_path) == sorted(node.name for node in NODES[:2])


@pytest.fixture
def ctrl_c():
    """SIGINT interrupts, also where the tests run in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_the_parts_and_says_how_to_go_on(server, tmp_path):
    server.script[NODE.path] = ["slow"]
    part = tmp_path / f"{NODE.name}.part"

    def press():
        while not (part.exists() and part.stat().st_size > 10_000):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    with pytest.raises(Interrupted, match="run the same command again"):
        fetch(server, tmp_path, NODES, connections=1, settings=PATIENT)
    thread.join()
    assert part.exists()
    fetch(server, tmp_path, NODES)
    assert (tmp_path / NODE.name).read_bytes() == server.files[NODE.path]


@pytest.mark.parametrize("layout", ["archive", "flat"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_local_mirror_is_copied_and_checked(tmp_path, layout, scheme):
    mirror, folder = tmp_path / "mirror", tmp_path / "here"
    folder.mkdir()
    for i, node in enumerate(NODES[:3]):
        path = mirror / (node.path if layout == "archive" else node.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload(i) if i else b"broken")
    with pytest.raises(Interrupted, match="truncated or damaged"):
        download(NODES, folder, mirror=f"{scheme}{mirror}", settings=FAST)
    assert names(folder) == sorted([HOLES, *(node.name for node in NODES[1:3])])
    assert read_holes(folder) == {node.name for node in NODES[3:]}


def test_a_full_disk_is_told_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(50_100_000))
    with pytest.raises(OutputError, match=r"has 0.1 GB free, but 6 files of about 0.20 MB need"):
        fetch(server, tmp_path, NODES)
    assert server.requests == []


def test_a_disk_that_fills_meanwhile_is_the_disks_error(server, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(DiskError, match=r"cannot write .*\.part: File too large"):
            fetch(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_is_far_too_large_is_not_fetched(server, tmp_path):
    server.files[NODE.path] = bytes(most_bytes(NODE) + 1)
    with pytest.raises(MissingInputError, match=r"it has more than .* bytes"):
        fetch(server, tmp_path)
    assert names(tmp_path) == []


def test_unusable_arguments_are_refused(server, tmp_path):
    with pytest.raises(OutputError, match="not an existing folder"):
        fetch(server, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="connections must be at least 1"):
        fetch(server, tmp_path, connections=0)
    with pytest.raises(UsageError, match="mirror must be"):
        download([NODE], tmp_path, mirror="nowhere")
    with pytest.raises(UsageError, match="timeout_s positive"):
        Settings(timeout_s=0.0)
    with pytest.raises(UsageError, match="min_rate_Bps must be positive and finite, found nan"):
        Settings(min_rate_Bps=float("nan"))


def test_two_downloads_do_not_share_a_folder(server, tmp_path):
    with download_module._lock(tmp_path), pytest.raises(Locked, match="another download is writing"):
        fetch(server, tmp_path)


def test_a_server_that_is_not_there_is_told(tmp_path):
    with serving() as server:
        url = server.url
    with pytest.raises(Interrupted, match="Connection refused"):
        download([NODE], tmp_path, mirror=url, settings=Settings(1, 0.5, 0.01))


def test_2017_fits_paths_are_asked_for_as_the_archive_has_them(tmp_path):
    node = make_node(2017, {"T_eff": 5000.0, "log_g": 2.0, "a_M": 0.25}, 5000)
    with serving() as server:
        server.files[node.path] = fits(1)
        assert fetch(server, tmp_path, [node]).fetched == [node.name]
