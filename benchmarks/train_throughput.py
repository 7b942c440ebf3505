"""Training steps of this project and of PyTorch with HuggingFace's ViT: same network, batch and precision.

    python benchmarks/train_throughput.py [--preset paper] [--batch N] [--precision float32|bfloat16]
                                          [--rounds N] [--steps N] [--compile]

One step is forward with dropout, backward, clipping and AdamW on a batch that stays on the device; the sides
take turns. PyTorch runs eagerly, and under torch.compile on a GPU or with --compile; without the extra
`torch` only this project is timed. Writes outputs/benchmarks/train_throughput.json.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata
from statistics import median
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room on the same GPU

import jax
import jax.numpy as jnp
import numpy as np
import torch_vit
from measure import in_turn, ratio, save

from crlb.files.process import cores
from specvit_jax import Batch, Config, preset
from specvit_jax.network.inference import Scalers
from specvit_jax.network.networks import cost
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.training.step import make_state, train_step

OURS, EAGER, COMPILED = "specvit-jax", "PyTorch eager", "PyTorch torch.compile"

# Dense peak without sparsity, TFLOP/s: float32 products as TF32, bfloat16. Source: NVIDIA's data sheets of
# A100 (2021), H100 and H200 (SXM, half of the figures given with sparsity), L4 (likewise).
PEAK_TFLOPS = {
    "A100": {"float32": 156.0, "bfloat16": 312.0},
    "H100 80GB HBM3": {"float32": 494.7, "bfloat16": 989.4},
    "H200": {"float32": 494.7, "bfloat16": 989.4},
    "L4": {"float32": 60.0, "bfloat16": 121.0},
}


def our_steps(config: Config, flux: np.ndarray, labels: np.ndarray) -> Callable[[int], Any]:
    """Returns a call that takes so many steps of this project on one batch, compiled, the state donated."""
    n, n_pix = flux.shape
    zeros, ones = np.zeros(n_pix, np.float32), np.ones(n_pix, np.float32)
    scalers = Scalers(LabelScaler(zeros[:1], ones[:1]), InputScaler(zeros, ones))
    batch = Batch(*(jnp.asarray(array) for array in (flux, labels, zeros[:n], flux, flux)))
    step = jax.jit(partial(train_step, config=config), donate_argnums=0)
    state, index = make_state(config), jnp.arange(n)

    def steps(count: int) -> Any:
        nonlocal state
        for _ in range(count):
            state, metrics = step(state, batch, index, scalers)
        return float(metrics["loss"])

    return steps


def their_steps(config: Config, flux: np.ndarray, labels: np.ndarray, compiled: bool) -> Callable[[int], Any]:
    """Returns the same in PyTorch, from the same weights; all cores, TF32 on a GPU as this project has."""
    torch = torch_vit.package("torch")
    torch.set_num_threads(cores())
    torch.set_float32_matmul_precision("high")
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return torch_vit.make_step(config, make_state(config).params, flux, labels, device, compiled)


def sides(config: Config, compile_torch: bool) -> dict[str, Callable[[int], Any]]:
    """Returns what is compared, by name; only this project where PyTorch is not installed."""
    rng = np.random.default_rng(0)
    shape = (config.train.batch_size, config.model.input_size)
    flux = rng.normal(size=shape).astype(np.float32)
    labels = rng.normal(size=(shape[0], len(config.model.label_names))).astype(np.float32)
    calls = {OURS: our_steps(config, flux, labels)}
    try:
        calls[EAGER] = their_steps(config, flux, labels, False)
        if compile_torch:
            calls[COMPILED] = their_steps(config, flux, labels, True)
    except torch_vit.ExtraMissing as missing:
        print(f"timed without PyTorch: {missing}")
    return calls


def peak_flops(precision: str) -> float | None:
    """Returns the peak FLOP/s of the GPU there is, or None where the table does not have it."""
    kind = jax.devices()[0].device_kind.removeprefix("NVIDIA ")
    for name, peak in PEAK_TFLOPS.items():
        if kind == name or kind.startswith((f"{name}-", f"{name} ")):
            return 1e12 * peak[precision]
    return None


def speed(seconds: float, config: Config) -> dict[str, float]:
    """Returns spectra/s and model FLOP/s of a step that takes so long, and the fraction of a known peak."""
    rate = config.train.batch_size / seconds
    flops = rate * cost(config.model)["train_flops"]
    result = {"seconds_per_step": round(seconds, 5), "spectra_per_second": round(rate, 1)}
    result["model_gflops_per_second"] = round(flops / 1e9, 1)
    peak = peak_flops(config.model.dtype)
    return result if peak is None else result | {"fraction_of_peak": round(flops / peak, 4)}


def versions() -> dict[str, str]:
    """Returns the versions of PyTorch's packages that are installed."""
    installed = {dist.metadata["Name"] for dist in metadata.distributions()}
    return {name: metadata.version(name) for name in ("torch", "transformers") if name in installed}


def arguments() -> argparse.Namespace:
    """Returns the options; sizes suit the device that is there."""
    gpu = jax.default_backend() == "gpu"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, default=256 if gpu else 16)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20 if gpu else 1, help="steps of one timing")
    parser.add_argument("--compile", action="store_true", default=gpu, help="torch.compile as well")
    return parser.parse_args()


def measure(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Returns speeds of the sides, which take turns, and the medians of their ratios.

    On a machine that others use, the fastest round of each side is the one least disturbed.
    """
    calls: dict[str, Callable[[], Any]] = {
        name: partial(steps, args.steps) for name, steps in sides(config, args.compile).items()
    }
    times = in_turn(calls, args.rounds)
    others = [name for name in calls if name != OURS]
    return {
        "times_faster": {f"than {name}": ratio(times, name, OURS) for name in others},
        "times_faster_in_fastest_rounds": {
            f"than {name}": round(min(times[name]) / min(times[OURS]), 3) for name in others
        },
        "speed_here": {name: speed(median(times[name]) / args.steps, config) for name in calls},
    }


def main() -> None:
    """Measures the preset as it is and without dropout, and writes the result."""
    args = arguments()
    base = preset(args.preset)
    train = replace(base.train, batch_size=args.batch, loss="l1")
    model = replace(base.model, dtype=args.precision)
    without = replace(model, dropout=0.0, attention_dropout=0.0)
    result = {
        "preset": args.preset,
        "batch_size": args.batch,
        "precision": args.precision,
        "rounds": args.rounds,
        "steps_per_round": args.steps,
        "unit": "medians over rounds in which the sides took turns; FLOP as network.model.cost",
        "with dropout": measure(replace(base, model=model, train=train), args),
        "without dropout": measure(replace(base, model=without, train=train), args),
        "cores": cores(),
        "torch_versions": versions(),
    }
    save("train_throughput", result)


if __name__ == "__main__":
    main()
