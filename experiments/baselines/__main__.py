"""Baselines fitted on simulated spectra, and scored on files as `specvit evaluate` scores a network.

python -m experiments.baselines fit ridge --out ridge.npz
python -m experiments.baselines evaluate ridge.npz --data test.h5 --json ridge.json
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import jax
import numpy as np
import tyro
from rich.progress import track

from crlb.errors import DataError, run_cli
from crlb.files.input import check_inputs
from crlb.files.output import check_output, check_outputs
from crlb.files.spectra import label_columns
from experiments.baselines.boosting import PUBLISHED
from experiments.baselines.forward import Forward
from experiments.baselines.networks import MLP
from experiments.baselines.protocol import Baseline, Chunk, collected
from experiments.baselines.registry import BASELINES, Wanted
from experiments.baselines.store import Stored, load, save
from experiments.study.stars import CHOICE_SEED, FIT_SEED
from specvit_jax import Predictions, Simulator, make_simulator
from specvit_jax.cli.arguments import File, Out
from specvit_jax.cli.simulate import Magnitudes
from specvit_jax.evaluation.evaluate import evaluated
from specvit_jax.evaluation.observed import fill_unusable, read_observed
from specvit_jax.spectra.source import CHUNK, chunks

if TYPE_CHECKING:
    Name = str
else:
    Name = tyro.extras.literal_type_from_choices(tuple(BASELINES))
DEFAULT_LABELS = ("log_g", "T_eff", "M_H")


@dataclass(frozen=True)
class Fit:
    """Fits a baseline on simulated spectra and stores it.

    To copy and paste:
      python -m experiments.baselines fit ridge --out ridge.npz
      python -m experiments.baselines fit lightgbm --out trees.npz --n 5000 --max-trees 200
    """

    name: Annotated[tyro.conf.Positional[Name], tyro.conf.arg(metavar="NAME")]
    """ridge, pca_ridge, pls, lightgbm (on components), lightgbm_published (on pixels), mlp, cnn; or
    template_fit, posterior_mean, which know the forward model and learn nothing."""
    out: Out
    """The file to create (npz)."""
    n: int = 20_000
    """Training spectra; 16 kB of memory each where a method needs them all at once (lightgbm, mlp, cnn)."""
    n_validation: int = 5000
    """Other spectra, which settings are chosen on; mlp and cnn use at most n / 9 of them."""
    grid: File = None
    """Grid of model spectra, HDF5, vacuum Å; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; without it the built-in ones."""
    mag: Magnitudes = (20.5, 22.5)
    """AB magnitudes in i, drawn uniformly."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL [LABEL ...]")] = DEFAULT_LABELS
    """Labels to predict (T_eff in K, the others in dex)."""
    max_trees: int = PUBLISHED.max_trees
    """Trees of every label at most (lightgbm)."""
    threads: int = PUBLISHED.threads
    """Threads that grow trees (lightgbm); 0: one per core. Fewer are faster where cores are shared."""
    steps: int = MLP.train.steps
    """Training steps of 128 spectra (mlp, cnn)."""
    seed: int = FIT_SEED
    """Seed of the training spectra; those of validation have one of their own."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        check_output(self.out, self.overwrite)
        baseline = self.baseline()
        simulator = make_simulator(self.grid, self.noise, self.mag)
        columns = label_columns(simulator.label_names, self.labels)
        held_out = drawn(simulator, columns, CHOICE_SEED, self.n_validation, "Validation spectra")
        validation = collected("validation", held_out)
        baseline.fit(drawn(simulator, columns, self.seed, self.n, "Training spectra"), validation)
        stored = Stored(baseline, self.labels, validation[0].mean(axis=0))
        save(self.out, stored, self.overwrite)
        print(f"wrote {self.out}")

    def baseline(self) -> Baseline:
        """The one that is asked for, not yet fitted."""
        forward = Forward(str(self.grid or ""), str(self.noise or ""), self.labels)
        wanted = Wanted(forward, self.labels, self.max_trees, self.threads, self.steps)
        return BASELINES[self.name].make(wanted)


@dataclass(frozen=True)
class Evaluate:
    """Scores a stored baseline: R2, MAE, RMSE and bias with bootstrap intervals, overall and by SNR.

    SNR is the median over usable pixels of flux/error. MAE, RMSE and bias: dex, K for T_eff.

    To copy and paste:
      python -m experiments.baselines evaluate ridge.npz --data test.h5 --json ridge.json
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """What `fit` wrote (npz)."""
    data: Out
    """Observed spectra in the pfsspec layout, as `specvit simulate` writes them."""
    json: Out
    """Write the scores."""
    predictions: File = None
    """Write the labels of every star; default: beside --json, ending in .predictions.csv."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        table = self.predictions or self.json.with_suffix(".predictions.csv")
        inputs = {"FILE": self.file, "--data": self.data}
        check_outputs({"--json": self.json, "--predictions": table}, inputs, self.overwrite)
        check_inputs(inputs)
        baseline, names, mean_flux = load(self.file)
        spectra = read_observed(self.data, names)
        assert spectra.noisy is not None
        if spectra.mag is None:
            raise DataError(f"the label table of {self.data} must have a column mag (AB, i), found none")
        flux, filled = fill_unusable(spectra.noisy, mean_flux)
        starts = track(range(0, spectra.n, CHUNK), f"{baseline.name}, spectra by {CHUNK}")
        pieces = [
            baseline.predict(flux[start : start + CHUNK], spectra.mag[start : start + CHUNK])
            for start in starts
        ]
        found = evaluated(spectra, Predictions(names, np.concatenate(pieces)))
        scores = replace(
            found.scores,
            baseline=str(self.file),
            name=baseline.name,
            data=str(self.data),
            unusable_pixels_filled=filled,
        )
        replace(found, scores=scores).write(self.json, table, self.overwrite)
        print(f"{scores.table()}\nwrote {self.json}")


Command = Annotated[Fit, tyro.conf.subcommand("fit")] | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]


def drawn(simulator: Simulator, columns: list[int], seed: int, n: int, what: str) -> Iterator[Chunk]:
    """Noisy spectra of a seed with these labels, piece by piece, under a progress bar."""
    pieces = chunks(simulator, jax.random.key(seed), n)
    for batch in track(pieces, what, total=-(-n // CHUNK)):
        yield np.asarray(batch.flux), np.asarray(batch.labels)[:, columns]


def main(args: list[str] | None = None) -> None:
    """Console entry."""
    command = tyro.cli(
        Command,
        prog="python -m experiments.baselines",
        description=__doc__,
        args=args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    run_cli(command)


if __name__ == "__main__":
    main()
