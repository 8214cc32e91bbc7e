"""Running modules as functions: tensors swapped in, side effects kept out, kernels that can be differentiated twice."""

import functools
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.dropout import _DropoutNd

from gantools.errors import GantoolsError, first_line
from gantools.games.elementary import ElementaryOperations
from gantools.games.elementary.power_iterations import power_iterations_followed
from gantools.games.recompute import checkpoints_kept, uncompiled
from gantools.games.sharding.lazy import Gathering, LazyParameter
from gantools.games.stop_gradients import StopGradients
from gantools.games.wrappers import HeldOutside


def as_real(x: Tensor) -> Tensor:
    """Return the tensor itself, or the real view (..., 2) of a complex one."""
    return torch.view_as_real(x) if x.is_complex() else x


def memory_span(x: Tensor) -> tuple[int, int]:
    """Return the first address of a tensor's numbers and the one after its last; tensors that move together overlap."""
    reach = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) + 1 if x.numel() else 0
    start = x.data_ptr() or id(x)
    return start, start + reach * x.element_size()


def refuse_shared(parameters: Sequence[Tensor], owners: Sequence[str], names: Sequence[str]) -> None:
    """Raise a sentence where two parameters share memory: moving one would move the other."""
    held = [getattr(p.detach(), "to_local", p.detach)() for p in parameters]  # in this process
    spans = sorted(zip(map(memory_span, held), owners, names, strict=True))
    for ((_, end), owner, name), ((start, _), other, twin) in itertools.pairwise(spans):
        if start >= end:
            continue
        if owner != other:
            raise GantoolsError(
                f"Players {owner!r} and {other!r} share the parameter {name.partition('.')[2]!r}: give each player its "
                "own copy, or make the shared part a third player."
            )
        raise GantoolsError(
            f"The parameters {name.partition('.')[2]!r} and {twin.partition('.')[2]!r} of player {owner!r} share memory"
            " but are two: tie weights by assigning the same nn.Parameter, which then counts once."
        )


@functools.cache
def load_forward_rules() -> None:
    """Let torch load its dual-number rules, which it does at first use, with a deprecation warning of its own."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def forward_product(function: Callable[[Tensor], Tensor], point: Tensor, u: Tensor) -> Tensor:
    """Return the derivative of `function` at `point` along `u` by dual numbers: one evaluation, no graph kept."""
    return forward_value_and_product(function, point, u)[1]


def forward_value_and_product(function: Callable[[Tensor], Tensor], point: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return the value of `function` at `point` and its derivative along `u`, from one evaluation by dual numbers."""
    load_forward_rules()
    with forward_ad.dual_level(), torch.enable_grad():
        dual = forward_ad.make_dual(point.detach().clone().requires_grad_(), u)
        value, tangent = forward_ad.unpack_dual(function(dual))
        value = value.detach()
    return value, torch.zeros_like(value) if tangent is None else tangent.detach()


# PyTorch has one type for these errors, so its words tell them from a mistake in the user's loss.
_NO_DERIVATIVE = re.compile(
    r"derivative for '?\S+ is not implemented|modified by an inplace operation|differentiate twice|"
    r"Trying to use forward AD with|n[o']t support automatic differentiation"
)


def lacks_derivative(error: RuntimeError) -> bool:
    """Return whether PyTorch failed because it has no derivative, or none of that order, of an operation."""
    return bool(_NO_DERIVATIVE.search(str(error))) and not isinstance(error, torch.OutOfMemoryError)


def no_derivative(error: Exception) -> GantoolsError:
    """Return the sentence for such an error."""
    return GantoolsError(
        f"The field cannot be differentiated here: {first_line(error).rstrip('.')}. Use another operation in its "
        "place, made of elementary ones."
    )


def is_dual(x: Tensor) -> bool:
    """Return whether `x` carries a tangent, so that its function is being differentiated forwards."""
    return forward_ad.unpack_dual(x).tangent is not None


