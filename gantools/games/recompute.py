"""A differentiable function whose graph is made again each time that it is differentiated, and not kept in between."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Sequence[Tensor]], Tensor]


class _Recomputed(torch.autograd.Function):
    """Unlike `torch.utils.checkpoint`, it keeps nothing after a backward pass that retains the graph."""

    @staticmethod
    def forward(ctx: Any, function: Function, context: Callable[[], AbstractContextManager], *leaves: Tensor) -> Tensor:
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


def recomputed(function: Function, context: Callable[[], AbstractContextManager], leaves: Sequence[Tensor]) -> Tensor:
    """Return `function(leaves)`, whose derivatives of any order come from evaluating it again.

    Args:
        function: of tensors that require a gradient; the same value at every evaluation.
        context: makes the context in which it is evaluated again; the first evaluation is in the present one.
        leaves: what it is differentiated by; everything else in it is a constant.
    """
    return _Recomputed.apply(function, context, *leaves)
