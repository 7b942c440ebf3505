"""What spectra can tell of stars: ceilings of any method, posteriors of single stars, grids of models.

Where to start: `crlb ceiling` prints how well log g can be known at each magnitude, `crlb posterior
star.fits` reads your spectrum, `crlb grid info` shows the embedded grid; `crlb COMMAND --help` has examples.

Exit codes: 0 done, 2 usage, 65 unusable data, 66 missing input, 70 numbers not finite, 73 cannot create
output, 74 a write failed (disk full, read-only), 75 interrupted and resumable, or locked by another process,
78 a setting or config file is wrong, 130 stopped by Ctrl-C, 143 by SIGTERM.
`crlb --version` prints the version; `source <(crlb --completion bash)` completes commands and options in this
shell (zsh, fish likewise).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import tyro

from crlb import command_line
from crlb.cli.bosz import Build, Download, Index
from crlb.cli.ceiling import Ceiling
from crlb.cli.check_spectra import CheckSpectra
from crlb.cli.compare import Compare
from crlb.cli.fisher import Fisher
from crlb.cli.grid import Info, Synthesize
from crlb.cli.information import Information
from crlb.cli.instruments import Instrument, Instruments
from crlb.cli.nuisances import NuisancesOptions
from crlb.cli.plan import PlanOptions
from crlb.cli.posterior import PosteriorOf
from crlb.cli.spectrum import Spectrum
from crlb.cli.validate import Validate


@runtime_checkable
class Action(Protocol):
    """A command: its options can be checked before it is run."""

    def check(self) -> None:
        """Refuses what cannot work."""

    def __call__(self) -> None:
        """Does the work."""


@dataclass(frozen=True)
class Grid:
    """Makes, fetches, checks and shows grids of model spectra."""

    action: (
        Annotated[Info, tyro.conf.subcommand("info")]
        | Annotated[Validate, tyro.conf.subcommand("validate")]
        | Annotated[Index, tyro.conf.subcommand("index")]
        | Annotated[Download, tyro.conf.subcommand("download")]
        | Annotated[Build, tyro.conf.subcommand("build")]
        | Annotated[Synthesize, tyro.conf.subcommand("synthesize")]
    )

    def check(self) -> None:
        """Refuses what the action does."""
        self.action.check()

    def __call__(self) -> None:
        self.action()


Command = (
    Annotated[Ceiling, tyro.conf.subcommand("ceiling")]
    | Annotated[Fisher, tyro.conf.subcommand("fisher")]
    | Annotated[PlanOptions, tyro.conf.subcommand("plan")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Spectrum, tyro.conf.subcommand("spectrum")]
    | Annotated[Information, tyro.conf.subcommand("information")]
    | Annotated[NuisancesOptions, tyro.conf.subcommand("nuisances")]
    | Annotated[CheckSpectra, tyro.conf.subcommand("check")]
    | Annotated[PosteriorOf, tyro.conf.subcommand("posterior")]
    | Annotated[Grid, tyro.conf.subcommand("grid")]
    | Annotated[Instruments, tyro.conf.subcommand("instruments")]
    | Annotated[Instrument, tyro.conf.subcommand("instrument")]
)


def parse(args: list[str] | None = None) -> Callable[[], None]:
    """Returns the command that `args` (default: the command line) ask for, not yet run.

    When called, it checks its options and files first, which takes milliseconds and loads no jax.
    """
    return checked(command_line.parse(Command, "crlb", __doc__ or "", args))


def checked(command: "Action") -> Callable[[], None]:
    """Returns a function that checks a command's options, then runs it."""

    def run() -> None:
        command.check()
        command()

    return run
