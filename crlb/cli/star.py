"""One star as `crlb fisher`, `information` and `spectrum` are told of it: labels, brightness, unknowns."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.brightness import WithBrightness
from crlb.cli.checks import check_at_most
from crlb.errors import UsageError
from crlb.labels import LABEL_NAMES

if TYPE_CHECKING:
    import numpy as np

    from crlb.observation.forward_model import ForwardModel
    from crlb.observation.nuisance import NuisanceModel
    from crlb.observation.nuisances import Nuisances
    from crlb.observation.star import Star

Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]


@dataclass(frozen=True, kw_only=True)
class StarOptions(WithBrightness):
    """One star: its labels and its brightness."""

    T_eff: Number = None
    """Effective temperature, K; default: none, needed where it is a free label."""
    log_g: Number = None
    """log10 of surface gravity in cm/s^2, dex; default: none, likewise."""
    M_H: Number = None
    """Metallicity relative to the Sun, dex; default: none, likewise."""
    a_M: Number = None
    """Enhancement of the alpha elements, dex; default: that of --fix, needed where --labels has it."""
    C_M: Number = None
    """Enhancement of carbon, dex; default: that of --fix, likewise."""
    mag: Number = None
    """AB magnitude in i; default: none, and --mag or --snr is needed."""
    snr: Number = None
    """Signal-to-noise ratio instead of a magnitude: the median of flux/error over the pixels in use;
    default: none."""

    def ratios(self) -> tuple[float, ...]:
        """Returns the ratio of --snr."""
        return () if self.snr is None else (self.snr,)

    def check_brightness(self) -> None:
        """Refuses what `WithBrightness.check_brightness` does, and none or both of --mag and --snr."""
        if (self.mag is None) == (self.snr is None):
            found = "neither" if self.mag is None else "both"
            raise UsageError(f"one of --mag and --snr is needed, found {found}")
        super().check_brightness()

    def magnitude(self, model: "ForwardModel") -> float:
        """Returns the star's magnitude."""
        return self.brightness(model, [self.mag or 0.0], [self.values(model.label_names)])[0]

    def check(self) -> None:
        """Refuses what `WithBrightness.check` does, and labels that are missing or have no effect."""
        super().check()
        self.values(self.free_labels())

    def star(self, label_names: tuple[str, ...]) -> "np.ndarray":
        """Returns the star's labels in the order of the emulator."""
        import numpy as np

        return np.array(self.values(label_names))

    def values(self, label_names: tuple[str, ...]) -> list[float]:
        """Returns the values of the free labels in this order.

        Raises:
            UsageError: one is missing, or a label that is not free was given another value
                than it is held at.
        """
        given = {name: getattr(self, name) for name in LABEL_NAMES if getattr(self, name) is not None}
        for name in label_names:
            if name not in given:
                raise UsageError(f"--{name} is needed: it is a free label of this grid")
        held = self.fixed()
        for name, value in given.items():
            if name not in label_names and held.get(name) != value:
                at = f"held at {held[name]:g} by --fix" if name in held else "not a free label of this grid"
                raise UsageError(
                    f"--{name} {value:g} has no effect: {name} is {at}; leave it out, free it with --labels, "
                    f"or hold it there with --fix {name}={value:g}"
                )
        return [given[name] for name in label_names]


@dataclass(frozen=True, kw_only=True)
class StarWithNuisances(StarOptions):
    """One star, and what a fit of it must find besides the labels."""

    amplitude: bool = False
    """The flux scale is unknown too."""
    continuum: int = 0
    """Order of an unknown multiplicative continuum polynomial; 0 for none."""
    rv: bool = False
    """The radial velocity (km/s) is unknown too."""
    lsf: bool = False
    """The width of the line-spread function (FWHM, Å) is unknown too."""

    def check(self) -> None:
        """Refuses what `StarOptions.check` does, and an order of the continuum that cannot be."""
        from crlb.observation.conditions import MAX_CONTINUUM

        if self.continuum < 0:
            raise UsageError(f"--continuum must be an order of 0 or more, found {self.continuum}")
        check_at_most(continuum=(self.continuum, MAX_CONTINUUM))
        super().check()  # looks at every unknown, each order of the continuum among them

    def unknowns(self) -> tuple[str, ...]:
        """Returns what is unknown of the star: its free labels, then the nuisances."""
        asked = self.nuisances()
        tilts = [f"continuum_{k + 1}" for k in range(asked.continuum)]
        scale, velocity, width = (
            ("amplitude", asked.amplitude), ("rv_kms", asked.rv), ("lsf_fwhm", asked.lsf)
        )  # fmt: skip
        nuisances = [scale, *((name, True) for name in tilts), velocity, width]
        return (*self.free_labels(), *(name for name, free in nuisances if free))

    def nuisances(self) -> "Nuisances":
        """Returns what is unknown besides the labels."""
        from crlb.observation.nuisances import Nuisances

        return Nuisances(self.amplitude, self.continuum, self.rv, self.lsf)

    def observed(self) -> "Star":
        """Returns the star's flux, derivatives and noise, with the nuisances among its unknowns."""
        return self.seen()[1]

    def seen_by_all(self) -> "list[tuple[ForwardModel, Star]]":
        """Returns how the star is seen, and the star, with every instrument.

        A magnitude is that in the band of the first one.
        """
        names = self.instruments()
        if self.mag is None:
            return [self.seen(name) for name in names]
        mags = self.mags_of_all(self.mag)
        return [replace(self, mag=mag).seen(name) for name, mag in zip(names, mags, strict=True)]

    def mags_of_all(self, mag: float) -> list[float]:
        """Returns the star's magnitudes in the bands of all instruments, given that in the first one's."""
        from crlb.observation.brightness import mags_elsewhere
        from crlb.observation.spectrograph import on_grid

        if len(self.instruments()) == 1:
            return [mag]
        grid = self.load_grid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `with_unknowns` says it again
            spectrographs = map(self.load_spectrograph, self.instruments())
            seen = [on_grid(one, grid, self.wave_range) for one in spectrographs]
            return mags_elsewhere(grid, self.star(grid.label_names), mag, seen)

    def seen(self, instrument: str | None = None) -> "tuple[ForwardModel, Star]":
        """Returns how the star is seen, and the star; by default with the first instrument."""
        from crlb.observation.star import observe

        model, nuisances = self.with_unknowns(instrument)
        return model, observe(model, self.star(model.label_names), self.magnitude(model), nuisances)

    def with_unknowns(self, instrument: str | None = None) -> "tuple[ForwardModel, NuisanceModel]":
        """Returns how stars are seen, by default with the first instrument, and what is unknown besides."""
        from crlb.observation.build import with_unknowns

        return with_unknowns(
            self.load_grid(), self.load_spectrograph(instrument), self.nuisances(),
            wave_range=self.wave_range, degree=self.degree,
        )  # fmt: skip
