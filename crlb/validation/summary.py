"""The leave-out test of the emulator of a grid, summarised per axis, degree and region, as JSON values."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from crlb.grids.emulator import DEGREES
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation import noise as noise_module
from crlb.observation.noise import NoiseModel
from crlb.validation.leave_out import (
    BATCH,
    HALVED,
    SINGLE,
    Scores,
    dropped_nodes,
    joined,
    leading_error,
    leave_out,
    places,
)

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
) -> dict[str, Any]:
    """Returns errors of the emulator at nodes it was not given; arguments and errors as `leave_out`.

    `rows` holds one entry per degree, test, axis ("all": all axes together) and region ("all": everywhere);
    `better` the degree of the smaller error per test, axis and region, biases at the middle one of the
    magnitudes; `spectra` errors by wavelength.
    """
    low, high = wave_range or (-np.inf, np.inf)
    usable = (low <= grid.wave) & (grid.wave <= high)
    options: Any = {"usable": usable, "advance": advance}
    found = {degree: leave_out(grid, noise, mags, degree, **options) for degree in degrees}
    regions = list(_regions(grid))
    names = [name for name, axis in zip(grid.label_names, grid.axes, strict=True) if len(axis) > 1]
    rows = [
        {"degree": degree, "test": test, "axis": axis, "region": region.name}
        | _summary(_chosen(scores, region.inside), names if test != ESTIMATE else [], names, mags)
        for degree, tests in found.items()
        for axis, test, scores in _tests(tests, grid.label_names)
        for region in regions
        if region.inside[scores.nodes].any()
    ]
    return {
        "label_names": names,
        "mags": [float(mag) for mag in mags],
        "snr_median": _snr(grid, noise, mags, usable),
        "axes": [_axis(name, axis) for name, axis in zip(grid.label_names, grid.axes, strict=True)],
        "nodes": len(grid.nodes),
        "not_scored": 0 if grid.filled is None else int(grid.filled.sum()),
        "rows": rows,
        "better": _better(rows),
        "smoothness": _smoothness(grid, rows),
        "spectra": _spectra(grid.wave[usable], grid.label_names, found),
        "provenance": {
            "meaning": MEANING,
            "snr_definition": "median over pixels of flux/error, median over nodes spread over the grid",
            "exposure": {
                "exptime_s": noise.exposure.exptime_s,
                "n_exp": noise.exposure.n_exp,
                "seeing_arcsec": noise.exposure.seeing_arcsec,
            },
            "grid_source": grid.source,
            "dtype": str(jnp.zeros(()).dtype),
        },
    }


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
) -> dict[str, Any]:
    """Quantiles over nodes; slopes of the labels `sloped` (an estimate has none: they shrink otherwise)."""
    bias = np.abs(scores.bias)
    return {
        "n": len(scores.nodes),
        "flux_error": {**_quantiles(scores.flux), "worst_pixel": float(scores.flux_max.max())},
        "slope_error": {name: _quantiles(scores.slope[:, i]) for i, name in enumerate(sloped)},
        "bias_over_bound": [
            {"mag": float(mag)} | {name: _quantiles(bias[:, j, i]) for i, name in enumerate(names)}
            for j, mag in enumerate(mags)
        ],
    }


def _quantiles(values: Float[np.ndarray, " n"]) -> dict[str, float]:
    median, p90 = map(float, np.percentile(values, [50, 90]))
    return {"median": median, "p90": p90, "max": float(values.max())}


def _axis(name: str, axis: Float[np.ndarray, " n"]) -> dict[str, Any]:
    """What the tests could do on an axis, and what limits them."""
    halved = next(iter(dropped_nodes(axis).values()), [np.zeros(0, int)])[0]
    left = len(axis) - len(halved)
    note = ""
    if not len(halved):
        note = f"{len(axis)} nodes: none can be left out"
    elif left <= max(DEGREES):
        note = f"halved has {left} nodes: splines of degree {left - 1} at the most"
    return {"label": name, "nodes": len(axis), "left_out_by_halving": len(halved), "note": note}


def _better(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per test, axis and region the degree of the smaller flux error, and of the smaller largest bias."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["test"], row["axis"], row["region"]), []).append(row)
    return [
        {
            "test": test,
            "axis": axis,
            "region": region,
            "flux": min(group, key=lambda row: row["flux_error"]["median"])["degree"],
            "bias_median": min(group, key=lambda row: largest_bias(row, "median"))["degree"],
            "bias_p90": min(group, key=lambda row: largest_bias(row, "p90"))["degree"],
        }
        for (test, axis, region), group in groups.items()
    ]


def _smoothness(grid: SpectralGrid, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per axis and degree: how much the flux error grows from single to halved, and should if smooth."""
    error = {
        (row["axis"], row["degree"], row["test"]): row["flux_error"]["median"]
        for row in rows
        if row["region"] == "all" != row["axis"]
    }
    return [
        {
            "axis": axis,
            "degree": degree,
            "halved_over_single": halved / max(error[axis, degree, SINGLE], 1e-300),
            "if_smooth": _if_smooth(places(grid)[grid.label_names.index(axis)], degree),
        }
        for (axis, degree, test), halved in error.items()
        if test == HALVED and len(grid.axes[grid.label_names.index(axis)]) >= degree + 2
    ]


