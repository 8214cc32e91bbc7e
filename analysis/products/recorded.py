r"""Products with a Jacobian by straight-line code that is recorded once, and may be compiled.

The function is traced to elementary operations, differentiated forwards along a symbolic direction, and everything that
does not depend on the direction is evaluated once and kept (partial evaluation: what `torch.func.linearize` does,
which cannot look into a field that itself calls autograd). What is left is the linear map $u \mapsto J u$ itself. It
has fewer operations than a backward pass through a kept graph, batches better over blocks, and can be compiled.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from gantools.analysis.products.autograd import Function, Products, differ, probe
from gantools.analysis.products.batching import BLOCK, Batching
from gantools.errors import GantoolsError, first_line
from gantools.games.functional import forward_product
from gantools.traced import BACKEND, traced

_TRANSPARENT = (torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.lift_fresh.default)
# `aten.copy`, which stands for a copy in place, has no forward derivative.
_COPY = {torch.ops.aten.copy.default: lambda into, source, *_: source.to(into).expand_as(into).clone()}


class CannotRecordError(RuntimeError):
    """The function does not trace, or its recording gives other products than its graph."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recorded product with a Jacobian.

    Attributes:
        graph: of (u, *constants) -> J u.
        constants: tensors that differ between batches of equal shape, for which the graph is the same.
    """

    graph: GraphModule
    constants: tuple[Tensor, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """A key that is equal for recordings that can share a graph and its compiled code."""
        attributes = tuple(id(self.graph) for node in self.graph.graph.nodes if node.op == "get_attr")
        return self.graph.code, attributes, tuple((c.shape, c.stride(), c.dtype, c.device) for c in self.constants)


def record(function: Function, point: Tensor) -> Recording:
    r"""Return $u \mapsto J u$ at the point as a graph of elementary operations, constants folded.

    Raises:
        CannotRecordError: when the function cannot be traced or differentiated forwards.
    """
    try:
        # Where this raises, a trace of the same may kill the process (mse_loss: pytorch issue 123996).
        forward_product(function, point, probe(point))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = _differentiable(_without_detach(traced(function, point.detach().clone())), point)
            zeros = torch.zeros_like(point)
            with torch.no_grad():
                product = traced(lambda u: torch.func.jvp(value, (point,), (u,))[1], zeros)
                return _folded(_out_of_place(product, zeros))
    except Exception as error:  # tracing fails in as many ways as there are models
        raise CannotRecordError(str(error)) from error


def _without_detach(module: GraphModule) -> GraphModule:
    # Inside a gradient autograd's own saved values are detached too, so these nodes do not show the user's intent: a
    # loss that does detach is found by comparing products.
    for node in list(module.graph.nodes):
        if node.target in _TRANSPARENT:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()
    return module


def _differentiable(traced: GraphModule, point: Tensor) -> GraphModule:
    """Return a trace without operations in place, if that has a forward derivative; that of `rrelu` has none."""
    value = _out_of_place(traced, point)
    try:
        forward_product(value, point, probe(point))
    except RuntimeError:
        return traced
    return value


def _out_of_place(module: GraphModule, example: Tensor) -> GraphModule:
    """Replace operations in place by those that make new tensors: LSTM, GRU and cosine losses use many.

    What is evaluated once must not be overwritten by the products, and `torch.vmap` has no rule for copies in place.
    """
    if not any(isinstance(node.target, OpOverload) and node.target._schema.is_mutable for node in module.graph.nodes):
        return module
    try:
        return traced(torch.func.functionalize(module), example, decomposition_table=_COPY)
    except RuntimeError:  # a tensor from outside, such as a module's buffer, is changed in place
        return module


def _folded(module: GraphModule) -> Recording:
    """Evaluate once all that does not depend on the direction, and make the values that are needed inputs."""
    moving: set[Node] = set()
    values: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder" or any(source in moving for source in node.all_input_nodes):
            moving.add(node)
        elif node.op == "get_attr":
            values[node] = getattr(module, str(node.target))
        elif node.op == "call_function":
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*args, **kwargs)
    constants: list[Tensor] = []
    last = next(node for node in module.graph.nodes if node.op == "placeholder")
    for index, (node, value) in enumerate(values.items()):
        if all(user in values for user in node.users):
            continue
        if isinstance(value, Tensor):
            constants.append(value.detach())
            with module.graph.inserting_after(last):
                last = module.graph.placeholder(f"constant_{index}")
            node.replace_all_uses_with(last)
        elif node.op == "call_function":
            setattr(module, f"folded_{index}", value)
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"folded_{index}"))
    module.graph.eliminate_dead_code()
    module.recompile()
    return Recording(module, tuple(constants))


class Program:
    """A recorded graph, run with the constants of any recording of the same key; compiled on request."""

    def __init__(self, graph: GraphModule, compiled: bool):
        self._graph = graph
        self._compiled = compiled
        self._one = self._compile(graph)
        self._together: dict[int, Callable[..., Tensor]] = {}

    def one(self, u: Tensor, constants: Sequence[Tensor]) -> Tensor:
        """Return J u for u (n,)."""
        return self._call(self._one, u, constants)

    def many(self, rows: Tensor, constants: Sequence[Tensor]) -> Tensor:
        """Return the products (k, n) with rows (k, n)."""
        # Each width is compiled by itself, so narrow ends of a wide block are padded instead.
        width = len(rows)
        if self._compiled and width not in self._together and 2 * width > BLOCK:
            width = BLOCK
        if width not in self._together:
            self._together[width] = self._compile(torch.vmap(self._graph, in_dims=(0, *[None] * len(constants))))
        padded = torch.nn.functional.pad(rows, (0, 0, 0, width - len(rows)))
        return self._call(self._together[width], padded, constants)[: len(rows)]

    def _compile(self, module: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if not self._compiled:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the compiler imports
            return torch.compile(module, backend=BACKEND, dynamic=False)

    def _call(self, module: Callable[..., Tensor], u: Tensor, constants: Sequence[Tensor]) -> Tensor:
        if not self._compiled:
            return module(u, *constants)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return module(u, *constants)
        except Exception as error:  # the compiler has errors of its own
            raise CannotRecordError(str(error)) from error


Part = tuple[float, Function, Callable[[], Products]]


class ReplayProducts:
    """Products with the weighted mean of Jacobians by replaying a recording of each; transposed ones are given.

    A recording keeps about as much as a graph: the activations of its batch. All are in memory at once, which is the
    price; their graphs are not. Recordings of equal shape share their code, and what is compiled of it.

    Args:
        parts: for each batch its weight, the function, and a maker of products, against which a recording is checked
            once.
        point: where they are differentiated.
        transposed: products with the transpose; None where J = J^T.
        compiled: whether to compile the recordings (seconds to a minute, at the first product of each width).

    Raises:
        GantoolsError: when one cannot be recorded or compiled, or gives other products.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        point: Tensor,
        transposed: Callable[[Tensor], Tensor] | None = None,
        compiled: bool = False,
    ):
        self._transposed = transposed
        self._compiled = compiled
        self._batching = Batching()
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._recordings: list[tuple[float, Program, tuple[Tensor, ...]]] = []
        try:
            for weight, function, make_products in parts:
                self._add(weight, record(function, point))
                self._require_same(function, make_products(), point)
        except CannotRecordError as error:
            kind = "compiled" if compiled else "recorded"
            raise GantoolsError(
                f"Products cannot be {kind} here ({first_line(error)}): use method='auto' or 'reverse'."
            ) from error
        self._total = sum(weight for weight, _, _ in self._recordings)

    def product(self, u: Tensor) -> Tensor:
        total = self._total
        return functools.reduce(torch.add, (w / total * self._replayed(p, c, u) for w, p, c in self._recordings))

    def transposed(self, u: Tensor) -> Tensor:
        return self.product(u) if self._transposed is None else self._transposed(u)

    def _add(self, weight: float, recording: Recording) -> None:
        program = self._programs.get(recording.key)
        if program is None:
            program = self._programs[recording.key] = Program(recording.graph, self._compiled)
        self._recordings.append((weight, program, recording.constants))

    def _require_same(self, function: Function, products: Products, point: Tensor) -> None:
        _, program, constants = self._recordings[-1]
        # Twice, with different vectors: a recording that kept an operation in place would drift.
        for u in (probe(point, 1), probe(point, 2)):
            if differ(self._replayed(program, constants, u), products.product(u), function, point, u):
                raise CannotRecordError("it gives other products than the graph it was recorded from")

    def _replayed(self, program: Program, constants: tuple[Tensor, ...], u: Tensor) -> Tensor:
        with torch.no_grad():
            if u.dim() == 1:
                return program.one(u, constants)
            return self._batching.apply(
                lambda row: program.one(row, constants), lambda rows: program.many(rows, constants), u
            )
