"""One training step over many devices and processes, every device taking its share of the batch.

Two ways, the same numbers: `pmap`, where every array of the state carries a leading device axis, and `jit`
over a mesh (`NamedSharding`), where arrays are global. jax's multi-controller runtime connects processes.
"""

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import zip_longest
from typing import Literal, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from crlb.errors import UsageError

AXIS = "device"
FIRST_PORT, PORTS = 61440, 4096  # of coordinators under Slurm, as in jax
JOIN_S = 120  # that the processes of a run wait for each other to start
Mode = Literal["pmap", "jit"]
Tree = TypeVar("Tree")
Metrics = dict[str, Array]
StepFunction = Callable[..., tuple[Tree, Metrics]]


@dataclass(frozen=True)
class Layout:
    """Where training runs: these devices of all processes, driven by `pmap` or by `jit`."""

    mode: Mode
    devices: tuple[jax.Device, ...]

    @property
    def axis(self) -> str | None:
        """The axis a step averages over; under `jit` the mean of a batch is the mean of the whole batch."""
        return AXIS if self.mode == "pmap" else None

    @property
    def mesh(self) -> Mesh:
        """The devices along one axis."""
        return Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))

    def __str__(self) -> str:
        processes = len({device.process_index for device in self.devices})
        kind = f"{len(self.devices)} x {self.devices[0].device_kind}, {self.mode}"
        return kind if processes == 1 else f"{kind}, {processes} processes"

    def compile(self, step: StepFunction[Tree]) -> StepFunction[Tree]:
        """The step ``step(state, source, scalers, batch)`` over the devices; the state passed in is consumed.

        State, source and scalers have been placed by ``replicate`` and ``share``, the batch by ``spread``.
        """
        if self.mode == "pmap":
            in_axes = (0, None, None, 0)
            mapped = jax.pmap(step, axis_name=AXIS, devices=self.devices, in_axes=in_axes, donate_argnums=0)
        else:
            everywhere = NamedSharding(self.mesh, PartitionSpec())
            mapped = jax.jit(step, donate_argnums=0, out_shardings=everywhere)
        return self._one_at_a_time(mapped)

    def _one_at_a_time(self, step: StepFunction[Tree]) -> StepFunction[Tree]:
        """Virtual CPU devices share a thread pool and can starve each other when two steps are in flight."""
        if len(self.devices) == 1 or self.devices[0].platform != "cpu":
            return step
        return lambda *args: jax.block_until_ready(step(*args))

    def replicate(self, tree: Tree) -> Tree:
        """The state on every device, as the step gives it back: another placing would compile it twice."""
        if self.mode == "jit":
            return self.share(tree)
        place = NamedSharding(self.mesh, PartitionSpec(AXIS))
        n = len(self.devices)
        copies: Tree = jax.tree.map(
            lambda leaf: jax.device_put(np.repeat(np.asarray(leaf)[None], n, axis=0), place), tree
        )
        return copies

    def share(self, tree: Tree) -> Tree:
        """The tree with its arrays on every device, so that no step has to send them."""
        return _put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def part(self, batch_size: int) -> tuple[int, int]:
        """The places of a batch that the devices of this process take, (first, after the last)."""
        share = batch_size // len(self.devices)
        mine = [i for i, device in enumerate(self.devices) if device.process_index == jax.process_index()]
        return mine[0] * share, (mine[-1] + 1) * share

    def spread(self, tree: Tree) -> Tree:
        """Arrays along a batch, or this process's ``part`` of it, each device taking its share in order."""
        place = NamedSharding(self.mesh, PartitionSpec(AXIS))
        if self.mode == "jit":
            return _put(tree, place)
        n = len(self.devices)
        shares = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(n, -1, *leaf.shape[1:]), tree)
        spread: Tree = jax.device_put(shares, place)
        return spread

    def fetch(self, tree: Tree) -> Tree:
        """One copy, on the host, of what every device holds alike: the state, or a step's metrics."""
        local: Tree = jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)
        if self.mode == "pmap":
            local = jax.tree.map(lambda leaf: leaf[0], local)
        return local

    def check(self, batch_size: int, accumulate: int = 1) -> None:
        """Refuses a batch that does not split evenly over devices and pieces.

        Raises:
            UsageError: it does not; the message has a size that would do.
        """
        parts = len(self.devices) * accumulate
        if batch_size % parts:
            pieces = f" times train.accumulate = {accumulate}" if accumulate > 1 else ""
            raise UsageError(
                f"train.batch_size must be a multiple of the {len(self.devices)} devices{pieces}, "
                f"found {batch_size}; {batch_size - batch_size % parts or parts} would do"
            )


