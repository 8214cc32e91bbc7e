"""Copies of a user's function with all that it reaches, so that calling the copy leaves the original world alone."""

import copy
import io
import random
import sysconfig
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, Dataset

from gantools.errors import GantoolsError
from gantools.watching.stand_ins import BUILT_IN, RANDOM, Mute, is_moved_by_methods, stand_in_iterator

LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
ATOMIC = frozenset({
    *(type(None), bool, int, float, complex, str, bytes, type, range, slice, type(...), type(NotImplemented)),
    *(types.ModuleType, types.CodeType, types.MethodDescriptorType),
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
})  # fmt: skip
_LARGE = 2**26  # bytes from which on a tensor or array that is no module's is shared with the copy
_GRADIENT_HOOKS = {
    "_backward_hooks": Tensor.register_hook,
    "_post_accumulate_grad_hooks": Tensor.register_post_accumulate_grad_hook,
}


class Copies:
    """A world of copies: each object is copied once, so that what was shared between originals is between copies.

    A function is copied with its closure, its defaults, and the globals that its code names; a method with its object;
    an object with its attributes. Not copied are modules, classes, what libraries define, data sets (loaders are),
    and large tensors that belong to no module.

    Args:
        dtype: of the copies of floating tensors; their own by default.
        kept: originals that stand for themselves.
        grads: whether parameters keep their gradients, and the hooks on these.

    Attributes:
        shared: descriptions of what could not be copied, so that the original is used.
        originals: all that was copied, in order.
    """

    def __init__(self, dtype: torch.dtype | None = None, kept: Any = (), grads: bool = False):
        self.memo: dict[int, Any] = {id(x): x for x in kept}
        self.shared: list[str] = []
        self.originals: list[Any] = []  # kept alive: an identity stays its object's as long as the object lives
        self._globals: dict[int, dict[str, Any]] = {}
        self._dtype, self._grads = dtype, grads
        self._inside = 0  # whether what is copied belongs to a module

    def of(self, x: Any) -> Any:
        """Return the copy of an object."""
        if type(x) in ATOMIC or isinstance(x, type):
            return x
        known = self.memo.get(id(x), self)
        if known is not self:
            return known
        return self._note(x, self._made(x)) if not _fills_itself(x) else self._filled(x)

    def _note(self, x: Any, made: Any) -> Any:
        self.memo[id(x)] = made
        self.originals.append(x)
        return made

    def _made(self, x: Any) -> Any:
        """Return the copy of what cannot contain itself."""
        if isinstance(x, Tensor):
            return self._tensor(x)
        if isinstance(x, np.ndarray):
            return x if x.nbytes > _LARGE or x.dtype.hasobject else x.copy()
        if isinstance(x, types.MethodType):
            return types.MethodType(self.of(x.__func__), self.of(x.__self__))
        if isinstance(x, BUILT_IN):
            return getattr(self.of(x.__self__), x.__name__) if is_moved_by_methods(x.__self__) else x
        if isinstance(x, torch.Generator):
            return torch.Generator(x.device).set_state(x.get_state())
        if isinstance(x, weakref.ReferenceType):
            return x if x() is None else weakref.ref(self.of(x()))
        if isinstance(x, (random.Random, *RANDOM)):
            return copy.deepcopy(x)
        if isinstance(x, io.IOBase) and not x.closed and x.writable():
            return Mute()
        if isinstance(x, types.GeneratorType) or hasattr(type(x), "__next__"):
            return stand_in_iterator(x, self.of)
        if hasattr(type(x), "add_scalar") or hasattr(type(x), "set_postfix"):  # a TensorBoard writer, a progress bar
            return Mute()
        return self._loader(x) if isinstance(x, DataLoader) else x  # a data set is shared

    def _loader(self, x: DataLoader[Any]) -> Any:
        """Return a loader of the same data that draws their order for itself."""
        made = self._note(x, object.__new__(type(x)))
        self.memo.setdefault(id(x.dataset), x.dataset)  # a list of tensors too
        own = {name: self.of(vars(x).get(name)) for name in ("generator", "sampler", "batch_sampler")}
        made.__dict__.update({**vars(x), **own, "_iterator": None})
        return made

    def _filled(self, x: Any) -> Any:
        """Return the copy of what may contain itself: it is known before it is filled."""
        if isinstance(x, types.FunctionType):
            return self._function(x)
        if type(x) in (list, set):
            if all(type(item) in ATOMIC for item in x):
                return self._note(x, x.copy())
            made = self._note(x, type(x)())
            fill = made.append if type(x) is list else made.add
            for item in x:
                fill(self.of(item))
            return made
        if type(x) in (dict, OrderedDict):
            made = self._note(x, type(x)())
            made.update((self.of(key), self.of(value)) for key, value in list(x.items()))
            return made
        if type(x) is tuple:
            return self._note(x, tuple(self.of(item) for item in x))
        return self._object(x)

    def _tensor(self, x: Tensor) -> Tensor:
        wide = self._dtype if x.is_floating_point() else torch.complex128 if self._dtype and x.is_complex() else None
        own = self._inside or isinstance(x, nn.Parameter)
        if not own and x.numel() * x.element_size() > _LARGE:
            return x
        made = x.detach().to(wide or x.dtype, copy=True)
        if isinstance(x, nn.Parameter):
            made = nn.Parameter(made, x.requires_grad)
        elif x.requires_grad:
            made.requires_grad_()
        if self._grads and x.is_leaf and x.grad is not None:
            made.grad = x.grad.detach().to(made.dtype, copy=True)
        self._note(x, made)
        if self._grads and x.is_leaf:
            self._hook(x, made)
        return made

    def _hook(self, x: Tensor, made: Tensor) -> None:
        """Register copies of a leaf's hooks with its copy, where they are not yet."""
        for name, register in _GRADIENT_HOOKS.items():
            hooks = getattr(x, name) or {}
            if hooks and not getattr(made, name):
                made.requires_grad_()  # for which alone hooks are taken; they stay where it is frozen again
                for hook in list(hooks.values()):
                    register(made, self.of(hook))
                made.requires_grad_(x.requires_grad)

    @property
    def modules(self) -> list[nn.Module]:
        """The copies of modules."""
        return [made for made in self.memo.values() if isinstance(made, nn.Module)]

    def rewinders(self) -> list[Callable[[], Any]]:
        """Return functions that put the copies of random generators back into their present state."""
        found: list[Callable[[], Any]] = []
        for made in self.memo.values():
            if isinstance(made, torch.Generator):
                found.append(partial(made.set_state, made.get_state()))
            elif isinstance(made, random.Random):
                found.append(partial(made.setstate, made.getstate()))
            elif isinstance(made, np.random.Generator):
                found.append(partial(setattr, made.bit_generator, "state", made.bit_generator.state))
            elif isinstance(made, np.random.RandomState):
                found.append(partial(made.set_state, made.get_state()))
        return found

    # Functions -------------------------------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType) -> Any:
        code = function.__code__
        library = code.co_filename.startswith((*LIBRARIES, "<frozen"))
        if library and not function.__closure__:
            return self._note(function, function)
        names = function.__globals__ if library else self._globals_of(function.__globals__)
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        made = types.FunctionType(code, names, function.__name__, None, cells)
        self._note(function, made)
        made.__defaults__ = self.of(function.__defaults__)
        made.__kwdefaults__ = self.of(function.__kwdefaults__)
        made.__dict__.update(self.of(dict(function.__dict__)))
        for cell, original in zip(cells, function.__closure__ or (), strict=True):
            self._fill(cell, original)
        if not library:
            for name in _names(code):
                if name in function.__globals__:
                    names[name] = self.of(function.__globals__[name])
        return made

    def _globals_of(self, original: dict[str, Any]) -> dict[str, Any]:
        if id(original) not in self._globals:
            self._globals[id(original)] = dict(original)
            self.originals.append(original)
        return self._globals[id(original)]

    def _fill(self, cell: types.CellType, original: types.CellType) -> None:
        try:
            contents = original.cell_contents
        except ValueError:  # a variable that has no value yet
            return
        cell.cell_contents = self.of(contents)

    # Objects ---------------------------------------------------------------------------------------------------------

    def _object(self, x: Any) -> Any:
        inside = isinstance(x, (nn.Module, torch.optim.Optimizer))
        self._inside += inside
        try:
            if isinstance(x, nn.Module) and parametrize.is_parametrized(x):  # which refuse to be pickled
                return self._alike(x)
            if getattr(type(x), "__deepcopy__", None) is not None:
                return self._by_itself(x)
            if isinstance(x, torch.optim.Optimizer):  # which pickle neither hooks nor what a class of a user's adds
                return self._alike(x)
            reduced = x.__reduce_ex__(4)
            return self._note(x, x) if isinstance(reduced, str) else self._rebuilt(x, *reduced)
        except (TypeError, copy.Error, RuntimeError, AttributeError) as error:
            if isinstance(error, GantoolsError):
                raise
            self.shared.append(f"a {type(x).__name__}")
            return self._note(x, x)
        finally:
            self._inside -= inside

    def _by_itself(self, x: Any) -> Any:
        """Return what a class's own way of copying makes, which knows nothing of dtypes: a module's tensors follow."""
        made = self._note(x, copy.deepcopy(x, self.memo))
        if self._dtype and isinstance(made, nn.Module):
            made._apply(lambda t: t.to(self._dtype) if t.is_floating_point() else t)
        for p in x.parameters() if self._grads and isinstance(x, nn.Module) else ():
            if isinstance(twin := self.memo.get(id(p)), Tensor):
                self._hook(p, twin)
        return made

    def _alike(self, x: Any) -> Any:
        """Return an object of the same class with copies of all attributes, whatever the class would pickle."""
        made = self._note(x, object.__new__(type(x)))
        made.__dict__.update(self.of(vars(x)))
        return made

    def _rebuilt(
        self,
        x: Any,
        make: Callable[..., Any],
        args: Any,
        state: Any = None,
        items: Any = None,
        pairs: Any = None,
        *_: Any,
    ) -> Any:
        """Return an object made as pickling would make it, but from copies of its parts."""
        made = self._note(x, make(*(self.of(part) for part in args)))
        if state is not None:
            state = self.of(state)
            if hasattr(made, "__setstate__"):
                made.__setstate__(state)
            else:
                attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
                made.__dict__.update(attributes or {})
                for name, value in (slots or {}).items():
                    setattr(made, name, value)
        for item in items or ():
            made.append(self.of(item))
        for key, value in pairs or ():
            made[self.of(key)] = self.of(value)
        return made


def _fills_itself(x: Any) -> bool:
    atoms = (Tensor, np.ndarray, weakref.ref, torch.Generator, random.Random, *RANDOM)
    if isinstance(x, (*atoms, *BUILT_IN, types.MethodType, Dataset, DataLoader, types.GeneratorType)):
        return False
    return not any(hasattr(type(x), name) for name in ("__next__", "add_scalar", "set_postfix"))


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a function's code, and that of functions within it, looks up in its globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
