"""Memory that training takes, counted from the shapes of the network; the program's own comes on top."""

from dataclasses import dataclass

from crlb.files.records import Record
from specvit_jax.settings.config import ModelConfig


@dataclass(frozen=True)
class Memory(Record):
    """Bytes, float32."""

    parameters: int
    training_state: int  # parameters, gradient and the two moments of AdamW
    activations_of_a_batch: int


def memory(config: ModelConfig, batch_size: int) -> Memory:
    """What a network takes to train on batches of so many spectra."""
    from specvit_jax.network.networks import cost, parameter_counts  # which load jax

    total = sum(parameter_counts(config).values())
    return Memory(4 * total, 16 * total, batch_size * cost(config)["activation_bytes"])
