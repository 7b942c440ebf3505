"""A small network with its scalers, and a test set of constant spectra under known noise."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.files.spectra import Spectra, write_spectra
from specvit_jax.evaluation.predict import BATCH
from specvit_jax.network.model import SpecViT
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights, save_weights
from specvit_jax.settings.config import Config, ModelConfig, TrainConfig

MODEL = ModelConfig(
    patch_size=512, embed_dim=8, depth=1, num_heads=2, pool="mean", label_names=("log_g", "T_eff")
)
N = BATCH + 44


@pytest.fixture(scope="module")
def weights() -> Weights:
    rng = np.random.default_rng(0)
    params = SpecViT(MODEL).init(jax.random.key(0), jnp.zeros((1, 4096)))["params"]
    return Weights(
        params,
        Config(model=MODEL),
        LabelScaler(jnp.array([3.0, 5000.0]), jnp.array([1.0, 500.0])),
        InputScaler(
            jnp.asarray(rng.uniform(0.4, 0.6, 4096), jnp.float32),
            jnp.asarray(rng.uniform(0.1, 0.2, 4096), jnp.float32),
        ),
    )


@pytest.fixture(scope="module")
def sigma_weights(weights) -> Weights:
    """A network that predicts its errors too."""
    model = replace(MODEL, predict_sigma=True)
    params = SpecViT(model).init(jax.random.key(3), jnp.zeros((1, 4096)))["params"]
    return weights._replace(params=params, config=Config(model=model, train=TrainConfig(loss="nll")))


def stars(n: int = N, **changes) -> Spectra:
    rng = np.random.default_rng(1)
    level = np.linspace(0.02, 0.2, n)[:, None]  # SNR from 25 down to 2.5
    spectra = Spectra(
        wave=DETECTOR_WAVE,
        labels={"T_eff": rng.uniform(4000, 6000, n), "log_g": rng.uniform(1, 5, n)},
        flux=np.full((n, 4096), 0.5, np.float32),
        error=np.broadcast_to(level, (n, 4096)).astype(np.float32),
        noisy=(0.5 + level * rng.normal(size=(n, 4096))).astype(np.float32),
        mag=np.linspace(20, 22, n),
    )
    return replace(spectra, **changes)


@pytest.fixture(scope="module")
def files(weights, tmp_path_factory) -> tuple[Path, Path]:
    """A run directory with weights, and a test set."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "weights").mkdir()
    save_weights(folder / "weights" / "best.safetensors", weights, {"step": 1.0})
    write_spectra(folder / "test.h5", stars())
    return folder, folder / "test.h5"
