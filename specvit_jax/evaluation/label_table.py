"""The table of labelled stars that `specvit predict` writes: made ready, or refused, before jax is loaded."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from crlb.files.flags import LEGEND
from crlb.files.input import identity, sha256
from crlb.files.tables import Column, TableFile
from crlb.readers.options import ReadOptions
from specvit_jax.evaluation.labelled import columns_of
from specvit_jax.network.find import outputs_of


def label_table(
    out: Path,
    weights: Path,
    spectra: Sequence[Path],
    options: ReadOptions,
    *,
    command: str,
    batch: int,
    overwrite: bool,
    more: Sequence[Column] = (),
) -> TableFile:
    """A table for the labels that a network reads from files of spectra; entering it begins the writing.

    Columns of another method, `more`, stand behind the network's. An interrupted one is taken up again where
    files (size and time), options, weights, version of the package and batch are the same.

    Raises:
        DataError: the weights are none of this project.
    """
    digest = sha256(weights)
    package = version("specvit-jax")
    return TableFile(
        out,
        (*columns_of(*outputs_of(weights)), *more),
        about={
            "command": command,
            "version": f"specvit-jax {package}",
            "weights": str(weights),
            "weights_sha256": digest,
            "flags": LEGEND,
        },
        fingerprint={
            "spectra": identity(spectra),
            "options": repr(options),
            "weights": digest,
            "version": package,
            "batch": str(batch),
        },
        overwrite=overwrite,
    )
