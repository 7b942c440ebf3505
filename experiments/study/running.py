"""A study as a command: it runs, or goes on, and leaves results.json, table.md, figure.png and figure.pdf."""

from dataclasses import asdict, replace
from pathlib import Path

import tyro

from crlb.errors import OutputError, run_cli
from crlb.files.output import new_file
from crlb.files.records import write_json
from experiments.study import stars
from experiments.study.frame import Options, S, SomeStudy, Study, Work
from experiments.study.plotting import save
from experiments.study.result import GridName, Result, header, provenance, title_of
from specvit_jax import Simulator

OWN = frozenset({"results.json", "table.md", "figure.png", "figure.pdf", "seconds.json"})
OWN |= {"parts", "runs", "posterior.npz"}


def enter(study: SomeStudy) -> None:
    """Console entry of an experiment."""
    options = tyro.cli(study.options, prog=f"python -m experiments.{study.name}", description=study.doc)
    run_cli(lambda: print(*report(study, options), sep="\n"))


def report(study: Study[S], options: Options) -> list[Path]:
    """Runs a study, or goes on with it, and writes what it found; returns the files."""
    work = Work(study, options)
    claim_folder(work.folder, OWN | study.leaves)
    try:
        result = framed(study.run(work), work)
    finally:
        work.clock.keep()
    text = result.table()
    write_json(result, work.folder / "results.json", overwrite=True)
    with new_file(work.folder / "table.md", overwrite=True) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    print(text)
    return [work.folder / "results.json", *save(result.plot, work.folder)]


def framed(result: Result, work: Work[S]) -> Result:
    """The result with what every result has; a test set or a title of its own stays."""
    study, head = work.study, header(work.study.doc)
    grid = result.grid if result.grid.title else describe_grid(work.options.grid, work.simulator)
    return replace(
        result,
        experiment=study.name,
        title=result.title or title_of(study.doc),
        claim=head["Claim"],
        expect=head["Expect"],
        preset=work.options.preset,
        size=asdict(work.size),
        grid=grid,
        test=result.test if result.test.n else stars.about(work.stars, work.size.mag),
        provenance=provenance(study.name, asdict(work.options), study.seeds, work.clock.seconds),
    )


def describe_grid(path: Path | None, simulator: Simulator) -> GridName:
    """How a result names the grid of its spectra."""
    title = path.name if path else "embedded (own LTE synthesis, not BOSZ)"
    return GridName(title=title, source=simulator.emulator.source)


def claim_folder(folder: Path, own: frozenset[str] = OWN) -> None:
    """Creates the output folder, or stops if it holds anything but earlier results.

    Raises:
        OutputError: it cannot be created, or holds files that are not `own`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"--out must be a folder that can be created, found {folder}: {error.strerror}"
        ) from error
    strange = sorted(path.name for path in folder.iterdir() if path.name not in own)
    if strange:
        raise OutputError(
            f"--out {folder} holds other files ({', '.join(strange[:3])}); name an empty folder"
        )
