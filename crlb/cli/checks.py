"""What every command refuses before jax is loaded, a grid is read or anything is computed."""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from crlb.errors import UsageError
from crlb.files.input import check_inputs
from crlb.files.output import check_outputs
from crlb.labels import option_of
from crlb.limits import check_limits
from crlb.suggest import meant

OUTPUTS = ("out", "json", "csv", "plot")  # options that name a file to create
MOST_STARS = 1_000_000  # that are simulated: 16 GB of spectra
PLOT_SUFFIXES = (".png", ".pdf", ".svg")


class Checks:
    """Base of the commands' options: `check` is called before the command itself and costs milliseconds."""

    def outputs(self) -> dict[str, Path | None]:
        """Returns the files the command creates: option -> file; None: not asked for."""
        return {f"--{name}": getattr(self, name, None) for name in OUTPUTS}

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files the command reads: option or argument -> file; None: not given."""
        return {}

    def check(self) -> None:
        """Refuses numbers out of range, outputs that cannot be created, and inputs that are not there.

        Raises:
            OutputError: an output exists, cannot be created, is an input or another output.
            MissingInputError: an input does not exist.
            UsageError: a number is none of its option, a picture is to have another format than .png,
                .pdf or .svg, or there is to be none and --column is given.
        """
        check_limits(self)
        outputs, inputs = self.outputs(), self.inputs()
        check_outputs(outputs, inputs, getattr(self, "overwrite", False))
        check_suffix("--plot", outputs["--plot"], PLOT_SUFFIXES)
        if hasattr(self, "column"):
            check_used(self, "plot", ("column",))
        check_inputs(inputs)


def check_suffix(option: str, path: Path | None, suffixes: Sequence[str]) -> None:
    """Refuses a file whose name does not say one of these formats.

    Raises:
        UsageError: it ends otherwise.
    """
    if path is not None and path.suffix not in suffixes:
        raise UsageError(f"{option} must end in {', '.join(suffixes)}, found {path}")


def check_positive(**values: float | int) -> None:
    """Refuses numbers, named as their options are, that are not positive and finite.

    Raises:
        UsageError: naming the first.
    """
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise UsageError(f"{option_of(name)}: {name} must be positive and finite, found {value:g}")


def check_at_most(**limits: tuple[int | float, int | float]) -> None:
    """Refuses numbers, named as their options are, that are larger than what can be computed.

    Args:
        limits: option -> its value, and the largest.

    Raises:
        UsageError: naming the first.
    """
    for name, (value, most) in limits.items():
        if value > most:
            raise UsageError(f"{option_of(name)} must be at most {most:,}, found {value:,}")


def check_names(option: str, names: Sequence[str], known: Sequence[str], owner: str = "this grid") -> None:
    """Refuses names that do not exist.

    Raises:
        UsageError: naming the first, and what there is.
    """
    for name in names:
        if name not in known:
            raise UsageError(
                f"{option}: unknown label {name}: {owner} has {', '.join(known)}{meant(name, known)}"
            )


def check_used(command: Any, switch: str, names: Sequence[str]) -> None:
    """Refuses options of a command that have no effect without another one.

    Args:
        command: the options, a dataclass.
        switch: the field without which the others do nothing.
        names: the fields that need it.

    Raises:
        UsageError: one of them is not as by default, though `switch` is off.
    """
    if getattr(command, switch):
        return
    defaults = {one.name: one.default for one in fields(command) if one.default is not MISSING}
    for name in names:
        if getattr(command, name) != defaults[name]:
            raise UsageError(
                f"{option_of(name)} has no effect without {option_of(switch)}; leave it out, or add that"
            )
