"""Draws the figures of results anew, each for a page and for a column, with its caption; computes nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crlb.command_line import parse
from crlb.errors import UsageError
from crlb.program import run_command
from crlb.suggest import meant

if TYPE_CHECKING:
    from experiments.study.plotting import Drawn
    from experiments.study.result import Result

DOCUMENTS = ("r2_vs_snr", "specvit", "interpolation", "cost", "synthesis_realism")  # in docs/


@dataclass(frozen=True)
class Figures:
    """Figures and captions of results/NAME and of docs, from committed results.

    To copy and paste:
      python -m experiments.figures
      python -m experiments.figures --only position survey
    """

    results: Path = Path("results")
    """Folder of results: NAME/results.json, as experiments leave them."""
    docs: Path = Path("docs")
    """Folder of r2_vs_snr.json and interpolation.json, and of all figures of pages."""
    benchmarks: Path = Path("benchmarks/results")
    """Folder of cost.json and synthesis_realism_spectra.json."""
    only: tuple[str, ...] = ()
    """Names of experiments and of figures in docs; default: all there are."""


def main() -> None:
    """Console entry."""
    run_command(lambda: draw_all(parse(Figures, "python -m experiments.figures", __doc__ or "")))


def draw_all(options: Figures) -> None:
    """Draws every figure asked for.

    Raises:
        UsageError: no figure of that name, or no result to draw it from.
    """
    known = (*DOCUMENTS, *sorted(path.parent.name for path in options.results.glob("*/results.json")))
    unknown = [name for name in options.only if name not in known]
    if unknown:
        raise UsageError(
            f"--only must name figures of which there are results, {', '.join(known)}; found {unknown[0]}"
            f"{meant(unknown[0], known)}"
        )
    for name in options.only or known:
        for path in drawn(name, options):
            print(path, flush=True)


def drawn(name: str, options: Figures) -> list[Path]:
    """Draws one figure and returns its files."""
    from experiments.study.plotting import save

    if name in DOCUMENTS:
        return save(of_docs(name, options), options.docs, name, f"{name}_caption.md")
    return save(read(name, options.results / name / "results.json"), options.results / name)


def of_docs(name: str, options: Figures) -> "Drawn":
    """What a figure of docs is drawn from."""
    from crlb.validation.result import Validation
    from experiments.figures.cost import Cost
    from experiments.figures.realism import Realism
    from experiments.figures.specvit import Diagram
    from specvit_jax import preset

    if name == "specvit":
        return Diagram(preset("paper"), preset("tiny"))
    if name == "r2_vs_snr":
        return read(name, options.docs / f"{name}.json")
    if name == "interpolation":
        return Validation.from_json(content(options.docs / f"{name}.json")["validate"])
    if name == "cost":
        return Cost.read(content(options.benchmarks / f"{name}.json"))
    return Realism.from_json(content(options.benchmarks / f"{name}_spectra.json"))


def read(name: str, path: Path) -> "Result":
    """The result of an experiment."""
    from experiments.study.frame import Study, study_of

    study = study_of(name)
    assert isinstance(study, Study)
    return study.result.from_json(content(path))


def content(path: Path) -> Any:
    """The JSON object in a file of results."""
    from crlb.files.text_input import read_json

    return read_json(path, "results")


if __name__ == "__main__":
    main()
