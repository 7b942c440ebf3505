"""What every command refuses before jax is loaded: outputs, inputs, label names, numbers."""

import subprocess
import sys
from importlib.metadata import version

import pytest

STAR = "--T_eff 4700 --log_g 2.6 --M_H -0.8 --mag 20"
REFUSALS = (  # command, exit status, what is said
    (
        "ceiling --grid GRID --labels T_eff gravity",
        2,
        "unknown label gravity: this grid has T_eff, log_g, M_H",
    ),
    ("ceiling --grid GRID --target vsini", 2, "--target: unknown label vsini"),
    ("ceiling --grid GRID --target log_g log_g", 2, "--target needs different labels, found log_g log_g"),
    ("ceiling --grid GRID --target log_g M_H --plot x.png", 2, "--plot is of one label; give one --target"),
    (
        "ceiling --grid GRID --population-outside drop",
        2,
        "--population-outside has no effect without --population",
    ),
    ("ceiling --grid GRID --population none.csv", 66, "--population none.csv does not exist"),
    ("ceiling --grid GRID --population GRID --variance 1", 2, "--variance has no effect with --population"),
    ("ceiling --grid GRID --population GRID --population-smooth log_g=.1", 2, "no effect without --bayes"),
    ("ceiling --grid GRID --population GRID --bayes --population-smooth g=1", 2, "unknown label g"),
    ("ceiling --grid GRID --target M_H --fix M_H=-1", 2, "--target M_H is held at a value"),
    ("ceiling --grid GRID --bayes --n-bayes 0", 2, "--n-bayes must be 2 or more, found 0"),
    ("ceiling --grid GRID --n-bayes 50", 2, "--n-bayes has no effect without --bayes"),
    ("ceiling --grid GRID --conditions survey", 2, "--conditions has no effect without --bayes"),
    ("ceiling --grid GRID --bayes --conditions night", 2, "conditions must be published, survey or a YAML"),
    ("nuisances --grid GRID --n-bayes 50", 2, "--n-bayes has no effect without --bayes"),
    ("ceiling --grid GRID --seed 1", 2, "--seed has no effect without --bayes"),
    ("ceiling --grid GRID --prior-beta log_g=3,3", 2, "--prior-beta has no effect without --bayes"),
    ("ceiling --grid GRID --bayes --prior-beta T_eff=4800,100", 2, "shapes of a Beta distribution"),
    ("ceiling --grid GRID --mag nan", 2, "--mag must be a number from -100 to 100, found nan"),
    ("ceiling --grid GRID --json HERE", 73, "exists already"),
    ("ceiling --grid GRID --plot figure.xyz", 2, "--plot must end in .png, .pdf, .svg"),
    ("ceiling --grid GRID --column", 2, "--column has no effect without --plot; leave it out, or add that"),
    (f"information --grid GRID {STAR} --column", 2, "--column has no effect without --plot"),
    ("grid validate GRID --column", 2, "--column has no effect without --plot"),
    ("ceiling --grid none.h5", 66, "--grid none.h5 does not exist"),
    ("nuisances --grid GRID --noise none.h5", 66, "--noise none.h5 does not exist"),
    ("nuisances --grid GRID --noise HERE", 65, "is not an HDF5 file"),
    ("nuisances --grid GRID --csv no/folder.csv", 73, "not an existing folder"),
    ("nuisances --grid GRID --target gravity", 2, "unknown label gravity"),
    (f"fisher --grid GRID {STAR} --json GRID --overwrite", 73, "this is an input of the command (--grid)"),
    (f"fisher --grid GRID {STAR} --n-exp 0", 2, "n_exp must be positive and finite, found 0"),
    (f"fisher --grid GRID {STAR} --fix gravity=1", 2, "--fix: unknown label gravity"),
    (f"fisher --grid GRID {STAR} --wave-range 9000 9100", 2, "wave_range must hold at least two"),
    (f"spectrum --grid GRID {STAR} --out star.fits", 2, "--out must end in .csv, .ecsv, .h5"),
    (f"spectrum --grid GRID {STAR} --out LINK --overwrite", 73, "this is an input of the command (--grid)"),
    (f"information --grid GRID {STAR} --csv new.csv --plot ./new.csv", 73, "--csv is the same file"),
    (f"information --grid GRID {STAR} --window 0", 2, "window must be positive"),
    (f"fisher --grid GRID {STAR} --prior-sigma T_eff=100", 2, "--prior-sigma needs LABEL=MEAN,SIGMA"),
    (f"fisher --grid GRID {STAR} --prior-sigma T_eff=4800,100", 2, "needed T_eff=4700,100"),
    ("posterior none.h5 --grid GRID", 66, "SPECTRA none.h5 does not exist"),
    ("posterior STARS none.h5 --grid GRID", 66, "SPECTRA 2 none.h5 does not exist"),
    ("posterior HERE --grid GRID", 65, "here: a line of names (precious) and no numbers below it"),
    ("posterior STARS --grid GRID --json STARS --overwrite", 73, "this is an input of the command (SPECTRA)"),
    ("posterior STARS --grid GRID --out labels.txt", 2, "--out"),
    ("posterior STARS --grid GRID --rows 2 9", 2, "--rows 2 9: STARS has the rows 0 to 1"),
    ("posterior STARS --grid GRID --rows 2 1", 2, "--rows needs 0 <= FIRST < STOP, found 2 1"),
    ("posterior STARS --grid GRID --mag 15", 2, "--mag has no effect without --noise model"),
    ("posterior STARS --grid GRID --n-exp 3", 2, "--n-exp has no effect without --noise model"),
    ("posterior STARS --grid GRID --lsf-fwhm 3", 2, "the width is that of --resolving-power"),
    (
        "posterior STARS --grid GRID --noise model --mag 15",
        2,
        "--mag 15 has no effect: STARS has a column mag",
    ),
    ("posterior STARS --grid GRID --noise none.h5", 66, "--noise none.h5 does not exist"),
    ("posterior STARS --grid GRID --noise model --rv 20", 2, "--rv: under --noise model stars are at rest"),
    ("posterior STARS --grid GRID --noise model --plots new", 2, "--plots has no effect with --noise model"),
    ("posterior STARS --grid GRID --noise model --model-error fit", 2, "needs the errors of the file"),
    (
        "posterior CUT --grid GRID --noise model --mag 15",
        65,
        "--noise model needs spectra on pixels of the arm",
    ),
    ("posterior STARS --grid GRID --model-error 1", 2, "--model-error must be a fraction from 0 to below 1"),
    (
        "posterior STARS --grid GRID --model-error big",
        2,
        "--model-error must be a fraction from 0 to below 1",
    ),
    ("posterior STARS --grid GRID --amplitude -1", 2, "--amplitude must be a number from 0 to inf, found -1"),
    ("posterior STARS --grid GRID --continuum 21", 2, "--continuum must be an order of 0 to 20, found 21"),
    ("posterior STARS --grid GRID --target-ess 1", 2, "--target-ess must be above 1, found 1"),
    ("posterior STARS --grid GRID --quantiles 0.5 1.5", 2, "--quantiles must lie between 0 and 1, found 1.5"),
    ("posterior STARS --grid GRID --rv 20000", 2, "--rv is a velocity in km/s"),
    ("posterior STARS --grid GRID --resolving-power 0", 2, "--resolving-power is wavelength / FWHM"),
    ("posterior STARS --grid GRID --columns wave=a wave=b", 2, "--columns names wave twice"),
    ("posterior STARS --grid GRID --wave-range 9100 9000", 2, "wave_range"),
    ("posterior STARS --grid GRID --samples HERE", 73, "is not a folder"),
    ("posterior STARS --grid GRID --plots FOLDER", 73, "holds files already"),
    ("posterior STARS --grid GRID --plots no/folder", 73, "is not an existing folder"),
    ("posterior STARS --grid GRID --prior-beta log_g=3,3,9", 2, "--prior-beta needs LABEL=A,B"),
    (
        "posterior STARS --grid GRID --prior-beta log_g=3",
        2,
        "--prior-beta needs LABEL=A,B, for example log_g=3,3",
    ),
    ("posterior STARS --grid GRID --prior-beta log_g=3,3 log_g=2,2", 2, "--prior-beta names log_g twice"),
    ("posterior STARS --grid GRID --prior-beta T_eff=4800,100", 2, "that is --prior-sigma T_eff=4800,100"),
    ("posterior STARS --grid GRID --prior-beta M_H=-0.5,0.1", 2, "that is --prior-sigma M_H=-0.5,0.1"),
    ("posterior STARS --grid GRID --prior-beta vsini=3,3", 2, "--prior-beta: unknown label vsini"),
    ("posterior STARS --grid GRID --prior-sigma vsini=3,3", 2, "--prior-sigma: unknown label vsini"),
    ("posterior STARS --grid GRID --prior-sigma T_eff=100", 2, "--prior-sigma needs LABEL=MEAN,SIGMA"),
    ("posterior STARS --grid GRID --prior-sigma T_eff=4800,0", 2, "SIGMA must be positive and finite"),
    ("posterior STARS --grid GRID --prior-sigma T_eff=nan,100", 2, "MEAN must be finite"),
    ("posterior STARS --grid GRID --prior-sigma T_eff=4800,100 --prior-beta T_eff=2,2", 2, "found both"),
    ("check none.h5", 66, "none.h5 does not exist"),
    ("check STARS --rows 2 1", 2, "--rows needs 0 <= FIRST < STOP, found 2 1"),
    ("check STARS --rv 20000", 2, "--rv is a velocity in km/s"),
    ("check STARS --grid none.h5", 66, "--grid none.h5 does not exist"),
    ("check STARS --json HERE", 73, "exists already"),
    ("check STARS --json STARS --overwrite", 73, "this is an input of the command"),
    ("check HERE", 65, "1 of 1 files cannot be used"),
    ("grid info none.h5", 66, "does not exist"),
    ("grid validate none.h5", 66, "does not exist"),
    ("grid validate GRID --json GRID --overwrite", 73, "this is an input of the command (--grid)"),
    ("grid synthesize --out HERE", 73, "exists already"),
    ("grid synthesize --out new.h5 --T_eff 5000 4500", 2, "--T_eff must be increasing"),
    ("grid index --out HERE", 73, "exists already"),
    ("grid download spectra --list none.txt", 66, "--list none.txt does not exist"),
    ("grid build spectra --out HERE", 73, "exists already"),
)
CUT = """# %ECSV 1.0
# ---
# delimiter: ','
# datatype:
# - {name: wave, unit: Angstrom, datatype: float64}
# - {name: flux, datatype: float64}
# - {name: error, datatype: float64}
# meta: {wave_medium: vacuum}
# schema: astropy-2.0
wave,flux,error
"""
PROGRAM = """
import contextlib, io, sys
from crlb.cli import parse
from crlb.errors import run_cli
for line in sys.stdin.read().splitlines():
    said, status = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            run_cli(parse(line.split()))
        except SystemExit as exit:
            status = exit.code
    print(status, 'jax' in sys.modules, said.getvalue().strip().replace('\\n', ' | '))
"""


