"""The embedded grid: every node synthesised, smoothed to the resolving power, and written to one file."""

import hashlib
import shutil
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.interpolate import make_interp_spline

from crlb.errors import DataError
from crlb.files.folders import check_links
from crlb.files.npz import read_npz, write_npz
from crlb.files.output import check_output, new_file, writing
from crlb.files.progress import progress
from crlb.grids.compression import Factors
from crlb.grids.grid_file import SpectralGrid, save_grid
from crlb.labels import LABEL_NAMES
from crlb.synthesis.spectrum import kernel_half_width, log_wave, smooth, synthesize

AXES = (  # T_eff K, log_g, M_H: the published three-dimensional grid; a_M, C_M
    np.arange(3750.0, 6001.0, 250.0),
    np.arange(1.0, 5.01, 0.5),
    np.arange(-2.5, 0.76, 0.25),
    np.array([-0.25, 0.0, 0.25, 0.5]),
    np.array([-0.75, 0.0, 0.25, 0.5]),
)
WAVE_RANGE = (7084.0, 8866.0)  # Å, vacuum: the red arm, and what the kernels reach beyond it
RESOLVING_POWER = 10000.0  # twice that of the instrument
SPACING = 6e-6  # in ln wave, 0.05 Å
EVERY = 5  # pixels of the synthesis per pixel of the file
RTOL = 1e-3  # largest relative error of the factorised file where a_M = C_M = 0 ...
RTOL_ELSEWHERE = 6.0  # ... and so many times as much elsewhere
FLUX_UNIT = "erg/s/cm2/A at the stellar surface"
SOURCE = (
    "NOT BOSZ. Computed with crlb.synthesis: plane-parallel LTE, temperature structure of ATLAS12 (C3K) "
    "atmospheres as emulated by atmosnet 1.0.1, hydrostatic pressure and equation of state of its own, "
    "Asplund et al. 2009 abundances, about 2900 atomic lines, TiO and CN, microturbulence 2 km/s; Gaussian "
    "line-spread function"
)


def node_spectra(
    labels: Float[np.ndarray, "n n_labels"],
    *,
    wave_range: tuple[float, float] = WAVE_RANGE,
    resolving_power: float = RESOLVING_POWER,
    spacing: float = SPACING,
    every: int = EVERY,
) -> tuple[Float[np.ndarray, " n_pix"], Float[np.ndarray, "n n_pix"]]:
    """Pixel wavelengths (vacuum Å) and the flux of each node at finite resolving power.

    Args:
        labels: T_eff (K), log_g, M_H, a_M, C_M (dex) of every node; float64 needs jax's x64 mode.
        wave_range: Å, what is synthesised; the kernel's reach is lost at either end.
        resolving_power: wave / FWHM of the Gaussian the spectra are smoothed with.
        spacing: of the pixels of the synthesis, in ln wave.
        every: pixels of the synthesis per pixel returned.
    """
    wave, spectrum = _spectrum(wave_range, resolving_power, spacing, every)
    return wave, np.stack([np.asarray(spectrum(jnp.asarray(node)), np.float64) for node in labels])


@lru_cache(maxsize=4)
def _spectrum(
    wave_range: tuple[float, float], resolving_power: float, spacing: float, every: int
) -> tuple[np.ndarray, Callable[[Array], Array]]:
    """Pixel wavelengths and the compiled function from labels to their flux."""
    wave = log_wave(*wave_range, spacing)

    @jax.jit
    def spectrum(node: Float[Array, " n_labels"]) -> Float[Array, " n_pix"]:
        flux, _ = synthesize(node, wave, dtype=jnp.float32)
        return smooth(flux, resolving_power, spacing, every)

    half = kernel_half_width(resolving_power, spacing)
    return wave[half : len(wave) - half : every], spectrum


class Settings(NamedTuple):
    """How spectra are computed.

    Args:
        wave_range: lowest and highest wavelength synthesised, vacuum Å.
        resolving_power: wave / FWHM of the Gaussian the spectra are smoothed with.
        spacing: of the pixels of the synthesis, in ln wave.
        every: pixels of the synthesis per pixel kept.
    """

    wave_range: tuple[float, float] = WAVE_RANGE
    resolving_power: float = RESOLVING_POWER
    spacing: float = SPACING
    every: int = EVERY


DEFAULT_SETTINGS = Settings()


