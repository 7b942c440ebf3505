"""MLP and 1-D CNN behind the protocol: the modules, scalers and training loop of SpecViT, another network.

`MLP` and `CNN` are configurations like any other: ``train(MLP, simulator, out)`` trains one on fresh spectra.
`Network` trains on spectra that were observed once, as every other baseline does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.errors import DataError, UsageError
from experiments.baselines.protocol import Arrays, Chunk, checked, collected, fitted
from specvit_jax import (
    Batch,
    Config,
    DataConfig,
    ModelConfig,
    TrainConfig,
    Weights,
    load_weights,
    predict,
    save_weights,
)
from specvit_jax import train as train_network
from specvit_jax.training.parallel import make_layout

TRAINED_PER_VALIDATED = 9  # the training loop validates on at most a tenth of the spectra it is given
MOST_SCALED = 20_000  # spectra the scalers are measured on: 2 GB while they are whitened

# Validation R2 of log g after 300 steps of 128 fresh spectra, mag 20.5-22.5, one run each: 0.679 whitened to
# 24 components (zca), 0.602 only standardised.
MLP = Config(
    preset="tiny",
    model=ModelConfig(
        network="mlp",
        hidden=(1024, 512, 256),
        dropout=0.1,
        gelu="tanh",
        init="scaled",
        label_names=("log_g", "T_eff", "M_H"),
    ),
    train=TrainConfig(
        steps=3000,
        batch_size=128,
        learning_rate=1e-3,
        clip_norm=1.0,
        loss="mse",
        early_stopping=4,
        eval_every=250,
        checkpoint_every=250,
    ),
    data=DataConfig(preprocess="zca", components=24),
)
CNN = replace(MLP, model=replace(MLP.model, network="cnn", channels=(16, 32, 64, 64), hidden=(256,)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Observed:
    """Spectra observed once, held in memory: a source whose noise is never drawn anew.

    Its batches hand the noisy flux on as the clean one, without further noise: what is whitened is then the
    covariance of noisy spectra.
    """

    flux: Float[Array, "rows n_pix"]
    labels: Float[Array, "rows n_labels"]
    label_names: tuple[str, ...] = field(metadata={"static": True})

    @property
    def rows(self) -> int:
        """Number of spectra."""
        return len(self.flux)

    def sample(self, key: Key[Array, ""], index: Int[Array, " n"]) -> Batch:
        """The spectra of these rows."""
        flux = self.flux[index]
        return Batch(flux, self.labels[index], jnp.full(len(flux), jnp.nan), flux, jnp.zeros_like(flux))


@dataclass
class Network:
    """A network behind the protocol of all baselines; the weights of its best validation are kept.

    Args:
        config: of the network and its training; the labels are those of ``model.label_names``, in that order.
        folder: run directory, which must not exist yet; None: a temporary one.
        devices: to share each batch; None: all.
    """

    config: Config = MLP
    folder: Path | None = None
    devices: Sequence[jax.Device] | None = None
    weights: Weights | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """As it appears in figures and tables."""
        return {"vit": "SpecViT", "mlp": "MLP", "cnn": "CNN"}[self.config.model.network]

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Trains on the spectra, shuffled anew every epoch; validates on the first of the others.

        At most one validation spectrum is used for every `TRAINED_PER_VALIDATED` training spectra.

        Raises:
            DataError: too few spectra, or values that are not finite.
            UsageError: another number of pixels or labels than the configuration has.
        """
        source, held_out = self.observed(collected(self.name, train), checked(validation))
        rows = source.rows - held_out
        data = replace(self.config.data, n_validation=held_out, n_scaling=min(rows, MOST_SCALED))
        with TemporaryDirectory() as folder:
            run = self.folder or Path(folder) / "run"
            result = train_network(
                replace(self.config, data=data), source, run, layout=make_layout(devices=self.devices)
            )
            self.weights = load_weights(result.weights)

    def observed(self, train: Chunk, validation: Chunk) -> tuple[Observed, int]:
        """The training spectra with validation spectra as the last rows, and how many these are."""
        model, (n, n_pix), n_labels = self.config.model, train[0].shape, train[1].shape[1]
        if n_pix != model.input_size or n_labels != len(model.label_names):
            raise UsageError(
                f"{self.name} reads {model.input_size} pixels (model.input_size) and the labels "
                f"{', '.join(model.label_names)}, found {n_pix} pixels and {n_labels} labels"
            )
        held_out = min(len(validation[0]), n // TRAINED_PER_VALIDATED)
        if not held_out:
            raise DataError(
                f"{self.name} needs at least {TRAINED_PER_VALIDATED} training spectra and 1 to validate on, "
                f"found {n} and {len(validation[0])}"
            )
        flux, labels = (
            jnp.asarray(np.concatenate([a, b[:held_out]]), jnp.float32)
            for a, b in zip(train, validation, strict=True)
        )
        return Observed(flux, labels, model.label_names), held_out

    def predict(
        self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra; the magnitude is not used."""
        return predict(fitted(self.name, self.weights), flux).labels

    def arrays(self) -> Arrays:
        """The bytes of the weights file."""
        weights = fitted(self.name, self.weights)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            save_weights(path, weights, {})
            return {"weights": np.frombuffer(path.read_bytes(), np.uint8)}

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The trained network of `arrays`."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            path.write_bytes(arrays["weights"].tobytes())
            weights = load_weights(path)
        found = cls(weights.config)
        found.weights = weights
        return found
