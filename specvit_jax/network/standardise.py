"""Scaling of labels and spectra: input and output of the network are of order one."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Int

from crlb.errors import DataError, UsageError
from specvit_jax.network.input_scaler import InputScaler as InputScaler
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.settings.observed_under import conditions_in

PIECE = 256  # spectra at once
LEAST_SIGNAL = 1e-6  # variance of a component, in that of the noise
LEAST_SPREAD = 1e-10  # variance of a component of spectra without noise, in that of the largest
LEAST_NOISE = 1e-12  # variance of a scaled pixel, of spectra without noise


class SkyLeft(NamedTuple):
    """What is left of the sky's lines: one number per line and star, whose rms is known."""

    sigma: Float[np.ndarray, "n n_pix"]  # rms in every pixel, in the unit of the flux
    line: Int[np.ndarray, " n_pix"]  # number of the line that each pixel belongs to, increasing


class LabelScaler(NamedTuple):
    """Shift and unit of labels: scaled = (labels - mean) / scale. A pytree."""

    mean: Float[Array | np.ndarray, " n_labels"]
    scale: Float[Array | np.ndarray, " n_labels"]

    def encode(
        self, labels: Float[Array | np.ndarray, "n n_labels"]
    ) -> Float[Array | np.ndarray, "n n_labels"]:
        """The scaled labels of labels in their units."""
        return (labels - self.mean[None, :]) / self.scale[None, :]

    def decode(
        self, scaled: Float[Array | np.ndarray, "n n_labels"]
    ) -> Float[Array | np.ndarray, "n n_labels"]:
        """The labels in their units of scaled labels."""
        return scaled * self.scale[None, :] + self.mean[None, :]


def fit_label_scaler(labels: Float[np.ndarray, "n n_labels"], label_scaling: str) -> LabelScaler:
    """The scaling of labels that ``data.label_scaling`` asks for.

    ``zscore``: to mean 0 and standard deviation 1; ``minmax``: to [0, 1]; ``none``: labels in their units.
    Labels beyond those at hand are scaled by the same straight line; nothing is clipped.

    Raises:
        UsageError: a label does not vary, or is not finite.
        ValueError: unknown scaling.
    """
    _check_finite(labels)
    if label_scaling == "zscore":
        return measured_scaler(labels)
    low = _narrow(labels.min(axis=0))
    if label_scaling == "minmax":
        scale = _narrow(np.ptp(labels.astype(np.float64), axis=0))
        _check_varies(low, scale)
        return LabelScaler(low, scale)
    if label_scaling == "none":
        return LabelScaler(np.zeros_like(low), np.ones_like(low))
    raise ValueError(f"label_scaling must be zscore, minmax or none, found {label_scaling!r}")


def measured_scaler(labels: Float[np.ndarray, "n n_labels"]) -> LabelScaler:
    """The scaling of labels to mean 0 and standard deviation 1 over the labels at hand.

    Raises:
        UsageError: a label does not vary, or is not finite.
    """
    _check_finite(labels)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = labels.mean(axis=0, dtype=np.float64), labels.std(axis=0, dtype=np.float64)
    scale = _narrow(np.where(labels.max(axis=0) > labels.min(axis=0), scale, 0.0))  # not its rounding
    _check_varies(_narrow(mean), scale)
    return LabelScaler(_narrow(mean), scale)