def build_grid(
    path: str | Path,
    *,
    axes: tuple[np.ndarray, ...] = AXES,
    settings: Settings = DEFAULT_SETTINGS,
    rtol: float | None = RTOL,
    overwrite: bool = False,
) -> SpectralGrid:
    """Synthesises a tensor grid in T_eff, log_g, M_H, a_M, C_M and writes it to `path`, whole or not at all.

    Every node with a_M = C_M = 0 is computed. For other abundance ratios every second log_g and M_H is, and
    ln of the flux over that of a_M = C_M = 0 is interpolated between them by cubic splines; the file flags
    these nodes as `filled`. Where the axes do not hold 0 all nodes are computed. The defaults make the grid
    that ships as crlb/data/embedded_grid.h5: 7260 of 20160 nodes computed, in half a second each per core,
    and three minutes and 10 GB of memory for the factors.

    Finished pieces are kept in the folder PATH.parts until the file is written: a build that was stopped
    goes on where it was.

    Args:
        path: grid file to create.
        axes: values of T_eff (K) and log_g, M_H, a_M, C_M (dex), each increasing.
        settings: of the synthesis.
        rtol: largest relative error of the factors stored where a_M = C_M = 0, six times as much elsewhere;
            None stores every flux.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists, or cannot be created; or PATH.parts is a symbolic link.
    """
    path = check_output(path, overwrite)
    parts = path.with_name(path.name + ".parts")
    check_links([parts])
    with writing(parts):
        parts.mkdir(exist_ok=True)
    sparse = 0.0 in axes[3] and 0.0 in axes[4]
    pieces = {pair: _piece(pair, axes, sparse and pair != (0.0, 0.0)) for pair in product(*axes[3:])}
    total = sum(len(nodes) for nodes in pieces.values())
    with jax.enable_x64(True), progress("synthesis", total, unit="spectra") as advance:
        found = {pair: _computed(parts, nodes, settings, advance) for pair, nodes in pieces.items()}
    wave = next(iter(found.values()))[0]
    flux = np.empty((*map(len, axes), len(wave)))
    filled = np.zeros(flux.shape[:-1], bool)
    for pair, (_, spectra) in found.items():
        at = (..., int(np.searchsorted(axes[3], pair[0])), int(np.searchsorted(axes[4], pair[1])))
        solar = found[0.0, 0.0][1].reshape(*map(len, axes[:3]), -1) if sparse else None
        flux[(*at, slice(None))] = _whole(spectra, axes, None if pair == (0.0, 0.0) else solar)
        filled[at] = _gaps(axes) if sparse and pair != (0.0, 0.0) else False
    grid = SpectralGrid(
        wave=wave,
        axes=axes,
        spectra=Factors(flux),
        label_names=LABEL_NAMES,
        resolving_power=settings.resolving_power,
        flux_unit=FLUX_UNIT,
        source=SOURCE,
        filled=filled if filled.any() else None,
    )
    solar = np.logical_and.outer(axes[3] == 0, axes[4] == 0)
    tolerance = None if rtol is None else rtol * np.where(solar, 1.0, RTOL_ELSEWHERE)
    nodes = tuple(map(len, axes))
    save_grid(grid, path, overwrite, None if tolerance is None else np.broadcast_to(tolerance, nodes))
    shutil.rmtree(parts)
    return grid


def _thin(axis: np.ndarray) -> Int[np.ndarray, " n"]:
    """Every second node of an axis, and the last."""
    return np.unique([*range(0, len(axis), 2), len(axis) - 1])


def _gaps(axes: tuple[np.ndarray, ...]) -> Bool[np.ndarray, "n_t n_g n_m"]:
    """Which nodes in T_eff, log_g, M_H lie between the ones computed at other abundance ratios."""
    computed = np.zeros([len(axis) for axis in axes[:3]], bool)
    computed[np.ix_(np.arange(len(axes[0])), _thin(axes[1]), _thin(axes[2]))] = True
    return ~computed


def _piece(
    pair: tuple[float, ...], axes: tuple[np.ndarray, ...], sparse: bool
) -> Float[np.ndarray, "n n_labels"]:
    """The nodes computed for one pair of a_M and C_M."""
    kept = (axes[0], axes[1][_thin(axes[1])], axes[2][_thin(axes[2])]) if sparse else axes[:3]
    nodes = np.stack(np.meshgrid(*kept, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.hstack([nodes, np.tile(pair, (len(nodes), 1))])


def _computed(
    parts: Path, nodes: np.ndarray, settings: Settings, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths and spectra of the nodes, from the parts already there or computed and kept there."""
    rows, wave = [], np.empty(0)
    for t_eff in np.unique(nodes[:, 0]):
        some = nodes[nodes[:, 0] == t_eff]
        part = parts / (hashlib.sha256(some.tobytes() + repr(settings).encode()).hexdigest()[:16] + ".npz")
        if not part.exists():
            wave, flux = node_spectra(some, **settings._asdict())
            with new_file(part) as temporary, temporary.open("wb") as file:
                write_npz(file, {"wave": wave, "flux": flux}, compressed=False)
        kept = read_npz(part, "part of a grid")
        if missing := {"wave", "flux"} - set(kept):
            raise DataError(f"part of a grid {part} lacks {', '.join(sorted(missing))}; delete it")
        wave, flux = kept["wave"], kept["flux"]
        rows.append(flux)
        advance(len(some))
    return wave, np.concatenate(rows)


def _whole(
    spectra: np.ndarray, axes: tuple[np.ndarray, ...], solar: np.ndarray | None
) -> Float[np.ndarray, "n_t n_g n_m n_pix"]:
    """Spectra of all T_eff, log_g, M_H, the gaps filled by the interpolated ratio to the `solar` ones."""
    if solar is None:
        return spectra.reshape(*map(len, axes[:3]), -1)
    kept = [np.arange(len(axes[0])), _thin(axes[1]), _thin(axes[2])]
    ratio = np.log(spectra.reshape(*map(len, kept), -1) / solar[np.ix_(*kept)])
    for i in (1, 2):
        if len(kept[i]) > 1:
            degree = min(3, len(kept[i]) - 1)
            ratio = make_interp_spline(axes[i][kept[i]], ratio, degree, axis=i)(axes[i])
    whole: np.ndarray = solar * np.exp(ratio)
    return whole
