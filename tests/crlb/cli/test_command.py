"""The console script: its tables and files, and one sentence with the right exit status for bad input."""

import csv
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from crlb.cli.ceiling import Ceiling
from crlb.cli.grid import Synthesize
from crlb.detector import DEFAULT_LSF_FWHM
from crlb.grids.grid_file import load_grid
from crlb.observation.noise import Exposure
from tests.crlb.conftest import MODEL_WAVE


def test_ceiling_prints_its_table_and_writes_the_same_numbers(crlb, toy_file, tmp_path):
    names = {kind: tmp_path / f"ceiling.{kind}" for kind in ("json", "csv", "png")}
    status, out, err = crlb(
        "ceiling", "--grid", toy_file, "--mag", 21.5, "--labels", "T_eff", "log_g", "--variance", 2,
        "--json", names["json"], "--csv", names["csv"], "--plot", names["png"],
    )  # fmt: skip
    assert (status, err.count("error")) == (0, 0)
    rows = [line.split() for line in out.splitlines() if line.split()[:1] == ["21.5"]]
    assert [len(row) for row in rows] == [11]
    for words in ("bound for unbiased estimators", "usable pixels of flux/error", "labels: T_eff, log_g."):
        assert words in out
    result = json.loads(names["json"].read_text())
    assert result["label_names"] == ["T_eff", "log_g"]
    assert result["variance"] == 2
    assert result["provenance"]["grid_file"] == str(toy_file)
    assert result["provenance"]["command"].split()[0] == "crlb"
    row = next(csv.DictReader(names["csv"].read_text().splitlines()))
    assert float(row["r2_max_median"]) == result["bins"][0]["r2_max"]["median"]
    assert f"{float(row['r2_max_median']):.4f}" in out
    assert names["png"].read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ceiling.csv", "ceiling.json", "ceiling.png"]


def test_stars_of_a_table_take_the_place_of_nodes_and_several_targets_make_a_list(crlb, toy_file, tmp_path):
    stars, out = tmp_path / "stars.csv", {kind: tmp_path / f"ceiling.{kind}" for kind in ("json", "csv")}
    low, high = np.array([4300.0, 2.0, -1.0]), np.array([5000.0, 3.5, -0.6])
    labels = low + (high - low) * np.random.default_rng(8).random((400, 3))
    lines = [",".join(f"{value:.4f}" for value in (*row, 21.0)) for row in labels]
    stars.write_text("\n".join(["teff,logg,feh,mag", *lines, "9000,2.5,-0.8,21"]))
    command = ("ceiling", "--grid", toy_file, "--population", stars, "--target", "log_g", "M_H")
    status, _, err = crlb(*command)
    assert (status, "1 of 401 stars lie outside the grid: 1 in T_eff" in " ".join(err.split())) == (65, True)
    status, said, _ = crlb(
        *command, "--population-outside", "drop", "--bayes", "--n-bayes", 8, "--json", out["json"],
        "--csv", out["csv"],
    )  # fmt: skip
    assert status == 0
    found = json.loads(out["json"].read_text())
    assert [one["label"] for one in found] == ["log_g", "M_H"]
    assert [one["bins"][0]["n"] for one in found] == [400, 400]
    assert found[0]["variance"] == pytest.approx(labels[:, 1].var(), rel=1e-3)
    assert found[1]["population"]["dropped"] == 1
    assert found[1]["population"]["own_mags"] is True
    assert [row["label"] for row in csv.DictReader(out["csv"].read_text().splitlines())] == ["log_g", "M_H"]
    assert "those of the table's stars" in " ".join(said.split())


@pytest.mark.parametrize(("options", "width_in"), [((), 7.2), (("--column",), 3.5)])
def test_a_picture_is_drawn_for_a_page_or_for_a_column(crlb, toy_file, tmp_path, options, width_in):
    out = tmp_path / "ceiling.pdf"
    status, _, err = crlb(
        "ceiling",
        "--grid",
        toy_file,
        "--mag",
        21.5,
        22,
        "--labels",
        "T_eff",
        "log_g",
        "--plot",
        out,
        *options,
    )
    assert status == 0, err
    box = out.read_bytes().split(b"/MediaBox [")[1].split(b"]")[0].split()
    assert float(box[2]) == pytest.approx(72 * width_in)  # points


