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

from crlb.bayes.exact_limit import bayes_limit
from crlb.bayes.prior import make_prior
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.observation.instrument import to_detector
from crlb.observation.noise import variance
from crlb.observation.noise_curves import builtin_noise

MAGS = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)
TARGET_STARS, TARGET_SECONDS = 2000, 300.0
BATCH = 1024
DEFAULT = {"target_ess": 256.0, "n_templates": 8192, "n_points": 512}
HALF = {"target_ess": 128.0, "n_templates": 4096, "n_points": 256}


def main() -> None:
    """Measures and writes."""
    jax.config.update("jax_enable_x64", True)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    emulator, noise = make_emulator(to_detector(load_slice(default_grid_path()))), builtin_noise()
    prior = make_prior(emulator.low, emulator.high, emulator.label_names)
    per_model = forward_model_seconds(emulator, noise)

    def limit(mag: float, effort: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        begin = time.perf_counter()
        key = jax.random.key(3)
        found = bayes_limit(emulator, noise, [mag], prior, label="log_g", n=n, key=key, **effort)
        return time.perf_counter() - begin, found[0]

    rows: list[dict[str, Any]] = []
    for mag in MAGS:
        limit(mag, DEFAULT), limit(mag, HALF)  # compiles
        seconds, found = limit(mag, DEFAULT)
        half_seconds, half = limit(mag, HALF)
        rows.append(
            {
                "mag": mag,
                "snr": round(found["snr_median"], 2),
                "seconds_for_2000": round(seconds * TARGET_STARS / n, 1),
                "forward_models_per_star": round(seconds / n / per_model),
                "r2_bayes": round(found["r2_bayes"]["value"], 4),
                "unconverged": found["unconverged"],
                "halving_changes_r2_by": round(half["r2_bayes"]["value"] - found["r2_bayes"]["value"], 5),
                "halving_takes": round(half_seconds / seconds, 2),
            }
        )
    total = sum(row["seconds_for_2000"] for row in rows)
    about = {"stars_timed_per_magnitude": n, "seconds_for_2000_at_six": round(total, 1)}
    save("exact_limit", about | {"target_seconds": TARGET_SECONDS, "rows": rows})


def forward_model_seconds(emulator: Any, noise: Any) -> float:
    """Seconds of one flux and its variance, in a batch, float32."""
    emulator, noise = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (emulator, noise))
    labels = jnp.asarray(draw_labels(emulator, BATCH), jnp.float32)

    @jax.jit
    def model(labels: jax.Array) -> jax.Array:
        flux = emulator.batch(labels)
        return jax.vmap(lambda flux: variance(flux, 21.5, noise))(flux)

    return float(np.median(in_turn({"model": lambda: model(labels)})["model"]) / BATCH)


if __name__ == "__main__":
    main()
