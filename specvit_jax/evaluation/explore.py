"""Some stars moved away step by step: what their spectra can tell of log g, and what methods read from them.

At every magnitude a star is observed with the same standard normal deviates, so that it is the same star,
fainter: only the strength of the noise changes. All methods read the same spectra.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import UsageError
from crlb.labels import LABELS
from specvit_jax import metrics
from specvit_jax.evaluation.limits import cramer_rao, exact_posterior, label_box
from specvit_jax.spectra.source import SNR_DEFINITION, Batch, Rows, Simulator, fold_in, median_snr

LABEL = "log_g"
MAGS = tuple(np.arange(18.0, 23.25, 0.5).tolist())  # AB in i, those of the project's figures
FLUX_STEP = 1e-4  # flux is stored in whole steps of this; the noise at magnitude 18 is 0.006

Predictor = Callable[[Float[np.ndarray, "n n_pix"], Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]
Say = Callable[[str], None]


class Star(NamedTuple):
    """A star to look at; labels that a grid has and it does not name are 0, as those of the Sun."""

    name: str
    labels: Mapping[str, float]


STARS = (
    Star("Bright giant", {"T_eff": 4000.0, "log_g": 1.2, "M_H": -0.5}),
    Star("Red giant", {"T_eff": 4600.0, "log_g": 2.2, "M_H": -0.25}),
    Star("Metal-poor giant", {"T_eff": 4900.0, "log_g": 1.9, "M_H": -2.0}),
    Star("Subgiant", {"T_eff": 5400.0, "log_g": 3.6, "M_H": 0.0}),
    Star("M dwarf", {"T_eff": 3850.0, "log_g": 4.7, "M_H": -0.1}),
    Star("K dwarf", {"T_eff": 4700.0, "log_g": 4.6, "M_H": 0.1}),
    Star("Sun", {"T_eff": 5772.0, "log_g": 4.44, "M_H": 0.0}),
    Star("Metal-poor dwarf", {"T_eff": 5900.0, "log_g": 4.2, "M_H": -1.5}),
)


def explore(
    simulator: Simulator,
    predictors: Mapping[str, Predictor],
    *,
    stars: Sequence[Star] = STARS,
    mags: Sequence[float] = MAGS,
    n_draws: int = 32,
    n_posterior: int = 4,
    seed: int = 20_201,
    say: Say = lambda step: None,
) -> dict[str, Any]:
    """Spectra, bounds and errors of every star at every magnitude, as plain JSON values.

    Args:
        simulator: forward model and prior.
        predictors: method -> its log g (dex) of observed spectra at known magnitudes.
        stars: those outside the simulator's ranges are left out.
        mags: AB magnitudes in i.
        n_draws: of the noise, at every star and magnitude.
        n_posterior: how many of them get an exact posterior; 0: none, as where the prior has no density.
        seed: of the noise.
        say: called with what is done next.

    Returns:
        `stars`: name, labels, clean flux and, `at` each magnitude, `snr`, `bound` (Cramer-Rao, dex),
        `posterior_sigma` (dex, root mean square over draws) and one noisy spectrum; `methods`: name -> per
        star and magnitude `rms`, `bias` and all `estimates`. Flux is in whole steps of `flux_step`.

    Raises:
        UsageError: no star lies within the simulator's ranges, log_g is none of its labels, or as
            `posterior_sigma` where posteriors are asked for.
    """
    kept, labels = _inside(simulator, stars)
    truth = labels[:, simulator.label_names.index(LABEL)]
    say("spectra and bounds")
    drawn = [_observed(simulator, labels, mag, n_draws, seed) for mag in mags]
    known = _bounds(simulator, labels, np.asarray(mags))
    if n_posterior:
        say("exact posteriors")
        known["posterior_sigma"] = np.stack(
            [_posteriors(simulator, batch, n_posterior, len(kept)) for batch in drawn], axis=1
        )
    methods = {}
    for name, predictor in predictors.items():
        say(f"{name}: {len(kept) * len(mags) * n_draws:,} spectra")
        methods[name] = {"stars": _errors(predictor, drawn, truth)}
    shown = [
        {"name": star.name, "labels": dict(zip(simulator.label_names, row.tolist(), strict=True))}
        | _spectra(drawn, i * n_draws, mags, {name: values[i] for name, values in known.items()})
        for i, (star, row) in enumerate(zip(kept, labels, strict=True))
    ]
    return _about(simulator, mags, n_draws, n_posterior, seed) | {"stars": shown, "methods": methods}


def _inside(simulator: Simulator, stars: Sequence[Star]) -> tuple[list[Star], np.ndarray]:
    """The stars within the simulator's ranges, and their labels in its order."""
    if LABEL not in simulator.label_names:
        raise UsageError(f"{LABEL} must be a label of the grid, found {', '.join(simulator.label_names)}")
    low, high = label_box(simulator)
    labels = np.array([[star.labels.get(name, 0.0) for name in simulator.label_names] for star in stars])
    inside = np.asarray(((labels >= low) & (labels <= high)).all(axis=1))
    if not inside.any():
        ranges = ", ".join(
            f"{name} {a:g} to {b:g}" for name, a, b in zip(simulator.label_names, low, high, strict=True)
        )
        raise UsageError(f"no star to look at lies within {ranges}; give some that do")
    return [star for star, is_in in zip(stars, inside, strict=True) if is_in], labels[inside]


