"""Calls of a user's function that repeat: the same random numbers, the same pool of images, each time."""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gantools.batches import map_tensors
from gantools.data.random_state import random_state, random_state_kept, set_random_state
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.games.plain_field import undisturbed
from gantools.trainers.torch_optim.steps import frozen_from_the_start, held_by
from gantools.watching.copies import ATOMIC, Copies
from gantools.watching.namespaces import Namespaces


class StillLosses:
    """A copy of a loop's losses that finds, at every call, the random state and the pools of images of the look.

    Modules stay the same at every call. What their hooks and attributes hold is copied with the losses, in one world: a
    hook fills the dictionary that the losses then read.

    Args:
        losses: `losses(players, batch)`, the original.
        copies: the world of copies that the players are in.
    """

    def __init__(self, losses: Any, copies: Copies):
        self.losses = copies.of(losses)  # never called itself, so that what it reaches stays as it is
        self.namespaces = Namespaces(copies)
        self.kept = _what_stays(copies.modules)
        self.held = _held(copies.modules)
        self.state = random_state()
        self.rewinders = copies.rewinders()

    def __call__(self, players: Any, batch: Any) -> Any:
        world = Copies(kept=self.kept)
        for module, name, value in self.held:
            vars(module)[name] = world.of(value)
        losses = world.of(self.losses)
        with random_state_kept():
            set_random_state(self.state)
            for rewind in self.rewinders:
                rewind()
            with self.namespaces.holding(world):
                return losses(players, map_tensors(Tensor.clone, batch))


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OF_MODULES = frozenset(vars(nn.Module()))


def _what_stays(modules: Iterable[nn.Module]) -> list[Any]:
    """Return what a call does not copy: modules, their parameters, and PyTorch's hooks, which others may hold still."""
    hooks = [hook for m in modules for name in _HOOKS for hook in (getattr(m, name) or {}).values()]
    return [
        *modules,
        *(p for m in modules for p in m.parameters()),
        *(x for x in hooks if _of_torch(x) or hasattr(x, "n_power_iterations")),
    ]


def _held(modules: Iterable[nn.Module]) -> list[tuple[nn.Module, str, Any]]:
    """Return what a user's code may fill through modules: their hooks, and the attributes of classes of the user's."""
    found = [(m, name, getattr(m, name)) for m in modules for name in _HOOKS if getattr(m, name)]
    for m in modules:
        own = {} if _of_torch(m) else {name: x for name, x in vars(m).items() if name not in _OF_MODULES}
        mutable = {name: x for name, x in own.items() if type(x) not in ATOMIC and not _of_torch(x)}
        found += [(m, name, x) for name, x in mutable.items() if not _holds_parameters(x)]
    return found


def _of_torch(x: Any) -> bool:
    kind = type(x).__bases__[0] if isinstance(x, nn.Module) and parametrize.is_parametrized(x) else type(x)
    return isinstance(x, torch.jit.ScriptModule) or kind.__module__.startswith("torch.")


def _holds_parameters(x: Any, depth: int = 3) -> bool:
    """Return whether a container holds parameters, for which a game puts others in its evaluations."""
    if isinstance(x, (list, tuple, dict)) and depth:
        return any(_holds_parameters(item, depth - 1) for item in (x.values() if isinstance(x, dict) else x))
    return isinstance(x, nn.Parameter)


@contextmanager
def repeating(state: dict[str, Any], dtype: torch.dtype | None = None) -> Iterator[None]:
    """Run a step of the user's in this block from a random state, silently; what is global is put back.

    Args:
        state: what `random_state` returned.
        dtype: of new tensors.
    """
    before = torch.get_default_dtype()
    with random_state_kept(), warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.enable_grad():
        warnings.simplefilter("ignore")
        set_random_state(state)
        try:
            torch.set_default_dtype(dtype or before)
            yield
        finally:
            torch.set_default_dtype(before)


class _Reads(TorchDispatchMode):
    """Whether operations in this block are given tensors that share memory with some of these."""

    def __init__(self, wanted: dict[int, str]):
        super().__init__()
        self.wanted, self.found = wanted, dict[str, None]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, Tensor) and (name := self.wanted.get(_memory(x))) is not None:
                self.found[name] = None
        return func(*args, **(kwargs or {}))


def _memory(x: Tensor) -> int:
    try:
        return int(x.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):  # a tensor without memory of its own
        return 0


