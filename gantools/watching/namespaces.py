"""What copies of functions do not reach: attributes of classes and Python modules, and globals that methods name."""

import dis
import types
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset

from gantools.errors import GantoolsError
from gantools.watching.copies import ATOMIC, LIBRARIES, Copies

_OURS = __file__.removesuffix("watching/namespaces.py")
_NOT_LOOKED_AT = ("builtins", "torch", "gantools", "numpy", "abc", "typing")
_CALLED = ("forward", "backward", "setup_context", "step", "right_inverse")  # by PyTorch
_MISSING = object()


class _Name(NamedTuple):
    """A name in a class, a Python module, a function's globals or a closure, and the copy that stands there in a call.

    Attributes:
        owner: the class, the Python module, the dictionary of globals, or the closure's cell.
        name: in it.
        copy: of its value, in the world of copies.
    """

    owner: Any
    name: str
    copy: Any

    def value(self) -> Any:
        if isinstance(self.owner, types.CellType):
            return self.owner.cell_contents
        return (self.owner if isinstance(self.owner, dict) else vars(self.owner))[self.name]

    def put(self, value: Any) -> None:
        if isinstance(self.owner, dict):
            self.owner[self.name] = value
        else:
            setattr(self.owner, self.name, value)


class _Globals:
    """Which global variables a kind of code names and sets, each by its dictionary and name, and who does."""

    def __init__(self) -> None:
        self.named, self.stored = dict[tuple[int, str], str](), dict[tuple[int, str], str]()
        self._before = list[tuple[dict[str, Any], str, Any]]()

    def add(self, function: types.FunctionType, who: str) -> None:
        names = function.__globals__
        for line in _globals(function.__code__):
            key = id(names), str(line.argval)
            self.named[key] = who
            if line.opname.startswith(("STORE", "DELETE")) and key not in self.stored:
                self.stored[key] = who
                self._before.append((names, key[1], names.get(key[1], _MISSING)))

    def of(self, function: types.FunctionType) -> set[str]:
        """Return the names of this function's globals, as they were added."""
        return {str(line.argval) for line in _globals(function.__code__)}

    def put_back(self) -> None:
        """Give the variables that were set their values again."""
        for names, name, value in self._before:
            if value is _MISSING:
                names.pop(name, None)
            else:
                names[name] = value


