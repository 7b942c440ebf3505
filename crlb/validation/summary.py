"""The leave-out test of the emulator of a grid, summarised per axis, degree and region."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from crlb.files.records import Json
from crlb.grids.emulator import DEGREES
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation import noise as noise_module
from crlb.observation.noise import NoiseModel
from crlb.validation.leave_out import (
    BATCH,
    SINGLE,
    Scores,
    dropped_nodes,
    joined,
    leave_out,
)
from crlb.validation.result import (
    AxisNote,
    Better,
    Biases,
    ErrorSpectra,
    FluxError,
    MeanError,
    Row,
    Spread,
    Validation,
)
from crlb.validation.smoothness import smoothness

ESTIMATE = "estimate"  # for the whole grid: errors of single nodes times `Scores.shrink`
REGIONS: dict[str, tuple[float, float]] = {  # two cuts of a label, its unit; between them is the third region
    "T_eff": (4500.0, 5250.0),
    "log_g": (2.5, 3.5),
    "M_H": (-1.5, -0.5),
}
BINS = 128  # of wavelength, in the result
MEANING = (
    "halved: every second inner node of an axis left out together; single: one node of the axis at a time; "
    "estimate: single times what the leading error of splines shrinks by in the whole grid, true only where "
    "the spectra are smooth on the scale of the nodes (see smoothness). Flux errors are medians over pixels "
    "of |predicted/true - 1|, slope errors rms over pixels relative to the slope in the whole grid, biases "
    "those of a weighted least-squares fit over its Cramer-Rao bound, without sign; quantiles are over nodes"
)


class Region(NamedTuple):
    """A part of label space."""

    name: str
    inside: Bool[np.ndarray, " n"]


def total(grid: SpectralGrid, degrees: Sequence[int] = DEGREES) -> int:
    """Returns how many nodes `validate` predicts, if none is interpolated."""
    count = 0
    for axis in grid.axes:
        sets = [nodes for test in dropped_nodes(axis).values() for nodes in test]
        count += sum(map(len, sets)) * len(grid.nodes) // len(axis)
    return len(degrees) * count


def validate(
    grid: SpectralGrid,
    noise: NoiseModel,
    mags: Sequence[float],
    *,
    degrees: Sequence[int] = DEGREES,
    wave_range: tuple[float, float] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Validation:
    """Returns errors of the emulator at nodes it was not given.

    Args:
        grid: spectra on the detector's pixels.
        noise: curves of the instrument and sky, on the same pixels.
        mags: AB magnitudes in i at which the bound is taken.
        degrees: of the splines.
        wave_range: only pixels between these vacuum wavelengths count, Å; None: all.
        advance: called with the number of nodes just predicted.

    Raises:
        UsageError, DataError, UnidentifiableError: as `leave_out`.
    """
    low, high = wave_range or (-np.inf, np.inf)
    usable = (low <= grid.wave) & (grid.wave <= high)
    found = {
        degree: leave_out(grid, noise, mags, degree, usable=usable, advance=advance) for degree in degrees
    }
    rows = _rows(grid, mags, found)
    return Validation(
        label_names=_varying(grid),
        mags=tuple(float(mag) for mag in mags),
        snr_median=_snr(grid, noise, mags, usable),
        axes=tuple(_axis(name, axis) for name, axis in zip(grid.label_names, grid.axes, strict=True)),
        nodes=len(grid.nodes),
        not_scored=0 if grid.filled is None else int(grid.filled.sum()),
        rows=rows,
        better=_better(rows),
        smoothness=smoothness(grid, rows),
        spectra=_spectra(grid.wave[usable], grid.label_names, found),
        provenance=_provenance(grid, noise),
    )


def _provenance(grid: SpectralGrid, noise: NoiseModel) -> dict[str, Json]:
    return {
        "meaning": MEANING,
        "snr_definition": "median over pixels of flux/error, median over nodes spread over the grid",
        "exposure": asdict(noise.exposure),
        "grid_source": grid.source,
        "dtype": str(jnp.zeros(()).dtype),
    }


def _rows(
    grid: SpectralGrid, mags: Sequence[float], found: dict[int, dict[tuple[int, str], Scores]]
) -> tuple[Row, ...]:
    """The scores of every degree, test, axis and region that has nodes."""
    regions, names = list(_regions(grid)), _varying(grid)
    return tuple(
        Row(
            *(degree, test, axis, region.name),
            *_summary(_chosen(scores, region.inside), () if test == ESTIMATE else names, names, mags),
        )
        for degree, tests in found.items()
        for axis, test, scores in _tests(tests, grid.label_names)
        for region in regions
        if region.inside[scores.nodes].any()
    )


def _varying(grid: SpectralGrid) -> tuple[str, ...]:
    """The labels that have more than one node."""
    return tuple(name for name, axis in zip(grid.label_names, grid.axes, strict=True) if len(axis) > 1)


def _regions(grid: SpectralGrid) -> Iterator[Region]:
    yield Region("all", np.ones(len(grid.nodes), bool))
    for name, (low, high) in REGIONS.items():
        if name in grid.label_names:
            label = grid.nodes[:, grid.label_names.index(name)]
            yield Region(f"{name} < {low:g}", label < low)
            yield Region(f"{name} {low:g} to {high:g}", (label >= low) & (label < high))
            yield Region(f"{name} >= {high:g}", label >= high)


def _tests(
    found: dict[tuple[int, str], Scores], label_names: Sequence[str]
) -> Iterator[tuple[str, str, Scores]]:
    """Axis, test and scores of what was measured, the estimate for the whole grid, and all axes together."""
    by_test: dict[str, list[Scores]] = {}
    for (axis, test), scores in found.items():
        yield label_names[axis], test, scores
        by_test.setdefault(test, []).append(scores)
        if test == SINGLE:
            estimate = _shrunk(scores)
            yield label_names[axis], ESTIMATE, estimate
            by_test.setdefault(ESTIMATE, []).append(estimate)
    for test, parts in by_test.items():
        yield "all", test, joined(parts)


def _shrunk(scores: Scores) -> Scores:
    factor = scores.shrink
    return scores._replace(
        flux=scores.flux * factor,
        flux_max=scores.flux_max * factor,
        bias=scores.bias * factor[:, None, None],
    )


def _chosen(scores: Scores, inside: Bool[np.ndarray, " n"]) -> Scores:
    """The scores of the nodes of a region."""
    keep = inside[scores.nodes]
    return Scores._make([*(field[keep] for field in scores[:-1]), scores.per_pixel])


def _summary(
    scores: Scores, sloped: Sequence[str], names: Sequence[str], mags: Sequence[float]
) -> tuple[int, FluxError, dict[str, Spread], tuple[Biases, ...]]:
    """Quantiles over nodes; slopes of the labels `sloped` (an estimate has none: they shrink otherwise)."""
    bias = np.abs(scores.bias)
    biases = tuple(
        Biases(float(mag), {name: Spread(*_quantiles(bias[:, j, i])) for i, name in enumerate(names)})
        for j, mag in enumerate(mags)
    )
    flux = FluxError(*_quantiles(scores.flux), worst_pixel=float(scores.flux_max.max()))
    slopes = {name: Spread(*_quantiles(scores.slope[:, i])) for i, name in enumerate(sloped)}
    return len(scores.nodes), flux, slopes, biases


def _quantiles(values: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    """Median, 90 % and maximum."""
    median, p90 = map(float, np.percentile(values, [50, 90]))
    return median, p90, float(values.max())


def _axis(name: str, axis: Float[np.ndarray, " n"]) -> AxisNote:
    """What the tests could do on an axis, and what limits them."""
    halved = next(iter(dropped_nodes(axis).values()), [np.zeros(0, int)])[0]
    left = len(axis) - len(halved)
    note = ""
    if not len(halved):
        note = f"{len(axis)} nodes: none can be left out"
    elif left <= max(DEGREES):
        note = f"halved has {left} nodes: splines of degree {left - 1} at the most"
    return AxisNote(name, len(axis), len(halved), note)


def _better(rows: Sequence[Row]) -> tuple[Better, ...]:
    """Per test, axis and region the degree of the smaller flux error, and of the smaller largest bias."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.test, row.axis, row.region), []).append(row)
    return tuple(
        Better(
            *place,
            flux=min(group, key=lambda row: row.flux_error.median).degree,
            bias_median=_least_biased(group, "median"),
            bias_p90=_least_biased(group, "p90"),
        )
        for place, group in groups.items()
    )


