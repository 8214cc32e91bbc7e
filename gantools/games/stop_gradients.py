r"""Exact derivatives through `detach`, `no_grad` and custom functions, which shape the gradient and not the field.

The field is a function of the parameters. `detach` and `no_grad` in a loss only say what the gradient inside the field
must not follow, and the backward pass of a `torch.autograd.Function` only says what that gradient is; how the field
itself changes with the parameters depends on all that its value depends on. So there are two ways through such a place:

- while the field's gradients are taken, the user's: zero behind `detach` and `no_grad`, the function's own backward;
- when the field is differentiated, the derivative of what was computed.

A GAN loop that writes `D(fake.detach())`, a stop-gradient in one player's loss, a gradient reversal layer and
straight-through rounding all have the Jacobian of the field that training follows.
"""

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from gantools.games.recompute import copies_in_graphs
from gantools.games.sharding.lazy import whole

_DETACH = (Tensor.detach, torch.detach, Tensor.data.__get__)  # type: ignore[attr-defined]
_REQUIRE = (Tensor.requires_grad_, Tensor.requires_grad.__set__)  # type: ignore[attr-defined]
_IN_PLACE = re.compile(r"__(setitem|i(add|sub|mul|matmul|div|truediv|floordiv|mod|pow|and|or|xor|lshift|rshift))__")
_LEAVES_TORCH = (Tensor.numpy, Tensor.__array__, Tensor.__deepcopy__)