def test_nuisances_prints_its_table_and_writes_the_same_numbers(crlb, toy_file, tmp_path):
    names = {kind: tmp_path / f"nuisances.{kind}" for kind in ("json", "csv")}
    status, out, err = crlb(
        "nuisances",
        "--grid",
        toy_file,
        "--mag",
        20,
        "--no-lsf",
        "--json",
        names["json"],
        "--csv",
        names["csv"],
    )
    assert (status, err.count("error")) == (0, 0)
    result = json.loads(names["json"].read_text())
    assert (result["target"], result["label_names"]) == ("log_g", ["T_eff", "log_g", "M_H"])
    assert result["provenance"]["grid_file"] == str(toy_file)
    assert {"exposure", "noise_level", "instrument"} <= set(result["provenance"])
    shown = [line.split() for line in out.splitlines() if line.split()[:1] == ["20"]]
    assert [row[-3] for row in shown] == [f"{row['bound']:.4g}" for row in result["rows"]]
    written = list(csv.DictReader(names["csv"].read_text().splitlines()))
    assert [float(row["bound"]) for row in written] == [row["bound"] for row in result["rows"]]


def test_nothing_is_overwritten_unless_asked(crlb, toy_file, tmp_path):
    out = tmp_path / "ceiling.json"
    out.write_text("precious")
    arguments = ("ceiling", "--grid", toy_file, "--labels", "T_eff", "log_g", "--json", out, "--mag", 20)
    status, _, err = crlb(*arguments)
    assert (status, err.count("\n")) == (73, 1)
    assert "exists already; choose another name or allow it with --overwrite" in err
    assert out.read_text() == "precious"
    assert crlb(*arguments, "--overwrite")[0] == 0
    assert json.loads(out.read_text())["bins"][0]["mag"] == 20


def test_outputs_are_checked_before_the_work(crlb, tmp_path):
    """The grid does not even exist, yet it is the output that is refused."""
    assert crlb("ceiling", "--grid", "none.h5", "--csv", tmp_path / "no" / "table.csv")[0] == 73


def test_info_shows_axes_units_and_origin(crlb, toy_file):
    status, out, _ = crlb("grid", "info", toy_file)
    assert status == 0
    assert "T_eff (K)" in out
    assert "3 nodes: 4300 4750 5000" in out
    assert "7090.00 to 8859.60 Å in vacuum" in out
    assert "toy star of the tests" in out


def broken(toy_file, tmp_path, damage):
    path = tmp_path / "broken.h5"
    shutil.copy(toy_file, path)
    with h5py.File(path, "r+") as file:
        damage(file)
    return path


DAMAGE = {
    "NaN": lambda file: file["flux"].__setitem__((0, 0), np.nan),
    "missing dataset": lambda file: file.__delitem__("wave"),
    "air": lambda file: file.attrs.__setitem__("wave_medium", "air"),
    "other wavelengths": lambda file: file["wave"].__setitem__(slice(None), MODEL_WAVE + 500),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_unusable_grid_is_data_error(crlb, toy_file, tmp_path, damage):
    status, _, err = crlb("ceiling", "--grid", broken(toy_file, tmp_path, DAMAGE[damage]))
    assert (status, err.count("\n"), err[:7]) == (65, 1, "error: ")


def test_files_of_other_kinds_are_data_errors(crlb, toy_file, tmp_path):
    (tmp_path / "text.h5").write_text("not a grid")
    assert crlb("grid", "info", tmp_path / "text.h5")[0] == 65
    whole = toy_file.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    assert crlb("grid", "info", tmp_path / "cut.h5")[0] == 65
    assert crlb("ceiling", "--grid", toy_file, "--noise", tmp_path / "text.h5")[0] == 65


def test_absent_files_are_missing_input(crlb, toy_file, tmp_path):
    for args in (
        ("ceiling", "--grid", tmp_path / "none.h5"),
        ("ceiling", "--grid", toy_file, "--noise", tmp_path / "none.h5"),
        ("grid", "info", tmp_path),
    ):
        status, _, err = crlb(*args)
        assert (status, err.count("\n")) == (66, 1)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--labels", "T_eff", "gravity"), "unknown label gravity: this grid has T_eff, log_g, M_H"),
        (("--labels", "T_eff"), "must include log_g"),
        (("--target", "vsini"), "unknown label vsini"),
        (("--variance", "-1"), "variance must be positive"),
        (("--mag", "nan"), "--mag must be a number from -100 to 100, found nan"),
        (("--n-exp", "0"), "n_exp must be positive"),
        (("--seeing-arcsec", "9"), "0.5"),
        (("--lsf-fwhm", "0"), "lsf_fwhm"),
        (("--plot", "figure.xyz"), "--plot must end in .png, .pdf, .svg, found figure.xyz"),
        (("--mag", "bright"), "bright"),
        (("--magnitude", "20"), "magnitude"),
    ],
)
def test_unusable_arguments_are_usage_errors(crlb, toy_file, args, words):
    status, _, err = crlb("ceiling", "--grid", toy_file, *args)
    assert status == 2
    assert words in err


