"""Graphs that are made again when they are differentiated: our own, and those of a user's wrappers, taken off here."""

import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor

Function = Callable[[Sequence[Tensor]], Tensor]
Context = Callable[[], AbstractContextManager[Any]]


class _Recomputed(torch.autograd.Function):
    """Unlike `torch.utils.checkpoint`, it keeps nothing after a backward pass that retains the graph."""

    @staticmethod
    def forward(ctx: Any, function: Function, context: Context, *leaves: Tensor) -> Tensor:
        ctx.function, ctx.context = function, context
        ctx.save_for_backward(*leaves)
        with torch.enable_grad():
            return function([leaf.detach().requires_grad_() for leaf in leaves]).detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        # Enabled when this pass is to be differentiated itself.
        create_graph, leaves = torch.is_grad_enabled(), ctx.saved_tensors
        if not create_graph:
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with torch.enable_grad(), ctx.context():
            value = ctx.function(leaves)
            if not value.requires_grad:
                return None, None, *map(torch.zeros_like, leaves)
            pulled = torch.autograd.grad(
                value, leaves, gradients[0], create_graph=create_graph, allow_unused=True, materialize_grads=True
            )
        return None, None, *pulled


def recomputed(function: Function, context: Context, leaves: Sequence[Tensor]) -> Tensor:
    """Return `function(leaves)`, whose derivatives of any order come from evaluating it again.

    Args:
        function: of tensors that require a gradient; the same value at every evaluation.
        context: makes the context in which it is evaluated again; the first evaluation is in the present one.
        leaves: what it is differentiated by; everything else in it is a constant.
    """
    return _Recomputed.apply(function, context, *leaves)


def uncompiled() -> AbstractContextManager[Any]:
    """Run what `torch.compile` compiled as it was written, in this block: compiled graphs are differentiated once."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and loading the compiler takes seconds
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


_without_checkpoints = threading.local()
_checkpoint: Any = inspect.unwrap(torch.utils.checkpoint.checkpoint)
_OWN_SETTINGS = {*inspect.signature(_checkpoint).parameters, "preserve_rng_state"} - {"function", "args", "kwargs"}


def _call_or_checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not getattr(_without_checkpoints, "active", False):
        return _checkpoint(function, *args, **kwargs)
    return function(*args, **{name: value for name, value in kwargs.items() if name not in _OWN_SETTINGS})


@contextmanager
def checkpoints_kept() -> Iterator[None]:
    """Keep, in this block, the activations that `torch.utils.checkpoint` would compute again.

    It would compute them in a backward pass, when the parameters are no longer in the modules, and counts what was
    saved, which other operations in place of the fused ones change.
    """
    # `checkpoint` calls what this attribute of its function holds: PyTorch puts a function there that the compiler
    # leaves alone.
    name = "__dynamo_disable"
    before, active = getattr(_checkpoint, name, None), getattr(_without_checkpoints, "active", False)
    setattr(_checkpoint, name, _call_or_checkpoint)
    _without_checkpoints.active = True
    try:
        yield
    finally:
        _without_checkpoints.active = active
        if before is not _call_or_checkpoint:
            setattr(_checkpoint, name, before)


def copies_in_graphs() -> Any:
    """Return a block whose graphs keep copies of tensors, so that what was read in it may be written over later."""
    # Not within transforms of `torch.func`.
    allowed = torch._C._autograd._saved_tensors_hooks_is_enabled()  # type: ignore[attr-defined]
    return torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda copy: copy) if allowed else nullcontext()
