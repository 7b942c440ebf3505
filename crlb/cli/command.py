"""The commands of `crlb` under one roof.

Exit codes: 0 done, 2 usage, 65 unusable data, 66 missing input, 70 numbers not finite, 73 cannot create
output, 74 a write failed (disk full, read-only), 75 interrupted and resumable, or locked by another process,
78 a setting or config file is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import tyro

from crlb.cli.bosz import Build, Download, Index
from crlb.cli.ceiling import Ceiling
from crlb.cli.grid import Info, Synthesize
from crlb.cli.information import Information
from crlb.cli.nuisances import NuisancesOptions
from crlb.cli.posterior import PosteriorOf
from crlb.cli.star import Fisher, Spectrum
from crlb.cli.validate import Validate
from crlb.errors import run_cli


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

    def __call__(self) -> None:
        self.action()


Command = (
    Annotated[Ceiling, tyro.conf.subcommand("ceiling")]
    | Annotated[Fisher, tyro.conf.subcommand("fisher")]
    | Annotated[Spectrum, tyro.conf.subcommand("spectrum")]
    | Annotated[Information, tyro.conf.subcommand("information")]
    | Annotated[NuisancesOptions, tyro.conf.subcommand("nuisances")]
    | Annotated[PosteriorOf, tyro.conf.subcommand("posterior")]
    | Annotated[Grid, tyro.conf.subcommand("grid")]
)


def parse(args: list[str] | None = None) -> Callable[[], None]:
    """Returns the command that `args` (default: the command line) ask for, not yet run."""
    return tyro.cli(
        Command,
        prog="crlb",
        description=__doc__,
        args=args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def main() -> None:
    """Entry point of the console script: float64 throughout."""
    command = parse()
    import jax

    jax.config.update("jax_enable_x64", True)
    run_cli(command)
