"""Numbers that an option can have, whichever command has it: what is beyond them is a slip of the pen."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass

from crlb.errors import UsageError
from crlb.labels import option_of

MOST_SEED = 2**63 - 1  # what jax takes; it wraps negative ones around
USUAL = (-1e12, 1e12)
LIMITS: Mapping[str, tuple[int | float, int | float]] = {  # option -> smallest and largest value
    "seed": (0, MOST_SEED),
    "label_std": (1e-12, 1e12),
    "mag": (-100.0, 100.0),  # AB; brighter and fainter than anything by far
    "snr": (1e-6, 1e9),  # of a pixel or a resolution element
    "T_eff": (1.0, 1e6),  # K
    "log_g": (-20.0, 20.0),  # dex, as the next ones
    "M_H": (-20.0, 20.0),
    "a_M": (-20.0, 20.0),
    "C_M": (-20.0, 20.0),
    "microturbulence": (0, 1000),  # km/s
    "wave": (1.0, 1e9),  # Å
    "resolving_power": (1.0, 1e9),
    "noise_level": (1e-12, 1e12),
    "seeing_arcsec": (0.5, 1.5),  # arcsec, where the light through the fibre is tabulated
    "amplitude": (0.0, math.inf),  # inf: any scale
    "first": (1, 1e12),
    "steps": (1, 1e12),
    "seeds": (1, 1e6),
    "n": (1, 1e12),
    "n_validation": (1, 2**31),
    "n_fit": (1, 2**31),
    "n_train": (1, 2**31),
    "n_test": (1, 2**31),
    "depth": (0, 1000),
    "clip_norm": (0.0, math.inf),  # inf: none
    "average": (1, 1e6),
    "learning_rate": (1.2e-38, 3.4e38),  # what float32 holds
    "max_trees": (1, 1e6),
    "threads": (0, 4096),  # 0: one per core
    "workers": (1, 4096),
    "processes": (1, 1e6),
    "process": (0, 1e6),
    "connections": (1, 1e12),
    "retries": (0, 1000),
    "timeout_s": (0.01, 86_400.0),  # s
    "min_rate_Bps": (1e-3, 1e12),  # bytes/s
}


def check_limits(
    options: object,
    section: str = "",
    error: type[UsageError] = UsageError,
    *,
    or_zero: Collection[str] = (),
) -> None:
    """Refuses numbers among options or settings that are NaN or beyond `LIMITS`.

    Args:
        options: a dataclass, or one that holds such; None stands for an option that was not given.
        section: of a config file that they are settings of; without it they are options of a command.
        error: what is raised.
        or_zero: names of those that may be 0 although their limits leave it out.

    Raises:
        UsageError: naming the first.
    """
    for name, value in _numbers(options):
        low, high = LIMITS.get(name, USUAL)
        zero = name in or_zero
        if not (low <= value <= high or (zero and value == 0)):
            option = f"{section}.{name}" if section else option_of(name)
            found = f"{', or 0' if zero else ''}, found {value}"
            raise error(f"{option} must be a number from {_text(low)} to {_text(high)}{found}")


def _numbers(options: object) -> Iterator[tuple[str, int | float]]:
    """All numbers, each with the name of its option."""
    if not is_dataclass(options):
        return
    for one in fields(options):
        value = getattr(options, one.name)
        yield from _numbers(value)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield one.name, number


def _text(bound: int | float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
