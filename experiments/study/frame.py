"""The frame of an experiment: its sizes, its stars, what it keeps when it is cut off.

An experiment is a module with a `STUDY`: a function of `Work` that returns a `Result`, which knows its table
and its figure. What took long is kept in `parts/` under its settings, so that a second start goes on;
`experiments.study.running` runs a study as a command and writes what it found.
"""

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, make_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, UsageError
from crlb.files.input import sha256
from crlb.files.output import writing
from crlb.files.records import Json, Record, plain, write_json
from crlb.files.text_input import read_json
from crlb.observation.conditions import PUBLISHED, Conditions
from experiments.study import stars
from experiments.study.clock import Clock
from experiments.study.options import Options
from experiments.study.result import Result
from experiments.study.stars import LABEL, Stars
from specvit_jax import Simulator, make_simulator

T = TypeVar("T")


class AnySize(Protocol):
    """How much of everything, a dataclass of the experiment's own: at least the test set."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def n_test(self) -> int: ...
    @property
    def mag(self) -> tuple[float, float]: ...


S = TypeVar("S", bound=AnySize)


@dataclass(frozen=True)
class Study(Generic[S]):
    """An experiment.

    Args:
        name: that of its module.
        doc: its module's docstring with the lines of `HEADINGS`.
        sizes: preset -> how much of everything.
        run: the computation.
        result: what it returns.
        options: a subclass, where it can be asked for more; one that has the name of a field of the size
            replaces that of the preset.
        seeds: of the random numbers, for the record.
        leaves: files and folders of its own in the output folder.
        unavailable: why it cannot run with these options on this machine, in a sentence; empty if it can.
        conditions: what is unknown of its stars besides their labels.
    """

    name: str
    doc: str
    sizes: Mapping[str, S]
    run: Callable[["Work[S]"], Result]
    result: type[Result]
    options: type[Options] = Options
    seeds: Mapping[str, Json] = field(default_factory=lambda: {"test": stars.TEST_SEED})
    leaves: frozenset[str] = frozenset()
    unavailable: Callable[[Options], str] = lambda options: ""
    conditions: Conditions = PUBLISHED


SomeStudy: TypeAlias = Study[Any]


class Work(Generic[S]):
    """A study under way: its size, its folder, its stars."""

    def __init__(self, study: Study[S], options: Options) -> None:
        self.study, self.options = study, options
        self.size = sized(study, options)
        self.folder = folder_of(study, options)
        self.clock = Clock(self.folder / "seconds.json")
        self.limit_from = ""

    @cached_property
    def simulator(self) -> Simulator:
        """Of training and test spectra."""
        options, conditions = self.options, self.study.conditions
        with self.clock.step("grid and noise"):
            return make_simulator(options.grid, options.noise, self.size.mag, conditions=conditions)

    @cached_property
    def stars(self) -> Stars:
        """The test set."""
        simulator = self.simulator
        with self.clock.step(f"{self.size.n_test:,} test spectra are drawn"):
            return stars.test_stars(simulator, self.size.n_test)

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
        return self.some_posteriors(len(self.stars.mag))

    def some_posteriors(self, n: int) -> Float[np.ndarray, "m n_labels 2"]:
        """Those of all test stars if they are shipped, else of the first `n`, which are computed."""
        path, shipped = self.folder / "posterior.npz", not self.options.recompute_limit
        known, source = stars.stored_posteriors(path, self.stars, shipped)
        if len(known) >= min(n, len(self.stars.mag)):
            self.limit_from = f"read from {source.parent.name}/{source.name}"
            print(f"exact posteriors of {len(known):,} test spectra: {self.limit_from}", file=sys.stderr)
            return known
        some, self.limit_from = self.stars.take(slice(n)), "computed with this result"
        with self.clock.step(f"exact posteriors of {len(some.mag):,} test spectra are computed"):
            return stars.exact_posterior(self.simulator, some, path, shipped)

    @cached_property
    def checksums(self) -> list[str]:
        """Of the files that the spectra are made from."""
        return [sha256(path) for path in stars.source_files(self.options.grid, self.options.noise)]

    @property
    def exact(self) -> Float[np.ndarray, "n 2"]:
        """Exact posterior mean and standard deviation of the study's label of every test star, dex."""
        return self.posteriors[:, self.column]

    @property
    def limit(self) -> float:
        """R2_Bayes of the label on the test stars."""
        return stars.limit(self.truth, self.exact[:, 1])

    def part(self, name: str, settings: Mapping[str, object], kind: type[T], compute: Callable[[], T]) -> T:
        """What `compute` returns, taken from `parts/` where it was computed with the same settings.

        Settings are those given and what the grid and noise files hold, wherever these lie. What another
        version has kept in another form is computed again.

        Args:
            name: of the file.
            settings: all that the value depends on.
            kind: of the value: a record, a number, a tuple or a dictionary of these.
            compute: called where nothing is kept.
        """
        kept = make_dataclass("Kept", [("settings", dict[str, Any]), ("value", kind)], bases=(Record,))
        asked = json.loads(json.dumps(plain(dict(settings)) | {"files": self.checksums}))
        path = self.folder / "parts" / f"{name}.json"
        if (found := _stored(path, asked, kept)) is not None:
            return found.value  # type: ignore[attr-defined]
        value = kept(asked, compute())
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_json(value, path, overwrite=True)
        self.clock.keep()
        return kept.from_json(json.loads(path.read_text())).value  # type: ignore[attr-defined]


def _stored(path: Path, asked: dict[str, Json], kept: type[Record]) -> Record | None:
    """What a file holds, if it is of these settings and of this kind; else None."""
    if not path.exists():
        return None
    values = read_json(path, "part")
    if values.get("settings") != asked:
        return None
    try:
        return kept.from_json(values)
    except DataError:
        return None


def study_of(name: str) -> SomeStudy:
    """The experiment of that name."""
    found = importlib.import_module(f"experiments.{name}").STUDY
    assert isinstance(found, Study)
    return found


def folder_of(study: SomeStudy, options: Options) -> Path:
    """Where a study keeps what it has."""
    return options.out or Path("outputs") / study.name


def sized(study: Study[S], options: Options) -> S:
    """How much of everything: that of the preset, with what is asked for in its place.

    Raises:
        UsageError: no seed, or an experiment that trains nothing.
    """
    size = study.sizes[options.preset]
    known = [part.name for part in fields(size)]
    if options.seeds is not None and ("seeds" not in known or options.seeds < 1):
        raise UsageError(
            f"--seeds must be positive, and {study.name} train networks of several; found {options.seeds}"
        )
    asked = {name: getattr(options, name, None) for name in known}
    return replace(size, **{name: value for name, value in asked.items() if value is not None})


def digest_of(settings: object) -> str:
    """Eight hexadecimal digits of settings, for file names."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
