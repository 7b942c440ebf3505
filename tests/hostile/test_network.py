"""What listens, and where."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jax._src.clusters.slurm_cluster import SlurmCluster  # the oracle

from specvit_jax.training.parallel import bind_address, slurm_coordinator

ROOT = Path(__file__).resolve().parents[2]
JOIN = """
import sys
from specvit_jax.training.parallel import connect
words = sys.argv[1:]
connect(words[0], int(words[1]), int(words[2])) if words else connect(None, None, None)
"""
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


def listening(port: int) -> set[str]:
    """The addresses, as /proc has them, on which something listens on a port."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and int(address.rpartition(":")[2], 16) == port:
                found.add(address.rpartition(":")[0])
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def addresses(port: int, environment: dict[str, str], *words: str) -> set[str]:
    """Where the first process of a run listens that waits for the second."""
    process = subprocess.Popen([sys.executable, "-c", JOIN, *words], cwd=ROOT, env=os.environ | environment)
    try:
        end = time.monotonic() + 200
        while not (found := listening(port)):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        return found
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("linux")
@pytest.mark.slow
def test_the_coordinator_listens_on_the_address_that_it_was_given_only():
    port = free_port()
    found = addresses(port, {}, f"127.0.0.1:{port}", "2", "0")
    assert all(address.endswith("0100007F") for address in found)  # 127.0.0.1, also as ::ffff:127.0.0.1


@pytest.mark.usefixtures("linux")
@pytest.mark.slow
def test_the_coordinator_under_slurm_listens_on_the_address_that_it_is_reached_by_only():
    port = free_port()
    found = addresses(port, SLURM | {"JAX_COORDINATOR_PORT": str(port)})
    assert all(address.endswith("0100007F") for address in found)


@pytest.mark.parametrize(
    "nodes",
    ["node001", "node001,host2", "node[001-0015],host2", "node[001,007-015],host2", "a-b[7,9]", "1.2.3.4"],
)
@pytest.mark.parametrize("job", ["7", "1234567"])
@pytest.mark.parametrize("port", [None, "5000"])
def test_the_coordinator_under_slurm_is_the_one_that_jax_would_choose(monkeypatch, nodes, job, port):
    environment = SLURM | {"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": job}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = SlurmCluster.get_coordinator_address(None, port)
    if port is not None:
        environment["JAX_COORDINATOR_PORT"] = port
    assert slurm_coordinator(environment) == expected


def test_what_jax_was_told_otherwise_stands():
    told = {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_COORDINATOR_BIND_ADDRESS": "b:2"}
    assert slurm_coordinator(SLURM | told) == "a:1"
    assert bind_address("a:1", SLURM | told) == "b:2"
    assert slurm_coordinator({}) is None
    assert bind_address(None, {}) is None


def test_a_host_that_other_nodes_cannot_reach_by_its_own_name_listens_everywhere():
    assert bind_address("localhost:5000", SLURM) == "localhost:5000"
    assert bind_address("localhost:5000", SLURM | {"SLURM_STEP_NUM_NODES": "2"}) is None
    assert bind_address("192.0.2.1:5000", SLURM | {"SLURM_STEP_NUM_NODES": "2"}) == "192.0.2.1:5000"
