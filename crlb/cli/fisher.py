"""`crlb fisher`: one star's Cramér-Rao bounds."""

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from crlb.cli.checks import check_names, check_positive, check_used
from crlb.cli.forward_model import File
from crlb.cli.output import write_outputs
from crlb.cli.prior import Normals, normals
from crlb.cli.star import StarWithNuisances
from crlb.errors import UsageError
from crlb.files.records import ABSENT, Json, Record, write_json
from crlb.files.text import at_mag, text_of
from crlb.fisher.words import CONDITION_NUMBER, SCHUR_DECAY
from crlb.labels import LABELS, unit_of

if TYPE_CHECKING:
    from crlb.fisher.algebra import LabelledFisher
    from crlb.observation.forward_model import ForwardModel
    from crlb.observation.nuisances import Nuisances
    from crlb.observation.star import Star


@dataclass(frozen=True, kw_only=True)
class Fisher(StarWithNuisances):
    r"""One star's Cramér-Rao bounds, conditional and marginal; correlations; how well labels are told apart.

    To copy and paste:
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --amplitude --continuum 3 \
        --prior-sigma T_eff=4800,100
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5 --conditions survey
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --snr 30 --instrument pfs-mr gaia-rvs

    Several instruments: spectra of the same star, whose information adds. Each has a flux scale, continuum,
    velocity and line-spread width of its own, where these are unknown; --snr is that of every spectrum, --mag
    that in the band of the first instrument, from which those of the others follow.
    """

    several: ClassVar[bool] = True

    prior_sigma: Normals = ()
    """Gaussian prior of an unknown in its unit, mean and 1 sigma: T_eff=4800,100. The bound is that at the
    star, so the mean is the star's own value (1 for amplitude, 0 for continuum_1 and so on and rv_kms);
    default: none."""
    conditions: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """What is unknown besides the labels, each with its prior, instead of --amplitude, --continuum, --rv and
    --lsf: published, survey, or a YAML file. With lines of the sky left over and pixels lost;
    default: those options."""
    ellipse: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="LABEL LABEL")] = None
    """Two labels whose joint confidence ellipse is given; default: none is."""
    probability: float = 0.6827
    """Probability inside the ellipse."""
    json: File = None
    """Write everything shown, with provenance."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def check(self) -> None:
        """Refuses what `StarWithNuisances.check` does, and priors and ellipses of what is not unknown."""
        super().check()
        self._check_conditions()
        check_used(self, "ellipse", ("probability",))
        self.prior_sigmas()
        check_names("--ellipse", self.ellipse or (), self.unknowns(), "this star")
        if self.ellipse is not None and self.ellipse[0] == self.ellipse[1]:
            raise UsageError(f"--ellipse needs two labels, found {self.ellipse[0]} twice")
        check_positive(probability=self.probability)
        if self.probability >= 1:
            raise UsageError(f"--probability must lie between 0 and 1, found {self.probability:g}")

    def _check_conditions(self) -> None:
        """Refuses conditions beside options that say the same, and conditions that one star cannot have."""
        if self.conditions is None:
            return
        self.nuisances()
        defaults = {one.name: one.default for one in fields(self)}
        for name in ("amplitude", "continuum", "rv", "lsf"):
            if getattr(self, name) != defaults[name]:
                raise UsageError(f"--{name} has no effect with --conditions {self.conditions}: leave it out")

    def nuisances(self) -> "Nuisances":
        """Returns what is unknown besides the labels."""
        from crlb.observation.condition_file import find_conditions
        from crlb.observation.nuisances import nuisances_of

        return (
            super().nuisances() if self.conditions is None else nuisances_of(find_conditions(self.conditions))
        )

    def prior_sigmas(self) -> dict[str, float]:
        """Returns 1 sigma of the Gaussian prior by name of the unknown.

        Raises:
            UsageError: as `normals`; of what is not unknown, or with another mean than the star's value.
        """
        found = normals(self.prior_sigma)
        check_names("--prior-sigma", list(found), self.unknowns(), "this star")
        own = dict(zip(self.free_labels(), self.values(self.free_labels()), strict=True))
        own |= {"amplitude": 1.0, "lsf_fwhm": self.lsf_fwhm}
        for name, (mean, sigma) in found.items():
            if mean != (value := own.get(name, 0.0)):
                raise UsageError(
                    f"--prior-sigma {name}={mean:g},{sigma:g}: the bound is that of a star at {name} "
                    f"{value:g}, where its prior has its mean, too; needed {name}={value:g},{sigma:g}"
                )
        return {name: sigma for name, (_, sigma) in found.items()}

    def __call__(self) -> None:
        result = self._compute()
        print(result.table())
        write_outputs({self.json: lambda path: write_json(result, path)}, self.overwrite)

    def _compute(self) -> "StarBounds":
        from crlb.fisher.algebra import add_prior, ellipse

        stars = self.seen_by_all()
        about: dict[str, Json] = self.provenance() | self._about(stars)
        priors = self.prior_sigmas()
        own = {name: sigma for name, sigma in priors.items() if name not in self.free_labels()}
        fisher = self._together([add_prior(self._fisher(*one), own) for one in stars])
        fisher = add_prior(fisher, {name: sigma for name, sigma in priors.items() if name not in own})
        joint = None
        if self.ellipse is not None:
            joint = JointEllipse(**ellipse(fisher, self.ellipse, self.probability)._asdict())
        first = stars[0][1]
        return star_bounds(fisher, self.shown(first.mag), first.snr, about, joint)

    def _fisher(self, model: "ForwardModel", star: "Star") -> "LabelledFisher":
        """The Fisher matrix of one instrument's spectrum."""
        from crlb.observation.condition_file import find_conditions
        from crlb.observation.conditions import PUBLISHED
        from crlb.observation.star_under import fisher_under

        if self.conditions is None or (conditions := find_conditions(self.conditions)) == PUBLISHED:
            return star.fisher()
        return fisher_under(star, model, conditions)

    def _together(self, fishers: "list[LabelledFisher]") -> "LabelledFisher":
        """All spectra together, where every instrument has nuisances of its own."""
        from crlb.fisher.algebra import combine

        if len(fishers) == 1:
            return fishers[0]
        return combine(fishers, [name for name in fishers[0].label_names if name not in self.free_labels()])

    def _about(self, stars: "list[tuple[ForwardModel, Star]]") -> dict[str, Json]:
        """What every instrument sees, and what is unknown, for the provenance."""
        found: dict[str, Json] = {}
        if self.conditions is not None:
            from crlb.observation.condition_file import find_conditions

            found = {"conditions": asdict(find_conditions(self.conditions))}
        if len(stars) == 1:
            return found
        spectra: list[Json] = [
            {
                "instrument": model.instrument.name,
                "mag": self.shown(star.mag),
                "snr": star.snr,
                "magnitude": model.describe()["magnitude"],
            }
            for model, star in stars
        ]
        return found | {"spectra": spectra}


