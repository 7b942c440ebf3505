"""Weights and spectra in, labels and scores out."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import DataError, MissingInputError
from crlb.files.output import check_output, new_file
from specvit_jax import metrics
from specvit_jax.network.inference import Scalers
from specvit_jax.network.inference import predict_with_sigma as forward
from specvit_jax.network.weights import Weights, load_weights, shipped_weights
from specvit_jax.settings.config import PRESETS
from specvit_jax.spectra.source import SNR_DEFINITION, Spectra, median_snr, read_spectra

BATCH = 256  # spectra in one call of the network
SNR_EDGES = (1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 12.5, 20.0, 35.0, 60.0, 110.0)  # magnitudes 23 to 18


def find_weights(run: str | Path) -> Path:
    """The best weights of a run directory, the weights file itself, or what is shipped for a preset's name.

    Raises:
        MissingInputError: there is none of them.
    """
    path = Path(run)
    if not path.exists() and str(run) in PRESETS:
        return shipped_weights(str(run))
    found = path / "weights" / "best.safetensors" if path.is_dir() else path
    if not found.is_file():
        raise MissingInputError(f"no weights at {found}; give a run directory, a weights file, or tiny")
    return found


def predict(weights: Weights, flux: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n n_labels"]:
    """The labels alone; as `predict_with_sigma`."""
    return predict_with_sigma(weights, flux)[0]


def predict_with_sigma(
    weights: Weights, flux: Float[np.ndarray, "n n_pix"]
) -> tuple[Float[np.ndarray, "n n_labels"], Float[np.ndarray, "n n_labels"] | None]:
    """The labels of noisy spectra and their 1-sigma errors, where the network predicts these; else None.

    Both are in the labels' own units, in the order of `weights.config.model.label_names`.

    Args:
        weights: a trained network with its scalers.
        flux: as observed, median about 0.5 over the arm.

    Raises:
        DataError: no spectra, another number of pixels than the network reads, or flux that is not finite.
    """
    check_flux(flux, len(weights.input_scaler.mean))
    scalers = Scalers(weights.label_scaler, weights.input_scaler)
    pieces = []
    for start in range(0, len(flux), BATCH):
        piece = flux[start : start + BATCH]
        # The last piece is filled up, so that one compiled program serves all.
        rows = np.minimum(np.arange(BATCH), len(piece) - 1)
        found = forward(weights.params, jnp.asarray(piece[rows], jnp.float32), scalers, weights.config)
        pieces.append(jax.tree.map(np.asarray, found))
    labels, sigma = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(flux)], *pieces)
    return labels, sigma


def check_flux(flux: Float[np.ndarray, "n n_pix"], n_pix: int) -> None:
    """Refuses spectra a network of so many pixels cannot read.

    Raises:
        DataError: no spectra, another number of pixels, or flux that is not finite.
    """
    if flux.shape[1] != n_pix or not len(flux):
        raise DataError(f"flux must be spectra of {n_pix} pixels, at least one, found shape {flux.shape}")
    if not np.isfinite(flux).all():
        star, pixel = np.argwhere(~np.isfinite(flux))[0]
        raise DataError(f"flux must be finite, found {flux[star, pixel]} in spectrum {star}, pixel {pixel}")


def coverage(
    truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Shares of spectra whose true label lies within 1 and 2 sigma; 0.683 and 0.954 for Gaussian errors."""
    off = np.abs(pred - truth)
    return {f"{k}_sigma": float(np.mean(off <= k * sigma)) for k in (1, 2)}


def fill_unusable(
    flux: Float[np.ndarray, "n n_pix"], mean: Float[Array | np.ndarray, " n_pix"]
) -> tuple[Float[np.ndarray, "n n_pix"], int]:
    """The flux with NaN, which marks an unusable pixel, replaced by the training mean; and how many.

    A network sees zero there: the pixel says nothing.
    """
    missing = np.isnan(flux)
    return np.where(missing, np.asarray(mean)[None, :], flux), int(missing.sum())


