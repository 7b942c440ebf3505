"""The curves behind the noise of the PFS medium-resolution red arm: built in, or read from a file."""

import csv
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from crlb.detector import DEFAULT_LSF_FWHM, DETECTOR_WAVE, FWHM_PER_SIGMA
from crlb.errors import DataError, UsageError
from crlb.files.hdf5 import open_input, read_numbers
from crlb.files.hdf5_attributes import attribute
from crlb.observation.exposure import Exposure
from crlb.observation.instrument import detector_flux

REFERENCE_WAVE = 7975.0  # Å, mid-arm; keeps numbers of order one in float32
DEFAULT_GROUP = "legacy_20211220"  # in the reference file: the instrument behind the published SNR table

# The built-in curves, per 900 s exposure. The four scales are tuned, see `builtin_noise`.
SIGNAL_E = 855.0  # electrons per pixel at mid-arm from a source of AB magnitude 18
THROUGHPUT = (1.0, -0.13, -0.08)  # relative to mid-arm: a + b x + c x^2, x from -1 (blue end) to 1 (red end)
SKY_CONTINUUM_E = 79.0  # electrons per pixel at mid-arm, zodiacal light and airglow continuum
LINE_E = 595.0  # electrons per unit of intensity in data/sky_lines.csv
FAINT_LINES_E = 30.0  # electrons per pixel from the many lines too faint to be listed, as a continuum
STRAY_E, DARK_VAR, READ_VAR, SKY_FLOOR = 4.0, 0.45, 80.0, 0.01  # e, e2, e2 per pixel; of the sky
# Telluric absorption, Gaussians (centre A, sigma A, depth): H2O, H2O, O2 A band R and P branch, H2O, H2O
TELLURIC = (
    (7190.0, 12.0, 0.10),
    (7255.0, 80.0, 0.08),
    (7606.0, 7.0, 0.81),
    (7636.0, 18.0, 0.47),
    (8165.0, 18.0, 0.08),
    (8240.0, 70.0, 0.06),
)
WAVE_TOLERANCE = 0.01  # Å: by so much a file's pixel centres may differ from the detector's
LINE_CELL = 0.02  # Å, of the spectrum of sky lines before it is put through the instrument


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoiseModel:
    """Curves per 900 s exposure on the detector's pixels, in electrons; a pytree, so a jit argument.

    Args:
        wave: Pixel centres, vacuum Å.
        signal_e: Electrons from a source of constant f_nu with AB magnitude 18.
        sky_e: Electrons from the sky, continuum and lines.
        skymax_e: Its running maximum over three pixels: what the sky-subtraction floor is a fraction of.
        stray_e: Electrons of stray light.
        dark_var: Dark-current variance, e2.
        read_var: Read-noise variance, e2.
        sky_floor: Sky-subtraction floor, a fraction of the sky.
        noise_adjust: Factor on the variance of the background.
        source: Where the curves come from.
        exposure: Number and length of exposures, seeing.
        level: Factor on the 1-sigma noise; 1 as the curves are.
        band: Weight of every pixel in the mean of f_nu that a magnitude is; None: that of photons in the i
            band, on pixels of one size.
    """

    wave: Float[Array, " n_pix"]
    signal_e: Float[Array, " n_pix"]
    sky_e: Float[Array, " n_pix"]
    skymax_e: Float[Array, " n_pix"]
    stray_e: float | Float[Array, ""]
    dark_var: float | Float[Array, ""]
    read_var: float | Float[Array, ""]
    sky_floor: float | Float[Array, ""]
    noise_adjust: float | Float[Array, ""]
    source: str = field(metadata={"static": True})
    exposure: Exposure = field(default=Exposure(), metadata={"static": True})
    level: float | Float[Array, ""] = 1.0
    band: Float[Array, " n_pix"] | None = None

    def take(self, pixels: Int[np.ndarray, " n"]) -> "NoiseModel":
        """The curves on these pixels only, for a grid that covers a part of the arm.

        A magnitude then is the mean over these pixels. To leave out pixels of a star whose magnitude stays
        what it was, use `ForwardModel.select`.
        """
        curves = {name: getattr(self, name)[pixels] for name in ("wave", "signal_e", "sky_e", "skymax_e")}
        return replace(self, **curves, band=None if self.band is None else self.band[pixels])

    def with_exposure(self, exposure: Exposure) -> "NoiseModel":
        """The noise of other exposures."""
        return replace(self, exposure=exposure)

    def stretched(self, longer: Float[Array, ""], more: Float[Array, ""]) -> "NoiseModel":
        """The noise of exposures `longer` times as long and `more` times as many, which may be traced.

        As `with_exposure`, but in the curves: those of one exposure then stand for that many of these.
        """
        curves = ("signal_e", "sky_e", "skymax_e", "stray_e", "dark_var")
        total = {name: getattr(self, name) * (longer * more) for name in curves}
        return replace(self, **total, read_var=self.read_var * more)

    def with_level(self, level: float) -> "NoiseModel":
        """The noise `level` times as strong (1 sigma) as the curves say; 0: spectra are drawn without noise.

        Raises:
            UsageError: the level is negative or not finite.
        """
        if not 0 <= level < np.inf:
            raise UsageError(f"noise_level must be finite and not negative, found {level}")
        return replace(self, level=float(level))


