"""What `original_recipe` leaves: R2 by number of spectra, steps and weights, as a table and as a figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.records import Record
from crlb.palette import LIMIT, MARKERS, PUBLISHED, looks, steps
from experiments.study.plotting import (
    COLORS,
    EXACT,
    PAGE,
    R2,
    Sheet,
    Style,
    interval,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.published import Published
from experiments.study.result import Result
from experiments.study.rows import Run, column, counted, intervals

LINES = {"recipe": "-", "no stopping": ":"}


@dataclass(frozen=True, kw_only=True)
class Row(Run):
    """Scores of one set of weights, or of a fit, on the test stars; what only networks have may be None."""

    method: str
    whitened: bool
    n: int  # training spectra
    mode: str | None = None  # recipe, it without stopping, or it with the steps of more spectra
    schedule: int | None = None  # steps after which the cosine ends
    steps: int | None = None  # that the weights have behind them
    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class Point(Record):
    """Validation R2 of a run after a step."""

    step: int
    r2: float


@dataclass(frozen=True)
class Training(Record):
    """A run: the weights with the best validation R2, the last ones, and validation on the way."""

    best: Row
    last: Row
    curve: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class RecipeResult(Result):
    """Every run, and a row for every arm: the mean over its seeds."""

    trainings: tuple[Training, ...]
    ridge: tuple[Row, ...]
    best: tuple[Row, ...]  # of the best weights by validation, and of Ridge
    last: tuple[Row, ...]
    limit: float
    published: Published

    def table(self) -> str:
        """One line per arm."""
        heads = ["method", "input", "mode", "training spectra", "seeds", "steps planned", "steps done"]
        heads += ["epochs", "best at", "R2, best weights (95 %)", "R2, last weights (95 %)"]
        return "\n".join(
            [markdown(heads, [self.line(row) for row in self.best]), f"\nExact limit: {self.limit:.3f}"]
        )

    def line(self, row: Row) -> list[str]:
        """The cells of an arm; steps that differ between its seeds are listed."""
        about = [row.method, reading(row.whitened), row.mode or "-", f"{row.n:,}", str(row.seeds)]
        runs = [one for one in self.trainings if one.best.arm == row.arm]
        if not runs:
            return [*about, *["-"] * 4, interval(row), "-"]
        last = next(one for one in self.last if one.arm == row.arm)
        done = listed(runs, lambda run: f"{run.last.steps:,}")
        epochs = listed(runs, lambda run: f"{epochs_of(run):.0f}")
        best = listed(runs, lambda run: f"{run.best.steps:,}")
        return [*about, f"{row.schedule:,}", done, epochs, best, interval(row), interval(last)]

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 against the number of spectra, and validation R2 against steps."""
        figure, (left, right) = sheet.panels(2, 2.9 if sheet.narrow else 3.4, sharey=True)
        self.plot_sizes(left)
        self.plot_steps(right)
        for axes in (left, right):
            axes.set_xscale("log")
            axes.axhline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit")
            light_grid(axes)
        left.set_ylabel("$R^2$ of log $g$, test stars")
        right.set_ylabel("$R^2$ of log $g$, validation")
        options: Style = {"loc": "upper left", "bbox_to_anchor": (0, -0.26), "handlelength": 2.8}
        left.legend(ncols=1, **options)
        right.legend(ncols=1, **options)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "The original's network trained by the original's recipe on the embedded grid. Left or above: "
            "R² on test stars against the number of training spectra, for the weights that were best in "
            "validation and for the last; also with the steps that more spectra get, and as published "
            "(BOSZ). Right or below: validation along the steps of one seed",
            R2, EXACT, f"Error bars: 95 %, {counted(self.best)}",
        )  # fmt: skip

    def plot_sizes(self, axes: Axes) -> None:
        """Both weights of the recipe, the runs of equal steps, and the published points in grey."""
        published = self.published
        grey: Style = {"color": PUBLISHED, "linestyle": ":", "marker": "o", "markersize": 2.5}
        axes.plot(published.n, published.SpecViT, label="published (BOSZ)", **grey)
        red: Style = {"color": COLORS["SpecViT"]}
        best, last = (
            red | {"marker": "o"},
            red | {"marker": "D", "linestyle": "--", "markerfacecolor": "white"},
        )
        others = looks(4 + len(self.same_steps()))[4:]
        arms: list[tuple[str, Sequence[Row], str, Style]] = [
            ("recipe, best weights", self.best, "recipe", best),
            ("recipe, last weights", self.last, "recipe", last),
        ]
        for mode, style in zip(self.same_steps(), others, strict=True):
            arms.append((f"{mode} spectra", self.best, mode, style))
        for label, rows, mode, style in arms:
            mine = sorted((row for row in rows if raw_vit(row) and row.mode == mode), key=lambda row: row.n)
            found = intervals(mine)
            axes.errorbar(column(mine, "n"), found.value, yerr=found.reach, capsize=2, label=label, **style)
        axes.set_xlabel("training spectra")

    def same_steps(self) -> list[str]:
        """The modes in which few spectra get the steps of more, in order."""
        modes = dict.fromkeys(str(row.mode) for row in self.best)
        return [mode for mode in modes if mode not in ("recipe", "no stopping", "None")]

    def plot_steps(self, axes: Axes) -> None:
        """Validation R2 of SpecViT on z-scores along its steps."""
        runs = [
            run
            for run in self.trainings
            if raw_vit(run.best) and run.best.seed == self.trainings[0].best.seed
        ]
        sizes = sorted({run.best.n for run in runs})
        for run in runs:
            place, style = sizes.index(run.best.n), LINES.get(str(run.best.mode), "--")
            label = f"{run.best.n:,} spectra"
            if run.best.mode != "recipe":
                label += f", {run.best.mode}"
            x, r2 = [point.step for point in run.curve], [point.r2 for point in run.curve]
            axes.plot(
                x, r2, linestyle=style, color=steps(len(sizes))[place], marker=MARKERS[place], label=label,
                markersize=2.5,
            )  # fmt: skip
        axes.set_xlabel("training steps")


def raw_vit(row: Row) -> bool:
    """Whether a row is of the original's network on its own input."""
    return row.method == "SpecViT" and not row.whitened


def reading(whitened: bool) -> str:
    """What a method reads."""
    return "whitened" if whitened else "z-scores"


def epochs_of(run: Training) -> float:
    """How often a run saw each of its spectra."""
    assert run.last.steps is not None
    assert run.last.batch is not None
    return run.last.steps / (run.last.n // run.last.batch)


def listed(runs: Sequence[Training], text: Callable[[Training], str]) -> str:
    """A text of every run, once where all have the same."""
    return ", ".join(dict.fromkeys(map(text, runs)))