class StopGradients(TorchFunctionMode):
    """Within this block, what stops a gradient stops it only while the field's own gradients are taken.

    Attributes:
        taking: whether gradients are now those inside the field; they are while its losses are evaluated.
        met: whether anything that depends on a parameter was stopped, or went through a custom function, so far.
        tracing: whether a custom function is being traced.
        wrote: whether the custom function traced last wrote into a tensor.
        parameters: identities of what stands for parameters; `requires_grad_` on them is for the user's backward pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taking = self.met = self.tracing = self.wrote = False
        self.parameters = frozenset[int]()

    @contextmanager
    def taking_gradients(self) -> Iterator[None]:
        """Take the gradients in this block as the user's code means them."""
        before, self.taking = self.taking, True
        try:
            yield
        finally:
            self.taking = before

    @contextmanager
    def evaluating_losses(self) -> Iterator[None]:
        """Evaluate losses in this block; gradients that they take themselves are inside the field."""
        with self.taking_gradients(), _custom_functions_seen_by(self), self:
            yield

    @contextmanager
    def while_tracing(self) -> Iterator[None]:
        """Trace a custom function in this block."""
        before, self.tracing, self.wrote = self.tracing, True, self.tracing and self.wrote
        try:
            yield
        finally:
            self.tracing = before

    def stopped(self, x: Tensor) -> Tensor:
        """Return the tensor, through which the field's own gradients do not pass."""
        if not x.requires_grad or not (x.is_floating_point() or x.is_complex()):
            return x
        self.met = True
        with torch.enable_grad():
            return _Stopped.apply(x, lambda: self.taking)  # type: ignore[return-value]  vmap would take a mode for a tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _DETACH:
            x = args[0]
            alone = self.stopped(x) if x.requires_grad else func(x)
            if x.requires_grad or self.tracing:
                alone.shares_with = x  # type: ignore[attr-defined]
            return alone
        self.wrote |= self.tracing and _writes(func)
        if _writes(func) and (owner := getattr(args[0], "shares_with", None)) is not None:
            if self.tracing:
                raise _NotTraceable("it writes into its inputs")
            func(owner.data, *args[1:], **kwargs)  # the user's two names are one memory
        if func in _LEAVES_TORCH and args[0].requires_grad:  # what was detached may leave PyTorch; a memo outlives it
            return func(Tensor.detach(args[0]), *([{}] if func is Tensor.__deepcopy__ else args[1:]), **kwargs)
        if func in _REQUIRE and (args[0].grad_fn is not None or id(args[0]) in self.parameters):
            return args[0]  # a leaf in the user's eyes: a parameter, or what was detached
        if func is torch.autograd.grad and not kwargs["create_graph"]:  # an adaptive weight: a number to the user
            return self._all_stopped(func(*args, **{**kwargs, "create_graph": True}))
        if kwargs.get("out") is not None:  # no graph can lead into what is given: power iterations, running statistics
            return func(*tree_map_only(Tensor, Tensor.detach, args), **kwargs)
        plain = torch.is_grad_enabled() or func is torch._C._set_grad_enabled
        return func(*args, **kwargs) if plain else self._without_gradient(func, args, kwargs)

    def _all_stopped(self, result: Any) -> Any:
        if isinstance(result, Tensor):
            return self.stopped(result)
        # Nothing else is rebuilt: of a torch.Size a plain tuple would come.
        held = isinstance(result, (tuple, list)) and any(isinstance(x, Tensor) for x in result)
        return tree_map_only(Tensor, self.stopped, result) if held else result

    def _without_gradient(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Evaluate what stands under `no_grad`, with a graph of which the field's own gradients follow nothing."""
        with torch.enable_grad(), copies_in_graphs():  # the user may write over what is read here
            if not _writes(func):
                return self._all_stopped(func(*args, **kwargs))
            try:  # what is written into keeps its own history, as it does without a graph; the rest is only read
                return func(args[0], *tree_map_only(Tensor, self.stopped, args[1:]), **kwargs)
            except RuntimeError:
                pass
        return func(*args, **kwargs)  # a parameter, which may be moved without a graph only


@functools.cache
def _writes(func: Any) -> bool:
    """Return whether a function of PyTorch writes into its first argument."""
    name = getattr(func, "__name__", "")
    return bool(_IN_PLACE.fullmatch(name)) or (name.endswith("_") and not name.endswith("__"))


class _Stopped(torch.autograd.Function):
    """The identity; its derivative is zero for gradients inside the field, and one otherwise."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, taking: Callable[[], bool]) -> Tensor:
        return x.clone()  # a view of it could not be written into

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.taking = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return (None if ctx.taking() else gradients[0]), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Any:
        return tangents[0]


class _StandIn:
    """What a custom function's forward and backward get in place of autograd's context: tensors that have a history."""

    def __init__(self, inputs: tuple[Any, ...]):
        self.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in inputs)
        self.saved_tensors: tuple[Any, ...] = ()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep nothing: tangents go through the traced forward."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Change nothing: no gradient comes back for these."""

    def mark_dirty(self, *tensors: Tensor) -> None:
        raise _NotTraceable("it writes into its inputs")

    def set_materialize_grads(self, value: bool) -> None:
        self.materialize_grads = value


class _NotTraceable(RuntimeError):
    """A custom function that cannot be evaluated with a graph."""


class _Traced(torch.autograd.Function):
    """The results of a custom function: its own backward for gradients inside the field, else that of its forward.

    Inputs are the traced results, followed by the tensors that the function was given.
    """

    @staticmethod
    def forward(ctx: Any, call: Any, *tensors: Tensor) -> Any:
        ctx.call = call
        ctx.set_materialize_grads(call.context.materialize_grads)
        return tuple(t.view_as(t) for t in tensors[: call.count])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        call = ctx.call
        if call.mode.taking:
            return (None, *[None] * call.count, *call.pulled_back(gradients))
        return (None, *gradients, *[None] * call.inputs)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tuple(None if t is None else t.view_as(t) for t in tangents[1 : ctx.call.count + 1])


class _Call:
    """One call of a custom function, traced."""

    def __init__(self, mode: StopGradients, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.mode, self.cls = mode, cls
        in_two = cls.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
        if in_two:  # then, as PyTorch does, with the defaults of what was not given
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        self.context = _StandIn(args)
        with torch.enable_grad(), mode, mode.while_tracing():
            if in_two:
                traced = cls.forward(*args, **kwargs)
                cls.setup_context(self.context, args, traced)
            else:
                traced = cls.forward(self.context, *args, **kwargs)
        self._alone = isinstance(traced, Tensor)
        self._traced = (traced,) if self._alone else tuple(traced)
        if not all(isinstance(t, Tensor) for t in self._traced):
            raise _NotTraceable("it returns other things than tensors")
        self._where = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        self._given = [args[i] for i in self._where]
        self.count, self.inputs = len(self._traced), len(self._given)
        if mode.wrote:  # what its own backward does not need may have been written over: then this raises
            outputs, by = ([t for t in side if t.requires_grad] for side in (self._traced, self._given))
            torch.autograd.grad([t.sum() for t in outputs], by, retain_graph=True, allow_unused=True)

    def result(self) -> Any:
        """Return what the function returns."""
        results = _Traced.apply(self, *self._traced, *self._given)
        self._given, self._traced = [], ()  # these are in the graph
        return results[0] if self._alone else results  # type: ignore[index]

    def pulled_back(self, gradients: tuple[Any, ...]) -> list[Any]:
        """Return the gradients by the tensors given, from the function's own backward, with its graph."""
        # Without the wrapper of `once_differentiable`, which would end the graph.
        backward = getattr(self.cls.backward, "__wrapped__", self.cls.backward)
        with _custom_functions_seen_by(self.mode), self.mode if torch.is_grad_enabled() else nullcontext():
            found = backward(self.context, *gradients)
        return [(found if isinstance(found, tuple) else (found,))[i] for i in self._where]


_active, _lock, _users = threading.local(), threading.Lock(), 0
_apply: Any = torch.autograd.Function.apply.__func__  # type: ignore[attr-defined]
_original = FunctionType(_apply.__code__, _apply.__globals__, _apply.__name__, _apply.__defaults__, _apply.__closure__)


class _Replacement(torch._C._FunctionBase):
    """Holds the code that stands in for `torch.autograd.Function.apply` while losses are evaluated."""

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        from gantools.games.stop_gradients import _dispatch

        __class__  # noqa: B018  the same closure as the original's  # pyright: ignore
        return _dispatch(cls, args, kwargs)


_code = _Replacement.apply.__func__.__code__  # type: ignore[attr-defined]


def _dispatch(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # pyright: ignore[reportUnusedFunction]
    mode, args = getattr(_active, "mode", None), tuple(map(whole, args))
    own = cls.__module__.partition(".")[0] in ("torch", "gantools") and not hasattr(cls, "like_a_users")
    if mode is None or own or not any(isinstance(x, Tensor) and x.requires_grad for x in args):
        return _original(cls, *args, **kwargs)
    mode.met = True
    try:
        call = _Call(mode, cls, args, kwargs)
    except Exception:  # a forward that leaves PyTorch, or fails by itself: then so does the original
        with torch._C.DisableTorchFunction():
            return _original(cls, *args, **kwargs)
    return call.result()


@contextmanager
def _custom_functions_seen_by(mode: StopGradients) -> Iterator[None]:
    """Trace custom functions that this thread calls in this block."""
    # Users keep `apply = MyFunction.apply` in variables, so the function's code is exchanged and not its name.
    global _users
    before, _active.mode = getattr(_active, "mode", None), mode
    with _lock:
        _users += 1
        _apply.__code__ = _code
    try:
        yield
    finally:
        _active.mode = before
        with _lock:
            _users -= 1
            _apply.__code__ = _code if _users else _original.__code__
