"""Registries of what can be chosen by name, each filled where its entries are defined."""

import ast
import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from gantools.errors import GantoolsError

T = TypeVar("T", bound=Callable[..., Any])


def suggest(kind: str, name: object, known: Mapping[str, Any] | list[str]) -> GantoolsError:
    """Return the error for an unknown name: the nearest known one first, then all of them."""
    names = sorted(known)
    lowered = {known.lower(): known for known in names}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=1)
    hint = f" Did you mean {lowered[near[0]]!r}?" if near else ""
    return GantoolsError(f"Unknown {kind} {str(name)!r}.{hint} Known: {', '.join(names)}.")


def parse_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Return name, positional and named arguments of "name" or "name(1.0, key=2)"; arguments are Python literals.

    Nothing is evaluated.

    Raises:
        ValueError: when it is neither.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, [], {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [keyword.arg for keyword in node.keywords]
            if None not in names:
                values = [ast.literal_eval(keyword.value) for keyword in node.keywords]
                args = [ast.literal_eval(argument) for argument in node.args]
                return node.func.id, args, dict(zip(map(str, names), values, strict=True))
    # literal_eval documents these; AttributeError is what a text that is no string gives.
    except (SyntaxError, ValueError, TypeError, AttributeError, MemoryError, RecursionError):
        pass
    raise ValueError(f"neither a name nor a call with literal arguments: {text!r}")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to entries of one kind; the error for an unknown name suggests the nearest known one."""

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files a class or function under `name` and leaves it unchanged."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise suggest(self.kind, name, self._entries) from None

    def require(self, name: str) -> None:
        """Refuse an unknown name."""
        self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def describe(self, name: str) -> str:
        """Return the first line of the entry's docstring."""
        return (self[name].__doc__ or "").strip().splitlines()[0]


def setting(default: Any, help: str, kw_only: bool = False) -> Any:
    """Return a dataclass field with its help text, so that the command line and the library share one definition."""
    metadata = {"help": help}
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata, kw_only=kw_only)
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)
