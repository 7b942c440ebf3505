"""Whether a batch fits into memory, asked before anything is compiled."""

import jax

from crlb.errors import UsageError
from crlb.files.memory import GIB, free_memory
from specvit_jax.network.memory import memory
from specvit_jax.settings.config import Config
from specvit_jax.training.parallel import Layout

# What is compiled takes 0.7 (cnn) to 1.6 (vit) times the estimate; so far below it everything fits.
SURELY = 1.5


def check_room(config: Config, layout: Layout) -> None:
    """Refuses a batch that takes more memory than there is, by the estimate of `specvit info`.

    The estimate is taken at its lowest, so that nothing that fits is refused.

    Raises:
        UsageError: with a batch that would fit, if one does.
    """
    train, parts = config.train, len(layout.devices) * config.train.accumulate
    taken, room = memory(config.model, train.batch_size), room_per_device(layout)
    each = taken.activations_of_a_batch / train.batch_size / SURELY
    if config.model.dtype == "bfloat16":
        each /= 2
    needed = taken.training_state + each * train.batch_size / parts
    if needed <= room:
        return
    fits = max(int((room - taken.training_state) / each), 0) * parts
    way_out = f"at most {fits} fit, more with a larger train.accumulate" if fits else "none fits"
    raise UsageError(
        f"train.batch_size = {train.batch_size} takes at least {needed / GIB:.3g} GiB on each device, where "
        f"{room / GIB:.3g} GiB are free; {way_out}"
    )


def room_per_device(layout: Layout) -> float:
    """Bytes that one device has for a run; those that share the memory of the host share what is free."""
    device = layout.devices[0]
    stats = None if device.platform == "cpu" else device.memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    mine = sum(device.process_index == jax.process_index() for device in layout.devices)
    return float(free_memory() / max(mine, 1))