def _if_smooth(axis: Float[np.ndarray, " n"], degree: int) -> float:
    """Growth of the leading error from single to halved, medians over the nodes left out."""
    everything = np.arange(len(axis))
    halved, single = (
        np.concatenate([leading_error(axis, np.delete(everything, x), axis[x], degree) for x in sets])
        for sets in dropped_nodes(axis).values()
    )
    return float(np.median(halved) / np.median(single))


def largest_bias(row: dict[str, Any], quantile: str, mag: int | None = None) -> float:
    """Returns the bias over bound of the label that has the largest, at the mag-th (middle) magnitude."""
    at_mags = row["bias_over_bound"]
    chosen = at_mags[len(at_mags) // 2 if mag is None else mag]
    return max(found[quantile] for name, found in chosen.items() if name != "mag")


def _snr(
    grid: SpectralGrid, noise: NoiseModel, mags: Sequence[float], usable: Bool[np.ndarray, " n_pix"]
) -> list[float]:
    """Median SNR per pixel over some nodes spread over the grid, at each magnitude."""
    some = np.linspace(0, len(grid.nodes) - 1, min(len(grid.nodes), BATCH)).astype(int)
    factors = grid.spectra.coefficients.reshape(-1, grid.spectra.coefficients.shape[-1])[some]
    flux = factors if grid.spectra.basis is None else factors @ grid.spectra.basis

    def one(row: Float[np.ndarray, " n_pix"], mag: float) -> float:
        light = jnp.asarray(row)
        error = jnp.sqrt(noise_module.variance(light, mag, noise))
        return float(noise_module.snr(light[usable], error[usable]))

    return [float(np.median([one(row, float(mag)) for row in flux])) for mag in mags]


def _spectra(
    wave: Float[np.ndarray, " n_pix"],
    label_names: Sequence[str],
    found: dict[int, dict[tuple[int, str], Scores]],
) -> dict[str, Any]:
    """Mean relative flux error in bins of wavelength (Å), single nodes left out, by degree and axis."""
    edges = np.linspace(0, len(wave), min(BINS, len(wave)) + 1).astype(int)[:-1]

    def binned(values: np.ndarray) -> list[float]:
        return (np.add.reduceat(values, edges) / np.diff([*edges, len(values)])).tolist()

    return {
        "wave": binned(wave),
        "flux_error": [
            {"degree": degree, "axis": label_names[axis], "mean": binned(scores.per_pixel)}
            for degree, tests in found.items()
            for (axis, test), scores in tests.items()
            if test == SINGLE
        ],
    }
