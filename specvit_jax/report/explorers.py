"""What trained networks read from single stars, at every magnitude."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from specvit_jax.evaluation.explore import LABEL, Predictor, explore
from specvit_jax.evaluation.limits import has_density
from specvit_jax.evaluation.predict import predict
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.spectra.source import Simulator

Say = Callable[[str], None]


def explorers(networks: Mapping[str, Weights], say: Say, **options: Any) -> list[dict[str, Any]]:
    """`explore` of the networks that read log g; those of the same grid, prior and noise together.

    A network is left out, which is said, where it does not read log g or not the pixels of its grid.

    Args:
        networks: by name.
        say: called with what is done next or left out.
        options: of `explore`.

    Raises:
        MissingInputError, DataError: the grid or the noise curves a network was trained with are gone.
    """
    groups: dict[DataConfig, dict[str, Weights]] = {}
    for name, weights in networks.items():
        model = weights.config.model
        if LABEL not in model.output_names:
            says = f"says {model.output_names[0]}, not {LABEL}" if model.threshold is not None else ""
            say(f"{name} {says or f'does not read {LABEL}'}: left out of the explorer")
        else:
            groups.setdefault(_stars(weights.config.data), {})[name] = weights
    found = (_explored(simulator_of(data), group, say, options) for data, group in groups.items())
    return [one for one in found if one is not None]


def _stars(data: DataConfig) -> DataConfig:
    """What of a network's data the stars depend on: grid, prior, noise and exposure.

    A network that was trained without noise is shown stars with the usual one, which their bounds need.
    """
    data = replace(data, noise_level=data.noise_level or 1.0)
    kept = ("grid", "noise", "labels", "ranges", "prior", "beta", "noise_level", "exptime_s", "n_exp")
    table = ("population", "population_outside")
    return replace(DataConfig(), **{name: getattr(data, name) for name in (*kept, *table, "seeing_arcsec")})


def _explored(
    simulator: Simulator, networks: Mapping[str, Weights], say: Say, options: dict[str, Any]
) -> dict[str, Any] | None:
    fitting = {}
    for name, weights in networks.items():
        n_pix = len(weights.input_scaler.mean)
        if n_pix == len(simulator.wave):
            fitting[name] = weights
        else:
            say(f"{name} reads {n_pix} pixels, its grid has {len(simulator.wave)}: left out of the explorer")
    if not fitting:
        return None
    if not has_density(simulator):
        options = {**options, "n_posterior": 0}
    predictors = {name: _predictor(weights) for name, weights in fitting.items()}
    found = explore(simulator, predictors, say=say, **options)
    for name, weights in fitting.items():
        found["methods"][name]["trained_mag"] = list(weights.config.data.mag)
    return found


def _predictor(weights: Weights) -> Predictor:
    def log_g(flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return predict(weights, flux).of(LABEL)

    return log_g
