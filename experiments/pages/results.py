"""The page of an experiment: title, question, expectation and figure above its table."""

from experiments.tables.results import ROOT, Results


def names() -> list[str]:
    """Returns the experiments whose tables are committed."""
    return sorted(path.parent.name for path in (ROOT / "results").glob("*/table.md"))


def heading(name: str) -> str:
    """Returns what stands above the table of an experiment, in Markdown."""
    run = Results().experiment(name)
    lines = [f"# {name}"]
    if "title" in run.names():
        lines.append(f"**{run.text('title')}.** `python -m experiments.{name}`, {run.date}.")
    words = {"claim": "Asked", "expect": "Expected"}
    lines += [f"*{word}:* {run.text(key)}" for key, word in words.items() if key in run.names()]
    if (ROOT / "results" / name / "figure.png").exists():
        lines.append(f"![{name}](figure.png)")
    return "\n\n".join(lines)
