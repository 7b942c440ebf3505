"""One writer per run directory, with real processes."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from crlb.errors import DiskError, Locked
from specvit_jax.runs import lock
from specvit_jax.runs.lock import RunLock, check_free, owner_of

HOLD = """
import sys
from specvit_jax.runs.lock import RunLock
from crlb.errors import Locked
print("ready", flush=True)
sys.stdin.readline()
try:
    lock = RunLock(sys.argv[1]).acquire()
except Locked as error:
    print("refused", flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
    lock.release()
"""


def hold(folder) -> subprocess.Popen:
    """A process that tries to take the lock at the first line it reads and ends at the second."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def send_off(*processes: subprocess.Popen) -> list[str]:
    """Lets processes that stand ready try to take the lock all at once; what each then says."""
    assert {process.stdout.readline() for process in processes} == {"ready\n"}
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.stdout.readline().strip() for process in processes]


def pretend(folder, **changes) -> None:
    """Changes what the lock of a folder says about its owner."""
    file = folder / "lock.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def elsewhere(tmp_path):
    """A folder locked by a process on another machine."""
    RunLock(tmp_path)._create()
    pretend(tmp_path, host="node17", pid=4242)
    return tmp_path


def test_one_holds_it_until_it_is_released(tmp_path):
    with RunLock(tmp_path):
        assert owner_of(tmp_path).pid == os.getpid()
        with pytest.raises(Locked, match=rf"process {os.getpid()} on .* since .*heartbeat \d s ago; wait"):
            RunLock(tmp_path).acquire()
    assert owner_of(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_an_exception_releases_it(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        1 / 0  # noqa: B018
    assert owner_of(tmp_path) is None


@pytest.mark.parametrize("start", ["free", "dead owner"])
def test_of_racing_processes_exactly_one_wins(tmp_path, start):
    if start == "dead owner":
        RunLock(tmp_path)._create()
        pretend(tmp_path, born=1)
    racing = [hold(tmp_path) for _ in range(4)]
    said = sorted(send_off(*racing))
    for process in racing:
        process.communicate("\n")
    assert said == ["held", "refused", "refused", "refused"]
    assert owner_of(tmp_path) is None


def test_without_flock_the_one_who_creates_the_file_has_the_lock(elsewhere, monkeypatch):
    def no_flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_flock)
    pretend(elsewhere, heartbeat=0.0)  # dead when looked at, but another process was quicker to replace it
    with pytest.raises(Locked, match="this very moment"):
        RunLock(elsewhere)._create()
    with RunLock(elsewhere):
        pass


def test_a_killed_owner_on_this_machine_is_replaced_at_once(tmp_path, capfd):
    process = hold(tmp_path)
    assert send_off(process) == ["held"]
    with pytest.raises(Locked, match=f"process {process.pid} "):
        check_free(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but a zombie still
    with RunLock(tmp_path):
        assert owner_of(tmp_path).pid == os.getpid()
    assert f"lock taken over from process {process.pid}" in capfd.readouterr().err
    process.communicate()


def test_another_process_with_the_dead_owners_number_does_not_hold_it(tmp_path):
    RunLock(tmp_path)._create()
    pretend(tmp_path, born=owner_of(tmp_path).born - 1)
    check_free(tmp_path)


def test_a_living_owner_elsewhere_is_respected(elsewhere):
    pretend(elsewhere, heartbeat=time.time() - 100)
    with pytest.raises(Locked, match=r"process 4242 on node17 .* 100 s ago; wait for it, or 120 s"):
        RunLock(elsewhere).acquire()


def test_an_owner_elsewhere_not_heard_of_for_two_minutes_is_replaced(elsewhere, capsys):
    pretend(elsewhere, heartbeat=time.time() - 130)
    with RunLock(elsewhere):
        assert owner_of(elsewhere).pid == os.getpid()
    said = capsys.readouterr().err
    assert "taken over from process 4242 on node17" in said
    assert said.count("\n") == 1


def test_a_container_of_the_same_name_is_another_machine(tmp_path):
    RunLock(tmp_path)._create()
    pretend(tmp_path, namespace="pid:[1]", pid=2**22 + 1)  # no such process here
    with pytest.raises(Locked):
        check_free(tmp_path)


def test_a_half_written_lock_counts_by_its_age(tmp_path):
    (tmp_path / "lock.json").write_text('{"host": "no')
    with pytest.raises(Locked, match="unknown host"):
        check_free(tmp_path)
    os.utime(tmp_path / "lock.json", (0, time.time() - 130))
    with RunLock(tmp_path):
        pass


def test_the_heartbeat_goes_on_and_notices_a_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.02)
    with RunLock(tmp_path) as held:
        first = owner_of(tmp_path).heartbeat
        wait_for(lambda: owner_of(tmp_path).heartbeat > first)
        held.check()
        with lock._alone(tmp_path):
            pretend(tmp_path, host="node17", pid=4242, token="other")
        wait_for(lambda: held.lost)
        with pytest.raises(Locked, match="taken over by process 4242 on node17"):
            held.check()
    assert owner_of(tmp_path).pid == 4242  # left to its new owner
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "lock.json"]


def test_a_lock_that_was_removed_is_noticed(tmp_path):
    held = RunLock(tmp_path).acquire()
    (tmp_path / "lock.json").unlink()
    held._refresh()
    with pytest.raises(Locked, match="removed"):
        held.check()
    held.release()


def test_a_lock_that_cannot_be_refreshed_stops_the_owner_before_others_take_it(tmp_path):
    with RunLock(tmp_path) as held:
        held.refreshed -= 121
        with pytest.raises(DiskError, match=r"lock\.json for 120 s"):
            held.check()


def test_a_clock_that_is_set_does_not_stop_a_run(tmp_path, monkeypatch):
    with RunLock(tmp_path) as held:
        now = time.time()
        for step in (200.0, -200.0):
            monkeypatch.setattr(time, "time", lambda step=step: now + step)
            held.check()


@pytest.mark.parametrize("ahead", [60.0, 3600.0, 1e9])
def test_a_heartbeat_from_the_future_counts_from_when_the_lock_was_written(elsewhere, ahead):
    pretend(elsewhere, heartbeat=time.time() + ahead)
    with pytest.raises(Locked, match=r"last heartbeat \d s ago"):
        check_free(elsewhere)
    os.utime(elsewhere / "lock.json", (0, time.time() - 130))
    check_free(elsewhere)
    os.utime(elsewhere / "lock.json", (0, time.time() + 3600))
    check_free(elsewhere)


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
