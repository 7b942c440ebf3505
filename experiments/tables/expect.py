"""What results say that they claim and expect, kept as the docstrings of the experiments say it today."""

import ast
from pathlib import Path

from crlb.errors import MissingInputError
from crlb.files.records import Json, write_json
from experiments.study.result import header
from experiments.tables.results import Results


def stale_texts(results: Results) -> dict[Path, dict[str, Json]]:
    """Returns every results.json whose words differ from its experiment, with those of today, by its path.

    Only the words differ from what the file holds; numbers and the date of the run stay.
    """
    found = {}
    for path, result in results.experiments():
        assert isinstance(result.value, dict)
        words = today(results.root, path.parent.name)
        changed = result.value | {key: words[key] for key in words if key in result.value}
        if changed != result.value:
            found[path] = changed
    return found


def write_texts(results: Results) -> list[Path]:
    """Writes the words of today into every results.json that has others; returns the files changed."""
    stale = stale_texts(results)
    for path, content in stale.items():
        write_json(content, path, overwrite=True)
    return list(stale)


def today(root: Path, name: str) -> dict[str, Json]:
    """Returns title, claim and expectation of an experiment, read from its source.

    Raises:
        MissingInputError: there is no experiment of that name.
    """
    source = root / f"experiments/{name}/experiment.py"
    if not source.exists():
        raise MissingInputError(f"results/{name} has no experiment: {source} does not exist")
    doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")), clean=False) or ""
    head = header(doc)
    title = doc.strip().splitlines()[0].rstrip(".")
    return {"title": title, "claim": head["Claim"], "expect": head["Expect"]}
