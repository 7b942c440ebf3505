"""Processes and memory where the system has /proc (Linux) and where it has none (macOS)."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from crlb.files import memory, process
from crlb.files.process import born, cores, is_same, namespace


@pytest.fixture(params=["/proc", "no /proc"])
def system(request, monkeypatch, tmp_path) -> str:
    if request.param == "/proc" and not Path("/proc").is_dir():
        pytest.skip("this system has no /proc")
    if request.param == "no /proc":
        monkeypatch.setattr(process, "PROC", tmp_path / "none")
        monkeypatch.setattr(memory, "PROC", tmp_path / "none")
    return request.param


@pytest.fixture
def sleeper():
    """Another process."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def test_a_process_is_told_from_another_with_its_number(system, sleeper):
    start = born(sleeper.pid)
    assert start == born(sleeper.pid)
    assert start != born(os.getpid())
    assert is_same(sleeper.pid, start)
    assert is_same(sleeper.pid, None)
    assert not is_same(sleeper.pid, start - 1000)


def test_a_process_that_was_killed_is_gone_though_nobody_waited_for_it(system, sleeper):
    start = born(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert born(sleeper.pid) is None
    assert not is_same(sleeper.pid, start)
    sleeper.communicate()
    assert born(sleeper.pid) is None
    assert not is_same(sleeper.pid, start)


def test_a_process_that_is_kept_secret_counts_as_the_same(monkeypatch, tmp_path, sleeper):
    monkeypatch.setattr(process, "PROC", tmp_path)  # no process in it but none of its files either
    assert is_same(sleeper.pid, 7)


def test_the_space_of_process_numbers_has_a_name_on_linux_only(system):
    assert bool(namespace()) == (system == "/proc")


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    if hasattr(os, "sched_getaffinity"):
        assert cores() == len(os.sched_getaffinity(0))
        monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == os.cpu_count()


def test_free_memory_is_no_more_than_the_machine_has(system):
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total


def test_a_limit_of_addresses_leaves_what_is_not_taken_or_itself(system, monkeypatch):
    taken = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda which: (taken + 2**30, 2**63))
    left = memory._of_limit()
    assert left == pytest.approx(2**30 if system == "/proc" else taken + 2**30, abs=2**28)
