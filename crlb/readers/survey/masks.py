"""Mask bits: which of them make a pixel unusable, by name or number."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from crlb.errors import UsageError


class Masked(NamedTuple):
    """Pixels that a mask rejects, by cause, and what is to be said of it."""

    bad: dict[str, Bool[np.ndarray, " n_pix"]]
    notes: tuple[str, ...]


def rejected(
    mask: np.ndarray,
    names: Mapping[str, int] | None = None,
    unusable: Collection[str] | None = None,
    wanted: tuple[str, ...] | None = None,
) -> Masked:
    """Returns the pixels a mask rejects, by cause.

    Args:
        mask: of one spectrum; 0 = nothing was set.
        names: name of a bit -> its number from 0; None or empty: the file gives bits no names.
        unusable: names of the bits that reject a pixel by default; None: every bit. A bit that is set and has
            no name rejects too.
        wanted: the option --mask: names or numbers, ("all",), ("none",); None: the default.

    Raises:
        UsageError: the option names a bit that the mask does not have.
    """
    names, bits = {name.upper(): bit for name, bit in (names or {}).items()}, as_bits(mask)
    if wanted == ("none",):
        return Masked({}, ("the mask is not used (--mask none)",))
    if wanted is not None and wanted != ("all",):
        return _of([_number(name, names) for name in wanted], bits, names)
    if wanted == ("all",) or unusable is None or not names:
        return Masked({"masked": bits != 0} if bits.any() else {}, ())
    unknown = [bit for bit in range(8 * bits.itemsize) if bit not in names.values()]
    return _of([names[name] for name in names if name in unusable] + unknown, bits, names)


def as_bits(mask: np.ndarray) -> np.ndarray:
    """Returns a mask as unsigned integers; NaN sets every bit."""
    if mask.dtype.kind in "iu":
        native = mask.astype(mask.dtype.newbyteorder("="))
        return native.view(f"u{native.itemsize}")
    numbers = np.asarray(mask, np.float64)
    return (
        np.where(np.isfinite(numbers), np.nan_to_num(numbers, posinf=0, neginf=0), -1)
        .astype(np.int64)
        .view("u8")
    )


def _number(name: str, names: Mapping[str, int]) -> int:
    if name.upper() in names:
        return names[name.upper()]
    if name.isdigit() and int(name) < 64:
        return int(name)
    known = ", ".join(names) if names else "numbers only: the file gives its bits no names"
    raise UsageError(
        f"--mask must be all, none, numbers from 0, or names of this mask ({known}), found {name}"
    )


def _of(numbers: list[int], bits: np.ndarray, names: Mapping[str, int]) -> Masked:
    by_number = {bit: name for name, bit in names.items()}
    bad = {}
    for bit in sorted({bit for bit in numbers if bit < 8 * bits.itemsize}):
        found = _set(bits, bit)
        if found.any():
            bad[f"masked {by_number.get(bit, f'bit {bit}')}"] = found
    kept = [f"{name} {_set(bits, bit).sum()}" for name, bit in names.items() if bit not in numbers]
    kept = [text for text in kept if not text.endswith(" 0")]
    return Masked(bad, (f"mask bits that are set and cost no pixel: {', '.join(kept)}",) if kept else ())


def _set(bits: np.ndarray, bit: int) -> np.ndarray:
    if bit >= 8 * bits.itemsize:
        return np.zeros(bits.shape, bool)
    one = bits.dtype.type(1)
    found: np.ndarray = (bits >> bits.dtype.type(bit)) & one == one
    return found
