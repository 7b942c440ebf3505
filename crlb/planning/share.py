"""Which share of many stars reaches what is wanted, and when: records, their tables and figure.

A star counts by its weight. It reaches what is wanted in N exposures if it needs N or fewer of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from crlb.files.records import ABSENT, Json, Record
from crlb.files.text import text_of
from crlb.labels import unit_of
from crlb.palette import PAGE, Sheet, looks, settled, styled, symbol
from crlb.planning.plan import LONGEST_H
from crlb.planning.result import BOUND, NO_OVERHEAD, WHAT_COUNTS, ExposuresRow
from crlb.planning.search import MOST
from crlb.planning.time import SECONDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

HALF, MANY = 0.5, 0.9  # of the stars
ROUNDING = 1e-9  # of a sum of weights


@dataclass(frozen=True, eq=False)
class PlannedStars(Record):
    """The stars of a table that a plan is of.

    Args:
        file: the table.
        sha256: its checksum.
        of: stars of the table within the grid, of a weight above zero; more than these were not computed.
        dropped: stars left out because they lie outside the grid.
        row: of every star in the table, from 1.
        label_names: one per label.
        labels: in their units.
        weight: of sum one.
        mag: own AB magnitudes; None: all stars have those of the plan.
        seed: of the choice; None: all were taken.
    """

    file: str
    sha256: str
    of: int
    dropped: int
    row: Int[np.ndarray, " n"]
    label_names: tuple[str, ...]
    labels: Float[np.ndarray, "n n_labels"]
    weight: Float[np.ndarray, " n"]
    mag: Float[np.ndarray, " n"] | None = None
    seed: int | None = field(default=None, metadata=ABSENT)

    @property
    def n(self) -> int:
        """Number of stars."""
        return len(self.row)

    def words(self) -> list[str]:
        """Returns the stars in words."""
        dropped = f" ({self.dropped} outside the grid left out)" if self.dropped else ""
        found = [f"Stars: {self.n:,} of {self.file}{dropped}."]
        if self.seed is not None:
            error = 50 * float((self.weight**2).sum()) ** 0.5
            found.append(
                f"They were drawn at random from {self.of:,} (seed {self.seed}): a share is uncertain by up "
                f"to {error:.1f} percentage points (1 sigma). All of them: --n-stars {self.of}."
            )
        if self.mag is not None:
            found.append(f"Magnitudes are their own, {self.mag.min():.6g} to {self.mag.max():.6g}.")
        return found


@dataclass(frozen=True, eq=False)
class NeededRow(Record):
    """What stars need for one label at one magnitude.

    Args:
        mag: AB magnitude of all stars; None: each has its own.
        label: the label.
        want: the 1-sigma bound that is wanted, in its unit.
        n_exp_50: the fewest exposures that suffice for half of the stars; None: no number does.
        hours_50: of exposure; None likewise.
        n_exp_90: those for 90 % of them; None likewise.
        hours_90: of exposure; None likewise.
        never: share of the stars for which no number of exposures suffices.
        untold: how many of them have no floor above what is wanted: their labels cannot be told apart, or
            they need more than 2^30 exposures.
        n_exp: the fewest exposures that suffice for each star; None: no number does.
        floor: bound of each star in infinitely many exposures; 0 where all noise averages down.
        set_by: what the floors are set by; empty where there are none.
    """

    mag: float | None
    label: str
    want: float
    n_exp_50: int | None
    hours_50: float | None
    n_exp_90: int | None
    hours_90: float | None
    never: float
    untold: int
    n_exp: tuple[int | None, ...]
    floor: Float[np.ndarray, " n"]
    set_by: str

    @property
    def brightness(self) -> str:
        """The magnitude in words."""
        return "own" if self.mag is None else f"{self.mag:.6g}"


@dataclass(frozen=True)
class ReachedRow(Record):
    """Which share of the stars reaches what is wanted in some exposures.

    Args:
        mag: AB magnitude of all stars; None: each has its own.
        label: the label.
        want: the 1-sigma bound that is wanted, in its unit.
        hours: of exposure.
        n_exp: whole exposures in them.
        share: of the stars, 0 to 1.
    """

    mag: float | None
    label: str
    want: float
    hours: float
    n_exp: int
    share: float


@dataclass(frozen=True, eq=False)
class SharePlan(Record):
    """How many of the stars of a table reach what is wanted.

    Args:
        exptime_s: length of an exposure, s.
        reached: shares of the stars, per magnitude, label and time.
        needed: what the stars need, per magnitude and label.
        stars: the stars.
        provenance: how it was asked for.
    """

    exptime_s: float
    reached: tuple[ReachedRow, ...]
    needed: tuple[NeededRow, ...]
    stars: PlannedStars
    provenance: dict[str, Json]

    def as_rows(self) -> list[dict[str, object]]:
        """Returns what every star needs as plain mappings, ready for a CSV file; empty: no number does."""
        stars = self.stars
        return [
            {
                "row": int(stars.row[i]),
                **dict(zip(stars.label_names, stars.labels[i].tolist(), strict=True)),
                "mag": one.mag if stars.mag is None else float(stars.mag[i]),
                "label": one.label,
                "want": one.want,
                "n_exp": n_exp,
                "hours": None if n_exp is None else n_exp * self.exptime_s / SECONDS,
                "floor": float(one.floor[i]),
            }
            for one in self.needed
            for i, n_exp in enumerate(one.n_exp)
        ]

    def table(self) -> str:
        """Returns both tables and what they mean."""
        return text_of(
            _reached_table(self), _needed_table(self), *self.stars.words(), *self._never(),
            WHAT_COUNTS[BOUND], NO_OVERHEAD,
        )  # fmt: skip

    def _never(self) -> list[str]:
        """What makes stars never reach what is wanted."""
        found = []
        if set_by := next((one.set_by for one in self.needed if one.never and one.set_by), ""):
            found.append(f"never: the floor, set by {set_by}, is above what is wanted.")
        if untold := max(one.untold for one in self.needed):
            found.append(
                f"never counts up to {untold:,} stars without such a floor, whose labels cannot be told "
                f"apart or that need more than {MOST:,.0f} exposures."
            )
        return found

    def plot(self, sheet: Sheet = PAGE) -> "Figure":
        """Returns the figure of the share over time, a panel for every label, a line for every magnitude."""
        labels = list(dict.fromkeys(one.label for one in self.needed))
        one_h = self.exptime_s / SECONDS
        last = 2 * max((n for one in self.needed for n in one.n_exp if n is not None), default=1)
        with styled():
            figure, panels = sheet.panels(len(labels), 2.8)
            for axes, label in zip(panels, labels, strict=True):
                rows = [one for one in self.needed if one.label == label]
                for one, look in zip(rows, looks(len(rows)), strict=True):
                    n_exp, share = steps_of(one.n_exp, self.stars.weight, last)
                    name = "own magnitudes" if one.mag is None else f"mag {one.brightness}"
                    line = {key: value for key, value in look.items() if key != "marker"}
                    axes.step(n_exp * one_h, 100 * share, where="post", label=name, **line)
                axes.set(xscale="log", xlabel="exposure time (h)", ylim=(-2, 102))
                axes.set_xlim(right=min(last * one_h, max(LONGEST_H, 2 * one_h)))
                axes.xaxis.set_major_formatter("{x:g}")
                axes.set_ylabel(f"stars with {symbol(label)} to {rows[0].want:g} {unit_of(label)} (%)")
                axes.legend()
            return settled(figure)


def needed_row(
    rows: Sequence[ExposuresRow], mag: float | None, weight: Float[np.ndarray, " n"], exptime_s: float
) -> NeededRow:
    """Returns what stars need, each with a row of its own, all of one label.

    Args:
        rows: of every star.
        mag: AB magnitude of all stars; None: each has its own.
        weight: of every star, of sum one.
        exptime_s: length of an exposure, s.
    """
    n_exp = tuple(row.n_exp for row in rows)
    half, many = (fewest_for(share, n_exp, weight) for share in (HALF, MANY))
    hours = [None if n is None else n * exptime_s / SECONDS for n in (half, many)]
    none = np.array([n is None for n in n_exp])
    return NeededRow(
        mag=mag,
        label=rows[0].label,
        want=rows[0].want,
        n_exp_50=half,
        hours_50=hours[0],
        n_exp_90=many,
        hours_90=hours[1],
        never=float(weight[none].sum()),
        untold=sum(row.n_exp is None and not row.floor > row.want for row in rows),
        n_exp=n_exp,
        floor=np.array([row.floor for row in rows]),
        set_by=rows[0].set_by,
    )


def reached_row(one: NeededRow, weight: Float[np.ndarray, " n"], n_exp: int, hours: float) -> ReachedRow:
    """Returns which share of the stars so many exposures suffice for, in so many hours."""
    enough = np.array([n is not None and n <= n_exp for n in one.n_exp])
    return ReachedRow(one.mag, one.label, one.want, hours, n_exp, float(weight[enough].sum()))


def fewest_for(share: float, n_exp: Sequence[int | None], weight: Float[np.ndarray, " n"]) -> int | None:
    """Returns the fewest exposures that suffice for a share of the stars; None: no number does.

    Args:
        share: of the stars, 0 to 1.
        n_exp: what every star needs; None: no number suffices.
        weight: of every star, of sum one.
    """
    numbers, reached = steps_of(n_exp, weight)
    enough = np.flatnonzero(reached >= share - ROUNDING)
    return int(numbers[enough[0]]) if len(enough) else None


def steps_of(
    n_exp: Sequence[int | None], weight: Float[np.ndarray, " n"], last: int | None = None
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Returns the numbers of exposures at which the share of the stars grows, and the share from each on.

    Args:
        n_exp: what every star needs; None: no number suffices.
        weight: of every star, of sum one.
        last: a number of exposures where the steps end; None: where the last star is reached.
    """
    ends = [] if last is None else [1, last]
    known = np.array([*(np.inf if n is None else n for n in n_exp), *ends], np.float64)
    numbers, place = np.unique(known, return_inverse=True)
    share = np.cumsum(np.bincount(place, np.append(weight, np.zeros(len(ends)))))
    return numbers[np.isfinite(numbers)], share[np.isfinite(numbers)]


