"""Which documents hold blocks of numbers, and what each block says."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from crlb.files.output import new_file
from experiments.tables import (
    cards,
    ceilings,
    claims,
    findings,
    grid,
    population,
    published,
    scores,
    speed,
    windows,
)
from experiments.tables.results import Results
from experiments.tables.text import Rewritten, linked_from, rewrite

DOCUMENTS = (
    "docs/figure.md",
    "docs/results.md",
    "docs/speed.md",
    "docs/embedded-grid.md",
    "docs/claims.md",
    "docs/ceilings.md",
    "docs/conditions.md",
    "docs/howto/figure.md",
    "docs/howto/windows.md",
    "docs/howto/population.md",
    "specvit_jax/weights/tiny.md",
    "specvit_jax/weights/survey.md",
)
BLOCKS: dict[str, Callable[[Results], str]] = {
    "median-star": ceilings.median_star,
    "ceiling": ceilings.ceiling,
    "recipe": ceilings.recipe,
    "published": published.published,
    "claims": claims.claims,
    "scores": scores.scores,
    "under-survey": scores.under_survey,
    "whitening": scores.whitening,
    "missing": scores.missing,
    "findings": findings.findings,
    "nuisances": ceilings.nuisances,
    "prices": ceilings.prices,
    "windows": windows.windows,
    "population": population.population,
    "speed": speed.speed,
    "main-job": speed.main_job,
    "interpolation": grid.interpolation,
    "realism": grid.realism,
    "card": cards.card,
    "survey": cards.survey,
}


def rewritten(root: Path, results: Results) -> dict[Path, Rewritten]:
    """Returns every document with the numbers of the result files, by its path; writes nothing.

    Args:
        root: folder of the documents.
        results: where the numbers come from.

    Raises:
        DataError: a block is unknown or not closed, or a result lacks a number.
        MissingInputError: a result file does not exist.
    """
    return {root / name: _rewritten(root, name, results) for name in DOCUMENTS}


def _rewritten(root: Path, name: str, results: Results) -> Rewritten:
    """One document; blocks name files from the top of the tree, and here from the folder of the document."""
    folder = Path(name).parent.as_posix()
    blocks = {key: partial(_linked, block, results, folder) for key, block in BLOCKS.items()}
    return rewrite((root / name).read_text(encoding="utf-8"), blocks)


def _linked(block: Callable[[Results], str], results: Results, folder: str) -> str:
    return linked_from(folder, block(results))


def write(documents: dict[Path, Rewritten]) -> None:
    """Writes the documents that have changed, each whole or not at all."""
    for path, document in documents.items():
        if document.changed:
            with new_file(path, overwrite=True) as temporary:
                temporary.write_text(document.text, encoding="utf-8")
