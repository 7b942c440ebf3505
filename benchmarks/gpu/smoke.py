"""Whether a device gives the numbers of the CPU: training steps, networks, bounds, posteriors."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from crlb import Observations, forward_model, make_prior, posterior
from specvit_jax import Batch, Config, load, make_simulator, preset
from specvit_jax.settings.config_file import override
from specvit_jax.training.initial_state import fit_scalers
from specvit_jax.training.step import loss_and_gradient, make_state, select

# Largest relative difference of the gradient: float32 products are TF32 on a GPU unless told otherwise.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
DEX = 2e-3  # of predictions in float32
SMALL = ("model.depth=1", "model.embed_dim=32", "model.patch_size=256")


def run(toy: bool) -> dict[str, Any]:
    """Every comparison; raises if one is beyond its tolerance."""
    found = {
        f"gradient, {name}, {dtype}": compared(partial(gradient, sized(name, dtype, toy)), TOLERANCE[dtype])
        for name in (("paper",) if toy else ("paper", "tiny"))
        for dtype in TOLERANCE
    }
    for name in ("tiny",) if toy else ("tiny", "survey"):
        found[f"predictions of {name}, dex"] = compared(partial(predictions, name, 8 if toy else 256), DEX)
    found["bound on log g"] = compared(bound, 1e-6)
    found["posterior means"] = compared(partial(posteriors, 2 if toy else 16), 0.02)
    wrong = [name for name, row in found.items() if not row["difference"] <= row["tolerance"]]
    if wrong:
        raise ValueError(f"beyond their tolerances: {', '.join(f'{name} {found[name]}' for name in wrong)}")
    return found


def compared(call: Callable[[], np.ndarray], tolerance: float) -> dict[str, float]:
    """The norm of the difference between the device and the CPU, relative to that of the CPU."""
    here = call()
    with jax.default_device(jax.devices("cpu")[0]):
        there = call()
    return {"difference": float(np.linalg.norm(here - there) / np.linalg.norm(there)), "tolerance": tolerance}


def sized(name: str, dtype: str, toy: bool) -> Config:
    """A preset without dropout, of a batch that a CPU can take."""
    settings = [f"model.dtype={dtype}", "model.dropout=0", "model.attention_dropout=0"]
    settings += [f"train.batch_size={4 if toy else 16}", "data.n_scaling=200"]
    return override(preset(name), [*settings, *(SMALL if toy else ())])


def gradient(config: Config) -> np.ndarray:
    """The gradient of the loss of one batch, all parameters in one vector."""
    simulator, index = make_simulator(), jnp.arange(config.train.batch_size)
    scalers, state = fit_scalers(simulator, config), make_state(config)
    batch: Batch = select(simulator.sample(jax.random.key(5), index), simulator.label_names, config)
    with jax.default_matmul_precision("highest"):
        step = jax.jit(partial(loss_and_gradient, config=config))
        _, grads = step(state, batch, index, scalers)
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(grads)])


def predictions(name: str, n: int) -> np.ndarray:
    """What a shipped network reads from fixed noisy spectra: log g, dex."""
    rng = np.random.default_rng(0)
    flux = (0.5 + 0.05 * rng.normal(size=(n, 4096))).astype(np.float32)
    return np.asarray(load(name).predict(flux).of("log_g"), np.float64)


def bound() -> np.ndarray:
    """The bounds on log g of a star at three magnitudes, dex."""
    model = forward_model()
    stars = (model.star(T_eff=4800.0, log_g=2.5, M_H=-0.5, mag=mag) for mag in (20.0, 21.5, 22.5))
    return np.array([star.fisher().bound("log_g") for star in stars])


def posteriors(n: int) -> np.ndarray:
    """Posterior means of log g of fixed spectra, dex."""
    model = forward_model()
    prior = make_prior(model.emulator.low, model.emulator.high, model.label_names)
    clean = np.asarray(model.star(T_eff=4800.0, log_g=2.5, M_H=-0.5, mag=21.0).flux)
    noisy = clean + 0.05 * np.random.default_rng(1).normal(size=(n, len(clean)))
    found = posterior(Observations(noisy, np.full(n, 21.0)), model, prior, key=jax.random.key(2))
    return found.mean[:, model.label_names.index("log_g")]
