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
EARLIER = {"evaluations", "tasks", "toy_games"}  # names of modules that have another one now


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
    """Beside their sub-folders, `__init__.py`, `__main__.py` and earlier names; tests mirror them, and hold more."""
    counted = [path for folder, paths in MODULES.items() if folder != "tests" for path in paths]
    held = Counter(path.parent for path in counted if path.stem not in EARLIER and not path.stem.startswith("__"))
    full = [f"{folder.relative_to(ROOT)}: {count} modules" for folder, count in held.items() if count > 12]
    assert not full, "\n".join(full)