@dataclass(frozen=True)
class JointEllipse(Record):
    """Where two labels lie with a probability: the first to the right, in its unit, the second upwards.

    Args:
        label_names: the two.
        probability: inside the ellipse.
        semi_major: in the units as drawn.
        semi_minor: likewise.
        angle_deg: of the major axis, from the right, counterclockwise.
    """

    label_names: tuple[str, str]
    probability: float
    semi_major: float
    semi_minor: float
    angle_deg: float


@dataclass(frozen=True)
class StarBounds(Record):
    """One star's Fisher matrix and what follows from it, in the units of the labels.

    Args:
        label_names: the unknowns: labels, then nuisances.
        conditional_bound: 1-sigma bound by name, the others known; inf where nothing depends on it.
        marginal_bound: 1-sigma bound by name, the others unknown.
        schur_decay: (conditional / marginal)^2 by name.
        correlation: of the estimates, one row per name.
        condition_number: of the matrix with unit diagonal.
        inversion_residual: largest rounding error of matrix times covariance.
        fisher: the matrix, in 1/(unit of row * unit of column).
        mag: AB magnitude in i.
        snr: median of flux/error over the pixels in use.
        provenance: how it was asked for.
        ellipse: of two labels, if asked for.
    """

    label_names: tuple[str, ...]
    conditional_bound: dict[str, float]
    marginal_bound: dict[str, float]
    schur_decay: dict[str, float]
    correlation: tuple[tuple[float, ...], ...]
    condition_number: float
    inversion_residual: float
    fisher: tuple[tuple[float, ...], ...]
    mag: float
    snr: float
    provenance: dict[str, Json]
    ellipse: JointEllipse | None = field(default=None, metadata=ABSENT)

    def table(self) -> str:
        """Returns the bounds of every unknown, its correlations with the labels, and remarks, as text."""
        from rich import box
        from rich.table import Table

        title = f"1-sigma bounds at {at_mag(self.mag)}SNR {self.snr:.1f} per pixel"
        table = Table(box=box.SIMPLE, title=title)
        shown = [name for name in self.label_names if name in LABELS]
        for head in ("label", "unit", "others known", "all unknown", "Schur decay", *shown):
            side = "left" if head == "label" else "right"
            table.add_column(head, justify=side, no_wrap=head in self.label_names)  # type: ignore[arg-type]
        for name, row in zip(self.label_names, self.correlation, strict=True):
            parts = (self.conditional_bound, self.marginal_bound, self.schur_decay)
            numbers = [f"{part[name]:.4g}" for part in parts]
            table.add_row(name, unit_of(name), *numbers, *(f"{x:+.3f}" for x in row[: len(shown)]))
        return text_of(table, self.remarks())

    def remarks(self) -> str:
        """Returns what is printed under the table."""
        words = (
            f"Right: correlations of the estimates. Condition number {self.condition_number:.3g} (unit "
            f"diagonal), inversion residual {self.inversion_residual:.1e}. For unbiased estimators.\n"
            f"{SCHUR_DECAY}\n{CONDITION_NUMBER}"
        )
        if self.ellipse is None:
            return words
        shape = self.ellipse
        return (
            f"{words}\nEllipse of {' and '.join(shape.label_names)} ({shape.probability:.2%}): semi-axes "
            f"{shape.semi_major:.4g} and {shape.semi_minor:.4g}, at {shape.angle_deg:.2f} degrees."
        )


def star_bounds(
    fisher: "LabelledFisher",
    mag: float,
    snr: float,
    provenance: dict[str, Json],
    ellipse: JointEllipse | None = None,
) -> StarBounds:
    """Returns everything that is shown of a Fisher matrix.

    Raises:
        UnidentifiableError: the labels cannot be told apart.
    """
    from crlb.fisher import algebra

    conditional, marginal = algebra.conditional_bounds(fisher), algebra.marginal_bounds(fisher)
    return StarBounds(
        label_names=fisher.label_names,
        conditional_bound=conditional,
        marginal_bound=marginal,
        schur_decay={name: (conditional[name] / marginal[name]) ** 2 for name in fisher.label_names},
        correlation=tuple(map(tuple, algebra.correlation_matrix(fisher).tolist())),
        condition_number=algebra.condition_number(fisher),
        inversion_residual=algebra.inversion_residual(fisher),
        fisher=tuple(map(tuple, fisher.matrix.tolist())),
        mag=mag,
        snr=snr,
        provenance=provenance,
        ellipse=ellipse,
    )
