"""Processes side by side: order, devices, logs, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crlb.errors import DiskError, OutputError, UsageError
from specvit_jax.runs.processes import Job, Processes, shares, visible_devices

# Notes its beginning and its end with the devices that it sees.
WORK = """
import json, os, sys, time
def note(what):
    with open(sys.argv[1], "a") as file:
        file.write(json.dumps([what, sys.argv[2], os.environ.get("CUDA_VISIBLE_DEVICES")]) + "\\n")
note("begin")
print("out", sys.argv[2]); print("err", sys.argv[2], file=sys.stderr)
time.sleep(float(sys.argv[3]))
note("end")
sys.exit(int(sys.argv[4]))
"""


def job(folder: Path, name: str, seconds: float, code: int = 0) -> Job:
    arguments = (str(folder / "notes"), name, str(seconds), str(code))
    return Job(name, f"job {name}", (sys.executable, "-c", WORK, *arguments), folder / "logs" / name)


def notes(folder: Path) -> list[tuple[str, str, str | None]]:
    return [tuple(json.loads(line)) for line in (folder / "notes").read_text().splitlines()]


# --- devices


@pytest.mark.parametrize(
    ("environment", "devices"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, ("0", "1")),
        ({"CUDA_VISIBLE_DEVICES": "3, GPU-8932f937"}, ("3", "GPU-8932f937")),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "JAX_PLATFORMS": "cpu"}, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "JAX_PLATFORMS": "cuda,cpu"}, ("0", "1")),
    ],
)
def test_devices_are_those_that_the_environment_lets_jax_see(environment, devices):
    assert visible_devices(environment) == devices


@pytest.mark.parametrize(("script", "devices"), [("echo 0; echo 1", ("0", "1")), ("echo broken; exit 9", ())])
def test_devices_are_those_of_the_machine_where_the_environment_names_none(
    tmp_path, monkeypatch, script, devices
):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert visible_devices({}) == devices


def test_without_the_program_of_the_driver_there_are_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices({}) == ()


@pytest.mark.parametrize(
    ("workers", "devices", "dealt"),
    [
        (None, None, [("0",), ("1",), ("2",)]),
        (2, None, [("0", "2"), ("1",)]),
        (1, None, [("0", "1", "2")]),
        (None, ("2", "0"), [("2",), ("0",)]),
        (1, ("1",), [("1",)]),
    ],
)
def test_every_device_is_dealt_out_once(workers, devices, dealt):
    assert shares(workers, devices, ("0", "1", "2")) == dealt


@pytest.mark.parametrize(("workers", "dealt"), [(None, [()]), (3, [(), (), ()])])
def test_without_devices_processes_share_what_there_is(workers, dealt):
    assert shares(workers, None, ()) == dealt


@pytest.mark.parametrize(
    ("workers", "devices", "there", "said"),
    [
        (0, None, (), "--workers must be at least 1, found 0"),
        (-2, None, ("0",), "--workers must be at least 1, found -2"),
        (3, None, ("0", "1"), "--workers must be at most 2, one for each device, found 3"),
        (None, ("0", "7"), ("0", "1"), "--devices must be among 0, 1, found '7'; leave it out"),
        (None, ("0",), (), "--devices must not be given where no GPU is found, found '0'"),
        (None, ("1", "1"), ("0", "1"), "--devices must name each device once, found 1 1"),
    ],
)
def test_devices_and_workers_that_cannot_be_are_refused(workers, devices, there, said):
    with pytest.raises(UsageError, match=said):
        shares(workers, devices, there)


# --- the queue


def test_no_two_processes_have_a_device_at_once_and_all_end(tmp_path, capsys):
    seconds = [0.4, 0.1, 0.3, 0.1, 0.2, 0.1]
    jobs = [job(tmp_path, str(i), wait, code=i) for i, wait in enumerate(seconds)]
    with Processes() as processes:
        codes = {ended.name: code for ended, code in processes.run(jobs, [("3",), ("5",)])}
    assert codes == {str(i): i for i in range(6)}
    running: dict[str, str] = {}
    most = 0
    for what, name, device in notes(tmp_path):
        if what == "begin":
            assert device not in running
            running[device] = name
        else:
            assert running.pop(device) == name
        most = max(most, len(running))
    assert most == 2
    assert {device for _, _, device in notes(tmp_path)} == {"3", "5"}
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" on ")[0] for line in said] == [f"job {i}" for i in range(6)]  # in order
    assert said[0] == f"job 0 on device 3: {tmp_path}/logs/0"


def test_lines_of_each_go_into_its_own_log_and_are_kept_by_a_second_start(tmp_path):
    for _ in range(2):
        with Processes() as processes:
            list(processes.run([job(tmp_path, name, 0) for name in "ab"], [(), ()]))
    for name in "ab":
        lines = (tmp_path / "logs" / name).read_text().split("\n")
        assert sorted(filter(None, lines)) == sorted([f"out {name}", f"err {name}"] * 2)


def test_a_log_that_cannot_be_written_ends_what_runs(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "b").mkdir()
    begin = time.monotonic()
    with pytest.raises((OutputError, DiskError), match="logs/b"), Processes() as processes:
        list(processes.run([job(tmp_path, "a", 280), job(tmp_path, "b", 0)], [(), ()]))
    assert time.monotonic() - begin < 140
    assert all(process.poll() is not None for process in processes.running)


def test_to_stop_begins_nothing_more_and_ends_what_runs(tmp_path):
    jobs = [job(tmp_path, "a", 0), job(tmp_path, "b", 30), job(tmp_path, "c", 0)]
    codes = {}
    with Processes() as processes:
        for ended, code in processes.run(jobs, [("0",), ("1",)]):
            codes[ended.name] = code
            processes.stop()
    assert codes == {"a": 0, "b": -signal.SIGTERM}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_all_processes_once(tmp_path, number):
    wait = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: open(sys.argv[1], 'a').write('x'))\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "end = time.monotonic() + 120\n"
        "while time.monotonic() < end and not pathlib.Path(sys.argv[1]).read_text(): time.sleep(0.02)\n"
        "time.sleep(1.5 * sys.argv[1].endswith('b')); sys.exit(75)\n"
    )
    code = f"""
import sys
from specvit_jax.runs.processes import Job, Processes
jobs = [Job(n, n, (sys.executable, "-c", {wait!r}, {str(tmp_path)!r} + "/" + n)) for n in "abc"]
with Processes() as processes:
    codes = []
    for job, code in processes.run(jobs, [(), ()]):
        codes.append((job.name, code))
        processes.stop()  # a second signal would end the other one before it has saved
    print(codes, processes.received)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not all((tmp_path / name).exists() for name in "ab"):
        assert time.monotonic() < end
        time.sleep(0.02)
    parent.send_signal(number)
    said = parent.communicate(timeout=120)[0]
    assert said == f"[('a', 75), ('b', 75)] {int(number)}\n"
    assert [(tmp_path / name).read_text() for name in "ab"] == ["x", "x"]
    assert not (tmp_path / "c").exists()
