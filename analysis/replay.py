r"""Products with a Jacobian recorded once as straight-line code, and that code compiled.

The function is traced to elementary operations, differentiated forwards along a symbolic direction, and everything that
does not depend on the direction is evaluated once and kept (partial evaluation: what `torch.func.linearize` does,
which cannot look into a field that itself calls autograd). What is left is the linear map $u \mapsto J u$ itself. It
has fewer operations than a backward pass through a kept graph, batches better over blocks, and can be compiled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

from gantools.analysis.products import BLOCK, Batching, Function, ReverseProducts, differ, probe, timed
from gantools.errors import GantoolsError

BACKEND = "inductor"
# After so many columns and so many seconds of blocks a recording is tried: it costs about a hundred products at most.
PATIENCE_COLUMNS, PATIENCE_SECONDS = 512, 1.0

_TRANSPARENT = (torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.lift_fresh.default)


class CannotRecordError(RuntimeError):
    """The function does not trace, or its recording gives other products than its graph."""


def record(function: Function, point: Tensor) -> GraphModule:
    r"""Return $u \mapsto J u$ at the point as a graph of elementary operations, constants folded.

    Raises:
        CannotRecordError: when the function cannot be traced or differentiated forwards.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = _without_detach(make_fx(function)(point.detach().clone()))
            with torch.no_grad():
                return _folded(make_fx(lambda u: torch.func.jvp(value, (point,), (u,))[1])(torch.zeros_like(point)))
    except Exception as error:  # tracing fails in as many ways as there are models
        raise CannotRecordError(str(error)) from error


def _without_detach(module: GraphModule) -> GraphModule:
    # Inside a gradient autograd's own saved values are detached too, so these nodes say nothing about the user's
    # intent: a loss that does detach is found by comparing products.
    for node in list(module.graph.nodes):
        if node.target in _TRANSPARENT:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()
    return module


def _folded(module: GraphModule) -> GraphModule:
    """Evaluate once what does not depend on the direction."""
    moving: set[Node] = set()
    constants: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder" or any(source in moving for source in node.all_input_nodes):
            moving.add(node)
        elif node.op == "get_attr":
            constants[node] = getattr(module, str(node.target))
        elif node.op == "call_function":
            args, kwargs = map_arg((node.args, node.kwargs), constants.__getitem__)
            constants[node] = node.target(*args, **kwargs)
    for index, (node, constant) in enumerate(constants.items()):
        if node.op == "call_function" and any(user not in constants for user in node.users):
            name = f"folded_{index}"
            if isinstance(constant, Tensor):
                module.register_buffer(name, constant.detach())
            else:
                setattr(module, name, constant)
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(name))
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


class ReplayProducts:
    """Products by replaying the recording; the transpose of a Jacobian that is not symmetric by its kept graph.

    Args:
        function, point: what is differentiated, and where.
        reverse: the kept graph of the same function, against which the recording is checked once.
        symmetric: whether J = J^T.
        compiled: whether to compile the recording (seconds to a minute, at the first product of each width).

    Raises:
        GantoolsError: when it cannot be recorded or compiled, or gives other products.
    """

    def __init__(
        self, function: Function, point: Tensor, reverse: ReverseProducts, symmetric: bool, compiled: bool = False
    ):
        self._reverse = reverse
        self._symmetric = symmetric
        self._compiled = compiled
        self._batching = Batching()
        try:
            self._graph = record(function, point)
            self._one = self._compile(self._graph)
            self._together: dict[int, Callable[[Tensor], Tensor]] = {}
            # Twice, with different vectors: a recording that kept an operation in place would drift.
            if any(differ(self.product(u), reverse.product(u)) for u in (probe(point, 1), probe(point, 2))):
                raise CannotRecordError("it gives other products than the graph it was recorded from")
        except CannotRecordError as error:
            kind = "compiled" if compiled else "recorded"
            raise GantoolsError(
                f"Products cannot be {kind} here ({_first_line(error)}): use method='auto' or 'reverse'."
            ) from error

    def product(self, u: Tensor) -> Tensor:
        with torch.no_grad():
            if u.dim() == 1:
                return self._call(self._one, u)
            return self._batching.apply(lambda row: self._call(self._one, row), self._many, u)

    def transposed(self, u: Tensor) -> Tensor:
        return self.product(u) if self._symmetric else self._reverse.transposed(u)

    def _many(self, rows: Tensor) -> Tensor:
        # Each width is compiled by itself, so narrow ends of a wide block are padded instead.
        width = len(rows)
        if self._compiled and width not in self._together and 2 * width > BLOCK:
            width = BLOCK
        if width not in self._together:
            self._together[width] = self._compile(torch.vmap(self._graph))
        if width > len(rows):
            rows = torch.cat([rows, rows.new_zeros(width - len(rows), rows.shape[1])])
            return self._call(self._together[width], rows)[: len(rows)]
        return self._call(self._together[width], rows)

    def _compile(self, module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        if not self._compiled:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the compiler imports
            return torch.compile(module, backend=BACKEND, dynamic=False)

    def _call(self, module: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
        if not self._compiled:
            return module(u)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return module(u)
        except Exception as error:  # the compiler has errors of its own
            raise CannotRecordError(str(error)) from error


class PatientProducts:
    """Products as given, until blocks have cost much; then a recording is tried, and kept for blocks if faster."""

    def __init__(self, products: Any, make_replay: Callable[[], ReplayProducts]):
        self._products = products
        self._make_replay = make_replay
        self._replay: ReplayProducts | None = None
        self._columns, self._seconds = 0, 0.0
        self._tried = False

    def product(self, u: Tensor) -> Tensor:
        return self._block(u) if u.dim() == 2 and u.shape[1] > 3 else self._products.product(u)

    def transposed(self, u: Tensor) -> Tensor:
        return self._products.transposed(u)

    def _block(self, u: Tensor) -> Tensor:
        if self._replay is not None:
            return self._replay.product(u)
        result, seconds = timed(lambda: self._products.product(u), u.device)
        self._columns += u.shape[1]
        self._seconds += seconds
        if not self._tried and self._columns > PATIENCE_COLUMNS and self._seconds > PATIENCE_SECONDS:
            self._tried = True
            self._try(u[:, :8])
        return result

    def _try(self, u: Tensor) -> None:
        try:
            replay = self._make_replay()
            # The first two blocks are learnt from, and not typical.
            ours = min(timed(lambda: replay.product(u), u.device)[1] for _ in range(3))
        except (GantoolsError, RuntimeError):
            return
        if ours < 0.8 * timed(lambda: self._products.product(u), u.device)[1]:
            self._replay = replay


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
