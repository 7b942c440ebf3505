"""The forward model of a stellar spectrum and the information it holds about its labels."""

from importlib import import_module
from typing import Any

# Names are fetched on first use, so that `import crlb` does not wait for jax.
_HOME = {
    "SpectralGrid": "grid",
    "load_grid": "grid",
    "load_slice": "grid",
    "make_grid": "grid",
    "save_grid": "grid",
    "default_grid_path": "grid",
    "Emulator": "emulator",
    "make_emulator": "emulator",
    "to_detector": "instrument",
    "Exposure": "noise",
    "NoiseModel": "noise",
    "builtin_noise": "noise_curves",
    "load_noise": "noise_curves",
    "flux_jacobian": "fisher",
    "fisher_information": "fisher",
    "cramer_rao_bound": "fisher",
    "schur_decay": "fisher",
    "with_nuisances": "nuisance",
    "pixel_information": "information",
    "make_prior": "prior",
    "bayes_limit": "bayes",
    "bayesian_bounds": "bounds",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'crlb' has no attribute '{name}'; it hands on {', '.join(__all__)}")
    return getattr(import_module(f"crlb.{_HOME[name]}"), name)
