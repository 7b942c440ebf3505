"""Time of the exact limit R2_Bayes per simulated star, in forward models and against the target.

    python benchmarks/exact_limit.py [STARS]

Writes outputs/benchmarks/exact_limit.json: seconds for 2000 stars at each of six magnitudes (target: 300 in
all on two cores), scaled from fewer, compilation apart; the same in evaluations of the flux and its noise
(one product with the basis, one variance) timed in the same run; and what halving all points changes.
"""

import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from measure import draw_labels, in_turn, save

from crlb import BayesLimit, ForwardModel, Inference, bayes_limit, forward_model, make_prior

MAGS = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)
TARGET_STARS, TARGET_SECONDS = 2000, 300.0
BATCH = 1024
DEFAULT = Inference()
HALF = Inference(target_ess=128.0, n_templates=4096, n_points=256)


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 256
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
    save("exact_limit", about | {"target_seconds": TARGET_SECONDS, "rows": rows})


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
