"""What losses ask autograd for inside `torch.func.vmap`, answered for all copies at once.

Vmap gives a loss wrappers that stand for one copy each, around tensors that hold all of them. To the loss they seem to
have no graph: `requires_grad` is False, and gradients cannot be taken. The graph is that of the tensors inside. As no
copy depends on another, the gradient of the sum over all copies is the stack of the copies' gradients; so a penalty on
a gradient, and whoever looks whether a tensor has one, get what they would get in a copy of its own.

A tensor that a loss makes to be filled, `torch.zeros(n)` say, would be one for all copies, into which vmap cannot write
what differs between them: it is made once for each.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch._functorch.pyfunctorch import VmapInterpreter, retrieve_current_functorch_interpreter
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack as outside_vmap
from torch.overrides import TorchFunctionMode

_LOOKS = {
    Tensor.requires_grad.__get__: lambda x: x.requires_grad,  # type: ignore[attr-defined]
    Tensor.grad_fn.__get__: lambda x: x.grad_fn,  # type: ignore[attr-defined]
    Tensor.is_leaf.__get__: lambda x: x.is_leaf,  # type: ignore[attr-defined]
}
_TO_FILL = (torch.empty, torch.zeros, torch.ones, torch.full, Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones)


class ThroughVmap(TorchFunctionMode):
    """Within this block, in a function that is being vmapped, gradients are those of the tensors inside."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.autograd.grad:
            return _gradients(*args, **kwargs)
        if args and isinstance(args[0], Tensor) and _functorch.is_batchedtensor(args[0]):
            if (look := _LOOKS.get(func)) is not None:
                return look(_functorch.get_unwrapped(args[0]))
            if func is Tensor.requires_grad_:
                with outside_vmap():
                    _functorch.get_unwrapped(args[0]).requires_grad_(*args[1:], **kwargs)
                return args[0]
        made = func(*args, **kwargs)
        return _one_each(made) if func in _TO_FILL and not made.requires_grad else made


def _one_each(x: Tensor) -> Tensor:
    """Return a tensor that is one for all copies as one for each."""
    vmap = retrieve_current_functorch_interpreter() if _functorch.peek_interpreter_stack() else None
    if not isinstance(vmap, VmapInterpreter) or _functorch.is_batchedtensor(x):
        return x
    with outside_vmap():
        each = x.expand(vmap.batch_size(), *x.shape).clone()
    return _functorch._add_batch_dim(each, 0, vmap.level())


def _gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return what `torch.autograd.grad` would in each copy."""
    outputs, inputs = _listed(outputs), _listed(inputs)
    given = [None] * len(outputs) if grad_outputs is None else _listed(grad_outputs)
    if is_grads_batched or not all(map(_functorch.is_batchedtensor, (*outputs, *inputs))):
        raise RuntimeError("a gradient inside the losses is taken of or by a tensor that the copies have in common")
    inner = [_functorch.get_unwrapped(x) for x in outputs]
    weights = [_weights(x, g) for x, g in zip(outputs, given, strict=True)]
    places = [_functorch.maybe_get_bdim(x) for x in inputs]
    by, level = [_functorch.get_unwrapped(x) for x in inputs], _functorch.current_level()
    with outside_vmap():
        found = torch.autograd.grad(
            inner, by, weights, retain_graph, create_graph,
            allow_unused=allow_unused, materialize_grads=materialize_grads,
        )  # fmt: skip
    return tuple(
        None if g is None else _functorch._add_batch_dim(g, place, level)
        for g, place in zip(found, places, strict=True)
    )


def _listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor) else list(x)


def _weights(output: Tensor, given: Tensor | None) -> Tensor:
    """Return the weights of the entries of the tensor inside an output; ones for a scalar of each copy."""
    if given is None:
        if output.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        given = torch.ones_like(output)
    # As zeros of the output's form plus these, they are wrapped as the output is, whatever they were.
    like, place = torch.zeros_like(output) + given, _functorch.maybe_get_bdim(output)
    inside = _functorch.get_unwrapped(like)
    return inside.movedim(_functorch.maybe_get_bdim(like), place)
