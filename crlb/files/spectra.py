"""A set of spectra on the host, with what must hold for it to be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.files import pfsspec
from crlb.files.hdf5 import open_input
from crlb.files.hdf5_attributes import write_texts
from crlb.files.hdf5_checksum import check_affordable_seal, seal
from crlb.files.output import new_file
from crlb.labels import LABEL_NAMES
from crlb.suggest import meant

EDGES = (0, -1)  # pixels where the field's own files have NaN errors
# Wider than any star. What lies outside stands for a value that is missing: -9999, -99, 99, 1e30.
PLAUSIBLE = {
    "T_eff": (100.0, 1e6),
    "log_g": (-5.0, 15.0),
    "M_H": (-9.0, 9.0),
    "a_M": (-9.0, 9.0),
    "C_M": (-9.0, 9.0),
    "mag": (-40.0, 60.0),
}
NINES = (99.0, 999.0, 9999.0, 99999.0)
MISSING = (*NINES, *(-value for value in NINES), 1e20, 1e30)  # what files hold where nothing was measured
PEAK = 100.0  # times its mean that the flux of a star without noise never reaches


@dataclass(frozen=True)
class Spectra:
    """Spectra with their labels; an array that a file does not hold, or that was not asked for, is None.

    Args:
        wave: pixel centres, vacuum Å.
        labels: label values by label name, in the units of `crlb.labels`.
        flux: noiseless, scaled so that the median over the arm is 0.5.
        error: 1 sigma, in units of flux; NaN where the pixel is unusable.
        noisy: flux as observed; NaN only where the error is NaN.
        mag: AB magnitude in i.
        snr: signal-to-noise ratio of every spectrum as stored; files of other origin may define it otherwise.
        usable: 0 for pixels that the mask marks as lost, else 1; None: none is.
        gain: what flux, error and noisy flux were multiplied by, where the scale is unknown; None: 1.
        conditions: that they were drawn under, a preset's name or YAML; None: not said.

    Raises:
        DataError: NaN or infinity in labels, flux or noisy; an error that is not positive, or is NaN at
            another pixel than the first and the last.
    """

    wave: Float[np.ndarray, " n_pix"]
    labels: dict[str, Float[np.ndarray, " n"]]
    flux: Float[np.ndarray, "n n_pix"] | None = None
    error: Float[np.ndarray, "n n_pix"] | None = None
    noisy: Float[np.ndarray, "n n_pix"] | None = None
    mag: Float[np.ndarray, " n"] | None = None
    snr: Float[np.ndarray, " n"] | None = None
    usable: Float[np.ndarray, "n n_pix"] | None = None
    gain: Float[np.ndarray, " n"] | None = None
    conditions: str | None = None

    def __post_init__(self) -> None:
        for name, column in self.columns().items():
            _check(name, np.isfinite(column), column, "finite")
        if self.flux is not None:
            _check("flux", np.isfinite(self.flux), self.flux, "finite")
        if self.error is not None:
            _check("error", _inner_or_positive(self.error), self.error, "positive")
        if self.noisy is not None:
            unusable = False if self.error is None else np.isnan(self.error)
            _check("noisy", np.isfinite(self.noisy) | unusable, self.noisy, "finite")

    @property
    def n(self) -> int:
        """Number of spectra."""
        return len(next(iter(self.labels.values())))

    def take(self, rows: slice, pixels: Int[np.ndarray, " m"]) -> "Spectra":
        """The set reduced to these spectra and pixels."""
        part = {
            name: None if array is None else array[rows][:, pixels]
            for name, array in (
                ("flux", self.flux),
                ("error", self.error),
                ("noisy", self.noisy),
                ("usable", self.usable),
            )
        }
        return Spectra(
            wave=self.wave[pixels],
            labels={name: column[rows] for name, column in self.labels.items()},
            mag=None if self.mag is None else self.mag[rows],
            snr=None if self.snr is None else self.snr[rows],
            gain=None if self.gain is None else self.gain[rows],
            conditions=self.conditions,
            **part,
        )

    def columns(self) -> dict[str, Float[np.ndarray, " n"]]:
        """Labels, magnitude, SNR and gain by the names of their columns in a file."""
        extra = {"mag": self.mag, "snr": self.snr, "gain": self.gain}
        return self.labels | {name: column for name, column in extra.items() if column is not None}

    def select(self, names: tuple[str, ...]) -> Float[np.ndarray, "n n_labels"]:
        """The named labels as columns of one array.

        Raises:
            UsageError: a label is unknown.
        """
        values = list(self.labels.values())
        return np.stack([values[i] for i in label_columns(tuple(self.labels), names)], axis=1)


def label_columns(available: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Positions of the wanted labels among the available ones.

    Raises:
        UsageError: a label is unknown.
    """
    unknown = [name for name in wanted if name not in available]
    if unknown:
        raise UsageError(
            f"label must be one of {', '.join(available)}, found {', '.join(unknown)}"
            f"{meant(unknown[0], available)}"
        )
    return [available.index(name) for name in wanted]


