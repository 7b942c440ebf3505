"""`crlb compare`: instruments side by side."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.checks import check_positive
from crlb.cli.fisher import Fisher
from crlb.cli.forward_model import File, Instruments
from crlb.cli.output import picture, write_csv, write_outputs
from crlb.errors import UsageError
from crlb.files.records import write_json

if TYPE_CHECKING:
    from crlb.fisher.algebra import LabelledFisher
    from crlb.observation.forward_model import ForwardModel
    from crlb.observation.star import Star
    from crlb.planning.comparison import ComparedRow, Comparison

Hours = Annotated[float | None, tyro.conf.arg(metavar="H")]


@dataclass(frozen=True, kw_only=True)
class Compare(Fisher):
    """Instruments side by side, at equal magnitude and time or at equal signal-to-noise ratio, and together.

    One star's Cramér-Rao bounds with each of the instruments, and with the spectra of all of them; see
    `crlb fisher` for what several spectra share.

    To copy and paste:
      crlb compare --instrument pfs-mr gaia-rvs --T_eff 4800 --log_g 2.5 --M_H -0.5 --snr 30
      crlb compare --instrument pfs-mr rave gaia-rvs --T_eff 4800 --log_g 2.5 --M_H -0.5 --snr 30 \
        --snr-per element --amplitude --continuum 3 --plot compare.png
      crlb compare --instrument pfs-mr mine.yaml --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 18 --hours 1
    """

    instrument: Instruments
    """Spectrographs, two or more: names that `crlb instruments` lists, or YAML files (`crlb instrument new`
    writes one)."""
    hours: Hours = None
    """Hours of exposure, in whole exposures of --exptime-s, instead of --n-exp; default: that."""
    ellipse: tyro.conf.Suppress[tuple[str, str] | None] = None
    probability: tyro.conf.Suppress[float] = 0.6827
    csv: File = None
    """Write the table."""
    plot: File = None
    """Draw the bounds: .png, .pdf or .svg."""
    column: bool = False
    """Draw --plot for one column of a journal, 3.5 in wide, not for a page, 7.2 in."""

    def check(self) -> None:
        """Refuses what `Fisher.check` does, a single instrument, and times in which nothing is exposed."""
        super().check()
        if len(self.instrument) < 2:
            raise UsageError(
                f"--instrument needs two or more to compare, found {' '.join(self.instrument)}; one alone: "
                "crlb fisher"
            )
        if self.hours is not None:
            check_positive(hours=self.hours)
            if self.n_exp != type(self).__dataclass_fields__["n_exp"].default:
                raise UsageError("--hours and --n-exp: the one follows from the other; give one of them")
            self.exposed()

    def exposed(self) -> "Compare":
        """Returns the command with the number of exposures that --hours asks for.

        Raises:
            UsageError: not one fits in.
        """
        from crlb.planning.time import whole_exposures

        if self.hours is None:
            return self
        return replace(self, n_exp=whole_exposures(self.hours, self.exptime_s), hours=None)

    def __call__(self) -> None:
        result = self.exposed().compared()
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(result.as_rows(), path),
                self.plot: picture(result.plot, self.column),
            },
            self.overwrite,
        )

    def compared(self) -> "Comparison":
        """Returns all instruments, one by one and together."""
        from crlb.fisher.algebra import add_prior
        from crlb.planning.comparison import TOGETHER, Comparison

        stars, labels = self.seen_by_all(), self.free_labels()
        priors = self.prior_sigmas()
        own = {name: sigma for name, sigma in priors.items() if name not in labels}
        shared = {name: sigma for name, sigma in priors.items() if name in labels}
        fishers = [add_prior(self._fisher(*one), own) for one in stars]
        rows = [
            self._row(name, add_prior(fisher, shared), *one)
            for name, fisher, one in zip(self.instruments(), fishers, stars, strict=True)
        ]
        rows.append(self._row(TOGETHER, add_prior(self._together(fishers), shared)))
        return Comparison(
            label_names=labels,
            unknown=tuple(name for name in fishers[0].label_names if name not in labels),
            rows=tuple(rows),
            exptime_s=self.exptime_s,
            n_exp=self.n_exp,
            provenance=self.provenance() | self._about(stars),
        )

    def _row(
        self,
        name: str,
        fisher: "LabelledFisher",
        model: "ForwardModel | None" = None,
        star: "Star | None" = None,
    ) -> "ComparedRow":
        """The bounds of one instrument, or of all of them, where there is no model."""
        from crlb.fisher.algebra import conditional_bounds
        from crlb.planning.bounds import bounds_or_nan, why_nan
        from crlb.planning.comparison import ComparedRow

        labels, conditional, marginal = self.free_labels(), conditional_bounds(fisher), bounds_or_nan(fisher)
        row = ComparedRow(
            instrument=name,
            conditional_bound={label: conditional[label] for label in labels},
            marginal_bound={label: marginal[label] for label in labels},
            reason=why_nan(fisher),
        )
        if model is None or star is None:
            return row
        per_fwhm = model.instrument.pixels_per_fwhm
        widths = model.instrument.lsf_fwhm_used or (model.instrument.lsf_fwhm,) * 2
        start, end = float(star.wave.min()), float(star.wave.max())
        return replace(
            row,
            start=start,
            end=end,
            n_pix=len(star.wave),
            resolving_power=(start + end) / sum(widths),
            mag=replace(self, instrument=(name,)).shown(star.mag),
            snr=star.snr,
            snr_per_element=None if per_fwhm is None else star.snr * math.sqrt(per_fwhm),
        )
