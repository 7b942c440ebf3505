"""The matrix products of a training step of `paper`: XLA's beside oneDNN's (PyTorch) and OpenBLAS's (numpy).

    python benchmarks/matrix_products.py [--batch N] [--rounds N]

Says what part of a step without dropout they take, and what the step would gain if all of them were as fast
as PyTorch's: the bound of what another library of products can bring. Float32; all sides take turns in every
round. Needs the extra `torch`. Writes outputs/benchmarks/matrix_products.json.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch_vit
from measure import in_turn, save
from train_throughput import EAGER, OURS, sides, versions

from crlb.files.process import cores
from specvit_jax import Config, ModelConfig, preset

XLA, ONEDNN, OPENBLAS = "XLA", "oneDNN", "OpenBLAS"


class Product(NamedTuple):
    """A product (..., m, k) x (..., k, n), the leading axes in `batch`, and how often a step takes it."""

    batch: tuple[int, ...]
    m: int
    k: int
    n: int
    times: int

    @property
    def name(self) -> str:
        """Its shape."""
        return "".join(f"{size} of " for size in self.batch) + f"{self.m} x {self.k} x {self.n}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns two factors."""
        rng = np.random.default_rng(0)
        left = rng.normal(size=(*self.batch, self.m, self.k)).astype(np.float32)
        return left, rng.normal(size=(*self.batch, self.k, self.n)).astype(np.float32)


def products(model: ModelConfig, batch: int) -> list[Product]:
    """Returns the products of a step: of every layer one forward, and two of as many operations backward."""
    tokens, width, depth = model.num_patches + 1, model.embed_dim, model.depth
    rows, hidden, head = batch * tokens, int(model.mlp_ratio * width), width // model.num_heads
    heads = (batch * model.num_heads,)
    return [
        *dense(rows, width, width, 4 * depth),  # query, key, value, output
        *dense(rows, width, hidden, depth),
        *dense(rows, hidden, width, depth),
        Product(heads, tokens, head, tokens, 2 * depth),  # scores; gradient of the weights of attention
        Product(heads, tokens, tokens, head, 4 * depth),  # values; gradients of query, key, value
    ]


def dense(rows: int, width: int, out: int, times: int) -> list[Product]:
    """Returns the product of a dense layer, that of the gradient of its input, and that of its weights."""
    shapes = ((rows, width, out), (rows, out, width), (width, rows, out))
    return [Product((), *shape, times) for shape in shapes]


def libraries(product: Product) -> dict[str, Callable[[], Any]]:
    """Returns the product by every library, on all cores."""
    torch = torch_vit.package("torch")
    torch.set_num_threads(cores())
    left, right = product.arrays()
    ours = jax.jit(jnp.matmul)
    theirs = torch.from_numpy(left), torch.from_numpy(right)
    return {
        XLA: partial(ours, jnp.asarray(left), jnp.asarray(right)),
        ONEDNN: partial(torch.matmul, *theirs),
        OPENBLAS: partial(np.matmul, left, right),
    }


def measured(product: Product, rounds: int) -> dict[str, Any]:
    """Returns times of a product by every library, ms, and how much faster than XLA the others are."""
    times = in_turn(libraries(product), rounds)
    found: dict[str, Any] = {
        "product": product.name,
        "times_a_step": product.times,
        "ms": {name: round(1e3 * median(values), 3) for name, values in times.items()},
    }
    for other in (ONEDNN, OPENBLAS):
        ratios = [a / b for a, b in zip(times[XLA], times[other], strict=True)]
        found[f"XLA over {other}"] = [round(x, 2) for x in np.quantile(ratios, (0.5, 0.25, 0.75)).tolist()]
    return found


def bound(rows: list[dict[str, Any]], step: dict[str, list[float]]) -> dict[str, Any]:
    """Returns the part of a step that products take, and the ratio of steps with those of oneDNN."""
    taken = {name: sum(row["times_a_step"] * row["ms"][name] for row in rows) / 1e3 for name in (XLA, ONEDNN)}
    ours, theirs = median(step[OURS]), median(step[EAGER])
    ratios = [b / a for a, b in zip(step[OURS], step[EAGER], strict=True)]
    return {
        "seconds_per_step": {OURS: round(ours, 4), EAGER: round(theirs, 4)},
        "seconds_of_products": {name: round(value, 4) for name, value in taken.items()},
        "share_of_our_step": round(taken[XLA] / ours, 3),
        "share_of_their_step": round(taken[ONEDNN] / theirs, 3),
        "times_faster": [round(x, 3) for x in np.quantile(ratios, (0.5, 0.25, 0.75)).tolist()],
        "times_faster_with_products_as_oneDNN": round(theirs / (ours - taken[XLA] + taken[ONEDNN]), 3),
    }


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    config = without_dropout(args.batch)
    rows = [measured(product, args.rounds) for product in products(config.model, args.batch)]
    calls = {name: partial(steps, 1) for name, steps in sides(config, False).items()}
    step = in_turn(calls, args.rounds)
    result = {
        "unit": "float32; ratios: median and quartiles over rounds in which the sides took turns",
        "batch_size": args.batch,
        "rounds": args.rounds,
        "products": rows,
        "step_without_dropout": bound(rows, step),
        "cores": cores(),
        "torch_versions": versions(),
    }
    save("matrix_products", result)


def without_dropout(batch: int) -> Config:
    """Returns the preset `paper` as `train_throughput.py` times it without dropout."""
    base = preset("paper")
    model = replace(base.model, dropout=0.0, attention_dropout=0.0)
    return replace(base, model=model, train=replace(base.train, batch_size=batch, loss="l1"))


if __name__ == "__main__":
    main()
