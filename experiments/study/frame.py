"""The frame of an experiment: its sizes, what it keeps when it is cut off, what it leaves behind.

An experiment is a module with a `STUDY`: a function of `Work` that returns plain JSON values, a table of them
and a figure of them. `enter` runs it as a command and leaves `results.json`, `table.md`, `figure.png` and
`figure.pdf`; what took long is kept in `parts/` under its settings, so that a second start goes on.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure

from crlb.errors import OutputError, UsageError, run_cli
from crlb.files.output import new_file, writing
from experiments.study import drawing, stars
from experiments.study.stars import LABEL, SNR_DEFINITION, Stars
from specvit_jax.spectra.shard_set import sha256
from specvit_jax.spectra.source import Simulator, make_simulator

OWN = {"results.json", "table.md", "figure.png", "figure.pdf", "parts", "runs", "posterior.npz"}
HEADINGS = ("Claim", "Command", "Hardware", "Expect")


@dataclass(frozen=True)
class Options:
    """What every experiment can be asked for."""

    preset: Literal["smoke", "cpu", "gpu"] = "cpu"
    """smoke: seconds, to see that it runs; cpu: hours at the most on two cores; gpu: the published sizes."""
    grid: Path | None = None
    """Grid file (HDF5, vacuum wavelengths in Å); default: the embedded grid."""
    noise: Path | None = None
    """Noise curves (HDF5); default: the built-in ones of the PFS medium-resolution red arm."""
    out: Path | None = None
    """Folder of the results; default: outputs/ and the experiment's name. What is there is continued."""
    seeds: int | None = None
    """Trainings of every network, with seeds 42, 43, ...; default: those of the preset."""


class Study(NamedTuple):
    """An experiment; `doc` is its module's docstring with the lines of `HEADINGS`."""

    name: str
    doc: str
    sizes: Mapping[str, Any]  # preset -> how much of everything; has n_test and mag
    run: Callable[["Work"], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    draw: Callable[[dict[str, Any]], Figure]
    options: type[Options] = Options  # a subclass, where an experiment can be asked for more


class Work:
    """A study under way: its size, its folder, its stars."""

    def __init__(self, study: Study, options: Options) -> None:
        self.study, self.options = study, options
        self.size = sized(study, options)
        self.folder = options.out or Path("outputs") / study.name

    @cached_property
    def simulator(self) -> Simulator:
        """Of training and test spectra."""
        return make_simulator(self.options.grid, self.options.noise, self.size.mag)

    @cached_property
    def stars(self) -> Stars:
        """The test set."""
        return stars.test_stars(self.simulator, self.size.n_test)

    @cached_property
    def column(self) -> int:
        """Of the label in `Stars.labels`."""
        return self.simulator.label_names.index(LABEL)

    @cached_property
    def truth(self) -> Float[np.ndarray, " n"]:
        """The label of the test stars, dex."""
        return self.stars.labels[:, self.column]

    @cached_property
    def posteriors(self) -> Float[np.ndarray, "n n_labels 2"]:
        """Exact posterior mean and standard deviation of every label of every test star, in its unit."""
        return stars.exact_posterior(self.simulator, self.stars, self.folder / "posterior.npz")

    @cached_property
    def checksums(self) -> list[str]:
        """Of the files that the spectra are made from."""
        return [sha256(path) for path in stars.source_files(self.options.grid, self.options.noise)]

    @property
    def exact(self) -> Float[np.ndarray, "n 2"]:
        """Those of the label, dex."""
        return self.posteriors[:, self.column]

    def part(self, name: str, settings: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """The JSON value of `compute`, taken from `parts/` where it was computed with the same settings.

        Settings are those given and what the grid and noise files hold, wherever these lie.
        """
        asked = json.loads(json.dumps(dict(settings) | {"files": self.checksums}))
        path = self.folder / "parts" / f"{name}.json"
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["settings"] == asked:
                return kept["value"]
        value = json.loads(json.dumps(compute(), allow_nan=False))
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"settings": asked, "value": value}))
        return value


