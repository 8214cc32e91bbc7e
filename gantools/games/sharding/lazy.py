"""Parameters that stand in modules without their values, which are gathered whenever an operation uses them.

So at most the parameters of one operation are whole at a time: those of a layer that PyTorch computes by one function.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from gantools.errors import GantoolsError

# What is known of a parameter without its values.
_KNOWN = (
    frozenset(
        getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout", "is_cuda", "is_sparse")
    )
    | {Tensor.size, Tensor.dim, Tensor.ndimension, Tensor.numel, Tensor.nelement, Tensor.element_size, Tensor.__len__}
    | {
        *(Tensor.is_floating_point, torch.is_floating_point, Tensor.is_complex, torch.is_complex, Tensor.is_contiguous),
        *(Tensor.is_quantized.__get__, Tensor.is_meta.__get__, Tensor.is_nested.__get__, Tensor.__hash__),  # type: ignore[attr-defined]
    }
)
_REQUIRES: Any = Tensor.requires_grad  # the attribute's descriptor


class Gatherer(Protocol):
    """Makes a parameter of this process's part of it."""

    shape: torch.Size

    def parameter(self, piece: Tensor) -> Tensor:
        """Return the whole parameter; every process has to call this in the same order."""
        ...


class LazyParameter(Tensor):
    """A parameter in a module of which this process holds a part, `piece`; `place` gathers the whole."""

    piece: Tensor
    place: Gatherer

    @staticmethod
    def __new__(cls: type[LazyParameter], piece: Tensor, place: Gatherer) -> LazyParameter:
        # Never a leaf of a graph: a gradient that went there would be lost.
        made = Tensor._make_wrapper_subclass(cls, place.shape, dtype=piece.dtype, device=piece.device)  # type: ignore[attr-defined]
        made.piece, made.place = piece, place
        return made

    def whole(self) -> Tensor:
        """Return the values, gathered, with their graph."""
        return self.place.parameter(self.piece)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _KNOWN:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func is _REQUIRES.__get__:
            return args[0].piece.requires_grad
        if func in (_REQUIRES.__set__, Tensor.requires_grad_):
            return args[0]
        _refuse(func, args)
        args, kwargs = tree_map_only(LazyParameter, LazyParameter.whole, (args, kwargs))
        return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise GantoolsError(
            f"A sharded parameter reached {func} past PyTorch's Python functions, in compiled or scripted code: "
            "give the game the module as it was written."
        )


def whole(x: Any) -> Any:
    """Return the values of a lazy parameter, and anything else as it is."""
    return x.whole() if isinstance(x, LazyParameter) else x


def _refuse(func: Any, args: Any) -> None:
    name = getattr(func, "__name__", "")
    if func in (torch.autograd.grad, torch.autograd.backward, Tensor.backward):
        raise GantoolsError(
            "A loss differentiates by the parameters itself, which no process of a sharded game holds whole: analyse "
            "it replicated (gantools.replicated)."
        )
    writes = (name.endswith("_") and not name.endswith("__")) or name == "__setitem__" or func is Tensor.data.__set__  # type: ignore[attr-defined]
    if (writes or name.startswith("__i") and name not in ("__index__", "__int__", "__invert__")) and isinstance(
        args[0], LazyParameter
    ):
        raise GantoolsError(
            f"Evaluating the losses writes into a sharded parameter ({name}), which is gathered for one operation "
            "only: leave that update out of the losses."
        )


class Gathering(TorchFunctionMode):
    """Gather, in this block, before any other mode sees an operation: they all work on tensors with a graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if LazyParameter not in types:
            return func(*args, **(kwargs or {}))
        return LazyParameter.__torch_function__(func, types, args, kwargs)