def make_layout(mode: Mode | None = None, devices: Sequence[jax.Device] | None = None) -> Layout:
    """The layout over these devices (default: all of all processes).

    Args:
        mode: default: `pmap` on several devices of one process, else `jit`.
        devices: the devices to use.

    Raises:
        UsageError: `pmap` in several processes.
    """
    devices = tuple(jax.devices() if devices is None else devices)
    several = len({device.process_index for device in devices}) > 1
    if mode is None:
        mode = "pmap" if len(devices) > 1 and not several else "jit"
    if mode == "pmap" and several:
        raise UsageError("--parallel pmap drives the devices of one process; use --parallel jit with several")
    return Layout(mode, devices)


def average(tree: Tree, axis: str | None) -> Tree:
    """The mean over devices of every leaf; the tree itself where there is no device axis."""
    return tree if axis is None else jax.lax.pmean(tree, axis)


def connect(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Joins the processes of a run: as told, or as Slurm says where it started several tasks.

    Args:
        coordinator: host:port of process 0.
        processes: how many there are.
        process: number of this one, from 0.

    Raises:
        UsageError: only some of the three are given.
    """
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise UsageError("--coordinator, --processes and --process belong together; give all three or none")
    if all(given):
        if processes != 1:
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                initialization_timeout=JOIN_S,
                coordinator_bind_address=coordinator,  # jax would listen on all interfaces
            )
    elif int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        address = slurm_coordinator(os.environ)
        jax.distributed.initialize(address, coordinator_bind_address=bind_address(address, os.environ))


def slurm_coordinator(environment: Mapping[str, str]) -> str | None:
    """Returns host:port of the first task, as jax would choose it; None where it has to look elsewhere."""
    first = re.match(r"([^,\[]+)(?:\[(\d+))?", environment.get("SLURM_STEP_NODELIST", ""))
    job = environment.get("SLURM_JOB_ID", "")
    if "JAX_COORDINATOR_ADDRESS" in environment or first is None or not job.isdecimal():
        return environment.get("JAX_COORDINATOR_ADDRESS")
    port = environment.get("JAX_COORDINATOR_PORT", FIRST_PORT + int(job) % PORTS)
    return f"{first[1]}{first[2] or ''}:{port}"


def bind_address(address: str | None, environment: Mapping[str, str]) -> str | None:
    """Returns where a coordinator listens: where it is reached. None: on all interfaces, as jax has it.

    That is needed where a host knows itself by an address that leads to no other (127.0.1.1).

    Args:
        address: host:port of the coordinator.
        environment: of the process; says how many nodes there are, and perhaps another answer.
    """
    if address is None or "JAX_COORDINATOR_BIND_ADDRESS" in environment:
        return environment.get("JAX_COORDINATOR_BIND_ADDRESS")
    try:
        found = socket.getaddrinfo(address.rpartition(":")[0].strip("[]"), None)[0][4][0]
    except OSError:
        return None  # jax will say that the host is not known
    is_alone = environment.get("SLURM_STEP_NUM_NODES", "1") == "1"
    return address if is_alone or not ip_address(found).is_loopback else None


def is_first() -> bool:
    """Whether this process writes the files of the run."""
    return jax.process_index() == 0


def meet(where: str) -> None:
    """Returns once all processes have come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(where)


def agree(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The values of process 0, in every process."""
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(values))


def check_alike(lines: Sequence[str]) -> None:
    """Refuses processes that were started with something else than the first one; all of them call this.

    Args:
        lines: what must be the same in all of them, in words.

    Raises:
        UsageError: in every process, naming one that differs, and the line.
    """
    for number, other in enumerate(_gathered("\n".join(lines))):
        for mine, its in zip_longest(lines, other.split("\n"), fillvalue="nothing"):
            if mine != its:
                raise UsageError(
                    f"the processes of a run must have the same config, files, devices and run directory, "
                    f"but process {jax.process_index()} has {mine.strip()} and process {number} {its.strip()}"
                )


def _gathered(text: str) -> list[str]:
    """The text of every process."""
    if jax.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    data = np.frombuffer(text.encode(), np.uint8)
    sizes = np.ravel(multihost_utils.process_allgather(np.array(len(data))))
    padded = np.pad(data, (0, int(sizes.max()) - len(data)))
    rows = np.asarray(multihost_utils.process_allgather(padded))
    return [bytes(row[:size]).decode() for row, size in zip(rows, sizes, strict=True)]


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all of them have to call this."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def _put(tree: Tree, place: NamedSharding) -> Tree:
    """The tree on the devices; in several processes each gives what its own devices hold."""
    if jax.process_count() == 1:
        whole: Tree = jax.device_put(tree, place)
    else:
        whole = jax.tree.map(
            lambda leaf: jax.make_array_from_process_local_data(place, np.asarray(leaf)), tree
        )
    return whole
