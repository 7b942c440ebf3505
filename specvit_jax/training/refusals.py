"""Why a run cannot go on, in words that lead to the spectra and the checkpoint concerned."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from crlb.errors import NumericalError
from specvit_jax.settings.config import Config
from specvit_jax.spectra.feed import Source, step_index
from specvit_jax.spectra.file_sources import FedSpectra, StoredSpectra, file_rows

LOWER = "lower train.learning_rate or train.clip_norm"


def bad_steps(source: Source, config: Config, before: int, count: int, saved: int | None) -> NumericalError:
    """The error for a step that came to numbers that are not finite.

    Args:
        source: source of the spectra.
        config: config of the run.
        before: steps that were sound.
        count: steps since then that were not.
        saved: step of the newest checkpoint; None: there is none.
    """
    last = "" if count == 1 else f", and at {count - 1} of those after it"
    return NumericalError(
        f"loss or gradient is not finite at step {before + 1}{last}; {_batch(source, config, before)}; "
        f"{_checkpoint(saved)}; mend the spectra, or {LOWER}"
    )


def bad_scores(step: int, scores: Mapping[str, float], saved: int | None) -> NumericalError:
    """The error for validation scores that are not finite; arguments as `bad_steps`."""
    names = [name for name, value in scores.items() if not np.isfinite(value)]
    return NumericalError(
        f"validation scores are not finite at step {step}: {', '.join(names)}; the weights have left the "
        f"finite numbers since they were scored last; {_checkpoint(saved)}; {LOWER}"
    )


def _checkpoint(saved: int | None) -> str:
    return "there is no checkpoint yet" if saved is None else f"the checkpoint of step {saved} is sound"


def _batch(source: Source, config: Config, step: int) -> str:
    """The spectra of a batch, all of them: rows of files with the largest flux among them, or indices."""
    index = step_index(source, config, step)
    if config.data.source == "emulator" or not isinstance(source, StoredSpectra | FedSpectra):
        return f"its batch held spectra {_numbers(index)}"
    found = file_rows(source, config, index)
    flux = np.abs(source.take(index).clean).max(axis=1)
    path, row = found.place(int(np.argmax(flux)))
    listed = "; ".join(f"rows {_numbers(rows)} of {path}" for path, rows in found.by_file())
    return f"its batch held {listed}; the largest flux, {flux.max():.3g}, is in row {row} of {path}"


def _numbers(index: Int[np.ndarray, " n"]) -> str:
    return ", ".join(map(str, np.sort(index)))
