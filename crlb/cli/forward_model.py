"""The options that choose a forward model, the same in every command: grid, noise, exposure, pixels."""

import shlex
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from crlb.cli.checks import Checks, check_at_most, check_names, check_positive
from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import UsageError
from crlb.labels import SOLAR_SCALED, option_of

if TYPE_CHECKING:
    from crlb.files.records import Json
    from crlb.grids.grid_file import SpectralGrid
    from crlb.observation.conditions import Conditions
    from crlb.observation.forward_model import ForwardModel
    from crlb.observation.spectrograph import Spectrograph

MOST_FWHM = 200.0  # Å: of a line, where the whole arm is 1750 Å
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Names = Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="LABEL [LABEL ...]")]
Values = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=VALUE [...]")]
Instruments = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")]
Interval = Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="MIN MAX")]


@dataclass(frozen=True, kw_only=True)
class ForwardModelOptions(Checks):
    """Where spectra and their noise come from."""

    several: ClassVar[bool] = False  # whether the command takes more than one instrument

    grid: File = None
    """Grid of model spectra, HDF5; default: the embedded grid (own LTE synthesis, not BOSZ)."""
    instrument: Instruments = (DEFAULT_INSTRUMENT,)
    """Spectrograph: a name that `crlb instruments` lists, or a YAML file (`crlb instrument new` writes
    one)."""
    noise: File = None
    """Other curves of the PFS red arm and the sky, HDF5; default: the built-in ones."""
    labels: Names = None
    """Unknown labels (T_eff in K; log_g, M_H, a_M, C_M in dex); default: all of the grid's but a_M
    and C_M."""
    fix: Values = ()
    """Known labels held at a node of the grid, for example a_M=0.25; default: a_M and C_M at 0."""
    holes: Literal["refuse", "drop", "fill"] = "refuse"
    """Missing nodes of the grid: list them and stop, leave out axis values, or interpolate."""
    degree: Literal[3, 5] = 3
    """Degree of the splines between the nodes."""
    exptime_s: float = 900.0
    """Length of one exposure, s."""
    n_exp: int = 12
    """Number of exposures."""
    seeing_arcsec: float = 0.8
    """Seeing (full width at half maximum), arcsec, 0.5 to 1.5."""
    noise_level: float = 1.0
    """Factor on the 1-sigma noise."""
    lsf_fwhm: float = 1.6
    """Full width at half maximum of the line-spread function of the PFS red arm, Å; other instruments have
    their own."""
    wave_range: Interval = None
    """Use only the detector's pixels between these vacuum wavelengths, Å; default: all, 4096 of the PFS red
    arm. A magnitude stays that of all pixels that the grid reaches."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files read: option -> file; the grid also where it is the embedded one."""
        from crlb.instruments.find import instrument_file
        from crlb.observation.condition_file import condition_file

        named = getattr(self, "conditions", None)  # of commands that have such an option
        conditions = None if named is None else condition_file(named)
        return {
            "--grid": self.grid_path(),
            **{_nth(i): instrument_file(name) for i, name in enumerate(self.instruments())},
            "--noise": self.curves(),
            "--conditions": conditions,
        }

    def check(self) -> None:
        """Refuses files, numbers and label names that cannot be used, by the label names of the grid alone.

        Raises:
            UsageError: naming the option.
            DataError: grid or noise file is not HDF5.
            OutputError, MissingInputError: as `Checks.check`.
        """
        super().check()
        check_positive(exptime_s=self.exptime_s, n_exp=self.n_exp, seeing_arcsec=self.seeing_arcsec)
        check_positive(noise_level=self.noise_level, lsf_fwhm=self.lsf_fwhm)
        check_at_most(lsf_fwhm=(self.lsf_fwhm, MOST_FWHM))
        self.check_instrument()
        if (curves := self.curves()) is not None:
            from crlb.files.hdf5 import open_input

            with open_input(curves, "noise"):
                pass
        self.check_labels()

    def check_instrument(self) -> None:
        """Refuses an instrument that is none, options that it has no use for, and pixels it does not have.

        Raises:
            UsageError: naming the option.
            DataError, MissingInputError: as `crlb.instruments.find_instrument`.
        """
        from crlb.detector import pfs_medium, pixels_within

        names = self.instruments()
        if not names or len(set(names)) != len(names):
            raise UsageError(f"--instrument needs different names, found {' '.join(names) or 'none'}")
        if len(names) > 1 and not self.several:
            raise UsageError(f"--instrument: one is taken here, found {' '.join(names)}")
        for name in names:
            if name != DEFAULT_INSTRUMENT:
                self._check_own(name)
            if self.wave_range is not None:
                other = name != DEFAULT_INSTRUMENT
                wave = self.find(name).detector.wave if other else pfs_medium().wave
                pixels_within(*self.wave_range, wave)

    def _check_own(self, name: str) -> None:
        """Refuses options that an instrument other than the PFS red arm has no use for."""
        self.find(name)
        defaults = {one.name: one.default for one in fields(self)}
        for option in ("noise", "lsf_fwhm", "seeing_arcsec"):
            if getattr(self, option) != defaults[option] and DEFAULT_INSTRUMENT not in self.instruments():
                raise UsageError(
                    f"{option_of(option)} is of the PFS red arm and has no effect with --instrument {name}; "
                    "leave it out, or write it into the instrument's file"
                )

    def instruments(self) -> tuple[str, ...]:
        """Returns the names of the instruments."""
        return self.instrument

    def calibrated(self) -> bool:
        """Returns whether the noise of a magnitude is known for all instruments."""
        return all(name == DEFAULT_INSTRUMENT or self.find(name).calibrated for name in self.instruments())

    def find(self, name: str) -> "Spectrograph":
        """Returns an instrument as it is described.

        Raises:
            UsageError, DataError, MissingInputError: as `find_instrument`.
        """
        from crlb.instruments.find import find_instrument

        return find_instrument(name)

    def check_labels(self) -> None:
        """Refuses names that the grid does not have, and targets that are not free.

        Raises:
            UsageError: naming option and label.
        """
        from crlb.grids.grid_file import grid_labels

        names, fixed, free = grid_labels(self.grid_path()), self.fixed(), self.labels or ()
        check_names("--labels", free, names)
        check_names("--fix", list(fixed), names)
        both = [name for name in fixed if name in free]
        if both:
            raise UsageError(f"a label is either free or fixed, found both for {', '.join(both)}")
        for target in self.targets():
            if target not in self.unknowns():
                check_names("--target", [target], names)
                raise UsageError(f"--target {target} is held at a value; free it with --labels, not --fix")

    def targets(self) -> tuple[str, ...]:
        """Returns the labels that the command is about: those of --target, where it has such an option."""
        found: str | tuple[str, ...] = getattr(self, "target", ())
        return (found,) if isinstance(found, str) else found

    def unknowns(self) -> tuple[str, ...]:
        """Returns what is unknown of a star: its free labels."""
        return self.free_labels()

    def free_labels(self) -> tuple[str, ...]:
        """Returns the labels that are axes of the forward model, by the grid file."""
        from crlb.grids.grid_file import grid_labels

        held = {name for name in SOLAR_SCALED if name not in (self.labels or ())} | set(self.fixed())
        return tuple(name for name in grid_labels(self.grid_path()) if name not in held)

    def load(self) -> "ForwardModel":
        """Returns the forward model, read and prepared."""
        from crlb.observation.conditions import PUBLISHED

        return self.load_under(PUBLISHED)

    def load_under(self, conditions: "Conditions") -> "ForwardModel":
        """Returns the forward model with axes for a velocity or a line-spread width that are unknown."""
        from crlb.observation.build import forward_model

        return forward_model(
            self.load_grid(), self.load_spectrograph(), wave_range=self.wave_range,
            degree=self.degree, conditions=conditions,
        )  # fmt: skip

    def load_spectrograph(self, name: str | None = None) -> "Spectrograph":
        """Returns an instrument, by default the first one, its noise with exposure and level."""
        from crlb.observation.exposure import Exposure
        from crlb.observation.noise_curves import load_noise
        from crlb.observation.spectrograph import pfs_red_arm

        curves, exposure = self.curves(), Exposure(self.exptime_s, self.n_exp, self.seeing_arcsec)
        name = name or self.instruments()[0]
        if name == DEFAULT_INSTRUMENT:
            found = pfs_red_arm(None if curves is None else load_noise(curves), self.lsf_fwhm)
        else:
            found = self.find(name)
        return replace(found, noise=found.noise.with_exposure(exposure).with_level(self.noise_level))

    def load_grid(self) -> "SpectralGrid":
        """Returns the grid before the instrument, with the known labels held."""
        from crlb.grids.grid_file import load_slice

        return load_slice(self.grid_path(), self.labels, self.fixed(), self.holes)

    def curves(self) -> Path | None:
        """Returns the file of noise curves; None: the built-in ones."""
        return self.noise

    def grid_path(self) -> Path:
        """Returns the grid file, embedded unless named."""
        from crlb.grids.grid_file import default_grid_path

        return self.named_grid() or default_grid_path()

    def named_grid(self) -> Path | None:
        """Returns the grid file that was named; None: the embedded grid."""
        return self.grid

    def fixed(self) -> dict[str, float]:
        """Returns the values of `--fix`."""
        return pairs("--fix", self.fix)

    def provenance(self) -> "dict[str, Json]":
        """Returns how a result was asked for."""
        return {
            "command": shlex.join(["crlb", *sys.argv[1:]]),
            "grid_file": str(self.named_grid() or "embedded"),
            "instruments": list(self.instruments()),
            "noise_file": None if self.curves() is None else str(self.curves()),
            "lsf_fwhm": self.lsf_fwhm,
            "wave_range": None if self.wave_range is None else list(self.wave_range),
            "fixed": dict(self.fixed().items()),
            "interpolation_degree": self.degree,
        }


def _nth(i: int) -> str:
    """What the i-th instrument is called in a message."""
    return f"--instrument, no. {i + 1}," if i else "--instrument"


def pairs(option: str, texts: tuple[str, ...]) -> dict[str, float]:
    """Returns numbers by name from LABEL=VALUE texts.

    Raises:
        UsageError: another form, or a name that occurs twice.
    """
    values: dict[str, float] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not _is_number(value):
            raise UsageError(f"{option} needs LABEL=VALUE, for example a_M=0.25; found {text}")
        if name in values:
            raise UsageError(f"{option} names {name} twice")
        values[name] = float(value)
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
