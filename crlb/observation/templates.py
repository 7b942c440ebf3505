"""Some dozens of model spectra, evenly spaced in ln(wavelength), for quick looks at observed ones.

numpy and h5py only: commands that answer within a second use them before anything heavy is imported.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA, cell_edges
from crlb.errors import DataError
from crlb.grids.grid_file import default_grid_path, load_nodes

N_TEMPLATES = 45
# Nodes of an axis that are used: spectra change most with temperature; other labels stay near solar values.
NODES_OF = {"T_eff": 5, "log_g": 3, "M_H": 3}
BEYOND_ARM = 1.02  # factor on either end of the arm; templates reach no further
SAMPLES_PER_FWHM = 3.3
HIGHEST_RESOLVING_POWER = 10_000.0  # finer than this says no more about a velocity to a km/s
PAD_SIGMA = 6.0  # of the broadening kernel, by which the ends are continued


@dataclass(frozen=True, eq=False)
class Templates:
    """Model spectra on wavelengths evenly spaced in ln: sample i lies at exp(ln_start + i spacing) Å, vacuum.

    Args:
        ln_start: ln of the first wavelength in Å.
        spacing: from one sample to the next, in ln(wavelength).
        flux: one spectrum per row, mean 1.
        labels: of every spectrum.
        label_names: names of the labels.
        resolving_power: wave / FWHM of the spectra.
    """

    ln_start: float
    spacing: float
    flux: Float[np.ndarray, "n n_wave"]
    labels: Float[np.ndarray, "n n_labels"]
    label_names: tuple[str, ...]
    resolving_power: float

    def thinned(self, factor: int) -> "Templates":
        """Returns the templates with `factor` neighbouring samples averaged into one."""
        n = self.flux.shape[1] // factor
        flux = self.flux[:, : n * factor].reshape(len(self.flux), n, factor).mean(axis=2)
        return Templates(
            self.ln_start + self.spacing * (factor - 1) / 2,
            self.spacing * factor,
            flux,
            self.labels,
            self.label_names,
            self.resolving_power,
        )

    def broadened(
        self,
        resolving_power: float,
        pixel: float = 0.0,
        rows: Int[np.ndarray, " m"] | None = None,
        finer: int = 1,
    ) -> Float[np.ndarray, "m n_wave_finer"]:
        """Returns the spectra at a lower resolving power, averaged over pixels.

        Args:
            resolving_power: wave / FWHM wanted; the templates' own where that is lower.
            pixel: width of the pixels, in ln(wavelength).
            rows: of the templates; None: all.
            finer: samples per sample of the templates; sample j lies at ln_start + j spacing / finer.
        """
        flux = self.flux if rows is None else self.flux[rows]
        width = max(resolving_power**-2 - self.resolving_power**-2, 0.0) ** 0.5 / FWHM_PER_SIGMA
        pad = int(np.ceil(PAD_SIGMA * (width + pixel) / self.spacing)) + 4
        n = flux.shape[1]
        size = fast_size(n + 2 * pad)
        wide = np.pad(flux, ((0, 0), (pad, size - n - pad)), mode="edge")
        frequency = np.fft.rfftfreq(size, self.spacing)  # per unit of ln(wavelength)
        kernel = np.exp(-2 * (np.pi * width * frequency) ** 2) * np.sinc(pixel * frequency)
        found = np.fft.irfft(np.fft.rfft(wide) * kernel, size * finer) * finer
        kept: Float[np.ndarray, "m n_wave_finer"] = found[:, pad * finer : (pad + n) * finer]
        return kept


def fast_size(n: int) -> int:
    """Returns a length of 2^a or 3 2^a, at least n, that Fourier transforms are fast with."""
    power = 1 << max(n - 1, 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= n else power


@lru_cache(maxsize=4)
def load_templates(grid_path: str | Path | None = None, n: int = N_TEMPLATES) -> Templates:
    """Returns some nodes of a grid, spread over its labels, as templates; kept for the next call.

    Args:
        grid_path: the grid's file; None: the embedded grid.
        n: about how many.

    Raises:
        MissingInputError, DataError: as `load_nodes`; or the grid has no spectra of the arm.
    """
    nodes = load_nodes(grid_path or default_grid_path(), lambda names, labels: spread(names, labels, n))
    low, high = DETECTOR_WAVE[0] / BEYOND_ARM, DETECTOR_WAVE[-1] * BEYOND_ARM
    here = (nodes.wave >= low) & (nodes.wave <= high)
    spacing = 1 / (SAMPLES_PER_FWHM * min(nodes.resolving_power, HIGHEST_RESOLVING_POWER))
    edges = cell_edges(nodes.wave[here]) if here.sum() > 1 else np.ones(2)
    n_cells = int(np.log(edges[-1] / edges[0]) / spacing)
    if n_cells < 2:
        raise DataError(
            f"grid file {grid_path}: needed spectra between {low:.0f} and {high:.0f} Å, found "
            f"{nodes.wave[0]:.2f} to {nodes.wave[-1]:.2f} Å"
        )
    return Templates(
        np.log(edges[0]) + spacing / 2,
        spacing,
        _on_cells(nodes.wave[here], nodes.flux[:, here], edges[0] * np.exp(spacing * np.arange(n_cells + 1))),
        nodes.labels,
        nodes.label_names,
        nodes.resolving_power,
    )


def _on_cells(wave: np.ndarray, flux: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Means of spectra over cells with these edges, or values at their middles where those are finer."""
    edges, middle = cell_edges(wave), (cells[1:] + cells[:-1]) / 2
    if np.diff(cells).mean() < np.diff(edges).mean():
        means = np.stack([np.interp(middle, wave, row) for row in flux])
    else:
        light = np.concatenate([np.zeros((len(flux), 1)), np.cumsum(flux * np.diff(edges), axis=1)], axis=1)
        means = np.stack([np.diff(np.interp(cells, edges, row)) for row in light]) / np.diff(cells)
    scaled: np.ndarray = means / means.mean(axis=1, keepdims=True)
    return scaled


def spread(names: tuple[str, ...], labels: Float[np.ndarray, "n n_labels"], n: int) -> Int[np.ndarray, " m"]:
    """Returns increasing row numbers of about n nodes spread over the labels.

    A regular lattice of axis values in temperature, gravity and metallicity with the other labels nearest to
    0, each point replaced by the nearest node there is.
    """
    factor = (n / np.prod(list(NODES_OF.values()))) ** (1 / 3)
    scale = np.ptp(labels, axis=0)
    unit = labels / np.where(scale > 0, scale, 1.0)
    values = []
    for name, column in zip(names, unit.T, strict=True):
        axis = np.unique(column)
        if name in NODES_OF:
            count = min(max(round(factor * NODES_OF[name]), 1), len(axis))
            values.append(axis[((np.arange(count) + 0.5) / count * len(axis)).astype(int)])
        else:
            values.append(axis[[np.abs(axis).argmin()]])
    lattice = np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, len(names))
    return np.unique([((unit - point) ** 2).sum(axis=1).argmin() for point in lattice])
