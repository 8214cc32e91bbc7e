"""What people do between trainings of a GAN when they look at both losses, as rules that change one setting.

Losses are read as the means of the second half of the steps: g of the generator, d of the discriminator, the latter
half of its sum over real and generated samples, so that both are log 2 = 0.69 where no sample is told apart.

- `rate`: the discriminator is too strong below d = 0.33 and too weak above 1.03, the bounds of public VAE-GANs, which
  pause a player there (https://github.com/lucabergamini/VAEGAN-PYTORCH); its rate is then divided or multiplied by 5.
  Advice to lower it: https://github.com/tdeboissiere/DeepLearningImplementations/issues/11 ("usually enough"), by 2.5
  (https://github.com/nivedh2004/landscape-inpainting-gan, docs/TRAINING_STORY.md), by 4
  (https://github.com/Kasper-Heliophysics-MDP/TransferLearning_CNN, dcgan/TRAINING_FIXES.md), by 5 or 10
  (https://github.com/senguptaumd/Background-Matting/issues/61).
- `updates`: from g / d = 3 on the generator gets one more update a step, below 1/3 the discriminator does, or the other
  player one less where it has several: https://github.com/carpedm20/DCGAN-tensorflow (model.py updates the generator
  twice "to make sure that d_loss does not go to zero"), https://github.com/ImagingLab/Colorizing-with-GANs/issues/16,
  https://github.com/ktrk115/const_layout/issues/13. The 3 is ours: these do not say when.
- Both, where the losses are in balance though modes are missing, and after a run that stopped: both rates are divided
  by 10 if a loss swings or is not finite (https://github.com/raspstephan/nwp-downscale/issues/46, from 1e-4 to 1e-5),
  and multiplied by 10 if none moves (https://github.com/pulakk/GAN_EMNIST: too small a rate "almost always led to
  Mode Collapse"); by 3 after the first change of direction, which is ours.

https://github.com/soumith/ganhacks, where "D loss goes to 0" is a failure, advises against a search for numbers of
updates; its issues 2, 23 and 65 show that it is made.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

RANGE = (1e-5, 1e-2)  # of the rates that users begin with
WIDEST = (1e-6, 1e-1)  # of those that they reach
STRONG, WEAK = 0.33, 1.03  # losses of the discriminator
RATIO = 3.0
SWINGS = 0.2  # standard deviation over mean of a loss
MOST_UPDATES = 3


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a user may change: rates of Adam, and updates a step of alternating gradient descent."""

    generator: float
    discriminator: float
    n_g: int = 1
    n_d: int = 1

    def times(self, factor: float = 1.0, discriminator: float = 1.0) -> "Setting":
        """Return the setting with both rates multiplied by a factor, the discriminator's also by its own."""
        low, high = WIDEST
        rates = self.generator * factor, self.discriminator * factor * discriminator
        return dataclasses.replace(
            self, generator=min(max(rates[0], low), high), discriminator=min(max(rates[1], low), high)
        )


@dataclasses.dataclass(frozen=True)
class Training:
    """What a user sees of a training.

    Attributes:
        setting: it was made with.
        modes: the fewest of 8 at the looks of the second half of the steps; 0 for a run that stopped.
        g: mean loss of the generator over the second half; NaN for a run that stopped.
        d: mean loss of the discriminator, a sample.
        swing: the larger standard deviation over mean of both losses.
    """

    setting: Setting
    modes: int
    g: float = math.nan
    d: float = math.nan
    swing: float = math.nan

    @property
    def stable(self) -> bool:
        return self.modes == 8


Rule = Callable[[Sequence[Training], np.random.Generator], Setting]


def drawn(rng: np.random.Generator) -> Setting:
    """Return a setting with log-uniform rates, drawn one by one."""
    low, high = np.log10(RANGE)
    return Setting(*(float(f"{10**value:.3g}") for value in rng.uniform(low, high, 2)))


def rate(history: Sequence[Training], rng: np.random.Generator) -> Setting:
    """Hold the discriminator back by its rate where its loss is low, push it where that is high."""
    last = history[-1]
    if last.d < STRONG:
        return last.setting.times(discriminator=1 / 5)
    if last.d > WEAK:
        return last.setting.times(discriminator=5)
    return both_rates(history)


def updates(history: Sequence[Training], rng: np.random.Generator) -> Setting:
    """Give the player whose loss is the larger one more update, or the other one less, up to `MOST_UPDATES`."""
    last = history[-1]
    if last.g > RATIO * last.d:
        weak, strong = "n_g", "n_d"
    elif last.d > RATIO * last.g:
        weak, strong = "n_d", "n_g"
    else:
        return both_rates(history)
    if getattr(last.setting, strong) > 1:
        return dataclasses.replace(last.setting, **{strong: getattr(last.setting, strong) - 1})
    if getattr(last.setting, weak) < MOST_UPDATES:
        return dataclasses.replace(last.setting, **{weak: getattr(last.setting, weak) + 1})
    return both_rates(history)


def at_random(history: Sequence[Training], rng: np.random.Generator) -> Setting:
    """Look at nothing: both rates anew."""
    return drawn(rng)


def both_rates(history: Sequence[Training]) -> Setting:
    """Move both rates: down where a loss swings or the run stopped, up where none does."""
    last = history[-1]
    fall = not last.swing <= SWINGS  # also where it is NaN
    rates = [training.setting.generator for training in history]  # which no rule moves alone
    before = {after < earlier for earlier, after in zip(rates, rates[1:], strict=False) if after != earlier}
    factor = 10.0 if before <= {fall} else 3.0
    return last.setting.times(1 / factor if fall else factor)


RULES: dict[str, Rule] = {"rate": rate, "updates": updates, "random": at_random}
