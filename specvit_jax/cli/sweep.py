"""`specvit sweep`: many runs from one file of settings."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crlb.errors import UsageError
from crlb.files.output import check_outputs, new_file, writing
from specvit_jax.cli.arguments import File
from specvit_jax.cli.runs import print_runs
from specvit_jax.runs import sweep
from specvit_jax.runs.array_script import slurm_script
from specvit_jax.runs.board import BoardName, check_boards
from specvit_jax.runs.processes import Devices, shares, visible_devices
from specvit_jax.runs.submit import check_submission, submit


@dataclass(frozen=True)
class Sweep:
    """Trains every combination of settings in a YAML file, a run on each GPU at a time; tables the results.

    The file holds `preset`, `data`, `set` (settings of all runs), and `grid` (section.key: [values]) or
    `runs` (a list of lists of settings). A run that fails, or whose settings cannot be together, does not end
    the sweep, which then ends with that run's exit code; the same command continues an interrupted sweep.

    To copy and paste:
      specvit sweep sweep.yaml --dry-run
      specvit sweep sweep.yaml --out runs/sweep
      specvit sweep sweep.yaml --workers 2 --devices 0 1 --log-to wandb
      specvit sweep sweep.yaml --submit --slurm-options partition=gpu account=stars time=12:00:00
      specvit sweep sweep.yaml --slurm sweep.sh && sbatch sweep.sh
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The sweep, YAML."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of the runs and of sweep.json; default: runs/ and the file's name."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Runs trained at once, each in a process with devices of its own; default: one for each GPU, one without
    GPUs. Where there are several, the lines of each go into logs/NAME.log of the folder."""
    devices: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="GPU")] = None
    """GPUs to deal out to the runs, named as in CUDA_VISIBLE_DEVICES; default: all that it names, or all."""
    log_to: tuple[BoardName, ...] = ()
    """Log the metrics of each run there as well, as `specvit train` does; wandb has them as one group;
    default: into metrics.jsonl of each only."""
    dry_run: bool = False
    """List the runs and stop."""
    slurm: File = None
    """Write a Slurm array script, one task for each run, instead of training; it needs nothing but Slurm."""
    submit: bool = False
    """Submit that array to Slurm, through the package submitit (extra `slurm`); a task that comes to its time
    limit saves, is queued again and goes on."""
    slurm_options: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """For --submit: options of sbatch, in its units: partition=gpu account=stars time=12:00:00 mem=32G;
    default: 24 h, 8 CPUs and one GPU for each run."""
    overwrite: bool = False
    """Allow the script to be replaced."""

    def __call__(self) -> None:
        self._check()
        out = Path("runs") / self.file.stem if self.out is None else self.out
        runs = sweep.read_sweep(self.file, out, self.log_to)
        sweep.check_runs(runs)
        results, inputs = out / "sweep.json", self._inputs(runs)
        if self.slurm is None:  # results are written anew after every run
            check_outputs({"--out": results if out.is_dir() else None}, inputs, overwrite=True)
        check_outputs({"--slurm": self.slurm}, inputs, self.overwrite)
        if self.dry_run:
            for run in runs:
                print(f"{run.path}: {run.problem or ' '.join(run.settings)}")
        elif self.slurm is not None:
            self._write_script(runs)
        elif self.submit:
            self._submit(runs, out)
        else:
            self._train(runs, results)

    def _check(self) -> None:
        """Refuses options that do not go together, or without what they need."""
        if self.slurm is not None and self.submit:
            raise UsageError("--slurm writes a script and --submit submits without one; give one of the two")
        elsewhere = "--slurm" if self.slurm is not None else "--submit" if self.submit else ""
        if elsewhere and (self.workers is not None or self.devices is not None):
            raise UsageError(f"--workers and --devices are of training here; leave them out with {elsewhere}")
        if self.slurm_options and not self.submit:
            raise UsageError("--slurm-options are for --submit; give them to sbatch, or add --submit")
        if self.submit:
            check_submission(self.slurm_options)
        check_boards(self.log_to)
        if not elsewhere:
            self._shares()

    def _shares(self) -> list[Devices]:
        """The devices of each process."""
        return shares(self.workers, self.devices, visible_devices(os.environ))

    def _inputs(self, runs: list[sweep.SweepRun]) -> dict[str, Path | None]:
        from specvit_jax.cli.checks import inputs_of, spectra_of

        inputs: dict[str, Path | None] = {"FILE": self.file}
        for config in (run.config for run in runs if run.config is not None):
            inputs |= {
                f"{name} {path}": path for name, path in (inputs_of(config) | spectra_of(config)).items()
            }
        return inputs

    def _write_script(self, runs: list[sweep.SweepRun]) -> None:
        with new_file(str(self.slurm), self.overwrite) as temporary:
            temporary.write_text(slurm_script(runs, self.file))
            mode = temporary.stat().st_mode
            temporary.chmod(mode | (mode & 0o444) >> 2)  # whoever may read it may run it
        left_out = [run for run in runs if run.problem]
        for run in left_out:
            print(f"no task for {run.name}: {run.problem}", file=sys.stderr)
        print(f"wrote {self.slurm}: {len(runs) - len(left_out)} tasks")

    def _submit(self, runs: list[sweep.SweepRun], out: Path) -> None:
        self._prepare(runs, out)
        paths = {run.name: run.path for run in runs}
        tasks = [(job, paths[job.name]) for job in sweep.queue(runs)[1]]
        if not tasks:
            print(f"nothing to submit: specvit runs {out}")
            return
        options = check_submission(self.slurm_options)
        submitted = submit(tasks, out / "slurm", self.file.stem, options)
        print(f"submitted {len(submitted)} tasks: {submitted[0].job_id} to {submitted[-1].job_id}")
        print(f"their lines: {out / 'slurm'}; their state: specvit runs {out}")

    def _prepare(self, runs: list[sweep.SweepRun], out: Path) -> None:
        """Checks what the runs read, and creates the folder that they go into."""
        from specvit_jax.cli.checks import check_config

        for config in (run.config for run in runs if run.config is not None):
            check_config(config)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        if "wandb" in self.log_to:
            os.environ.setdefault("WANDB_RUN_GROUP", out.resolve().name)

    def _train(self, runs: list[sweep.SweepRun], results: Path) -> None:
        out = results.parent
        self._prepare(runs, out)
        failed = sweep.train_all(runs, results, dealt=self._shares())
        print_runs(sweep.summaries(runs), str(out))
        print(f"wrote {results}")
        if failed:
            named = ", ".join(f"{run.name} (exit code {code})" for run, code in failed)
            print(f"error: {len(failed)} of {len(runs)} runs failed: {named}", file=sys.stderr)
            sys.exit(max(failed[0][1], 1))  # a run that a signal killed has a negative one
