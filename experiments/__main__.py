"""All experiments, one after the other; each goes on where it was cut off.

`python -m experiments --preset cpu` ends within a day on two cores, `--preset smoke` within ten minutes.
"""

import importlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from crlb.errors import EXPECTED, Interrupted, UsageError, run_cli
from experiments.study.frame import SomeStudy, Study
from experiments.study.running import report

# Those that a reader of the main figure asks for next come first.
NAMES = (
    "r2_vs_snr",
    "accuracy",
    "survey",
    "budgets",
    "distillation",
    "chance",
    "scaling",
    "original_recipe",
    "tokenization",
    "residuals",
    "uncertainty",
    "efficiency",
    "attention",
    "loss_and_scaling",
    "position",
    "multitask",
    "robustness",
    "snapping",
    "capacity",
    "transfer_learning",
    "tokenizer_start",
    "observed",
)


@dataclass(frozen=True)
class All:
    """Every experiment of the comparison, or some of them.

    Examples:
      python -m experiments --preset smoke
      python -m experiments --only scaling tokenization
    """

    preset: Literal["smoke", "cpu", "gpu"] = "cpu"
    """smoke: minutes, to see that all run; cpu: a day on two cores; gpu: the published sizes."""
    only: tuple[str, ...] = ()
    """Names of experiments; default: all, in the order of their importance."""
    out: Path = Path("outputs")
    """Folder in which each gets one of its own."""


def main() -> None:
    """Console entry."""
    options = tyro.cli(All, prog="python -m experiments", description=__doc__)
    run_cli(lambda: run_all(options))


def run_all(options: All) -> None:
    """Runs the experiments; one that fails does not keep the others from running.

    Raises:
        UsageError: no experiment of that name; or, once all have run, some could not.
        Interrupted: stopped; the same command goes on.
    """
    unknown = [name for name in options.only if name not in NAMES]
    if unknown:
        raise UsageError(f"--only must name experiments among {', '.join(NAMES)}; found {unknown[0]}")
    failed = []
    for name in options.only or NAMES:
        begin = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            found = study(name)
            asked = found.options(options.preset, out=options.out / name)
            if reason := found.unavailable(asked):
                print(f"skipped: {name}: {reason}", file=sys.stderr)
                continue
            paths = report(found, asked)
        except Interrupted:
            raise
        except EXPECTED as error:
            failed.append(name)
            print(f"error: {name}: {error}", file=sys.stderr)
            continue
        print(*paths, f"{name}: {time.monotonic() - begin:.0f} s", sep="\n", flush=True)
    if failed:
        raise UsageError(f"{len(failed)} of the experiments did not run: {', '.join(failed)}; see above")


def study(name: str) -> SomeStudy:
    """The experiment of that name."""
    found = importlib.import_module(f"experiments.{name}").STUDY
    assert isinstance(found, Study)
    return found


if __name__ == "__main__":
    main()
