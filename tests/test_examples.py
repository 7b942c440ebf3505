"""The examples are accepted by the programs they are written for."""

import importlib.util
import json
import os
import subprocess
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from specvit_jax.cli import parse
from specvit_jax.evaluation.predict import predict
from specvit_jax.exchange.onnx_network import save_onnx
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.weights import load_weights
from specvit_jax.runs.sweep import read_sweep

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("slurm/*.sh")), ids=lambda path: path.name)
def test_slurm_scripts_are_bash_and_train_as_specvit_understands(script):
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text().replace("\\\n", " ")
    line = next(line for line in text.splitlines() if "specvit train" in line)
    arguments = line.split("specvit ")[1].replace('"$RUN"', "run").replace('"${@:2}"', "").split()
    assert parse(arguments).configured().model.dtype == "bfloat16"
    for option in ("--requeue", "--signal=USR1@120", "JAX_COMPILATION_CACHE_DIR"):
        assert option in text


def job(folder: Path, script: str, status: int, restarts: int, writes: int | None) -> list[str]:
    """What a job asks of Slurm when its run ends with a status, perhaps after writing a checkpoint."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    checkpoint = "" if writes is None else f'mkdir -p "{folder}/run/checkpoints/{writes}"; '
    (tools / "srun").write_text(f"#!/bin/bash\n{checkpoint}exit {status}\n")
    (tools / "scontrol").write_text(f'#!/bin/bash\necho "$@" >> "{folder}/asked"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "1", "SLURM_RESTART_COUNT": str(restarts)}
    done = subprocess.run(
        ["bash", EXAMPLES / "slurm" / script, folder / "run"],
        env=os.environ | slurm | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
    )
    assert done.returncode == status
    asked = folder / "asked"
    found = asked.read_text().splitlines() if asked.exists() else []
    asked.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize(
    ("script", "status"), [("one_node.sh", 75), ("many_nodes.sh", 75), ("many_nodes.sh", 137)]
)
def test_a_job_is_queued_again_only_while_that_brings_new_checkpoints(tmp_path, script, status):
    again = ["requeue 1"]
    assert job(tmp_path, script, status, 0, None) == again  # stopped while it was set up, perhaps
    assert job(tmp_path, script, status, 1, 9) == again
    assert job(tmp_path, script, status, 2, 10) == again  # newer, though not in the order of the alphabet
    assert job(tmp_path, script, status, 3, None) == []
    assert job(tmp_path, script, status, 4, 2) == []  # of before
    for other in (0, 69, 70):
        assert job(tmp_path, script, other, 0, 20) == []


def test_the_sweep_expands_to_the_runs_of_its_grid(tmp_path):
    runs = read_sweep(EXAMPLES / "sweep.yaml", tmp_path)
    assert [(run.config.data.input_scaling, run.config.train.optimizer) for run in runs] == [
        (scaling, optimizer) for scaling in ("pixel", "noise") for optimizer in ("adamw", "muon")
    ]


def test_the_server_answers_spectra_with_the_labels_of_the_network(tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'specvit-jax[onnx]'")
    weights = load_weights(shipped_weights("tiny"))
    save_onnx(tmp_path / "tiny.onnx", weights)
    spec = importlib.util.spec_from_file_location("serve_onnx", EXAMPLES / "serve_onnx.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    flux = np.asarray(weights.input_scaler.mean)[None].repeat(2, axis=0)
    with module.server(str(tmp_path / "tiny.onnx"), 0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(address, json.dumps(flux.tolist()).encode(), timeout=60) as answer:
            found = json.load(answer)
        thread.join()
    expected = predict(weights, flux)
    np.testing.assert_allclose(found["labels"], expected.labels, rtol=1e-4)
    np.testing.assert_allclose(found["sigma"], expected.sigma, rtol=1e-4)
