"""An observed spectrum as it came: pixels in vacuum Å, flux, inverse variance, and what was done to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from crlb.detector import cell_edges
from crlb.errors import DataError

LARGEST = float(np.finfo(np.float32).max)  # of a flux: networks read float32
MOST_MAG = 100.0  # AB; fainter than anything by far
NORMALISED, UNKNOWN_UNIT, MODEL_UNIT = "normalised", "unknown", "0.5 at the median of the arm"


@dataclass(frozen=True)
class Origin:
    """Where a spectrum comes from.

    Args:
        path: the file as it was named.
        format: name of the format it was read as, for example "SDSS spec".
        hdu: name or number of the HDU, or path of the dataset; empty where there is none.
        row: row, fibre or spectrum within the file, from 0; None where a file holds one spectrum.
        star: name of the star or identifier of the target, as the file says; empty if it does not.
    """

    path: str
    format: str
    hdu: str = ""
    row: int | None = None
    star: str = ""

    def __str__(self) -> str:
        """Returns file and row in one line."""
        return self.path if self.row is None else f"{self.path}[{self.row}]"


@dataclass(frozen=True, eq=False)
class Observed:
    """One star's spectrum, of one or several segments (arms, exposures) that may overlap.

    Args:
        wave: pixel centres, vacuum Å, increasing within each segment; the velocity `rv_kms` removed.
        flux: flux per Å in `unit`; 0 where not usable.
        ivar: inverse variance of every pixel, 1/flux^2; 0 = unusable. Where the file has no errors
            (`has_errors` False) 1 stands for usable.
        origin: where it comes from.
        unit: of the flux: an F_lambda unit in words, or `NORMALISED`, `UNKNOWN_UNIT`, `MODEL_UNIT`.
        has_errors: whether `ivar` is what the file says.
        resolving_power: wave / FWHM at every pixel; None: the file does not say.
        segment: number of every pixel's arm or exposure, from 0 and not decreasing; None: one.
        rv_kms: radial velocity that was removed from the wavelengths; None: none was, they are as observed.
        mag: AB magnitude in i as the file says; None: it does not.
        labels: labels as the file says, by name, in the units of `crlb.labels`.
        lost: pixels made unusable, by cause ("masked BAD", "flux not finite").
        done: what was done to it, sentence by sentence, in order.

    Raises:
        DataError: lengths differ, fewer than two pixels, wavelengths not finite and increasing, flux or ivar
            not finite, flux beyond float32, ivar negative, a magnitude that nothing has.
    """

    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    ivar: Float[np.ndarray, " n_pix"]
    origin: Origin
    unit: str = UNKNOWN_UNIT
    has_errors: bool = True
    resolving_power: Float[np.ndarray, " n_pix"] | None = None
    segment: Int[np.ndarray, " n_pix"] | None = None
    rv_kms: float | None = None
    mag: float | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    done: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("flux", "ivar", "resolving_power", "segment"):
            values = getattr(self, name)
            if values is not None and values.shape != self.wave.shape:
                raise DataError(
                    f"{name} must have one value per pixel, {self.wave.size}, found {values.size}"
                )
        for part in self.parts():
            if part.stop - part.start < 2 or not (np.diff(self.wave[part]) > 0).all():
                raise DataError("wave must be at least two increasing wavelengths in every segment")
        if not (np.isfinite(self.wave).all() and np.isfinite(self.flux).all()):
            raise DataError("wave and flux must be finite; unusable pixels have flux 0 and ivar 0")
        if (largest := np.abs(self.flux).max(initial=0.0)) > LARGEST:
            raise DataError(f"flux must be below {LARGEST:.3g}, found {largest:g}")
        if self.mag is not None and not abs(self.mag) <= MOST_MAG:
            raise DataError(f"mag must be a magnitude from -{MOST_MAG:g} to {MOST_MAG:g}, found {self.mag:g}")
        if not (np.isfinite(self.ivar) & (self.ivar >= 0)).all():
            raise DataError("ivar must be finite and not negative; 0 marks an unusable pixel")

    def parts(self) -> Iterator[slice]:
        """Yields the pixels of each segment."""
        if self.segment is None:
            yield slice(0, self.wave.size)
            return
        starts = np.flatnonzero(np.diff(self.segment, prepend=self.segment[0] - 1))
        for start, stop in zip(starts, [*starts[1:], self.wave.size], strict=True):
            yield slice(int(start), int(stop))

    @property
    def usable(self) -> np.ndarray:
        """Returns True for the pixels that count."""
        found: np.ndarray = self.ivar > 0
        return found

    @property
    def cells(self) -> tuple[Float[np.ndarray, " n_pix"], Float[np.ndarray, " n_pix"]]:
        """Returns the lower and upper edge of every pixel, Å: halfway to its neighbours in the segment."""
        edges = [cell_edges(self.wave[part]) for part in self.parts()]
        return np.concatenate([e[:-1] for e in edges]), np.concatenate([e[1:] for e in edges])

    @property
    def snr(self) -> float:
        """Returns the median over usable pixels of flux/error; NaN without errors or usable pixels."""
        good = self.usable
        if not (self.has_errors and good.any()):
            return float("nan")
        return float(np.median(self.flux[good] * np.sqrt(self.ivar[good])))
