"""`specvit predict`: labels of observed spectra."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.errors import DataError, UsageError
from crlb.files.input import check_inputs
from crlb.files.output import check_outputs
from crlb.files.tables import check_table
from crlb.readers.arguments import SpectraOptions
from specvit_jax.cli.arguments import Out
from specvit_jax.network.find import find_weights, grid_of

if TYPE_CHECKING:
    from crlb.files.tables import Column, TableFile
    from specvit_jax.evaluation.label_files import More


@dataclass(frozen=True, kw_only=True)
class Predict(SpectraOptions):
    """Reads the labels of observed spectra with a trained network: FITS, HDF5, ECSV, CSV or text.

    Each star gets a row: labels, their sigma where the network has it, SNR, distance from the spectra of the
    training with its p-value, flags, note. A spectrum that cannot be used keeps its row, with the reason.
    A velocity that is not stated is searched, a tenth of a second for each star; --rv 0: all are at rest.
    Ctrl-C and SIGTERM stop it; the same command goes on with the rows that are there.

    To copy and paste:
      specvit predict tiny star.fits --out labels.ecsv
      specvit predict runs/tiny night/*.fits --out labels.fits --rv -35.2
      specvit predict tiny stars.csv --out labels.csv --columns wave=lambda flux=f error=e --wave-unit nm
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|WEIGHTS|PRESET")]
    """Run directory (its best weights are used), a weights file, or tiny for the shipped network."""
    spectra: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SPECTRA [SPECTRA ...]")]
    """Files of spectra."""
    out: Out
    """The table to write: .csv, .ecsv, .fits or .fits.gz; a .csv has neither units nor legend."""
    posterior: bool = False
    """Add the columns of the exact posterior under the network's grid: scale, continuum and velocity
    unknown; seconds for a star, where the network takes a millisecond."""
    batch: int = 256
    """Spectra at once; fewer take less memory."""
    overwrite: bool = False
    """Allow the table to be replaced, and rows of another interrupted command to be thrown away."""

    def __call__(self) -> None:
        weights = find_weights(self.run)
        inputs = {"RUN": weights} | {f"SPECTRA {i}": path for i, path in enumerate(self.spectra, start=1)}
        self._check(inputs)
        from crlb.readers.many import spectra_of
        from specvit_jax.evaluation.label_table import label_table

        options = self.read_options()
        command = shlex.join(["specvit", *sys.argv[1:]])
        table = label_table(
            self.out, weights, self.spectra, options,
            command=command, batch=self.batch, overwrite=self.overwrite, more=self._more_columns(weights),
        )  # fmt: skip
        table.check()
        next(spectra_of(self.spectra, options))  # what is wrong with all files is said before jax is loaded
        from specvit_jax.evaluation.label_files import label_files, summary
        from specvit_jax.evaluation.trained import load
        from specvit_jax.settings.observed_under import say_other_conditions

        network = load(self.run)
        print(f"{self.run} {network.assumes()}", file=sys.stderr, flush=True)
        for path in self.spectra:
            say_other_conditions(path, network.weights.config.data.conditions)
        if network.training[0] is None:
            reason = network.training[1]
            print(f"distance from the training unknown: {reason}", file=sys.stderr, flush=True)
        counts = label_files(network, self.spectra, options, table, self.batch, self._more(weights, table))
        print(f"{summary(counts)}\nwrote {self.out}")
        if counts["UNUSABLE"] == table.rows:
            raise DataError(f"no spectrum could be used; the column note of {self.out} says why")

    def _more_columns(self, weights: Path) -> "tuple[Column, ...]":
        """Columns of the posterior, where it is asked for."""
        if not self.posterior:
            return ()
        from specvit_jax.evaluation.posterior_columns import posterior_columns

        return posterior_columns(grid_of(weights))

    def _more(self, weights: Path, table: "TableFile") -> "More | None":
        """What computes them."""
        if not self.posterior:
            return None
        from specvit_jax.evaluation.posterior_columns import posterior_of

        return posterior_of(grid_of(weights), lambda: table.rows)

    def _check(self, inputs: dict[str, Path]) -> None:
        """Refuses, within milliseconds, options and files that cannot be."""
        self.check_values()
        if not self.spectra:
            raise UsageError("SPECTRA: give at least one file of spectra")
        if self.batch < 1:
            raise UsageError(f"--batch must be at least 1, found {self.batch}")
        check_table("--out", self.out)
        check_outputs({"--out": self.out}, dict(inputs), self.overwrite)
        check_inputs(dict(inputs))
