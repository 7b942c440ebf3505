"""Spectra and a network small enough to train in seconds."""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from specvit_jax.settings.config import Config, DataConfig, ModelConfig, TrainConfig
from specvit_jax.spectra import simulate
from specvit_jax.spectra.source import Batch
from tests.specvit_jax.toy import PIECE, save_two_line_grid

N_PIX = 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ToySource:
    """Spectra linear in two labels, with white noise: learnt within a hundred steps."""

    shapes: Float[Array, "2 n_pix"]

    @property
    def label_names(self) -> tuple[str, ...]:
        return ("T_eff", "log_g")

    @property
    def rows(self) -> None:
        return None

    def sample(self, key, index) -> Batch:
        return jax.vmap(self._one)(jax.vmap(jax.random.fold_in, (None, 0))(key, index))

    def _one(self, key) -> Batch:
        label_key, noise_key = jax.random.split(key)
        unit = jax.random.uniform(label_key, (2,), minval=-1.0)
        clean = 0.5 + unit @ self.shapes
        error = jnp.full(clean.shape, 0.1)
        labels = jnp.array([5000.0, 3.0]) + unit * jnp.array([1000.0, 2.0])
        flux = clean + error * jax.random.normal(noise_key, clean.shape)
        return Batch(flux, labels, jnp.float32(20.0), clean, error)


@pytest.fixture(scope="session")
def two_line_grid(tmp_path_factory) -> Path:
    """A grid file of spectra of two lines, one of which tells log g."""
    return save_two_line_grid(tmp_path_factory.mktemp("grid") / "grid.h5")


@pytest.fixture(scope="module")
def small_pieces():
    """Simulated files are written `PIECE` spectra at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "CHUNK", PIECE)
        yield


@pytest.fixture(scope="session")
def toy_source() -> ToySource:
    return ToySource(jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(2, N_PIX)), jnp.float32))


@pytest.fixture(scope="session")
def toy_model() -> ModelConfig:
    return ModelConfig(
        input_size=N_PIX,
        patch_size=16,
        embed_dim=16,
        depth=1,
        num_heads=2,
        mlp_ratio=2.0,
        init="scaled",
        token_std=0.1,
        dropout=0.0,
        attention_dropout=0.0,
    )


@pytest.fixture(scope="session")
def toy_config(toy_model) -> Config:
    train = TrainConfig(
        steps=12,
        batch_size=16,
        learning_rate=1e-2,
        loss="mse",
        log_every=3,
        eval_every=4,
        checkpoint_every=10,
    )
    data = DataConfig(n_scaling=64, n_validation=64)
    return replace(Config(preset="tiny"), model=toy_model, train=train, data=data)
