"""How a star is seen: emulator, instrument and noise as one object, on the same pixels, checked once.

A star is seen by the whole arm: its magnitude, and the scale of its flux, are those of all pixels that the
grid reaches. `select` chooses pixels afterwards, so what is left out changes nothing about what stays.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, Real

from crlb.detector import DEFAULT_LSF_FWHM, DETECTOR_WAVE, pixels_within
from crlb.errors import DataError, UsageError
from crlb.grids.emulator import Emulator
from crlb.observation import noise as noise_module
from crlb.observation.exposure import Exposure
from crlb.observation.noise_curves import NoiseModel

if TYPE_CHECKING:
    from crlb.files.records import Json
    from crlb.observation.star import Star

P = ParamSpec("P")
T = TypeVar("T")
WAVE_RTOL = 1e-7  # by so much wavelengths of the same pixels may differ: rounding to float32


@dataclass(frozen=True)
class Instrument:
    """What a spectrograph does to a spectrum, besides its noise; static under jit.

    Args:
        name: in words.
        lsf_fwhm: full width at half maximum of its Gaussian line-spread function, Å.
        lsf_fwhm_used: smallest and largest width over the pixels that the grid gives, Å; None: not known.
        pixels_per_fwhm: median number of pixels in a full width at half maximum; None: not known.
    """

    name: str = "PFS red arm, medium resolution"
    lsf_fwhm: float = DEFAULT_LSF_FWHM
    lsf_fwhm_used: tuple[float, float] | None = None
    pixels_per_fwhm: float | None = None


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """Labels and magnitude of a star -> flux and noise of its pixels. A pytree of pure functions.

    Args:
        emulator: flux on all pixels of the arm that the grid reaches.
        noise: curves on the same pixels, with exposure and level.
        instrument: what made the emulator's spectra as sharp as they are.
        pixels: row numbers of the pixels in use, increasing; None: all.

    Raises:
        DataError: emulator and noise lie on different pixels.
    """

    emulator: Emulator
    noise: NoiseModel
    instrument: Instrument = Instrument()
    pixels: Int[Array | np.ndarray, " n_pix"] | None = None

    def __post_init__(self) -> None:
        check_pixels("emulator", self.emulator.wave, self.noise)

    @property
    def wave(self) -> Float[Array | np.ndarray, " n_pix"]:
        """Centres of the pixels in use, vacuum Å."""
        found: Float[Array | np.ndarray, " n_pix"] = self._chosen(self.emulator.wave)
        return found

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in the order of every vector of them."""
        return self.emulator.label_names

    @property
    def exposure(self) -> Exposure:
        """Number and length of exposures, seeing."""
        return self.noise.exposure

    @property
    def usable(self) -> Float[Array, " n_arm"]:
        """1 for the pixels of the arm that are in use, 0 for the others."""
        ones = jnp.ones(self.emulator.basis.shape[-1], self.emulator.basis.dtype)
        return ones if self.pixels is None else (0 * ones).at[self.pixels].set(1.0)

    def flux(self, labels: Float[Array | np.ndarray, " n_labels"]) -> Float[Array, " n_pix"]:
        """Returns the noiseless flux per Å, median about 0.5 over the arm.

        Raises:
            UsageError: labels outside the grid (concrete); NaN under jit, vmap or grad.
        """
        with self._precision():
            found: Float[Array, " n_pix"] = self._chosen(self.emulator(labels))
            return found

    def variance(
        self, labels: Float[Array | np.ndarray, " n_labels"], mag: Real[ArrayLike, ""]
    ) -> Float[Array, " n_pix"]:
        """Returns the noise variance of a star of this AB magnitude in i, in units of flux^2."""
        with self._precision():
            found: Float[Array, " n_pix"] = self._chosen(self.arm_variance(self.emulator(labels), mag))
            return found

    def snr(
        self, labels: Float[Array | np.ndarray, " n_labels"], mag: Real[ArrayLike, ""]
    ) -> Float[Array, ""]:
        """Returns the median of flux/error over the pixels in use."""
        with self._precision():
            flux = self.emulator(labels)
            error = jnp.sqrt(self._chosen(self.arm_variance(flux, mag)))
            return noise_module.snr(self._chosen(flux), error)

    def draw(
        self,
        key: PRNGKeyArray,
        labels: Float[Array | np.ndarray, " n_labels"],
        mag: Real[ArrayLike, ""],
    ) -> tuple[Float[Array, " n_pix"], Float[Array, " n_pix"]]:
        """Returns one noisy spectrum and its 1-sigma error; the same noise whatever pixels are in use."""
        with self._precision():
            noisy, error = noise_module.draw(key, self.emulator(labels), mag, self.noise)
            return self._chosen(noisy), self._chosen(error)

    def arm_variance(self, flux: Float[Array, " n_arm"], mag: Real[ArrayLike, ""]) -> Float[Array, " n_arm"]:
        """Returns the noise variance of all pixels of the arm, in use or not, under a noiseless flux."""
        return noise_module.variance(flux, mag, self.noise)

    def star(self, *, mag: float, **labels: float) -> "Star":
        """Returns one star of these labels and AB magnitude in i: its spectrum, noise and Fisher matrix.

        Raises:
            UsageError: a label is missing, unknown, or outside the grid.
        """
        from crlb.observation.star import label_vector, observe

        return observe(self, label_vector(self, labels), mag)

    def with_exposure(self, exposure: Exposure) -> "ForwardModel":
        """Returns the model with other exposures."""
        return replace(self, noise=self.noise.with_exposure(exposure))

    def with_noise_level(self, level: float) -> "ForwardModel":
        """Returns the model with `level` times the 1-sigma noise of the curves.

        Raises:
            UsageError: the level is not positive: without noise there is no bound and no posterior.
        """
        if not level > 0:
            raise UsageError(f"noise_level must be positive and finite, found {level}")
        return replace(self, noise=self.noise.with_level(level))

    def select(self, pixels: Int[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> "ForwardModel":
        """Returns the model with some of its pixels in use: row numbers, or one flag per pixel in use now.

        Flux, variance and SNR of the pixels that stay are what they were.

        Raises:
            UsageError: no pixel, or one that is not there.
        """
        now = np.arange(len(self.emulator.wave)) if self.pixels is None else np.asarray(self.pixels)
        chosen = np.unique(_rows(np.asarray(pixels), len(now)))
        return replace(self, pixels=now[chosen])

    def within(self, low: float, high: float) -> "ForwardModel":
        """Returns the model with the pixels in use whose centres lie between two vacuum wavelengths, Å.

        Raises:
            UsageError: fewer than two do.
        """
        return self.select(pixels_within(low, high, np.asarray(self.wave)))

    def astype(self, dtype: Any) -> "ForwardModel":
        """Returns the model with all its numbers in another float type; call it where jax knows that type."""
        cast = lambda x: jnp.asarray(x, dtype)  # noqa: E731
        emulator, noise = jax.tree.map(cast, (self.emulator, self.noise))
        return replace(self, emulator=emulator, noise=noise)

    def describe(self) -> "dict[str, Json]":
        """Returns how the star is seen, for the provenance of a result."""
        wave, used = np.asarray(self.emulator.wave), np.asarray(self.wave)
        exposure = self.exposure
        widths = self.instrument.lsf_fwhm_used
        return {
            "exposure": {name.name: getattr(exposure, name.name) for name in fields(exposure)},
            "noise_level": float(self.noise.level),
            "instrument": self.instrument.name,
            "lsf_fwhm": self.instrument.lsf_fwhm,
            "lsf_fwhm_used": None if widths is None else list(widths),
            "pixels": {"n": len(used), "wave_min": float(used.min()), "wave_max": float(used.max())},
            "magnitude": self._magnitude(wave),
            "grid_source": self.emulator.source,
            "resolving_power": self.emulator.resolving_power,
            "nodes": len(self.emulator.nodes),
            "dtype": str(self.emulator.basis.dtype),
        }

    def _magnitude(self, wave: Float[np.ndarray, " n_arm"]) -> str:
        """What a magnitude is, in words."""
        if self.noise.band is not None:
            inside = wave[np.asarray(self.noise.band) > 0]
            return (
                f"AB, photon-weighted mean of f_nu over the pixels from {inside.min():.2f} to "
                f"{inside.max():.2f} Å"
            )
        part = "the arm" if len(wave) == len(DETECTOR_WAVE) else "the part of the arm that the grid reaches"
        ends = f"{wave[0]:.2f} and {wave[-1]:.2f} Å"
        return f"AB, photon-weighted mean of f_nu over the i band between {ends}, {part}"

    def _precision(self) -> AbstractContextManager[object]:
        """Float64 for a model in float64, whatever jax is set to; no change for others."""
        double = self.emulator.basis.dtype == np.float64
        return jax.enable_x64(True) if double else nullcontext()

    def _chosen(self, values: Any) -> Any:
        """The pixels in use of an array over the arm."""
        return values if self.pixels is None else values[self.pixels]


def double_precision(
    function: Callable[Concatenate[ForwardModel, P], T],
) -> Callable[Concatenate[ForwardModel, P], T]:
    """Returns a function of a forward model that computes in float64, whatever jax is set to."""

    @wraps(function)
    def run(model: ForwardModel, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with jax.enable_x64(True):
            return function(model.astype(jnp.float64), *args, **kwargs)

    return run


def check_pixels(name: str, wave: Float[Array | np.ndarray, " n_pix"], noise: NoiseModel) -> None:
    """Refuses spectra and noise that lie on different pixels.

    Raises:
        DataError: naming both.
    """
    other = np.asarray(noise.wave)
    if np.shape(wave) != other.shape or not np.allclose(np.asarray(wave), other, rtol=WAVE_RTOL, atol=0):
        raise DataError(
            f"{name} and noise must be on the same pixels: observe the grid with to_detector, and the noise "
            f"on the pixels it has; found {len(wave)} pixels {wave[0]:.2f}-{wave[-1]:.2f} Å and "
            f"{len(other)} pixels {other[0]:.2f}-{other[-1]:.2f} Å"
        )


def _rows(pixels: np.ndarray, n: int) -> np.ndarray:
    """Row numbers of a choice among `n` pixels."""
    if pixels.dtype == bool and pixels.shape == (n,):
        pixels = np.flatnonzero(pixels)
    if pixels.ndim != 1 or not pixels.size or pixels.dtype.kind not in "iu":
        raise UsageError(f"pixels must be row numbers or {n} flags, at least one set; found {pixels!r}")
    if pixels.min() < 0 or pixels.max() >= n:
        raise UsageError(f"pixels must lie within 0..{n - 1}, found {pixels.min()}..{pixels.max()}")
    return pixels


def _flatten(model: ForwardModel) -> tuple[tuple[Any, ...], Instrument]:
    return (model.emulator, model.noise, model.pixels), model.instrument


def _unflatten(instrument: Instrument, children: Sequence[Any]) -> ForwardModel:
    """The model of these leaves, whatever they are, unchecked: it was checked when it was made."""
    model = object.__new__(ForwardModel)
    for name, value in zip(("emulator", "noise", "pixels"), children, strict=True):
        object.__setattr__(model, name, value)
    object.__setattr__(model, "instrument", instrument)
    return model


jax.tree_util.register_pytree_node(ForwardModel, _flatten, _unflatten)
