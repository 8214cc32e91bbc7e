r"""Games whose players are replicated in several processes, each with its part of every batch.

The field of such a game is the mean over all processes, weighted by their numbers of samples, and its derivatives are
derivatives of that mean: a penalty on the field, or a product with its Jacobian, concerns the whole batch. Two
functions, each the other's derivative, do that: one takes the common parameters into every process, and one adds up
what the processes computed. (Wrappers that average gradients in hooks do so in the first backward pass alone.)

All processes must do the same in the same order. They do, because all that they decide by is the same in each.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from gantools.batches import batch_size
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games import functional
from gantools.games.wrappers import is_spread

if TYPE_CHECKING:
    from gantools.games.field import FieldValue
    from gantools.games.game import Game


def replicated(game: Game, group: dist.ProcessGroup | None = None) -> Game:
    """Return the game over the batches of all processes of a group, which share its parameters.

    Every process calls this, with a game of the same players, and from then on the same functions in the same order,
    each with its own part of every batch. Parameters and buffers are those of the group's first process. Optimizers
    and operators of the game returned act on the field of the whole batch. Batch norm normalises by each process's
    part of the batch; its running statistics are averaged.

    Args:
        game: this process's game; the modules are shared with the one returned.
        group: of `torch.distributed`; by default all processes.

    Raises:
        GantoolsError: where no process group was initialised, and where the games differ.
    """
    require_group()
    same = copy.copy(game)
    same.replicas = Replicas(group, game.device)
    same.field_is_checked, same.verdict = False, None
    same.replicas.synchronise(same)
    return same


def require_group() -> None:
    """Refuse a program that is one process, or does not know of the others."""
    if not (dist.is_available() and dist.is_initialized()):
        raise GantoolsError(
            "There is no process group: call torch.distributed.init_process_group first, in a program that torchrun "
            "started."
        )


class Replicas:
    """The processes among which a game is replicated.

    Args:
        group: of `torch.distributed`; by default all processes.
        device: where tensors are sent from.

    Attributes:
        rank: this process's place in the group.
        count: how many processes there are.
    """

    def __init__(self, group: dist.ProcessGroup | None, device: torch.device):
        self.group, self.device = group, device
        self.rank, self.count = dist.get_rank(group), dist.get_world_size(group)

    def synchronise(self, game: Game) -> None:
        """Give the parameters and buffers of the first process to all."""
        with communicating():
            layouts: list[Any] = [None] * self.count
            dist.all_gather_object(layouts, (game.names, game.num_parameters, game.constants), self.group)
            if any(layout != layouts[0] for layout in layouts):
                raise GantoolsError("The processes' games differ in their parameters: build the same in each.")
            first = dist.get_global_rank(self.group, 0) if self.group is not None else 0
            for t in game.module.tensors([*game.names, *game.constants]).values():
                if is_spread(t):
                    continue
                # NCCL takes neither bool nor memory with gaps.
                sent = functional.as_real(t.detach()).contiguous()
                sent = sent.to(torch.uint8) if sent.dtype == torch.bool else sent.clone()
                dist.broadcast(sent, first, self.group)
                with torch.no_grad():
                    functional.as_real(t.detach()).copy_(sent)

    def field(
        self, evaluate: Callable[..., FieldValue], leaves: Sequence[Tensor], batch: Any, differentiable: bool
    ) -> FieldValue:
        """Return the mean of the processes' fields, losses and moved buffers.

        Args:
            evaluate: returns this process's value at given leaves.
            leaves: tensors that the field is differentiated by.
            batch: this process's part.
            differentiable: whether the result must depend on the leaves.
        """
        value = evaluate(_Copies.apply(self.group, *leaves) if differentiable else leaves)
        samples = float(batch_size(batch))
        vector, losses = value.vector, value.losses
        numbers = torch.stack([*(loss.to(vector) for loss in losses.values()), torch.ones_like(vector[0])]).detach()
        summed = _Total.apply(self.group, samples * torch.cat([vector, numbers]))
        total = summed[-1].detach()
        means = summed[len(vector) : -1].detach() / total
        return dataclasses.replace(
            value,
            vector=summed[: len(vector)] / total,
            losses={player: mean.to(losses[player]) for player, mean in zip(losses, means, strict=True)},
            buffers=self._averaged(value.buffers, samples / total),
        )

    def summed(self, number: float) -> float:
        """Return the sum of a number over the processes."""
        with communicating():
            total = torch.tensor(number, dtype=torch.float64, device=self.device)
            dist.all_reduce(total, group=self.group)
        return float(total)

    def _averaged(self, buffers: Mapping[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
        """Return the weighted mean of floating buffers over the processes; counters are the same in all."""
        floating = {name: functional.as_real(b.detach()) for name, b in buffers.items() if _floats(b)}
        if not floating:
            return dict(buffers)
        with communicating():
            joined = weight * torch.cat([b.reshape(-1).to(weight) for b in floating.values()])
            dist.all_reduce(joined, group=self.group)
        moved = dict(buffers)
        for (name, real), part in zip(
            floating.items(), joined.split([b.numel() for b in floating.values()]), strict=True
        ):
            mean = part.view(real.shape).to(real)
            moved[name] = torch.view_as_complex(mean) if buffers[name].is_complex() else mean
        return moved

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Run a block in every process; where one refuses, all refuse, with its sentence."""
        error: GantoolsError | None = None
        try:
            yield
        except GantoolsError as raised:
            error = raised
        for rank, (kind, text) in enumerate(self.gathered((type(error), str(error)) if error else (None, ""))):
            if kind is not None:
                raise (error if error is not None else GantoolsError(f"Process {rank}: {text}")) from None

    def gathered(self, thing: Any) -> list[Any]:
        """Return what each process gave, in order; it must be picklable."""
        with communicating():
            things: list[Any] = [None] * self.count
            dist.all_gather_object(things, thing, self.group)
        return things


