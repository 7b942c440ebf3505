"""The training curves of a run as plain values."""

from pathlib import Path
from typing import Any

from specvit_jax.runs.listing import read_config, read_metrics, summarise


def training(name: str, run: Path) -> dict[str, Any] | None:
    """What a run logged: panels of lines of (step, value); None where it has logged nothing.

    Raises:
        DataError: a file of the run is damaged.
    """
    rows, config = read_metrics(run), read_config(run)
    if not rows:
        return None
    labels = config.model.label_names
    panels = [
        _panel("Loss", f"{config.train.loss} of scaled labels", rows, {"loss": "training loss"}),
        _panel("Validation R²", "R²", rows, {f"val_r2_{label}": label for label in labels}),
        _panel("Learning rate", "learning rate", rows, {"learning_rate": "learning rate"}),
    ]
    return {
        "name": name,
        "about": _about(run, name),
        "panels": [panel for panel in panels if panel["lines"]],
    }


def _panel(title: str, unit: str, rows: list[dict[str, Any]], names: dict[str, str]) -> dict[str, Any]:
    points = {
        text: [[row["step"], row[name]] for row in rows if row.get(name) is not None]
        for name, text in names.items()
    }
    lines = [{"name": text, "points": found} for text, found in points.items() if found]
    return {"title": title, "unit": unit, "lines": lines}


def _about(run: Path, name: str) -> dict[str, Any]:
    found = summarise(run, name)
    return {
        "preset": found.preset,
        "state": found.state,
        "steps": f"{found.step:,} of {found.steps:,}",
        "best_r2": found.best_r2,
        "best_step": found.best_step,
        "spectra_per_s": found.spectra_per_s,
    }
