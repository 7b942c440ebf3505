"""The training curves of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crlb.files.records import Record
from specvit_jax.runs.listing import Row, read_config, read_metrics, summarise


@dataclass(frozen=True)
class Line(Record):
    """One curve: its legend, and its points (step, value)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel(Record):
    """Curves that share an axis, with its title and unit."""

    title: str
    unit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class About(Record):
    """What a run has come to, in a line."""

    preset: str | None
    state: str
    steps: str
    score: str  # what chose the best weights: R² or skill
    best_score: float | None
    best_step: int | None
    spectra_per_s: float | None


@dataclass(frozen=True)
class Curves(Record):
    """What a run logged."""

    name: str
    about: About
    panels: tuple[Panel, ...]


def training(name: str, run: Path) -> Curves | None:
    """What a run logged: panels of lines of (step, value); None where it has logged nothing.

    Raises:
        DataError: a file of the run is damaged.
    """
    rows, config = read_metrics(run), read_config(run)
    if not rows:
        return None
    labels, classes = config.model.label_names, config.model.threshold is not None
    unit = "cross entropy, nats" if classes else f"{config.train.loss} of scaled labels"
    panels = [
        _panel("Loss", unit, rows, {"loss": "training loss"}),
        _panel("Validation R²", "R²", rows, {f"val_r2_{label}": label for label in labels}),
        _panel("Validation accuracy", "accuracy", rows, {"val_accuracy": "accuracy"}),
        _panel("Validation skill", "skill", rows, {"val_skill": "skill"}),
        _panel("Learning rate", "learning rate", rows, {"learning_rate": "learning rate"}),
    ]
    return Curves(name, _about(run, name), tuple(panel for panel in panels if panel.lines))


def _panel(title: str, unit: str, rows: Sequence[Row], names: Mapping[str, str]) -> Panel:
    points = {
        text: tuple((float(row["step"]), float(row[name])) for row in rows if row.get(name) is not None)
        for name, text in names.items()
    }
    return Panel(title, unit, tuple(Line(text, found) for text, found in points.items() if found))


def _about(run: Path, name: str) -> About:
    found = summarise(run, name)
    return About(
        preset=found.preset,
        state=found.state,
        steps=f"{found.step:,} of {found.steps:,}",
        score="R²" if found.best_skill is None else "skill",
        best_score=found.best_score,
        best_step=found.best_step,
        spectra_per_s=found.spectra_per_s,
    )