def builtin_noise() -> NoiseModel:
    """Analytic curves of a PFS-like red arm: smooth throughput, telluric bands, sky continuum and lines.

    The shape of the line spectrum is measured and computed physics (data/sky_lines.csv); the four scales
    are tuned so that at magnitude 18 in 12 x 900 s the median pixel has S near 9900 e and B near 2500 e2,
    38 % of it read noise, with the sky-subtraction floor above half of B in an eighth of the pixels. This
    gives the published median SNR per pixel, 87.4, 24.0, 7.1, 4.6, 3.0, 1.9 at magnitude 18, 20, 21.5, 22,
    22.5, 23, to 4 %.
    """
    wave = DETECTOR_WAVE
    position = (wave - REFERENCE_WAVE) / (0.5 * (wave[-1] - wave[0]))  # -1 to 1 along the arm
    transmission = np.ones_like(wave)
    for centre, sigma, depth in TELLURIC:
        transmission *= 1.0 - depth * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
    throughput = transmission * np.polynomial.Polynomial(THROUGHPUT)(position)
    sky = transmission * (SKY_CONTINUUM_E + FAINT_LINES_E) + throughput * LINE_E * _line_fractions(wave)
    return NoiseModel(
        wave=jnp.asarray(wave),
        signal_e=jnp.asarray(SIGNAL_E * throughput),
        sky_e=jnp.asarray(sky),
        skymax_e=jnp.asarray(running_maximum(sky)),
        stray_e=STRAY_E,
        dark_var=DARK_VAR,
        read_var=READ_VAR,
        sky_floor=SKY_FLOOR,
        noise_adjust=1.0,
        source="built-in analytic curves of a PFS-like red arm",
    )


def load_noise(path: str | Path, group: str | None = None) -> NoiseModel:
    """Curves read from an HDF5 file: `wave` (4096, vacuum Å) and groups of curves and scalar attributes.

    Args:
        path: The file; each group holds `signal_e_ab18`, `sky_e`, `skymax_e` and the attributes `stray_e`,
            `dark_var`, `read_var`, `sky_sub_floor`, `noise_adjust`, per 900 s exposure.
        group: Which group; by default `legacy_20211220`, or the only one there is.

    Raises:
        MissingInputError: there is no such file.
        DataError: not HDF5, truncated, lacks something, other wavelengths, NaN, negative values.
    """
    with open_input(path, "noise") as file:
        return _read_noise(file, group, Path(path).name)


