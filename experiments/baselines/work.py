"""Baselines fitted and scored: what the commands of `python -m experiments.baselines` do."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import numpy as np

from crlb.errors import DataError
from crlb.files.input import check_inputs
from crlb.files.output import check_outputs
from crlb.files.progress import track
from crlb.files.spectra import label_columns
from experiments.baselines.forward import Forward
from experiments.baselines.protocol import Baseline, Chunk, collected
from experiments.baselines.registry import BASELINES, Wanted
from experiments.baselines.store import Stored, load, save
from experiments.study.stars import CHOICE_SEED
from specvit_jax import Predictions, Simulator, make_simulator
from specvit_jax.evaluation.evaluate import evaluated
from specvit_jax.evaluation.observed import fill_unusable, read_observed
from specvit_jax.spectra.source import CHUNK, chunks

if TYPE_CHECKING:
    from experiments.baselines.__main__ import Evaluate, Fit


def fit(asked: "Fit") -> None:
    """Fits a baseline and stores it."""
    inputs = {"--grid": asked.grid, "--noise": asked.noise}
    check_outputs({"--out": asked.out}, inputs, asked.overwrite)
    check_inputs(inputs)
    baseline = baseline_of(asked)
    simulator = make_simulator(asked.grid, asked.noise, asked.mag)
    columns = label_columns(simulator.label_names, asked.labels)
    held_out = drawn(simulator, columns, CHOICE_SEED, asked.n_validation, "Validation spectra")
    validation = collected("validation", held_out)
    baseline.fit(drawn(simulator, columns, asked.seed, asked.n, "Training spectra"), validation)
    stored = Stored(baseline, asked.labels, validation[0].mean(axis=0))
    save(asked.out, stored, asked.overwrite)
    print(f"wrote {asked.out}")


def baseline_of(asked: "Fit") -> Baseline:
    """The one that is asked for, not yet fitted."""
    forward = Forward(str(asked.grid or ""), str(asked.noise or ""), asked.labels)
    wanted = Wanted(forward, asked.labels, asked.max_trees, asked.threads, asked.steps)
    return BASELINES[asked.name].make(wanted)


def evaluate(asked: "Evaluate") -> None:
    """Scores a stored baseline."""
    table = asked.predictions or asked.json.with_suffix(".predictions.csv")
    inputs = {"FILE": asked.file, "--data": asked.data}
    check_outputs({"--json": asked.json, "--predictions": table}, inputs, asked.overwrite)
    check_inputs(inputs)
    baseline, names, mean_flux = load(asked.file)
    spectra = read_observed(asked.data, names)
    assert spectra.noisy is not None
    if spectra.mag is None:
        raise DataError(f"the label table of {asked.data} must have a column mag (AB, i), found none")
    flux, filled = fill_unusable(spectra.noisy, mean_flux)
    starts = range(0, spectra.n, CHUNK)
    pieces = [
        baseline.predict(flux[start : start + CHUNK], spectra.mag[start : start + CHUNK])
        for start in track(starts, baseline.name, len(starts), f"times {CHUNK} spectra")
    ]
    found = evaluated(spectra, Predictions(names, np.concatenate(pieces)))
    scores = replace(
        found.scores,
        baseline=str(asked.file),
        name=baseline.name,
        data=str(asked.data),
        unusable_pixels_filled=filled,
    )
    replace(found, scores=scores).write(asked.json, table, asked.overwrite)
    print(f"{scores.table()}\nwrote {asked.json}")


def drawn(simulator: Simulator, columns: list[int], seed: int, n: int, what: str) -> Iterator[Chunk]:
    """Noisy spectra of a seed with these labels, piece by piece, under a progress bar."""
    pieces = chunks(simulator, jax.random.key(seed), n)
    for batch in track(pieces, what, -(-n // CHUNK), f"times {CHUNK} spectra"):
        yield np.asarray(batch.flux), np.asarray(batch.labels)[:, columns]