def _inner_or_positive(error: np.ndarray) -> np.ndarray:
    good: np.ndarray = np.isfinite(error) & (error > 0)
    good[:, EDGES] |= np.isnan(error[:, EDGES])
    return good


def _check(name: str, good: np.ndarray, values: np.ndarray, needed: str) -> None:
    if good.all():
        return
    first = tuple(int(i) for i in np.unravel_index(int(np.argmin(good)), good.shape))
    where = f"spectrum {first[0]}" + (f", pixel {first[1]}" if len(first) > 1 else "")
    raise DataError(
        f"{name} must be {needed}: {int((~good).sum())} values are not, first {values[first]} at {where}"
    )


def check_plausible(columns: Mapping[str, Float[np.ndarray, " n"]]) -> None:
    """Refuses labels and magnitudes that no star has.

    Args:
        columns: by the names of `crlb.labels`, and mag; others are not looked at.

    Raises:
        DataError: naming the column, the first such row and how many there are.
    """
    for name, (low, high) in PLAUSIBLE.items():
        column = columns.get(name, np.empty(0))
        bad = np.flatnonzero((column < low) | (column > high))
        if len(bad):
            raise DataError(
                f"column {name} must lie between {low:g} and {high:g}, found {column[bad[0]]:g} at row "
                f"{bad[0]} ({len(bad)} such rows); it stands for a missing value: leave such rows out"
            )


def check_noiseless(flux: Float[np.ndarray, "n n_pix"], rows: Int[np.ndarray, " n"]) -> None:
    """Refuses flux that no star without noise has: nothing but 0 or `MISSING`, or a value far beyond others.

    Args:
        flux: noiseless, finite.
        rows: their rows in the file.

    Raises:
        DataError: naming the first such row and pixel, and how many rows there are.
    """
    low, high = flux.min(axis=1), flux.max(axis=1)
    mean = np.abs(flux).mean(axis=1, dtype=np.float64)
    bad = np.flatnonzero(_nothing(low, high) | (-low > high) | (high > PEAK * mean))
    if not len(bad):
        return
    spectrum = flux[bad[0]]
    pixel = int(np.argmax(np.abs(spectrum)))
    where = "all pixels" if low[bad[0]] == high[bad[0]] else f"pixel {pixel}"
    raise DataError(
        f"flux must be that of a star without noise, found {spectrum[pixel]:g} in {where} of row "
        f"{rows[bad[0]]} ({len(bad)} such rows); it stands for a missing value: leave such rows out"
    )


