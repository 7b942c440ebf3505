"""Writes the numbers of the pages below docs and of the model cards from the committed result files."""

from dataclasses import dataclass
from typing import Literal

from crlb.command_line import parse
from crlb.errors import DataError, UsageError
from crlb.program import run_command

Measured = Literal[
    "recipe", "five_labels", "nuisances", "prices", "windows", "population", "interpolation", "tiny", "survey"
]  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """Numbers of the pages below docs and of the model cards, written from the committed result files.

    They stand between `<!-- numbers: NAME -->` and `<!-- end -->`. Claim and expectation of every
    results/*/results.json are brought to what the docstring of its experiment says; its numbers and its date
    stay.

    To copy and paste:
      python -m experiments.tables
      python -m experiments.tables --check
      python -m experiments.tables --measure recipe nuisances
    """

    check: bool = False
    """Write nothing; name what differs and end with status 65."""
    measure: tuple[Measured, ...] = ()
    """Make docs/NAME.json again first: half a minute each, several for recipe, five_labels and windows,
    ten for prices and population."""


def main() -> None:
    """Console entry."""
    run_command(lambda: tables(parse(Tables, "python -m experiments.tables", Tables.__doc__ or "")))


def tables(options: Tables) -> None:
    """Writes the numbers, or says which are not those of the result files.

    Raises:
        UsageError: to check and to measure at once.
        DataError: with `check`, something differs.
    """
    if options.check and options.measure:
        raise UsageError("--check writes nothing and --measure does; give one of them")
    from experiments.tables.documents import rewritten, write
    from experiments.tables.expect import stale_texts, write_texts
    from experiments.tables.measure import measure
    from experiments.tables.results import ROOT, Results

    for name in options.measure:
        print(measure(name, ROOT))
    results = Results()
    documents = rewritten(ROOT, results)
    names = [f"{path.name}: {name}" for path, found in documents.items() for name in found.changed]
    names += [str(path.relative_to(ROOT)) for path in stale_texts(results)]
    if options.check and names:
        raise DataError(
            f"not as the result files have it: {', '.join(names)}; run python -m experiments.tables"
        )
    write(documents)
    write_texts(results)
    print(*(names or ["nothing differs"]), sep="\n")


if __name__ == "__main__":
    main()
