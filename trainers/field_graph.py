r"""The field at one point with its autograd graph, for products with its Jacobian."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gantools.games.game import Game


class FieldGraph:
    r"""The field at `w` (n,) with its autograd graph; products with $J$ are differentiable if `w` is.

    Attributes:
        value: the field at `w`, a `FieldValue`.
    """

    def __init__(self, game: Game, w: Tensor, buffers: Mapping[str, Tensor], batch: Any):
        self._game = game
        self._differentiable = w.requires_grad
        with torch.enable_grad():
            self._leaves = game.leaves(w)
            value = game.field_of(self._leaves, buffers, batch, create_graph=True)
        self._field = value.vector
        self._dual: tuple[Tensor, Tensor] | None = None
        self.value = value if self._differentiable else dataclasses.replace(value, vector=value.vector.detach())

    def transposed(self, u: Tensor) -> Tensor:
        r"""Return $J^\top u$ (n,): one backward pass."""
        return self._game.flatten(self._pull(self._field, self._leaves, u, self._differentiable))

    def product(self, u: Tensor) -> Tensor:
        r"""Return $J u$ (n,): the derivative of the linear map $v \mapsto J^\top v$, whose graph is built once."""
        if self._dual is None:
            dummy = torch.zeros_like(u).requires_grad_()
            with torch.enable_grad():
                pulled = self._pull(self._field, self._leaves, dummy, create_graph=True)
                self._dual = self._game.flatten(pulled), dummy
        pulled, dummy = self._dual
        return self._pull(pulled, [dummy], u, self._differentiable)[0]

    def off_diagonal(self, product: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
        """Return a product (n,) with the Jacobian, or its transpose, without each player's own block.

        Args:
            product: `self.product`, or `self.transposed`.
            u: the vector (n,).
        """
        pieces = []
        for part in self._game.slices.values():
            others = u.clone()
            others[part] = 0
            pieces.append(product(others)[part])
        return torch.cat(pieces)

    def _pull(self, output: Tensor, inputs: Sequence[Tensor], u: Tensor, create_graph: bool) -> Sequence[Tensor]:
        if not output.requires_grad:
            return [torch.zeros_like(x) for x in inputs]
        return torch.autograd.grad(
            output, inputs, u, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )
