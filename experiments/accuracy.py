"""How close networks come to the exact limit on the same stars: R2 of log g beside R2_Bayes, by SNR.

Claim:    no estimator reaches more than the posterior mean; what is missing to it belongs to the network.
Command:  python -m experiments.accuracy [--network NAME=RUN|WEIGHTS ...]
Hardware: two CPU cores; the posteriors of 10,000 stars take five minutes, kept in the output folder.
Expect:   `tiny` within 0.02 of the limit overall.
Writes:   outputs/accuracy/{posterior.npz, results.json, table.md}.

The limit of a set of stars is 1 - mean(posterior variance) / variance(truth), with the posterior of every
star under the prior it was drawn from and the noise it was given. The posterior mean is an estimator as well;
its R2 on these stars scatters about the limit.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import Float

from crlb.errors import UsageError, run_cli
from experiments.study.frame import provenance, write_results
from experiments.study.stars import LABEL, SNR_DEFINITION, about, exact_posterior, limit, test_stars
from specvit_jax import metrics
from specvit_jax.evaluation.predict import predict
from specvit_jax.evaluation.scores import SNR_EDGES
from specvit_jax.network.find import find_weights
from specvit_jax.network.weights import load_weights
from specvit_jax.spectra.source import make_simulator


@dataclass(frozen=True)
class Options:
    """R2 of networks beside the exact limit of the same test set.

    Examples:
      python -m experiments.accuracy
      python -m experiments.accuracy --network tiny=tiny mine=runs/paper
    """

    network: tuple[str, ...] = ("tiny=tiny",)
    """Networks as NAME=RUN, a weights file, or the name of a preset whose weights are shipped."""
    n_test: int = 10_000
    """Test spectra, drawn with the key of the R2-SNR figure."""
    mag: tuple[float, float] = (20.5, 22.5)
    """AB magnitudes in i, drawn uniformly [bright faint]."""
    out: Path = field(default=Path("outputs/accuracy"))
    """Folder of the results."""


def main() -> None:
    """Console entry."""
    options = tyro.cli(Options)
    run_cli(lambda: report(options))


def report(options: Options) -> None:
    """Computes, writes and prints the table."""
    begin = time.monotonic()
    networks = parse_networks(options.network)
    options.out.mkdir(parents=True, exist_ok=True)
    simulator = make_simulator(mag=options.mag)
    stars = test_stars(simulator, options.n_test)
    column = simulator.label_names.index(LABEL)
    exact = exact_posterior(simulator, stars, options.out / "posterior.npz")[:, column]
    truth = stars.labels[:, column]
    estimates = {name: labels_of(run, stars.noisy) for name, run in networks.items()}
    rows = [row(truth, exact, stars.snr, estimates, *edges) for edges in bins()]
    results = {
        "experiment": "accuracy",
        "label": LABEL,
        "snr_definition": SNR_DEFINITION,
        "test": about(stars, options.mag),
        "networks": networks,
        "rows": rows,
        "provenance": provenance(options, time.monotonic() - begin, "accuracy"),
    }
    text = table(rows, list(networks))
    print(text, write_results(options.out, results, text), sep="\n")


def parse_networks(settings: Sequence[str]) -> dict[str, str]:
    """``["tiny=runs/tiny"]`` as name -> run.

    Raises:
        UsageError: not of that form.
    """
    pairs = [setting.partition("=") for setting in settings]
    wrong = [setting for setting, pair in zip(settings, pairs, strict=True) if not (pair[0] and pair[2])]
    if wrong:
        raise UsageError(f"--network must read NAME=RUN, say tiny=runs/tiny; got {wrong[0]}")
    return {name: run for name, _, run in pairs}


def bins() -> list[tuple[float, float]]:
    """All stars, then those of every bin in SNR."""
    return [(0.0, np.inf), *pairwise(SNR_EDGES)]


def row(
    truth: Float[np.ndarray, " n"],
    exact: Float[np.ndarray, "n 2"],
    snr: Float[np.ndarray, " n"],
    estimates: dict[str, Float[np.ndarray, " n"]],
    low: float,
    high: float,
) -> dict[str, Any]:
    """The limit and the estimates of the stars between two SNR; no scores where there are too few."""
    inside = (snr >= low) & (snr < high)
    found: dict[str, Any] = {"snr_low": low, "snr_high": None if np.isinf(high) else high}
    found["n"] = int(inside.sum())
    if found["n"] < metrics.MIN_BIN:
        return found
    truth, exact = truth[inside], exact[inside]
    found["r2_bayes"] = limit(truth, exact[:, 1])
    for name, pred in (
        {"posterior mean": exact[:, 0]} | {n: p[inside] for n, p in estimates.items()}
    ).items():
        found[name] = metrics.summary(truth, pred).to_json()
    return found


def labels_of(run: str, noisy: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, " n"]:
    """The label a network reads from the test set."""
    weights = load_weights(find_weights(run))
    return predict(weights, noisy).of(LABEL)


def table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The scored rows in Markdown: R2 with its 95 % interval, and what is missing to the limit."""
    head = ["SNR", "n", "R2_Bayes", "posterior mean", *(f"{name} | {name}, missing" for name in names)]
    lines = [f"| {' | '.join(head)} |", "|---" * (4 + 2 * len(names)) + "|"]
    for found in rows:
        if "r2_bayes" not in found:
            continue
        snr = "all" if found["snr_high"] is None else f"{found['snr_low']:g}-{found['snr_high']:g}"
        cells = [snr, str(found["n"]), f"{found['r2_bayes']:.3f}", f"{found['posterior mean']['r2']:.3f}"]
        for name in names:
            score = found[name]
            cells.append(f"{score['r2']:.3f} ({score['r2_low']:.3f}-{score['r2_high']:.3f})")
            cells.append(f"{found['r2_bayes'] - score['r2']:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