def _narrow(values: np.ndarray) -> np.ndarray:
    """In float32; what that cannot hold becomes infinite or 0."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _check_finite(labels: Float[np.ndarray, "n n_labels"]) -> None:
    if not np.isfinite(labels).all():
        raise UsageError(f"labels must be finite, found {int((~np.isfinite(labels)).sum())} that are not")


def _check_varies(middle: Float[np.ndarray, " n_labels"], scale: Float[np.ndarray, " n_labels"]) -> None:
    if not (np.isfinite(middle) & np.isfinite(scale) & (scale > 0)).all():
        raise UsageError(
            f"every label to be predicted must vary, within float32, found spreads {scale.tolist()}"
        )


def fit_input_scaler(
    noisy: Float[np.ndarray, "n n_pix"],
    clean: Float[np.ndarray, "n n_pix"],
    error: Float[np.ndarray, "n n_pix"],
    config: DataConfig,
    *,
    usable: Float[np.ndarray, "n n_pix"] | None = None,
    level: Float[np.ndarray, " n_pix"] | None = None,
    sky: SkyLeft | None = None,
) -> InputScaler:
    """The scaling and whitening of spectra that ``data.input_scaling`` and ``data.preprocess`` ask for.

    Args:
        noisy: flux as observed.
        clean: the same spectra without noise; read for whitening and where noise is the scale.
        error: their 1-sigma noise, independent from pixel to pixel; read as `clean` is.
        config: config of the data.
        usable: 0 for lost pixels; None: none is lost.
        level: weights of the mean flux, 1/variance of the sky; read where ``data.conditions`` leave the scale
            of the flux free.
        sky: what is left of its lines, where ``data.conditions`` leave some. Components of spectra in units
            of their noise know that it is the same number over a line; elsewhere it counts as `error` does.

    Raises:
        DataError: a pixel does not vary, has no noise where that is the scale, or is not finite.
        UsageError: more components asked for than there are spectra or pixels.
        ValueError: unknown setting.
    """
    kept = extra_arrays(config, noisy.shape[1])
    if sky is not None and "sky" not in kept:
        error = np.hypot(error, sky.sigma)
    whole = noisy if usable is None else np.where(usable > 0, noisy, clean)
    scaler = _standardisation(whole, clean, error, config.input_scaling)
    if "sky" in kept:
        assert sky is not None
        left = np.sqrt((sky.sigma.astype(np.float64) ** 2).mean(axis=0)) / scaler.scale
        scaler = scaler._replace(sky=left.astype(np.float32), sky_line=sky.line.astype(np.int32))
    if config.preprocess in ("pca", "zca"):
        zca = config.preprocess == "zca"
        scaler = whitened(scaler, clean, error, config.components, zca=zca)
    elif config.preprocess != "none":
        raise ValueError(f"preprocess must be none, pca or zca, found {config.preprocess!r}")
    if "level" in kept:
        assert level is not None
        scaler = scaler._replace(level=(level / level.sum()).astype(np.float32))
    if "gram" not in kept:
        return scaler._replace(gram=None)
    return _with_rest(scaler, noisy, usable) if "rest" in kept else scaler


def measured_under(config: Config) -> DataConfig:
    """The settings that whitening is measured with: those of the data, or of the input layer."""
    model = config.model
    if model.input_layer == "none":
        return config.data
    return replace(config.data, preprocess=model.input_layer, components=model.input_components)


def kept_arrays(config: Config, n_pix: int) -> dict[str, tuple[int, ...]]:
    """`extra_arrays` of the input scaler of a network whose input layer may be the whitening."""
    found = extra_arrays(measured_under(config), n_pix)
    if config.model.input_layer != "none":
        found.pop("gram", None)
    return found


def extra_arrays(config: DataConfig, n_pix: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays that an input scaler has besides those of scaling and whitening."""
    conditions = conditions_in(config.conditions)
    found: dict[str, tuple[int, ...]] = {"level": (n_pix,)} if np.isinf(conditions.scale) else {}
    if config.preprocess != "none" and (conditions.lost or config.noise_component):
        found["gram"] = (config.components, config.components)
    if config.noise_component:
        found["rest"] = (2,)
    if conditions.sky_left and config.preprocess != "none" and config.input_scaling == "noise":
        found |= {"sky": (n_pix,), "sky_line": (n_pix,)}
    return found


