"""The first layer: spectra as principal components, or whitened, by weights that training can change.

With the whitening of `standardise.whitened`, analysis A = V U m^(-1/2) (n_pix x k) and synthesis S
(k x n_pix), the layer of scaled spectra x begins as

    pca: x A                zca: x A S

which is what an input scaler with the same whitening hands on, as long as no pixel is lost. A scaler solves
for the components given the pixels that are left; here a lost pixel is at the mean, and components come out
nearer to 0. The mean is subtracted before, by the scaler: the layer has no bias.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from specvit_jax.network.input_scaler import InputScaler
from specvit_jax.network.tokens import linear_init
from specvit_jax.settings.config import ModelConfig

NAME = "input_layer"  # of its weights among those of a network
Layer = dict[str, dict[str, Float[Array | np.ndarray, "n_in n_out"]]]


class InputLayer(nn.Module):
    """The map of scaled spectra to what the network behind it reads, in float32 whatever model.dtype is."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch n_pix"]) -> Float[Array, "batch n_read"]:
        """Components (pca), or spectra again (zca); at random its weights are those of a linear map."""
        cfg = self.config
        y = self.linear("analysis", cfg.input_components)(x)
        return y if cfg.input_layer == "pca" else self.linear("synthesis", cfg.input_size)(y)

    def linear(self, name: str, features: int) -> nn.Dense:
        """One of its matrices."""
        return nn.Dense(
            features,
            use_bias=False,
            dtype=jnp.float32,
            precision="highest",
            kernel_init=linear_init(self.config),
            name=name,
        )


def read_by(cfg: ModelConfig, x: Float[Array, "batch n_pix"]) -> Float[Array, "batch n_read"]:
    """What the network reads of scaled spectra; for the body of a module, which gets the layer's weights."""
    return x if cfg.input_layer == "none" else InputLayer(cfg, name=NAME)(x)


def taken_out(scaler: InputScaler) -> tuple[InputScaler, Layer]:
    """The scaler without its whitening, and the whitening as weights of the layer.

    Raises:
        ValueError: it does not whiten.
    """
    parts: Mapping[str, Array | np.ndarray | None] = {
        "analysis": scaler.analysis,
        "synthesis": scaler.synthesis,
    }
    layer = {name: {"kernel": part} for name, part in parts.items() if part is not None}
    if "analysis" not in layer:
        raise ValueError("an input layer begins as the whitening of a scaler, found a scaler without")
    return scaler._replace(analysis=None, synthesis=None, gram=None), layer


def layer_cost(cfg: ModelConfig) -> tuple[int, int]:
    """Multiply-adds of the layer per spectrum, and the numbers that it keeps for the gradient."""
    if cfg.input_layer == "none":
        return 0, 0
    matrices = 1 if cfg.input_layer == "pca" else 2
    return matrices * cfg.input_size * cfg.input_components, cfg.input_components + (
        0 if cfg.input_layer == "pca" else cfg.input_size
    )
