"""The embedded grid: every node synthesised, smoothed to the resolving power, and written to one file."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from rich.progress import track

from crlb.grid import SpectralGrid, make_grid, save_grid
from crlb.output import check_output
from crlb.synthesis.spectrum import kernel_half_width, log_wave, smooth, synthesize

AXES = (  # T_eff K, log_g, M_H: the published three-dimensional grid
    np.arange(3750.0, 6001.0, 250.0),
    np.arange(1.0, 5.01, 0.5),
    np.arange(-2.5, 0.76, 0.25),
)
WAVE_RANGE = (7049.0, 8901.0)  # Å, vacuum
RESOLVING_POWER = 20000.0
STEP = 6e-6  # in ln wave, 0.05 Å
EVERY = 4  # of these steps per pixel of the file
RTOL = 1e-3  # largest relative error of the factorised file
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
    step: float = STEP,
    every: int = EVERY,
) -> tuple[Float[np.ndarray, " n_pix"], Float[np.ndarray, "n n_pix"]]:
    """Pixel wavelengths (vacuum Å) and the flux of each node at finite resolving power, with a progress bar.

    Args:
        labels: T_eff (K), log_g, M_H, a_M, C_M (dex) of every node; float64 needs jax's x64 mode.
        wave_range: Å, what is synthesised; the kernel's reach is lost at either end.
        resolving_power: wave / FWHM of the Gaussian the spectra are smoothed with.
        step: of the synthesis in ln wave.
        every: steps of the synthesis per pixel returned.
    """
    wave = log_wave(*wave_range, step)

    @jax.jit
    def spectrum(node: Float[Array, " n_labels"]) -> Float[Array, " n_pix"]:
        flux, _ = synthesize(node, wave, dtype=jnp.float32)
        return smooth(flux, resolving_power, step, every)

    rows = [np.asarray(spectrum(jnp.asarray(node)), np.float64) for node in track(labels, "synthesis")]
    half = kernel_half_width(resolving_power, step)
    return wave[half : len(wave) - half : every], np.stack(rows)


def build_grid(
    path: str | Path,
    *,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray] = AXES,
    a_m: float = 0.0,
    c_m: float = 0.0,
    wave_range: tuple[float, float] = WAVE_RANGE,
    resolving_power: float = RESOLVING_POWER,
    step: float = STEP,
    every: int = EVERY,
    rtol: float | None = RTOL,
    overwrite: bool = False,
) -> SpectralGrid:
    """Synthesises a tensor grid in T_eff, log_g and M_H and writes it to `path`, whole or not at all.

    The defaults make the grid that ships as crlb/data/embedded_grid.h5, in about a second per node and core.

    Args:
        path: grid file to create.
        axes: values of T_eff (K), log_g (dex), M_H (dex), each increasing.
        a_m: [alpha/M] of all nodes.
        c_m: [C/M] of all nodes.
        wave_range: Å, vacuum.
        resolving_power: wave / FWHM of the result.
        step: of the synthesis in ln wave.
        every: steps per pixel of the result.
        rtol: largest relative error of the factors stored; None stores every flux.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists, or cannot be created.
    """
    check_output(path, overwrite)
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    labels = np.hstack([nodes, np.tile([a_m, c_m], (len(nodes), 1))])
    with jax.enable_x64(True):
        wave, flux = node_spectra(
            labels, wave_range=wave_range, resolving_power=resolving_power, step=step, every=every
        )
    grid = make_grid(
        wave=wave,
        axes=tuple(map(np.asarray, axes)),
        flux=flux.reshape(*map(len, axes), -1),
        label_names=("T_eff", "log_g", "M_H"),
        resolving_power=resolving_power,
        flux_unit=FLUX_UNIT,
        source=SOURCE,
    )
    save_grid(grid, path, overwrite=overwrite, rtol=rtol)
    return grid