def test_degenerate_labels_are_named(crlb, toy_file, tmp_path):
    def deafen(file):
        flux = file["flux"][:]
        flux[1::2] = flux[0::2]
        file["flux"][:] = flux
        del file.attrs["sha256"]

    status, _, err = crlb("ceiling", "--grid", broken(toy_file, tmp_path, deafen), "--mag", 20)
    assert status == 2
    assert "does not depend on M_H; fix it" in err


def test_synthesize_refuses_before_it_starts(crlb, toy_file, tmp_path):
    assert crlb("grid", "synthesize", "--out", toy_file)[0] == 73
    assert crlb("grid", "synthesize", "--out", tmp_path / "no" / "grid.h5")[0] == 73
    for axis in (("5000", "4500"), ("4500", "4500"), ()):
        status, _, err = crlb("grid", "synthesize", "--out", tmp_path / "grid.h5", "--T_eff", *axis)
        assert (status, "--T_eff must be increasing values" in err) == (2, True)
    status, _, err = crlb("grid", "synthesize", "--out", tmp_path / "grid.h5", "--T_eff", "nan", "4500")
    assert (status, "--T_eff must be a number" in err) == (2, True)


def test_defaults_shown_are_those_of_the_library():
    default = Ceiling()
    assert Exposure(default.exptime_s, default.n_exp, default.seeing_arcsec) == Exposure()
    assert default.lsf_fwhm == DEFAULT_LSF_FWHM


def test_defaults_of_synthesize_are_those_of_the_embedded_grid(tmp_path):
    from crlb.synthesis import build

    default = Synthesize(out=tmp_path)
    axes = default.T_eff, default.log_g, default.M_H, default.a_M, default.C_M
    for shown, axis in zip(axes, build.AXES, strict=True):
        np.testing.assert_allclose(shown, axis)


def test_script_runs_in_float64_with_its_exit_status(toy_file, tmp_path):
    """The one thing only the entry point does: x64, and the status seen by a shell."""
    out = tmp_path / "ceiling.json"
    command = [sys.executable, "-m", "crlb.cli", "ceiling", "--grid", str(toy_file), "--mag", "20"]
    done = subprocess.run([*command, "--json", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["provenance"]["dtype"] == "float64"
    assert subprocess.run([*command, "--json", str(out)], capture_output=True).returncode == 73


COMMANDS = ("ceiling", "fisher", "spectrum", "information", "nuisances", "posterior", "check")
GRID_COMMANDS = ("info", "validate", "index", "download", "build", "synthesize")
HEAVY = ("jax", "scipy", "astropy", "h5py", "matplotlib", "flax", "optax", "httpx", "yaml")


@pytest.mark.parametrize(
    "args", [[], ["grid"], *([name] for name in COMMANDS), *(["grid", name] for name in GRID_COMMANDS)]
)
def test_help_is_complete_and_imports_nothing_heavy(args):
    code = (
        "import sys; from crlb.cli import parse\n"
        f"try: parse({[*args, '--help']!r})\n"
        "except SystemExit: pass\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    if args not in ([], ["grid"]):
        assert done.stdout.count(f"  crlb {' '.join(args)}") >= 2


def test_written_grid_is_read_by_the_library(toy_file):
    assert load_grid(toy_file).flux.shape == (3, 3, 2, len(MODEL_WAVE))