def _with_rest(
    scaler: InputScaler, noisy: Float[np.ndarray, "n n_pix"], usable: Float[np.ndarray, "n n_pix"] | None
) -> InputScaler:
    """With the mean and the standard deviation of the log of the scatter outside of the components."""
    assert scaler.analysis is not None
    found = []
    for start in range(0, len(noisy), PIECE):
        mask = None if usable is None else usable[start : start + PIECE]
        x = scaler.scaled(noisy[start : start + PIECE], mask)
        found.append(np.asarray(scaler.log_rest(x, mask), np.float64))
    rest = np.concatenate(found)
    return scaler._replace(rest=np.array([rest.mean(), rest.std()], np.float32))


def _standardisation(
    noisy: Float[np.ndarray, "n n_pix"],
    clean: Float[np.ndarray, "n n_pix"],
    error: Float[np.ndarray, "n n_pix"],
    input_scaling: str,
) -> InputScaler:
    if input_scaling == "none":
        n_pix = noisy.shape[1]
        return InputScaler(np.zeros(n_pix, np.float32), np.ones(n_pix, np.float32))
    if input_scaling == "noise":
        mean, scale = (
            clean.mean(axis=0, dtype=np.float64),
            np.sqrt((error.astype(np.float64) ** 2).mean(axis=0)),
        )
        return _checked(mean, scale, "have noise and flux that are finite, in some spectrum")
    if input_scaling not in ("pixel", "overall"):
        raise ValueError(f"input_scaling must be pixel, overall, noise or none, found {input_scaling!r}")
    moments = Moments()
    moments.add(noisy)
    return moments.scaler(overall=input_scaling == "overall")


def whitened(
    scaler: InputScaler,
    clean: Float[np.ndarray, "n n_pix"],
    error: Float[np.ndarray, "n n_pix"],
    components: int,
    *,
    zca: bool,
) -> InputScaler:
    """The scaler followed by whitening within the directions in which clean spectra differ most.

    Noise of scaled spectra is independent from pixel to pixel, so that their covariance is known without
    drawing any: C + N, with C that of clean spectra and N = diag(mean error^2 / scale^2). With the leading
    eigenvectors V of C (n_pix x k) and K = V^T (C + N) V = U diag(m) U^T:

        analysis = V U m^(-1/2)          components of unit covariance, noise included
        synthesis = (V U)^T D            back to pixels; D gives every pixel unit variance

    Where clean spectra span fewer than k directions, the components beyond carry noise alone. The mean
    becomes that of the clean spectra pixel by pixel, whatever it was.

    Args:
        scaler: mean and scale of every pixel, and what is left of the sky.
        clean: spectra without noise.
        error: their 1-sigma noise.
        components: k.
        zca: back to pixels (zero-phase components), or the components themselves (principal components).

    Raises:
        UsageError: more components than spectra or pixels; or, without noise, than the spectra span.
        DataError: a flux or error is not finite.

    Source: Bell & Sejnowski 1997, Vision Research 37, 3327 (ZCA).
    """
    if components > min(clean.shape):
        raise UsageError(
            f"data.components, or model.input_components, must be at most the {clean.shape[0]} spectra "
            f"(data.n_scaling) and {clean.shape[1]} pixels, found {components}"
        )
    if not (np.isfinite(clean).all() and np.isfinite(error).all()):
        raise DataError("whitening needs clean flux and errors that are finite, found NaN or infinity")
    mean, scale = clean.mean(axis=0, dtype=np.float64), np.asarray(scaler.scale, np.float64)
    x = _without_sky(scaler, (clean - mean[None, :]) / scale[None, :])
    vectors = leading(x, components)
    noise = (error.astype(np.float64) ** 2).mean(axis=0) / scale**2
    within = x @ vectors
    total, rotation = np.linalg.eigh(within.T @ within / len(x) + vectors.T @ (noise[:, None] * vectors))
    if not noise.any():
        _check_spanned(total)
    turn = rotation[:, ::-1] / np.sqrt(total[None, ::-1])
    unit = float((noise @ vectors**2).mean())
    vectors = vectors @ rotation[:, ::-1]
    analysis = (vectors / np.sqrt(total[None, ::-1])).astype(np.float32)
    synthesis = vectors.T / np.linalg.norm(vectors, axis=1)[None, :]
    return scaler._replace(
        mean=mean.astype(np.float32),
        analysis=analysis,
        synthesis=synthesis.astype(np.float32) if zca else None,
        gram=_gram(analysis, within.T @ within / len(x), turn, unit),
    )