@pytest.fixture(scope="module")
def files(toy_file, tmp_path_factory):
    """A folder with the toy grid, a link to it, two stars with magnitudes, and a text file."""
    import numpy as np

    from crlb.detector import DETECTOR_WAVE
    from crlb.files.spectra import Spectra, write_spectra

    folder = tmp_path_factory.mktemp("files")
    (folder / "link.h5").symlink_to(toy_file)
    (folder / "here").write_text("precious")
    flux = np.full((2, len(DETECTOR_WAVE)), 0.5, np.float32)
    labels = {"T_eff": np.full(2, 4700.0), "log_g": np.full(2, 2.6), "M_H": np.full(2, -0.8)}
    stars = Spectra(DETECTOR_WAVE, labels, error=0.1 * flux, noisy=flux, mag=np.full(2, 20.0))
    write_spectra(folder / "stars.h5", stars)
    (folder / "folder").mkdir()
    (folder / "folder" / "star.png").write_text("precious")
    rows = "".join(f"{wave:.3f},0.5,0.1\n" for wave in np.arange(8400.0, 8750.0, 0.7))
    (folder / "cut.ecsv").write_text(CUT + rows)
    return {
        "FOLDER": folder / "folder",
        "CUT": folder / "cut.ecsv",
        "GRID": toy_file,
        "LINK": folder / "link.h5",
        "HERE": folder / "here",
        "STARS": folder / "stars.h5",
    }


