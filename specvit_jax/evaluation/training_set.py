"""What spectra a network was trained on, small enough to lie beside its weights."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import DataError, DiskError, MissingInputError, OutputError
from crlb.files.checksum import CHECKSUM
from crlb.files.memory import check_memory
from crlb.files.spectra import label_columns
from specvit_jax.network.standardise import leading
from specvit_jax.network.weights import Weights, content_digest, save_tensors
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.settings.observed_under import PUBLISHED, conditions_in
from specvit_jax.spectra.file_sources import observed_shards, simulator_of
from specvit_jax.spectra.source import Batch, Observer, Rows, fold_in, snr_of

FORMAT = "specvit-jax training set 1"
COMPONENTS = 32  # the clean spectra of `tiny` differ from what these span by 0.2 % of the flux at most
N_BASIS = 1500  # spectra the components are found from
N_SPECTRA = 3000  # spectra others are compared with: p-values from 1/3000 on
N_EDGES = 500  # spectra whose SNR is found at the brightest and the faintest magnitude
SEED = 7  # of their labels
YOUNGER = {  # settings that came later, and their default
    "conditions": "published",
    "instrument": DEFAULT_INSTRUMENT,
    "snr": None,
    "noise_component": False,
    "population": None,
    "population_mag": False,
    "population_outside": "refuse",
    "rows": None,
    "validation_rows": None,
}
SKY_LEFT = 0.2  # of the error: where more of the sky's lines may be left, a pixel is not calm
LEAST_CALM = 1000  # pixels that count, were they all disturbed by more
FAINTEST_SNR = 1e-6  # that has a logarithm of use
HALF = ("basis", "coefficients", "rest", "errors", "calm")  # kept with 11 bits, others with 24
AXES = {
    "mean": ("pixel",),
    "basis": ("pixel", "component"),
    "coefficients": ("spectrum", "component"),
    "rest": ("pixel",),
    "mags": ("mag",),
    "errors": ("mag", "pixel"),
    "calm": ("pixel",),
    "snr_range": ("two",),
    "mag_range": ("two",),
    "label_range": ("two", "label"),
}
COPIES = 3  # of a file in memory
# Magnitudes at which the errors are kept, beyond the brightest and the faintest: the SNR of other stars.
BEYOND = (-6.0, -4.0, -2.0, -1.0, 0.0), (0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The noiseless spectra of a training, flux 0.5 at their median, and how they were observed.

    Args:
        mean: their mean.
        basis: orthonormal directions in which they differ most.
        coefficients: of each spectrum along these.
        rest: standard deviation of what lies outside of these directions, per pixel.
        mags: AB magnitudes in i, increasing.
        errors: 1 sigma of the mean spectrum at these magnitudes.
        calm: 1 where what is left of the sky's lines is below 0.2 of the error even of the faintest star in
            the longest exposures, else 0: there the errors do not say how far a flux may be off.
        snr_range: of the noisy spectra, from the faintest to the brightest.
        mag_range: AB magnitudes in i of the training, bright and faint.
        label_range: lower and upper edge of each label of the network.
    """

    mean: Float[np.ndarray, " n_pix"]
    basis: Float[np.ndarray, "n_pix k"]
    coefficients: Float[np.ndarray, "n k"]
    rest: Float[np.ndarray, " n_pix"]
    mags: Float[np.ndarray, " m"]
    errors: Float[np.ndarray, "m n_pix"]
    calm: Float[np.ndarray, " n_pix"]
    snr_range: Float[np.ndarray, " 2"]
    mag_range: Float[np.ndarray, " 2"]
    label_range: Float[np.ndarray, "2 n_labels"]

    @property
    def deviation(self) -> Float[np.ndarray, " k"]:
        """Standard deviation of the coefficients."""
        found: np.ndarray = self.coefficients.std(axis=0)
        return found

    def errors_at(self, mag: float) -> Float[np.ndarray, " n_pix"]:
        """1 sigma of the mean spectrum at a magnitude, interpolated in the logarithm."""
        place = np.interp(mag, self.mags, np.arange(len(self.mags)))
        low = min(int(place), len(self.mags) - 2)
        ends = self._log_errors[low : low + 2]
        found: np.ndarray = np.exp(ends[0] + (place - low) * (ends[1] - ends[0]))
        return found

    def mag_of(self, snr: float) -> float:
        """The magnitude at which the mean spectrum has this SNR, of noisy flux; the last one known beyond."""
        return float(np.interp(-np.log(max(snr, FAINTEST_SNR)), -self.log_snr, self.mags))

    @cached_property
    def _log_errors(self) -> Float[np.ndarray, "m n_pix"]:
        return np.asarray(np.log(self.errors))

    @cached_property
    def log_snr(self) -> Float[np.ndarray, " m"]:
        """ln SNR of the mean spectrum with noise, at each magnitude."""
        noise = np.random.default_rng(0).normal(size=len(self.mean))
        known = np.median(self.mean[None, :] / self.errors + noise[None, :], axis=1)
        return np.asarray(np.log(np.maximum(known, FAINTEST_SNR)))


