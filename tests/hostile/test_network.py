"""What listens, and where."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JOIN = "import sys; from specvit_jax.training.parallel import connect; connect(sys.argv[1], 2, 0)"


def listening(port: int) -> set[str]:
    """The addresses, as /proc has them, on which something listens on a port."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and int(address.rpartition(":")[2], 16) == port:
                found.add(address.rpartition(":")[0])
    return found


@pytest.mark.slow
def test_the_coordinator_listens_on_the_address_that_it_was_given_only():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", JOIN, f"127.0.0.1:{port}"], cwd=ROOT)
    try:
        end = time.monotonic() + 30
        while not (found := listening(port)):
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert all(address.endswith("0100007F") for address in found)  # 127.0.0.1, also as ::ffff:127.0.0.1
