"""The commands of `specvit` under one roof.

Exit codes: 0 done, 2 usage, 65 unusable data, 66 missing input, 70 numbers not finite, 73 cannot create
output, 74 a write failed (disk full, read-only), 75 interrupted and resumable, or locked by another process
(69: one that trains this run), 78 a setting or config file is wrong, 130 stopped by Ctrl-C, 143 by SIGTERM.
`specvit --version` prints the version.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import tyro

from specvit_jax.cli.evaluate import Evaluate
from specvit_jax.cli.info import Info
from specvit_jax.cli.predict import Predict
from specvit_jax.cli.report import Report
from specvit_jax.cli.runs import Runs
from specvit_jax.cli.simulate import Simulate
from specvit_jax.cli.sweep import Sweep
from specvit_jax.cli.train import Train

Command = (
    Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Runs, tyro.conf.subcommand("runs")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
)


def parse(args: list[str] | None = None) -> Callable[[], None]:
    """The command that `args` (default: the command line) ask for, not yet run."""
    if (sys.argv[1:] if args is None else args) == ["--version"]:
        print(f"specvit {version('specvit-jax')}")
        sys.exit(0)
    return tyro.cli(
        Command,
        prog="specvit",
        description=__doc__,
        args=args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )
