"""Who may import whom, read from the syntax trees: five rules, each over all files at once."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What holds no physics may be used by both: errors with their exit status, files, names of labels and of
# instruments, and where pixels lie.
PLUMBING = (
    *(
        "crlb.command_line",
        "crlb.detector",
        "crlb.errors",
        "crlb.files",
        "crlb.instruments.find",
        "crlb.labels",
        "crlb.limits",
        "crlb.program",
        "crlb.readers",
    ),
    *("crlb.palette", "crlb.signals", "crlb.suggest", "crlb.terminal"),
)
# The doors of specvit_jax to the forward model: spectra, what can be known of them, pixels and velocity of
# observed ones, the names of their lines; that all of it works.
DOORS = {
    "specvit_jax/spectra/source.py",
    "specvit_jax/spectra/pixels.py",
    "specvit_jax/settings/pixels.py",
    "specvit_jax/spectra/observer.py",
    "specvit_jax/settings/observed_under.py",
    "specvit_jax/evaluation/limits.py",
    "specvit_jax/evaluation/posterior_columns.py",
    "specvit_jax/evaluation/instrument.py",
    "specvit_jax/evaluation/self_test.py",
    "specvit_jax/report/page.py",
}
THIRD_PARTY_OF_CRLB = {
    *(
        "jax",
        "numpy",
        "scipy",
        "h5py",
        "jaxtyping",
        "tyro",
        "rich",
        "matplotlib",
        "astropy",
        "httpx",
        "httpcore",
    ),
    *("cattrs", "corner", "lazy_loader", "psutil", "yaml"),
}


def files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


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


def offences(paths: list[Path], forbidden, **options: bool) -> list[str]:
    """`file: name` of every import that is forbidden to that file (its path from the root, the name)."""
    return [
        f"{place}: {name}"
        for path in paths
        for place in [path.relative_to(ROOT).as_posix()]
        for name in sorted(imports(path, **options))
        if forbidden(place, name)
    ]


def top(name: str) -> str:
    return name.split(".")[0]


def folder_of(place: str) -> str:
    """The room a file lies in: `crlb/bayes`; files at the top of a package are rooms of their own."""
    parts = place.removesuffix(".py").split("/")
    return "/".join(parts[:2])


def cycle(arrows: dict[str, set[str]]) -> list[str]:
    """A circle of arrows, or nothing."""

    def walk(trail: list[str]) -> Iterator[list[str]]:
        for target in sorted(arrows.get(trail[-1], ())):
            if target in trail:
                yield trail[trail.index(target) :]
            elif target not in done:
                yield from walk([*trail, target])
        done.add(trail[-1])

    done: set[str] = set()
    return next((found for start in sorted(arrows) for found in walk([start])), [])


def test_walk_sees_every_form_of_import_and_every_circle(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "pkg").mkdir()
    source = tmp_path / "pkg" / "module.py"
    source.write_text(
        "import a.b, c as d\nfrom e import f\nfrom . import g\nfrom .h import i\n"
        "def late():\n    import j\nif TYPE_CHECKING:\n    import k\n"
    )
    assert imports(source) == {"a.b", "c", "e.f", "pkg.g", "pkg.h.i", "j"}
    assert imports(source, module_level_only=True) == {"a.b", "c", "e.f", "pkg.g", "pkg.h.i"}
    assert offences([source], lambda place, name: name == "j") == ["pkg/module.py: j"]
    assert cycle({"a": {"b"}, "b": {"c", "d"}, "d": {"b"}}) == ["b", "d"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_imports_run_one_way_between_packages():
    """crlb stands alone; specvit_jax reaches it through its doors only; nothing imports experiments."""

    def forbidden(place: str, name: str) -> bool:
        if place.startswith("crlb/"):
            known = {"crlb", *THIRD_PARTY_OF_CRLB, *sys.stdlib_module_names}
            return top(name) not in known
        through = top(name) == "crlb" and place not in DOORS and not name.startswith(PLUMBING)
        return top(name) == "experiments" or through

    assert offences(files("crlb", "specvit_jax"), forbidden) == []


def test_folders_import_without_circles():
    arrows = defaultdict(set)
    for path in files("crlb", "specvit_jax", "experiments"):
        place = path.relative_to(ROOT).as_posix()
        if path.name != "__init__.py":  # a face hands on names of its own folder
            rooms = {folder_of(name.replace(".", "/")) for name in imports(path) if "." in name}
            own = top(place.replace("/", "."))
            arrows[folder_of(place)] |= {
                room for room in rooms if room.startswith(own + "/") and room != folder_of(place)
            }
    assert cycle(arrows) == []


def test_no_experiment_imports_another():
    shared = {"study", "baselines"}
    pages = {"pages": {"tables"}}  # the site shows the tables, too

    def forbidden(place: str, name: str) -> bool:
        own, other = folder_of(place).split("/")[1], name.split(".")[1] if "." in name else ""
        return (
            top(name) == "experiments"
            and own != "__main__"
            and other not in shared | {own} | pages.get(own, set())
        )

    assert offences(files("experiments"), forbidden) == []


@pytest.mark.parametrize("package", ["crlb", "specvit_jax"])
def test_importing_a_package_loads_neither_jax_nor_matplotlib(package):
    code = f"import {package}, sys; print(sorted({{'jax', 'matplotlib', 'h5py'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
    is_matplotlib = lambda place, name: top(name) == "matplotlib"  # noqa: E731
    assert offences(files(package), is_matplotlib, module_level_only=True) == []