def _least_biased(group: Sequence[Row], quantile: Literal["median", "p90"]) -> int:
    """The degree of the row whose largest bias is the smallest."""
    return min(group, key=lambda row: row.largest_bias(quantile)).degree


def _snr(
    grid: SpectralGrid, noise: NoiseModel, mags: Sequence[float], usable: Bool[np.ndarray, " n_pix"]
) -> tuple[float, ...]:
    """Median SNR per pixel over some nodes spread over the grid, at each magnitude."""
    some = np.linspace(0, len(grid.nodes) - 1, min(len(grid.nodes), BATCH)).astype(int)
    factors = grid.spectra.coefficients.reshape(-1, grid.spectra.coefficients.shape[-1])[some]
    flux = factors if grid.spectra.basis is None else factors @ grid.spectra.basis

    def one(row: Float[np.ndarray, " n_pix"], mag: float) -> float:
        light = jnp.asarray(row)
        error = jnp.sqrt(noise_module.variance(light, mag, noise))
        return float(noise_module.snr(light[usable], error[usable]))

    return tuple(float(np.median([one(row, float(mag)) for row in flux])) for mag in mags)


def _spectra(
    wave: Float[np.ndarray, " n_pix"],
    label_names: Sequence[str],
    found: dict[int, dict[tuple[int, str], Scores]],
) -> ErrorSpectra:
    """Mean relative flux error in bins of wavelength (Å), single nodes left out, by degree and axis."""
    edges = np.linspace(0, len(wave), min(BINS, len(wave)) + 1).astype(int)[:-1]

    def binned(values: np.ndarray) -> tuple[float, ...]:
        return tuple((np.add.reduceat(values, edges) / np.diff([*edges, len(values)])).tolist())

    curves = (
        MeanError(degree, label_names[axis], binned(scores.per_pixel))
        for degree, tests in found.items()
        for (axis, test), scores in tests.items()
        if test == SINGLE
    )
    return ErrorSpectra(binned(wave), tuple(curves))
