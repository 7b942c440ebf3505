"""Who may import whom, read from the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What holds no physics may be used by both: errors with their exit status, output files, label names.
OPEN_TO_ALL = ("crlb.errors", "crlb.files.hdf5", "crlb.files.output", "crlb.labels")
# Rooms that read and write files of spectra know the layout of these; it is no physics either.
FILE_ROOMS = {
    "specvit_jax/spectra/shards.py": ("crlb.files.pfsspec",),
    "specvit_jax/spectra/simulate.py": ("crlb.files.pfsspec", "crlb.files.spectra"),
}
# What can be known of a simulator's stars: the one other room with physics, all of it the simulator's own.
# The names of known lines are for the page that shows spectra.
FILE_ROOMS |= {
    "specvit_jax/evaluation/limits.py": (
        "crlb.grids.emulator",
        "crlb.fisher.matrix",
        "crlb.fisher.field",
        "crlb.observation.noise",
        "crlb.bayes.posterior",
        "crlb.bayes.prior",
    ),
    "specvit_jax/report/page.py": ("crlb.fisher.features",),
}
THIRD_PARTY_OF_CRLB = {"jax", "numpy", "scipy", "h5py", "jaxtyping", "tyro", "rich", "matplotlib", "astropy"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, module_level_only: bool = False) -> set[str]:
    """Absolute names of what a file imports; those only for type checkers do not count."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return
        if module_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*parents, *filter(None, [base])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def imports_of(path: Path, package: str, **options: bool) -> set[str]:
    return {name for name in imports(path, **options) if name.split(".")[0] == package}


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_walk_sees_every_form_of_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "pkg").mkdir()
    source = tmp_path / "pkg" / "module.py"
    source.write_text(
        "import a.b, c as d\nfrom e import f\nfrom . import g\nfrom .h import i\n"
        "def late():\n    import j\nif TYPE_CHECKING:\n    import k\n"
    )
    assert imports(source) == {"a.b", "c", "e.f", "pkg.g", "pkg.h.i", "j"}
    assert imports(source, module_level_only=True) == {"a.b", "c", "e.f", "pkg.g", "pkg.h.i"}


@pytest.mark.parametrize("path", modules("crlb"), ids=identify)
def test_crlb_stands_alone(path):
    assert not imports_of(path, "specvit_jax") | imports_of(path, "experiments")
    tops = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"crlb"}
    assert tops <= THIRD_PARTY_OF_CRLB


@pytest.mark.parametrize("path", modules("specvit_jax"), ids=identify)
def test_specvit_reaches_crlb_through_data_only(path):
    assert not imports_of(path, "experiments")
    if path.name == "source.py":
        return
    allowed = OPEN_TO_ALL + FILE_ROOMS.get(identify(path), ())
    assert {name for name in imports_of(path, "crlb") if not name.startswith(allowed)} == set()


@pytest.mark.parametrize("path", modules("crlb") + modules("specvit_jax"), ids=identify)
def test_matplotlib_never_loads_with_a_library(path):
    assert not imports_of(path, "matplotlib", module_level_only=True)


@pytest.mark.parametrize("package", ["crlb", "specvit_jax"])
def test_importing_a_package_starts_no_jax(package):
    code = f"import {package}, sys; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_every_name_crlb_hands_on_exists():
    import crlb

    for name in crlb.__all__:
        assert getattr(crlb, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        crlb.nothing  # noqa: B018
