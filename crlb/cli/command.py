"""The commands of `crlb` under one roof.

Exit codes: 0 done, 2 usage, 65 unusable data, 66 missing input, 70 numbers not finite, 73 cannot create
output.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import tyro

from crlb.cli.ceiling import Ceiling
from crlb.cli.grid import Info, Synthesize
from crlb.cli.information import Information
from crlb.cli.star import Fisher, Spectrum
from crlb.errors import run_cli


@dataclass(frozen=True)
class Grid:
    """Makes and shows grids of model spectra."""

    action: (
        Annotated[Synthesize, tyro.conf.subcommand("synthesize")]
        | Annotated[Info, tyro.conf.subcommand("info")]
    )

    def __call__(self) -> None:
        self.action()


Command = (
    Annotated[Ceiling, tyro.conf.subcommand("ceiling")]
    | Annotated[Fisher, tyro.conf.subcommand("fisher")]
    | Annotated[Spectrum, tyro.conf.subcommand("spectrum")]
    | Annotated[Information, tyro.conf.subcommand("information")]
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
