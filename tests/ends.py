"""A user's first commands, run by the Python of an environment that the wheel was installed into.

`tests/ends.sh` calls it, in an empty folder and without the tree on the path.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

BIN = Path(sys.executable).parent
DIRECT = (
    "jax",
    "flax",
    "optax",
    "orbax-checkpoint",
    "astropy",
    "h5py",
    "numpy",
    "scipy",
    "matplotlib",
    "tyro",
)


def run(*words: str) -> str:
    """What a command of the environment prints; ends the script where the command fails."""
    print("$", *words, flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([BIN / words[0], *words[1:]], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def main() -> None:
    """All in an empty folder."""
    found = {one.metadata["Name"].lower(): one.version for one in distributions()}
    print(sys.version.split()[0], *(f"{name} {found[name]}" for name in DIRECT))
    os.chdir(tempfile.mkdtemp())
    sys.path[:] = [part for part in sys.path if "site-packages" in part or "lib/python" in part]
    import crlb
    import experiments
    import specvit_jax

    for package in (crlb, specvit_jax, experiments):
        assert "site-packages" in str(package.__file__), package.__file__
    assert run("specvit", "--version") == f"specvit {specvit_jax.__version__}\n"
    assert run("crlb", "--version") == f"crlb {specvit_jax.__version__}\n"
    assert json.loads(run("specvit", "doctor", "--json"))["sound"]
    for name in ("experiments", "experiments.r2_vs_snr", "experiments.capacity", "experiments.baselines"):
        assert f"usage: python -m {name} " in run("python", "-m", name, "--help")
    from experiments.study.stars import SHIPPED
    from experiments.study.training import EQUAL_BUDGET

    assert all(path.is_file() for path in (*SHIPPED, EQUAL_BUDGET / "specvit.safetensors")), SHIPPED
    commands()
    print("all is well", flush=True)


def toy_file(name: str) -> None:
    """Writes the toy grid of the tests, on the whole arm."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).parent / "crlb" / "toy.py")
    assert spec is not None
    assert spec.loader is not None
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    import numpy

    from crlb import save_grid

    save_grid(toy.toy_grid(numpy.linspace(6900.0, 9050.0, 6000)), name)


def commands() -> None:
    """What a grid can tell, stars simulated and read, a network trained and continued."""
    toy_file("toy.h5")
    run("crlb", "grid", "info", "toy.h5")
    run("crlb", "ceiling", "--grid", "toy.h5", "--mag", "20", "--json", "ceiling.json")
    assert 0 < json.loads(Path("ceiling.json").read_text())["bins"][0]["r2_max"]["median"] <= 1
    run("specvit", "simulate", "--n", "20", "--out", "stars.h5")
    run("specvit", "predict", "tiny", "stars.h5", "--rv", "0", "--out", "labels.ecsv")
    assert len(Path("labels.ecsv").read_text().splitlines()) > 20
    settings = ["--set", "model.depth=1", "train.batch_size=32", "data.n_scaling=64", "data.n_validation=64"]
    train = ["specvit", "train", "tiny", "--data", "emulator", "--grid", "toy.h5", "--out", "run"]
    run(*train, "--steps", "4", *settings)
    run(*train, "--steps", "4", *settings, "--resume")
    run("specvit", "info", "run")


if __name__ == "__main__":
    main()
