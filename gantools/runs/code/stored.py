"""The text of a user's file and of what it imports from beside it, as it is read, stored in a run, and executed."""

import ast
import dataclasses
import hashlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import MetaPathFinder, SourceLoader
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from gantools.errors import GantoolsError
from gantools.runs.store.atomic import read_file, write_atomically


@dataclasses.dataclass
class Code:
    """A Python file and the files beside it that it imports, as text.

    Attributes:
        entry: the file's name.
        folder: the absolute folder that the files come from.
        files: content by name, relative to the folder; whoever executes the file adds what it imports by other means
            than an import statement.
        shown: the folder in which tracebacks find the text; by default `folder`.
        complete: whether nothing but these files is imported from the folder: so it is for a stored copy.
    """

    entry: str
    folder: Path
    files: dict[str, bytes]
    shown: Path | None = None
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return where the files come from and their SHA-256, for config.json."""
        hashes = {name: hashlib.sha256(text).hexdigest() for name, text in sorted(self.files.items())}
        return {"entry": self.entry, "folder": str(self.folder), "files": hashes}

    def write(self, folder: Path) -> None:
        """Write the files into the folder of a run's codes, under their digest."""
        for name, text in self.files.items():
            path = folder / digest(self.to_dict())[:16] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)

    def entry_spec(self, module: str) -> importlib.machinery.ModuleSpec:
        """Return the specification of the entry under a module name of its own."""
        spec = importlib.util.spec_from_loader(module, _Loader(self, self.entry), is_package=False)
        assert spec
        return spec

    @property
    def entry_shown(self) -> str:
        """The path of the entry in tracebacks."""
        return str((self.shown or self.folder) / self.entry)

    def find_spec(self, module: str) -> importlib.machinery.ModuleSpec | None:
        """Return the specification of a module that these files hold."""
        path = module.replace(".", "/")
        for name in (f"{path}/__init__.py", f"{path}.py"):
            if name in self.files:
                return importlib.util.spec_from_loader(module, _Loader(self, name))
        if any(name.startswith(f"{path}/") for name in self.files):
            spec = importlib.machinery.ModuleSpec(module, None, is_package=True)
            spec.submodule_search_locations = []
            return spec
        return None


def digest(code: Mapping[str, Any]) -> str:
    """Return one SHA-256 for the names and hashes in `Code.to_dict()`; where the files come from does not count."""
    text = "\n".join([code["entry"], *(f"{name} {value}" for name, value in sorted(code["files"].items()))])
    return hashlib.sha256(text.encode()).hexdigest()


def read_code(path: Path) -> Code:
    """Return a user's file and what it imports from beside it, in import statements at any depth of its text.

    Raises:
        GantoolsError: when there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise GantoolsError(f"There is no file {str(path)!r}: give the path of a Python file, as in FILE.py:FUNCTION.")
    folder = path.resolve().parent
    code = Code(path.resolve().name, folder, {})
    waiting = [code.entry]
    try:
        while waiting:
            name = waiting.pop()
            if name not in code.files:
                code.files[name] = (folder / name).read_bytes()
                waiting += _imported(folder, name, code.files[name])
    except OSError as error:
        raise GantoolsError(f"{error.filename} cannot be read ({error.strerror}): check its permissions.") from None
    return code


def stored_code(code: Mapping[str, Any], folder: Path) -> Code:
    """Return the code that a run stores in its folder of codes.

    Raises:
        GantoolsError: when a file is missing or not the one that was stored, and the original is not either.
    """
    origin, copy = Path(code["folder"]), folder / digest(code)[:16]
    files: dict[str, bytes] = {}
    for name, value in code["files"].items():
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise GantoolsError(f"{folder} names a file outside of it, {name}: gantools did not write this run.")
        texts = [text for place in (copy, origin) if (text := _content(place / name)) is not None]
        same = [text for text in texts if hashlib.sha256(text).hexdigest() == value]
        if not same:
            raise GantoolsError(
                f"{copy / name} is damaged or missing: its hash is not the one in config.json. Restore it, or add "
                "--code current to go by the original file as it is now."
            )
        files[name] = same[0]
    return Code(code["entry"], origin if origin.is_dir() else copy, files, copy, complete=True)


def _content(path: Path) -> bytes | None:
    try:
        return read_file(path)
    except OSError:
        return None


def changed_files(code: Code) -> list[str]:
    """Return the stored files that differ from their originals; none where the original of the entry is gone."""
    if not (code.folder / code.entry).is_file():
        return []
    originals = {name: code.folder / name for name in code.files}
    return [n for n, path in originals.items() if not path.is_file() or path.read_bytes() != code.files[n]]


def _imported(folder: Path, name: str, text: bytes) -> list[str]:
    """Return the files in the folder that a file's import statements lead to."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # whoever executes it says where
        return []
    package = PurePosixPath(name).parent.parts
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            names = [(*base, alias.name) for alias in node.names] + [base]
        else:
            continue
        for parts in names:
            found += _files_of(folder, parts)
    return found


def _files_of(folder: Path, parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the files of a module and of the packages that it is in."""
    if parts[:1] == ("gantools",):
        return
    for length in range(1, len(parts) + 1):
        path = "/".join(parts[:length])
        for name in (f"{path}/__init__.py", f"{path}.py"):
            if (folder / name).is_file():
                yield name


class _Loader(SourceLoader):
    """Loads a module from text that was read before; no compiled file is read or written."""

    def __init__(self, code: Code, name: str):
        self.code, self.name = code, name

    def get_filename(self, fullname: str) -> str:
        return str(self.code.folder / self.name)

    def get_data(self, path: str | bytes) -> bytes:
        if path == str(self.code.folder / self.name):
            return self.code.files[self.name]
        return Path(str(path)).read_bytes()  # data of a package

    def source_to_code(self, data: Any, path: Any) -> Any:  # type: ignore[override]
        shown = str((self.code.shown or self.code.folder) / self.name)
        return compile(data, shown, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, code: Code):
        self.code = code

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        return self.code.find_spec(fullname)


@contextmanager
def importing(code: Code) -> Iterator[None]:
    """Let a user's file import its neighbours, as they are in the code; then add those that it found by itself."""
    finder, folder = _Finder(code), str(code.folder)
    before = _taken_out(code)
    known = set(sys.modules)
    sys.meta_path.insert(0, finder)
    if not code.complete:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if not code.complete:
            if folder in sys.path:
                sys.path.remove(folder)
            _add_found(code, known)
        sys.modules.update(before)


def _taken_out(code: Code) -> dict[str, ModuleType]:
    """Take modules of the code's names that come from elsewhere, or from an earlier text, out of `sys.modules`.

    Returns:
        Those to put back afterwards, which the program itself imported from the same folder.
    """
    before: dict[str, ModuleType] = {}
    for name, module in list(sys.modules.items()):
        ours = isinstance(getattr(getattr(module, "__spec__", None), "loader", None), _Loader)
        if not ours and code.find_spec(name) is None:
            continue
        file = getattr(module, "__file__", None)
        if ours and not name.startswith("_gantools_target_"):
            del sys.modules[name]
        elif not ours and file and Path(file).resolve().is_relative_to(code.folder):
            before[name] = sys.modules.pop(name)
    return before


def _add_found(code: Code, known: set[str]) -> None:
    """Add the files in the folder that were imported by other means than an import statement."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in known or not file or not file.endswith(".py") or "site-packages" in file:
            continue
        path = Path(file).resolve()
        if path.is_relative_to(code.folder) and not name.startswith(("_gantools_target_", "gantools.")):
            code.files.setdefault(path.relative_to(code.folder).as_posix(), path.read_bytes())