def _nothing(low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether spectra of this lowest and highest flux hold nothing but 0 or one of `MISSING`."""
    found: np.ndarray = (low == high) & np.isin(low, np.array((0.0, *MISSING), low.dtype))
    return found


def check_observed(
    noisy: Float[np.ndarray, "n n_pix"], error: Float[np.ndarray, "n n_pix"] | None = None
) -> None:
    """Refuses observed flux that was not observed: 0 everywhere, or one of `MISSING` anywhere.

    Args:
        noisy: flux as observed.
        error: 1 sigma; NaN where the flux is not to be used.

    Raises:
        DataError: naming the first such row and pixel, and how many rows there are.
    """
    missing = np.isin(noisy, np.array(MISSING, noisy.dtype))
    if error is not None:
        missing &= np.isfinite(error)
    missing[(noisy == 0).all(axis=1)] = True
    bad = np.flatnonzero(missing.any(axis=1))
    if len(bad):
        pixel = int(np.argmax(missing[bad[0]]))
        where = "all pixels" if missing[bad[0]].all() else f"pixel {pixel}"
        raise DataError(
            f"noisy must be flux as observed, found {noisy[bad[0], pixel]:g} in {where} of row {bad[0]} "
            f"({len(bad)} such rows); it stands for a missing value: leave such rows out, or mark the pixels "
            "as lost"
        )


def read_spectra(
    path: str | Path,
    *,
    need: tuple[str, ...] = ("flux",),
    wave: Float[np.ndarray, " n_pix"] | None = DETECTOR_WAVE,
    rows: int | None = None,
) -> Spectra:
    """Reads a pfsspec file: the arrays in `need` (of flux, error, noisy), labels, magnitude and SNR.

    Of `rows` spectra from the first, or of all: those after them are not read. With noisy flux comes the mask
    of lost pixels, where the file has one. A checksum of the content, which files that are written here have,
    is compared in files of up to a GiB that are read whole.

    Raises:
        MissingInputError: the file does not exist.
        DataError: the file is not HDF5, is truncated or lacks something; it has other wavelengths than `wave`
            (vacuum Å), NaN or non-positive errors, or none of the labels of `crlb.labels`; or values that
            stand for missing ones (-9999, 99, spectra of zeros) in labels, magnitudes or flux; or its content
            is not what was written.
    """
    with open_input(path, "spectra") as file:
        found = pfsspec.read_wave(file, wave)
        table = pfsspec.read_table(file, slice(rows))
        labels = {name: table[name] for name in LABEL_NAMES if name in table}
        if not labels:
            raise DataError(
                f"the label table must have a column of {', '.join(LABEL_NAMES)}, found {', '.join(table)}"
            )
        shape = (pfsspec.table_length(file), len(found))
        arrays = {name: pfsspec.read_array(file, name, shape, slice(rows)) for name in need}
        spectra = Spectra(
            found,
            labels,
            mag=table.get("mag"),
            snr=table.get("snr"),
            usable=pfsspec.read_usable(file, shape, slice(rows)) if "noisy" in need else None,
            gain=table.get("gain"),
            conditions=pfsspec.read_conditions(file),
            **arrays,
        )
        _check_stars(spectra)
        if spectra.n == shape[0]:
            check_affordable_seal(file)
        return spectra


def _check_stars(spectra: Spectra) -> None:
    """Refuses what stands for missing values in the labels, magnitudes and flux of a file."""
    check_plausible(spectra.columns())
    if spectra.flux is not None:
        check_noiseless(spectra.flux, np.arange(spectra.n))
    if spectra.noisy is not None:
        unusable = None if spectra.usable is None else np.where(spectra.usable > 0, 1.0, np.nan)
        check_observed(spectra.noisy, spectra.error if unusable is None else unusable)


def write_spectra(path: str | Path, spectra: Spectra, overwrite: bool = False) -> None:
    """Writes a pfsspec file, whole or not at all.

    Raises:
        OutputError: the file exists and `overwrite` is False, or it cannot be created.
    """
    with new_file(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        write(file, spectra)


def write(file: h5py.File, spectra: Spectra) -> None:
    """Writes all arrays of a set; one with noisy flux also gets the mask of unusable pixels."""
    arrays = {
        name: array
        for name, array in (("flux", spectra.flux), ("error", spectra.error), ("noisy", spectra.noisy))
        if array is not None
    }
    if spectra.noisy is not None and spectra.error is not None:
        lost = False if spectra.usable is None else spectra.usable == 0
        arrays["mask"] = ~np.isfinite(spectra.error) | lost
    created = pfsspec.create(file, spectra.wave, spectra.n, tuple(arrays))
    for name, array in arrays.items():
        created[name][...] = array
    if spectra.conditions is not None:
        write_texts(file, **{pfsspec.CONDITIONS: spectra.conditions})
    pfsspec.write_table(file, table_columns(spectra.columns()))
    seal(file)


def table_columns(columns: Mapping[str, Float[np.ndarray, " n"]]) -> dict[str, Float[np.ndarray, " n"]]:
    """The columns of a label table in pfsspec's order, with redshift 0: every spectrum is at rest."""
    last = {"mag", "snr", "gain"}
    labels = {name: column for name, column in columns.items() if name not in last}
    rest = {name: column for name, column in columns.items() if name in last}
    n = len(next(iter(columns.values())))
    return labels | {"redshift": np.zeros(n)} | rest
