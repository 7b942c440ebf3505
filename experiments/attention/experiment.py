"""Where the network looks, and whether the information is there.

Claim:    attention says little about where a network takes log g from, least of all behind whitening, which
          mixes all pixels into every patch; the gradient of log g by the flux says it, and is close to the
          filter that is optimal for log g with the other labels unknown.
Command:  python -m experiments.attention [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, some minutes; gpu: one GPU.
Expect:   cpu, with `tiny` of 2026-11-25, which is the base after 6,000 steps: cosine of its gradient and the
          optimal filter 0.86 (median of 2,000 stars), 0.52 without whitening, 0.0 with random weights, at
          most 0.99 behind its whitening; rank correlation with the information of patches 0.77 for the
          gradient and 0.32 for rollout, where shifted patches give up to 0.27.

Networks: the base of the comparisons, with 64 tokens (`tiny` has eight, too few to rank), the same with
random weights behind the same scalers, and a base trained without whitening, the only one in which a token
is a stretch of wavelength. For the first stars of the test set the gradient at each noisy spectrum is
compared with the optimal filters at the true labels (attention/filters.py), in units of sigma. Rank
correlations run over the patches of a star and are averaged over stars. Their interval is a bootstrap over
stars: it says how well that average is known, for these patches. Whether so few patches, which resemble their
neighbours, could agree by chance is another question: beside it stands the range of the same average with the
patches moved round by 1, 2, ... places.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from crlb.files.records import Json
from crlb.fisher.information import per_angstrom, ranked_windows
from experiments.attention import filters
from experiments.attention.result import AttentionResult
from experiments.attention.rows import (
    Compared,
    Correlation,
    Cosine,
    Information,
    NetworkRow,
    Patches,
    Reach,
    Response,
    Seen,
    SnrSpread,
    Spread,
    Stretch,
)
from experiments.study.frame import Study, Work
from experiments.study.resampling import TAILS, with_ends
from experiments.study.rows import scored_spans, widened
from experiments.study.stars import LABEL
from experiments.study.training import base, label_scores, weights_of
from specvit_jax import Weights
from specvit_jax.evaluation.attention import attention_weights, input_gradient, rollout
from specvit_jax.network.tokens import windows
from specvit_jax.spectra.source import CHUNK
from specvit_jax.training.step import make_state

WINDOW_A = 12.0  # Å, of the stretches of most information that the figure names
N_WINDOWS = 9

Arrays = dict[str, np.ndarray]  # the first axis is that of the stars


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    n_stars: int  # of the test set, whose attention, gradients and filters are taken
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300, 130), "cpu": Size(10_000, 2_000), "gpu": Size(10_000, 10_000)}


def run(work: Work[Size]) -> AttentionResult:
    """Compares how every network looks at the first stars of the test set with what would be best."""
    networks = trained(work)
    asked = {
        "n_stars": work.size.n_stars,
        "n_test": work.size.n_test,
        "mag": list(work.size.mag),
        "networks": {name: asdict(weights.config) for name, weights in networks.items()},
    }
    found = work.part("stars", asked, Compared, partial(compared, work, networks))
    return AttentionResult(**{part.name: getattr(found, part.name) for part in fields(found)})


def trained(work: Work[Size]) -> dict[str, Weights]:
    """The networks, by name."""
    whitened = weights_of(work, "trained", base(work.options.preset))
    plain = base(work.options.preset, ["data.preprocess=none"])
    return {
        "trained": whitened,
        "random": whitened._replace(params=make_state(whitened.config).params),
        "unwhitened": weights_of(work, "unwhitened", plain),
    }


def compared(work: Work[Size], networks: Mapping[str, Weights]) -> Compared:
    """All numbers of the study."""
    found = of_stars(work, networks)
    return Compared(
        networks={name: about(work, weights) for name, weights in networks.items()},
        cosines=tuple(row for name in networks for row in cosines(name, found)),
        limits={name: reach(name, found) for name in networks},
        correlations=tuple(row for name in networks for row in correlations(work, name, found)),
        response={name: response(work, name, found) for name in networks},
        information=information(work, found),
        patches=patches(work, networks, found),
    )


def about(work: Work[Size], weights: Weights) -> NetworkRow:
    """R2 of a network on the whole test set, and how much of a patch of its input is of that patch."""
    own = label_scores(weights, work.stars, work.simulator.label_names).own
    return NetworkRow(
        r2=own.r2,
        r2_low=own.r2_low,
        r2_high=own.r2_high,
        locality=locality(weights),
        steps=weights.config.train.steps,
    )


def locality(weights: Weights) -> float:
    """Share of what enters a patch, by squared weight, that comes from pixels of that very patch.

    1 without whitening; ZCA maps scaled pixels p to input pixels q with the matrix analysis @ synthesis.
    """
    scaler = weights.input_scaler
    if scaler.analysis is None or scaler.synthesis is None:
        return 1.0
    mix = (np.asarray(scaler.analysis, np.float64) @ np.asarray(scaler.synthesis, np.float64)) ** 2
    pixels = pixels_of(weights)
    own = [mix[np.ix_(row, row)].sum() / mix[:, row].sum() for row in pixels]
    return float(np.mean(own))


def pixels_of(weights: Weights) -> Int[np.ndarray, "n_patches patch_size"]:
    """The pixels of every patch."""
    cfg = weights.config.model
    return np.asarray(windows(jnp.arange(cfg.input_size)[None], cfg.patch_size, cfg.patch_stride)[0])


def of_stars(work: Work[Size], networks: Mapping[str, Weights]) -> Arrays:
    """What is kept of every star, computed piece by piece."""
    n = min(work.size.n_stars, len(work.stars.mag))
    pieces = []
    for start in range(0, n, CHUNK):
        print(f"attention: stars {start:,} of {n:,}")
        pieces.append(of_piece(work, networks, slice(start, min(start + CHUNK, n))))
    return {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}


def of_piece(work: Work[Size], networks: Mapping[str, Weights], rows: slice) -> Arrays:
    """Of some stars: shares of patches, cosines, responses."""
    stars, column = work.stars.take(rows), work.column
    best = filters.filters(work.simulator, stars)
    power = best.unbiased.astype(np.float64) ** 2
    found: Arrays = {
        "snr": stars.snr,
        "pixels": power[:, column] / power[:, column].sum(axis=1, keepdims=True) ** 2,
        "share": filters.shares(best.unbiased, pixels_of(networks["trained"])),
        "own/response": np.einsum("sp,slp->sl", best.prior[:, column], best.change),
    }
    for name, weights in networks.items():
        gradient = input_gradient(weights, stars.noisy, LABEL) * best.error
        seen = attention_weights(weights, stars.noisy)
        found |= {
            f"{name}/response": np.einsum("sp,slp->sl", gradient, best.change),
            f"{name}/sensitivity": filters.shares(gradient, pixels_of(weights)),
            f"{name}/rollout": rollout(seen, weights.config.model),
            f"{name}/received": received(seen, weights),
            f"{name}/reach": filters.reach(weights.input_scaler, best.error, best.prior[:, column]),
            f"{name}/reach unbiased": filters.reach(
                weights.input_scaler, best.error, best.unbiased[:, column]
            ),
        }
        for kind, wanted in wanted_filters(work, best).items():
            found[f"{name}/cosine/{kind}"] = filters.cosine(gradient, wanted)
    return found


def received(seen: np.ndarray, weights: Weights) -> Float[np.ndarray, "n depth heads n_patches"]:
    """Attention that every patch receives, mean over the tokens that give it; 1/n_tokens if all are alike."""
    return seen.mean(axis=-2)[..., int(weights.config.model.pool == "cls") :]


def wanted_filters(work: Work[Size], best: filters.Filters) -> dict[str, Float[np.ndarray, "n n_pix"]]:
    """What gradients are compared with: filters of log g, and those of the other labels as a control."""
    own = {kind: getattr(best, kind)[:, work.column] for kind in ("prior", "unbiased", "known")}
    others = [(i, name) for i, name in enumerate(work.simulator.label_names) if name != LABEL]
    return own | {name: best.unbiased[:, i] for i, name in others}


def cosines(name: str, found: Arrays) -> list[Cosine]:
    """Medians over stars of the cosine of a network's gradient with each filter, all stars and by SNR."""
    kinds = [key.rsplit("/", 1)[1] for key in found if key.startswith(f"{name}/cosine/")]
    rows = []
    for kind in kinds:
        values = found[f"{name}/cosine/{kind}"]
        by_snr = medians(found["snr"], values)
        rows.append(widened(Cosine, spread(values), network=name, filter=kind, by_snr=by_snr))
    return rows