def _reached_table(plan: SharePlan) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"stars with a {BOUND} as wanted, exposures of {plan.exptime_s:g} s")
    for head in ("mag", "label", "wanted", "hours", "exposures", "share of\nstars"):
        table.add_column(head, justify="left" if head == "label" else "right")
    for row in plan.reached:
        mag = "own" if row.mag is None else f"{row.mag:.6g}"
        wanted = f"{row.want:g} {unit_of(row.label)}"
        table.add_row(mag, row.label, wanted, f"{row.hours:g}", f"{row.n_exp:,}", f"{100 * row.share:.1f} %")
    return table


def _needed_table(plan: SharePlan) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="the fewest exposures for 50 % and 90 % of the stars")
    heads = ("exposures\nfor 50 %", "hours\nfor 50 %", "exposures\nfor 90 %", "hours\nfor 90 %")
    for head in ("mag", "label", "wanted", *heads, "never"):
        table.add_column(head, justify="left" if head == "label" else "right")
    for row in plan.needed:
        pairs = ((row.n_exp_50, row.hours_50), (row.n_exp_90, row.hours_90))
        cells = [
            cell
            for n, hours in pairs
            for cell in (("never", "-") if n is None or hours is None else (f"{n:,}", f"{hours:.4g}"))
        ]
        wanted = f"{row.want:g} {unit_of(row.label)}"
        table.add_row(row.brightness, row.label, wanted, *cells, f"{100 * row.never:.1f} %")
    return table