def _read_noise(file: h5py.File, group: str | None, name: str) -> NoiseModel:
    wave = read_numbers(file, "wave", ("n_pix",))
    if wave.shape != DETECTOR_WAVE.shape or not np.allclose(wave, DETECTOR_WAVE, rtol=0, atol=WAVE_TOLERANCE):
        raise DataError(
            f"wave must be the detector's {DETECTOR_WAVE.size} pixels from {DETECTOR_WAVE[0]:.3f} to "
            f"{DETECTOR_WAVE[-1]:.3f} Å, found {wave.size} from {wave[0]:.3f} to {wave[-1]:.3f} Å"
        )
    chosen = _choose_group(file, group)
    curves = file[chosen]
    return NoiseModel(
        wave=jnp.asarray(DETECTOR_WAVE),
        signal_e=_curve(curves, "signal_e_ab18", positive=True),
        sky_e=_curve(curves, "sky_e"),
        skymax_e=_curve(curves, "skymax_e"),
        stray_e=_scalar(curves, "stray_e"),
        dark_var=_scalar(curves, "dark_var"),
        read_var=_scalar(curves, "read_var"),
        sky_floor=_scalar(curves, "sky_sub_floor"),
        noise_adjust=_scalar(curves, "noise_adjust"),
        source=f"{name}, group {chosen}",
    )


def _choose_group(file: h5py.File, group: str | None) -> str:
    local = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    groups = [name for name in local if isinstance(file[name], h5py.Group)]
    if group is None:
        group = groups[0] if len(groups) == 1 else DEFAULT_GROUP
    if group not in groups:
        raise DataError(f"group '{group}' is missing; the file holds {', '.join(groups) or 'no group'}")
    return group


def _curve(group: h5py.Group, name: str, positive: bool = False) -> Array:
    values = read_numbers(group, name, ("n_pix",))
    if values.shape != DETECTOR_WAVE.shape:
        raise DataError(f"'{name}' must have one value per pixel, {DETECTOR_WAVE.size}, found {values.size}")
    bad = ~np.isfinite(values) | (values < 0) | (positive & (values == 0))
    if bad.any():
        pixel = int(np.argmax(bad))
        raise DataError(
            f"'{name}' must be finite and {'positive' if positive else 'not negative'}, but {int(bad.sum())} "
            f"values are not, the first is {values[pixel]} at {DETECTOR_WAVE[pixel]:.2f} Å"
        )
    return jnp.asarray(values)


def _scalar(group: h5py.Group, name: str) -> float:
    found = attribute(group, name)
    if found is None:
        raise DataError(f"attribute '{name}' is missing; found {', '.join(group.attrs) or 'none'}")
    value = np.asarray(found)
    if value.size != 1 or value.dtype.kind not in "fiu" or not (np.isfinite(value) & (value >= 0)).all():
        raise DataError(f"attribute '{name}' must be one number, not negative, found {value}")
    return float(value.reshape(()))


def _line_fractions(wave: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    """Summed intensity of the listed sky lines in each pixel, through the line-spread function."""
    text = resources.files("crlb").joinpath("data/sky_lines.csv").read_text()
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    positions = [float(row["wave"]) for row in rows]
    intensities = [float(row["intensity"]) for row in rows]
    pixel = wave[1] - wave[0]
    edges = np.arange(wave[0] - 10.0, wave[-1] + 10.0, LINE_CELL)
    per_cell, _ = np.histogram(positions, bins=edges, weights=intensities)
    with jax.enable_x64(True):  # host preparation: float64 whatever the caller computes in
        density = detector_flux(
            0.5 * (edges[1:] + edges[:-1]),
            jnp.asarray(per_cell / LINE_CELL),
            wave,
            lsf_sigma=DEFAULT_LSF_FWHM / FWHM_PER_SIGMA,
        )
    found: Float[np.ndarray, " n_pix"] = np.asarray(density) * pixel
    return found


def running_maximum(values: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    """Returns the largest of each pixel and its two neighbours."""
    padded = np.pad(values, 1, mode="edge")
    found: Float[np.ndarray, " n_pix"] = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return found
