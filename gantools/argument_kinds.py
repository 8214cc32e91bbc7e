"""Wrong kinds of argument in public functions: one sentence that names the right call, from the annotations."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TypeVar

from gantools.errors import GantoolsError

F = TypeVar("F", bound=Callable[..., Any])

# How to get an argument of the expected kind, from one of the kind that was given or ("") from anything else.
REMEDIES = {
    "LinearOperator": {
        "Spectrum": "give the operator whose eigenvalues these are (a spectrum itself is judged by stability(s))",
        "Game": "make the operator first, J = jacobian(game, batch)",
        "Module": "make the operator first, H = hessian(model, loss, batch)",
        "GameOptimizer": "make the operator first, U = update_operator(optimizer, batch)",
        "Tensor": "of a matrix M it is LinearOperator(lambda u: M @ u, len(M), dtype=M.dtype)",
        "ndarray": "of M = torch.from_numpy(matrix), LinearOperator(lambda u: M @ u, len(M), dtype=M.dtype)",
        "": "operators come from jacobian(game, batch), hessian(model, loss, batch), update_operator(optimizer, batch) "
        "or LinearOperator(matvec, n)",
    },
    "Spectrum": {
        "LinearOperator": "compute it first, s = spectrum(A), or s = eigenvalues(A, k=10) where A is large",
        "Game": "compute it first, s = spectrum(jacobian(game, batch))",
        "Module": "compute it first, s = spectrum(hessian(model, loss, batch))",
        "GameOptimizer": "compute it first, s = eigenvalues(update_operator(optimizer, batch), k=10)",
        "": "spectra come from spectrum(A) or eigenvalues(A, k=10)",
    },
    "Game": {
        "Module": "make the game first, game = gt.minimization(model, loss), or gt.gan(generator, discriminator)",
        "GameOptimizer": "give the optimizer's game, optimizer.game",
        "LinearOperator": "this is an operator already",
        "": "games come from gt.gan(generator, discriminator), gt.Game(modules, losses), gt.minimization(model, loss)",
    },
    "GameOptimizer": {
        "Game": "make the optimizer first, optimizer = gt.trainers.make('simultaneous', game, lr=1e-3)",
        "Optimizer": "optimizers of torch step one loss and hold no game: gt.trainers.make('simultaneous', game, "
        "lr=1e-3, base='adam') makes one of a game",
        "": "optimizers come from gt.trainers.make('simultaneous', game, lr=1e-3)",
    },
    "SummaryWriter": {"": "writers come from torch.utils.tensorboard.SummaryWriter(folder)"},
    "Index": {"": "an index comes from index(A)"},
    "PathAngle": {"": "it comes from path_angle(game, start, end, batch)"},
    "Module": {"Game": "give the torch.nn.Module itself", "": "give the torch.nn.Module"},
    "Density": {"": "densities come from spectral_density(A)"},
}


def checked(function: F) -> F:
    """Return the function, which then says so in a `GantoolsError` where an argument is not of the annotated kind.

    Annotations that name no checkable kind (`Any`, type variables, names imported for type checkers only inside larger
    annotations) accept everything; numbers accept those of NumPy and tensors of one element.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # whose own TypeError names what is missing or unexpected
        kinds = _kinds(function)
        for name, value in given.items():
            if name in kinds and not _fits(value, kinds[name]):
                raise GantoolsError(_sentence(function, name, value, kinds, given))
        return function(*args, **kwargs)

    return typing.cast(F, wrapper)


def public(namespace: MutableMapping[str, Any], names: Iterable[str]) -> None:
    """Let the functions and classes of these names in a package's namespace refuse wrong kinds of argument.

    Of a class it is its own `__init__`. Functions that the library imports from their modules are called unchecked.
    """
    for name in names:
        value = namespace[name]
        if isinstance(value, types.FunctionType):
            namespace[name] = checked(value)
            continue
        own = vars(value).get("__init__") if isinstance(value, type) else None
        if isinstance(own, types.FunctionType) and not hasattr(own, "__wrapped__"):
            value.__init__ = checked(own)


