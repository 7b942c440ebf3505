"""All experiments; each goes on where it was cut off.

`python -m experiments --preset cpu` ends within a day on two cores, `--preset smoke` within ten minutes;
`--preset gpu` runs one on each GPU at a time.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crlb.command_line import parse
from crlb.errors import EXPECTED, Interrupted, UsageError
from crlb.files.output import writing
from crlb.limits import check_limits
from crlb.program import run_command
from crlb.suggest import meant
from specvit_jax.runs.processes import Devices, Job, Processes, shares, visible_devices
from specvit_jax.runs.submit import check_submission, submit

# Those that a reader of the main figure asks for next come first.
NAMES = (
    "r2_vs_snr",
    "accuracy",
    "survey",
    "budgets",
    "distillation",
    "chance",
    "scaling",
    "original_recipe",
    "tokenization",
    "residuals",
    "uncertainty",
    "efficiency",
    "attention",
    "loss_and_scaling",
    "position",
    "multitask",
    "robustness",
    "snapping",
    "capacity",
    "leak",
    "classification",
    "surveys",
    "transfer_learning",
    "tokenizer_start",
    "observed",
)

SKIPPED = "skipped: {}: "  # how the line of an experiment that cannot run here begins

HELP = f"""{__doc__}
Where to start: `python -m experiments --preset smoke --only accuracy`. `python -m experiments.NAME --help`
says what an experiment claims, costs and expects. `--version` prints the version, `--completion bash` (zsh,
fish) what completes its options in a shell.

NAME: {", ".join(NAMES)}; and `baselines` (fit and score one), `tables` (the numbers of the documents)."""


@dataclass(frozen=True)
class All:
    """Every experiment of the comparison, or some of them.

    Examples:
      python -m experiments --preset smoke
      python -m experiments --only scaling tokenization
      python -m experiments --preset gpu --devices 0 1 2 3
      python -m experiments --preset gpu --submit --slurm-options partition=gpu account=stars time=12:00:00
    """

    preset: Literal["smoke", "cpu", "gpu"] = "cpu"
    """smoke: minutes, to see that all run; cpu: a day on two cores; gpu: the published sizes."""
    only: tuple[str, ...] = ()
    """Names of experiments; default: all, in the order of their importance."""
    out: Path = Path("outputs")
    """Folder in which each gets one of its own."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Experiments at once, each in a process with devices of its own; default: one for each GPU, one without
    GPUs. Where there are several, the lines of each go into logs/NAME.log of the folder."""
    devices: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="GPU")] = None
    """GPUs to deal out, named as in CUDA_VISIBLE_DEVICES; default: all that it names, or all."""
    submit: bool = False
    """Submit them to Slurm as an array, a task for each, through the package submitit (extra `slurm`); a task
    that comes to its time limit saves, is queued again and goes on."""
    slurm_options: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """For --submit: options of sbatch, in its units: partition=gpu account=stars time=12:00:00 mem=32G;
    default: 24 h, 8 CPUs and one GPU for each experiment."""


def main() -> None:
    """Console entry."""
    run_command(lambda: run_all(parse(All, "python -m experiments", HELP)))


def run_all(options: All) -> None:
    """Runs the experiments, or submits them; one that fails does not keep the others from running.

    Raises:
        UsageError: no experiment or device of that name; options that do not go together; or, once all have
            run, some could not.
        Interrupted: stopped; the same command goes on.
    """
    unknown = [name for name in options.only if name not in NAMES]
    if unknown:
        raise UsageError(
            f"--only must name experiments among {', '.join(NAMES)}; found {unknown[0]}"
            f"{meant(unknown[0], NAMES)}"
        )
    check_limits(options)
    if options.submit or options.slurm_options:
        return submit_all(options)
    dealt = shares(options.workers, options.devices, visible_devices(os.environ))
    here = len(dealt) == 1 and options.devices is None
    failed = one_by_one(options) if here else side_by_side(options, dealt)
    if failed:
        raise UsageError(f"{len(failed)} of the experiments did not run: {', '.join(failed)}; see above")


def submit_all(options: All) -> None:
    """Submits the experiments as an array of Slurm, a task for each.

    Raises:
        UsageError: options that do not go together; no submitit or no Slurm here.
        OutputError, DiskError: the folder cannot be created, or the submission was refused.
    """
    if not options.submit:
        raise UsageError("--slurm-options are for --submit; add it, or leave them out")
    if options.workers is not None or options.devices is not None:
        raise UsageError("--workers and --devices are of running here; leave them out with --submit")
    asked = check_submission(options.slurm_options)
    with writing(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
    tasks = [(one, options.out / one.name) for one in jobs(options)]
    submitted = submit(tasks, options.out / "slurm", "experiments", asked)
    print(f"submitted {len(submitted)} tasks: {submitted[0].job_id} to {submitted[-1].job_id}")
    print(f"their lines: {options.out / 'slurm'}; their results: {options.out}/NAME/results.json")


def side_by_side(options: All, dealt: Sequence[Devices]) -> list[str]:
    """Runs the experiments in processes of their own, one for each share of the devices; those that failed.

    Raises:
        Interrupted: stopped; the same command goes on.
    """
    failed = []
    with Processes() as processes:
        for ended, code in processes.run(jobs(options), dealt):
            print(f"{ended.title}: {ending(ended, code)}: {ended.log}", file=sys.stderr)
            if code:
                failed.append(ended.name)
    if processes.stopped:
        raise Interrupted("stopped; the same command goes on")
    return failed


def ending(ended: Job, code: int) -> str:
    """How an experiment in a process of its own ended: its exit code, done, or skipped as its log says."""
    if code:
        return f"exit code {code}"
    lines = ended.log.read_text(encoding="utf-8", errors="replace").splitlines() if ended.log else []
    skipped = bool(lines) and lines[-1].startswith(SKIPPED.format(ended.name))
    return lines[-1].partition(": ")[2] if skipped else "done"


def jobs(options: All) -> list[Job]:
    """The experiments, each once, as commands of their own."""
    return [job(name, options) for name in dict.fromkeys(options.only or NAMES)]


def job(name: str, options: All) -> Job:
    """One experiment as a command of its own."""
    command = (sys.executable, "-m", "experiments", "--preset", options.preset, "--only", name)
    log = options.out / "logs" / f"{name}.log"
    return Job(name, name, (*command, "--out", str(options.out), "--workers", "1"), log)


def one_by_one(options: All) -> list[str]:
    """Runs the experiments in this process; those that failed.

    Raises:
        Interrupted: stopped; the same command goes on.
    """
    from experiments.study.frame import study_of
    from experiments.study.running import report

    failed = []
    for name in options.only or NAMES:
        begin = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            found = study_of(name)
            asked = found.options(options.preset, out=options.out / name)
            if reason := found.unavailable(asked):
                print(f"{SKIPPED.format(name)}{reason}", file=sys.stderr)
                continue
            paths = report(found, asked)
        except Interrupted:
            raise
        except EXPECTED as error:
            failed.append(name)
            print(f"error: {name}: {error}", file=sys.stderr)
            continue
        print(*paths, f"{name}: {time.monotonic() - begin:.0f} s", sep="\n", flush=True)
    return failed


if __name__ == "__main__":
    main()
