"""Modules, functions and folders stay small enough to be read at once."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    folder: sorted((ROOT / folder).rglob("*.py"))
    for folder in ("gantools", "analysis", "trainers", "scripts", "examples", "tests")
}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    lines = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - lines


@pytest.mark.parametrize("folder", MODULES)
def test_modules_and_functions_are_short(folder):
    most = 400 if folder == "tests" else 300
    long = []
    for path in MODULES[folder]:
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > most:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > 45:
                long.append(f"{path.relative_to(ROOT)}: {node.name} has {length(node)} lines")
    assert not long, "\n".join(long)


def test_folders_hold_twelve_modules():
    """Beside their sub-folders, `__init__.py` and `__main__.py`, and the tests, which mirror them."""
    held = Counter(path.parent for folder in MODULES for path in MODULES[folder] if not path.stem.startswith("__"))
    full = [
        f"{folder.relative_to(ROOT)}: {n}"
        for folder, n in held.items()
        if n > 12 and ROOT / "tests" not in [folder, *folder.parents]
    ]
    assert not full, "\n".join(full)