def training_set(weights: Weights, weights_path: Path | None = None) -> tuple[TrainingSet | None, str]:
    """What a network was trained on: read from beside its weights, else made anew and put there.

    Args:
        weights: of the network.
        weights_path: their file; the training set lies in NAME.training.safetensors beside it. None: nothing
            is read or written.

    Returns:
        The training set; or None and why there is none: its grid, noise or files are not here.
    """
    if weights.config.data.noise_level == 0:
        return None, "it was trained on spectra without noise, by which no distance can be measured"
    stamp = fingerprint(weights.config)
    path = None if weights_path is None else weights_path.with_suffix(".training.safetensors")
    if path is not None and (found := _read(path, stamp)) is not None:
        return found, ""
    try:
        made = make_training_set(weights.config, N_SPECTRA)
    except (MissingInputError, DataError) as error:
        return None, str(error)
    if path is not None:
        with suppress(OutputError, DiskError):  # a folder that others own: it is made again next time
            _write(path, made, stamp)
    return made, ""


def make_training_set(config: Config, n: int = N_SPECTRA) -> TrainingSet:
    """Spectra of a training, drawn as there or read from the same files.

    Args:
        config: of the training.
        n: number of spectra.

    Raises:
        MissingInputError: grid, noise or files are not there.
        DataError: they are damaged or others.
    """
    observer, rows = _rows(config.data, n)
    rows, known = _under_conditions(observer, rows)
    labels = np.asarray(rows.labels)[:, label_columns(observer.label_names, config.model.label_names)]
    clean = np.asarray(rows.clean, np.float64)
    mean = clean.mean(axis=0)
    apart = clean - mean
    basis = leading(apart[:N_BASIS], min(COMPONENTS, n, len(mean)))[:, ::-1]
    coefficients = apart @ basis
    bright, faint = float(np.min(rows.mag)), float(np.max(rows.mag))
    mags = np.concatenate([bright + np.array(BEYOND[0]), faint + np.array(BEYOND[1])])
    if bright == faint:
        mags = np.unique(mags)
    bottom = _snr(known, clean[:N_EDGES], faint).min()
    top = _snr(known, clean[:N_EDGES], bright).max()
    return _stored(
        TrainingSet(
            mean=mean,
            basis=basis,
            coefficients=coefficients,
            rest=(apart - coefficients @ basis.T).std(axis=0),
            mags=mags,
            errors=_errors(known, np.repeat(mean[None], len(mags), axis=0), mags),
            calm=_calm(observer.sky_over_noise(mean, faint)),
            snr_range=np.array([bottom, top]),
            mag_range=np.array([bright, faint]),
            label_range=np.stack([labels.min(axis=0), labels.max(axis=0)]),
        )
    )


