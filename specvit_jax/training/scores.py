"""The validation scores of a run."""

import numpy as np

from specvit_jax import metrics
from specvit_jax.network.inference import Params, Scalers, predict
from specvit_jax.settings.config import Config
from specvit_jax.spectra.source import Batch


def score_names(config: Config) -> list[str]:
    """Names of the validation scores, in order: R2 and MAE of every label, the mean R2."""
    each = [f"val_{what}_{name}" for name in config.model.label_names for what in ("r2", "mae")]
    return [*each, "val_r2"]


def score(params: Params, scalers: Scalers, validation: Batch, config: Config) -> np.ndarray:
    """The validation scores, in the order of ``score_names``."""
    truth = np.asarray(validation.labels)
    pred = np.asarray(predict(params, validation.flux, scalers, config, validation.usable))
    columns = range(truth.shape[1])
    r2, mae = (
        [float(metric(truth[:, i], pred[:, i])) for i in columns] for metric in (metrics.r2, metrics.mae)
    )
    each = [value for pair in zip(r2, mae, strict=True) for value in pair]
    return np.array([*each, float(np.mean(r2))])
