"""All studies by name, wherever below `scripts/studies` their modules are."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import study

HERE = Path(__file__).parents[1]
LIBRARY = ("cells", "harness", "zoo")  # what studies are made of


def found() -> dict[str, Path]:
    """Return the modules that define a study, by name."""
    modules = [*HERE.glob("*.py"), *(p for p in HERE.glob("*/*.py") if p.parent.name not in LIBRARY)]
    return {path.stem: path for path in sorted(modules) if "\nSTUDY = " in path.read_text()}


def main(command: Sequence[str]) -> None:
    """Run the study that a command line names; without a name, list all, each with the first line of its module."""
    studies = found()
    if not command or command[0].startswith("-"):
        print("python scripts/studies NAME [--quick] [--jobs 2] [--seeds 0 1 2]\n")
        for name, path in studies.items():
            print(f"{name:25} {(ast.get_docstring(ast.parse(path.read_text())) or '').splitlines()[0]}")
        return
    name, *rest = command
    if name not in studies:
        sys.exit(f"There is no study {name!r}; these are: {', '.join(studies)}.")
    module = importlib.import_module(".".join(studies[name].relative_to(HERE).with_suffix("").parts))
    forms = getattr(module, "FORMS", {})
    study.main(module.STUDY, module.PAGE, rest, script=f"python scripts/studies {name}", **forms)
