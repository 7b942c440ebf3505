"""The tables of `start`: strengths of tokens, and R2 along the steps."""

from typing import Any

from rich.table import Table

from experiments.study import drawing

SIGNAL = 0.5  # R2 whose first step is tabled


def tables(results: dict[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    """Heads and rows: token strengths, then R2 along the steps."""
    strengths = [
        [row["name"]]
        + [f"{row[key]:.3f}" for key in ("rms", "rms_closed", "position_rms")]
        + [f"{row[key]:.2%}" for key in ("share", "share_closed")]
        for row in results["tokens"]
    ]
    heads = ["start", "token RMS", "closed form", "position RMS", "share of signal", "closed form"]
    marks = [f"R2 at {point['step']}" for point in results["training"][0]["curve"]]
    rows = [
        [row["name"], str(row["seed"]), *(f"{point['r2']:.3f}" for point in row["curve"]), first_step(row)]
        for row in results["training"]
    ]
    return [(heads, strengths), (["start", "seed", *marks, f"R2 > {SIGNAL:g}"], rows)]


def first_step(row: dict[str, Any]) -> str:
    """The first step at which R2 was found above `SIGNAL`, or 'never'."""
    return next((f"by step {point['step']}" for point in row["curve"] if point["r2"] > SIGNAL), "never")


def markdown(results: dict[str, Any]) -> str:
    """Both tables, and how they were made."""
    about = results["provenance"]
    made = f"`{about['command']}`, {about['date']}, {about['device']}."
    return "\n\n".join([*(drawing.markdown(heads, rows) for heads, rows in tables(results)), made])


def screen(heads: list[str], rows: list[list[str]]) -> Table:
    """A table for the terminal."""
    out = Table()
    for head in heads:
        out.add_column(head, justify="left" if head == "start" else "right")
    for row in rows:
        out.add_row(*row)
    return out
