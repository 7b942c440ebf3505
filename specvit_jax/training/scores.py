"""The validation scores of a run."""

import numpy as np
from jaxtyping import Float

from specvit_jax import class_metrics, metrics
from specvit_jax.network.inference import Params, Scalers, predict, targets
from specvit_jax.settings.config import Config
from specvit_jax.settings.outputs import score_name
from specvit_jax.spectra.source import Batch


def score_names(config: Config) -> list[str]:
    """Names of the validation scores, in order, last the one that chooses the best weights.

    R2 and MAE of every label, and the mean R2; of classes accuracy, cross entropy (nats) and skill.
    """
    chosen = score_name(config.model.threshold)
    if config.model.threshold is not None:
        return ["val_accuracy", "val_cross_entropy", chosen]
    each = [f"val_{what}_{name}" for name in config.model.label_names for what in ("r2", "mae")]
    return [*each, chosen]


def score(params: Params, scalers: Scalers, validation: Batch, config: Config) -> np.ndarray:
    """The validation scores, in the order of ``score_names``."""
    truth = np.asarray(validation.labels)
    pred = np.asarray(predict(params, validation.flux, scalers, config, validation.usable))
    if config.model.threshold is not None:
        return _of_classes(np.asarray(targets(truth, scalers.label, config.model))[:, 0], pred[:, 0])
    columns = range(truth.shape[1])
    r2, mae = (
        [float(metric(truth[:, i], pred[:, i])) for i in columns] for metric in (metrics.r2, metrics.mae)
    )
    each = [value for pair in zip(r2, mae, strict=True) for value in pair]
    return np.array([*each, float(np.mean(r2))])


def _of_classes(above: Float[np.ndarray, " n"], p: Float[np.ndarray, " n"]) -> np.ndarray:
    scores = (class_metrics.accuracy, class_metrics.cross_entropy, class_metrics.skill)
    return np.array([float(one(above, p)) for one in scores])
