"""`crlb posterior`: the labels of observed stars, by integration over the emulator."""

import math
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.forward_model import File
from crlb.cli.output import write_outputs
from crlb.cli.prior import WithPrior
from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import Interrupted, OutputError, UsageError
from crlb.files.progress import progress
from crlb.files.records import Json, write_json
from crlb.files.table_formats import check_table, partial_of
from crlb.labels import option_of
from crlb.readers.arguments import SpectraOptions

if TYPE_CHECKING:
    from crlb.cli.posterior_run import PosteriorRun
    from crlb.cli.posterior_table import Row
    from crlb.cli.scores import Tally
    from crlb.files.tables import TableFile
    from crlb.observation.conditions import Conditions

Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
ENDINGS = (".samples.csv", ".corner.png", ".fit.png")  # of the files of single stars
OF_THE_FILE, OF_THE_MODEL = Path("file"), Path("model")
MODEL_ERROR = 0.01  # of the flux: what models of this kind miss of real spectra, see docs/observed.md
# For so few spectra most of the time is the compiler's: told not to try hard it needs a third, and what it
# makes runs slower by less than that.
FEW = 4
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
# Without effect where the errors are those of the file.
ONLY_MODEL = ("exptime_s", "n_exp", "seeing_arcsec", "noise_level", "lsf_fwhm", "mag")