@pytest.fixture(scope="module")
def refused(files, tmp_path_factory):
    """What one process, which never loads jax, says to every command line above."""
    lines = [" ".join(str(files.get(word, word)) for word in line.split()) for line, _, _ in REFUSALS]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("empty"),
    )
    assert done.returncode == 0, done.stderr
    answers = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert len(answers) == len(REFUSALS), done.stdout
    return {line: answer for (line, _, _), answer in zip(REFUSALS, answers, strict=True)}


@pytest.mark.parametrize(("line", "status", "words"), REFUSALS, ids=[line for line, _, _ in REFUSALS])
def test_refused_in_one_line_before_jax_is_imported(refused, files, line, status, words):
    found, has_jax, said = refused[line]
    assert (found, has_jax) == (str(status), "False"), said
    assert words.replace("STARS has", f"{files['STARS']} has") in said
    assert "|" not in said


def test_what_is_refused_is_left_alone(refused, files):
    assert files["HERE"].read_text() == "precious"
    assert files["GRID"].read_bytes()[:4] == b"\x89HDF"
    assert files["STARS"].read_bytes()[:4] == b"\x89HDF"


def test_version_is_that_of_the_package_without_importing_jax():
    code = (
        "import sys; from crlb.cli import parse\n"
        "try: parse(['--version'])\n"
        "except SystemExit as exit: print(exit.code, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["crlb", version("specvit-jax"), "0", "False"]
