"""Time of the exact limit R2_Bayes per simulated star, in forward models and against the target.

    python benchmarks/exact_limit.py [STARS] [OLD]

Writes outputs/benchmarks/exact_limit.json: seconds for 2000 stars at each of six magnitudes (target: 300 in
all on two cores), scaled from fewer, compilation apart; the same in evaluations of the flux and its noise
(one product with the basis, one variance) timed in the same run; what halving all points changes; seconds
per star with five labels; and with OLD, the path of another commit's files, its times in the same run.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measure import draw_labels, in_turn, save

from crlb import ForwardModel, Inference, bayes_limit, forward_model, make_prior
from crlb.bayes.exact_limit import BayesLimit

MAGS = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)
FIVE = ("T_eff", "log_g", "M_H", "a_M", "C_M")
FIVE_MAG, FIVE_SHARE = 21.5, 8  # of the stars, one in so many with five labels
TARGET_STARS, TARGET_SECONDS = 2000, 300.0
BATCH = 1024
ONLY_TIMES = "--only-times"
DEFAULT = Inference()
HALF = Inference(target_ess=128.0, n_templates=4096, n_points=256)


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    if ONLY_TIMES in sys.argv:
        print(json.dumps(times(n)))
        return
    model = forward_model()
    prior = make_prior(model.emulator.low, model.emulator.high, model.label_names)
    per_model = forward_model_seconds(model)

    def limit(mag: float, effort: Inference) -> tuple[float, BayesLimit]:
        begin = time.perf_counter()
        key = jax.random.key(3)
        found = bayes_limit(model, [mag], prior, label="log_g", n=n, key=key, inference=effort)
        return time.perf_counter() - begin, found[0]

    rows: list[dict[str, Any]] = []
    for mag in MAGS:
        limit(mag, DEFAULT), limit(mag, HALF)  # compiles
        seconds, found = limit(mag, DEFAULT)
        half_seconds, half = limit(mag, HALF)
        rows.append(
            {
                "mag": mag,
                "snr": round(found.snr_median, 2),
                "seconds_for_2000": round(seconds * TARGET_STARS / n, 1),
                "forward_models_per_star": round(seconds / n / per_model),
                "r2_bayes": round(found.r2_bayes.value, 4),
                "unconverged": found.unconverged,
                "halving_changes_r2_by": round(half.r2_bayes.value - found.r2_bayes.value, 5),
                "halving_takes": round(half_seconds / seconds, 2),
            }
        )
    total = sum(row["seconds_for_2000"] for row in rows)
    about = {"stars_timed_per_magnitude": n, "seconds_for_2000_at_six": round(total, 1)}
    about |= {"target_seconds": TARGET_SECONDS, "times": times(n)}
    if len(sys.argv) > 2:
        about["times_of_old"] = old_times(n, sys.argv[2])
    save("exact_limit", about | {"rows": rows})


def times(n: int) -> dict[str, float]:
    """Milliseconds per star of the limit, the second of two runs: three labels by magnitude, five at one."""
    found, few = {}, max(n // FIVE_SHARE, 2)
    for name, labels, mags, stars in (("three", None, MAGS, n), ("five", FIVE, (FIVE_MAG,), few)):
        model = forward_model(labels=labels)
        prior = make_prior(model.emulator.low, model.emulator.high, model.label_names)
        for mag in mags:
            for _ in range(2):
                begin = time.perf_counter()
                (limit,) = bayes_limit(model, [mag], prior, label="log_g", n=stars, key=jax.random.key(3))
                seconds = time.perf_counter() - begin
            found[f"{name} labels, mag {mag}"] = round(1000 * seconds / stars, 1)
            found[f"{name} labels, mag {mag}, R2"] = round(limit.r2_bayes.value, 4)
    return found


def old_times(n: int, path: str) -> dict[str, float]:
    """The same of another commit, by this script."""
    command = [sys.executable, __file__, str(n), ONLY_TIMES]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def forward_model_seconds(model: ForwardModel) -> float:
    """Seconds of one flux and its variance, in a batch, float32."""
    single = model.astype(jnp.float32)
    labels = jnp.asarray(draw_labels(single.emulator, BATCH), jnp.float32)

    @jax.jit
    def seen(labels: jax.Array) -> jax.Array:
        return jax.vmap(lambda flux: single.arm_variance(flux, 21.5))(single.emulator.batch(labels))

    return float(np.median(in_turn({"model": lambda: seen(labels)})["model"]) / BATCH)


if __name__ == "__main__":
    main()
