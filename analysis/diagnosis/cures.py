"""Changes of an optimizer or its game that can be tried, each with the flags of `gantools train` that make them."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gantools.games.flat_vector import Layout
from gantools.regularizers.gradient_penalties import R1
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, make


class Cure(NamedTuple):
    """A changed optimizer, the flags that change it, or words where no flags do, and where to start if elsewhere."""

    optimizer: GameOptimizer
    flags: tuple[str, ...]
    words: str = ""
    start: Tensor | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from other changes of the same optimizer."""
        return (*self.flags, self.words)


def constant_rates(optimizer: GameOptimizer) -> dict[str, float] | None:
    """Return each player's learning rate, or None where one is a schedule."""
    rates = optimizer.rates
    return None if any(hasattr(rate, "at") for rate in rates.values()) else {p: float(r) for p, r in rates.items()}  # type: ignore[arg-type]


def with_rates(optimizer: GameOptimizer, rates: dict[str, float]) -> Cure:
    """Return the optimizer with these learning rates."""
    same = len(set(rates.values())) == 1
    text = f"{next(iter(rates.values())):.3g}" if same else ",".join(f"{p}={rate:.3g}" for p, rate in rates.items())
    return Cure(dataclasses.replace(optimizer, lr=dict(rates)), ("--optimizer.lr", text))


def momentum(optimizer: GameOptimizer) -> float:
    """Return the largest momentum among the base rules and the method itself."""
    found = [float(value) for value in (getattr(optimizer, "beta", None),) if isinstance(value, (int, float))]
    for rule in optimizer.rules.values():
        first = getattr(rule, "betas", (getattr(rule, "beta", 0.0),))[0]
        found += [float(first)] if isinstance(first, (int, float)) else []
    return max(found, default=0.0)


def without_momentum(optimizer: GameOptimizer) -> Cure | None:
    """Return the optimizer with momentum 0, or None where its rules differ between players or have none to set."""
    rules = {repr(rule): rule for rule in optimizer.rules.values()}
    if type(optimizer) is OPTIMIZERS["momentum"]:
        return Cure(dataclasses.replace(optimizer, beta=0.0), ("--optimizer.beta", "0.0"))  # type: ignore[call-arg]
    if len(rules) > 1 or not hasattr(optimizer, "base"):
        return None
    rule: Any = next(iter(rules.values()))
    if hasattr(rule, "betas"):
        changed = dataclasses.replace(rule, betas=(0.0, rule.betas[1]))
        flags = ("--optimizer.base.betas", "0.0", f"{rule.betas[1]}")
    elif hasattr(rule, "beta"):
        changed, flags = dataclasses.replace(rule, beta=0.0), ("--optimizer.base.beta", "0.0")
    else:
        return None
    return Cure(dataclasses.replace(optimizer, base=changed), flags)  # type: ignore[call-arg]


def with_method(optimizer: GameOptimizer, name: str, **settings: Any) -> Cure:
    """Return another method over the same base rules and rates."""
    rules = dict(optimizer.rules)
    base = next(iter(rules.values())) if len({repr(rule) for rule in rules.values()}) == 1 else rules
    made = make(name, optimizer.game, lr=optimizer.lr, base=base, clip_norm=optimizer.clip_norm, **settings)
    flags = [word for key, value in settings.items() for word in (f"--optimizer.{key}", f"{value:g}")]
    return Cure(made, ("--optimizer", name, *flags))


def with_updates(optimizer: GameOptimizer, **updates: int) -> Cure:
    """Return alternating steps with these numbers of updates in a turn."""
    flags = [word for key, value in updates.items() for word in (f"--optimizer.{key.replace('_', '-')}", str(value))]
    return Cure(dataclasses.replace(optimizer, **updates), tuple(flags))


def with_penalty(optimizer: GameOptimizer, gamma: float) -> Cure | None:
    """Return the same steps on the game with an R1 penalty more, or None where `gantools.gan` did not make it."""
    if optimizer.game.recipe is None:
        return None
    game = optimizer.game.recipe.game(more=[R1(gamma)])
    return Cure(dataclasses.replace(optimizer, game=game), ("--regularizer", "r1", "--regularizer.gamma", f"{gamma:g}"))


def with_lighter_penalties(optimizer: GameOptimizer, factor: float) -> Cure | None:
    """Return the same steps with every penalty's weight times a factor, or None where `gantools.gan` made none."""
    recipe = optimizer.game.recipe
    if recipe is None:
        return None
    weights = [_weight(one) for one in recipe.regularizers]
    if not any(weights):
        return None
    scaled = tuple(
        dataclasses.replace(one, **{name: factor * getattr(one, name)}) if name else one
        for one, name in zip(recipe.regularizers, weights, strict=True)
    )
    game = dataclasses.replace(recipe, regularizers=scaled).game()
    return Cure(dataclasses.replace(optimizer, game=game), (), f"penalties times {factor:g}")


def with_fresh_weights(optimizer: GameOptimizer, player: str, start: Tensor) -> Cure | None:
    """Return the same steps from a start (n,) at which a player's layers are initialised anew, if they can be.

    Call it where PyTorch's random state is restored afterwards.
    """
    game = optimizer.game
    fresh = copy.deepcopy(game.players[player])
    resettable = [m for m in fresh.modules() if callable(getattr(m, "reset_parameters", None))]
    reset = {id(p) for module in resettable for p in module.parameters(recurse=False)}
    # A weight that is computed from another, as spectral norm does it, is not set by its layer.
    if not all(id(p) in reset and not name.endswith("_orig") for name, p in fresh.named_parameters()):
        return None
    torch.manual_seed(0)
    for module in resettable:
        module.reset_parameters()  # type: ignore[operator]
    start, part, own = start.clone(), game.slices[player], Layout.of({player: fresh}).vector()
    if len(own) != part.stop - part.start:  # parameters that are another player's too
        return None
    start[part] = own
    return Cure(optimizer, (), f"fresh weights of {player}", start)


def _weight(regularizer: Any) -> str | None:
    """Return the name of a regularizer's constant weight."""
    fields = {field.name for field in dataclasses.fields(regularizer)} if dataclasses.is_dataclass(regularizer) else ()
    names = [name for name in ("gamma", "weight") if name in fields]
    return next((name for name in names if isinstance(getattr(regularizer, name), (int, float))), None)


def with_loss(optimizer: GameOptimizer, loss: str) -> Cure | None:
    """Return the same steps on the game with another objective, or None where `gantools.gan` did not make it."""
    if optimizer.game.recipe is None:
        return None
    return Cure(dataclasses.replace(optimizer, game=optimizer.game.recipe.game(loss)), ("--loss", loss))


def with_clipping(optimizer: GameOptimizer, norm: float) -> Cure:
    """Return the optimizer with each player's direction shortened to at most this norm."""
    return Cure(dataclasses.replace(optimizer, clip_norm=norm), ("--optimizer.clip-norm", f"{norm:.2g}"))
