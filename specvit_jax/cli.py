"""The console script `specvit`: networks described, trained and scored; spectra simulated.

Exit codes: 0 done, 2 usage, 65 bad data, 66 missing input, 70 numbers not finite, 73 cannot create output,
75 interrupted and resumable.
"""

import json as json_module
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from crlb.errors import UsageError, run_cli
from crlb.output import check_output
from specvit_jax.config import Config, preset
from specvit_jax.config_file import override

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Out = Annotated[Path, tyro.conf.arg(metavar="FILE")]
Preset = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PRESET")]
Magnitudes = Annotated[tuple[float, float], tyro.conf.arg(metavar="BRIGHT FAINT")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="SECTION.KEY=VALUE")]


@dataclass(frozen=True)
class Info:
    """Shows a preset's parameters, tokens, memory and FLOPs.

    To copy and paste:
      specvit info paper
      specvit info tiny --json --set model.patch_size=32
    """

    preset: Preset
    """paper, small or tiny."""
    json: bool = False
    """Print JSON instead of a table."""
    set: Settings = ()
    """Settings to change."""

    def __call__(self) -> None:
        config = override(preset(self.preset), self.set)
        about = describe(config)
        if self.json:
            print(json_module.dumps(about, indent=1))
        else:
            _print_info(about)


@dataclass(frozen=True)
class Train:
    """Trains a network; leaves its config, metrics, checkpoints and weights in a run directory.

    SIGTERM, SIGUSR1 and Ctrl-C save and stop; --resume continues as if there had been no stop.

    To copy and paste:
      specvit train tiny --data emulator --out runs/tiny
      specvit train tiny --data train.h5 --out runs/file --steps 5000 --set train.loss=l1 train.min_lr=1e-6
    """

    preset: Preset
    """paper, small or tiny."""
    data: Annotated[str, tyro.conf.arg(metavar="FILE|emulator")]
    """Noiseless spectra: a file in the pfsspec layout (HDF5), or `emulator` for fresh ones in every step."""
    out: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Training steps, over all of which the learning rate falls; default: the preset's."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Seed of the start, the noise, dropout and order; default: the preset's."""
    grid: File = None
    """Grid of model spectra, HDF5; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; without it the built-in ones."""
    mag: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="BRIGHT FAINT")] = None
    """AB magnitudes in i, drawn uniformly (a file brings its own); default: the preset's, 20.5 22.5."""
    set: Settings = ()
    """Other settings, named as in a run's config.yaml."""
    resume: bool = False
    """Continue the run in --out from its newest sound checkpoint."""
    overwrite: bool = False
    """Delete the run in --out first."""

    def config(self) -> Config:
        """The preset with what was asked for on the command line."""
        config = override(preset(self.preset), self.set)
        train = {"steps": self.steps, "seed": self.seed}
        data = {
            "source": self.data,
            "grid": None if self.grid is None else str(self.grid),
            "noise": None if self.noise is None else str(self.noise),
            "mag": self.mag,
        }
        return replace(
            config,
            train=replace(config.train, **_given(train)),
            data=replace(config.data, **_given(data)),
        )

    def __call__(self) -> None:
        config = self.config()
        from specvit_jax.data import make_source
        from specvit_jax.run import check_run
        from specvit_jax.train import train

        check_run(self.out, config, resume=self.resume, overwrite=self.overwrite)
        source = make_source(config.data, config.train.seed)
        result = train(config, source, self.out, resume=self.resume, overwrite=self.overwrite)
        print(
            f"{result.step} steps; best validation R2 {result.best_r2:.4f} at step {result.best_step}: "
            f"{result.weights}"
        )


