"""Files in the formats of BOSZ, of a star with three lines at the Ca II triplet."""

import bz2
import gzip
from pathlib import Path

import numpy as np

from crlb.bosz.names import Node

TRIPLET_AIR = np.array([8498.02, 8542.09, 8662.14])  # Å
TRIPLET_VACUUM = np.array([8500.36, 8544.44, 8664.52])  # Å
LINE_POWER = 1000.0  # wave / FWHM of the lines
N0 = 1381554  # 10 Å (1 + 1/300000)^N0 is the first wavelength of BOSZ 2017, 1000.0019 Å


def stored_flux(node: Node, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux and continuum as stored, before the factor pi or 4 pi."""
    lines = TRIPLET_AIR if node.edition == 2024 else TRIPLET_VACUUM
    cont = 1e6 * (node.T_eff / 5000) ** 2 * (wave / 8000) ** -1.5
    depth = 0.5 * np.exp(-0.1 * node.log_g + 0.3 * node.M_H)
    sigma = lines / LINE_POWER / 2.3548
    profile = np.exp(-0.5 * ((wave[:, None] - lines) / sigma) ** 2).sum(axis=1)
    return cont * (1 - depth * profile), cont


def table(node: Node) -> np.ndarray:
    """The columns of a file, computed independently of the reader."""
    if node.edition == 2017:
        every = 300000 // int(node.resolving_power) // 2
        n = int(np.log(32000 / 100) / np.log(1 + 1 / 300000)) // every + 1
        wave = 10 * (1 + 1 / 300000) ** (N0 + every * np.arange(n))
        return np.stack([np.round(wave, 3), *stored_flux(node, wave)], axis=1)
    power = 2000 if node.resolving_power == "orig" else int(node.resolving_power)
    wave = np.exp(np.log(500) + np.log(640) / (15 * power) * np.arange(15 * power))
    columns = stored_flux(node, wave)
    return np.stack([wave, *columns] if node.resolving_power == "orig" else columns, axis=1)


def text(columns: np.ndarray) -> bytes:
    line = " ".join(["%.3f" if columns.shape[1] == 3 else "%.6e"] + ["%.6e"] * (columns.shape[1] - 1)) + "\n"
    return ((line * len(columns)) % tuple(columns.ravel())).encode()


def content(node: Node, columns: np.ndarray | None = None) -> bytes:
    """The bytes of a node's text file."""
    raw = text(table(node) if columns is None else columns)
    return bz2.compress(raw) if node.edition == 2017 else gzip.compress(raw, mtime=0)


def write(node: Node, folder: Path, columns: np.ndarray | None = None) -> Path:
    path = folder / node.name
    if node.file_format == "fits":
        write_fits(path, table(node) if columns is None else columns)
    else:
        path.write_bytes(content(node, columns))
    return path


def write_fits(path: Path, columns: np.ndarray) -> None:
    from astropy.io import fits

    names = ("Wavelength", "SpecificIntensity", "Continuum")
    cols = [fits.Column(n, "D", array=c) for n, c in zip(names, columns.T, strict=True)]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(cols)]).writeto(path)