def _under_conditions(observer: Observer, rows: Rows) -> tuple[Rows, Observer]:
    """Spectra on the scale and with the continuum they are observed with, and an observer who knows both."""
    seeing = observer.observing
    if seeing.conditions == PUBLISHED:
        return rows, observer
    seen = [
        np.asarray(_observed(observer, np.asarray(rows.clean)[part], np.asarray(rows.mag)[part]).clean)
        for part in np.array_split(np.arange(len(rows.mag)), max(1, len(rows.mag) // N_EDGES))
    ]
    known = dataclasses.replace(observer, observing=dataclasses.replace(seeing, conditions=PUBLISHED))
    return dataclasses.replace(rows, clean=np.concatenate(seen)), known


def _calm(left: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    """1 where little is left of the sky's lines beside the noise, at least in the calmest pixels; else 0."""
    least = np.sort(left)[min(LEAST_CALM, len(left)) - 1]
    return np.asarray(left <= max(SKY_LEFT, least), float)


def fingerprint(config: Config) -> str:
    """A short text that changes with the spectra and the labels of a training."""
    told = dataclasses.asdict(config.data) | {"label_names": config.model.label_names}
    for name, default in YOUNGER.items():  # so that training sets that lie beside older weights stay theirs
        if told[name] == default:
            del told[name]
    if conditions_in(config.data.conditions).sky_left:
        told["calm"] = [SKY_LEFT, LEAST_CALM]
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rows(config: DataConfig, n: int) -> tuple[Observer, Rows]:
    """Noiseless spectra of a training, on the host, and what observes them."""
    if config.source != "emulator":
        observer, shards = observed_shards(config)
        chosen = np.random.default_rng(SEED).permutation(shards.rows)[:n]
        return observer, Rows(*shards.read(np.sort(chosen)))
    simulator = simulator_of(config)
    labels = np.asarray(simulator.prior.draw(jax.random.key(SEED), n))
    clean = jax.jit(type(simulator).clean)
    pieces = [np.asarray(clean(simulator, part)) for part in _parts(labels)]
    mags = np.resize(np.asarray(simulator.mag_range), n)
    return simulator.observer, Rows(np.concatenate(pieces)[:n], labels, mags)


def _parts(labels: np.ndarray, size: int = 250) -> Iterator[np.ndarray]:
    """Labels in pieces of one size, the last one filled up, so that one compiled program serves all."""
    for start in range(0, len(labels), size):
        yield labels[np.minimum(np.arange(start, start + size), len(labels) - 1)]


def _errors(observer: Observer, clean: np.ndarray, mags: np.ndarray) -> Float[np.ndarray, "n n_pix"]:
    return np.asarray(_observed(observer, clean, mags).error, np.float64)


def _observed(observer: Observer, clean: np.ndarray, mags: np.ndarray) -> Batch:
    keys = fold_in(jax.random.key(0), np.arange(len(clean)))
    rows = Rows(jnp.asarray(clean, jnp.float32), jnp.zeros((len(clean), 0)), jnp.asarray(mags, jnp.float32))
    return observer.observe(keys, rows)


def _snr(observer: Observer, clean: np.ndarray, mag: float) -> Float[np.ndarray, " n"]:
    """SNR as it is measured: of noisy flux."""
    batch = _observed(observer, clean, np.full(len(clean), mag))
    return np.asarray(snr_of(batch.flux, batch.error))


def _stored(made: TrainingSet) -> TrainingSet:
    """With the precision that the file keeps, so that it makes no difference whether it was read or made."""
    return _loaded(_tensors(made))


def _loaded(tensors: Mapping[str, np.ndarray]) -> TrainingSet:
    """The training set of arrays as they are kept."""
    arrays = {name: kept.astype(np.float32) for name, kept in tensors.items()}
    return TrainingSet(**{"calm": np.ones_like(arrays["mean"]), **arrays})


def _tensors(made: TrainingSet) -> dict[str, np.ndarray]:
    """The arrays as they are kept: half precision is finer than the noise of any star by far.

    Where all pixels are calm this is not kept.
    """
    fields = [
        one.name for one in dataclasses.fields(TrainingSet) if one.name != "calm" or not made.calm.all()
    ]
    dtype = {name: np.float16 if name in HALF else np.float32 for name in fields}
    return {name: np.asarray(getattr(made, name), dtype[name]) for name in fields}


def _write(path: Path, made: TrainingSet, stamp: str) -> None:
    save_tensors(path, _tensors(made), {"format": FORMAT, "data": stamp})


def _read(path: Path, stamp: str) -> TrainingSet | None:
    """What lies there, if it is of this training."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = dict(file.metadata() or {})
        if {name: about.get(name) for name in ("format", "data")} != {"format": FORMAT, "data": stamp}:
            return None
        check_memory(COPIES * path.stat().st_size, f"training set {path}")
        tensors = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError:
        return None
    if about.get(CHECKSUM) != content_digest(tensors, about) or not _fit(tensors):
        return None
    return _loaded(tensors)


def _fit(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether these are the arrays of a training set: all but `calm`, finite, of shapes that agree."""
    if {*tensors, "calm"} != set(AXES):
        return False
    sizes = {"two": 2}
    for name, array in tensors.items():
        axes = AXES[name]
        if array.ndim != len(axes) or array.dtype.kind != "f" or not np.isfinite(array).all():
            return False
        agree = [sizes.setdefault(axis, size) == size for axis, size in zip(axes, array.shape, strict=True)]
        if not array.size or not all(agree):
            return False
    return bool((tensors["errors"] > 0).all() and (np.diff(tensors["mags"]) > 0).all())
