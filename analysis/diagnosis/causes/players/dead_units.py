"""Units that no sample reaches: their weights have no gradient on any batch."""

from collections.abc import Iterator

import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.observation import Observation
from gantools.analysis.diagnosis.result import Advice, Finding

SHARE = 0.75
LEAKY = "a leak of 0.2 in place of exact zeros changes the network a little; GANs mostly train better with it."


def dead_rows(case: Case, looks: list[Observation]) -> dict[str, float]:
    """Return for each matrix of weights the share of its units whose weights have an exact zero gradient throughout."""
    total = torch.stack([look.field.abs() for look in looks]).amax(0)
    shares = {}
    for name, piece in zip(case.game.named_parameters(), case.game.unflatten(total), strict=True):
        if piece.dim() >= 2 and len(piece) >= 4:
            shares[name] = float((piece.flatten(1).amax(1) == 0).double().mean())
    return shares


def dead_units(case: Case) -> Iterator[Finding]:
    """A layer most of whose units have no gradient, while the others of its player learn."""
    looks = case.last if case.walk.failed is None else case.first
    if not all(look.finite for look in looks):
        return
    # What receives no gradient because a later layer is dead is not to blame: the last dead one is.
    for player in case.game.slices:
        own = {n: s for n, s in dead_rows(case, looks).items() if n.startswith(f"{player}.")}
        dead = [name for name, share in own.items() if share >= SHARE]
        partly = [name for name in dead if own[name] < 1] or _relus_dead(case, dead)
        if not partly:
            continue
        name = partly[-1]
        begun = dead_rows(case, case.first)[name] >= SHARE
        if not begun and not case.stalled:
            continue
        layer = name.removeprefix(f"{player}.").rpartition(".")[0]
        words = f"{own[name]:.0%} of the units of {layer} have no gradient on any of {len(looks)} batches"
        words += "." if begun else f" after {case.walk.steps} steps."
        advice = Advice(
            f"Use LeakyReLU(0.2) in place of ReLU in {player}, and start its biases at 0.",
            "every unit has a gradient on every sample, so none can die.",
            LEAKY,
        )
        yield Finding("dead_units", words, begun, (advice,), player, layer, harm=1.0 if begun else 0.6)


def _relus_dead(case: Case, names: list[str]) -> list[str]:
    """Return of wholly dead layers those whose own output is not positive for any sample, by their weights' module."""
    found = []
    homes = {f"{player}.{name}": module for player, whole in case.game.players.items()
             for name, module in whole.named_modules()}  # fmt: skip
    for name in names:
        outputs: list[bool] = []
        home = homes.get(name.rpartition(".")[0])
        if home is None:
            continue
        handle = home.register_forward_hook(lambda m, a, out, seen=outputs: seen.append(bool((out <= 0).all())))
        try:
            with torch.enable_grad():  # for losses that differentiate within
                leaves = [piece.detach().requires_grad_() for piece in case.game.unflatten(case.walk.w)]
                case.game.module.call(case.game.layout.names, leaves, case.walk.state.buffers, case.batches[0])
        finally:
            handle.remove()
        if outputs and all(outputs):
            found.append(name)
    return found
