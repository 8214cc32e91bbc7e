"""Base class and registry of the regularizers, and the functions that attach them to a GAN and draw for a batch."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gantools.batches import batch_size
from gantools.errors import GantoolsError
from gantools.registry import Registry, suggest
from gantools.schedules import Scheduled, extremes, value_at

REGULARIZERS: Registry[type] = Registry("regularizer")

Nearest = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Pass:
    """One forward pass of a GAN, with its graph.

    Attributes:
        real: (B, ...) real samples as the discriminator saw them, with instance noise where there is any.
        fake: (B, ...) generated samples, likewise.
        real_scores: the discriminator's scores of the real samples.
        fake_scores: its scores of the generated samples.
        batch: the batch, random numbers of the regularizers included.
        discriminate: a function that scores any samples (B, ...), with the labels of the batch where it has labels.
        regularizers: those that the pass was made under.
    """

    real: Tensor
    fake: Tensor
    real_scores: Tensor
    fake_scores: Tensor
    batch: Mapping[str, Any]
    discriminate: Callable[[Tensor], Tensor]
    regularizers: tuple["Regularizer", ...] = ()

    def added_to(
        self, losses: Mapping[str, Tensor], generator: str = "generator", discriminator: str = "discriminator"
    ) -> dict[str, Tensor]:
        """Return losses by player with the terms of the regularizers added.

        Args:
            losses: each player's loss.
            generator: name of the player that terms of the generator are added to.
            discriminator: name of that for terms of the discriminator.
        """
        names, total = {"generator": generator, "discriminator": discriminator}, dict(losses)
        for regularizer in self.regularizers:
            for player, term in regularizer(self).items():
                if names[player] not in total:
                    raise suggest("player", names[player], total)
                total[names[player]] = total[names[player]] + term
        return total


@dataclasses.dataclass(frozen=True)
class Regularizer:
    """Base class of the regularizers: subclasses are frozen dataclasses of their settings and define what they need.

    A regularizer holds no state and draws no numbers while it is evaluated: they come with the batch.
    """

    needs_input_gradient: ClassVar[bool] = False  # whether the real samples must carry a gradient

    def prepare(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Change the players, once, before they become a game."""

    def constraints(self) -> dict[str, Nearest]:
        """Return, by player's name, a function from its part of the flat vector to the nearest allowed point."""
        return {}

    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the random numbers that the regularizer needs for a batch, one row for each sample, by key."""
        return {}

    def perturb(self, real: Tensor, fake: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the samples (B, ...) that the discriminator sees in place of these."""
        return real, fake

    def __call__(self, seen: Pass) -> dict[str, Tensor]:
        """Return the terms to add to the losses, by player's name."""
        return {}

    @property
    def scheduled(self) -> bool:
        """Whether a setting is a schedule, so that the batch must hold the number of updates made."""
        return any(hasattr(getattr(self, field.name), "at") for field in dataclasses.fields(self))

    def value(self, name: str, batch: Mapping[str, Any]) -> float:
        """Return a setting that may be a schedule, at the number of updates that the batch holds."""
        value: Scheduled = getattr(self, name)
        if not hasattr(value, "at"):
            return value_at(value, 0)
        if "step" not in batch:
            raise GantoolsError(
                f"{name} of {type(self).__name__} is a schedule, but the batch does not say how many updates were made "
                'before it: add batch["step"] = torch.tensor(step).'
            )
        step = batch["step"]
        return value_at(value, step if hasattr(step, "deferred") else int(step))  # deferred: to every compiled step

    def drawn(self, key: str, batch: Mapping[str, Any], samples: Tensor) -> Tensor:
        """Return the random numbers drawn into the batch under a key, a row for each sample, in the samples' dtype."""
        if key not in batch:
            raise GantoolsError(
                f"The batch has no {key!r}, the random numbers of {type(self).__name__}: call "
                "batch = gantools.regularizers.draw(game, batch, generator) on every batch, with a torch.Generator."
            )
        if len(batch[key]) != len(samples):
            raise GantoolsError(
                f"The batch has {len(batch[key])} rows of {key!r} for {len(samples)} samples: call "
                "batch = gantools.regularizers.draw(game, batch, generator) on it as it is now."
            )
        return batch[key].to(samples)

    def require_weight(self, name: str) -> None:
        """Refuse a setting that is neither a number of at least 0 nor a schedule of such."""
        value = getattr(self, name)
        if not extremes(value, name)[0] >= 0:
            raise GantoolsError(f"{name} = {value} is not a weight: pass a number of at least 0.")


def attach(
    regularizers: Iterable[Any], generator: nn.Module, discriminator: nn.Module
) -> tuple[tuple[Regularizer, ...], dict[str, Nearest]]:
    """Prepare the players for the regularizers; return these, and the constraints that they put on the players."""
    checked = tuple(regularizers)
    for regularizer in checked:
        if not isinstance(regularizer, Regularizer):
            what = f"the class {regularizer.__name__}" if isinstance(regularizer, type) else repr(regularizer)
            raise GantoolsError(
                f"The regularizer {what} cannot be used: pass instances, as gantools.regularizers.R1(gamma=1.0), of "
                "classes derived from gantools.regularizers.Regularizer."
            )
    constraints: dict[str, Nearest] = {}
    for regularizer in checked:
        regularizer.prepare(generator, discriminator)
        for player, nearest in regularizer.constraints().items():
            constraints[player] = _after(constraints[player], nearest) if player in constraints else nearest
    return checked, constraints


def _after(first: Nearest, second: Nearest) -> Nearest:
    return lambda w: second(first(w))


def regularized(
    regularizers: Iterable[Regularizer],
    discriminate: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    batch: Mapping[str, Any],
) -> Pass:
    """Return a pass of real and fake samples through a discriminator under regularizers, for the losses of any game.

    `seen.real_scores` and `seen.fake_scores` are the scores, with the noise of the regularizers in them, and
    `seen.added_to(losses)` the losses with their terms.

    Args:
        regularizers: instances; those that change or constrain the discriminator are attached before, see `attach`.
        discriminate: a function that scores samples (B, ...).
        real: (B, ...) real samples.
        fake: (B, ...) generated samples.
        batch: holds the random numbers that `draw` drew for the regularizers, and "step" where one has a schedule.
    """
    regularizers = tuple(regularizers)
    if any(regularizer.needs_input_gradient for regularizer in regularizers) and not real.requires_grad:
        real = real.detach().requires_grad_()
    for regularizer in regularizers:
        real, fake = regularizer.perturb(real, fake, batch)
    return Pass(real, fake, discriminate(real), discriminate(fake), batch, discriminate, regularizers)


def draw(regularizers: Any, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Any]:
    """Return the batch with the random numbers of the regularizers drawn into it: mixing coefficients, noise.

    With them the field is a function of the parameters and the batch alone, as every analysis needs. Numbers that the
    batch has already are drawn anew.

    Args:
        regularizers: a GAN made by `gantools.gan`, or a list of regularizers.
        batch: {"real", ...}; with "latent" where there are as many generated samples as latents.
        generator: draws the numbers.
    """
    if not isinstance(batch, Mapping) or "real" not in batch:
        raise GantoolsError('Regularizers draw for a batch that is a mapping with the key "real", the real samples.')
    complete = dict(batch)
    for regularizer in getattr(regularizers, "regularizers", regularizers):
        complete |= regularizer.draw(batch, generator)
    return complete


def is_zero(weight: Any) -> bool:
    """Return whether a weight is zero, so that its term is left out; a compiled step's, a tensor, never is."""
    return not isinstance(weight, Tensor) and not weight


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers from U[0, 1) in the dtype and on the device of another tensor."""
    return torch.rand(shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)


def normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers from N(0, 1) in the dtype and on the device of another tensor."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device).to(like.device)


def fake_shape(batch: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the fake samples: as many as there are latents, each like a real one."""
    return (batch_size(batch.get("latent", batch["real"])), *batch["real"].shape[1:])
