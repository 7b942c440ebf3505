"""One training step over all local devices: every device holds the state and takes its share of the batch."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from crlb.errors import UsageError

AXIS = "device"
Tree = TypeVar("Tree")
Metrics = dict[str, Array]


def parallel_step(
    step: Callable[..., tuple[Tree, Metrics]], devices: Sequence[jax.Device]
) -> Callable[..., tuple[Tree, Metrics]]:
    """The step ``step(state, source, scalers, index)``, each device taking its part of ``index``.

    State and index carry a leading device axis (``replicate``, ``shard``), and so does what comes back; the
    state passed in is consumed. Source and scalers are as ever, read by all devices (``share``). Inside,
    ``average`` makes gradients and metrics those of the whole batch.
    """
    in_axes = (0, None, None, 0)
    mapped = jax.pmap(step, axis_name=AXIS, devices=devices, in_axes=in_axes, donate_argnums=0)
    # Virtual CPU devices share one thread pool and can starve each other when two steps are in flight.
    block = len(devices) > 1 and devices[0].platform == "cpu"

    def run(state: Tree, *args: Any) -> tuple[Tree, Metrics]:
        out = mapped(state, *args)
        return jax.block_until_ready(out) if block else out

    return run


def average(tree: Tree, axis: str | None) -> Tree:
    """The mean over devices of every leaf; the tree itself where there is no device axis."""
    return tree if axis is None else jax.lax.pmean(tree, axis)


def replicate(tree: Tree, devices: Sequence[jax.Device]) -> Tree:
    """A copy on every device, along a new first axis."""
    # The sharding the step gives back: another one would have it compiled a second time.
    place = NamedSharding(Mesh(np.array(devices), AXIS), PartitionSpec(AXIS))
    return jax.tree.map(
        lambda leaf: jax.device_put(np.repeat(np.asarray(leaf)[None], len(devices), axis=0), place), tree
    )


def share(tree: Tree, devices: Sequence[jax.Device]) -> Tree:
    """The same tree with its arrays on every device, so that no step has to send them."""
    return jax.device_put(tree, NamedSharding(Mesh(np.array(devices), AXIS), PartitionSpec()))


def first(tree: Tree) -> Tree:
    """The first device's copy of a replicated tree."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def shard(index: Int[np.ndarray, " batch"], n_devices: int) -> Int[np.ndarray, "n_devices share"]:
    """The indices of a batch, split evenly over the devices in order.

    Raises:
        UsageError: the batch does not split evenly.
    """
    if len(index) % n_devices:
        raise UsageError(
            f"train.batch_size must be a multiple of the {n_devices} devices, got {len(index)}; "
            f"{len(index) - len(index) % n_devices or n_devices} would do"
        )
    return index.reshape(n_devices, -1)
