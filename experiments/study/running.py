"""A study carried out: it runs, or goes on, and leaves results, a table, a figure and its caption."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

from crlb.errors import OutputError
from crlb.files.folders import check_links, check_outside, tree
from crlb.files.input import check_inputs
from crlb.files.output import is_temporary, new_file
from crlb.files.records import write_json
from crlb.limits import check_limits
from experiments.study import stars
from experiments.study.frame import S, Study, Work, folder_of, sized
from experiments.study.options import Options
from experiments.study.plotting import save
from experiments.study.result import GridName, Result, header, provenance, title_of
from specvit_jax import Simulator

FIGURE = frozenset({"figure.png", "figure.pdf", "figure_column.pdf", "caption.md"})
OWN = frozenset({"results.json", "table.md", "seconds.json"}) | FIGURE
OWN |= {"parts", "runs", "posterior.npz"}
NOTHING: Mapping[str, Path | None] = {}


def report(study: Study[S], options: Options) -> list[Path]:
    """Runs a study, or goes on with it, and writes what it found; returns the files."""
    check_limits(options)
    sized(study, options)  # refused before there is a folder
    inputs = inputs_of(options)
    check_inputs(inputs)
    claim_folder(folder_of(study, options), OWN | study.leaves, inputs)
    work = Work(study, options)
    try:
        result = framed(study.run(work), work)
    finally:
        work.clock.keep()
    text = result.table()
    write_json(result, work.folder / "results.json", overwrite=True)
    with new_file(work.folder / "table.md", overwrite=True) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    print(result.shown())
    return [work.folder / "results.json", work.folder / "table.md", *save(result, work.folder)]


def inputs_of(options: Options) -> dict[str, Path | None]:
    """The files that an experiment is asked to read: option -> file."""
    given = {f"--{one.name}": getattr(options, one.name) for one in fields(options) if one.name != "out"}
    return {name: path for name, path in given.items() if isinstance(path, Path)}


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
        limit_from=work.limit_from,
        provenance=provenance(study.name, asdict(work.options), study.seeds, work.clock.seconds),
    )


def describe_grid(path: Path | None, simulator: Simulator) -> GridName:
    """How a result names the grid of its spectra."""
    title = path.name if path else "embedded (own LTE synthesis, not BOSZ)"
    return GridName(title=title, source=simulator.emulator.source)


def claim_folder(
    folder: Path, own: frozenset[str] = OWN, inputs: Mapping[str, Path | None] = NOTHING
) -> None:
    """Creates the output folder, or stops if it holds anything but earlier results.

    Args:
        folder: the folder.
        own: names of what an experiment leaves there.
        inputs: option -> file that it reads.

    Raises:
        OutputError: it cannot be created, or holds files that are not `own`, a symbolic link, or an input.
    """
    check_outside(folder, inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"--out must be a folder that can be created, found {folder}: {error.strerror}"
        ) from error
    names = [path.name for path in folder.iterdir() if not is_temporary(path.name)]
    strange = sorted(name for name in names if name not in own)
    if strange:
        raise OutputError(
            f"--out {folder} holds other files ({', '.join(strange[:3])}); name an empty folder"
        )
    check_links(inner for name in sorted(own) for inner in tree(folder / name))
