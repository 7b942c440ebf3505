"""A training run as a program of its own, on toy spectra, for tests that kill it or run several of it.

python -m tests.specvit_jax.program OUT [STEPS] [TROUBLE] [COORDINATOR PROCESSES PROCESS]

TROUBLE is slow-eval, slow-compile, full-disk, or a setting, which one process may have alone.
"""

import resource
import sys
import time

import jax.numpy as jnp
import numpy as np

from crlb.errors import run_cli
from specvit_jax.settings.config import Config, DataConfig, ModelConfig, TrainConfig
from specvit_jax.settings.config_file import override
from specvit_jax.training import loop as train
from specvit_jax.training.parallel import connect
from tests.specvit_jax.conftest import N_PIX, ToySource

SLOW_S = 60.0  # what is made to take that long has to be left within seconds


def config(steps: int) -> Config:
    """A network that takes milliseconds for a step."""
    model = ModelConfig(
        input_size=N_PIX, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0, init="scaled", token_std=0.1
    )
    training = TrainConfig(
        steps=steps,
        batch_size=16,
        learning_rate=1e-2,
        loss="mse",
        log_every=2,
        eval_every=4,
        checkpoint_every=4,
    )
    return Config("tiny", model, training, DataConfig(n_scaling=64, n_validation=64))


def source() -> ToySource:
    """The toy spectra of the other tests."""
    return ToySource(jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(2, N_PIX)), jnp.float32))


def trouble(what: str) -> None:
    """Makes an evaluation, or the compilation of the step, take a minute; or refuses files above 8 kB."""

    def slowly(call):
        def slow(*args, **options):
            print(f"in {what}", flush=True)
            time.sleep(SLOW_S)
            return call(*args, **options)

        return slow

    if what == "full-disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    elif what == "slow-eval":
        train.score = slowly(train.score)
    elif what == "slow-compile":
        train.compiled_step = lambda *args, call=train.compiled_step: slowly(call(*args))


def main(out: str, steps: str = "12", what: str = "", *processes: str) -> None:
    """Trains, or goes on training, in the directory."""
    if processes:
        connect(processes[0], int(processes[1]), int(processes[2]))
    trouble(what)
    print("begin", flush=True)
    settings = [what] if "=" in what else []
    result = train.train(override(config(int(steps)), settings), source(), out, resume=True)
    print(f"done {result.step}", flush=True)


if __name__ == "__main__":
    run_cli(lambda: main(*sys.argv[1:]))
