"""Spectra of this project's and pfsspec's HDF5 files, in blocks of rows; labels, errors, mask optional."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from crlb.detector import DEFAULT_LSF_FWHM, DETECTOR_WAVE
from crlb.errors import DataError
from crlb.files.hdf5 import dataset, open_input
from crlb.files.hdf5_attributes import attribute
from crlb.files.hdf5_checksum import check_affordable_seal
from crlb.files.observed import MODEL_UNIT, Observed, Origin
from crlb.files.pfsspec import ARRAYS, TABLE, WAVE, WAVE_TOLERANCE, read_table, read_wave
from crlb.labels import LABEL_NAMES
from crlb.readers.columns import NAMES
from crlb.readers.meta import LABELS
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.rows import masked
from crlb.readers.understand import reader

FORMAT = "pfsspec HDF5"
BLOCK = 2**20  # numbers of an array that are in memory at a time: 256 spectra of 4096 pixels


@dataclass(frozen=True)
class Layout:
    """What a file holds.

    Args:
        n: spectra.
        flux: name of the array that is read as the observed flux.
        noise: whether it has errors.
        mask: whether it has a mask.
        labels: column -> label, of the columns that are labels.
        columns: of the table; empty without one.
        checksum: whether its content was compared with one, in words.
    """

    n: int
    flux: str
    noise: bool
    mask: bool
    columns: tuple[str, ...]
    checksum: str


def layout_of(path: Path) -> Layout:
    """Returns what a file of this layout holds, without reading its spectra.

    Raises:
        DataError: it is damaged, has another layout, arrays of shapes that do not fit, or other content than
            its checksum says.
    """
    with open_input(path, "spectra") as file:
        if WAVE not in file:
            names = ", ".join(list(file)[:20]) or "nothing"
            raise DataError(f"no spectra in the layout of this project or pfsspec ({WAVE}); it holds {names}")
        shape = dataset(file, WAVE).shape
        there = [name for name, place in ARRAYS.items() if place in file]
        flux = next((name for name in ("noisy", "flux") if name in there), None)
        if flux is None:
            raise DataError(f"neither '{ARRAYS['noisy']}' nor '{ARRAYS['flux']}' in it")
        n = dataset(file, ARRAYS[flux]).shape[0]
        for name in {flux, *there} - {"flux", "noisy"} | {flux}:
            values = dataset(file, ARRAYS[name])
            if values.dtype.kind not in "fiub" or values.shape != (n, *shape) or 0 in values.shape:
                raise DataError(
                    f"'{ARRAYS[name]}' must hold numbers in the shape {(n, *shape)}, found {values.dtype} in "
                    f"the shape {values.shape}"
                )
        columns = tuple(read_table(file, slice(0, 1))) if TABLE in file else ()
        if columns and len(dataset(file, TABLE)) != n:
            raise DataError(f"'{TABLE}' has {len(dataset(file, TABLE))} rows for {n} spectra")
        return Layout(n, flux, "error" in there, "mask" in there, columns, check_affordable_seal(file))


def read(path: Path, layout: Layout, options: ReadOptions, rows: range) -> Iterator[Observed | DataError]:
    """Yields the spectra of some rows; for one that cannot be understood, why.

    Raises:
        DataError: the file is damaged.
    """
    with open_input(path, "spectra") as file:
        wave = read_wave(file, None)
        template = _template(path, file, layout, wave)
        understand = reader(template, options)
        step = max(1, BLOCK // len(wave))
        for first in range(rows.start, rows.stop, step):
            part = slice(first, min(first + step, rows.stop))
            for raw in _block(file, layout, template, part, options):
                yield understand(raw)


def _template(path: Path, file: h5py.File, layout: Layout, wave: np.ndarray) -> Raw:
    """What all spectra of a file share."""
    noiseless = "" if layout.flux == "noisy" else ": no 'noisy', so the flux may be a model's, without noise"
    unit = attribute(dataset(file, ARRAYS[layout.flux]), "unit")
    stated = _stated_fwhm(file)
    notes = [f"flux from '{layout.flux}'{noiseless}", layout.checksum]
    power = None
    if stated is not None:
        power = wave / stated
        notes.append(f"lines {stated:g} Å wide (FWHM), as the file says")
    elif _is_detector(wave):
        power = wave / DEFAULT_LSF_FWHM
        notes.append(f"lines {DEFAULT_LSF_FWHM:g} Å wide (FWHM), as stated for these pixels")
    return Raw(
        origin=Origin(str(path), FORMAT, hdu=ARRAYS[layout.flux], row=0),
        wave=wave,
        flux=np.zeros(wave.shape),
        noise=np.ones(wave.shape) if layout.noise else None,
        noise_kind="error" if layout.noise else None,
        wave_unit="A",
        medium="vacuum",
        flux_unit=unit if isinstance(unit, str) else MODEL_UNIT,
        resolving_power=power,
        notes=tuple(notes),
    )


def _stated_fwhm(file: h5py.File) -> float | None:
    """Width of the lines, Å, as a file says; None: it does not.

    Raises:
        DataError: it says something else than a positive number.
    """
    places = (attribute(node, "lsf_fwhm") for node in (dataset(file, WAVE), file))
    found = next((one for one in places if one is not None), None)
    if found is None:
        return None
    value = np.asarray(found)
    if value.size != 1 or value.dtype.kind not in "fiu" or not (np.isfinite(value) & (value > 0)).all():
        raise DataError(f"attribute 'lsf_fwhm' must be one positive number, found {value}")
    return float(value.reshape(()))


def _is_detector(wave: np.ndarray) -> bool:
    """Whether these are pixels of the project's detector."""
    nearest = np.clip(np.searchsorted(DETECTOR_WAVE, wave - WAVE_TOLERANCE), 0, len(DETECTOR_WAVE) - 1)
    return bool((np.abs(DETECTOR_WAVE[nearest] - wave) <= WAVE_TOLERANCE).all())


def _block(
    file: h5py.File, layout: Layout, template: Raw, part: slice, options: ReadOptions
) -> Iterator[Raw]:
    """The spectra of some rows, with what the table says of them."""
    flux = dataset(file, ARRAYS[layout.flux])[part].astype(np.float64)
    noise = dataset(file, ARRAYS["error"])[part].astype(np.float64) if layout.noise else None
    mask = dataset(file, ARRAYS["mask"])[part] if layout.mask else None
    table = read_table(file, part) if layout.columns else {}
    masks = {} if mask is None or not mask.any() else masked(mask, "mask", options.mask_bits)
    labels = {
        label: next((table[name] for name in table if name.lower() in (label.lower(), *LABELS[label])), None)
        for label in LABEL_NAMES
    }
    star = next((table[name] for name in table if name.lower() in NAMES["star"]), None)
    for i in range(len(flux)):
        said = {name: float(column[i]) for name, column in labels.items() if column is not None}
        yield replace(
            template,
            origin=replace(
                template.origin, row=part.start + i, star="" if star is None else f"{star[i]:.17g}"
            ),
            flux=flux[i],
            noise=None if noise is None else noise[i],
            bad={name: bad[i] for name, bad in masks.items()},
            mag=_finite(table.get("mag"), i),
            labels={name: value for name, value in said.items() if np.isfinite(value)},
        )


def _finite(column: np.ndarray | None, i: int) -> float | None:
    return float(column[i]) if column is not None and np.isfinite(column[i]) else None
