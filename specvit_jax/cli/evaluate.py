"""`specvit evaluate`: a trained network scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crlb.files.input import check_inputs
from crlb.files.output import check_outputs
from specvit_jax.cli.arguments import File, Out
from specvit_jax.network.find import conditions_of, find_weights


@dataclass(frozen=True)
class Evaluate:
    """Scores a trained network: R2, MAE, RMSE and bias with bootstrap intervals, overall and by SNR.

    Of a network that tells two classes apart: accuracy, cross entropy, Brier score, skill, and how often each
    probability came true. SNR is the median over usable pixels of flux/error. MAE, RMSE and bias: dex, K for
    T_eff.

    To copy and paste:
      specvit evaluate runs/tiny --data test.h5 --json scores.json
      specvit evaluate weights/last.safetensors --data test.h5 --json last.json --predictions stars.csv
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|WEIGHTS|PRESET")]
    """Run directory (its best weights are used), a weights file, or tiny for the shipped network."""
    data: Out
    """Observed spectra in the pfsspec layout, as `specvit simulate` writes them; lost pixels as their mask
    says. Conditions other than those of the training are named on stderr. Without noisy flux, noise is drawn
    from the errors, always the same."""
    json: Out
    """Write the scores."""
    predictions: File = None
    """Write the labels of every star; default: beside --json, ending in .predictions.csv."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        weights = find_weights(self.run)
        stars = self.predictions or self.json.with_suffix(".predictions.csv")
        inputs = {"RUN": weights, "--data": self.data}
        check_outputs({"--json": self.json, "--predictions": stars}, inputs, self.overwrite)
        check_inputs(inputs)
        from specvit_jax.evaluation.evaluate import evaluate
        from specvit_jax.settings.observed_under import say_other_conditions

        say_other_conditions(self.data, conditions_of(weights))
        found = evaluate(weights, self.data)
        found.write(self.json, stars, self.overwrite)
        print(f"{found.scores.table()}\nwrote {self.json}")
