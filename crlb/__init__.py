"""The forward model of a stellar spectrum and the information it holds about its labels."""

from importlib import import_module
from typing import Any

# Names are fetched on first use, so that `import crlb` does not wait for jax.
_HOME = {
    "SpectralGrid": "grids.grid_file",
    "load_grid": "grids.grid_file",
    "load_slice": "grids.grid_file",
    "make_grid": "grids.grid_file",
    "save_grid": "grids.grid_file",
    "default_grid_path": "grids.grid_file",
    "Emulator": "grids.emulator",
    "make_emulator": "grids.emulator",
    "to_detector": "observation.instrument",
    "Exposure": "observation.noise",
    "NoiseModel": "observation.noise",
    "builtin_noise": "observation.noise_curves",
    "load_noise": "observation.noise_curves",
    "flux_jacobian": "fisher.matrix",
    "fisher_information": "fisher.matrix",
    "cramer_rao_bound": "fisher.matrix",
    "schur_decay": "fisher.matrix",
    "with_nuisances": "observation.nuisance",
    "pixel_information": "fisher.information",
    "make_prior": "bayes.prior",
    "bayes_limit": "bayes.exact_limit",
    "bayesian_bounds": "bayes.bounds",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'crlb' has no attribute '{name}'; it hands on {', '.join(__all__)}")
    return getattr(import_module(f"crlb.{_HOME[name]}"), name)
