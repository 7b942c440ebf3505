#!/usr/bin/env bash
# Several nodes, one process per GPU:   sbatch --nodes=4 examples/slurm/many_nodes.sh runs/paper
# jax finds the other processes through Slurm. The run directory must be on a file system that all nodes see;
# process 0 alone writes. If a process dies the others end too, and the job is put back into the queue.
#SBATCH --job-name=specvit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --mem=128G
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
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/specvit}

# Every task sees all GPUs of its node and takes the one of its local number, as jax expects under Slurm:
# --gpus-per-task would hide the others and must not be given.
srun --kill-on-bad-exit=1 \
  specvit train paper --data emulator --out "$RUN" --precision bfloat16 --parallel jit --resume "${@:2}"
status=$?

# 75: stopped by the signal. Above 128: a process was killed or lost its peers; the last checkpoint goes on.
# Queued again while that brings new checkpoints; without one after the first restart, it never would.
if [ "$status" -eq 75 ] || [ "$status" -gt 128 ]; then
  if [ "$(newest_checkpoint)" -gt "$before" ] || [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ]; then
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "error: status $status and no checkpoint after step $before; not queued again" >&2
  fi
fi
exit "$status"