def _observed(simulator: Simulator, labels: np.ndarray, mag: float, n_draws: int, seed: int) -> Batch:
    """All draws of all stars at one magnitude, star after star; the keys are those of every magnitude."""
    repeated = jnp.asarray(np.repeat(labels, n_draws, axis=0), jnp.float32)
    keys = fold_in(jax.random.key(seed), np.arange(len(repeated)))
    found: Batch = _observe(simulator, repeated, jnp.full(len(repeated), mag, jnp.float32), keys)
    return found


@jax.jit
def _observe(simulator: Simulator, labels: Array, mag: Array, keys: Array) -> Batch:
    return simulator.observer.observe(keys, Rows(simulator.clean(labels), labels, mag))


def _bounds(
    simulator: Simulator, labels: np.ndarray, mags: np.ndarray
) -> dict[str, Float[np.ndarray, "n n_mag"]]:
    """Bound on log g in dex, as `bound`."""
    return {"bound": cramer_rao(simulator, labels, mags)[..., simulator.label_names.index(LABEL)]}


def _posteriors(simulator: Simulator, batch: Batch, n: int, n_stars: int) -> np.ndarray:
    """Root mean square over `n` draws of the posterior's sigma of log g, per star, dex."""
    rows = np.arange(len(batch.mag)).reshape(n_stars, -1)[:, :n].ravel()
    flux, mag = np.asarray(batch.flux)[rows], np.asarray(batch.mag)[rows]
    exact = exact_posterior(simulator, flux, mag)
    sigma = np.where(exact.converged[:, None], exact.sigma, np.nan)
    column = sigma[:, simulator.label_names.index(LABEL)].reshape(n_stars, n)
    found: np.ndarray = np.sqrt((column**2).mean(axis=1))
    return found


def _spectra(
    drawn: Sequence[Batch], row: int, mags: Sequence[float], known: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """One star: its noiseless flux; at each magnitude SNR, what is known, and the noisy spectrum of a row."""
    at = []
    for j, (mag, batch) in enumerate(zip(mags, drawn, strict=True)):
        clean, error, noisy = (np.asarray(part)[row] for part in (batch.clean, batch.error, batch.flux))
        bounds = {name: _number(values[j]) for name, values in known.items()}
        snr = median_snr(clean[None], error[None])[0]
        at.append({"mag": mag, "snr": _number(snr), **bounds, "noisy": _steps(noisy)})
    return {"clean": _steps(np.asarray(drawn[0].clean)[row]), "at": at}


def _errors(predictor: Predictor, drawn: Sequence[Batch], truth: np.ndarray) -> list[list[dict[str, Any]]]:
    """Errors of a method per star and magnitude, dex."""
    per_mag = []
    for batch in drawn:
        estimates = np.asarray(predictor(np.asarray(batch.flux), np.asarray(batch.mag)), np.float64)
        per_mag.append(
            [_error(star, one) for star, one in zip(np.split(estimates, len(truth)), truth, strict=True)]
        )
    return [list(star) for star in zip(*per_mag, strict=True)]


def _error(estimates: Float[np.ndarray, " n"], truth: float) -> dict[str, Any]:
    true = np.full(len(estimates), truth)
    return {
        "rms": _number(metrics.rmse(true, estimates)),
        "bias": _number(metrics.bias(true, estimates)),
        "estimates": [_number(value) for value in estimates],
    }


def _about(
    simulator: Simulator, mags: Sequence[float], n_draws: int, n_posterior: int, seed: int
) -> dict[str, Any]:
    exposure, (low, high) = simulator.model.exposure, label_box(simulator)
    return {
        "label": LABEL,
        "units": {name: LABELS[name].unit for name in simulator.label_names},
        "ranges": {
            name: [float(a), float(b)] for name, a, b in zip(simulator.label_names, low, high, strict=True)
        },
        "wave": [round(float(value), 3) for value in np.asarray(simulator.wave)],
        "flux_step": FLUX_STEP,
        "mags": list(mags),
        "n_draws": n_draws,
        "n_posterior": n_posterior,
        "seed": seed,
        "snr_definition": SNR_DEFINITION,
        "exposure": f"{exposure.n_exp} x {exposure.exptime_s:g} s",
        "grid": simulator.emulator.source,
    }


def _steps(flux: Float[np.ndarray, " n_pix"]) -> list[int]:
    found: list[int] = np.rint(flux / FLUX_STEP).astype(int).tolist()
    return found


def _number(value: Any) -> float | None:
    """Four digits; None where there is no number."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