@dataclass(frozen=True)
class Simulate:
    """Writes observed spectra to a file in the pfsspec layout, their labels uniform over the grid's box.

    To copy and paste:
      specvit simulate --n 10000 --mag 20.5 22.5 --seed 42 --out test.h5
      specvit simulate --n 2000 --mag 18 20 --seed 7 --out cool.h5 --range T_eff=4000:5000 log_g=1:3
    """

    out: Out
    """The file to create (HDF5); pandas.read_hdf opens its table of labels."""
    n: int
    """Number of spectra."""
    mag: Magnitudes = (20.5, 22.5)
    """AB magnitudes in i, drawn uniformly."""
    seed: int = 0
    """Seed of the labels, magnitudes and noise."""
    grid: File = None
    """Grid of model spectra, HDF5; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; without it the built-in ones."""
    labels: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="LABEL [LABEL ...]")] = None
    """Labels that vary; default: all of the grid's but a_M and C_M, which are held at 0."""
    range: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=LOW:HIGH")] = ()
    """Ranges of labels (K for T_eff, dex for the others) instead of the grid's."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        check_output(self.out, self.overwrite)
        ranges = parse_ranges(self.range)
        from specvit_jax.data import make_simulator, simulate

        source = make_simulator(self.grid, self.noise, self.mag, ranges=ranges, labels=self.labels)
        simulate(self.out, source, self.n, self.seed, overwrite=self.overwrite, progress=True)
        print(f"wrote {self.out}")


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
        from specvit_jax.predict import evaluate

        result = evaluate(self.run, self.data, self.json, self.predictions, overwrite=self.overwrite)
        _print_scores(result)
        print(f"wrote {self.json}")


Command = (
    Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
)


def parse(args: list[str] | None = None) -> Any:
    """The command that `args` (default: the command line) ask for, not yet run."""
    return tyro.cli(
        Command,
        prog="specvit",
        description=__doc__,
        args=args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def main() -> None:
    """Entry point of the console script."""
    run_cli(parse())


def describe(config: Config) -> dict[str, Any]:
    """What a network consists of and costs: parameters by module, tokens, memory in bytes, FLOPs."""
    from specvit_jax.model import cost, parameter_counts

    modules, per_spectrum = parameter_counts(config.model), cost(config.model)
    total, batch = sum(modules.values()), config.train.batch_size
    return {
        "preset": config.preset,
        "parameters": {"total": total, "modules": modules},
        "tokens": per_spectrum["tokens"],
        "batch_size": batch,
        "memory_bytes": {
            "parameters": 4 * total,
            "training_state": 16 * total,  # parameters, gradient and the two moments of AdamW, float32
            "activations_of_a_batch": batch * per_spectrum["activation_bytes"],
        },
        "flops": {
            "forward_per_spectrum": per_spectrum["forward_flops"],
            "training_per_step": batch * per_spectrum["train_flops"],
        },
    }


def parse_ranges(settings: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """``["T_eff=4000:5000"]`` as label -> (low, high).

    Raises:
        UsageError: not of that form.
    """
    ranges = {}
    for setting in settings:
        label, _, limits = setting.partition("=")
        try:
            low, high = (float(text) for text in limits.split(":"))
        except ValueError as error:
            raise UsageError(
                f"--range must read LABEL=LOW:HIGH, say T_eff=4000:5000; got {setting}"
            ) from error
        ranges[label] = (low, high)
    return ranges


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _print_info(about: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"SpecViT, preset {about['preset']}")
    table.add_column("module")
    table.add_column("parameters", justify="right")
    for name, count in about["parameters"]["modules"].items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("total", f"{about['parameters']['total']:,}")
    console = Console()
    console.print(table)
    memory, flops, batch = about["memory_bytes"], about["flops"], about["batch_size"]
    console.print(
        f"{about['tokens']} tokens. Memory, float32: parameters {memory['parameters'] / 2**20:.1f} MiB; "
        f"training state {memory['training_state'] / 2**20:.1f} MiB and, for a batch of {batch}, "
        f"activations of about {memory['activations_of_a_batch'] / 2**20:.0f} MiB. Matrix products: "
        f"{flops['forward_per_spectrum'] / 1e6:.1f} MFLOP a spectrum forward, "
        f"{flops['training_per_step'] / 1e9:.1f} GFLOP a training step.",
        soft_wrap=True,
        highlight=False,
    )


def _print_scores(result: dict[str, Any]) -> None:
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
