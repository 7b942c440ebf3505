"""The same bits from run to run on GPUs: a flag of the compiler, which reads it once, as jax starts a device.

A program puts the flag into its environment before that (`ask_for_same_bits`); a training that wants it and
finds a GPU without it is refused (`check_same_bits`). CPUs give the same bits without a flag.
"""

from collections.abc import Mapping, MutableMapping
from pathlib import Path

from crlb.errors import UsageError

FLAGS = "XLA_FLAGS"
FLAG = "--xla_gpu_deterministic_ops"
ON = (FLAG, f"{FLAG}=true", f"{FLAG}=1")


def ask_for_same_bits(environment: MutableMapping[str, str]) -> None:
    """Adds the flag to those of the compiler; it has an effect in a process whose jax has no device yet.

    Args:
        environment: of the process.

    Raises:
        UsageError: the compiler's flags are in a file that does not hold it.
    """
    there = environment.get(FLAGS, "").strip()
    if is_asked(environment):
        return
    if _is_file(there):
        raise UsageError(
            f"train.deterministic needs {FLAG}=true among the flags of the compiler, but {FLAGS} names the "
            f"file {there}, which has it not; add it there"
        )
    environment[FLAGS] = f"{there} {FLAG}=true".strip()


def check_same_bits(backend: str, environment: Mapping[str, str]) -> None:
    """Refuses a GPU whose results can differ in their last bits from run to run.

    Args:
        backend: what jax computes on: cpu, gpu, tpu.
        environment: of the process.

    Raises:
        UsageError: the flag is not set. Whether it was set before jax started cannot be seen.
    """
    if backend == "gpu" and not is_asked(environment):
        raise UsageError(
            f"train.deterministic on a GPU needs {FLAGS}={FLAG}=true in the environment before jax starts, "
            f"found {environment.get(FLAGS) or 'none'}; set it before Python begins, or use `specvit train`"
        )


def is_asked(environment: Mapping[str, str]) -> bool:
    """Whether the flags of the compiler hold it; of several times the last counts."""
    flags = environment.get(FLAGS, "").strip()
    if _is_file(flags):
        flags = Path(flags).read_text() if Path(flags).is_file() else ""
    given = [flag for flag in flags.split() if flag.partition("=")[0] == FLAG]
    return bool(given) and given[-1] in ON


def _is_file(flags: str) -> bool:
    """Whether what stands for flags is the name of a file that holds them, as the compiler understands it."""
    return bool(flags) and not flags.startswith("-")
