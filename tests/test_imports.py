"""Imports between the rooms of the package run one way, and no modules import each other in a circle."""

import ast
import functools
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"gantools": "gantools", "analysis": "gantools.analysis", "trainers": "gantools.trainers"}

# The rooms that a room may import, beside itself and whatever those may import.
BELOW = {
    "errors": [],
    "signals": [],
    "described": [],
    "registry": ["errors"],
    "argument_kinds": ["errors"],
    "random_vectors": [],
    "precision": [],
    "traced": [],
    "batches": ["registry"],
    "losses": ["registry", "argument_kinds"],
    "schedules": ["registry", "argument_kinds"],
    "regularizers": ["batches", "losses", "schedules", "random_vectors", "precision"],
    "games": ["regularizers", "described"],
    "nn": ["games"],
    "networks": ["nn"],
    "trainers": ["games", "traced"],
    "board": ["argument_kinds"],
    "analysis": ["trainers", "board", "signals"],  # whose steps it linearises; what notebooks show
    "data": ["networks", "analysis"],
    "metrics": ["data"],
    "watching": ["data", "board"],
    "runs": ["metrics", "board", "signals"],
    "sweeps": ["runs"],
    "compare": ["sweeps"],
    "cli": ["compare"],
}
ALIASES = ["tasks", "toy_games", "evaluations", "__main__"]  # earlier names of modules; the command line's door


def module_files() -> dict[str, Path]:
    """Return the file of every module of the package, by its full name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


FILES = module_files()


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "gantools"


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the modules of the package that a module imports at run time, inside functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and child.module:
            inner = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from (name if name in FILES else child.module for name in inner)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        yield from imports(child)


@functools.cache
def arrows() -> dict[str, list[str]]:
    """Return the modules of the package that each imports."""
    found = {}
    for module, path in FILES.items():
        if room(module) not in ALIASES:
            names = set(imports(ast.parse(path.read_text(encoding="utf-8"))))
            found[module] = sorted(name for name in names - {module} if name in FILES)
    return found


def reachable(name: str) -> set[str]:
    return {name}.union(*(reachable(below) for below in BELOW[name]))


def test_every_module_has_a_room():
    assert {room(module) for module in arrows()} == {"gantools", *BELOW}


@pytest.mark.parametrize("name", BELOW)
def test_a_room_imports_only_what_is_below(name):
    wrong = [
        f"{module} imports {target}"
        for module, targets in arrows().items()
        for target in targets
        if room(module) == name and target != "gantools" and room(target) not in reachable(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    assert list(TopologicalSorter(arrows()).static_order())


def test_the_store_knows_nothing_of_what_builds_and_trains():
    for module, targets in arrows().items():
        if module.startswith("gantools.runs.store"):
            own = [t for t in targets if t.startswith("gantools.runs.") and not t.startswith("gantools.runs.store")]
            assert set(own) <= {"gantools.runs.config", "gantools.runs.record"}
            assert not any(room(target) in ("trainers", "analysis") for target in targets)


def test_the_board_imports_no_torch():
    for module, path in FILES.items():
        if room(module) == "board":
            assert not [name for name in imports(ast.parse(path.read_text())) if name.split(".")[0] == "torch"]


def loaded(module: str, seen: set[str]) -> set[str]:
    """Return the modules that importing one imports, packages around them included."""
    if module not in seen and module in arrows():
        seen.add(module)
        for name in [module.rpartition(".")[0], *arrows()[module]]:
            loaded(name, seen)
    return seen


@pytest.mark.parametrize(
    ("command", "unneeded"),
    {
        "listing": {"trainers", "games", "networks", "runs", "analysis", "board"},
        "board": {"trainers", "games", "networks", "runs", "analysis"},
        "sample": {"analysis", "metrics", "compare"},
        "spectrum": {"metrics", "compare"},
        "index": {"metrics", "compare"},
        "density": {"metrics", "compare"},
        "path": {"metrics", "compare"},
        "train": {"compare"},
    }.items(),
)
def test_a_command_imports_only_rooms_that_it_needs(command, unneeded):
    rooms = {room(module) for module in loaded(f"gantools.cli.commands.{command}", set())}
    assert "cli" in rooms and not rooms & unneeded