def sized(study: Study, options: Options) -> Any:
    """How much of everything: that of the preset, with the seeds that are asked for.

    Raises:
        UsageError: no seed, or an experiment that trains nothing.
    """
    size = study.sizes[options.preset]
    if options.seeds is None:
        return size
    if not hasattr(size, "seeds") or options.seeds < 1:
        raise UsageError(
            f"--seeds must be positive, and {study.name} train networks of several; got {options.seeds}"
        )
    return replace(size, seeds=options.seeds)


def enter(study: Study) -> None:
    """Console entry of an experiment."""
    options = tyro.cli(study.options, prog=f"python -m experiments.{study.name}", description=study.doc)
    run_cli(lambda: print(*report(study, options), sep="\n"))


def report(study: Study, options: Options) -> list[Path]:
    """Runs a study, or goes on with it, and writes what it found."""
    work = Work(study, options)
    claim_folder(work.folder)
    begin = time.monotonic()
    results = frame(work) | study.run(work)
    results["provenance"] = provenance(options, time.monotonic() - begin, study.name)
    text = study.table(results)
    written = write_results(work.folder, results, text)
    print(text)
    return [written, *drawing.save(study.draw, results, work.folder)]


def write_results(folder: Path, results: dict[str, Any], text: str) -> Path:
    """Writes ``results.json`` and the table ``table.md``; returns the path of the former.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    numbers = json.dumps(results, indent=1, allow_nan=False)
    for name, content in (("results.json", numbers), ("table.md", text)):
        with new_file(folder / name, overwrite=True) as temporary:
            temporary.write_text(content + "\n")
    return folder / "results.json"


def describe_grid(path: Path | None, simulator: Simulator) -> dict[str, str]:
    """How a result names the grid of its spectra."""
    title = path.name if path else "embedded (own LTE synthesis, not BOSZ)"
    return {"title": title, "source": simulator.emulator.source}


def frame(work: Work) -> dict[str, Any]:
    """What every result begins with."""
    head = header(work.study.doc)
    return {
        "experiment": work.study.name,
        "title": work.study.doc.strip().splitlines()[0].rstrip("."),
        "claim": head["Claim"],
        "expect": head["Expect"],
        "preset": work.options.preset,
        "size": asdict(work.size),
        "label": LABEL,
        "snr_definition": SNR_DEFINITION,
        "grid": describe_grid(work.options.grid, work.simulator),
        "test": stars.about(work.stars, work.size.mag),
    }


def header(doc: str) -> dict[str, str]:
    """The paragraphs of a docstring that begin with the words of `HEADINGS`, each as one line."""
    found, key = dict.fromkeys(HEADINGS, ""), ""
    for line in doc.splitlines():
        word, _, rest = line.partition(":")
        key = word if word in HEADINGS else key if re.match(r"\s+\S", line) else ""
        text = rest if word in HEADINGS else line
        if key:
            found[key] = f"{found[key]} {text.strip()}".strip()
    return found


def claim_folder(folder: Path, own: set[str] = OWN) -> None:
    """Creates the output folder, or stops if it holds anything but earlier results.

    Raises:
        OutputError: it cannot be created, or holds files that are not `own`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"--out must be a folder that can be created, got {folder}: {error.strerror}"
        ) from error
    strange = sorted(path.name for path in folder.iterdir() if path.name not in own)
    if strange:
        raise OutputError(
            f"--out {folder} holds other files ({', '.join(strange[:3])}); name an empty folder"
        )


def provenance(options: Any, seconds: float, name: str) -> dict[str, Any]:
    """How the numbers of an experiment were made; `seconds` are those of its last start."""
    packages = ("specvit-jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
    return {
        "command": shlex.join(["python", "-m", f"experiments.{name}", *sys.argv[1:]]),
        "options": {
            key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()
        },
        "seeds": {"test": stars.TEST_SEED},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "device": str(jax.devices()[0].device_kind),
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }


def digest_of(settings: Any) -> str:
    """Eight hexadecimal digits of settings, for file names."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