class Namespaces:
    """The names by which code that is not copied, that of classes above all, reaches a loop's objects.

    In a call of a copied function they stand for copies too: a penalty's class that names the discriminator sees the
    copied one, as the losses do.

    Args:
        copies: the world that a function was copied into.

    Raises:
        GantoolsError: where a copied function and the code of a class share a global variable that one of them sets:
            each would see its own.
    """

    def __init__(self, copies: Copies):
        self._copies, self._places = copies, dict[tuple[int, str], _Name]()
        self._classes = dict[int, tuple[type, dict[str, Any]]]()
        self._named, self._waiting = set[str](), dict[str, list[tuple[types.FunctionType, str]]]()
        self._by_functions, self._by_classes = _Globals(), _Globals()
        shared, done = len(copies.shared), 0
        while done < len(copies.originals):  # what is copied here leads to further classes
            self._follow(copies.originals[done])
            done += 1
        del copies.shared[shared:]  # of these, what the copied functions use was named before
        one, other = self._by_functions, self._by_classes
        for key in (one.stored.keys() & other.named.keys()) | (one.named.keys() & other.stored.keys()):
            raise GantoolsError(
                f"The global variable {key[1]!r} is set by {(one.stored | other.stored)[key]}, and "
                f"{other.named[key]} and {one.named[key]} both use it: a look copies functions and not classes, so "
                "each would see its own. Keep it in an attribute of an object, or in a dictionary that both name."
            )

    @contextmanager
    def holding(self, world: Copies) -> Iterator[None]:
        """Run the block with the names standing for what the copies are in a further world; then put them back."""
        kept = [(place, place.value()) for place in self._places.values()]
        try:
            for place, _ in kept:
                place.put(world.of(place.copy))
            yield
        finally:
            for place, value in kept:
                place.put(value)
            for cls, before in self._classes.values():
                _put_back(cls, before)
            self._by_classes.put_back()

    def _follow(self, x: Any) -> None:
        """Look at the classes and Python modules that an original leads to."""
        if isinstance(x, types.FunctionType):
            if _is_users(x.__code__):
                self._by_functions.add(x, f"the function {x.__name__}")
                self._use(x.__code__)
                for name in self._by_functions.of(x):
                    self._follow_value(x.__globals__.get(name), x.__code__)
            for cell in x.__closure__ or ():
                self._follow_value(_contents(cell), x.__code__)
        elif isinstance(x, types.MethodType) and isinstance(x.__self__, type):
            self._follow_class(x.__self__)
        else:
            self._follow_class(type(x))

    def _follow_value(self, value: Any, code: types.CodeType) -> None:
        if isinstance(value, type):
            self._follow_class(value)
        elif isinstance(value, types.ModuleType) and _is_users_module(value) and _is_users(code):
            for name in sorted(_all_names(code) & vars(value).keys()):
                self._add(value, name, vars(value)[name], code)

    def _follow_class(self, kind: type) -> None:
        if id(kind) in self._classes or issubclass(kind, (Enum, Dataset, DataLoader)):
            return
        for base in kind.__bases__:
            self._follow_class(base)
        functions = {name: found for name, x in vars(kind).items() if (found := list(_functions(x)))}
        users = [f for found in functions.values() for f in found if _is_users(f.__code__)]
        if kind.__module__.split(".")[0] in _NOT_LOOKED_AT or (functions and not users):
            return
        self._classes[id(kind)] = kind, _own(kind)
        for name, value in _own(kind).items():
            if name not in functions:
                self._add(kind, name, value)
        for name, found in functions.items():
            called = name in self._named or name in _CALLED or name.startswith("__")
            for f in found:
                if called:
                    self._follow_method(f, kind.__qualname__)
                else:
                    self._waiting.setdefault(name, []).append((f, kind.__qualname__))

    def _follow_method(self, function: types.FunctionType, kind: str) -> None:
        names, code = function.__globals__, function.__code__
        if _is_users(code):
            self._by_classes.add(function, f"the class {kind}")
            self._use(code)
            for name in self._by_classes.of(function) & names.keys():
                self._add(names, name, names[name], code)
        for cell in function.__closure__ or ():
            self._add(cell, "cell_contents", _contents(cell), code)

    def _use(self, code: types.CodeType) -> None:
        """Look at the methods that code may call by their names."""
        new = _all_names(code) - self._named
        self._named |= new
        for name in new & self._waiting.keys():
            for function, kind in self._waiting.pop(name):
                self._follow_method(function, kind)

    def _add(self, owner: Any, name: str, value: Any, code: types.CodeType | None = None) -> None:
        """Let a name stand for the copy of its value."""
        if isinstance(value, (type, types.ModuleType)):
            if code is not None:
                self._follow_value(value, code)
        elif type(value) not in ATOMIC and not _is_watcher(value) and (id(owner), name) not in self._places:
            try:
                made = self._copies.of(value)
            except Exception:  # whatever a class raises where it is copied: methods that no loss calls may name it
                made = value
            if made is not value:
                self._places[id(owner), name] = _Name(owner, name, made)


def _functions(x: Any) -> Iterator[types.FunctionType]:
    """Yield the functions of a class's attribute: a method, what it wraps, a property's."""
    if isinstance(x, (staticmethod, classmethod)):
        yield from _functions(x.__func__)
    elif isinstance(x, property):
        yield from (f for part in (x.fget, x.fset) if part is not None for f in _functions(part))
    elif isinstance(x, types.FunctionType):
        yield x
        yield from _functions(getattr(x, "__wrapped__", None))
    elif isinstance(getattr(x, "func", None), types.FunctionType):
        yield x.func


def _is_watcher(x: Any) -> bool:
    return type(x).__module__.startswith("gantools.watching.")


def _is_users(code: types.CodeType) -> bool:
    return not code.co_filename.startswith((*LIBRARIES, "<frozen", _OURS))


def _is_users_module(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return module.__spec__ is None if file is None else not file.startswith((*LIBRARIES, _OURS))


def _globals(code: types.CodeType) -> Iterator[dis.Instruction]:
    """Yield where a function's code, and that of functions within it, reads or sets a global variable."""
    yield from (line for line in dis.get_instructions(code) if line.opname.endswith(("_GLOBAL", "_NAME")))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals(constant)


def _all_names(code: types.CodeType) -> set[str]:
    """Return all that may be the name of an attribute or a global in a function's code and that within it."""
    inner = [_all_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    texts = [constant for constant in code.co_consts if isinstance(constant, str) and constant.isidentifier()]
    return set(code.co_names).union(texts, *inner)


def _own(kind: type) -> dict[str, Any]:
    """Return a class's attributes without what Python itself keeps there."""
    return {name: value for name, value in vars(kind).items() if not name.startswith(("__", "_abc"))}


def _put_back(kind: type, before: dict[str, Any]) -> None:
    now = _own(kind)
    for name in now.keys() - before.keys():
        delattr(kind, name)
    for name, value in before.items():
        if name not in now or now[name] is not value:
            setattr(kind, name, value)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None
