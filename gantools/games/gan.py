"""The GAN as a game: a generator and a discriminator, their losses from an objective and regularizers."""

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gantools.errors import GantoolsError, GantoolsWarning
from gantools.games.game import Game
from gantools.losses import LOSSES
from gantools.regularizers.base import Regularizer, attach, regularized


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a GAN was made of, so that it can be made again with another objective or further regularizers."""

    generator: nn.Module
    discriminator: nn.Module
    loss: Any
    regularizers: tuple[Regularizer, ...]
    metrics: Any

    def game(self, loss: Any = None, more: Sequence[Any] = ()) -> Game:
        """Return the GAN with another objective, or its own, and these regularizers after its own."""
        # Its own have prepared the players already; what they prepare is idempotent.
        regularizers = [*self.regularizers, *more]
        return gan(self.generator, self.discriminator, loss or self.loss, regularizers, self.metrics)


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    loss: Any = "nonsaturating",
    regularizers: Sequence[Any] = (),
    metrics: Any = None,
) -> Game:
    """Return the game of a generator and a discriminator, in this order.

    Args:
        generator: maps `batch["latent"]` (and `batch["label"]`, if there is one) to samples.
        discriminator: maps samples (and labels) to scores, high on real ones.
        loss: a name in `gantools.losses.LOSSES`, or `loss(real_scores, fake_scores) -> (generator's, discriminator's)`.
        regularizers: from `gantools.regularizers`: terms added to the losses, noise, or constraints. Those that draw
            random numbers need them in the batch, from `gantools.regularizers.draw(game, batch, generator)`; those with
            a schedule need the number of updates made, `batch["step"]`. `SpectralNorm` changes the discriminator.
        metrics: success numbers, see `Game`.

    >>> generator, discriminator = nn.Linear(2, 1), nn.Linear(1, 1)
    >>> gan = gt.gan(generator, discriminator, "nonsaturating", [gt.regularizers.R1(gamma=0.1)])
    >>> gan.field({"real": torch.randn(8, 1), "latent": torch.randn(8, 2)}).shape
    torch.Size([5])
    """
    objective = LOSSES[loss] if isinstance(loss, str) else loss
    checked, constraints = attach(regularizers, generator, discriminator)
    suspects = [] if loss == "least_squares" or not isinstance(loss, str) else [discriminator]

    def losses(players: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not isinstance(batch, Mapping) or not {"real", "latent"} <= set(batch):
            got = f"the keys {sorted(batch)}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
            raise GantoolsError(
                f'A GAN\'s batch has the keys "real" and "latent" (and "label"), but this one is {got}.'
            )
        label = (batch["label"],) if "label" in batch else ()
        fake = players["generator"](batch["latent"], *label)
        if fake.shape[1:] != batch["real"].shape[1:]:
            raise GantoolsError(
                f"The generator makes samples of shape {tuple(fake.shape[1:])}, the data has "
                f"{tuple(batch['real'].shape[1:])}: build the generator for the shape of the data."
            )

        def discriminate(samples: Tensor) -> Tensor:
            return players["discriminator"](samples, *label)

        seen = regularized(checked, discriminate, batch["real"], fake, batch)
        if suspects:
            _tell_of_probabilities(suspects.pop(), str(loss), seen.real_scores)
        generator_loss, discriminator_loss = objective(seen.real_scores, seen.fake_scores)
        return seen.added_to({"generator": generator_loss, "discriminator": discriminator_loss})

    game = Game({"generator": generator, "discriminator": discriminator}, losses, constraints, metrics)
    game.regularizers = checked
    game.recipe = Recipe(generator, discriminator, loss, checked, metrics)
    return game


# What a discriminator's last layers do to the shape of its scores.
_RESHAPING = re.compile(r"(View|UnsafeView|Squeeze|Unsqueeze|ReshapeAlias|Clone|Alias|T|Permute|Transpose)Backward\d*")


def _tell_of_probabilities(discriminator: nn.Module, loss: str, scores: Tensor) -> None:
    """Warn where the scores are probabilities, which the loss would take for logits."""
    step = scores.grad_fn
    while step is not None and _RESHAPING.fullmatch(step.name()):
        step = step.next_functions[0][0]
    last = list(discriminator.modules())[-1]
    within = isinstance(last, nn.Sigmoid) and bool(((scores >= 0) & (scores <= 1)).all())
    if within or (step is not None and step.name().startswith("SigmoidBackward")):
        warnings.warn(
            f"The discriminator ends in a sigmoid, and loss={loss!r} takes its scores for logits, so that it applies "
            "another one: take the sigmoid out.",
            GantoolsWarning,
            stacklevel=2,
        )