class AllPlayers(nn.Module):
    """All players as one module, so that one call swaps every tensor at once; a player's name may be any string."""

    def __init__(self, players: Mapping[str, nn.Module], losses: Callable[[Any, Any], Any]):
        super().__init__()
        for index, module in enumerate(players.values()):
            self.add_module(str(index), module)
        self._players, self._losses = players, losses
        self.lazy = False  # whether parameters are gathered from several processes where they are used
        # The other names of each tensor, by its first: tied weights have one leaf.
        self._aliases = self._find_aliases()
        self._complex = {name for name, p in self.named_parameters() if p.is_complex()}
        self._homes: dict[str, tuple[nn.Module, str]] = {}
        self._outside = HeldOutside(self)
        self.elementary, self.stops = ElementaryOperations(), StopGradients()
        self.safe = False  # whether losses are evaluated to be differentiated twice, without fused kernels
        # Whether functions are being replaced by elementary operations as well. Always where PyTorch's embeddings would
        # write over their weights, which the field only reads.
        self.exact = any(map(bounds_rows, self.modules()))

    def forward(
        self, batch: Any, read_back: Sequence[str], finish: Callable[[Any], Any]
    ) -> tuple[Any, dict[str, Tensor]]:
        with ExitStack() as stack:
            if self.exact:
                stack.enter_context(self.elementary)
            if self.safe:
                stack.enter_context(self.stops.evaluating_losses())
            if self.lazy:
                stack.enter_context(Gathering())
            losses = self._losses(self._players, batch)
        result = finish(losses)
        # Read here, while they are swapped in: a module may assign a new buffer instead of moving the old one in place.
        return result, {name: t.detach() for name, t in self.tensors(read_back).items()}

    def plain(self, batch: Any) -> Any:
        """Return the losses at the modules' own parameters, with their graph as the user's code makes it."""
        with self._outside.following({}), self.elementary if self.exact else nullcontext():
            return self._losses(self._players, batch)

    def call(
        self,
        names: Sequence[str],
        leaves: Sequence[Tensor],
        buffers: Mapping[str, Tensor],
        batch: Any,
        finish: Callable[[Any], Any] = lambda losses: losses,
    ) -> tuple[Any, dict[str, Tensor]]:
        """Return what is made of the losses at the parameters `names` = `leaves` (real), and the buffers after it.

        Args:
            names: of the parameters within this module.
            leaves: their values, real.
            buffers: are copied; neither they nor the modules' own move.
            batch: one batch.
            finish: makes the result of the losses, the gradients say, while the parameters are still in the modules: a
                backward pass may run a module again.
        """
        swapped = {name: t.detach().clone() for name, t in buffers.items()}
        for name, leaf in zip(names, leaves, strict=True):
            # `view_as_complex` refuses slices of a flat vector; `torch.complex` takes any strides.
            swapped[name] = torch.complex(leaf[..., 0], leaf[..., 1]) if name in self._complex else leaf
        for name, parameter in self.tensors(names).items():
            if tied := vars(parameter):  # by a user's code
                vars(swapped[name]).update(tied)
        swapped |= {alias: swapped[name] for name in list(swapped) for alias in self._aliases[name]}
        self.stops.parameters = frozenset(map(id, leaves))
        self.lazy = any(isinstance(leaf, LazyParameter) for leaf in leaves)
        with self._outside.following(swapped):
            return torch.func.functional_call(self, swapped, (batch, list(buffers), finish), tie_weights=False)

    def constant_names(self, trainable: Sequence[str]) -> list[str]:
        """Return the names of buffers and of parameters that nobody descends."""
        known = set(trainable)
        return [name for name in self._aliases if name not in known]

    def tensors(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the live tensors of these names."""
        found = {}
        for name in names:
            if name not in self._homes:
                self._homes[name] = self._home(name)
            home, last = self._homes[name]
            found[name] = getattr(home, last)
        return found

    def _home(self, name: str) -> tuple[nn.Module, str]:
        path, _, last = name.rpartition(".")
        return self.get_submodule(path), last

    def _find_aliases(self) -> dict[str, list[str]]:
        first: dict[int, str] = {}
        aliases: dict[str, list[str]] = {}
        homes = set()
        everything = (self.named_parameters(remove_duplicate=False), self.named_buffers(remove_duplicate=False))
        for name, tensor in itertools.chain(*everything):
            # A module that is used in two places has one home under two names, and swapping it twice would lose the
            # original.
            home = self._home(name)
            if home in homes:
                continue
            homes.add(home)
            original = first.setdefault(id(tensor), name)
            aliases.setdefault(original, [])
            if original != name:
                aliases[original].append(name)
        return aliases


def _differ(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return len(now) != len(before) or any(now.get(name, now) is not value for name, value in before.items())


@contextmanager
def attributes_restored(module: nn.Module) -> Iterator[None]:
    """Run the block, and give every module its attributes, buffers and hooks again: caches that a forward pass makes.

    They hold tensors of other parameters, precisions and graphs than the modules' own.
    """
    present = []
    for m in module.modules():
        attributes = dict(vars(m))
        inner = [(x, dict(x)) for name, x in attributes.items() if isinstance(x, dict) and name != "_modules"]
        present.append((m, attributes, inner))
    try:
        yield
    finally:
        for m, attributes, inner in present:
            for now, before in ((vars(m), attributes), *inner):
                if _differ(now, before):
                    now.clear()
                    now.update(before)


@contextmanager
def modes_restored(module: nn.Module, modes: Mapping[nn.Module, bool] | None) -> Iterator[None]:
    """Run the block in the given train and eval modes, and put the present ones back."""
    if modes is None:
        yield
        return
    present = {m: m.training for m in module.modules()}
    try:
        for m, training in modes.items():
            m.training = training
        yield
    finally:
        for m, training in present.items():
            m.training = training


def bounds_rows(module: nn.Module) -> bool:
    """Return whether a module is an embedding with `max_norm`, which PyTorch's forward pass writes over."""
    return isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.max_norm is not None


def drops_out(module: nn.Module) -> bool:
    """Return whether this module, without its children, has active dropout."""
    if not module.training:
        return False
    if isinstance(module, _DropoutNd):
        return module.p > 0
    return isinstance(module, (nn.RNNBase, nn.MultiheadAttention)) and module.dropout > 0


def refuse_dropout(module: nn.Module, players: Sequence[str]) -> None:
    """Raise a sentence where dropout is active: each evaluation would be of another function."""
    for name, m in module.named_modules():
        if drops_out(m):
            index, _, rest = name.partition(".")
            where = f"player {players[int(index)]!r}" if index.isdecimal() else "the losses"
            raise GantoolsError(
                f"Dropout is active in {where} ({rest or type(m).__name__}), so the field differs at every evaluation: "
                "call .eval() on it before the analysis."
            )


@contextmanager
def twice_differentiable(module: AllPlayers, exact: bool | None = None) -> Iterator[None]:
    """Avoid fused kernels whose higher or forward derivatives are missing or wrong, in forward passes in this block.

    Those of attention are missing everywhere and those of recurrent nets on CUDA; others are in `elementary`. Looking
    out for these costs time in a small net's forward pass, so training steps do it (`exact=None`) only if an earlier
    evaluation with `exact=True` met any that they may need.
    """
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(checkpoints_kept())
        stack.enter_context(uncompiled())
        stack.enter_context(power_iterations_followed(module, module.stops.stopped))
        if any(isinstance(m, nn.RNNBase) for m in module.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        present = module.safe, module.exact
        module.safe, module.exact = True, module.elementary.used if exact is None else exact
        try:
            yield
        finally:
            module.safe, module.exact = present
