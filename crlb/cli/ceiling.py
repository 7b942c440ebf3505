"""`crlb ceiling`: how well a label can be known, per magnitude."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from crlb.cli.forward_model import File, ForwardModel
from crlb.cli.output import (
    check_outputs,
    console,
    progress,
    unit,
    write_csv,
    write_json,
    write_outputs,
)

Magnitudes = Annotated[tuple[float, ...], tyro.conf.arg(metavar="AB [AB ...]")]
MAGNITUDES = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)  # of the published table


@dataclass(frozen=True, kw_only=True)
class Ceiling(ForwardModel):
    """How well an unbiased estimator can know log g, per magnitude: R2_max and the Cramer-Rao bound.

    R2_max = 1 - bound^2 / variance, clipped to 0..1 at every node of the grid, then quantiles over nodes.

    To copy and paste:
      crlb ceiling --mag 20 21.5 22.5
      crlb ceiling --grid grid.h5 --noise noise.h5 --labels T_eff log_g --json ceiling.json --plot ceiling.png
    """

    mag: Magnitudes = MAGNITUDES
    """AB magnitudes in i, one bin each."""
    target: str = "log_g"
    """The label whose bound is computed."""
    variance: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Variance of the target over the stars in question, dex^2 (K^2 for T_eff); default: uniform over the
    grid's range, (high - low)^2 / 12."""
    json: File = None
    """Write everything shown, with provenance."""
    csv: File = None
    """Write the table."""
    plot: File = None
    """Draw R2_max against SNR: .png, .pdf or .svg."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        check_outputs(self.json, self.csv, plot=self.plot, overwrite=self.overwrite)
        from crlb.ceiling import ceiling

        emulator, noise, exposure, provenance = self.load()
        with progress() as bar:
            task = bar.add_task("bounds at the nodes", total=len(emulator.nodes))
            result = ceiling(
                emulator,
                noise,
                self.mag,
                label=self.target,
                labels=self.labels,
                variance=self.variance,
                exposure=exposure,
                advance=lambda n: bar.advance(task, n),
            )
        result["provenance"] |= provenance
        _print_ceiling(result)
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(_rows(result), path),
                self.plot: lambda path: _plot_ceiling(result, path),
            },
            self.overwrite,
        )


def _print_ceiling(result: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    label = result["label"]
    table = Table(box=box.SIMPLE, title=f"{label}: R2_max and 1-sigma bound ({unit(label)})")
    heads = ["mag", "SNR", "n", *(f"R2_max\n{q}" for q in ("p10", "median", "p90", "mean"))]
    heads += [*(f"bound\n{q}" for q in ("p10", "median", "p90")), "Schur\ndecay"]
    for head in heads:
        table.add_column(head, justify="right")
    for row in _rows(result):
        mag, snr, n, *rest = row.values()
        r2, bound, decay = rest[:4], rest[4:7], rest[7]
        numbers = [*(f"{x:.4f}" for x in r2), *(f"{x:.4g}" for x in bound), f"{decay:.3f}"]
        table.add_row(f"{mag:g}", f"{snr:.1f}", str(n), *numbers)
    screen = console()
    screen.print(table)
    provenance = result["provenance"]
    screen.print(f"Grid: {result['grid']}", markup=False, highlight=False)
    screen.print(f"Noise: {result['noise']}", markup=False, highlight=False)
    screen.print(
        f"Unknown labels: {', '.join(result['label_names'])}. "
        f"Variance {result['variance']:.4g} {unit(label)}^2. SNR: {provenance['snr_definition']}."
    )
    screen.print(f"{provenance['meaning'][0].upper()}{provenance['meaning'][1:]}.")


def _rows(result: dict[str, Any]) -> list[dict[str, float]]:
    """The table, one flat row per magnitude."""
    return [
        {"mag": b["mag"], "snr_median": b["snr_median"], "n": b["n"]}
        | {f"r2_max_{q}": value for q, value in b["r2_max"].items()}
        | {f"bound_{q}": value for q, value in b["bound"].items()}
        | {"schur_decay_median": b["schur_decay"]["median"]}
        for b in result["bins"]
    ]


def _plot_ceiling(result: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = sorted(_rows(result), key=lambda row: row["snr_median"])
    column = {name: [row[name] for row in rows] for name in rows[0]}
    figure, axes = plt.subplots(figsize=(5.0, 3.6), layout="constrained")
    axes.fill_between(
        column["snr_median"],
        column["r2_max_p10"],
        column["r2_max_p90"],
        color="0.85",
        label="10-90 % of nodes",
    )
    axes.plot(column["snr_median"], column["r2_max_median"], "k.-", label="median node")
    axes.set(
        xscale="log",
        xlabel="SNR per pixel (median over pixels and nodes)",
        ylabel=f"R$^2_{{max}}$ of {result['label']} (unbiased estimators)",
        ylim=(-0.02, 1.02),
    )
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=200)
    plt.close(figure)
