"""Baselines fitted on simulated spectra, and scored on files as `specvit evaluate` scores a network.

python -m experiments.baselines fit ridge --out ridge.npz
python -m experiments.baselines evaluate ridge.npz --data test.h5 --json ridge.json
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crlb.command_line import parse
from crlb.limits import check_limits
from crlb.program import run_command
from specvit_jax.cli.arguments import File, Out
from specvit_jax.cli.simulate import Magnitudes

Name = Literal[
    "ridge",
    "pca_ridge",
    "pls",
    "lightgbm",
    "lightgbm_published",
    "mlp",
    "cnn",
    "template_fit",
    "posterior_mean",
]
# As in the modules of the methods, which are not imported for a help text; a test compares.
MAX_TREES, THREADS, STEPS, FIT_SEED = 5000, 0, 3000, 20_002
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
    """Grid of model spectra, HDF5, vacuum Å; default: the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; default: the built-in ones."""
    mag: Magnitudes = (20.5, 22.5)
    """AB magnitudes in i, drawn uniformly."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL [LABEL ...]")] = DEFAULT_LABELS
    """Labels to predict (T_eff in K, the others in dex)."""
    max_trees: int = MAX_TREES
    """Trees of every label at most (lightgbm)."""
    threads: int = THREADS
    """Threads that grow trees (lightgbm); 0: one per core. Fewer are faster where cores are shared."""
    steps: int = STEPS
    """Training steps of 128 spectra (mlp, cnn)."""
    seed: int = FIT_SEED
    """Seed of the training spectra; those of validation have one of their own."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        from experiments.baselines.work import fit

        fit(self)


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
        from experiments.baselines.work import evaluate

        evaluate(self)


Command = Annotated[Fit, tyro.conf.subcommand("fit")] | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]


def checked(command: Callable[[], None]) -> None:
    """Runs a command whose numbers can be."""
    check_limits(command)
    command()


def main(args: list[str] | None = None) -> None:
    """Console entry."""
    run_command(lambda: checked(parse(Command, "python -m experiments.baselines", __doc__ or "", args)))


if __name__ == "__main__":
    main()
