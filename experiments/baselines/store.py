"""Fitted baselines in files: one npz with the kind, the names of its labels and its arrays; no pickles."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.npz import read_npz, write_npz
from crlb.files.output import new_file
from experiments.baselines.protocol import Arrays, Baseline
from experiments.baselines.registry import KINDS

FORMAT = "specvit-jax baseline 1"
ABOUT = ("format", "kind", "label_names", "mean_flux")  # beside the arrays of the baseline itself


class Stored(NamedTuple):
    """A fitted baseline, and what it takes to apply it to a file.

    Args:
        baseline: fitted.
        label_names: of what it predicts, in order; units of `crlb.labels`.
        mean_flux: of the spectra it was chosen on, pixel by pixel: stands in where a pixel is unusable.
    """

    baseline: Baseline
    label_names: tuple[str, ...]
    mean_flux: Float[np.ndarray, " n_pix"]


def save(path: str | Path, stored: Stored, overwrite: bool = False) -> None:
    """Writes a fitted baseline, whole or not at all.

    Raises:
        UsageError: not fitted yet, or of a kind that `load` does not know.
        OutputError: the file exists and `overwrite` is False, or cannot be created.
    """
    kind = type(stored.baseline).__name__
    if kind not in KINDS:
        raise UsageError(f"a stored baseline must be one of {', '.join(KINDS)}, found {kind}")
    about = {
        "format": np.array(FORMAT),
        "kind": np.array(kind),
        "label_names": np.array(stored.label_names),
        "mean_flux": stored.mean_flux,
    }
    arrays = {f"baseline/{name}": array for name, array in stored.baseline.arrays().items()}
    with new_file(path, overwrite) as temporary, temporary.open("wb") as file:
        write_npz(file, about | arrays)


def load(path: str | Path) -> Stored:
    """The fitted baseline in a file.

    Raises:
        MissingInputError: no such file, or a package it needs is not installed.
        DataError: not a file that `save` wrote, or a damaged one.
    """
    arrays = read(Path(path))
    found = str(arrays.get("format"))
    if found != FORMAT:
        raise DataError(f"baseline {path} must have format {FORMAT!r}, found {found!r}")
    _check_finite(path, arrays)
    try:
        own = {name.removeprefix("baseline/"): array for name, array in arrays.items() if name not in ABOUT}
        names = tuple(map(str, arrays["label_names"]))
        return Stored(restore(str(arrays["kind"]), own), names, arrays["mean_flux"])
    except KeyError as error:
        raise DataError(
            f"baseline {path} lacks {error}; it was cut, mixed up or stored by an older version"
        ) from error


def _check_finite(path: str | Path, arrays: Arrays) -> None:
    """Refuses numbers from which nothing can be predicted.

    Raises:
        DataError: naming the array.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "c" or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise DataError(f"baseline {path}: {name} must be finite real numbers; fit it again")


def read(path: Path) -> Arrays:
    """All arrays of an npz file.

    Raises:
        MissingInputError: no such file.
        DataError: not an npz file, a damaged one, or one that holds pickles.
    """
    if not path.is_file():
        raise MissingInputError(f"baseline {path} does not exist; write it with: fit NAME --out FILE.npz")
    return read_npz(path, "baseline")


def restore(kind: str, arrays: Arrays) -> Baseline:
    """The fitted baseline of a kind.

    Raises:
        KeyError: an array is missing.
        DataError: an unknown kind.
    """
    if kind not in KINDS:
        raise DataError(f"a stored baseline must be one of {', '.join(KINDS)}, found {kind!r}")
    return KINDS[kind].restore(arrays)
