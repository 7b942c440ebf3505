"""All that waits for a GPU, in pieces that end within nine minutes each, the most valuable first.

    python benchmarks/gpu [--out FOLDER] [--pieces NAME ...] [--seconds N] [--state FOLDER] [--toy]

smoke: every compiled kernel gives the numbers of the CPU. train: `paper` on fresh spectra for --seconds, from
where --state ends; its state comes back in files under 15 MiB. throughput: training steps per second, beside
PyTorch where it is installed, and as a share of the card's own matrix product. attention: fused or not.
input: what drawing spectra costs. limit, fisher: the benchmarks of these names.

Each writes FOLDER/NAME.json; what is there already is not run again. --toy: sizes for a CPU, to see that all
of it works. `python benchmarks/gpu --join FOLDER RUN` makes a run directory of the files of a state.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs room on the same GPU
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the other benchmarks

import jax
import parcels
import scripts
import smoke
import throughput
import training
from measure import about

PIECES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "smoke": lambda args: smoke.run(args.toy),
    "train": training.run,
    "throughput": lambda args: throughput.steps(args.toy),
    "attention": lambda args: throughput.attention(args.toy),
    "input": lambda args: throughput.inputs(args.toy),
    "limit": lambda args: scripts.run("exact_limit", args.toy),
    "fisher": lambda args: scripts.run("fisher", args.toy),
}


def arguments() -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu"))
    parser.add_argument("--pieces", nargs="+", choices=tuple(PIECES), default=tuple(PIECES))
    parser.add_argument("--seconds", type=float, default=400.0, help="of the training, compilation apart")
    parser.add_argument("--state", type=Path, help="folder with the state of an earlier training")
    parser.add_argument("--toy", action="store_true", help="sizes for a CPU")
    parser.add_argument("--join", nargs=2, type=Path, metavar=("FOLDER", "RUN"))
    return parser.parse_args()


def main() -> None:
    """Runs the pieces; one that fails is told, and does not keep the others from running."""
    args = arguments()
    if args.join:
        print(parcels.join(*args.join))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    failed = [name for name in args.pieces if not done(name, args)]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def done(name: str, args: argparse.Namespace) -> bool:
    """Runs a piece, unless its result is there; returns whether there is one now."""
    path = args.out / f"{name}.json"
    if path.exists():
        print(f"{name}: {path} is there already", flush=True)
        return True
    begin = time.perf_counter()
    print(f"{name} ...", flush=True)
    try:
        result = PIECES[name](args) | about() | {"toy": args.toy}
    except Exception as error:  # no memory, a kernel that does not compile: the others still tell something
        print(f"{name}: {type(error).__name__}: {str(error)[:2000]}", flush=True)
        return False
    result["seconds"] = round(time.perf_counter() - begin, 1)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{name}: {result['seconds']} s on {jax.devices()[0].device_kind}, {path}", flush=True)
    return True


if __name__ == "__main__":
    main()
