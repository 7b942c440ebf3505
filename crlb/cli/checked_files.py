"""What `crlb check` finds in files of spectra, and how it is printed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crlb.files.records import Record
from crlb.files.text import text_of
from crlb.observation.inspection import Inspection

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class FileCheck(Record):
    """One file: how it was understood, its first spectra, or why it cannot be used.

    Args:
        path: the file.
        format: that it was read as; empty where it could not be read.
        n: number of spectra in it.
        understood: columns, units, medium, mask, sentence by sentence.
        spectra: the first of them.
        error: why nothing of it can be used; empty if something can.
    """

    path: str
    format: str
    n: int
    understood: tuple[str, ...]
    spectra: tuple[Inspection, ...]
    error: str

    def text(self) -> str:
        """Returns what is printed."""
        if not self.format:
            return f"{self.path}: cannot be used\n  {self.error}"
        head = [f"{self.path}: {self.format}, {self.n} spectr{'um' if self.n == 1 else 'a'}"]
        head += [f"  {sentence}" for sentence in self.understood]
        if len(self.spectra) == 1:
            return "\n".join([head[0], *_lines(self.spectra[0]), *self._last()])
        last = [*_remarks(self.spectra), *self._last()]
        return text_of("\n".join(head), _table(self.spectra), "\n".join(last))

    def _last(self) -> list[str]:
        return [f"  cannot be used: {self.error}"] if self.error else []


def _lines(one: Inspection) -> Iterator[str]:
    """What is said of the only spectrum of a file."""
    yield f"  {one.star or 'star without a name'}: {one.n_used} of {one.n_pix} pixels would be used"
    ends = f"{one.wave_min:.1f} to {one.wave_max:.1f} Å in vacuum"
    yield f"  {ends}, SNR {_number(one.snr)} per pixel, flux in {one.unit}"
    if one.resolving_power is not None:
        yield f"  resolving power {one.resolving_power:.0f}"
    lost = ", ".join(f"{cause} {n}" for cause, n in one.lost.items())
    yield f"  unusable pixels: {lost or 'none'}"
    if one.significant:
        yield f"  velocity {one.rv_kms:+.1f} +- {one.rv_sigma_kms:.1f} km/s"
    yield from (f"  {sentence}" for sentence in one.done)
    yield from (f"  ! {sentence}" for sentence in one.warnings)


def _table(spectra: tuple[Inspection, ...]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    heads = ("spectrum", "star", "pixels\nused", "from\nÅ", "to\nÅ", "SNR", "R", "unusable", "velocity\nkm/s")
    for head in heads:
        table.add_column(head, justify="left" if head in ("spectrum", "star") else "right")
    for one in spectra:
        rv = f"{one.rv_kms:+.1f} +- {one.rv_sigma_kms:.1f}" if one.significant else "-"
        power = "-" if one.resolving_power is None else f"{one.resolving_power:.0f}"
        table.add_row(
            one.origin.rpartition("[")[2].rstrip("]"), one.star, str(one.n_used), _number(one.wave_min, 1),
            _number(one.wave_max, 1), _number(one.snr), power, str(sum(one.lost.values())), rv,
        )  # fmt: skip
    return table


def _remarks(spectra: tuple[Inspection, ...]) -> list[str]:
    """Every warning once, with the number of spectra that it is said of."""
    said = [sentence for one in spectra for sentence in one.warnings]
    lost: dict[str, int] = {}
    for one in spectra:
        for cause, n in one.lost.items():
            lost[cause] = lost.get(cause, 0) + n
    causes = [f"  unusable pixels: {', '.join(f'{cause} {n}' for cause, n in lost.items())}"] if lost else []
    return causes + [f"  ! {sentence} ({said.count(sentence)} spectra)" for sentence in dict.fromkeys(said)]


def _number(value: float, digits: int | None = None) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.{digits}f}" if digits is not None else f"{value:.3g}"