def evaluate(
    run: str | Path,
    data: str | Path,
    json_path: str | Path,
    predictions: str | Path | None = None,
    *,
    edges: Sequence[float] = SNR_EDGES,
    overwrite: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores a network on a file of observed spectra; writes the scores (JSON) and every star's labels (CSV).

    Args:
        run: run directory, whose best weights are used, or weights file.
        data: spectra with flux, error, noisy and labels in the pfsspec layout.
        json_path: file for the scores.
        predictions: file for the labels per star; default: `json_path` with the ending `.predictions.csv`.
        edges: of the bins in median SNR per pixel.
        overwrite: whether the two files may be replaced.
        seed: of the bootstrap.

    Returns:
        What the JSON holds: `labels` -> name -> `overall` (n; r2, mae, rmse, bias, scatter, each with `_low`
        and `_high`), `by_snr`, a list of the same per bin, and `coverage`, where the network predicts sigma.

    Raises:
        MissingInputError: no such weights or data.
        DataError: data the network cannot read: other wavelengths, damaged, NaN, non-positive errors.
        UsageError: the data lack a label the network predicts.
        OutputError: a file exists and `overwrite` is False, or cannot be created.
    """
    check_outputs(json_path, predictions, overwrite)
    weights_path = find_weights(run)
    weights = load_weights(weights_path)
    names = weights.config.model.label_names
    spectra = read_observed(data, names)
    assert spectra.noisy is not None
    flux, filled = fill_unusable(spectra.noisy, weights.input_scaler.mean)
    pred, sigma = predict_with_sigma(weights, flux)
    about = {"weights": str(weights_path), "data": str(data), "unusable_pixels_filled": filled}
    return write_scores(
        spectra,
        names,
        pred,
        sigma,
        about,
        json_path,
        predictions,
        edges=edges,
        overwrite=overwrite,
        seed=seed,
    )


def check_outputs(
    json_path: str | Path, predictions: str | Path | None, overwrite: bool = False
) -> tuple[Path, Path]:
    """The files of the scores and of the labels per star, if both can be written.

    Raises:
        OutputError: a file exists and `overwrite` is False, or cannot be created.
    """
    path = check_output(json_path, overwrite)
    return path, check_output(predictions or path.with_suffix(".predictions.csv"), overwrite)


def read_observed(data: str | Path, names: tuple[str, ...]) -> Spectra:
    """Spectra of a file with flux, error and noisy, to be scored on these labels.

    Raises:
        MissingInputError: no such file.
        DataError: other wavelengths, damaged, NaN, non-positive errors.
        UsageError: it lacks one of the labels.
    """
    spectra = read_spectra(data, need=("flux", "error", "noisy"))
    spectra.select(names)
    return spectra


def write_scores(
    spectra: Spectra,
    names: tuple[str, ...],
    pred: Float[np.ndarray, "n n_labels"],
    sigma: Float[np.ndarray, "n n_labels"] | None,
    about: Mapping[str, Any],
    json_path: str | Path,
    predictions: str | Path | None = None,
    *,
    edges: Sequence[float] = SNR_EDGES,
    overwrite: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores predictions of any method; writes the scores (JSON) and every star's labels (CSV).

    Args:
        spectra: with flux, error and labels.
        names: of the labels that were predicted, in order.
        pred: these, in their own units.
        sigma: their 1-sigma errors, where there are any.
        about: what else the JSON says: which method, which data.
        json_path: file for the scores.
        predictions: file for the labels per star; default: `json_path` with the ending `.predictions.csv`.
        edges: of the bins in median SNR per pixel.
        overwrite: whether the two files may be replaced.
        seed: of the bootstrap.

    Returns:
        What the JSON holds, as `evaluate`.

    Raises:
        OutputError: a file exists and `overwrite` is False, or cannot be created.
    """
    json_path, table = check_outputs(json_path, predictions, overwrite)
    assert spectra.flux is not None
    assert spectra.error is not None
    truth, snr = spectra.select(names), median_snr(spectra.flux, spectra.error)
    result = {
        **about,
        "n": spectra.n,
        "snr_definition": SNR_DEFINITION,
        "labels": {
            name: {
                "overall": metrics.summary(truth[:, i], pred[:, i], seed=seed),
                "by_snr": metrics.by_snr(truth[:, i], pred[:, i], snr, edges, seed=seed),
            }
            | ({} if sigma is None else {"coverage": coverage(truth[:, i], pred[:, i], sigma[:, i])})
            for i, name in enumerate(names)
        },
    }
    write_predictions(table, spectra, snr, names, pred, sigma, overwrite)
    with new_file(json_path, overwrite) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    return result


def write_predictions(
    path: Path,
    spectra: Spectra,
    snr: Float[np.ndarray, " n"],
    names: tuple[str, ...],
    pred: Float[np.ndarray, "n n_labels"],
    sigma: Float[np.ndarray, "n n_labels"] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes one row per star: its row in the data, magnitude, SNR, labels: true, predicted, their sigma."""
    columns: dict[str, np.ndarray] = {"star": np.arange(len(pred))}
    if spectra.mag is not None:
        columns["mag"] = spectra.mag
    columns["snr"] = snr
    columns |= spectra.labels
    columns |= {f"{name}_pred": pred[:, i] for i, name in enumerate(names)}
    if sigma is not None:
        columns |= {f"{name}_sigma": sigma[:, i] for i, name in enumerate(names)}
    with new_file(path, overwrite) as temporary, temporary.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows([f"{value:.8g}" for value in row] for row in zip(*columns.values(), strict=True))
