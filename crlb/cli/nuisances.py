"""`crlb nuisances`: what unknowns besides the labels cost."""

from dataclasses import dataclass, replace

from crlb.cli.forward_model import File, ForwardModelOptions
from crlb.cli.output import write_csv, write_outputs
from crlb.files.progress import progress
from crlb.files.records import write_json

CONTINUUM_ORDER = 3


@dataclass(frozen=True, kw_only=True)
class NuisancesOptions(ForwardModelOptions):
    """What unknowns besides the labels cost: flux scale, continuum, radial velocity, line-spread width.

    Medians over the nodes of the grid. The noise level counts as known here.

    To copy and paste:
      crlb nuisances
      crlb nuisances --mag 20 21.5 --no-lsf --csv nuisances.csv
    """

    mag: tuple[float, ...] = (21.5,)
    """AB magnitudes in i."""
    target: str = "log_g"
    """The label whose bound is computed."""
    no_lsf: bool = False
    """Leave out the width of the line-spread function, for grids that are not sharper than it."""
    json: File = None
    """Write everything shown, with provenance."""
    csv: File = None
    """Write the table."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        from crlb.ceilings.nuisance_effects import nuisance_effects
        from crlb.observation.build import with_unknowns
        from crlb.observation.nuisance import Nuisances

        unknown = Nuisances(amplitude=True, continuum=CONTINUUM_ORDER, rv=True, lsf=not self.no_lsf)
        model, nuisances = with_unknowns(
            self.load_grid(), self.load_noise(), unknown, lsf_fwhm=self.lsf_fwhm,
            wave_range=self.wave_range, degree=self.degree,
        )  # fmt: skip
        with progress("bounds at the nodes", len(model.emulator.nodes), unit="nodes") as advance:
            result = nuisance_effects(
                nuisances,
                model,
                self.mag,
                label=self.target,
                advance=advance,
            )
        result = replace(result, provenance=result.provenance | self.provenance())
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(result.as_rows(), path),
            },
            self.overwrite,
        )
