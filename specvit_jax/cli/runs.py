"""`specvit runs`: what has been trained, the best first."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crlb.files.output import check_apart, check_outputs
from crlb.files.records import json_text, write_json
from crlb.labels import LABELS
from crlb.terminal import printable
from specvit_jax.runs.curves import FILE as CURVES
from specvit_jax.runs.curves import plot_curves
from specvit_jax.runs.listing import Summary, list_runs, run_files


@dataclass(frozen=True)
class Runs:
    """Lists the runs below a folder, the best validation R2 first; damaged ones last, saying why.

    A network that tells two classes apart has skill instead, 1 - cross entropy / entropy of their shares, and
    its accuracy where others have the MAE.

    To copy and paste:
      specvit runs
      specvit runs runs/sweep --json -
      specvit runs runs/tiny --curves
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """Where the runs are."""
    json: Annotated[str | None, tyro.conf.arg(metavar="FILE|-")] = None
    """Write the list as JSON; - prints it instead of the table."""
    curves: bool = False
    """Draw the training curves of every sound run into it (training_curves.png)."""
    overwrite: bool = False
    """Allow the JSON file to be replaced."""

    def __call__(self) -> None:
        out = None if self.json in (None, "-") else Path(str(self.json))
        check_outputs({"--json": out}, run_files(self.folder), self.overwrite)
        runs = list_runs(self.folder)
        plots = {f"--curves {run.name}": self.folder / run.name / CURVES for run in runs}
        check_apart({**(plots if self.curves else {}), "--json": out}, {})
        if self.json == "-":
            print(json_text([run.to_json() for run in runs]))
        else:
            print_runs(runs, str(self.folder))
            if out is not None:
                write_json(runs, out, self.overwrite)
        if self.curves:
            _plot(self.folder, runs)


def print_runs(runs: Sequence[Summary], title: str) -> None:
    """Runs as a table."""
    from rich import box
    from rich.table import Table

    from crlb.files.console import console

    table = Table(box=box.SIMPLE, title=f"{len(runs)} runs in {title}")
    for head in ("run", "preset", "state"):
        table.add_column(head, overflow="fold")
    for head in ("steps", "best R2", "at step", "MAE", "spectra/s", "updated (UTC)"):
        table.add_column(head, justify="right")
    for run in runs:
        if run.state != "damaged":
            table.add_row(*_cells(run))
    page = console()
    if not page.is_terminal:
        page.width = 200  # rather a long line than a name broken in two
    page.print(table)
    for run in runs:
        if run.state == "damaged":
            page.print(printable(f"{run.name} is damaged: {run.problem}"), soft_wrap=True)


def _cells(run: Summary) -> list[str]:
    mae = "\n".join(f"{label} {value:.3g} {LABELS[label].unit}" for label, value in (run.mae or {}).items())
    return [
        printable(run.name),
        printable(run.preset or ""),
        run.state,
        f"{run.step}/{run.steps}",
        _best(run),
        "" if run.best_step is None else str(run.best_step),
        mae if run.accuracy is None else f"accuracy {run.accuracy:.4f}",
        "" if run.spectra_per_s is None else f"{run.spectra_per_s:.0f}",
        run.updated or "",
    ]


def _best(run: Summary) -> str:
    """R2, or the skill of classes under its name: the column is that of R2."""
    if run.best_skill is not None:
        return f"skill {run.best_skill:.4f}"
    return "" if run.best_r2 is None else f"{run.best_r2:.4f}"


def _plot(folder: Path, runs: Sequence[Summary]) -> None:
    for run in runs:
        if run.state != "damaged" and run.step:
            print(f"wrote {plot_curves(folder / run.name)}", file=sys.stderr)
