"""A network scored on a file of observed spectra; writing what was found is a second step."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from crlb.files.output import new_file
from crlb.files.records import write_json
from specvit_jax.evaluation.class_scores import ClassScores, class_scores
from specvit_jax.evaluation.observed import read_observed, usable_pixels
from specvit_jax.evaluation.predict import Predictions, predict
from specvit_jax.evaluation.scores import SNR_EDGES, Scores, score
from specvit_jax.network.weights import load_weights
from specvit_jax.settings.config import ModelConfig
from specvit_jax.settings.pixels import pixels_read
from specvit_jax.spectra.source import Spectra, median_snr


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores, and the spectra and predictions they follow from.

    Args:
        scores: of the predictions.
        spectra: with flux, error and labels.
        predictions: a row for every spectrum.
    """

    scores: Scores | ClassScores
    spectra: Spectra
    predictions: Predictions

    def write(self, json_path: Path, stars_path: Path, overwrite: bool = False) -> None:
        """Writes the scores (JSON) and the labels of every star (CSV), each whole or not at all.

        Raises:
            OutputError: a file exists and `overwrite` is False, or cannot be created.
            DiskError: the disk is full, read-only or failing.
        """
        with new_file(stars_path, overwrite) as temporary, temporary.open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            columns = self.columns()
            rows.writerow(columns)
            rows.writerows([f"{value:.8g}" for value in row] for row in zip(*columns.values(), strict=True))
        write_json(self.scores, json_path, overwrite)

    def columns(self) -> dict[str, Float[np.ndarray, " n"]]:
        """For every star its row in the data, magnitude, SNR, labels: true, predicted, their sigma.

        What tells two classes apart has the probability instead, under its name.
        """
        names, found = self.predictions.label_names, self.predictions
        columns: dict[str, np.ndarray] = {"star": np.arange(len(found.labels), dtype=np.float64)}
        if self.spectra.mag is not None:
            columns["mag"] = self.spectra.mag
        columns["snr"] = _snr(self.spectra)
        columns |= self.spectra.labels
        end = "_pred" if isinstance(self.scores, Scores) else ""
        columns |= {f"{name}{end}": found.labels[:, i] for i, name in enumerate(names)}
        if found.sigma is not None:
            columns |= {f"{name}_sigma": found.sigma[:, i] for i, name in enumerate(names)}
        return columns


def evaluate(
    weights_path: Path, data: str | Path, *, edges: Sequence[float] = SNR_EDGES, seed: int = 0
) -> Evaluation:
    """Scores a network on a file of observed spectra.

    Args:
        weights_path: weights file, as `find_weights` gives it.
        data: spectra with flux, error, noisy and labels in the pfsspec layout; without noisy, noise is drawn
            from the errors at the network's noise level, always the same.
        edges: of the bins in median SNR per pixel.
        seed: of the bootstrap.

    Raises:
        MissingInputError: no such weights or data.
        DataError: data the network cannot read: other wavelengths, damaged, NaN, non-positive errors.
        UsageError: the data lack a label the network predicts.
    """
    weights = load_weights(weights_path)
    level = weights.config.data.noise_level
    wave = pixels_read(weights.config).wave
    spectra = read_observed(data, weights.config.model.label_names, level, wave)
    assert spectra.noisy is not None
    usable = usable_pixels(spectra)
    lost = 0 if usable is None else int((usable == 0).sum())
    found = _scored(spectra, predict(weights, spectra.noisy, usable), weights.config.model, edges, seed)
    about = replace(found.scores, weights=str(weights_path), data=str(data), unusable_pixels_filled=lost)
    if spectra.conditions is not None or weights.config.data.conditions != "published":
        about = replace(about, conditions=spectra.conditions, trained_under=weights.config.data.conditions)
    return replace(found, scores=about)


def _scored(
    spectra: Spectra, found: Predictions, model: ModelConfig, edges: Sequence[float], seed: int
) -> Evaluation:
    """Scores of what a network predicts: labels, or the probability of a class."""
    if model.threshold is None:
        return evaluated(spectra, found, edges=edges, seed=seed)
    (label,) = model.label_names
    truth, snr = spectra.select(model.label_names)[:, 0], _snr(spectra)
    scores = class_scores(truth, found, snr, label=label, threshold=model.threshold, edges=edges, seed=seed)
    return Evaluation(scores, spectra, found)


def evaluated(
    spectra: Spectra, predictions: Predictions, *, edges: Sequence[float] = SNR_EDGES, seed: int = 0
) -> Evaluation:
    """Scores of predictions of any method.

    Args:
        spectra: with flux, error and labels.
        predictions: a row for every spectrum.
        edges: of the bins in median SNR per pixel.
        seed: of the bootstrap.

    Raises:
        UsageError: the spectra lack a label that was predicted.
    """
    truth = spectra.select(predictions.label_names)
    return Evaluation(score(truth, predictions, _snr(spectra), edges=edges, seed=seed), spectra, predictions)


def _snr(spectra: Spectra) -> Float[np.ndarray, " n"]:
    """Median over usable pixels of flux/error of every spectrum."""
    assert spectra.flux is not None
    assert spectra.error is not None
    error = spectra.error
    if spectra.usable is not None:
        error = np.where(spectra.usable > 0, error, np.nan)
    return median_snr(spectra.flux, error)
