"""Dropout switched off while a user's code runs, where it is called as a function as well as in modules."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gantools.games.functional import drops_out

# Where functions take the probability, and whether they train by default; None for those that are not told.
_PLAIN = {name: (1, "p", False) for name in ("alpha_dropout", "feature_alpha_dropout")}
_PLAIN |= {name: (1, "p", True) for name in ("dropout", "dropout1d", "dropout2d", "dropout3d")}
_TORCH = ("dropout", "dropout_", "feature_dropout", "feature_dropout_", "alpha_dropout", "alpha_dropout_")
_TAKEN: dict[Any, tuple[int, str, bool | None]] = {
    **{getattr(F, name): place for name, place in _PLAIN.items()},
    **{getattr(torch, name): (1, "p", False) for name in (*_TORCH, "feature_alpha_dropout", "feature_alpha_dropout_")},
    torch.native_dropout: (1, "p", False),
    F.multi_head_attention_forward: (10, "dropout_p", True),
    F.scaled_dot_product_attention: (4, "dropout_p", None),
}
_TRAINING = {F.multi_head_attention_forward: 13}  # its place among the arguments, elsewhere behind the probability
_RECURRENT = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class DropoutOff(TorchFunctionMode):
    """Within this block functions drop nothing out, whatever they are told.

    Attributes:
        met: whether any would have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, called within this block."""

        def undropped(*args: Any) -> Any:
            with self:
                return function(*args)

        return undropped

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _TAKEN:
            args, kwargs = self._without(func, args, kwargs)
        elif func in _RECURRENT and (at := next((i for i, x in enumerate(args) if type(x) is float), None)):
            self.met |= args[at] > 0 and bool(args[at + 1])
            args = (*args[:at], 0.0, *args[at + 1 :])
        return func(*args, **kwargs)

    def _without(self, func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        place, name, default = _TAKEN[func]
        flag = _TRAINING.get(func, place + 1)
        trains = default is None or (
            args[flag] if len(args) > flag else kwargs.get("training", kwargs.get("train", default))
        )
        p = args[place] if len(args) > place else kwargs.get(name, 0.0 if default is None else 0.5)
        if not trains or not p:
            return args, kwargs
        self.met = True
        if len(args) > place:
            return (*args[:place], 0.0, *args[place + 1 :]), kwargs
        return args, {**kwargs, name: 0.0}


def switched_off(players: Mapping[str, nn.Module]) -> str:
    """Switch the dropout of these modules off, and that alone; return the names of their players."""
    found = [(player, m) for player, module in players.items() for m in module.modules() if drops_out(m)]
    for _, m in found:
        m.training = False
    return ", ".join(sorted({player for player, _ in found}))


def told(whose: str) -> str:
    """Return the sentence on dropout that is switched off."""
    return f"Dropout of {whose} is switched off in looks; batch normalization is as in training."
