"""The options of every command, as its `--help` says them."""

import io
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from functools import partial
from unittest.mock import patch

import crlb.cli.command
import crlb.command_line
import specvit_jax.cli.command

WIDTH = "100"  # columns of the help
PROGRAMS = {"crlb": crlb.cli.command, "specvit": specvit_jax.cli.command}
MODULES = (
    *("experiments", "experiments.r2_vs_snr", "experiments.tables"),
    *("experiments.baselines fit", "experiments.baselines evaluate"),
)


def subcommands(kind: object) -> Iterator[tuple[str, ...]]:
    """Yields the names of the commands of a program, `("grid", "info")` where one has actions of its own.

    Args:
        kind: union of annotated dataclasses, as the programs parse them.
    """
    for name, command in crlb.command_line.commands(kind).items():
        below = list(subcommands(command)) or [()]
        yield from ((name, *rest) for rest in below)


def program(name: str) -> str:
    """Returns the page of a program: what it says of itself and of each of its commands."""
    parts = [f"# The commands of `{name}`", "As `--help` prints them; options may stand in any order."]
    for words in ((), *subcommands(PROGRAMS[name].Command)):
        said = help_of(partial(PROGRAMS[name].parse, [*words, "--help"]))
        parts.append(f"## {' '.join([name, *words])}\n\n```text\n{said}\n```")
    return "\n\n".join(parts) + "\n"


def modules() -> str:
    """Returns the page of what is started by `python -m`."""
    parts = [
        "# `python -m experiments`",
        "Experiments share their options.",
    ]
    for words in MODULES:
        module, *rest = words.split()
        said = help_of(partial(_run, module, [*rest, "--help"]))
        parts.append(f"## python -m {words}\n\n```text\n{said}\n```")
    return "\n\n".join(parts) + "\n"


def help_of(ask: Callable[[], object]) -> str:
    """Returns what is printed by a call that ends the program, as `--help` does."""
    said = io.StringIO()
    quiet = patch.dict(os.environ, {"COLUMNS": WIDTH, "NO_COLOR": "1"})
    with redirect_stdout(said), quiet, suppress(SystemExit):
        ask()
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def _run(module: str, args: list[str]) -> None:
    with patch.object(sys, "argv", [module, *args]):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