def spread(values: Float[np.ndarray, " n"]) -> Spread:
    """The median over stars with its 95 % bootstrap interval, and the 10th and 90th percentile."""
    p10, p90 = np.quantile(values, (0.1, 0.9))
    median = with_ends("median", lambda v: np.median(v, axis=-1), values)
    return Spread(p10=float(p10), p90=float(p90), **median)


def medians(snr: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> tuple[SnrSpread, ...]:
    """`spread` in the bins of SNR that hold enough stars."""
    return tuple(
        widened(SnrSpread, spread(values[inside]), snr=float(np.median(snr[inside])), n=int(inside.sum()))
        for _, _, inside in scored_spans(snr)
    )


def reach(name: str, found: Arrays) -> Reach:
    """The largest cosine that the components kept by a network's whitening allow."""
    prior, unbiased = found[f"{name}/reach"], found[f"{name}/reach unbiased"]
    return Reach(by_snr=medians(found["snr"], prior), prior=spread(prior), unbiased=spread(unbiased))


def response(work: Work[Size], name: str, found: Arrays) -> dict[str, Response]:
    """Median change of the estimated log g with each true label, of the network and of the optimal filter.

    1 for log g and 0 for the others if it were unbiased; the optimal filter with the prior has less.
    """
    names = work.simulator.label_names
    network, best = np.median(found[f"{name}/response"], axis=0), np.median(found["own/response"], axis=0)
    return {
        label: Response(network=float(network[i]), optimal=float(best[i])) for i, label in enumerate(names)
    }


def correlations(work: Work[Size], name: str, found: Arrays) -> list[Correlation]:
    """Rank correlation of each measure with the information on log g; for two of them on the other labels."""
    heads = found[f"{name}/received"]
    measures = {"sensitivity": found[f"{name}/sensitivity"], "rollout": found[f"{name}/rollout"]}
    depth, n_heads = heads.shape[1:3]
    single = {f"block {i + 1}, head {j + 1}": heads[:, i, j] for i in range(depth) for j in range(n_heads)}
    rows = []
    for i, label in enumerate(work.simulator.label_names):
        for measure, values in (measures | single if label == LABEL else measures).items():
            numbers = correlated(found["share"][:, i], values)
            about: dict[str, Json] = {"network": name, "measure": measure, "label": label}
            rows.append(Correlation.from_json(about | numbers))
    return rows


def correlated(share: Float[np.ndarray, "n p"], values: Float[np.ndarray, "n p"]) -> dict[str, float | None]:
    """Mean rank correlation over stars, its interval, and the range that shifted patches give."""
    rho = filters.rank_correlation(share, values)
    low, high = np.quantile(filters.by_chance(share, values), TAILS)
    mean = with_ends("rho", lambda v: v.mean(axis=-1), rho)
    return mean | {"chance_low": float(low), "chance_high": float(high)}


def information(work: Work[Size], found: Arrays) -> Information:
    """Information about log g along the spectrum, mean over stars, and where most of it is."""
    wave, mean = np.asarray(work.simulator.wave, np.float64), found["pixels"].mean(axis=0)
    named = [
        Stretch(
            low=window.low,
            high=window.high,
            share=window.share,
            features=tuple(near.feature.name for near in window.features),
        )
        for window in ranked_windows(wave, mean, width=WINDOW_A, n=N_WINDOWS)
    ]
    return Information(
        wave=tuple(round(float(x), 2) for x in wave),
        per_angstrom=tuple(float(f"{x:.4g}") for x in per_angstrom(mean, wave)),
        windows=tuple(named),
    )


def patches(work: Work[Size], networks: Mapping[str, Weights], found: Arrays) -> Patches:
    """Means over stars patch by patch: where they lie, information, attention, sensitivity."""
    wave, pixels = np.asarray(work.simulator.wave), pixels_of(networks["trained"])
    names = work.simulator.label_names
    return Patches.from_json(
        {
            "low": wave[pixels[:, 0]].tolist(),
            "high": wave[pixels[:, -1]].tolist(),
            "information": {
                label: found["share"][:, i].mean(axis=0).tolist() for i, label in enumerate(names)
            },
        }
        | {name: seen(name, found).to_json() for name in networks}
    )


def seen(name: str, found: Arrays) -> Seen:
    """What a network sees of every patch, mean over stars."""
    parts = ("sensitivity", "rollout", "received")
    return Seen.from_json({part: found[f"{name}/{part}"].mean(axis=0).tolist() for part in parts})


STUDY = Study("attention", __doc__, SIZES, run, AttentionResult)
