"""The commands index, download and build: from labels to a grid file, with their exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

from crlb.cli.bosz import Build, Download, Index
from crlb.cli.command import checked
from crlb.errors import MissingInputError, OutputError, UsageError, run_cli
from crlb.grids.grid_file import load_grid
from tests.crlb.bosz.bosz_files import content
from tests.crlb.bosz.file_server import serving

BOX = {"T_eff": (5000.0, 5250.0), "log_g": (2.0, 2.5), "M_H": (0.0, 0.0)}
SMALL = BOX | {"edition": 2024, "resolving_power": "1000"}
PLACE = "https://archive.stsci.edu/hlsps/bosz/bosz2024/r1000/m%2B0.00/"


def test_index_counts_and_lists(capsys, tmp_path):
    Index(**SMALL, out=tmp_path / "list.txt")()
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert len(lines) == 4
    assert all(line.startswith(PLACE) for line in lines)
    out = capsys.readouterr().out
    assert out.startswith("4 spectra of about 0.07 MB, 0.00 GB in all")
    assert "... and 1 more" in out


def test_index_defaults_to_the_published_box(capsys):
    Index()()
    assert capsys.readouterr().out.startswith("1260 spectra")


def test_index_download_build(capsys, tmp_path):
    index = Index(**SMALL, out=tmp_path / "list.txt")
    index()
    with serving() as server:
        server.files = {node.path: content(node) for node in index.nodes()}
        Download(folder=tmp_path / "spectra", list=tmp_path / "list.txt", mirror=server.url)()
        Download(**SMALL, folder=tmp_path / "spectra", mirror=server.url)()
    Build(folder=tmp_path / "spectra", out=tmp_path / "grid.h5", wave=(8300.0, 8800.0))()
    out = capsys.readouterr().out
    assert "4 files downloaded" in out
    assert "0 files downloaded into" in out
    assert "4 were there" in out
    assert load_grid(tmp_path / "grid.h5").flux.shape[:2] == (2, 2)


def test_no_spectrum_is_replaced_by_the_grid_that_is_made_of_it(tmp_path):
    node = Index(**SMALL).nodes()[0]
    path = tmp_path / node.name
    path.write_bytes(content(node))
    build = Build(folder=tmp_path, out=path, wave=(8300.0, 8800.0), overwrite=True)
    with pytest.raises(OutputError, match=r"this is an input of the command \(FOLDER/bosz"):
        build()
    assert path.read_bytes() == content(node)


def test_holes_of_the_archive_are_told_and_then_refused_by_build(capsys, tmp_path):
    nodes = Index(**SMALL).nodes()
    with serving() as server:
        server.files = {node.path: content(node) for node in nodes[1:]}
        Download(**SMALL, folder=tmp_path / "spectra", mirror=server.url)()
    assert "1 do not exist in the archive: see" in capsys.readouterr().out
    build = Build(folder=tmp_path / "spectra", out=tmp_path / "grid.h5", wave=(8300.0, 8800.0))
    with pytest.raises(SystemExit) as caught:
        run_cli(build)
    assert caught.value.code == 65
    assert "1 of 4 nodes (T_eff, log_g) are missing: (5000, 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (Index(edition=2024, T_eff=(3710.0, 3790.0)), 2),
        (Index(resolving_power="high"), 2),
        (Index(resolving_power="4000"), 2),
        (Index(out=Path("/nowhere/list.txt")), 73),
        (Download(**SMALL, folder=Path("/nowhere/at/all")), 73),
        (Download(list=Path("/nowhere/list.txt")), 66),
        (Build(folder=Path("/nowhere"), out=Path("/nowhere/grid.h5")), 73),
    ],
)
def test_exit_status(command, status):
    with pytest.raises(SystemExit) as caught:
        run_cli(checked(command))
    assert caught.value.code == status


def test_a_local_mirror_may_be_named(tmp_path):
    nodes = Index(**SMALL).nodes()
    (tmp_path / "mirror").mkdir()
    for node in nodes:
        (tmp_path / "mirror" / node.name).write_bytes(content(node))
    Download(**SMALL, folder=tmp_path / "here", mirror=str(tmp_path / "mirror"))()
    assert len(list((tmp_path / "here").glob("*.txt.gz"))) == 4


def test_lists_hold_names_of_bosz_only(tmp_path):
    (tmp_path / "list.txt").write_text("spectrum.fits\n")
    with pytest.raises(UsageError, match="not the name of a BOSZ spectrum"):
        Download(folder=tmp_path / "here", list=tmp_path / "list.txt")()
    with pytest.raises(MissingInputError, match="does not exist"):
        Download(folder=tmp_path / "here", list=tmp_path / "none.txt").check()


def test_a_reader_that_leaves_a_pipe_ends_the_command_without_a_word():
    """As `| head` does; 141 is what a shell says of a program that SIGPIPE ended."""
    for args in ("grid index", "grid index --help"):
        program = f"import sys; sys.argv = 'crlb {args}'.split(); from crlb.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            running.stdout.close()
            assert running.stderr.read() == ""
            assert running.wait(200) == 141
