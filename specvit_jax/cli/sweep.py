"""`specvit sweep`: many runs from one file of settings."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crlb.errors import OutputError
from crlb.files.output import check_outputs, new_file
from specvit_jax.cli.arguments import File
from specvit_jax.cli.runs import print_runs
from specvit_jax.runs import sweep


@dataclass(frozen=True)
class Sweep:
    """Trains every combination of settings in a YAML file, one run after another, and tables the results.

    The file holds `preset`, `data`, `set` (settings of all runs), and `grid` (section.key: [values]) or
    `runs` (a list of lists of settings). A run that fails, or whose settings cannot be together, does not end
    the sweep, which then ends with that run's exit code; the same command continues an interrupted sweep.

    To copy and paste:
      specvit sweep sweep.yaml --dry-run
      specvit sweep sweep.yaml --out runs/sweep
      specvit sweep sweep.yaml --slurm sweep.sh && sbatch sweep.sh
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The sweep, YAML."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of the runs and of sweep.json; default: runs/ and the file's name."""
    dry_run: bool = False
    """List the runs and stop."""
    slurm: File = None
    """Write a Slurm array script, one task for each run, instead of training."""
    overwrite: bool = False
    """Allow the script to be replaced."""

    def __call__(self) -> None:
        out = Path("runs") / self.file.stem if self.out is None else self.out
        runs = sweep.read_sweep(self.file, out)
        sweep.check_runs(runs)
        results = out / "sweep.json"
        if self.slurm is None:  # results are written anew after every run
            check_outputs({"--out": results if out.is_dir() else None}, {"FILE": self.file}, overwrite=True)
        check_outputs({"--slurm": self.slurm}, {"FILE": self.file}, self.overwrite)
        if self.dry_run:
            for run in runs:
                print(f"{run.path}: {run.problem or ' '.join(run.settings)}")
        elif self.slurm is not None:
            self._write_script(runs)
        else:
            self._train(runs, results)

    def _write_script(self, runs: list[sweep.SweepRun]) -> None:
        with new_file(str(self.slurm), self.overwrite) as temporary:
            temporary.write_text(sweep.slurm_script(runs, self.file))
            mode = temporary.stat().st_mode
            temporary.chmod(mode | (mode & 0o444) >> 2)  # whoever may read it may run it
        left_out = [run for run in runs if run.problem]
        for run in left_out:
            print(f"no task for {run.name}: {run.problem}", file=sys.stderr)
        print(f"wrote {self.slurm}: {len(runs) - len(left_out)} tasks")

    def _train(self, runs: list[sweep.SweepRun], results: Path) -> None:
        from specvit_jax.cli.checks import check_config

        for config in (run.config for run in runs if run.config is not None):
            check_config(config)
        out = results.parent
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create {out}: {error.strerror}; choose another --out") from error
        failed = sweep.train_all(runs, results)
        print_runs(sweep.summaries(runs), str(out))
        print(f"wrote {results}")
        if failed:
            named = ", ".join(f"{run.name} (exit code {code})" for run, code in failed)
            print(f"error: {len(failed)} of {len(runs)} runs failed: {named}", file=sys.stderr)
            sys.exit(max(failed[0][1], 1))  # a run that a signal killed has a negative one
