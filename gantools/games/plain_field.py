"""The field against plain autograd on the user's own modules.

It is another one where a loss captured parameters from outside, a module keeps weights outside its parameters, or a
backward pass runs the module again.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gantools.batches import Parts, first_samples
from gantools.errors import GantoolsError, GantoolsWarning
from gantools.games import functional
from gantools.random_vectors import normal_entries

if TYPE_CHECKING:
    from gantools.games.game import Game

SAMPLES = 4
REPEATS = 3
SHIFT = 1e-2  # of the point near by, relative to the size of each parameter
LEAST = 0.05  # what counts as the size of a parameter that is zero


def require_field(game: Game, batch: Any) -> None:
    """Refuse a game whose field is not what plain autograd gives on the modules themselves.

    The modules' parameters are moved to a point near by and put back; buffers and the random state are put back too.

    Raises:
        GantoolsError: says which player's field differs, by how much, and what does that.
    """
    if game.field_is_checked or torch.is_inference_mode_enabled():  # which the field refuses by itself
        return
    if game.layout.stacked:
        game.examine(batch)  # type: ignore[attr-defined]  of a stacked game
        return
    if game.replicas is not None:
        with game.replicas.agreed():
            require_field(game.alone, batch)
        game.field_is_checked = True
        return
    w = game.vector()
    with undisturbed(game):
        batch = few(game, batch)
        for point in (w, w + shift(w)):
            _move(game, point)
            _compare_fields(game, point, batch)
    game.field_is_checked = True
    _tell_of_bounded_rows(game)


def _tell_of_bounded_rows(game: Game) -> None:
    modules = [(p, name, m) for p, player in game.players.items() for name, m in player.named_modules()]
    if bounded := [".".join(filter(None, (p, name))) for p, name, m in modules if functional.bounds_rows(m)]:
        warnings.warn(
            f"{', '.join(bounded)}: rows above max_norm are shortened where they are used and stay as they are, while "
            "PyTorch's forward pass writes over them: once rows exceed it, training is not the same as there.",
            GantoolsWarning,
            stacklevel=4,
        )


def generators(device: torch.device) -> tuple[Any, ...]:
    """Return the states of the global generators that a loss may draw from."""
    numbers: Any = np.random.get_state(legacy=True)  # noqa: NPY002  what a user's loss may draw from
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
    return random.getstate(), numbers[1].tobytes(), numbers[2:], *(state.numpy().tobytes() for state in states)


@contextmanager
def tensors_kept(game: Game) -> Iterator[None]:
    """Give the modules other memory in this block: parameters, frozen ones and buffers are put back at its end."""
    live = game.module.tensors([*game.names, *game.constants])
    # Other memory under the same tensors: the user's own graphs may hold them, and must not see them move.
    kept = [(t, t.data, t.requires_grad) for t in live.values()]
    for t in live.values():
        t.data = t.data.clone()
    try:
        yield
    finally:
        for t, data, flag in kept:
            t.data = data
            t.requires_grad_(flag)


@contextmanager
def moved(game: Game, w: Tensor) -> Iterator[None]:
    """Put the modules at `w` (n,) in this block; parameters and buffers are put back at its end."""
    with tensors_kept(game):
        _move(game, w)
        yield


@contextmanager
def undisturbed(game: Game) -> Iterator[None]:
    """Evaluate within this block; parameters, buffers, attributes and the random state are put back at its end."""
    devices = [game.device] if game.device.type == "cuda" else []
    with (
        tensors_kept(game),
        torch.random.fork_rng(devices),
        torch.enable_grad(),
        game.frozen(game.modes(dropout=False)),
    ):
        yield


def _move(game: Game, w: Tensor) -> None:
    """Write a vector (n,) into the parameters, without a trace in their version counters."""
    for p, piece in zip(game.layout.parameters, game.layout.unflatten(w), strict=True):
        functional.as_real(p.data).copy_(piece)


def few(game: Game, batch: Any) -> Any:
    """Return the first samples of a batch, or all of it where the losses need them all."""
    few = first_samples(batch, SAMPLES)
    try:
        with same_draws(game):
            game.plain_losses(few)
    except Exception:  # whatever a user's loss raises for a batch of another size
        return batch[0] if isinstance(batch, Parts) else batch
    return few


@contextmanager
def same_draws(game: Game) -> Iterator[None]:
    """Draw the same random numbers in every such block, where a loss draws any."""
    with torch.random.fork_rng([game.device] if game.device.type == "cuda" else []):
        yield


def sizes(w: Tensor) -> Tensor:
    """Return the size (n,) of each parameter, at least `LEAST`."""
    return w.abs() + w.abs().mean() + LEAST


def shift(w: Tensor) -> Tensor:
    """Return the step (n,) from a point to the one near by, always the same."""
    return SHIFT * sizes(w) * normal_entries(1, 0, len(w), w.dtype, w.device)


def _compare_fields(game: Game, point: Tensor, batch: Any) -> None:
    buffers = game.buffers()
    with same_draws(game):
        plain = _plain_field(game, batch)
    game.load_buffers(buffers)
    with same_draws(game):
        field = game.field_at(point, buffers, batch).vector.detach()
    tolerance = torch.finfo(point.dtype).eps ** 0.45  # 8e-4 in float32: two ways to the same number
    for player, part in game.slices.items():
        size = torch.maximum(plain[part].norm(), field[part].norm())
        error = (plain[part] - field[part]).norm()
        if error > tolerance * size:
            if hooked(game.layout.parameters[game.layout.owned[player]]):
                raise GantoolsError(_HOOKED.format(player))
            _refuse_what_moves(game, player, buffers, batch, plain, 0.05 * float(error / size))
            raise GantoolsError(
                f"The field of player {player!r} differs by {float(error / size):.1%} from plain autograd on its "
                "module: the loss uses parameters that it captured from outside (a list made before, a closure), a "
                "module keeps weights outside its parameters, or a backward pass runs the module again. Take "
                "parameters from the modules that the loss is given."
            )


def hooked(parameters: Iterable[Tensor]) -> bool:
    """Return whether a gradient is changed on its way to one of these parameters, by `register_hook`."""
    return any(of_user(p._backward_hooks) for p in parameters)


def of_user(hooks: Mapping[Any, Any] | None) -> bool:
    """Return whether hooks are not all of PyTorch's, which gather and free divided parameters."""
    of = [getattr(getattr(hook, "func", hook), "__module__", None) or "" for hook in (hooks or {}).values()]
    return not all(module.startswith("torch.") for module in of)


