"""The main job: two studies under one clock."""

import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from crlb.files.records import write_json
from crlb.files.text_input import read_json
from experiments.main_figure.timing import Timing, machine, measure
from experiments.study.clock import Spent
from experiments.study.frame import SomeStudy, study_of
from experiments.study.options import Options
from experiments.study.running import report

if TYPE_CHECKING:
    from experiments.main_figure.__main__ import MainFigure

STUDIES = ("r2_vs_snr", "survey")


def draw(asked: "MainFigure") -> tuple[Timing, list[Path]]:
    """Runs the studies, or goes on with them; returns what it took and the files that it left."""
    start = time.time()
    before = start - min(start, asked.begun or start)
    yardstick, paths, spent = measure(), [], {}
    for name in STUDIES[:1] if asked.grid else STUDIES:
        print(f"== {name}", file=sys.stderr, flush=True)
        study, out = study_of(name), asked.out / name
        paths += report(study, options_of(study, asked, out))
        spent[name] = Spent.from_json(read_json(out / "seconds.json", "time spent"))
    timing = Timing(
        seconds=round(before + time.time() - start, 1),
        before=round(before, 1),
        studies=spent,
        yardstick=yardstick,
        machine=machine(),
    )
    path = asked.out / "figure_time.json"
    write_json(timing, path, overwrite=True)
    return timing, [*paths, path]


def options_of(study: SomeStudy, asked: "MainFigure", out: Path) -> Options:
    """The options of a study: what it shares with those of the job."""
    shared = {one.name for one in fields(study.options)} & {one.name for one in fields(asked)}
    options: Options = study.options(**{name: getattr(asked, name) for name in shared} | {"out": out})
    return options
