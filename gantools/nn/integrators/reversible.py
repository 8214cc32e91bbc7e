"""Reversible blocks, and chains of them whose memory does not grow with their depth."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from gantools.errors import GantoolsError
from gantools.games.functional import drops_out, is_dual, modes_restored
from gantools.nn.integrators.schemes import Integrator


class RevBlock(Integrator):
    r"""Symplectic Euler, the RevNet block (Gomez et al., arXiv:1707.04585): $x' = x + h f(y)$, $y' = y + h g(x')$.

    The state joins x and y along an axis. A step of $\dot x = f(y), \dot y = g(x)$, of order 1, that can be undone:
    $y = y' - h g(x')$, $x = x' - h f(y)$, exactly up to rounding. In a `RevSequence` activations are not stored.

    Args:
        f: module that keeps the shape of half a state.
        g: another one.
        step: h.
        dim: the axis along which x and y are joined.

    Raises:
        GantoolsError: for a step of 0, and, when it is called, an odd number of entries along `dim`.
    """

    scheme, order = "symplectic Euler", 1

    def __init__(self, f: nn.Module, g: nn.Module, step: float = 1.0, dim: int = 1):
        super().__init__(step)
        self.f, self.g, self.dim = f, g, dim

    def forward(self, u: Tensor, undo: bool = False) -> Tensor:
        if u.shape[self.dim] % 2:
            raise GantoolsError(
                f"The state has {u.shape[self.dim]} entries along axis {self.dim}: make it an even number, for x and y."
            )
        x, y = u.chunk(2, self.dim)
        if undo:
            y = y - self.step * self.g(x)
            x = x - self.step * self.f(y)
        else:
            x = x + self.step * self.f(y)
            y = y + self.step * self.g(x)
        return torch.cat([x, y], self.dim)

    def inverse(self, u: Tensor) -> Tensor:
        """Return the state before the step that led to u."""
        return self(u, undo=True)


class RevSequence(nn.Sequential):
    r"""Run `RevBlock`s one after another, and keep nothing for the backward pass but the last state.

    The backward pass undoes block after block and runs each again, so the memory of a training step is that of one
    block, whatever their number, for about the work of one more forward pass and a half. Only values are
    recomputed, the graph is the original one: derivatives of every order are right. (A backward pass with
    `create_graph=True` keeps the tensors it recomputed, which second derivatives need.) Undoing adds rounding errors,
    block after block: look at `drift` before trusting a deep chain in float32.

    With `recompute=False`, while forward derivatives are taken and inside `torch.func` or a torch function mode (all
    analysis of gantools), the usual activations are stored.

    Raises:
        GantoolsError: in the forward pass for active dropout, which would drop other entries when run again; in the
            backward pass for an output changed in place, and for blocks whose second run differs from the first.
    """

    def __init__(self, *blocks: RevBlock, recompute: bool = True):
        super().__init__(*blocks)
        for block in blocks:
            if not isinstance(block, RevBlock):
                raise GantoolsError(f"A {type(block).__name__} cannot be undone: build the chain from RevBlocks.")
        self.recompute = recompute

    def forward(self, input: Tensor) -> Tensor:
        if not self.recompute or not torch.is_grad_enabled() or self._observed(input):
            return super().forward(input)
        for name, module in self.named_modules():
            if drops_out(module):
                raise GantoolsError(f"Dropout is active in {name}, and a RevSequence runs its blocks twice: remove it.")
        tape, u = _Tape(), input
        for block in self:
            u = tape.record(block, u)
        tape.finish(u)
        return u

    def _observed(self, input: Tensor) -> bool:
        if torch._C._are_functorch_transforms_active() or torch._C._len_torch_function_stack():
            return True
        return any(is_dual(x) for x in (input, *self.parameters()))

    def inverse(self, u: Tensor) -> Tensor:
        """Return the state that led to u."""
        for block in reversed(list(self)):
            u = block.inverse(u)  # type: ignore[operator]
        return u

    def drift(self, u: Tensor) -> float:
        """Return the relative error of a state that went through the chain and back."""
        with torch.no_grad():
            return float((self.inverse(super().forward(u)) - u).norm() / u.norm())


class _Recorded:
    """A block's tensors and modes at its forward pass, so that it can be undone and run again."""

    def __init__(self, block: nn.Module, u: Tensor):
        self.block, self.requires_grad = block, u.requires_grad
        self.modes = {module: module.training for module in block.modules()}
        self.parameters = dict(block.named_parameters())
        # Running statistics and singular vectors move in a forward pass: each new one starts from these.
        self.buffers = {name: buffer.detach().clone() for name, buffer in block.named_buffers()}
        self.kept = {p.untyped_storage().data_ptr() for p in self.parameters.values()}
        self.count = 0

    def stores(self, x: Tensor) -> bool:
        """Return whether a tensor saved for the backward pass must be computed again: not if it is a parameter."""
        return x.untyped_storage().data_ptr() not in self.kept

    def call(self, parameters: Mapping[str, Tensor], u: Tensor, **options: Any) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        with modes_restored(self.block, self.modes):
            return functional_call(self.block, {**parameters, **buffers}, (u,), options)

    def undo(self, u: Tensor) -> Tensor:
        with torch.no_grad():
            return self.call(self.parameters, u, undo=True)

    def rerun(self, u: Tensor, pack: Callable[[Tensor], None]) -> None:
        parameters = {k: p.detach().requires_grad_(p.requires_grad) for k, p in self.parameters.items()}
        with torch.enable_grad(), saved_tensors_hooks(pack, _unused):
            self.call(parameters, u.detach().requires_grad_(self.requires_grad))


class _Tape:
    """Recomputes the tensors that autograd asks for, one block at a time, from the last state backwards."""

    def __init__(self) -> None:
        self._blocks: list[_Recorded] = []
        self._at = -1
        self._input: Tensor | None = None
        self._values: list[Tensor] = []

    def record(self, block: nn.Module, u: Tensor) -> Tensor:
        recorded, index = _Recorded(block, u), len(self._blocks)
        self._blocks.append(recorded)

        def pack(x: Tensor) -> Any:
            if not recorded.stores(x):
                return x
            recorded.count += 1
            return index, recorded.count - 1

        def unpack(packed: Any) -> Tensor:
            return packed if isinstance(packed, Tensor) else self.value(*packed)

        with saved_tensors_hooks(pack, unpack):
            return block(u)

    def finish(self, u: Tensor) -> None:
        self._output, self._version = u.detach(), u._version

    def value(self, index: int, number: int) -> Tensor:
        if index != self._at:
            self._go_to(index)
        return self._values[number]

    def _go_to(self, index: int) -> None:
        if self._output._version != self._version:
            raise GantoolsError("The output of a RevSequence was changed in place, and its backward pass needs it.")
        if self._input is None or index > self._at:
            self._at, u = len(self._blocks), self._output
        else:
            u = self._input
        self._values = []
        while self._at > index:
            self._at -= 1
            u = self._blocks[self._at].undo(u)
        self._input = u
        recorded, values = self._blocks[index], self._values
        recorded.rerun(u, lambda x: values.append(x.detach()) if recorded.stores(x) else None)
        if len(values) != recorded.count:
            raise GantoolsError(
                "A block of a RevSequence did something else when it was run again: pass recompute=False."
            )


def _unused(packed: Any) -> Tensor:
    raise AssertionError("a block that is run again is not differentiated")