@dataclass(frozen=True, kw_only=True)
class PosteriorOf(SpectraOptions, WithPrior):
    """The posterior of every label of every star in files of spectra: mean, standard deviation, quantiles.

    Takes HDF5, FITS, CSV, ECSV and text, on any pixels; `crlb check` shows how a file is understood. The
    errors of the file are used; flux scale, continuum and velocity are unknown unless said otherwise, and
    the labels of the file, if any, enter nothing but the scores. A spectrum that cannot be used keeps its
    row, with the reason. Ctrl-C stops; the same command goes on with the rows that are there.

    To copy and paste:
      crlb posterior star.fits
      crlb posterior night/*.fits --out labels.ecsv --plots plots
      crlb posterior stars.csv --wave-unit nm --wave-medium vacuum --rv -35.2 --prior-sigma T_eff=4800,100
      crlb posterior test.h5 --noise model --amplitude 0 --continuum 0 --rv 0 --out best.csv
    """

    spectra: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SPECTRA [SPECTRA ...]")]
    """Files of spectra."""
    noise: Annotated[Path | None, tyro.conf.arg(metavar="file|model|FILE")] = OF_THE_FILE
    """Whose errors count: those of the file; of the built-in noise model at the star's magnitude, spectra
    on pixels of the arm; or of other noise curves, HDF5."""
    instrument: tyro.conf.Suppress[tuple[str, ...]] = (DEFAULT_INSTRUMENT,)
    mag: Annotated[float | None, tyro.conf.arg(metavar="AB")] = None
    """AB magnitude in i of all stars, for --noise model; default: the column of that name in the file."""
    amplitude: Annotated[float, tyro.conf.arg(metavar="SIGMA")] = math.inf
    """1-sigma of a Gaussian prior around 1 on the flux scale; inf: any scale; 0: known, 0.5 at the median."""
    continuum: Annotated[int, tyro.conf.arg(metavar="ORDER")] = 3
    """Order of an unknown multiplicative polynomial; 0: the shape of the continuum is that of the model."""
    conditions: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """What is unknown besides the labels, instead of --amplitude, --continuum and --rv: published, survey, or
    a YAML file. With the errors of the file: scale, continuum, velocity (inf), model error. Default:
    those options."""
    model_error: Annotated[str | None, tyro.conf.arg(metavar="FRACTION|fit")] = None
    """Relative error of the model, added to every pixel's in quadrature; fit: as large as chi2 asks for.
    Default: 0.01 for spectra of real stars, 0 for those of this project's simulations."""
    target_ess: float = 256.0
    """Effective number of points that every star needs."""
    quantiles: Annotated[tuple[float, ...], tyro.conf.arg(metavar="P [P ...]")] = (0.16, 0.5, 0.84)
    """Probabilities of the quantiles."""
    seed: int = 0
    """Seed of the quasi-random points."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", aliases=("--csv",))] = None
    """Write a row per star: .csv, .ecsv, .fits or .fits.gz; a .csv has neither units nor legend."""
    json: File = None
    """Write scores against the labels in the files, and the first stars, with provenance."""
    samples: Folder = None
    """Write the labels drawn from every star's posterior, and their corner plot, into this folder."""
    plots: Folder = None
    """Draw data, best model and residuals of every star into this folder."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files read: option or argument -> file."""
        return super().inputs() | {_argument(i, self.spectra): path for i, path in enumerate(self.spectra)}

    def outputs(self) -> dict[str, Path | None]:
        """Returns the files created: option -> file."""
        return super().outputs() | {"--out": self.out, "--json": self.json}

    def curves(self) -> Path | None:
        """Returns the file of noise curves; None: none, or the built-in ones."""
        return None if self.noise in (None, OF_THE_FILE, OF_THE_MODEL) else self.noise

    def under_model(self) -> bool:
        """Returns whether the errors are those of a noise model."""
        return self.noise not in (None, OF_THE_FILE)

    def check(self) -> None:
        """Refuses what `WithPrior.check` does, options without effect, and what is not in the files."""
        if not self.spectra:
            raise UsageError("SPECTRA: give at least one file of spectra")
        self.check_values()
        check_table("--out", self.out)
        super().check()
        self._check_numbers()
        self._check_effects()
        self._check_conditions()
        for option, folder in (("--samples", self.samples), ("--plots", self.plots)):
            _check_folder(option, folder, self.overwrite or self._goes_on())
            _check_apart(option, folder, self.inputs() | self.outputs())

    def _goes_on(self) -> bool:
        """Whether an interrupted run has left rows, and with them files of single stars."""
        return self.out is not None and partial_of(self.out).exists()

    def _check_numbers(self) -> None:
        for probability in self.quantiles:
            if not 0 < probability < 1:
                raise UsageError(f"--quantiles must lie between 0 and 1, found {probability:g}")
        if not self.target_ess > 1:
            raise UsageError(f"--target-ess must be above 1, found {self.target_ess:g}")
        if not 0 <= self.continuum <= 20:
            raise UsageError(f"--continuum must be an order of 0 to 20, found {self.continuum}")
        self.error_of_model(default=0.0)

    def _check_effects(self) -> None:
        """Refuses options that another one leaves without effect."""
        defaults = {one.name: one.default for one in fields(self)}
        for name in () if self.under_model() else ONLY_MODEL:
            if getattr(self, name) != defaults[name]:
                way = "; the width is that of --resolving-power" if name == "lsf_fwhm" else ""
                raise UsageError(
                    f"{option_of(name)} has no effect without --noise model: the errors are those "
                    f"of the file{way}; leave it out, or add that"
                )
        if self.under_model():
            for name in ("samples", "plots"):
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name} has no effect with --noise {self.noise}; leave it out")
            if self.model_error == "fit":
                raise UsageError("--model-error fit needs the errors of the file; give a number")
            if self.rv not in (None, 0.0):
                raise UsageError("--rv: under --noise model stars are at rest; leave it out")

    def error_of_model(self, default: float) -> tuple[float, bool]:
        """Returns the relative error of the model and whether it is to be fitted.

        Raises:
            UsageError: neither a fraction from 0 to below 1, nor fit.
        """
        if self.model_error == "fit":
            return 0.0, True
        try:
            value = default if self.model_error is None else float(self.model_error)
        except ValueError:
            value = math.nan
        if not 0 <= value < 1:
            raise UsageError(
                f"--model-error must be a fraction from 0 to below 1, or fit; found {self.model_error}"
            )
        return value, False

    def named_conditions(self) -> "Conditions | None":
        """Returns the conditions of the option of that name; None: it was not given."""
        from crlb.observation.condition_file import find_conditions

        return None if self.conditions is None else find_conditions(self.conditions)

    def unknown(self, default_error: float) -> "Conditions":
        """Returns what is unknown of a star besides its labels."""
        from crlb.observation.conditions import Conditions

        error = self.error_of_model(default_error)[0]
        if (named := self.named_conditions()) is not None:
            return (
                named if self.model_error is None and named.model_error else replace(named, model_error=error)
            )
        return Conditions(
            scale=self.amplitude,
            continuum=self.continuum,
            rv_sigma_kms=0.0 if self.under_model() or self.rv is not None else math.inf,
            model_error=error,
        )

    def _check_conditions(self) -> None:
        """Refuses conditions beside options that say the same, and what cannot be unknown here."""
        if (named := self.named_conditions()) is None:
            return
        from crlb.observation.conditions import DRAWN

        defaults = {one.name: one.default for one in fields(self)}
        if twice := [name for name in ("amplitude", "continuum") if getattr(self, name) != defaults[name]]:
            raise UsageError(f"--{twice[0]} has no effect with --conditions {self.conditions}: leave it out")
        cannot = (*DRAWN,) if self.under_model() else (*DRAWN, "lsf_sigma", "sky_left")
        if wrong := [name for name in cannot if getattr(named, name)]:
            errors = f"--noise {self.noise}" if self.under_model() else "the errors of the file"
            raise UsageError(
                f"--conditions {self.conditions}: {', '.join(wrong)} cannot be unknown with {errors}; give a "
                f"YAML file without{'' if self.under_model() else ', or add --noise model'}"
            )
        if not self.under_model() and named.rv_sigma_kms != (math.inf if self.rv is None else 0.0):
            raise UsageError(
                f"--conditions {self.conditions}: rv_sigma_kms = {named.rv_sigma_kms:g}, but with the errors "
                "of the file a velocity is free (.inf) or known (0, with --rv)"
            )

    def __call__(self) -> None:
        from crlb.cli.posterior_run import prepare

        run = prepare(self)  # reads the files' heads before jax is loaded
        if run.remark:
            print(run.remark, file=sys.stderr)
        if run.n <= FEW:
            os.environ.setdefault("XLA_FLAGS", QUICKLY)  # read when jax is loaded
        tally, last = self._compute(run)
        scores = run.scores(tally, self._about(run))
        print(scores.table() if scores.n > 1 else run.text(last))
        if self.out is not None:
            print(f"wrote {self.out}")
        write_outputs({self.json: lambda path: write_json(scores, path)}, self.overwrite)

    def _compute(self, run: "PosteriorRun") -> "tuple[Tally, Row]":
        """Numbers of all rows, written to the table as they come, and the last row."""
        with ExitStack() as stack:
            table: TableFile | None = run.table(self._command())
            if table is not None:
                stack.enter_context(table)
            tally, n, row = run.tally(), 0, {}
            for row in run.kept(table) if table is not None and table.rows else ():
                tally.add(row)
                n += 1
            advance = stack.enter_context(progress("posterior", run.n, n))
            try:
                for row in run.rows(n):
                    tally.add(row)
                    if table is not None:
                        table.append({name: [value] for name, value in row.items()})
                    advance(1)
            except KeyboardInterrupt:
                if table is not None:
                    raise
                way = "nothing was written; with --out the same command goes on from where it was"
                raise Interrupted(f"stopped; {way}") from None
        return tally, row

    def _command(self) -> str:
        return shlex.join(["crlb", *sys.argv[1:]])

    def _about(self, run: "PosteriorRun") -> dict[str, Json]:
        files: list[Json] = [str(path) for path in self.spectra]
        return run.about | self.provenance() | {"spectra": files}


def _argument(i: int, paths: tuple[Path, ...]) -> str:
    return "SPECTRA" if len(paths) == 1 else f"SPECTRA {i + 1}"


def _check_apart(option: str, folder: Path | None, files: Mapping[str, Path | None]) -> None:
    """Refuses files of the command that are this folder, or have names that files of stars get in it.

    Raises:
        OutputError: naming the options.
    """
    for name, path in files.items():
        if folder is None or path is None:
            continue
        same = os.path.realpath(path) == os.path.realpath(folder)
        inside = os.path.realpath(path.parent) == os.path.realpath(folder)
        if same or (inside and path.name.endswith(ENDINGS)):
            raise OutputError(f"{option} {folder} would be written over {path} ({name}); choose another name")


def _check_folder(option: str, folder: Path | None, overwrite: bool) -> None:
    """Refuses a folder that cannot be created, or that holds files already.

    Raises:
        OutputError: naming the option.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{option} {folder} is not a folder; choose another name")
    if not folder.resolve().parent.is_dir():
        raise OutputError(f"{option} {folder}: {folder.parent} is not an existing folder; create it first")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(
            f"{option} {folder} holds files already; choose another name or allow it with --overwrite"
        )
