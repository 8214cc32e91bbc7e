"""Entries of the registries, read from the sources: naming what can be chosen must not wait for torch."""

import ast
import dataclasses
import importlib.util
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of a registry: the first line of its docstring, and its class attributes `paper` and `cost`."""

    described: str
    paper: str = ""
    cost: str = ""


def registered(package: str, decorator: str) -> dict[str, Entry]:
    """Return the entries that importing a package would register, by name and in the same order; nothing is executed.

    Args:
        package: a module or package directly below `gantools`, such as "gantools.trainers".
        decorator: the decorator that registers an entry, such as "OPTIMIZERS.register".
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin)
    entries: dict[str, Entry] = {}
    classes: dict[str, ast.ClassDef] = {}
    read: set[str] = set()

    def visit(module: str) -> None:
        if module in read:
            return
        read.add(module)
        for node in ast.parse(_source(root, module.removeprefix(package)).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{package}."):
                visit(str(node.module))
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                if isinstance(node, ast.ClassDef):
                    classes[node.name] = node
                if (name := _registered_name(node, decorator)) is not None:
                    described = (ast.get_docstring(node) or "").splitlines()[0]
                    notes = {key: _attribute(node, key, classes) for key in ("paper", "cost")}
                    entries[name] = Entry(described, **notes)

    visit(package)
    return entries


def _source(root: Path, below: str) -> Path:
    """Return the file of a module, named relative to the package whose file is `root`."""
    if not below:
        return root
    path = root.parent.joinpath(*below.removeprefix(".").split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _registered_name(node: ast.ClassDef | ast.FunctionDef, decorator: str) -> str | None:
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func) == decorator:
            return ast.literal_eval(call.args[0])
    return None


def _attribute(node: ast.AST, name: str, classes: dict[str, ast.ClassDef]) -> str:
    """Return a class attribute that is a string, the class's own or inherited; "" where there is none."""
    if not isinstance(node, ast.ClassDef):
        return ""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return ast.literal_eval(statement.value)
    bases = (classes.get(ast.unparse(base)) for base in node.bases)
    return next((text for base in bases if base and (text := _attribute(base, name, classes))), "")