@functools.cache
def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations by argument; a bare name that cannot be resolved stays a string."""
    scope, kinds = inspect.unwrap(function).__globals__, {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.annotation
        if kind is inspect.Parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if isinstance(kind, str):
            try:
                kind = eval(kind, scope)  # the library's own source, as typing.get_type_hints does
            except NameError:
                kind = kind if kind.isidentifier() else Any
        kinds[name] = kind
    return kinds


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(kind))
    if kind is Any:
        return True
    if kind is None or kind is types.NoneType:
        return value is None
    if isinstance(kind, str):
        return kind in _names(value)
    if kind in (int, float, bool):
        return _is_number(value, kind)
    if origin is tuple or kind is tuple:
        return isinstance(value, (tuple, list))
    kind = origin or kind
    if kind is collections.abc.Callable:
        return callable(value)
    if kind is collections.abc.Sequence and isinstance(value, (str, bytes)):
        return False
    if getattr(kind, "_is_protocol", False):
        return _has_parts_of(value, kind)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _has_parts_of(value: Any, protocol: Any) -> bool:
    """Return whether the value has what the protocol names; a method of the same name is no number (`dict.values`)."""
    if not getattr(protocol, "_is_runtime_protocol", False):
        return True
    data = {
        *getattr(protocol, "__annotations__", ()),
        *(n for n, x in vars(protocol).items() if isinstance(x, property)),
    }
    return isinstance(value, protocol) and not any(callable(getattr(value, name)) for name in data)


def _is_number(value: Any, kind: type) -> bool:
    if not isinstance(value, numbers.Number) and hasattr(value, "dtype") and callable(getattr(value, "item", None)):
        return math.prod(value.shape) == 1  # a tensor, an array or a number of NumPy
    if kind is bool:
        return isinstance(value, numbers.Integral)
    if kind is int:  # 1e4 for ten thousand products is an int in all but type
        return isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, numbers.Real)


def _names(value: Any) -> list[str]:
    return [cls.__name__ for cls in type(value).__mro__]


def _sentence(function: Callable[..., Any], name: str, value: Any, kinds: dict[str, Any], given: dict[str, Any]) -> str:
    title = function.__qualname__.removesuffix(".__init__")
    call = f"{title}({', '.join(_required(function))})"
    union = typing.get_origin(kinds[name]) in (typing.Union, types.UnionType)
    parts = typing.get_args(kinds[name]) if union else (kinds[name],)
    wanted = [part for part in parts if part is not types.NoneType]
    head = f"{call}: {name} must be {' or '.join(map(_word, wanted))}, not {_given(value)}"
    known = _plain(wanted[0]) in REMEDIES
    suited = [p for p, kind in kinds.items() if p != name and kind is not Any and _fits(value, kind)]
    swapped = (p for p, x in given.items() if p != name and x is not None and _fits(x, kinds[name]))
    if place := next((p for p in swapped if known or p in suited), None):
        return f"{head}, and {place} is one: give them in the order of {call}."
    if not known:
        place = next((p for p in suited if p not in given), None)
        return head + (f": give it by name, {place}={value!r}." if place and isinstance(value, (str, float)) else ".")
    remedies = REMEDIES[_plain(wanted[0])]
    return f"{head}: {next((remedies[known] for known in _names(value) if known in remedies), remedies[''])}."


def _required(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in named and p.name != "self"]


def _plain(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(typing.get_origin(kind) or kind, "__name__", str(kind))


def _given(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else _word(type(value))


def _word(kind: Any) -> str:
    name = {"NoneType": "None", "Callable": "function", "str": "text"}.get(_plain(kind), _plain(kind))
    if name in ("None", "text"):
        return name
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
