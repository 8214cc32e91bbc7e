r"""Products with $J_f^\top M J_f$, where $J_f$ is the derivative of a model's outputs and M acts on outputs."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

from gantools.analysis.products.autograd import linear_map
from gantools.analysis.products.batching import Batching
from gantools.batches import map_tensors, tensors
from gantools.errors import NonFiniteFieldError
from gantools.games.functional import load_forward_rules

Middle = Callable[[Tensor], Tensor]
"""Maps rows (k, m) of output vectors to M times each."""


class Sandwich:
    r"""The function $w \mapsto J_f(w_0)^\top M f(w)$, whose Jacobian at $w_0$ is $J_f^\top M J_f$.

    As a function it can be recorded like any other. The classes below make products with its Jacobian at less cost.

    Args:
        outputs: maps the parameters (n,) to the outputs: a tensor, or a structure of them.
        point: (n,), $w_0$.
        middle_of: makes M from the outputs there, (m,) without a graph, and a function that restores their structure.
    """

    def __init__(
        self,
        outputs: Callable[[Tensor], Any],
        point: Tensor,
        middle_of: Callable[[Tensor, Callable[[Tensor], Any]], Middle],
    ):
        self.outputs = outputs
        self._point = point.detach()
        self._middle_of = middle_of

    def __call__(self, w: Tensor) -> Tensor:
        # Values that do not depend on w are constants of a recording, and may be inspected.
        with torch.enable_grad():
            with disable_proxy_modes_tracing():
                leaf = self._point.clone().requires_grad_()
                there, middle = self.at(leaf)
            cotangent = middle(self.flat(self.outputs(w))[None])[0]
            return linear_map(there, leaf, cotangent, create_graph=True)

    def at(self, leaf: Tensor) -> tuple[Tensor, Middle]:
        """Return the outputs (m,) at the point, with a graph from `leaf`, which stands there, and M.

        Raises:
            NonFiniteFieldError: for outputs that are not finite.
        """
        with torch.enable_grad():
            output = self.outputs(leaf)
            flat = self.flat(output)
        value = forward_ad.unpack_dual(flat).primal.detach()
        if not value.isfinite().all():
            raise NonFiniteFieldError("The outputs are NaN or infinite at these parameters: nothing to analyse.")
        template = map_tensors(Tensor.detach, output)
        return flat, self._middle_of(value, lambda rows: _like(template, rows))

    @staticmethod
    def flat(output: Any) -> Tensor:
        """Return the outputs as one vector (m,)."""
        return torch.cat([t.reshape(-1) for t in tensors(output) if t.is_floating_point()])


class SandwichProducts:
    r"""Products through kept graphs of the outputs and of their derivative: three passes, of which M's is small.

    Args:
        function: the function whose Jacobian is $J_f^\top M J_f$.
        point: (n,), where it is differentiated.
        symmetric: ignored: they always are.
        batching: see `ReverseProducts`.
        measure: see `ReverseProducts`.

    Attributes:
        value: the outputs (m,), without a graph.
    """

    def __init__(
        self,
        function: Sandwich,
        point: Tensor,
        symmetric: bool = True,
        batching: dict[str, Batching] | None = None,
        measure: bool = True,
    ):
        self._input = point.detach().clone().requires_grad_()
        self.output, self._middle = function.at(self._input)
        self.value = self.output.detach()
        self._batching = ({} if batching is None else batching).setdefault("product", Batching(measure))

    @cached_property
    def _pulled(self) -> tuple[Tensor, Tensor]:
        # J^T y is linear in y, so that its derivative by y is J, whatever y is.
        dummy = torch.zeros_like(self.output, requires_grad=True)
        with torch.enable_grad():
            return linear_map(self.output, self._input, dummy, create_graph=True), dummy

    def product(self, u: Tensor) -> Tensor:
        """Return the product with u (n,) or (n, k)."""
        if u.dim() == 1:
            return self._one(u)
        return self._batching.apply(self._one, self._many, u)

    transposed = product

    def _one(self, u: Tensor) -> Tensor:
        pushed = linear_map(*self._pulled, u)
        return linear_map(self.output, self._input, self._middle(pushed[None])[0].to(pushed))

    def _many(self, rows: Tensor) -> Tensor:
        pushed = linear_map(*self._pulled, rows, batched=True)
        return linear_map(self.output, self._input, self._middle(pushed).to(pushed), batched=True)


class ForwardSandwichProducts:
    """Products that keep nothing: $J_f u$ by dual numbers, then backwards through the graph of the same evaluation."""

    def __init__(self, function: Sandwich, point: Tensor):
        self._function = function
        self._point = point.detach().clone()

    def product(self, u: Tensor) -> Tensor:
        """Return the product with u (n,) or (n, k)."""
        if u.dim() == 2:
            return torch.stack([self.product(column) for column in u.T.contiguous()], dim=1)
        load_forward_rules()
        leaf = self._point.clone().requires_grad_()
        with forward_ad.dual_level(), torch.enable_grad():
            dual, middle = self._function.at(forward_ad.make_dual(leaf, u))
            output, tangent = forward_ad.unpack_dual(dual)
        # Outside, where the tangents are gone: they would be pulled back as well.
        if tangent is None:
            return torch.zeros_like(u)
        return linear_map(output, leaf, middle(tangent.detach()[None])[0].to(output.dtype)).detach()

    transposed = product


def pulled_back(output: Tensor, by: Tensor, rows: Tensor) -> Tensor:
    """Return the vector-Jacobian product of `output` (m,) by `by` (n,) with each row of (k, m), as (k, n)."""
    if len(rows) > 1:
        return linear_map(output, by, rows, batched=True)
    return linear_map(output, by, rows[0], create_graph=rows.requires_grad)[None]


def _like(template: Any, flat: Tensor) -> Any:
    """Return `flat` (m,) in the structure of the outputs."""
    sizes = [t.numel() for t in tensors(template) if t.is_floating_point()]
    pieces = iter(flat.split(sizes))
    return map_tensors(lambda t: next(pieces).view(t.shape).to(t.dtype) if t.is_floating_point() else t, template)