def _floats(buffer: Tensor) -> bool:
    return buffer.is_floating_point() or buffer.is_complex()


@contextmanager
def communicating() -> Iterator[None]:
    """Turn the end of another process, which breaks the connection, into a sentence."""
    try:
        yield
    except (GantoolsError, NonFiniteFieldError):
        raise
    except RuntimeError as error:  # DistBackendError is one
        # Gloo names the line of its own source first.
        reason = re.sub(r"^\[\S+\.cc:\d+\] ", "", str(error).strip())[:120] or "no reason given"
        raise GantoolsError(
            f"The connection to another process broke ({reason}): it has ended, and this one cannot go on without it. "
            "Its own message says why; start all again, a training with --resume."
        ) from error


def _summed(x: Tensor, group: Any) -> Tensor:
    # Outside: gradients of a whole block of vectors, which PyTorch cannot send, must fail as in any other function.
    total = x.detach().contiguous().clone()
    with communicating():
        dist.all_reduce(total, group=group)
    return total


class _Copies(torch.autograd.Function):
    """Tensors that are the same in all processes, as each process uses them: derivatives add up over these."""

    @staticmethod
    def forward(group: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.group = inputs[0]
        ctx.set_materialize_grads(True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        joined = _Total.apply(ctx.group, torch.cat([g.reshape(-1) for g in gradients]))
        parts = joined.split([g.numel() for g in gradients])
        return None, *(part.view(g.shape) for part, g in zip(parts, gradients, strict=True))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in tangents[1:])


class _Total(torch.autograd.Function):
    """The sum of a tensor over all processes, the same in each: every process has the same derivative of it."""

    @staticmethod
    def forward(group: Any, x: Tensor) -> Tensor:
        return _summed(x, group)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.group = inputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, _Copies.apply(ctx.group, gradients[0])[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _Total.apply(ctx.group, tangents[1])
