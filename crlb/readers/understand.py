"""An observed spectrum made of what its file holds and of what the user says: units, medium, bad pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.errors import DataError
from crlb.files.observed import LARGEST, UNKNOWN_UNIT, Observed
from crlb.readers.options import ReadOptions
from crlb.readers.order import Columns, Order, order_of, without_repeats
from crlb.readers.pixels import ivar_of
from crlb.readers.raw import Raw
from crlb.readers.units import (
    FluxUnit,
    WaveUnit,
    check_range,
    flux_unit,
    is_per_wavelength,
    likely_units,
    to_flam,
    wave_unit,
)
from crlb.wavelengths import air_to_vacuum

ORDER_ONE = (1e-4, 1e8)  # median flux outside is written with another power of ten
USUAL_SCALE = 1e-17  # erg/s/cm2/Å of one unit of flux, as SDSS, DESI and PFS have it


def observed_of(raw: Raw, options: ReadOptions) -> Observed:
    """Returns the spectrum in vacuum Å and F_lambda, with inverse variances, and what was done to it.

    Units and medium come from the options, else from the file. The flux per Å is written in a power of ten
    of erg/s/cm2/A near one. Unusable pixels (masked; flux or error not finite; error zero, negative or a
    sign for "no data"; flux filled with zeros) get inverse variance 0 and are counted by cause. The velocity
    `options.rv_kms` is removed: wave / (1 + v/c).

    Raises:
        DataError: the unit or medium of the wavelengths is neither in the file nor given, or does not fit
            them; arrays of different lengths; fewer than two wavelengths.
    """
    try:
        return _observed(raw, options, _axis_of(raw, options))
    except DataError as error:
        if str(error).startswith(str(raw.origin)):
            raise
        raise DataError(f"{raw.origin}: {error}") from None


def reader(template: Raw, options: ReadOptions) -> Callable[[Raw], Observed | DataError]:
    """Returns what makes `Observed`, or says why it cannot, of spectra that share wavelengths and units.

    What is said of the wavelengths is worked out once, for all of them.

    Raises:
        DataError: the wavelengths cannot be understood.
    """
    axis = _axis_of(template, options)

    def understood(raw: Raw) -> Observed | DataError:
        try:
            return _observed(raw, options, axis)
        except DataError as error:
            return DataError(f"{raw.origin}: {error}")

    return understood


def _axis_of(raw: Raw, options: ReadOptions) -> "_Axis":
    _check_lengths(raw)
    if not np.isfinite(raw.wave).any():
        raise DataError("no wavelength is a finite number")
    return _axis(raw, options)


def _observed(raw: Raw, options: ReadOptions, axis: "_Axis") -> Observed:
    _check_flux(raw)
    flux, ivar, lost = ivar_of(raw, axis.order.pixels)
    factor, unit, unit_done = _calibrated(raw, options, axis.observed, flux)
    has_errors = raw.noise is not None and raw.noise_kind is not None
    if not isinstance(factor, float) or factor != 1.0:
        flux, ivar = flux * factor, ivar / np.square(factor) if has_errors else ivar
    columns, repeats = Columns(axis.wave, flux, ivar, axis.order.segment, axis.resolving_power), 0
    if axis.repeats:
        columns, repeats = without_repeats(columns, has_errors)
    said = (f"{repeats} repeated wavelengths averaged by inverse variance",) if repeats else ()
    none: tuple[str, ...] = () if has_errors else ("the file has no errors",)
    if has_errors and not ivar.any() and any(" 0" in cause or "not finite" in cause for cause in lost):
        none = ("no pixel has flux and a usable error; errors are left out by --columns error=none",)
    if sum(n for cause, n in lost.items() if cause.startswith("masked")) > 0.5 * flux.size:
        none = (*none, "the mask excludes most pixels; if it marks good ones, give --mask none")
    return Observed(
        wave=columns.wave,
        flux=columns.flux,
        ivar=columns.ivar,
        origin=raw.origin,
        unit=unit,
        has_errors=has_errors,
        resolving_power=columns.resolving_power,
        segment=columns.segment,
        rv_kms=axis.rv_kms,
        mag=raw.mag,
        labels=dict(raw.labels),
        lost=axis.order.lost | lost,
        done=(*raw.notes, *axis.done, *said, *unit_done, *none, *axis.power_done),
    )


def _check_flux(raw: Raw) -> None:
    """Refuses flux without a single number, and numbers that float32 does not hold.

    Raises:
        DataError: saying which.
    """
    values = np.asarray(raw.flux)
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError("flux has no finite value: every pixel is null, NaN or infinite")
    if (largest := np.abs(values).max(initial=0.0, where=finite)) > LARGEST:
        raise DataError(f"flux must be below {LARGEST:.3g}, found {largest:g}")


def _check_lengths(raw: Raw) -> None:
    n = raw.wave.size
    power = raw.resolving_power if isinstance(raw.resolving_power, np.ndarray) else None
    arrays = {"flux": raw.flux, "noise": raw.noise, "segment": raw.segment, "resolving power": power}
    for name, values in {**arrays, **raw.bad}.items():
        if values is not None and values.shape != raw.wave.shape:
            raise DataError(f"{name} must have one value per wavelength, {n}, found {values.shape}")


@dataclass(frozen=True, eq=False)
class _Axis:
    """What does not depend on the flux.

    Wavelengths in vacuum Å, as observed and with the velocity removed, how they came to be, whether some of
    them are repeated; the resolving power.
    """

    order: Order
    observed: Float[np.ndarray, " n"]
    wave: Float[np.ndarray, " n"]
    rv_kms: float | None
    done: tuple[str, ...]
    repeats: bool
    resolving_power: Float[np.ndarray, " n"] | None
    power_done: tuple[str, ...]


def _axis(raw: Raw, options: ReadOptions) -> _Axis:
    values = np.asarray(raw.wave, np.float64)
    unit, medium, done = _said(raw, options, values)
    wave, finite = unit.angstrom(values), np.isfinite(values)
    check_range(wave[finite], values[finite], unit)
    order = order_of(wave, raw.segment)
    if order.pixels.size < 2:
        raise DataError(f"at least two wavelengths are needed, found {order.pixels.size} that are finite")
    wave = wave[order.pixels]
    if unit.name != "A":
        done += (f"wavelengths from {unit.name} to Å",)
    if medium == "air":
        wave = air_to_vacuum(wave)
        done += ("wavelengths from air to vacuum",)
    rest, rv_kms, velocity_done = _at_rest(raw, options, wave)
    repeats = bool((np.diff(rest) == 0).any())
    power, power_done = _resolving_power(raw, options, order.pixels)
    done = (*done, *order.done, *velocity_done)
    return _Axis(order, wave, rest, rv_kms, done, repeats, power, power_done)


def _said(
    raw: Raw, options: ReadOptions, values: Float[np.ndarray, " n"]
) -> tuple[WaveUnit, str, tuple[str, ...]]:
    """Unit and medium of the wavelengths by the options, else by the file; refused where neither says."""
    unit_text, medium = options.wave_unit or raw.wave_unit, options.medium or raw.medium
    needed = [] if unit_text else [_unit_needed(values)]
    if medium is None:
        needed.append(
            "the medium of the wavelengths is not stated: give --wave-medium vacuum or --wave-medium air "
            "(one read as the other is wrong by 83 km/s)"
        )
    if needed or unit_text is None or medium is None:
        raise DataError("; ".join(needed))
    unit = wave_unit(unit_text)
    if unit is None:
        raise DataError(
            f"unit of the wavelengths must be A, nm, um, m or log10(A), found '{unit_text}'; give --wave-unit"
        )
    done: tuple[str, ...] = ()
    if options.wave_unit and raw.wave_unit and wave_unit(raw.wave_unit) != unit:
        done += (f"wavelengths read as {unit.name} as asked, though the file says {raw.wave_unit}",)
    if options.medium and raw.medium and raw.medium != options.medium:
        done += (f"wavelengths read as {options.medium} as asked, though the file says {raw.medium}",)
    return unit, medium, done


def _unit_needed(values: Float[np.ndarray, " n"]) -> str:
    good = values[np.isfinite(values)]
    likely = likely_units(good)
    hint = f"; {likely} would fit" if likely else ""
    return (
        f"the unit of the wavelengths ({good.min():.6g} to {good.max():.6g}) is not stated: give --wave-unit "
        f"A, nm, um, m or log10(A){hint}"
    )


def _at_rest(
    raw: Raw, options: ReadOptions, wave: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], float | None, tuple[str, ...]]:
    """Wavelengths without the velocity that is to be removed, this velocity, and what to say of it."""
    if options.rv_kms is None:
        said = () if raw.rv_kms is None else (f"the file's wavelengths are free of {raw.rv_kms:g} km/s",)
        return wave, raw.rv_kms, said
    if not abs(options.rv_kms) < SPEED_OF_LIGHT_KMS:
        raise DataError(f"--rv must be a velocity below that of light, found {options.rv_kms:g} km/s")
    done: tuple[str, ...] = ()
    if raw.rv_kms:
        wave = wave * (1 + raw.rv_kms / SPEED_OF_LIGHT_KMS)
        done = (f"the file's removal of {raw.rv_kms:g} km/s undone, as another velocity was given",)
    rest = wave / (1 + options.rv_kms / SPEED_OF_LIGHT_KMS)
    return rest, options.rv_kms, (*done, f"velocity of {options.rv_kms:g} km/s removed")


def _calibrated(
    raw: Raw, options: ReadOptions, wave: Float[np.ndarray, " n"], flux: Float[np.ndarray, " n"]
) -> tuple[float | Float[np.ndarray, " n"], str, tuple[str, ...]]:
    """The factor that makes the flux one per Å in the unit that is returned with it, and what to say."""
    text = raw.flux_unit if options.flux_unit is None else options.flux_unit
    if text is None:
        return 1.0, UNKNOWN_UNIT, ("the unit of the flux is not stated: scale and slope are free",)
    unit = flux_unit(text)
    done: tuple[str, ...] = ()
    if options.flux_unit is not None:
        if unit.kind == "unknown" and unit.name != UNKNOWN_UNIT:
            raise DataError(f"--flux-unit '{text}' is no unit of a flux that is known; give one that is")
        done = _contradiction(raw, unit)
    if unit.kind == "density":
        factor, name, said = _density(unit, wave, flux)
        return factor, name, (*done, *said)
    if unit.kind in ("normalised", "model") or unit.name == UNKNOWN_UNIT:
        return 1.0, unit.name, done
    why = "are not calibrated" if unit.kind == "not calibrated" else "are in a unit that is not known"
    return 1.0, UNKNOWN_UNIT, (*done, f"the fluxes ({unit.name}) {why}: scale and slope are free")


def _contradiction(raw: Raw, unit: FluxUnit) -> tuple[str, ...]:
    if raw.flux_unit is None or flux_unit(raw.flux_unit) == unit:
        return ()
    return (f"flux read as {unit.name} as asked, though the file says '{raw.flux_unit}'",)


def _density(
    unit: FluxUnit, wave: Float[np.ndarray, " n"], flux: Float[np.ndarray, " n"]
) -> tuple[float | Float[np.ndarray, " n"], str, tuple[str, ...]]:
    """The factor of a calibrated flux, with a power of ten that brings the numbers near one."""
    per_wavelength = is_per_wavelength(unit)
    factor = to_flam(unit, wave[:1] if per_wavelength else wave)
    scale = float(factor[0]) if per_wavelength else USUAL_SCALE
    numbers = np.abs((flux * factor / scale)[flux != 0])
    middle = float(np.median(numbers)) if numbers.size else 1.0
    if not ORDER_ONE[0] <= middle <= ORDER_ONE[1]:
        scale *= 10.0 ** np.floor(np.log10(middle))
    name = f"{scale:g} erg/s/cm2/A"
    if per_wavelength:
        return float(factor[0]) / scale, name, ()
    return factor / scale, name, (f"flux from {unit.name} to F_lambda in {name}",)


def _resolving_power(
    raw: Raw, options: ReadOptions, order: np.ndarray
) -> tuple[Float[np.ndarray, " n"] | None, tuple[str, ...]]:
    """Resolving power of the pixels in use; None where nobody says it."""
    given = raw.resolving_power if options.resolving_power is None else options.resolving_power
    if given is None:
        return None, ()
    if not isinstance(given, np.ndarray):
        if not (np.isfinite(given) and given > 0):
            raise DataError(f"resolving power must be positive, found {given:g}; give --resolving-power")
        return np.full(order.shape, float(given)), ()
    power = np.asarray(given, np.float64)[order]
    good = np.isfinite(power) & (power > 0)
    if good.all():
        return power, ()
    if not good.any():
        return None, ("the file's resolving powers are no positive numbers: left out",)
    pixels = np.arange(power.size)
    filled = np.interp(pixels, pixels[good], power[good])
    return filled, (f"resolving power of {int((~good).sum())} pixels interpolated",)
