"""The GAN as a game: a generator and a discriminator, their losses from an objective and regularizers."""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gantools.errors import GantoolsError, GantoolsWarning
from gantools.games.game import Game
from gantools.losses import LOSSES
from gantools.regularizers.base import Pass, attach


def gan(
    generator: nn.Module, discriminator: nn.Module, loss: Any = "nonsaturating", regularizers: Sequence = ()
) -> Game:
    """Return the game of a generator and a discriminator, in this order.

    Args:
        generator: maps `batch["latent"]` (and `batch["label"]`, if there is one) to samples.
        discriminator: maps samples (and labels) to scores, high on real ones.
        loss: a name in `gantools.losses.LOSSES`, or `loss(real_scores, fake_scores) -> (generator's, discriminator's)`.
        regularizers: from `gantools.regularizers`: terms added to the losses, noise, or constraints. Those that draw
            random numbers need them in the batch, from `gantools.regularizers.draw(game, batch, generator)`; those with
            a schedule need the number of updates made, `batch["step"]`. `SpectralNorm` changes the discriminator.
    """
    objective = LOSSES[loss] if isinstance(loss, str) else loss
    checked, constraints = attach(regularizers, generator, discriminator)
    needs_gradient = any(r.needs_input_gradient for r in checked)
    suspects = [] if loss == "least_squares" or not isinstance(loss, str) else [discriminator]

    def losses(players: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not isinstance(batch, Mapping) or not {"real", "latent"} <= set(batch):
            got = f"the keys {sorted(batch)}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
            raise GantoolsError(
                f'A GAN\'s batch has the keys "real" and "latent" (and "label"), but this one is {got}.'
            )
        label = (batch["label"],) if "label" in batch else ()
        real = batch["real"].requires_grad_() if needs_gradient else batch["real"]
        fake = players["generator"](batch["latent"], *label)
        if fake.shape[1:] != real.shape[1:]:
            raise GantoolsError(
                f"The generator makes samples of shape {tuple(fake.shape[1:])}, the data has {tuple(real.shape[1:])}: "
                "build the generator for the shape of the data."
            )

        def discriminate(samples: Tensor) -> Tensor:
            return players["discriminator"](samples, *label)

        for regularizer in checked:
            real, fake = regularizer.perturb(real, fake, batch)
        real_scores, fake_scores = discriminate(real), discriminate(fake)
        if suspects:
            _tell_of_probabilities(suspects.pop(), str(loss), real_scores)
        generator_loss, discriminator_loss = objective(real_scores, fake_scores)
        total = {"generator": generator_loss, "discriminator": discriminator_loss}
        seen = Pass(real, fake, real_scores, fake_scores, batch, discriminate)
        for regularizer in checked:
            for player, term in regularizer(seen).items():
                total[player] = total[player] + term
        return total

    game = Game({"generator": generator, "discriminator": discriminator}, losses, constraints)
    game.regularizers = checked
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