_HOOKED = (
    "Hooks on the gradients of player {0!r} (register_hook) make its field another one than its loss says: take "
    "them off, or pass gantools.watch(update=step), a function that makes your step, which is looked at with its hooks."
)


def _refuse_what_moves(
    game: Game, player: str, buffers: Mapping[str, Tensor], batch: Any, before: Tensor, least: float
) -> None:
    """Raise a sentence where plain autograd gives another field each time, by a share `least`: nothing was captured."""
    part, drawn = game.slices[player], generators(game.device)[:3]
    for _ in range(REPEATS):  # a coin may fall alike
        game.load_buffers(buffers)
        with same_draws(game):
            again = _plain_field(game, batch)
        apart = float((again[part] - before[part]).norm() / torch.maximum(again[part].norm(), before[part].norm()))
        if apart <= max(least, torch.finfo(before.dtype).eps ** 0.75):  # of parallel sums
            continue
        draws = drawn != generators(game.device)[:3]
        what = "NumPy's or Python's random numbers are drawn" if draws else "a counter, a pool or a cache moves"
        own = "" if draws else ", or random numbers come from a generator of its own"
        raise GantoolsError(
            f"The field of player {player!r} differs by {apart:.2g} of its size from one evaluation to the next at the "
            f"same parameters: {what} in the loss or in a module{own}. Pass in the batch what is drawn or moves, or "
            "hold it still."
        )


class _Used(TorchFunctionMode):
    """Which parameters operations in this block are given, by identity."""

    def __init__(self) -> None:
        super().__init__()
        self.parameters: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.parameters |= {id(x) for x in tree_leaves((args, kwargs)) if isinstance(x, torch.nn.Parameter)}
        return func(*args, **kwargs)


def _plain_field(game: Game, batch: Any) -> Tensor:
    """Return the field (n,) by plain autograd, at the parameters that the modules have."""
    with _Used() as used:
        losses = game.plain_losses(batch)
    pieces = []
    for player, own in game.layout.owned.items():
        parameters = game.layout.parameters[own]
        if not losses[player].requires_grad:
            if any(id(p) in used.parameters for p in parameters):
                raise GantoolsError(no_gradient(player))
            pieces += [torch.zeros_like(p) for p in parameters]  # a constant, in no way of them
            continue
        try:
            found = torch.autograd.grad(losses[player], parameters, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            first = str(error).partition(". ")[0]
            raise GantoolsError(
                f"Plain autograd fails on the loss of player {player!r} once its module's parameters have moved "
                f"({first}): the module keeps something that it computed from them, a cache say."
            ) from error
        for p, g in zip(parameters, found, strict=True):
            pieces.append(torch.zeros_like(p) if g is None else g.to_dense() if g.is_sparse else g)
    return game.flatten([functional.as_real(piece.detach()) for piece in pieces])


def no_gradient(player: str) -> str:
    """Return the sentence for a loss without a graph."""
    return (
        f"The loss of player {player!r} has no gradient: it was computed under no_grad, detached, or turned into a "
        "number on the way. Return it as the tensor that the modules' outputs lead to."
    )
