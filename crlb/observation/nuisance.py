"""What a fit must find besides the labels: flux scale, continuum, radial velocity, line-spread function.

    flux(labels, nuisances) = amplitude (1 + sum_k continuum_k P_k(x)) S(labels, rv_kms, lsf_fwhm)
    S = S_rest + rv_kms dS/drv + (lsf_fwhm - rest) dS/dlsf

with Legendre polynomials P_k of x, the wavelength scaled to -1..1 over the arm. The instrument is linear in
flux, so its derivatives by velocity and width act on the few basis spectra that every node is a sum of. S is
a first-order expansion: value and first derivatives are exact at the rest values, which is all that a Fisher
matrix asks for.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.detector import FWHM_PER_SIGMA, Detector, cell_edges, pfs_medium
from crlb.errors import DataError, UsageError
from crlb.grids.emulator import Emulator
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.conditions import polynomials
from crlb.observation.kernel import inside, pixel_kernel
from crlb.observation.nuisances import Nuisances
from crlb.observation.pixels import before_instrument


class InstrumentDerivatives(NamedTuple):
    """Spectra on the detector, and how they change per km/s and per Å of FWHM; None where not asked for."""

    flux: Float[np.ndarray, "m n_pix"]
    d_rv_kms: Float[np.ndarray, "m n_pix"] | None
    d_lsf_fwhm: Float[np.ndarray, "m n_pix"] | None


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
    detector: Detector | None = None,
    rtol: float | None = None,
    degree: int = 3,
) -> NuisanceModel:
    """Returns the model of `make_emulator(seen_by(grid, detector))` with unknowns besides the labels.

    Every node is scaled to a median of 0.5 at rest; its scale does not follow velocity or width.

    Args:
        grid: model spectra, not yet on the detector (its sampling must be finer than the lines it shows).
        nuisances: what is unknown besides the labels.
        detector: pixels, all that the grid covers, because the median is over them, and line-spread widths;
            an unknown width is that of `Detector.width`, and the others go with it. None: the PFS red arm.
        rtol: of the emulator.
        degree: of the emulator's splines.

    Raises:
        UsageError: `lsf` with a grid that is not sharper than the instrument.
        DataError: the grid does not cover the detector.
    """
    detector = pfs_medium() if detector is None else detector
    fine = before_instrument(grid, degree, rtol=rtol, detector=detector)
    seen = instrument_derivatives(
        grid.wave, np.asarray(fine.basis, np.float64), detector,
        resolving_power=grid.resolving_power, rv=nuisances.rv, lsf=nuisances.lsf,
    )  # fmt: skip
    d_rv_kms, d_lsf_fwhm = (x if x is None else jnp.asarray(x, fine.basis.dtype) for x in seen[1:])
    wave = detector.wave
    legendre = polynomials(wave, float(wave.min()), float(wave.max()), nuisances.continuum)[1:]
    return NuisanceModel(
        emulator=replace(
            fine,
            basis=jnp.asarray(seen.flux, fine.basis.dtype),
            wave=wave,
            resolving_power=min(grid.resolving_power, float(wave.mean()) / detector.width),
        ),
        d_rv_kms=d_rv_kms,
        d_lsf_fwhm=d_lsf_fwhm,
        continuum=jnp.asarray(legendre, fine.basis.dtype),
        amplitude=nuisances.amplitude,
        lsf_fwhm=detector.width,
    )


def instrument_derivatives(
    wave: Float[np.ndarray, " n_wave"],
    rows: Float[np.ndarray, "m n_wave"],
    detector: Detector,
    *,
    resolving_power: float,
    rv: bool = True,
    lsf: bool = True,
) -> InstrumentDerivatives:
    """Returns rows of spectra on the detector, and their derivatives by velocity and by FWHM, at rest.

    The kernel tops up what the rows already have, fwhm_kernel^2 = lsf_fwhm^2 - (wave/resolving_power)^2, as
    in `seen_by`, so that d fwhm_kernel = (lsf_fwhm / fwhm_kernel) d lsf_fwhm. The width is that of
    `Detector.width`; those of other pixels change in proportion. On the host, in float64.

    Raises:
        UsageError: `lsf` where the kernel is narrower than a cell of `wave`: its derivative grows without
            bound.
        DataError: the rows do not cover the detector.
    """
    own, asked = detector.wave / resolving_power, detector.lsf_fwhm
    if lsf:
        _check_kernel(wave, detector.wave, own, asked)
    if not inside(wave, detector.low, detector.high).all():
        raise DataError(
            f"rows: needed the detector's range {detector.wave.min():.2f}-{detector.wave.max():.2f} Å, found "
            f"{wave[0]:.2f}-{wave[-1]:.2f} Å; use a wider grid or fewer pixels"
        )
    sigma = np.sqrt(np.maximum(asked**2 - own**2, 0.0)) / FWHM_PER_SIGMA
    kernel = pixel_kernel(wave, detector.low, detector.high, sigma)
    spectra = np.ascontiguousarray(rows.T)
    by_width = None
    if lsf:
        per_fwhm = asked**2 / (detector.width * FWHM_PER_SIGMA**2 * sigma)  # d sigma / d width of each pixel
        by_width = (kernel.d_sigma @ spectra).T * per_fwhm
    return InstrumentDerivatives(
        (kernel.weights @ spectra).T, (kernel.d_rv_kms @ spectra).T if rv else None, by_width
    )


def _check_kernel(wave: np.ndarray, detector_wave: np.ndarray, own: np.ndarray, asked: np.ndarray) -> None:
    """Refuses a derivative by the width of the line-spread function where it does not exist."""
    cell = np.interp(detector_wave, wave, np.diff(cell_edges(wave)))
    kernel_squared = asked**2 - own**2
    worst = int(np.argmin(kernel_squared - cell**2))
    if kernel_squared[worst] < cell[worst] ** 2:
        raise UsageError(
            f"lsf: a free line-spread width needs spectra sharper than the instrument, but at "
            f"{detector_wave[worst]:.0f} Å they have a FWHM of {own[worst]:.2f} Å in cells of "
            f"{cell[worst]:.2f} Å, the instrument {asked[worst]:g} Å; use a grid of higher resolving power, "
            "or take the width as known (lsf=False)"
        )
