"""Modules that a player may come as: those of one process are taken as they are, or refused in a sentence."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # pyright: ignore[reportAttributeAccessIssue]

from gantools.errors import GantoolsError, GantoolsWarning


class Players(dict[str, nn.Module]):
    """The modules by player's name; `players["generator"]`, or `players.generator` where the name allows it.

    Args:
        modules: as given by name, see `plain_module`.
    """

    def __init__(self, modules: Mapping[str, Any]):
        if not isinstance(modules, Mapping) or not modules:
            raise GantoolsError("A game needs at least one player: pass a mapping from names to modules.")
        super().__init__({player: plain_module(player, module) for player, module in modules.items()})

    def __getattr__(self, name: str) -> nn.Module:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no player {name!r}; players: {', '.join(self)}") from None


def plain_module(player: str, module: Any) -> nn.Module:
    """Return a player's module, without the wrapper of `DistributedDataParallel` where that has a single process.

    Raises:
        GantoolsError: for what is no module, has parameters without values yet, or is spread over processes.
    """
    if not isinstance(module, nn.Module):
        raise GantoolsError(f"Player {player!r} is a {type(module).__name__}: pass a torch.nn.Module.")
    if _is(module, "torch.nn.parallel.distributed", "DistributedDataParallel"):
        module = _alone(player, module)
    for name, inner in module.named_modules():
        if _is(inner, "torch.nn.parallel.distributed", "DistributedDataParallel"):
            raise GantoolsError(
                f"Player {player!r} holds a DistributedDataParallel ({name!r}), which averages gradients over "
                "processes: wrap nothing, or the whole player, and give the plain module to the game."
            )
        if _is(inner, "torch.distributed.fsdp.fully_sharded_data_parallel", "FullyShardedDataParallel"):
            raise _spread(player, "FSDP")
    for name, tensor in _tensors(module):
        if isinstance(tensor, UninitializedTensorMixin):
            raise GantoolsError(
                f"Player {player!r} has no values for {name!r} yet: lazy layers take their shape from the first batch, "
                "so call the module on one before making the game."
            )
        if _is(tensor, "torch.distributed.tensor", "DTensor"):
            raise _spread(player, "FSDP2 or tensor parallelism")
    return module


def _tensors(module: nn.Module) -> Iterator[tuple[str, Any]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _is(x: Any, module: str, name: str) -> bool:
    """Return whether `x` is of a class of a module that may not be loaded; loading it takes long."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(x, cls)


def _alone(player: str, module: Any) -> nn.Module:
    ranks = module.process_group.size()
    if ranks > 1:
        raise GantoolsError(
            f"Player {player!r} is wrapped in DistributedDataParallel over {ranks} processes, whose gradients it "
            "averages in the first backward pass alone: give the game the plain module (.module), and take "
            "gantools.replicated(game), which averages the field."
        )
    warnings.warn(
        f"Player {player!r} is taken out of its DistributedDataParallel, which has one process: the losses get the "
        "plain module.",
        GantoolsWarning,
        stacklevel=5,
    )
    return module.module


def _spread(player: str, by: str) -> GantoolsError:
    return GantoolsError(
        f"The parameters of player {player!r} are spread over processes ({by}), and products with a Jacobian need them "
        "whole: analyse a plain copy that holds the full state, from "
        "torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True."
    )
