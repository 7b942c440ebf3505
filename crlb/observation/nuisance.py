"""What a fit must find besides the labels: flux scale, continuum, radial velocity, line-spread function.

    flux(labels, nuisances) = amplitude (1 + sum_k continuum_k P_k(x)) S(labels, rv_kms, lsf_fwhm)
    S = S_rest + rv_kms dS/drv + (lsf_fwhm - rest) dS/dlsf

with Legendre polynomials P_k of x, the wavelength scaled to -1..1 over the arm. The instrument is linear in
flux, so its derivatives by velocity and width act on the few basis spectra that every node is a sum of. S is
a first-order expansion: value and first derivatives are exact at the rest values, which is all that a Fisher
matrix asks for.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial.legendre import legvander

from crlb.detector import DEFAULT_LSF_FWHM, DETECTOR_WAVE, FWHM_PER_SIGMA, cell_edges
from crlb.errors import DataError, UsageError
from crlb.grids.emulator import Emulator
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.instrument import MAX_TRACED_SIGMA, detector_flux
from crlb.observation.nuisances import Nuisances
from crlb.observation.pixels import before_instrument

ROWS_AT_ONCE = 8  # spectra through the instrument together: 60 MB at 0.15 Å per sample in float64


class InstrumentDerivatives(NamedTuple):
    """Spectra on the detector, and how they change per km/s and per Å of FWHM; None where not asked for."""

    flux: Float[Array, "m n_pix"]
    d_rv_kms: Float[Array, "m n_pix"] | None
    d_lsf_fwhm: Float[Array, "m n_pix"] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class NuisanceModel:
    """flux(labels, nuisances), called like an emulator on the vector [labels..., nuisances...]; a pytree.

    Args:
        emulator: flux on the detector at the rest values.
        d_rv_kms: change of the emulator's basis per km/s, or None: the velocity is known.
        d_lsf_fwhm: change of it per Å of FWHM, or None: the line-spread function is known.
        continuum: Legendre polynomials of order 1 and up on the pixels.
        amplitude: whether the flux scale is unknown.
        lsf_fwhm: rest value, Å.
    """

    emulator: Emulator
    d_rv_kms: Float[Array, "k n_pix"] | None
    d_lsf_fwhm: Float[Array, "k n_pix"] | None
    continuum: Float[Array, "order n_pix"]
    amplitude: bool = field(metadata={"static": True})
    lsf_fwhm: float = field(metadata={"static": True})

    @property
    def wave(self) -> Float[Array | np.ndarray, " n_pix"]:
        """Pixel centres, vacuum Å."""
        return self.emulator.wave

    @property
    def nuisance_rest(self) -> dict[str, float]:
        """Name of every nuisance and its rest value: fraction, fraction, km/s, Å; in the vector's order."""
        rest = {"amplitude": 1.0} if self.amplitude else {}
        rest |= {f"continuum_{k + 1}": 0.0 for k in range(len(self.continuum))}
        rest |= {} if self.d_rv_kms is None else {"rv_kms": 0.0}
        return rest | ({} if self.d_lsf_fwhm is None else {"lsf_fwhm": self.lsf_fwhm})

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of labels, then nuisances: what the vector holds."""
        return (*self.emulator.label_names, *self.nuisance_rest)

    def at_rest(
        self, labels: Float[Array | np.ndarray, "*batch n_labels"]
    ) -> Float[Array, "*batch n_labels_and_nuisances"]:
        """Returns the vector of these labels with all nuisances at rest."""
        values = jnp.asarray(labels, self.emulator.basis.dtype)
        rest = jnp.asarray(list(self.nuisance_rest.values()), values.dtype)
        return jnp.concatenate([values, jnp.broadcast_to(rest, (*values.shape[:-1], rest.size))], axis=-1)

    def __call__(
        self, vector: Float[Array | np.ndarray, " n_labels_and_nuisances"]
    ) -> Float[Array, " n_pix"]:
        """Returns the flux, of first order in `rv_kms` and `lsf_fwhm` around rest.

        Raises:
            UsageError: labels outside the grid (concrete); NaN under jit, vmap or grad. Wrong length.
        """
        if len(vector) != len(self.label_names):
            raise UsageError(f"vector: needed {', '.join(self.label_names)}, found {len(vector)} values")
        n = len(self.emulator.label_names)
        labels, value = vector[:n], dict(zip(self.nuisance_rest, vector[n:], strict=True))
        flux = self.emulator(labels)
        if self.d_rv_kms is not None:
            flux = flux + value["rv_kms"] * replace(self.emulator, basis=self.d_rv_kms)(labels)
        if self.d_lsf_fwhm is not None:
            excess = value["lsf_fwhm"] - self.lsf_fwhm
            flux = flux + excess * replace(self.emulator, basis=self.d_lsf_fwhm)(labels)
        if len(self.continuum):
            tilts = jnp.stack([value[f"continuum_{k + 1}"] for k in range(len(self.continuum))])
            flux = flux * (1 + jnp.matmul(tilts, self.continuum, precision="highest"))
        return flux * value["amplitude"] if self.amplitude else flux


def with_nuisances(
    grid: SpectralGrid,
    nuisances: Nuisances,
    *,
    lsf_fwhm: float = DEFAULT_LSF_FWHM,
    detector_wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE,
    rtol: float | None = None,
    degree: int = 3,
) -> NuisanceModel:
    """Returns the model of `make_emulator(to_detector(grid))` with unknowns besides the labels.

    Every node is scaled to a median of 0.5 at rest; its scale does not follow velocity or width.

    Args:
        grid: model spectra, not yet on the detector (its sampling must be finer than the lines it shows).
        nuisances: what is unknown besides the labels.
        lsf_fwhm: full width at half maximum of the instrument's Gaussian, Å.
        detector_wave: pixel centres, vacuum Å; all that the grid covers, because the median is over them.
        rtol: of the emulator.
        degree: of the emulator's splines.

    Raises:
        UsageError: `lsf` with a grid that is not sharper than the instrument.
        DataError: the grid does not cover the detector.
    """
    fine = before_instrument(grid, degree, rtol=rtol, lsf_fwhm=lsf_fwhm, detector_wave=detector_wave)
    seen = instrument_derivatives(
        grid.wave, np.asarray(fine.basis, np.float64), detector_wave,
        lsf_fwhm=lsf_fwhm, resolving_power=grid.resolving_power, rv=nuisances.rv, lsf=nuisances.lsf,
    )  # fmt: skip
    d_rv_kms, d_lsf_fwhm = (x if x is None else jnp.asarray(x, fine.basis.dtype) for x in seen[1:])
    middle, half = np.mean(detector_wave[[0, -1]]), np.ptp(detector_wave) / 2
    legendre = legvander((detector_wave - middle) / half, nuisances.continuum).T[1:]
    return NuisanceModel(
        emulator=replace(
            fine,
            basis=jnp.asarray(seen.flux, fine.basis.dtype),
            wave=detector_wave,
            resolving_power=min(grid.resolving_power, float(detector_wave.mean()) / lsf_fwhm),
        ),
        d_rv_kms=d_rv_kms,
        d_lsf_fwhm=d_lsf_fwhm,
        continuum=jnp.asarray(legendre, fine.basis.dtype),
        amplitude=nuisances.amplitude,
        lsf_fwhm=lsf_fwhm,
    )


def instrument_derivatives(
    wave: Float[np.ndarray, " n_wave"],
    rows: Float[np.ndarray, "m n_wave"],
    detector_wave: Float[np.ndarray, " n_pix"],
    *,
    lsf_fwhm: float,
    resolving_power: float,
    rv: bool = True,
    lsf: bool = True,
) -> InstrumentDerivatives:
    """Returns rows of spectra on the detector, and their derivatives by velocity and by FWHM, at rest.

    The kernel tops up what the rows already have, fwhm_kernel^2 = lsf_fwhm^2 - (wave/resolving_power)^2, as
    in `to_detector`, so that d fwhm_kernel = (lsf_fwhm / fwhm_kernel) d lsf_fwhm. In float64.

    Raises:
        UsageError: `lsf` where the kernel is narrower than a cell of `wave` (its derivative grows without
            bound), or wider than the instrument can differentiate.
        DataError: the rows do not cover the detector.
    """
    own = detector_wave / resolving_power
    if lsf:
        _check_kernel(wave, detector_wave, own, lsf_fwhm)

    def kernel_sigma(fwhm: Float[Array, ""] | float) -> Float[Array, " n_pix"]:
        return jnp.sqrt(jnp.maximum(jnp.asarray(fwhm**2) - jnp.asarray(own) ** 2, 0.0)) / FWHM_PER_SIGMA

    with jax.enable_x64(True):
        rest_sigma = np.sqrt(np.maximum(lsf_fwhm**2 - own**2, 0.0)) / FWHM_PER_SIGMA

        def observe(row: Array, rv_kms: Array, fwhm: Array) -> Array:
            sigma = kernel_sigma(fwhm) if lsf else rest_sigma
            return detector_flux(wave, row, detector_wave, lsf_sigma=sigma, rv_kms=rv_kms)

        def at_rest(row: Array) -> tuple[Array, Array | None, Array | None]:
            rest = (jnp.asarray(0.0), jnp.asarray(lsf_fwhm, jnp.float64))
            flux, one, zero = observe(row, *rest), jnp.asarray(1.0), jnp.asarray(0.0)

            def push(*tangent: Array) -> Array:
                change: Array = jax.jvp(partial(observe, row), rest, tangent)[1]
                return change

            return flux, push(one, zero) if rv else None, push(zero, one) if lsf else None

        mapped = jax.jit(lambda table: jax.lax.map(at_rest, table, batch_size=ROWS_AT_ONCE))
        result = InstrumentDerivatives(*mapped(jnp.asarray(rows)))
    if not np.isfinite(result.flux).all():
        raise DataError(
            f"rows: needed the detector's range {detector_wave[0]:.2f}-{detector_wave[-1]:.2f} Å, found "
            f"{wave[0]:.2f}-{wave[-1]:.2f} Å; use a wider grid or pass a shorter detector_wave"
        )
    return result


def _check_kernel(wave: np.ndarray, detector_wave: np.ndarray, own: np.ndarray, lsf_fwhm: float) -> None:
    """Refuses a derivative by the width of the line-spread function where it does not exist."""
    cell = np.interp(detector_wave, wave, np.diff(cell_edges(wave)))
    kernel_squared = lsf_fwhm**2 - own**2
    worst = int(np.argmin(kernel_squared - cell**2))
    if kernel_squared[worst] < cell[worst] ** 2:
        raise UsageError(
            f"lsf: a free line-spread width needs spectra sharper than the instrument, but at "
            f"{detector_wave[worst]:.0f} Å they have a FWHM of {own[worst]:.2f} Å in cells of "
            f"{cell[worst]:.2f} Å, the instrument {lsf_fwhm:g} Å; use a grid of higher resolving power, or "
            "take the width as known (lsf=False)"
        )
    if np.sqrt(kernel_squared.max()) / FWHM_PER_SIGMA > MAX_TRACED_SIGMA:
        raise UsageError(
            f"lsf_fwhm must stay below {MAX_TRACED_SIGMA * FWHM_PER_SIGMA:.2f} Å for its derivative, "
            f"found {lsf_fwhm:g} Å"
        )
