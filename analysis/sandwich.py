r"""Products with $J_f^\top M J_f$, where $J_f$ is the derivative of a model's outputs and M acts on outputs."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gantools.batches import map_tensors, tensors
from gantools.errors import NonFiniteFieldError

Middle = Callable[[Tensor], Tensor]
"""Maps rows (k, m) of output vectors to M times each."""

BLOCK = 32


class SandwichProducts:
    """Products through kept graphs of the outputs and of their derivative.

    Args:
        function: maps the parameters (n,) to the outputs: a tensor, or a structure of them.
        point: (n,).
        middle_of: makes M from the outputs, (m,) without a graph, and what gives them their structure back.

    Attributes:
        value: the outputs (m,), without a graph.

    Raises:
        NonFiniteFieldError: for outputs that are not finite.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Any],
        point: Tensor,
        middle_of: Callable[[Tensor, Callable[[Tensor], Any]], Middle],
    ):
        self._input = point.detach().clone().requires_grad_()
        output = function(self._input)
        with torch.enable_grad():
            self._output = torch.cat([t.reshape(-1) for t in tensors(output) if t.is_floating_point()])
            self.value = self._output.detach()
            if not self.value.isfinite().all():
                raise NonFiniteFieldError("The outputs are NaN or infinite at these parameters: nothing to analyse.")
            # J^T y is linear in y, so that its derivative by y is J, whatever y is.
            self._dummy = torch.zeros_like(self._output, requires_grad=True)
            (self._pulled,) = torch.autograd.grad(
                self._output, self._input, self._dummy, create_graph=True, materialize_grads=True
            )
        template = map_tensors(Tensor.detach, output)
        self._middle = middle_of(self.value, lambda flat: _like(template, flat))

    def product(self, u: Tensor) -> Tensor:
        """Return the product with u (n,) or (n, k)."""
        if u.dim() == 1:
            return self.product(u[:, None])[:, 0]
        return torch.cat([self._rows(part) for part in u.T.contiguous().split(BLOCK)]).T

    def _rows(self, rows: Tensor) -> Tensor:
        pushed = pulled_back(self._pulled, self._dummy, rows)
        return pulled_back(self._output, self._input, self._middle(pushed).to(self._output.dtype))


def pulled_back(output: Tensor, by: Tensor, rows: Tensor) -> Tensor:
    """Return the vector-Jacobian product of `output` (m,) by `by` (n,) with each row of (k, m), as (k, n)."""
    if not output.requires_grad:
        return torch.zeros(len(rows), by.numel(), dtype=by.dtype, device=by.device)

    def pull(u: Tensor, batched: bool) -> Tensor:
        options = {"retain_graph": True, "materialize_grads": not batched, "allow_unused": True}
        (result,) = torch.autograd.grad(output, by, u, is_grads_batched=batched, **options)
        return torch.zeros(len(u), *by.shape, dtype=by.dtype, device=by.device) if result is None else result

    if len(rows) > 1:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # torch warns where it would loop over the rows behind the scenes
                return pull(rows, batched=True)
        except (RuntimeError, UserWarning):
            pass  # an operation without a batching rule
    return torch.stack([pull(row, batched=False) for row in rows])


def _like(template: Any, flat: Tensor) -> Any:
    """Return `flat` (m,) in the structure of the outputs."""
    sizes = [t.numel() for t in tensors(template) if t.is_floating_point()]
    pieces = iter(flat.split(sizes))
    return map_tensors(lambda t: next(pieces).view(t.shape).to(t.dtype) if t.is_floating_point() else t, template)
