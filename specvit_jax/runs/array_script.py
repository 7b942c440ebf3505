"""The runs of a sweep as a Slurm array script, for clusters without submitit."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from crlb.errors import Interrupted, UsageError
from crlb.files.text_input import shown
from specvit_jax.runs.sweep import SweepRun

SLURM = """\
#!/bin/bash
# One task for each run of the sweep; written by: specvit sweep {file} --slurm
# Submit it with sbatch from the folder it was written in; options given to sbatch override those below.
#SBATCH --job-name={job}
#SBATCH --array=0-{last}
#SBATCH --time=24:00:00
#SBATCH --cpus-per-task=8
#SBATCH --gpus=1
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append

export JAX_COMPILATION_CACHE_DIR="${{JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/specvit-jax}}"
{group}
case "$SLURM_ARRAY_TASK_ID" in
{cases}
*) echo "error: SLURM_ARRAY_TASK_ID must be 0 to {last}, found '$SLURM_ARRAY_TASK_ID'" >&2; exit 2 ;;
esac

# Two minutes before the limit Slurm sends USR1: the run saves and ends with 75, and the task is queued again
# while that brings new checkpoints; without one after the first restart, it never would.
newest_checkpoint() {{
  {{ echo 0; ls "$run/checkpoints" 2> /dev/null; }} | grep -x '[0-9]*' | sort -n | tail -1
}}
before=$(newest_checkpoint)
told=
trap 'told=1; kill -USR1 "$child"' USR1
specvit "$@" &
child=$!
wait "$child"
code=$?
if [ -n "$told" ]; then
  wait "$child"
  code=$?
  if [ "$code" != {again} ]; then
    exit "$code"
  elif [ "$(newest_checkpoint)" -gt "$before" ] || [ "${{SLURM_RESTART_COUNT:-0}}" -eq 0 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
  else
    echo "error: status $code and no checkpoint after step $before; not queued again" >&2
  fi
fi
exit "$code"
"""


def slurm_script(runs: Sequence[SweepRun], file: str | Path) -> str:
    """A Slurm array script that trains every run in a task of its own, and goes on after the time limit.

    A run that cannot be gets no task.

    Raises:
        UsageError: a name or a setting holds control characters: a line end would begin another command.
    """
    runs = [run for run in runs if not run.problem]
    for word in (str(file), *(word for run in runs for word in (str(run.path), *run.arguments))):
        if not word.isprintable():
            raise UsageError(f"names and settings in a script must be one line of text, found {shown(word)}")
    cases = [
        f"{number}) run={shlex.quote(str(run.path))}; set -- {shlex.join(run.arguments)} ;;"
        for number, run in enumerate(runs)
    ]
    job = re.sub(r"[^\w.-]+", "_", Path(file).stem)
    return SLURM.format(
        file=shlex.quote(str(file)),
        job=job,
        group=_group(runs),
        last=len(runs) - 1,
        cases="\n".join(cases),
        again=Interrupted.exit_code,
    )


def _group(runs: Sequence[SweepRun]) -> str:
    """A line that makes the runs one group at Weights & Biases, where they are logged there."""
    if not any("wandb" in run.arguments for run in runs):
        return ""
    name = shlex.quote(runs[0].path.resolve().parent.name)
    return f'[ -n "$WANDB_RUN_GROUP" ] || export WANDB_RUN_GROUP={name}\n'
