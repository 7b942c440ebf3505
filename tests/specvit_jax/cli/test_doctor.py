"""`specvit doctor`: what it looks at, what it says of what is not as it should be, how it ends."""

import json

import pytest
from packaging.requirements import Requirement

from crlb.errors import DataError, InstallationError
from specvit_jax.cli import doctor
from specvit_jax.cli.doctor import Check, Doctor, check, package, requirements, room


def test_every_requirement_is_looked_at_and_this_installation_has_them():
    wanted = requirements()
    assert {"jax", "flax", "astropy", "numpy"} <= {Requirement(text).name for text in wanted}
    assert not any("extra" in text for text in wanted)
    assert [one for one in map(package, wanted) if not one.sound] == []


@pytest.mark.parametrize(
    ("requirement", "found"),
    [("nosuchpackage>=1", "not installed"), ("numpy>=99", ", needed >=99"), ("numpy<2", ", needed <2")],
)
def test_a_package_that_does_not_fit_comes_with_the_command_that_mends_it(requirement, found):
    one = package(requirement)
    assert not one.sound
    assert found in one.found
    assert one.remedy == f'python -m pip install "{requirement}"'
    assert one.line().splitlines()[1].endswith(one.remedy)


@pytest.mark.parametrize(
    "error", [DataError("it is\ndamaged"), ImportError("no jax"), RuntimeError("no device")]
)
def test_a_part_that_raises_is_a_check_that_failed(error):
    def look() -> str:
        raise error

    found = check("part", look, "mend it")
    assert found == Check("part", False, " ".join(str(error).split()), "mend it")


def test_room_is_compared_with_what_is_needed():
    assert room("memory", 2.0, 1.0, "buy some").sound
    assert room("memory", 0.5, 1.0, "buy some") == Check(
        "memory", False, "0.5 GiB free, needed 1", "buy some"
    )


def test_it_ends_with_70_and_names_what_failed(monkeypatch, capsys):
    checks = [Check("a", True, "fine"), Check("b", False, "lost", "find it")]
    monkeypatch.setattr(doctor, "examined", lambda: iter(checks))
    with pytest.raises(InstallationError, match="1 of 2 checks failed: b;") as error:
        Doctor()()
    assert error.value.exit_code == 70
    assert capsys.readouterr().out == "ok    a: fine\nFAIL  b: lost\n      -> find it\n"
    with pytest.raises(InstallationError):
        Doctor(json=True)()
    told = json.loads(capsys.readouterr().out)
    assert (told["sound"], told["checks"][1]["remedy"]) == (False, "find it")


def test_weights_that_were_changed_are_found(monkeypatch, tmp_path):
    damaged = bytearray(doctor.shipped_weights("teacher").read_bytes())
    damaged[-3] ^= 1
    (tmp_path / "teacher.safetensors").write_bytes(damaged)
    monkeypatch.setattr(doctor, "shipped_weights", lambda name: tmp_path / f"{name}.safetensors")
    found = check("weights", lambda: doctor.weights("teacher"), doctor.REINSTALL)
    assert not found.sound
    assert "SHA-256" in found.found


@pytest.mark.slow
def test_this_installation_is_sound(capsys):
    Doctor(json=True)()
    told = json.loads(capsys.readouterr().out)
    assert told["sound"]
    found = {one["what"]: one["found"] for one in told["checks"]}
    assert {"devices", "memory", "embedded grid", "shipped network", "Fisher matrix"} <= set(found)


@pytest.mark.slow
def test_numbers_that_are_wrong_are_found(monkeypatch):
    from specvit_jax.evaluation import self_test

    monkeypatch.setattr(self_test, "network_r2", lambda simulator: 0.3)
    exact = self_test.flux_jacobian
    monkeypatch.setattr(self_test, "flux_jacobian", lambda *args: 1.001 * exact(*args))
    made, network, fisher = doctor.self_test()
    assert made.sound
    assert (network.sound, "0.300" in network.found) == (False, True)
    assert (fisher.sound, "finite differences" in fisher.found) == (False, True)
