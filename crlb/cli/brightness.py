"""The options that say how bright stars are: a magnitude, or a signal-to-noise ratio instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crlb.cli.checks import check_positive
from crlb.cli.forward_model import ForwardModelOptions
from crlb.errors import UsageError

if TYPE_CHECKING:
    from crlb.observation.forward_model import ForwardModel

Magnitudes = Annotated[tuple[float, ...], tyro.conf.arg(metavar="AB [AB ...]")]
Ratios = Annotated[tuple[float, ...], tyro.conf.arg(metavar="SNR [SNR ...]")]
MAGNITUDES = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)  # of the published table
BRIGHT = 18.0  # mag: where a star is looked at first, if no magnitude is given


@dataclass(frozen=True, kw_only=True)
class WithBrightness(ForwardModelOptions):
    """A forward model, and what a signal-to-noise ratio is counted per."""

    snr_per: Literal["pixel", "element"] = "pixel"
    """What --snr is counted per: a pixel, or a resolution element of one line-spread FWHM."""

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, and brightnesses missing, given twice or none."""
        super().check()
        self.check_brightness()

    def check_brightness(self) -> None:
        """Refuses a magnitude beside a ratio, and a magnitude where the noise of one is not known.

        Raises:
            UsageError: naming the option.
        """
        ratios = self.ratios()
        for ratio in ratios:
            check_positive(snr=ratio)
        if self.snr_per != "pixel" and not ratios:
            raise UsageError("--snr-per has no effect without --snr; leave it out, or add that")
        if not ratios and not self.calibrated():
            raise UsageError(
                f"--snr is needed with --instrument {' '.join(self.instruments())}: what noise a "
                "magnitude has is not known there; or describe it in a file of your own (crlb instrument new)"
            )

    def ratios(self) -> tuple[float, ...]:
        """Returns the signal-to-noise ratios that are asked for; none: magnitudes are."""
        raise NotImplementedError

    def brightness(
        self,
        model: "ForwardModel",
        mags: Sequence[float],
        labels: Sequence[Sequence[float]] | None = None,
    ) -> list[float]:
        """Returns the magnitudes that were asked for, or at which the median star has the ratios asked for.

        Args:
            model: how stars are seen.
            mags: the magnitudes, where no ratio was asked for.
            labels: of the stars; None: the nodes of the grid.
        """
        if not (ratios := self.ratios()):
            return list(mags)
        import numpy as np

        from crlb.observation.brightness import mags_at_snr, snr_per_pixel

        if self.snr_per == "element":
            ratios = tuple(snr_per_pixel(model, ratio) for ratio in ratios)
        points = model.emulator.nodes if labels is None else np.array(labels, np.float64)
        return mags_at_snr(model, ratios, points)

    def shown(self, mag: float) -> float:
        """Returns a magnitude as it is reported: NaN where the instrument's noise has no magnitudes."""
        return mag if self.calibrated() else float("nan")


@dataclass(frozen=True, kw_only=True)
class Brightnesses(WithBrightness):
    """A forward model, and several brightnesses of stars."""

    mag: Magnitudes = MAGNITUDES
    """AB magnitudes in i, one bin each."""
    snr: Ratios = ()
    """Signal-to-noise ratios instead of magnitudes: the median star of the grid has the ratio, itself the
    median of flux/error over the pixels; default: none."""

    def ratios(self) -> tuple[float, ...]:
        """Returns the ratios of --snr."""
        return self.snr

    def check_brightness(self) -> None:
        """Refuses what `WithBrightness.check_brightness` does, and magnitudes beside ratios."""
        super().check_brightness()
        default = type(self).__dataclass_fields__["mag"].default
        if self.snr and self.mag != default:
            raise UsageError("--mag and --snr: the one follows from the other; give one of them")

    def magnitudes(self, model: "ForwardModel") -> list[float]:
        """Returns the magnitudes of all bins."""
        return self.brightness(model, self.mag)
