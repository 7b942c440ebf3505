"""The training curves of a run as a figure, drawn from its ``metrics.jsonl``."""

from pathlib import Path
from typing import TYPE_CHECKING

from crlb.errors import DataError
from crlb.files.output import new_file
from crlb.labels import LABELS
from crlb.palette import PAGE_WIDTH_IN, looks, styled, symbol
from specvit_jax.runs.listing import Row, read_config, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE = "training_curves.png"
Panel = tuple[str, dict[str, str], str]  # text of the axis, name in a row -> label, scale of the axis


def plot_curves(run: str | Path, out: str | Path | None = None) -> Path:
    """Draws loss, validation scores, learning rate and spectra/s against the step.

    Args:
        run: run directory.
        out: the figure, of any format matplotlib writes; default: training_curves.png in the run.

    Returns:
        Where the figure is.

    Raises:
        DataError: the run's files are damaged, or it has no row of metrics yet.
        OutputError, DiskError: the figure cannot be written.
    """
    run = Path(run)
    out = run / FILE if out is None else Path(out)
    rows = read_metrics(run)
    if not rows:
        raise DataError(f"{run} has no row in metrics.jsonl; let it train first")
    labels = read_config(run).model.label_names
    panels = _panels(rows, labels)
    with styled():
        figure = _figure(run.resolve().name, rows, labels, panels)
        with new_file(out, overwrite=True) as temporary:
            figure.savefig(temporary, dpi=150)
    return out


def _figure(name: str, rows: list[Row], labels: tuple[str, ...], panels: list[Panel]) -> "Figure":
    """A panel for everything that was logged; a label keeps its colour."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(PAGE_WIDTH_IN, 1.7 * len(panels)))
    styles = looks(len(labels))
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (text, lines, scale) in zip(all_axes, panels, strict=True):
        for name, label in lines.items():
            steps, values = zip(*((row["step"], row[name]) for row in rows if name in row), strict=True)
            style = styles[labels.index(label)] if label else styles[0] | {"marker": ""}
            axes.plot(steps, values, label=symbol(label) if label else None, **style)
        axes.set_ylabel(text)
        axes.set_yscale(scale)
        _number(axes)
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    all_axes[-1].set_xlabel("training step")
    all_axes[0].set_title(name)
    return figure


def _panels(rows: list[Row], labels: tuple[str, ...]) -> list[Panel]:
    """Panels of what was logged: text of the axis, name in a row -> legend, scale of the axis."""
    logged = {name for row in rows for name in row}
    unit = "nats" if "val_skill" in logged else "scaled labels"
    panels = [(f"loss\n({unit})", {"loss": ""}, "log" if _positive(rows, "loss") else "linear")]
    panels.append(("validation\naccuracy", {"val_accuracy": ""}, "linear"))
    panels.append(("validation\ncross entropy\n(nats)", {"val_cross_entropy": ""}, "log"))
    panels.append(("validation\nskill", {"val_skill": ""}, "linear"))
    panels.append(("validation $R^2$", {f"val_r2_{label}": label for label in labels}, "linear"))
    for unit in dict.fromkeys(LABELS[label].unit for label in labels):
        names = [label for label in labels if LABELS[label].unit == unit]
        panels.append((f"validation MAE\n({unit})", {f"val_mae_{label}": label for label in names}, "log"))
    panels.append(("learning rate", {"learning_rate": ""}, "linear"))
    panels.append(("spectra / s", {"spectra_per_s": ""}, "linear"))
    shown = [
        (text, {name: label for name, label in lines.items() if name in logged}, scale)
        for text, lines, scale in panels
    ]
    return [panel for panel in shown if panel[1]]


def _positive(rows: list[Row], name: str) -> bool:
    """Whether a logarithm exists: a Gaussian likelihood goes below 0."""
    return all(row[name] > 0 for row in rows if name in row)


def _number(axes: "Axes") -> None:
    """Plain numbers at the ticks; between the decades too where fewer than one is shown."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter("{x:g}")
    if axes.get_yscale() == "log" and high < 10 * low:
        axes.yaxis.set_minor_formatter("{x:g}")
