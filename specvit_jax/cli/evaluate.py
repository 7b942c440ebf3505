"""`specvit evaluate`: a trained network scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from crlb.files.output import check_output
from specvit_jax.cli.arguments import File, Out


@dataclass(frozen=True)
class Evaluate:
    """Scores a trained network: R2, MAE, RMSE and bias with bootstrap intervals, overall and by SNR.

    SNR is the median over usable pixels of flux/error. MAE, RMSE and bias: dex, K for T_eff.

    To copy and paste:
      specvit evaluate runs/tiny --data test.h5 --json scores.json
      specvit evaluate weights/last.safetensors --data test.h5 --json last.json --predictions stars.csv
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|WEIGHTS|PRESET")]
    """Run directory (its best weights are used), a weights file, or tiny for the shipped network."""
    data: Out
    """Observed spectra in the pfsspec layout, as `specvit simulate` writes them."""
    json: Out
    """Write the scores."""
    predictions: File = None
    """Write the labels of every star; default: beside --json, ending in .predictions.csv."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        for path in (self.json, self.predictions):
            if path is not None:
                check_output(path, self.overwrite)
        from specvit_jax.evaluation.predict import evaluate

        result = evaluate(self.run, self.data, self.json, self.predictions, overwrite=self.overwrite)
        print_scores(result)
        print(f"wrote {self.json}")


def print_scores(result: dict[str, Any]) -> None:
    """Shows the scores of `specvit_jax.evaluation.predict.evaluate` as a table for every label."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    for label, scores in result["labels"].items():
        table = Table(box=box.SIMPLE, title=f"{label}, {result['n']} spectra")
        for head in ("SNR", "n", "R2", "95 % interval", "MAE", "RMSE", "bias"):
            table.add_column(head, justify="right")
        for row in [scores["overall"], *scores["by_snr"]]:
            snr = f"{row['snr_low']:g}-{row['snr_high']:g}" if "snr_low" in row else "all"
            if row["r2"] is None:
                table.add_row(snr, str(row["n"]), "too few")
                continue
            numbers = (f"{row[name]:.4g}" for name in ("mae", "rmse", "bias"))
            interval = f"{row['r2_low']:.4f}..{row['r2_high']:.4f}"
            table.add_row(snr, str(row["n"]), f"{row['r2']:.4f}", interval, *numbers)
        Console().print(table)
