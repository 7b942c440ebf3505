"""Matrix products and attention of a training step of `paper`: XLA's beside PyTorch's and numpy's.

    python benchmarks/matrix_products.py [--batch N] [--rounds N]

Says what part of a step without dropout they take, and what the step would gain if all of them were as fast
as PyTorch's (products of oneDNN, attention in one piece): the most that another library of them can bring.
Float32; all sides take turns in every round, each after a pause in which the threads of the side before,
which wait in a loop, have gone to sleep. Needs the extra `torch`, and a machine where nothing else runs.
Writes outputs/benchmarks/matrix_products.json.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch_vit
from measure import save, seconds
from train_throughput import EAGER, OURS, sides, versions

from crlb.files.process import cores
from specvit_jax import Config, ModelConfig, preset
from specvit_jax.network.model import attention

ASLEEP = 0.2  # s after which threads that wait in a loop sleep
FILLED = 0.2  # s of a timing
XLA, TORCH, NUMPY = "XLA", "PyTorch", "numpy"


class Piece(NamedTuple):
    """A part of a step, how often a step takes it, and what computes it, by library."""

    name: str
    times: int
    sides: dict[str, Callable[[], Any]]


def pieces(model: ModelConfig, batch: int) -> list[Piece]:
    """Returns the products of dense layers, forward and backward, and the attention of a layer."""
    tokens, width, depth = model.num_patches + 1, model.embed_dim, model.depth
    rows, hidden = batch * tokens, int(model.mlp_ratio * width)
    return [
        *dense(rows, width, width, 4 * depth),  # query, key, value, output
        *dense(rows, width, hidden, depth),
        *dense(rows, hidden, width, depth),
        attention_layer(batch, tokens, width, model.num_heads, depth),
    ]


def dense(rows: int, width: int, out: int, times: int) -> list[Piece]:
    """Returns the product of a dense layer, that of the gradient of its input, and that of its weights."""
    return [product(*shape, times) for shape in ((rows, width, out), (rows, out, width), (width, rows, out))]


def product(m: int, k: int, n: int, times: int) -> Piece:
    """Returns a product (m, k) x (k, n) by every library, on all cores."""
    rng, torch = np.random.default_rng(0), theirs()
    left, right = (rng.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n)))
    sides = {
        XLA: partial(jax.jit(jnp.matmul), jnp.asarray(left), jnp.asarray(right)),
        TORCH: partial(torch.matmul, torch.from_numpy(left), torch.from_numpy(right)),
        NUMPY: partial(np.matmul, left, right),
    }
    return Piece(f"{m} x {k} x {n}", times, sides)


def attention_layer(batch: int, tokens: int, width: int, heads: int, times: int) -> Piece:
    """Returns softmax(q k^T / sqrt(d)) v of all heads, forward and backward, as the two networks have it."""
    rng, torch = np.random.default_rng(0), theirs()
    arrays = [rng.normal(size=(batch, tokens, width)).astype(np.float32) for _ in range(4)]
    *ours, weight = (jnp.asarray(array) for array in arrays)
    gradient = jax.jit(jax.grad(lambda *qkv: jnp.vdot(attention(*qkv, heads), weight), (0, 1, 2)))
    shape = (batch, tokens, heads, width // heads)
    *qkv, out = (torch.from_numpy(array).reshape(shape).transpose(1, 2).contiguous() for array in arrays)
    leaves = [array.requires_grad_() for array in qkv]
    seen = torch.nn.functional.scaled_dot_product_attention  # what HuggingFace's ViT takes
    sides = {XLA: partial(gradient, *ours), TORCH: lambda: torch.autograd.grad(seen(*leaves), leaves, out)}
    name = f"attention of {batch} x {heads} heads, {tokens} tokens of {width // heads}, with its gradients"
    return Piece(name, times, sides)


def theirs() -> Any:
    """Returns PyTorch, on all cores."""
    torch = torch_vit.package("torch")
    torch.set_num_threads(cores())
    return torch


def measured(piece: Piece, rounds: int) -> dict[str, Any]:
    """Returns times of a piece by every library, ms, and how much slower than each other XLA is."""
    times = alone(piece.sides, rounds)
    found: dict[str, Any] = {
        "piece": piece.name,
        "times_a_step": piece.times,
        "ms": {name: round(1e3 * median(values), 3) for name, values in times.items()},
    }
    for other in (name for name in times if name != XLA):
        ratios = [a / b for a, b in zip(times[XLA], times[other], strict=True)]
        found[f"XLA over {other}"] = [round(x, 2) for x in np.quantile(ratios, (0.5, 0.25, 0.75)).tolist()]
    return found


def alone(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Returns wall times of one call of every side by round: the mean of as many calls as fill `FILLED`."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(ASLEEP)
            once = min(seconds(call) for _ in range(2))  # the first one compiles, wakes threads, fills caches
            count = max(1, round(FILLED / once))
            times[name].append(seconds(partial(repeated, call, count)) / count)
    return times


def repeated(call: Callable[[], Any], count: int) -> Any:
    """Returns the last of so many results."""
    for _ in range(count):
        found = call()
    return found


def bound(rows: list[dict[str, Any]], step: dict[str, list[float]]) -> dict[str, Any]:
    """Returns the part of a step that the pieces take, and the ratio of steps with those of PyTorch."""
    taken = {name: sum(row["times_a_step"] * row["ms"][name] for row in rows) / 1e3 for name in (XLA, TORCH)}
    of_attention = {name: rows[-1]["times_a_step"] * rows[-1]["ms"][name] / 1e3 for name in (XLA, TORCH)}
    ours, theirs = median(step[OURS]), median(step[EAGER])
    ratios = [b / a for a, b in zip(step[OURS], step[EAGER], strict=True)]
    return {
        "seconds_per_step": {OURS: round(ours, 4), EAGER: round(theirs, 4)},
        "seconds_of_pieces": {name: round(value, 4) for name, value in taken.items()},
        "seconds_of_attention": {name: round(value, 4) for name, value in of_attention.items()},
        "share_of_our_step": round(taken[XLA] / ours, 3),
        "share_of_their_step": round(taken[TORCH] / theirs, 3),
        "times_faster": [round(x, 3) for x in np.quantile(ratios, (0.5, 0.25, 0.75)).tolist()],
        "times_faster_with_pieces_as_PyTorch": round(theirs / (ours - taken[XLA] + taken[TORCH]), 3),
    }


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    config = without_dropout(args.batch)
    rows = [measured(piece, args.rounds) for piece in pieces(config.model, args.batch)]
    calls = {name: partial(steps, 1) for name, steps in sides(config, False).items()}
    step = alone(calls, args.rounds)
    result = {
        "unit": "float32; ratios: median and quartiles over rounds in which the sides took turns",
        "batch_size": args.batch,
        "rounds": args.rounds,
        "pieces": rows,
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
