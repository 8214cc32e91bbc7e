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
        if not still:
            continue
        layer = still[-1].removeprefix(f"{player}.").rpartition(".")[0]
        words = f"the weights of {', '.join(n.removeprefix(f'{player}.') for n in still)} have no gradient in any of "
        words += f"{case.walk.steps} steps, and did not change."
        advice = Advice(
            f"Look at what follows {layer} in {player}: a detach(), no_grad(), .data, an argmax or rounding, or a "
            "layer that is not called cuts it off from the loss.",
            "the layer has a gradient.",
            "nothing: a layer without a gradient is as good as none.",
        )
        yield Finding("frozen_layer", words, True, (advice,), player, layer)


def _silent(case: Case, name: str) -> bool:
    index = list(case.game.named_parameters()).index(name)
    return all(not bool(case.game.unflatten(look.field)[index].any()) for look in case.looks if look.finite)
