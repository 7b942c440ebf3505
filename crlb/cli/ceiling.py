"""`crlb ceiling`: how well a label can be known, per magnitude."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from crlb.cli.checks import check_finite, check_used
from crlb.cli.forward_model import File
from crlb.cli.output import (
    console,
    progress,
    unit,
    write_csv,
    write_outputs,
)
from crlb.cli.posterior import WithPrior
from crlb.errors import UsageError
from crlb.files.records import write_json

if TYPE_CHECKING:
    from crlb.observation.forward_model import ForwardModel

Magnitudes = Annotated[tuple[float, ...], tyro.conf.arg(metavar="AB [AB ...]")]
MAGNITUDES = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)  # of the published table


@dataclass(frozen=True, kw_only=True)
class Ceiling(WithPrior):
    """How well log g can be known, per magnitude: the Cramer-Rao bound; with --bayes, what binds everyone.

    R2_max = 1 - bound^2 / variance, clipped to 0..1 at every node of the grid, then quantiles over nodes. It
    binds unbiased estimators. --bayes adds the exact limit R2_Bayes of any estimator on stars drawn from the
    prior, and the bounds below it.

    To copy and paste:
      crlb ceiling --mag 20 21.5 22.5
      crlb ceiling --bayes --n-bayes 500 --json ceiling.json --plot ceiling.png
      crlb ceiling --grid grid.h5 --noise noise.h5 --labels T_eff log_g --fix M_H=-0.5 --bayes
      crlb ceiling --derivative grid --variance 1.6667 --noise-level-known
    """

    mag: Magnitudes = MAGNITUDES
    """AB magnitudes in i, one bin each."""
    target: str = "log_g"
    """The label whose bound is computed."""
    variance: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Variance of the target over the stars in question, dex^2 (K^2 for T_eff); default: uniform over the
    grid's range, (high - low)^2 / 12."""
    derivative: Literal["exact", "grid"] = "exact"
    """Derivatives of the spectra: of the emulator, or differences between the grid's nodes (the published
    recipe)."""
    noise_level_known: bool = False
    """Leave out what the noise level itself tells about the labels."""
    bayes: bool = False
    """Add the exact limit of every estimator, and the pooled, van Trees and Ziv-Zakai bounds. Every label
    must be free or held with --fix."""
    n_bayes: int = 2000
    """Stars simulated per magnitude for the exact limit."""
    amplitude: Annotated[float | None, tyro.conf.arg(metavar="SIGMA")] = None
    """1-sigma of a Gaussian prior around 1 on a free flux factor, for the exact limit; default: none."""
    seed: int = 0
    """Seed of the simulated stars."""
    json: File = None
    """Write everything shown, with provenance."""
    csv: File = None
    """Write the table."""
    plot: File = None
    """Draw R2 against SNR: .png, .pdf or .svg."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, options without effect, and numbers out of range."""
        super().check()
        check_used(self, "bayes", ("n_bayes", "amplitude", "seed", "prior_beta"))
        check_finite("--mag", self.mag, "magnitude")
        if self.n_bayes < 2:
            raise UsageError(f"--n-bayes must be 2 or more, found {self.n_bayes}")

    def __call__(self) -> None:
        from crlb.ceilings.ceiling import ceiling

        model = self.load()
        with progress() as bar:
            task = bar.add_task("bounds at the nodes", total=len(model.emulator.nodes))
            result = ceiling(
                model,
                self.mag,
                label=self.target,
                labels=self.labels,
                variance=self.variance,
                variance_term=not self.noise_level_known,
                derivative=self.derivative,
                advance=lambda n: bar.advance(task, n),
            )
            if self.bayes:
                self._add_limits(result, model, bar)
        result["provenance"] |= self.provenance()
        _print_ceiling(result)
        if self.bayes:
            _print_limits(result)
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(_rows(result), path),
                self.plot: lambda path: _plot_ceiling(result, path),
            },
            self.overwrite,
        )

    def _add_limits(self, result: dict[str, Any], model: "ForwardModel", bar: Any) -> None:
        from crlb.bayes.bounds import work
        from crlb.ceilings.with_prior import add_bounds, add_exact_limit

        prior = self.make_prior(model)
        first = bar.add_task("bounds with the prior", total=work(len(prior.label_names)))
        add_bounds(result, model, prior, advance=lambda n: bar.advance(first, n))
        bar.update(first, completed=work(len(prior.label_names)))
        second = bar.add_task("exact limit, stars", total=self.n_bayes * len(self.mag))
        add_exact_limit(
            result,
            model,
            prior,
            n=self.n_bayes,
            seed=self.seed,
            amplitude=self.amplitude,
            advance=lambda n: bar.advance(second, n),
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
    for row in result["bins"]:
        numbers = [f"{x:.4f}" for x in row["r2_max"].values()]
        numbers += ["inf" if x is None else f"{x:.4g}" for x in row["bound"].values()]
        count = str(row["n"]) if not row["lost"] else f"{row['n']} ({row['lost']} lost)"
        decay = f"{row['schur_decay']['median']:.3f}"
        table.add_row(f"{row['mag']:g}", f"{row['snr_median']:.1f}", count, *numbers, decay)
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


LIMITS = {  # key of a bin -> head of its column
    "pooled": "pooled\n1-E[C]/V",
    "shrinkage": "pooled\nshrunk",
    "van_trees": "van\nTrees",
    "weighted_van_trees": "weighted\nv. Trees",
    "ziv_zakai": "Ziv-\nZakai",
}


def _print_limits(result: dict[str, Any]) -> None:
    """The table of what binds estimators that use the prior."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"{result['label']}: R2 of stars drawn from the prior")
    for head in ("mag", "SNR", *LIMITS.values(), "R2_Bayes\nexact limit", "95 %", "n", "not con-\nverged"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in result["bins"]:
        bounds = [row[f"r2_{name}"] for name in LIMITS]
        exact = row["r2_bayes"]
        words = ["-" if x is None else f"{x:.4f}" for x in [*bounds, exact["value"]]]
        words += [f"{exact['low']:.3f}-{exact['high']:.3f}", str(exact["n"]), str(exact["unconverged"])]
        table.add_row(f"{row['mag']:g}", f"{row['snr_median']:.1f}", *words)
    screen = console()
    screen.print(table)
    reasons = {row[key] for row in result["bins"] for key in row if key.endswith("_reason")}
    for words in sorted(reasons):
        screen.print(words, markup=False, highlight=False)
    shapes = ", ".join(
        f"{name} {'uniform' if about['beta'] == [1.0, 1.0] else 'Beta({:g}, {:g})'.format(*about['beta'])} "
        f"{about['low']:g} to {about['high']:g}"
        for name, about in result["prior"].items()
    )
    screen.print(f"Prior: {shapes}. Variance {result['prior'][result['label']]['variance']:.4g}.")
    screen.print(
        "No estimator exceeds R2_Bayes on such stars. Van Trees and Ziv-Zakai bound it from above; the "
        "pooled ones speak of unbiased estimators (shrunk: drawn towards the prior mean) and are no bounds."
    )


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The table, one flat row per magnitude."""
    rows = []
    for b in result["bins"]:
        row = {"mag": b["mag"], "snr_median": b["snr_median"], "n": b["n"]}
        row |= {f"r2_max_{q}": value for q, value in b["r2_max"].items()}
        row |= {f"bound_{q}": value for q, value in b["bound"].items()}
        row |= {"schur_decay_median": b["schur_decay"]["median"]}
        if "r2_bayes" in b:
            row |= {f"r2_{name}": b[f"r2_{name}"] for name in LIMITS}
            row |= {f"r2_bayes_{key}": b["r2_bayes"][key] for key in ("value", "low", "high", "n")}
        rows.append(row)
    return rows


def _plot_ceiling(result: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = sorted(_rows(result), key=lambda row: row["snr_median"])
    column = {name: [row[name] for row in rows] for name in rows[0]}
    snr = column["snr_median"]
    figure, axes = plt.subplots(figsize=(5.0, 3.6), layout="constrained")
    axes.fill_between(snr, column["r2_max_p10"], column["r2_max_p90"], color="0.88", label="10-90 % of nodes")
    axes.plot(snr, column["r2_max_median"], "k.--", label="Cramér-Rao, median node (unbiased estimators)")
    if "r2_bayes_value" in column:
        axes.fill_between(snr, column["r2_bayes_low"], column["r2_bayes_high"], color="#2166ac", alpha=0.3)
        axes.plot(snr, column["r2_bayes_value"], ".-", color="#2166ac", label="exact limit R$^2_{Bayes}$")
        for name, style, words in (
            ("ziv_zakai", (0, (1, 1)), "Ziv-Zakai bound"),
            ("weighted_van_trees", "-.", "weighted van Trees bound"),
            ("pooled", (0, (4, 4)), "pooled Cramér-Rao, 1 - E[bound$^2$]/Var"),
        ):
            axes.plot(snr, column[f"r2_{name}"], linestyle=style, color="0.5", linewidth=1, label=words)
    axes.set(
        xscale="log",
        xlabel="SNR per pixel (median over pixels and nodes)",
        ylabel=f"R$^2$ of {result['label']}",
        ylim=(-0.02, 1.02),
    )
    axes.legend(loc="lower right", frameon=False, fontsize=7)
    figure.savefig(path, dpi=200)
    plt.close(figure)
