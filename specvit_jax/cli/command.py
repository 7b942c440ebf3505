"""A network that reads log g and other labels from stellar spectra: used, judged, trained.

Where to start: `specvit doctor` says whether the installation is sound, `specvit predict tiny star.fits --out
labels.ecsv` reads your spectrum with the shipped network, `specvit COMMAND --help` has examples to copy.

Exit codes: 0 done, 2 usage, 65 unusable data, 66 missing input, 70 numbers not finite or an
installation that is not sound, 73 cannot create
output, 74 a write failed (disk full, read-only), 75 interrupted and resumable, or locked by another process
(69: one that trains this run), 78 a setting or config file is wrong, 130 stopped by Ctrl-C, 143 by SIGTERM.
`specvit --version` prints the version; `source <(specvit --completion bash)` completes commands and options
in this shell (zsh, fish likewise).
"""

from collections.abc import Callable
from typing import Annotated

import tyro

from crlb import command_line
from crlb.limits import check_limits
from specvit_jax.cli.doctor import Doctor
from specvit_jax.cli.evaluate import Evaluate
from specvit_jax.cli.export import Export
from specvit_jax.cli.import_ import Import
from specvit_jax.cli.info import Info
from specvit_jax.cli.predict import Predict
from specvit_jax.cli.report import Report
from specvit_jax.cli.runs import Runs
from specvit_jax.cli.settings import ShowSettings
from specvit_jax.cli.simulate import Simulate
from specvit_jax.cli.sweep import Sweep
from specvit_jax.cli.train import Train

Command = (
    Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Runs, tyro.conf.subcommand("runs")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[ShowSettings, tyro.conf.subcommand("settings")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def parse(args: list[str] | None = None) -> Callable[[], None]:
    """The command that `args` (default: the command line) ask for, not yet run.

    Raises:
        UsageError: no such command, or a number that its option cannot have.
    """
    command: Callable[[], None] = command_line.parse(Command, "specvit", __doc__ or "", args)
    check_limits(command)
    return command
