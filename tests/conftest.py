"""Strict settings for every test: forced devices, no silent broadcasting, annotations checked."""

import os

os.environ.setdefault("NPROC", "32")  # several virtual CPU devices deadlock on a small thread pool
# Nearly all the time of the tests is that of the compiler, for programs that run once: it is told not to try
# hard, here and in the programs that tests start. XLA_FLAGS= (empty) gives the compiler that users have.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
install_import_hook(["crlb", "specvit_jax"], "beartype.beartype")

REFERENCE = Path(
    os.environ.get("SPECVIT_REFERENCE", Path(__file__).resolve().parents[2] / "shared" / "reference")
)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of peer-made reference data; tests that need it are skipped where it is absent."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference data at {REFERENCE} (set SPECVIT_REFERENCE)")
    return REFERENCE


@pytest.fixture
def linux() -> None:
    """For tests that read /proc or limit memory as Linux does; skipped elsewhere."""
    if not Path("/proc").is_dir():
        pytest.skip("this system has no /proc")
