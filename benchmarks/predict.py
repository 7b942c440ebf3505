"""Stars per second of `specvit predict`: the network alone, and the whole from file to table.

    python benchmarks/predict.py [N]

Writes outputs/benchmarks/predict.json. All parts take turns on the same spectra in one run, so that their
ratios hold on a busy machine: reading, bringing to the network's pixels, scale and distance from the
training, the network, and the whole command without its start. Spectra are of the training of `tiny`, in one
HDF5 file; velocities are not searched there, and on the same spectra moved by half a pixel they are.
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import in_turn, ratio, save

from crlb.detector import DETECTOR_WAVE
from crlb.files.process import cores
from crlb.files.spectra import Spectra, write_spectra
from crlb.readers.many import spectra_of
from crlb.readers.options import ReadOptions
from specvit_jax import load
from specvit_jax.evaluation.distance import compare
from specvit_jax.evaluation.label_files import label_files
from specvit_jax.evaluation.label_table import label_table
from specvit_jax.evaluation.predict import predict
from specvit_jax.evaluation.prepared import Prepared, prepare
from specvit_jax.evaluation.trained import TrainedNetwork

N, MAG, ROUNDS, SEARCHED = 2048, 21.5, 5, 32  # stars, magnitude, times of every part, stars with a velocity


def stars(network: TrainedNetwork, n: int) -> Spectra:
    """Returns spectra of the network's training with noise of one magnitude."""
    training = network.training[0]
    assert training is not None
    rng = np.random.default_rng(0)
    clean = training.mean + np.resize(training.coefficients, (n, training.basis.shape[1])) @ training.basis.T
    error = np.broadcast_to(training.errors_at(MAG), clean.shape)
    noisy = clean + error * rng.normal(size=clean.shape)
    labels = {"T_eff": np.full(n, 5000.0)}
    arrays = {"flux": clean, "error": error, "noisy": noisy}
    return Spectra(DETECTOR_WAVE, labels, **{name: np.float32(array) for name, array in arrays.items()})


def parts(network: TrainedNetwork, path: Path, folder: Path) -> dict[str, Any]:
    """Returns what is timed, by name, each over all spectra of a file."""
    options = ReadOptions()
    observed = list(spectra_of([path], options))
    ready = [one for star in observed if isinstance(one := prepare(star, network.reads), Prepared)]
    flux, ivar = np.stack([one.flux for one in ready]), np.stack([one.ivar for one in ready])
    frame = network.frame
    assert frame is not None

    def whole() -> None:
        weights = network.path
        assert weights is not None
        out = folder / "labels.csv"
        table = label_table(out, weights, [path], options, command="", batch=256, overwrite=True)
        label_files(network, [path], options, table, 256)

    def compared() -> None:
        for first in range(0, len(flux), 256):
            compare(flux[first : first + 256], ivar[first : first + 256], frame)

    return {
        "read": lambda: list(spectra_of([path], options)),
        "prepare": lambda: [prepare(star, network.reads) for star in observed],
        "scale and distance": compared,
        "network": lambda: predict(network.weights, flux.astype(np.float32)).labels,
        "whole": whole,
    }


def main() -> None:
    """Measures and writes."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else N
    network = load("tiny")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "stars.h5"
        write_spectra(path, stars(network, n))
        calls = parts(network, path, Path(name))
        few = [
            replace(star, wave=star.wave + 0.2)
            for star in spectra_of([path], ReadOptions(rows=(0, min(SEARCHED, n))))
        ]
        calls["velocity, resampling"] = lambda: [prepare(star, network.reads) for star in few]
        times = in_turn(calls, ROUNDS)
    best = {name: min(rows) for name, rows in times.items()}
    count = {name: len(few) if name.startswith("velocity") else n for name in best}
    result = {
        "unit": "stars/s, best of the rounds; ratios: median over the rounds",
        "stars": n,
        "cores": cores(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "stars_per_s": {name: round(count[name] / seconds, 1) for name, seconds in best.items()},
        "ratios": {"whole over network": ratio(times, "whole", "network")},
    }
    save("predict", result)


if __name__ == "__main__":
    main()
