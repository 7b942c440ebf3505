"""Input files that are looked for before anything else is done."""

from collections.abc import Mapping
from pathlib import Path

from crlb.errors import MissingInputError


def check_inputs(inputs: Mapping[str, Path | None]) -> None:
    """Refuses inputs that are not there, before any of them is read.

    Args:
        inputs: option or argument ("--grid", "SPECTRA") -> the file it reads; None: not given.

    Raises:
        MissingInputError: one does not exist or is not a file.
    """
    for name, path in inputs.items():
        if path is not None and not path.is_file():
            raise MissingInputError(f"{name} {path} does not exist or is not a file; give one that does")
