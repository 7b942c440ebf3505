"""How much of what functions take and return is said by its type."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST = 0.10  # of the signatures of a package may name Any


def annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = [one.annotation for one in every if one is not None and one.annotation is not None]
    return found + ([function.returns] if function.returns else [])


def names_any(annotation: ast.expr) -> bool:
    """Whether an annotation, or one within a string, names Any."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name) and node.id == "Any":
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "Any" in node.value.split("["):
            return True
    return False


def signatures(root: Path) -> list[list[ast.expr]]:
    trees = [ast.parse(path.read_text()) for path in sorted(root.rglob("*.py"))]
    functions = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [found for function in functions if (found := annotations(function))]


def test_any_is_seen_wherever_it_stands(tmp_path):
    (tmp_path / "m.py").write_text(
        "def a(x: dict[str, Any]): ...\ndef b() -> 'Any': ...\ndef c(x: int): ...\ndef d(x): ...\n"
    )
    assert [any(map(names_any, found)) for found in signatures(tmp_path)] == [True, True, False]


@pytest.mark.parametrize("package", ["crlb", "specvit_jax", "experiments"])
def test_few_signatures_name_any(package):
    found = signatures(ROOT / package)
    share = sum(any(map(names_any, each)) for each in found) / len(found)
    assert share < MOST, f"{share:.1%} of {len(found)} signatures of {package} name Any"
