#!/usr/bin/env bash
# One node, all its GPUs, one process:   sbatch examples/slurm/one_node.sh runs/paper
# Stopped by the time limit, it saves, is put back into the queue and goes on where it was.
#SBATCH --job-name=specvit
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -uo pipefail

RUN=${1:-runs/paper}
newest_checkpoint() {
  { echo 0; ls "$RUN/checkpoints" 2> /dev/null; } | grep -x '[0-9]*' | sort -n | tail -1
}
before=$(newest_checkpoint)
# Compiled programs are kept between starts of the job.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/specvit}

# Two minutes before the limit Slurm sends USR1 to specvit, which saves and ends with status 75.
srun specvit train paper --data emulator --out "$RUN" --precision bfloat16 --parallel pmap --resume "${@:2}"
status=$?

# Queued again while that brings new checkpoints; without one after the first restart, it never would.
if [ "$status" -eq 75 ]; then
  if [ "$(newest_checkpoint)" -gt "$before" ] || [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ]; then
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "error: status $status and no checkpoint after step $before; not queued again" >&2
  fi
fi
exit "$status"
