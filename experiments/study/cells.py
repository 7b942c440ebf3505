"""Test stars in cells of one property or two: which stars are in a cell, statistics of each, maps of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, SupportsFloat, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import NullLocator

from crlb.files.records import Record
from specvit_jax.metrics import MIN_BIN

Statistic = Callable[..., SupportsFloat]  # arrays of the stars of a cell -> a number


class Place(NamedTuple):
    """A property of the stars, with unit, and the edges of its cells."""

    title: str
    values: Float[np.ndarray, " n"]
    edges: Sequence[float]

    def cells(self) -> Iterator[tuple[float, float, Bool[np.ndarray, " n"]]]:
        """Low and high edge of every cell [low, high), and which stars are in it."""
        for low, high in pairwise(self.edges):
            yield float(low), float(high), (self.values >= low) & (self.values < high)

    def told(self) -> "Edges":
        """Title and edges, as results hold them."""
        return Edges(title=self.title, edges=tuple(float(edge) for edge in self.edges))


@dataclass(frozen=True, kw_only=True)
class Edges(Record):
    """A property of stars, with unit, and the edges of its cells."""

    title: str
    edges: tuple[float, ...]


Grid: TypeAlias = tuple[tuple[float | None, ...], ...]  # rows go up; None in cells of few stars


@dataclass(frozen=True, kw_only=True)
class Field(Record):
    """Numbers of stars in cells of two properties, rows go up; subclasses add a `Grid` per statistic."""

    n: tuple[tuple[int, ...], ...]
    across: Edges
    up: Edges

    @property
    def mesh(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Edges of the cells across and up."""
        return self.across.edges, self.up.edges


FieldT = TypeVar("FieldT", bound=Field)


def field(
    kind: type[FieldT],
    across: Place,
    up: Place,
    statistics: Mapping[str, Statistic],
    *stars: Float[np.ndarray, " n"],
) -> FieldT:
    """Statistics in cells of two properties, None in cells of fewer than `MIN_BIN` stars; rows go up."""
    cells = [[level & inside for _, _, inside in across.cells()] for _, _, level in up.cells()]
    numbers = {
        name: tuple(tuple(_number(statistic, stars, inside) for inside in row) for row in cells)
        for name, statistic in statistics.items()
    }
    counts = tuple(tuple(int(inside.sum()) for inside in row) for row in cells)
    return kind(n=counts, across=across.told(), up=up.told(), **numbers)


def _number(
    statistic: Statistic, stars: Sequence[Float[np.ndarray, " n"]], inside: Bool[np.ndarray, " n"]
) -> float | None:
    enough = inside.sum() >= MIN_BIN
    return float(statistic(*(values[inside] for values in stars))) if enough else None


def plot_map(axes: Axes, found: Field, key: str, title: str, norm: Normalize, cmap: str) -> None:
    """One statistic of a field as colours with a bar; cells without a number stay white."""
    values = np.array(getattr(found, key), float)
    kept = ~np.isnan(values).all(axis=0)
    first, last = (int(kept.argmax()), len(kept) - int(kept[::-1].argmax())) if kept.any() else (0, len(kept))
    edges = found.across.edges[first : last + 1]
    mesh = axes.pcolormesh(edges, found.up.edges, values[:, first:last], cmap=cmap, norm=norm)
    bar = axes.figure.colorbar(mesh, ax=axes, label=title, pad=0.02)
    bar.outline.set_linewidth(0.4)
    axes.set_xlabel(found.across.title)
    axes.set_ylabel(found.up.title)


def log_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic horizontal axis with plain numbers."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