def _check_spanned(total: Float[np.ndarray, " k"]) -> None:
    """Refuses to whiten directions in which spectra without noise do not differ."""
    spanned = int((total > LEAST_SPREAD * total[-1]).sum())
    if spanned < len(total):
        raise UsageError(
            f"data.components, or model.input_components, must be at most {spanned} with data.noise_level 0: "
            f"spectra without noise differ in no more directions; found {len(total)}"
        )


def _without_sky(scaler: InputScaler, x: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n n_pix"]:
    """`InputScaler.without_sky`, piece by piece on the host."""
    if scaler.sky is None:
        return x
    pieces = (x[start : start + PIECE].astype(np.float32) for start in range(0, len(x), PIECE))
    return np.concatenate([np.asarray(scaler.without_sky(piece), np.float64) for piece in pieces])


def _gram(
    analysis: Float[np.ndarray, "n_pix k"],
    covariance: Float[np.ndarray, "k k"],
    turn: Float[np.ndarray, "k k"],
    unit: float,
) -> Float[np.ndarray, "k k"]:
    """M of `InputScaler`, with noise of variance `unit` in every scaled pixel.

    Directions in which clean spectra do not differ count as such of a millionth of the noise.
    """
    covariance = covariance / max(unit, LEAST_NOISE) + LEAST_SIGNAL * np.eye(len(covariance))
    wide = analysis.astype(np.float64)
    found: np.ndarray = wide.T @ wide + turn.T @ np.linalg.solve(covariance, turn)
    return found.astype(np.float32)


def leading(x: Float[np.ndarray, "n n_pix"], count: int) -> Float[np.ndarray, "n_pix k"]:
    """Orthonormal basis of the leading right singular vectors, by the smaller of x x^T and x^T x."""
    wide = len(x) < x.shape[1]
    gram = x @ x.T if wide else x.T @ x
    _, vectors = scipy.linalg.eigh(gram, subset_by_index=[len(gram) - count, len(gram) - 1])
    return np.linalg.qr(x.T @ vectors if wide else vectors)[0]


class Moments:
    """Running mean and variance per pixel over chunks of spectra, accumulated in float64."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: np.ndarray | float = 0.0
        self.squares: np.ndarray | float = 0.0

    def add(self, flux: Float[np.ndarray, "n n_pix"]) -> None:
        """Takes in a chunk (Chan, Golub & LeVeque 1983, Am. Stat. 37, 242: update of paired samples)."""
        values = flux.astype(np.float64)
        mean = values.mean(axis=0)
        n, shift = self.n + len(values), mean - self.mean
        self.squares = self.squares + ((values - mean) ** 2).sum(axis=0)
        self.squares = self.squares + shift**2 * (self.n * len(values) / n)
        self.mean, self.n = self.mean + shift * (len(values) / n), n

    def scaler(self, overall: bool = False) -> InputScaler:
        """Standardisation per pixel, or with one mean and one scale for all pixels (`overall`).

        Raises:
            DataError: a pixel does not vary, or is not finite.
        """
        mean, variance = np.asarray(self.mean), np.asarray(self.squares) / self.n
        if overall:
            variance = np.full_like(mean, variance.mean() + mean.var())
            mean = np.full_like(mean, mean.mean())
        return _checked(mean, np.sqrt(variance), "vary from spectrum to spectrum")


def _checked(
    mean: Float[np.ndarray, " n_pix"], scale: Float[np.ndarray, " n_pix"], needed: str
) -> InputScaler:
    scaler = InputScaler(_narrow(mean), _narrow(scale))
    sound = np.isfinite(scaler.mean) & np.isfinite(scaler.scale) & (np.asarray(scaler.scale) > 0)
    if not sound.all():
        raise DataError(f"every pixel must {needed}, but pixel {int(np.argmin(sound))} does not")
    return scaler