def require_no_reads(players: Mapping[str, nn.Module], game: Game, batch: Any) -> None:
    """Refuse losses that compute with the loop's own parameters, where a look moves copies of them.

    Args:
        players: the loop's own.
        game: on their copies.
        batch: one batch.
    """
    copied = {_memory(p) for player in game.players.values() for p in player.parameters()}  # some cannot be copied
    named = [(f"{player}.{name}", p) for player, module in players.items() for name, p in module.named_parameters()]
    reads = _Reads({_memory(p): name for name, p in named if _memory(p) not in {0, *copied}})
    with suppress(Exception), undisturbed(game), reads:  # what fails here fails in the look itself, and is told there
        game.plain_losses(batch)
    if reads.found:
        raise GantoolsError(
            f"The losses compute with {next(iter(reads.found))} of the loop's own modules, on a way that a look cannot "
            "copy (a data set that holds them, say), so they do not depend on the copies that it moves. Take the "
            "modules from the players that the losses are given, or name them in a plain function."
        )


class Originals:
    """The tensors of a training loop, to prove after a look that it has written to none of them.

    Args:
        modules: with parameters, their gradients, and buffers.
        optimizers: with states.
        keep: whether to keep copies of the values, so that they can be put back.
    """

    def __init__(self, modules: Iterable[nn.Module], optimizers: Iterable[torch.optim.Optimizer], keep: bool):
        tensors: dict[str, Tensor] = {}
        self.gradients: list[tuple[str, Tensor, Tensor | None]] = []
        for index, module in enumerate(modules):
            for name, p in module.named_parameters(f"module {index}"):
                tensors |= {f"parameter {name}": p} | ({} if p.grad is None else {f"gradient of {name}": p.grad})
                self.gradients.append((f"gradient of {name}", p, p.grad))
            tensors |= {f"buffer {name}": b for name, b in module.named_buffers(f"module {index}")}
        for number, optimizer in enumerate(optimizers):
            for index, state in enumerate(optimizer.state.values()):
                named = state.items() if isinstance(state, Mapping) else ()
                where = f"of parameter {index} in optimizer {number}"
                tensors |= {f"{key} {where}": x for key, x in named if isinstance(x, Tensor)}
        self.tensors = {name: x for name, x in tensors.items() if not x.is_inference()}
        self.versions = {name: x._version for name, x in self.tensors.items()}
        self.values = {name: x.detach().clone() for name, x in self.tensors.items()} if keep else {}

    def require_untouched(self) -> None:
        """Refuse a look that wrote to any of them; where values were kept they are put back."""
        moved = [name for name, x in self.tensors.items() if x._version != self.versions[name]]
        replaced = [name for name, p, gradient in self.gradients if p.grad is not gradient]
        for _, p, gradient in self.gradients if replaced else ():
            p.grad = gradient
        with torch.no_grad():
            for name in moved if self.values else ():
                self.tensors[name].copy_(self.values[name])
        if not moved and not replaced:
            return
        back = "It was put back" if self.values else "It could not be put back"
        raise GantoolsError(
            "The function reaches the loop's own modules on a way that a look cannot copy (a data set that holds "
            f"them, say), and wrote to {(moved + replaced)[0]}. {back}. Pass a plain function that "
            "names them, or a method of an object that holds them."
        )


def choose_parameters(
    players: Mapping[str, nn.Module], optimizers: Iterable[torch.optim.Optimizer], copies: Copies
) -> list[str]:
    """Let what the loop's optimizers move require gradients in the copied players, and nothing else; return notes."""
    optimizers = list(optimizers)  # the loop's own: copies have no gradients
    held = {i: p for o in optimizers for i, p in held_by(o).items()}
    unmoved = held.keys() - {i for o in optimizers for i in held_by(o).keys() - frozen_from_the_start(o)}
    owned, frozen = ({id(copies.of(p)) for i, p in held.items() if (i in unmoved) is flag} for flag in (False, True))
    notes = []
    for name, module in players.items():
        own = [p for p in module.parameters() if p.is_floating_point() or p.is_complex()]
        # A player of whom nothing moves is no player: it is switched off for a while.
        count = sum(id(p) in frozen for p in own) if any(id(p) in owned for p in own) else 0
        for p in own:
            p.requires_grad_(id(p) in owned or (not count and id(p) in frozen))
        if count:
            notes.append(
                f"Frozen in {name}, and so constants of the look: {count} of its parameter tensors, which the "
                "optimizers hold, require no gradient and never had any."
            )
    return notes
