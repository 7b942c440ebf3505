"""`specvit doctor`: whether the installation is sound, and what to do where it is not."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from crlb.errors import EXPECTED, InstallationError, NumericalError
from crlb.files.checksum import said_of
from crlb.files.memory import GIB, free_memory
from crlb.files.process import cores
from crlb.files.records import Record, json_text
from specvit_jax.network.find import has_weights, shipped_weights
from specvit_jax.settings.presets import PRESETS

if TYPE_CHECKING:
    from specvit_jax.spectra.source import Simulator

NEEDED_GIB, NEEDED_DISK_GIB = 1.0, 0.5  # of memory, to label spectra; of disk, for a small run
R2_LEAST, FISHER_MOST = 0.6, 1e-4  # expected: 0.73 and 1e-6
REINSTALL = "install the package again: python -m pip install --force-reinstall --no-deps specvit-jax"
CUDA = 'python -m pip install "specvit-jax[cuda]"; nvidia-smi must show the GPU'
OTHER_DEVICE = "if the weights are sound, try another device: JAX_PLATFORMS=cpu specvit doctor"
TROUBLE = (*EXPECTED, ImportError, RuntimeError, OSError)  # of parts that are missing, or do not fit


@dataclass(frozen=True)
class Check(Record):
    """One thing looked at.

    Args:
        what: it is.
        sound: whether it is as it should be.
        found: in words.
        remedy: what to do; empty where it is sound.
    """

    what: str
    sound: bool
    found: str
    remedy: str = ""

    def line(self) -> str:
        """The check in a line, and the remedy in another."""
        text = f"{'ok  ' if self.sound else 'FAIL'}  {self.what}: {self.found}"
        return text if self.sound else f"{text}\n      -> {self.remedy}"


@dataclass(frozen=True)
class Diagnosis(Record):
    """All that was looked at."""

    sound: bool
    seconds: float
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Doctor:
    """Looks at the installation: versions, devices, memory, checksums, and whether its numbers are right.

    The self-test reads simulated spectra with the shipped network and compares a Fisher matrix (what spectra
    tell of labels) with finite differences: some ten seconds on two idle cores. Each failure comes with what
    to do about it. Ends with status 0 if all is sound, else with 70.

    To copy and paste:
      specvit doctor
      specvit doctor --json
    """

    json: bool = False
    """Print JSON instead of lines."""

    def __call__(self) -> None:
        begin, checks = time.monotonic(), []
        for check in examined():
            checks.append(check)
            if not self.json:
                print(check.line(), flush=True)
        bad = [check.what for check in checks if not check.sound]
        seconds = round(time.monotonic() - begin, 1)
        if self.json:
            print(json_text(Diagnosis(not bad, seconds, tuple(checks))))
        if bad:
            raise InstallationError(
                f"{len(bad)} of {len(checks)} checks failed: {', '.join(bad)}; see `specvit doctor`"
            )
        if not self.json:
            print(f"All is sound ({seconds:.0f} s).")


def examined() -> Iterator[Check]:
    """The checks, as they are made."""
    yield Check(
        "system", True, f"{platform.platform()}, Python {platform.python_version()} ({sys.executable})"
    )
    yield from map(package, requirements())
    yield check("devices", devices, "jax finds no device: " + REINSTALL.replace("specvit-jax", "jax jaxlib"))
    yield gpu()
    yield room("memory", free_memory() / GIB, NEEDED_GIB, "close other programs, or use a larger machine")
    free = shutil.disk_usage(Path.cwd()).free / GIB
    yield room(
        "disk at the current folder", free, NEEDED_DISK_GIB, "free some space, or go to another folder"
    )
    yield Check("cores", True, f"{cores()} for this process, {os.cpu_count()} in the machine")
    for name in filter(has_weights, PRESETS):
        yield check(f"weights {name}", partial(weights, name), REINSTALL)
    yield check("embedded grid", grid, REINSTALL)
    yield from self_test()


def check(what: str, look: Callable[[], str], remedy: str) -> Check:
    """What `look` says of a part; where it cannot, why, and the remedy."""
    try:
        return Check(what, True, look())
    except TROUBLE as error:
        return Check(what, False, " ".join(str(error).split())[:300] or type(error).__name__, remedy)


def requirements() -> list[str]:
    """What the package needs, as pip writes it, without extras."""
    return [text for text in requires("specvit-jax") or () if "extra ==" not in text]


def package(requirement: str) -> Check:
    """Whether a package is there, in a version that is known to work."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    remedy = f'python -m pip install "{wanted.name}{wanted.specifier}"'
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return Check(wanted.name, False, "not installed", remedy)
    sound = wanted.specifier.contains(found, prereleases=True)
    return Check(
        wanted.name, sound, found if sound else f"{found}, needed {wanted.specifier}", remedy * (not sound)
    )


def devices() -> str:
    """The devices of jax, in words."""
    import jax

    found = jax.devices()
    return f"{len(found)} x {found[0].device_kind} ({found[0].platform})"


def gpu() -> Check:
    """Whether jax uses the GPU, where the machine has one of NVIDIA's."""
    if not Path("/dev/nvidia0").exists():
        return Check("GPU", True, "none of NVIDIA's in this machine; the CPU is used")
    import jax

    used = jax.default_backend() == "gpu"
    return Check("GPU", used, "used" if used else "there is one, but jax uses the CPU", "" if used else CUDA)


def room(what: str, free: float, needed: float, remedy: str) -> Check:
    """Whether there is enough of something, GiB."""
    return Check(what, free >= needed, f"{free:.1f} GiB free, needed {needed:g}", remedy * (free < needed))


def weights(name: str) -> str:
    """What a shipped weights file says; all of it is read and compared with its checksum."""
    from specvit_jax.cli.info import describe_file
    from specvit_jax.network.weights import load_weights

    path = shipped_weights(name)
    load_weights(path)
    return said_of(describe_file(path).checksum)


def grid() -> str:
    """What is said of the embedded grid's checksum."""
    from specvit_jax.evaluation.self_test import check_grid

    return check_grid()


def self_test() -> Iterator[Check]:
    """The network on simulated spectra, and derivatives beside differences."""
    made: list[Simulator] = []

    def simulator() -> str:
        from specvit_jax.spectra.source import make_simulator

        made.append(make_simulator(mag=(20.5, 22.5)))
        return f"{len(made[0].wave)} pixels, labels {', '.join(made[0].label_names)}"

    yield check("simulator", simulator, REINSTALL)
    for one in made:
        yield check("shipped network", partial(network, one), OTHER_DEVICE)
        yield check("Fisher matrix", partial(fisher, one), OTHER_DEVICE)


def network(simulator: "Simulator") -> str:
    """How well the shipped network reads simulated stars.

    Raises:
        NumericalError: much worse than it should.
    """
    from specvit_jax.evaluation.self_test import network_r2

    found = network_r2(simulator)
    text = f"R2 of log g {found:.3f} on simulated stars, needed {R2_LEAST}, expected 0.73"
    if not found >= R2_LEAST:
        raise NumericalError(text)
    return text


def fisher(simulator: "Simulator") -> str:
    """How exact the derivatives of the forward model are.

    Raises:
        NumericalError: not as they should.
    """
    from specvit_jax.evaluation.self_test import fisher_error

    error = fisher_error(simulator)
    text = f"within {error:.1e} of finite differences, needed {FISHER_MOST:g}"
    if not error <= FISHER_MOST:
        raise NumericalError(text)
    return text
