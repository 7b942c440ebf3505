"""The network a configuration names: SpecViT, or one of the two it is compared with."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from specvit_jax.network.input_layer import NAME, layer_cost, read_by
from specvit_jax.network.model import SpecViT, dropout, fold, gelu, head, spectrum_keys
from specvit_jax.network.model import cost as vit_cost
from specvit_jax.network.tokens import linear_init
from specvit_jax.settings.config import ModelConfig

CONV_STRIDE = 4  # pixels from one output of a convolution to the next


def make_network(config: ModelConfig) -> nn.Module:
    """The module of ``model.network``: ``apply({"params": params}, x) -> out`` in scaled units.

    Raises:
        ValueError: another name.
    """
    if config.network == "vit":
        return SpecViT(config)
    if config.network == "mlp":
        return Perceptron(config)
    if config.network == "cnn":
        return Convolutional(config)
    raise ValueError(f"model.network must be vit, mlp or cnn, found {config.network!r}")


class Perceptron(nn.Module):
    """Dense layers of the widths ``hidden``, each followed by GELU and dropout.

    It has the input layer where it comes ``first``.
    """

    config: ModelConfig
    first: bool = True

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch n_in"],
        train: bool = False,
        index: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch n_out"]:
        """The labels of standardised spectra; arguments and output as of ``SpecViT``."""
        cfg = self.config
        keys = spectrum_keys(self, x.shape[0], index) if train and cfg.dropout > 0 else None
        x = read_by(cfg, x) if self.first else x
        for i, width in enumerate(cfg.hidden):
            layer = nn.Dense(width, dtype=cfg.dtype, kernel_init=linear_init(cfg), name=f"hidden_{i}")
            x = dropout(gelu(layer(x), cfg.gelu), cfg.dropout, fold(keys, i), 0)
        return head(cfg)(x)


class Convolutional(nn.Module):
    """Convolutions along the spectrum with the numbers of ``channels``, then a ``Perceptron``.

    Every convolution has a kernel of ``patch_size`` pixels and a stride of `CONV_STRIDE`: four of them leave
    one position for every 256 pixels.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch n_in"],
        train: bool = False,
        index: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch n_out"]:
        """The labels of standardised spectra; arguments and output as of ``SpecViT``."""
        cfg = self.config
        y = read_by(cfg, x)[:, :, None]
        for i, channels in enumerate(cfg.channels):
            layer = nn.Conv(
                channels,
                (cfg.patch_size,),
                strides=CONV_STRIDE,
                dtype=cfg.dtype,
                kernel_init=linear_init(cfg),
                name=f"conv_{i}",
            )
            y = gelu(layer(y), cfg.gelu)
        return Perceptron(cfg, first=False, name="perceptron")(y.reshape(len(y), -1), train, index)


def parameter_counts(cfg: ModelConfig) -> dict[str, int]:
    """Parameters of each part of the network, in its order; nothing is allocated."""
    x = jnp.zeros((1, cfg.input_size), jnp.float32)
    shapes = jax.eval_shape(make_network(cfg).init, jax.random.key(0), x)["params"]
    first = [NAME, "tokens", *(f"block_{i}" for i in range(cfg.depth)), "norm", "query"]
    names = [*filter(shapes.__contains__, first), *(name for name in shapes if name not in first)]
    counts: dict[str, int] = {}
    for name in names:
        parts = shapes[name] if name in (NAME, "tokens", "perceptron") else {"": shapes[name]}
        for part, tree in parts.items():
            total = sum(leaf.size for leaf in jax.tree.leaves(tree))
            counts[f"{name}/{part}".rstrip("/")] = total
    return counts


def cost(cfg: ModelConfig) -> dict[str, int]:
    """Cost of the network per spectrum, counted from its shapes; see ``model.cost``."""
    if cfg.network == "vit":
        return vit_cost(cfg)
    products, kept = layer_cost(cfg)
    positions, width, kept = cfg.read_size, 1, kept + cfg.input_size
    for channels in cfg.channels if cfg.network == "cnn" else ():
        positions = -(-positions // CONV_STRIDE)
        products += positions * cfg.patch_size * width * channels
        kept += 2 * positions * channels
        width = channels
    width *= positions
    for hidden in cfg.hidden:
        products, kept, width = products + width * hidden, kept + 2 * hidden, hidden
    products += width * len(cfg.label_names) * (1 + cfg.predict_sigma)
    forward = 2 * products
    return {
        "tokens": 0,
        "forward_flops": forward,
        "train_flops": 3 * forward,
        "activation_bytes": 4 * kept,
    }
