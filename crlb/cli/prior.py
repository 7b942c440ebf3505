"""The options that say what is known of the labels before a spectrum is seen: one syntax for all commands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.checks import check_names
from crlb.cli.forward_model import ForwardModelOptions
from crlb.errors import UsageError

if TYPE_CHECKING:
    from crlb.bayes.prior import Prior
    from crlb.grids.emulator import Emulator
    from crlb.observation.conditions import Conditions
    from crlb.observation.forward_model import ForwardModel

Shapes = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=A,B [...]")]
Normals = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=MEAN,SIGMA [...]")]
LARGEST_SHAPE = (
    100.0  # Beta(100, 100) is a Gaussian of 1/28 of the range: narrower ones are errors of the unit
)


@dataclass(frozen=True, kw_only=True)
class WithPrior(ForwardModelOptions):
    """A forward model, and what is known of the labels before a spectrum is seen."""

    prior_beta: Shapes = ()
    """Beta(A, B) prior over the grid's range for a label, for example log_g=3,3; default: uniform."""
    prior_sigma: Normals = ()
    """Gaussian prior of a label in its unit, mean and 1 sigma, cut at the edges of the grid:
    T_eff=4800,100; default: none."""

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, and priors that are none."""
        super().check()
        check_names("--prior-beta", list(self.shapes()), self.free_labels())
        check_names("--prior-sigma", list(self.normals()), self.free_labels())
        if both := [name for name in self.shapes() if name in self.normals()]:
            raise UsageError(f"--prior-beta and --prior-sigma: one prior for {both[0]}, found both")

    def make_prior(self, emulator: "Emulator") -> "Prior":
        """Returns the prior over the box of the grid."""
        from crlb.bayes.prior import make_prior

        return make_prior(emulator.low, emulator.high, emulator.label_names, self.shapes(), self.normals())

    def prior_under(self, conditions: "Conditions", model: "ForwardModel") -> "Prior":
        """Returns the prior over the box of the grid, and that of velocity and width under conditions."""
        from crlb.bayes.unknowns import prior_under

        return prior_under(conditions, model, self.shapes(), self.normals())

    def shapes(self) -> dict[str, tuple[float, float]]:
        """Returns the two shapes of every label that has a Beta prior.

        Raises:
            UsageError: another form, a label named twice, or shapes that are not between 0 and 100.
        """
        found = _pairs_of("--prior-beta", "A,B", "log_g=3,3", self.prior_beta)
        for name, shape in found.items():
            if not all(0 < one <= LARGEST_SHAPE for one in shape):
                raise UsageError(
                    f"--prior-beta {name}={shape[0]:g},{shape[1]:g}: shapes of a Beta distribution "
                    f"over the grid's range, above 0 and up to {LARGEST_SHAPE:g} (3,3 peaks in the middle), "
                    f"not a value and its error: that is --prior-sigma {name}={shape[0]:g},{shape[1]:g}"
                )
        return found

    def normals(self) -> dict[str, tuple[float, float]]:
        """Returns mean and 1 sigma of every label that has a Gaussian prior.

        Raises:
            UsageError: as `normals`.
        """
        return normals(self.prior_sigma)


def normals(texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Returns mean and 1 sigma by label from the values of `--prior-sigma`, LABEL=MEAN,SIGMA.

    Raises:
        UsageError: another form, a label named twice, a mean that is not finite, or a sigma that is not
            positive.
    """
    found = _pairs_of("--prior-sigma", "MEAN,SIGMA", "T_eff=4800,100", texts)
    for name, (mean, sigma) in found.items():
        if not 0 < sigma < float("inf"):
            raise UsageError(f"--prior-sigma {name}: SIGMA must be positive and finite, found {sigma:g}")
        if not abs(mean) < float("inf"):
            raise UsageError(f"--prior-sigma {name}: MEAN must be finite, found {mean:g}")
    return found


def _pairs_of(option: str, form: str, example: str, texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Two numbers by label from LABEL=NUMBER,NUMBER texts."""
    found: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        try:
            first, second = map(float, numbers.split(","))
        except ValueError:
            raise UsageError(f"{option} needs LABEL={form}, for example {example}; found {text}") from None
        if name in found:
            raise UsageError(f"{option} names {name} twice")
        found[name] = (first, second)
    return found
