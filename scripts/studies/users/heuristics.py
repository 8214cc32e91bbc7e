"""What people do between trainings of a GAN when they look at both losses, as rules that change one setting.

Losses are read as the means of the second half of the steps: g of the generator, d of the discriminator, the latter
half of its sum over real and generated samples, so that both are log 2 = 0.69 where no sample is told apart.

- `rate`: the discriminator is too strong below d = 0.33 and too weak above 1.03, the bounds of public VAE-GANs, which
  pause a player there (https://github.com/lucabergamini/VAEGAN-PYTORCH); its rate is then divided or multiplied by 5.
  Advice to lower it: https://github.com/tdeboissiere/DeepLearningImplementations/issues/11 ("usually enough"), by 2.5
  (https://github.com/nivedh2004/landscape-inpainting-gan, its training story), by 4
  (https://github.com/Kasper-Heliophysics-MDP/TransferLearning_CNN, its training fixes), by 5 or 10
  (https://github.com/senguptaumd/Background-Matting/issues/61).
- `ratio`: from g / d = 3 on the generator's rate is multiplied by 5, below 1/3 it is divided. To train the generator
  more where its loss is the larger one: https://github.com/ImagingLab/Colorizing-with-GANs/issues/16,
  https://github.com/ktrk115/const_layout/issues/13; by rates rather than by numbers of updates:
  https://github.com/ikostrikov/TensorFlow-VAE-GAN-DRAW/issues/3. The 3 and the 5 are ours: these do not say.
- Both, where the losses are in balance though modes are missing, and after a run that stopped: both rates are lowered
  if a loss swings or is not finite (https://github.com/raspstephan/nwp-downscale/issues/46, from 1e-4 to 1e-5), and
  where one of them is 1e-3, Adam's default, or more; else they are raised (https://github.com/pulakk/GAN_EMNIST: too
  small a rate "almost always led to Mode Collapse"). The first factor is 10, and its root after each change of
  direction, which is ours.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

RANGE = (1e-5, 1e-2)  # of the rates that users begin with
WIDEST = (1e-6, 1e-1)  # of those that they reach
STRONG, WEAK = 0.33, 1.03  # losses of the discriminator
RATIO = 3.0
FACTOR = 5.0
CUSTOMARY = 1e-3  # a rate that nobody raises
SWINGS = 0.2  # standard deviation over mean of a loss


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a user may change: the rates of both players' Adam."""

    generator: float
    discriminator: float

    def times(self, generator: float, discriminator: float) -> "Setting":
        """Return the setting with the rates multiplied, within what users reach."""
        low, high = WIDEST
        rates = self.generator * generator, self.discriminator * discriminator
        return Setting(*(min(max(rate, low), high) for rate in rates))


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
        return last.setting.times(1, 1 / FACTOR)
    if last.d > WEAK:
        return last.setting.times(1, FACTOR)
    return both_rates(history)


def ratio(history: Sequence[Training], rng: np.random.Generator) -> Setting:
    """Push the generator by its rate where its loss is much the larger one, hold it back where much the smaller."""
    last = history[-1]
    if last.g > RATIO * last.d:
        return last.setting.times(FACTOR, 1)
    if last.d > RATIO * last.g:
        return last.setting.times(1 / FACTOR, 1)
    return both_rates(history)


def at_random(history: Sequence[Training], rng: np.random.Generator) -> Setting:
    """Look at nothing: both rates anew."""
    return drawn(rng)


def both_rates(history: Sequence[Training]) -> Setting:
    """Move both rates: down where a loss swings, the run stopped or a rate is customary or above it, else up.

    The first factor is 10, and its square root after each change of direction.
    """
    turns, before = 0, 0
    for place in range(len(history)):
        now = direction(history[place])
        moved = place + 1 == len(history) or both_moved(history[place].setting, history[place + 1].setting)
        if moved:
            turns, before = turns + (now == -before), now
    factor = 10.0 ** (0.5**turns)
    return history[-1].setting.times(factor**before, factor**before)


def direction(training: Training) -> int:
    """Return whether both rates are to be raised, 1, or lowered, -1."""
    quiet = training.swing <= SWINGS  # not where it is NaN
    return 1 if quiet and max(training.setting.generator, training.setting.discriminator) < CUSTOMARY else -1


def both_moved(one: Setting, other: Setting) -> bool:
    """Return whether both rates differ."""
    return one.generator != other.generator and one.discriminator != other.discriminator


RULES: dict[str, Rule] = {"rate": rate, "ratio": ratio, "random": at_random}
