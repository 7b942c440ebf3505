"""`specvit simulate`: files of simulated spectra."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import DataError, UsageError
from crlb.files.folders import check_outside
from crlb.files.output import check_outputs
from specvit_jax.cli.arguments import File
from specvit_jax.settings.config import DataConfig
from specvit_jax.settings.observed_under import conditions_file, conditions_text

Magnitudes = Annotated[tuple[float, float], tyro.conf.arg(metavar="BRIGHT FAINT")]
Count = Annotated[int | None, tyro.conf.arg(metavar="N")]


@dataclass(frozen=True)
class Simulate:
    """Writes simulated spectra in the pfsspec layout: one file, or a folder of shards.

    SIGTERM and Ctrl-C stop it; of a set of shards, --resume continues with those that are not finished.

    To copy and paste:
      specvit simulate --n 10000 --mag 20.5 22.5 --seed 42 --out test.h5
      specvit simulate --n 2000 --mag 18 20 --seed 7 --out cool.h5 --range T_eff=4000:5000 log_g=1:3
      specvit simulate --n 1000000 --seed 1 --out train --shards 100 --arrays flux --sampling snapped
      specvit simulate --n 10000 --seed 3 --out survey.h5 --conditions survey
      specvit simulate --n 10000 --mag 20 22 --seed 5 --out giants.h5 --population stars.csv
      specvit simulate --n 10000 --instrument gaia-rvs --snr 10 100 --seed 6 --out rvs.h5
    specvit simulate --out train --verify
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE|FOLDER")]
    """The file to create (HDF5; pandas.read_hdf opens its table of labels), or the folder of shards."""
    n: Count = None
    """Number of spectra; default: none, needed but for --verify."""
    mag: Magnitudes = (20.5, 22.5)
    """AB magnitudes in i, drawn uniformly."""
    snr: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """Signal-to-noise ratios per pixel between which the median star lies, instead of magnitudes; needed for
    instruments whose noise of a magnitude is not known; default: --mag counts."""
    seed: int = 0
    """Seed of the labels, magnitudes and noise."""
    grid: File = None
    """Grid of model spectra, HDF5; default: the embedded grid (own LTE synthesis, not BOSZ)."""
    instrument: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_INSTRUMENT
    """Spectrograph: a name that `crlb instruments` lists, or a YAML file (`crlb instrument new` writes one).
    Its pixels that the grid shows are stored, in the order of wavelength."""
    noise: File = None
    """Curves of the PFS red arm and the sky, HDF5; default: the built-in ones."""
    noise_level: float = 1.0
    """Factor on the 1-sigma noise."""
    conditions: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "published"
    """What is unknown of a star besides its labels, drawn for each: published (nothing), survey, or a YAML
    file of conditions. Lost pixels are marked in the mask; the file says the conditions."""
    labels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL [LABEL ...]")] = ()
    """Labels that vary; default: all of the grid's but a_M and C_M, which are held at 0."""
    range: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=LOW:HIGH")] = ()
    """Ranges of labels (K for T_eff, dex for the others); default: the grid's."""
    sampling: Literal["continuous", "snapped"] = "continuous"
    """Continuous: uniform over the ranges; snapped: on nodes of the grid but for one label of each star."""
    beta: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=A:B")] = ()
    """Beta(A, B) over a label's range; default: uniform."""
    population: File = None
    """Draw the stars of a table (CSV, ECSV; columns T_eff in K, log_g, M_H ... in dex), by its column weight
    if it has one, with replacement; default: labels from --range and --sampling."""
    population_mag: bool = False
    """As bright as the table says (column mag), not as --mag."""
    population_outside: Literal["refuse", "drop"] = "refuse"
    """Stars of the table outside the grid: say how many and stop, or leave them out."""
    arrays: Annotated[
        tuple[Literal["flux", "error", "noisy", "mask"], ...], tyro.conf.arg(metavar="ARRAY [ARRAY ...]")
    ] = ("flux", "error", "noisy", "mask")
    """What is stored: noiseless flux, 1-sigma error, observed flux, mask. Training needs flux only."""
    shards: Count = None
    """Write a folder of so many files instead of one file."""
    shard_size: Count = None
    """Write a folder of files with at most so many spectra each."""
    workers: Count = None
    """Processes that write shards; default: one per core, but at least 75,000 spectra for each."""
    resume: bool = False
    """Continue the set of shards in --out: finished ones are verified and kept."""
    verify: bool = False
    """Write nothing; compare the shards in --out with their checksums."""
    overwrite: bool = False
    """Allow the file, or the set of shards, to be replaced."""

    def __call__(self) -> None:
        if self.verify:
            _verify(self.out)
        elif self.n is None:
            raise UsageError("--n, the number of spectra, is needed; only --verify goes without")
        else:
            self._check(self.n)
            one_file = self.shards is None and self.shard_size is None
            (self._write_file if one_file else self._write_shards)(self.n)

    def data(self) -> DataConfig:
        """What the options say of stars, grid and noise."""
        return DataConfig(
            grid=None if self.grid is None else str(self.grid),
            noise=None if self.noise is None else str(self.noise),
            instrument=self.instrument,
            mag=self.mag,
            snr=self.snr,
            labels=self.labels,
            ranges=self.range,
            prior=self.sampling,
            beta=self.beta,
            population=None if self.population is None else str(self.population),
            population_mag=self.population_mag,
            population_outside=self.population_outside,
            noise_level=self.noise_level,
            conditions=conditions_text(self.conditions),
        )

    def _check(self, n: int) -> None:
        from specvit_jax.cli.checks import check_stars
        from specvit_jax.spectra.shard_set import check

        check(n, self.arrays)
        check_stars(self.data())

    def _inputs(self) -> dict[str, Path | None]:
        from specvit_jax.cli.checks import star_files

        return star_files(self.data()) | {"--conditions": conditions_file(self.conditions)}

    def _write_file(self, n: int) -> None:
        if self.resume:
            raise UsageError("--resume continues a set of shards; give --shards, or leave it out")
        check_outputs({"--out": self.out}, self._inputs(), self.overwrite)
        from specvit_jax.spectra.file_sources import simulator_of
        from specvit_jax.spectra.simulate import simulate

        source = simulator_of(self.data())
        simulate(self.out, source, n, self.seed, arrays=self.arrays, overwrite=self.overwrite, progress=True)
        print(f"wrote {self.out}")

    def _write_shards(self, n: int) -> None:
        from specvit_jax.spectra.shard_set import Recipe, check_folder

        recipe = Recipe(n, self.seed, self.data(), self._count(n), self.arrays)
        check_folder(self.out, resume=self.resume, overwrite=self.overwrite)
        check_outside(self.out, self._inputs())
        from specvit_jax.spectra.simulate_shards import default_workers, simulate_shards

        simulate_shards(
            self.out,
            recipe,
            workers=default_workers(n) if self.workers is None else self.workers,
            resume=self.resume,
            overwrite=self.overwrite,
            progress=True,
        )
        print(f"wrote {recipe.shards} shards in {self.out}")

    def _count(self, n: int) -> int:
        if self.shard_size is None:
            assert self.shards is not None
            return self.shards
        if self.shards is not None or self.shard_size < 1:
            raise UsageError("give --shards or --shard-size, a positive number")
        return -(-n // self.shard_size)


def _verify(out: Path) -> None:
    from specvit_jax.spectra.shard_set import verify

    wrong = verify(out)
    if wrong:
        raise DataError(f"{len(wrong)} shards of {out} are bad: {'; '.join(wrong)}; write them with --resume")
    print(f"{out}: all shards are as they were written")
