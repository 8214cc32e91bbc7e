"""A layer that learns nothing: its weights have no gradient at any step, or are not parameters of the game."""

from collections.abc import Iterator

import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.causes.players.dead_units import dead_rows, dead_units
from gantools.analysis.diagnosis.result import Advice, Finding


def frozen_layer(case: Case) -> Iterator[Finding]:
    """A layer whose weights never changed, or do not require a gradient."""
    yield from _without_gradient(case)
    for player, module in case.game.players.items():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad or parameter.dim() < 2:
                continue
            layer = name.rpartition(".")[0]
            words = f"the {parameter.numel()} weights of {layer} do not require a gradient, so no step moves them."
            advice = Advice(
                f"Let it learn: {player}.{name}.requires_grad_(True) before the game is made.",
                "the layer moves with the others.",
                "a layer that is frozen on purpose, pretrained say, would be lost: leave it then.",
            )
            yield Finding("frozen_layer", words, False, (advice,), player, layer, harm=0.5)


def _without_gradient(case: Case) -> Iterator[Finding]:
    if case.walk.steps < 8 or any(dead_units(case)):  # below dead units nothing has a gradient
        return
    pieces = dict(zip(case.game.named_parameters(), case.game.unflatten(case.walk.moved.to(case.start)), strict=True))
    none = {name for name, share in dead_rows(case, case.looks).items() if share == 1}
    for player in case.game.slices:
        own = [n for n, p in pieces.items() if n.startswith(f"{player}.") and p.dim() >= 2]
        silent = [name for name in own if name in none or _silent(case, name)]
        still = [name for name in silent if not bool(torch.any(pieces[name] != 0))]
        reached = bool(still) and _reached(case, player, still[-1])
        if not still or (reached and case.pinned):  # a discriminator that is sure of every sample, whose cause it is
            continue
        layer = still[-1].removeprefix(f"{player}.").rpartition(".")[0]
        after = f"{layer} in {player}" if layer else player
        words = f"the weights of {', '.join(n.removeprefix(f'{player}.') for n in still)} have no gradient in any of "
        words += f"{case.walk.steps} steps, and did not change"
        if reached:
            words += "; the loss depends on them, with derivative 0."
            line = f"Look at what follows {after}: a tanh or sigmoid far from 0, a rounding or a sign stops all."
        else:
            words += "."
            line = (
                f"Look at what follows {after}: a detach(), no_grad(), .data, an argmax or rounding, or a layer that "
            )
            line += "is not called cuts it off from the loss."
        cost = "nothing: a layer without a gradient is as good as none."
        yield Finding("frozen_layer", words, True, (Advice(line, "the layer has a gradient.", cost),), player, layer)


def _reached(case: Case, player: str, name: str) -> bool:
    """Return whether plain autograd goes from the player's loss to a parameter, if only to zeros."""
    parameter, buffers = case.game.named_parameters()[name], case.game.buffers()
    try:
        with torch.enable_grad():
            loss = case.game.plain_losses(case.batches[0])[player]
        return loss.requires_grad and torch.autograd.grad(loss, [parameter], allow_unused=True)[0] is not None
    except RuntimeError:  # of losses that differentiate within, by parameters in place
        return False
    finally:
        case.game.load_buffers(buffers)


def _silent(case: Case, name: str) -> bool:
    index = list(case.game.named_parameters()).index(name)
    return all(not bool(case.game.unflatten(look.field)[index].any()) for look in case.looks if look.finite)
