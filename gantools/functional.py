"""Running modules as functions: tensors swapped in, side effects kept out, kernels that can be differentiated twice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.dropout import _DropoutNd

from gantools.errors import GantoolsError


def as_real(x: Tensor) -> Tensor:
    """Return the tensor itself, or the real view (..., 2) of a complex one."""
    return torch.view_as_real(x) if x.is_complex() else x


def storage_key(x: Tensor) -> int:
    """Return what two tensors have in common when moving one moves the other."""
    return x.untyped_storage().data_ptr() or id(x)


class AllPlayers(nn.Module):
    """All players as one module, so that one call swaps every tensor at once; a player's name may be any string."""

    def __init__(self, players: Mapping[str, nn.Module], losses: Callable[[Any, Any], Any]):
        super().__init__()
        for index, module in enumerate(players.values()):
            self.add_module(str(index), module)
        self._players = players
        self._losses = losses
        # Tied weights have one leaf under several names.
        self._aliases = self._find_aliases()
        self._complex = {name for name, p in self.named_parameters() if p.is_complex()}

    def forward(self, batch: Any, read_back: Sequence[str]) -> tuple[Any, dict[str, Tensor]]:
        losses = self._losses(self._players, batch)
        # Read here, while they are swapped in: a module may assign a new buffer instead of moving the old one in place.
        return losses, {name: t.detach() for name, t in self.tensors(read_back).items()}

    def call(
        self, names: Sequence[str], leaves: Sequence[Tensor], buffers: Mapping[str, Tensor], batch: Any
    ) -> tuple[Any, dict[str, Tensor]]:
        """Return the losses at the parameters `names` = `leaves` (real tensors), and the buffers after the forward pass.

        The given buffers are copied; neither they nor the modules' own move.
        """
        swapped = {name: t.detach().clone() for name, t in buffers.items()}
        for name, leaf in zip(names, leaves, strict=True):
            # `view_as_complex` refuses slices of a flat vector; `torch.complex` takes any strides.
            value = torch.complex(leaf[..., 0], leaf[..., 1]) if name in self._complex else leaf
            swapped[name] = value
            for alias in self._aliases.get(name, ()):
                swapped[alias] = value
        return torch.func.functional_call(self, swapped, (batch, list(buffers)), tie_weights=False)

    def constant_names(self, trainable: Sequence[str]) -> list[str]:
        """Return the names of buffers and of parameters that nobody descends."""
        known = set(trainable)
        aliases = {alias for name in trainable for alias in self._aliases.get(name, ())}
        frozen = [name for name, _ in self.named_parameters(remove_duplicate=False) if name not in known | aliases]
        return frozen + [name for name, _ in self.named_buffers(remove_duplicate=False)]

    def tensors(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the live tensors of these names."""
        found = {}
        for name in names:
            path, _, last = name.rpartition(".")
            found[name] = getattr(self.get_submodule(path), last)
        return found

    def _find_aliases(self) -> dict[str, list[str]]:
        first: dict[int, str] = {}
        aliases: dict[str, list[str]] = {}
        for name, p in self.named_parameters(remove_duplicate=False):
            original = first.setdefault(id(p), name)
            if original != name:
                aliases.setdefault(original, []).append(name)
        return aliases


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


def _power_iterations(module: nn.Module) -> list[Any]:
    """Find what moves singular vectors in a forward pass: the parametrization, and the older hook."""
    found: list[Any] = []
    for m in module.modules():
        candidates = [m, *m._forward_pre_hooks.values()]
        found += [c for c in candidates if hasattr(c, "n_power_iterations")]
    return found


@contextmanager
def power_iterations_frozen(module: nn.Module) -> Iterator[None]:
    """Hold the singular vectors of spectral normalisation still, so that the derivative is that of what is computed."""
    found = _power_iterations(module)
    counts = [c.n_power_iterations for c in found]
    try:
        for c in found:
            c.n_power_iterations = 0
        yield
    finally:
        for c, count in zip(found, counts, strict=True):
            c.n_power_iterations = count


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
            raise GantoolsError(
                f"Dropout is active in player {players[int(index)]!r} ({rest or type(m).__name__}), so the field differs "
                "at every evaluation: call .eval() on it before the analysis."
            )


@contextmanager
def twice_differentiable(module: nn.Module) -> Iterator[None]:
    """Avoid fused kernels that lack a second or a forward derivative: attention everywhere, recurrent nets on CUDA."""
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(m, nn.RNNBase) for m in module.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield
