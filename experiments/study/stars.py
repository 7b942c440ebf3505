"""The stars every method is judged on: their spectra, and what could be known of each of them.

The test set is a function of a grid, a noise, a range of magnitudes and `TEST_SEED` alone; every result names
its digest. Its exact posteriors take minutes, so they are kept: in the output folder while they grow, and for
the embedded grid in results/accuracy.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from crlb import default_grid_path
from crlb.errors import DataError
from crlb.files.npz import read_npz, write_npz
from crlb.files.output import new_file
from crlb.files.progress import progress, track
from crlb.files.records import Record
from experiments.study.committed import committed
from experiments.study.rows import widened
from specvit_jax import Batch, Simulator, metrics
from specvit_jax.evaluation import limits as bounds
from specvit_jax.spectra.source import CHUNK, chunks, median_snr

LABEL = "log_g"
SNR_DEFINITION = "median over usable pixels (0.42725 Å) of flux/error, 12 x 900 s"
TEST_SEED = 20_001  # the key of the test set, and of nothing else; training: 42, 43, ...
FIT_SEED, CHOICE_SEED = 20_002, 20_003  # spectra that baselines learn from, and choose their settings on
TYPES = (("giants", -np.inf, 2.5), ("subgiants", 2.5, 3.5), ("dwarfs", 3.5, np.inf))  # log g, dex

PIECE = 500  # stars between two savings of their posteriors
# Of the 10,000 stars of the embedded grid, mag 20.5-22.5, under published and survey conditions.
SHIPPED = tuple(committed(name, "posterior.npz") for name in ("accuracy", "survey"))
SAME = 1e-5  # difference of marks, relative or absolute, of one star: float32 of another machine
PIXELS_APART = 1024  # of the noisy pixels that tell stars apart


@dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """A test set as results name it: size, AB magnitudes in i, seed, `digest`."""

    n: int = 0
    mag: tuple[float, float] = (0.0, 0.0)
    seed: int | None = None
    digest: str = ""


class Stars(NamedTuple):
    """A set of stars on the host: spectra as observed and without noise, labels, magnitude, SNR per pixel.

    `usable`: 0 for lost pixels; `gain`: what the flux was multiplied by; None: none is lost, by 1.
    """

    noisy: Float[np.ndarray, "n n_pix"]
    labels: Float[np.ndarray, "n n_labels"]
    mag: Float[np.ndarray, " n"]
    snr: Float[np.ndarray, " n"]
    clean: Float[np.ndarray, "n n_pix"]
    usable: Float[np.ndarray, "n n_pix"] | None = None
    gain: Float[np.ndarray, " n"] | None = None

    def take(self, rows: np.ndarray | slice) -> "Stars":
        """Some of the stars."""
        return Stars._make(array if array is None else array[rows] for array in self)


def source_files(grid: Path | None, noise: Path | None) -> list[Path]:
    """What spectra are made from: the grid, or the embedded one, and noise curves if not built in."""
    return [grid or default_grid_path(), *([noise] if noise else [])]


def test_stars(simulator: Simulator, n: int) -> Stars:
    """The test set."""
    return stars_of(simulator, TEST_SEED, n, "test spectra")


def stars_of(simulator: Simulator, seed: int, n: int, what: str) -> Stars:
    """The first stars of a seed, drawn under a progress bar."""
    pieces = [on_host(batch) for batch in drawn(simulator, seed, n, what)]
    columns = zip(*pieces, strict=True)
    return Stars._make(None if parts[0] is None else np.concatenate(parts) for parts in columns)


def drawn(simulator: Simulator, seed: int, n: int, what: str) -> Iterator[Batch]:
    """Spectra of a seed, piece by piece, under a progress bar."""
    pieces = chunks(simulator, jax.random.key(seed), n)
    return track(pieces, what, -(-n // CHUNK), f"times {CHUNK} spectra")


def on_host(batch: Batch) -> Stars:
    """A piece of a set of stars."""
    noisy, labels, mag, clean, error = map(np.asarray, batch[:5])
    usable, gain = (part if part is None else np.asarray(part) for part in (batch.usable, batch.gain))
    return Stars(noisy, labels, mag, median_snr(clean, error), clean, usable, gain)


def about(stars: Stars, mag: tuple[float, float]) -> Sample:
    """How a result names the test set."""
    return Sample(n=len(stars.mag), mag=mag, seed=TEST_SEED, digest=digest(stars))


def digest(stars: Stars) -> str:
    """Twelve hexadecimal digits of mean and deviation of labels and magnitudes.

    Of these only, to five digits: the last digits of single values differ from machine to machine.
    """
    values = np.column_stack([stars.labels, stars.mag]).astype(np.float64)
    text = ",".join(f"{value:.5g}" for value in [*values.mean(axis=0), *values.std(axis=0)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def error_of(
    simulator: Simulator, clean: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n n_pix"]:
    """1-sigma noise of spectra, in the unit of their flux."""
    pieces = [
        np.asarray(_error(simulator, jnp.asarray(clean[i : i + CHUNK]), jnp.asarray(mag[i : i + CHUNK])))
        for i in range(0, len(mag), CHUNK)
    ]
    return np.concatenate(pieces)


@jax.jit
def _error(simulator: Simulator, clean: jax.Array, mag: jax.Array) -> jax.Array:
    return jnp.sqrt(jax.vmap(simulator.model.arm_variance)(clean, mag))


def exact_posterior(
    simulator: Simulator, stars: Stars, path: Path, shipped: bool = True
) -> Float[np.ndarray, "n n_labels 2"]:
    """Posterior mean and standard deviation of every label of every star, under the prior of the box.

    Those in `path` and, unless `shipped` is False, those shipped are taken; what is missing is computed and
    kept there, piece by piece.
    """
    found, n = stored_posteriors(path, stars, shipped).found, len(stars.mag)
    with progress("exact posteriors", n, len(found)) as advance:
        for start in range(len(found), n, PIECE):
            piece = _solve(simulator, stars.take(slice(start, start + PIECE)))
            found = np.concatenate([found, piece])
            with new_file(path, overwrite=True) as temporary:
                store(temporary, found, stars)
            advance(len(piece))
    return found[:n]


class Known(NamedTuple):
    """Posteriors of the first of some stars, and the file that they come from."""

    found: Float[np.ndarray, "m n_labels 2"]
    source: Path


def stored_posteriors(path: Path, stars: Stars, shipped: bool = True) -> Known:
    """The posteriors of the first of these stars that `path` holds, or that are shipped."""
    sources = (path, *SHIPPED) if shipped else (path,)
    return max((Known(_stored(source, stars), source) for source in sources), key=lambda known: len(known[0]))


def store(path: Path, found: Float[np.ndarray, "m n_labels 2"], stars: Stars) -> None:
    """Writes the posteriors of the first of some stars with what tells these stars from others, float32."""
    with path.open("wb") as file:
        write_npz(file, {"found": found.astype(np.float32), "marks": marks(stars)[: len(found)]})


def marks(stars: Stars) -> Float[np.ndarray, "n n_marks"]:
    """Labels, magnitude and four noisy pixels of every star: other noise or magnitudes are other stars."""
    return np.column_stack([stars.labels, stars.mag, stars.noisy[:, ::PIXELS_APART]]).astype(np.float32)


def _check_shapes(path: Path, found: np.ndarray, known: np.ndarray) -> None:
    """Refuses posteriors that are none: of another shape, not numbers, without end or a spread.

    Raises:
        DataError: naming the file.
    """
    fits = found.ndim == 3 and found.shape[2] == 2 and known.ndim == 2 and len(found) == len(known)
    if not fits or {found.dtype.kind, known.dtype.kind} != {"f"}:
        raise DataError(
            f"{path} must hold found (stars, labels, 2) and marks (stars, n), numbers, found "
            f"{found.dtype} {found.shape} and {known.dtype} {known.shape}; delete it"
        )
    if not (np.isfinite(found).all() and (found[..., 1] >= 0).all()):
        raise DataError(f"{path} must hold finite means and sigmas, none negative; delete it")


def _stored(path: Path, stars: Stars) -> Float[np.ndarray, "m n_labels 2"]:
    """The posteriors in a file if they are of the first of these stars; else none."""
    nothing = np.empty((0, stars.labels.shape[1], 2))
    if not path.exists():
        return nothing
    arrays = read_npz(path, "posteriors")
    if {"found", "marks"} - set(arrays):
        raise DataError(f"{path} must hold found and marks, found {', '.join(arrays)}; delete it")
    found, known = arrays["found"], arrays["marks"]
    _check_shapes(path, found, known)
    own, n = marks(stars), min(len(known), len(stars.mag))
    if (
        found.shape[1] != stars.labels.shape[1]
        or known.shape[1] != own.shape[1]
        or not np.allclose(known[:n], own[:n], rtol=SAME, atol=SAME)
    ):
        return nothing
    return found[:n].astype(np.float64)


def _solve(simulator: Simulator, stars: Stars) -> Float[np.ndarray, "n n_labels 2"]:
    """Posterior mean and standard deviation of the labels of some stars, without velocity and width."""
    exact = bounds.exact_posterior(
        simulator, stars.noisy, stars.mag, stars.labels, usable=stars.usable, gain=stars.gain
    )
    return np.stack([exact.mean, exact.sigma], axis=-1)[:, : len(simulator.label_names)]


@dataclass(frozen=True, kw_only=True)
class TypeBin(metrics.Bin):
    """Scores of a type of star, by its true log g (dex); None: no end."""

    type: str
    low: float | None
    high: float | None


def by_type(truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"]) -> tuple[TypeBin, ...]:
    """Scores of giants, subgiants and dwarfs, by the true log g (dex); R2 with each class's own variance."""
    rows = []
    for name, low, high in TYPES:
        inside = (truth >= low) & (truth < high)
        n = int(inside.sum())
        few = n < metrics.MIN_BIN
        scores = metrics.Bin(n=n) if few else metrics.summary(truth[inside], pred[inside])
        rows.append(widened(TypeBin, scores, type=name, low=_end(low), high=_end(high)))
    return tuple(rows)


def _end(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def limit(truth: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]) -> float:
    """R2_Bayes of these very stars: 1 - mean(posterior variance) / variance(truth)."""
    return float(1 - np.mean(sigma**2) / np.var(truth, dtype=np.float64))
