"""Training steps per second: of every preset, precision and batch; beside PyTorch; by attention; by input."""

import time
from dataclasses import replace
from functools import partial
from typing import Any

import input_pipeline
import jax
import jax.numpy as jnp
import numpy as np
import train_throughput as pace
from measure import in_turn, ratio
from smoke import SMALL

from specvit_jax import Config, make_simulator, preset
from specvit_jax.network import model
from specvit_jax.settings.config_file import override

BATCHES = (256, 1024, 4096)
SIDE, PRODUCTS = 8192, 20  # of the card's own bfloat16 matrix product
STEPS, ROUNDS = 10, 5


def steps(toy: bool) -> dict[str, Any]:
    """Speeds of this project, and of PyTorch on the published network where it is installed."""
    peak = matrix_peak(256 if toy else SIDE)
    found: dict[str, Any] = {"matrix_product_tflops": round(peak / 1e12, 2), "rows": []}
    for name in ("paper", "tiny"):
        for dtype in ("bfloat16", "float32"):
            for batch in (4,) if toy else BATCHES:
                found["rows"].append(row(sized(name, dtype, batch, toy), peak))
    for batch in (4,) if toy else BATCHES[:2]:
        found[f"beside PyTorch, paper, bfloat16, batch {batch}"] = beside(
            sized("paper", "bfloat16", batch, toy)
        )
    return found


def sized(name: str, dtype: str, batch: int, toy: bool) -> Config:
    """A preset in a precision, with a batch."""
    settings = (f"model.dtype={dtype}", f"train.batch_size={batch}", "model.label_names=log_g")
    sigma = ("model.predict_sigma=false", "train.loss=l1")
    return override(preset(name), [*settings, *sigma, *(SMALL if toy else ())])


def matrix_peak(side: int) -> float:
    """FLOP/s of a product of two random bfloat16 matrices on this device, the best of three."""
    a = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
    product = jax.jit(
        lambda x: jax.lax.fori_loop(0, PRODUCTS, lambda _, y: (y @ a) * jnp.bfloat16(1 / side), x)
    )
    jax.block_until_ready(product(a))
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        jax.block_until_ready(product(a))
        times.append(time.perf_counter() - begin)
    return PRODUCTS * 2 * side**3 / min(times)


def row(config: Config, peak: float) -> dict[str, Any]:
    """The speed of a step on a constant batch; a batch that does not fit says so."""
    about = {"preset": config.preset, "dtype": config.model.dtype, "batch": config.train.batch_size}
    try:
        call = partial(pace.our_steps(config, *data(config)), STEPS)
        times = in_turn({"ours": call}, ROUNDS)["ours"]
    except Exception as error:  # XlaRuntimeError: out of memory
        return about | {"failed": str(error)[:300]}
    told = pace.speed(min(times) / STEPS, config)
    share = 1e9 * told["model_gflops_per_second"] / peak
    return about | told | {"share_of_matrix_product": round(share, 4)}


def data(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Made-up spectra and labels of a batch."""
    rng = np.random.default_rng(0)
    shape = (config.train.batch_size, config.model.input_size)
    return rng.normal(size=shape).astype(np.float32), rng.normal(size=(shape[0], 1)).astype(np.float32)


def beside(config: Config) -> dict[str, Any]:
    """This project and PyTorch, eager and compiled, in turns."""
    calls = {
        name: partial(side, STEPS)
        for name, side in pace.sides(config, jax.default_backend() == "gpu").items()
    }
    times = in_turn(calls, ROUNDS)
    others = [name for name in calls if name != pace.OURS]
    return {
        "times_faster": {f"than {name}": ratio(times, name, pace.OURS) for name in others},
        "speed": {name: pace.speed(min(times[name]) / STEPS, config) for name in calls},
    }


def attention(toy: bool) -> dict[str, Any]:
    """Attention and its gradient in bfloat16: head by head, as jax chooses, and by cuDNN where there is one.

    Of `paper` (257 tokens, 8 heads of 32) and of `tiny` (8 tokens, 4 heads of 16); outputs must agree.
    """
    found: dict[str, Any] = {}
    for name in ("paper", "tiny"):
        config = preset(name).model
        shape = (2 if toy else 1024, config.num_tokens, config.embed_dim)
        keys = jax.random.split(jax.random.key(0), 3)
        given = [jax.random.normal(key, shape, jnp.bfloat16) for key in keys]
        found[name] = forms(given, config.num_heads)
    return found


def forms(given: list[jax.Array], heads: int) -> dict[str, Any]:
    """Times of the forms of attention beside head by head, and the largest difference of their outputs."""
    calls, differ = {}, {}
    for name, form in FORMS.items():
        out = jax.jit(partial(form, num_heads=heads))
        slope = jax.jit(jax.grad(lambda qkv, f=out: jnp.sum(f(*qkv).astype(jnp.float32) ** 2)))
        try:
            differ[name] = float(jnp.abs(out(*given) - model.head_by_head(*given, heads)).max())
            jax.block_until_ready(slope(given))
        except Exception as error:  # no cuDNN, or not for this shape
            differ[name] = str(error)[:200]
            continue
        calls[name] = partial(slope, given)
    times = in_turn(calls, ROUNDS)
    first = next(iter(FORMS))
    return {"differ": differ, "times_faster": {name: ratio(times, first, name) for name in calls}}


def by_cudnn(query: jax.Array, key: jax.Array, value: jax.Array, num_heads: int) -> jax.Array:
    """Attention of all heads by cuDNN."""
    heads = (t.reshape(*t.shape[:2], num_heads, -1) for t in (query, key, value))
    return jax.nn.dot_product_attention(*heads, implementation="cudnn").reshape(query.shape)


FORMS: dict[str, Any] = {
    "head by head": model.head_by_head,
    "as jax chooses": model.all_heads,
    "cuDNN": by_cudnn,
}


def inputs(toy: bool) -> dict[str, Any]:
    """What drawing spectra costs a step, against a constant batch."""
    simulator = make_simulator()
    return {
        name: input_pipeline.measure(
            replace(config, data=replace(config.data, n_scaling=200)), simulator, 1 if toy else STEPS
        )
        for name, config in (
            ("tiny", sized("tiny", "bfloat16", 4 if toy else 1024, toy)),
            ("paper", sized("paper", "bfloat16", 4 if toy else 1024, toy)),
        )
    }
