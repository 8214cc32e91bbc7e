"""Modules that a player may come as: those of one process are taken as they are, or refused in a sentence."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # pyright: ignore[reportAttributeAccessIssue]

from gantools.errors import GantoolsError, GantoolsWarning

# Containers in attributes of modules that are deeper or longer than these hold data, or themselves.
DEEPEST, LONGEST = 4, 10_000


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
    fully_sharded: list[Any] = [m for m in module.modules() if _is(m, "torch.distributed.fsdp", "FSDPModule")]
    for inner in fully_sharded:
        inner.reshard()  # a forward pass without a backward one leaves whole parameters in the place of its own
    for name, tensor in _tensors(module):
        if isinstance(tensor, UninitializedTensorMixin):
            raise GantoolsError(
                f"Player {player!r} has no values for {name!r} yet: lazy layers take their shape from the first batch, "
                "so call the module on one before making the game."
            )
        if is_spread(tensor) and not fully_sharded:
            raise _spread(player, "tensor parallelism")
    if any(_records_samples(m) and m.hooks_enabled for m in module.modules()):
        warnings.warn(
            f"Player {player!r} is wrapped by opacus, whose hooks keep each sample's gradient: they are off while "
            "gantools evaluates the losses, and its own optimizers follow the plain gradient, neither clipped nor with "
            "noise.",
            GantoolsWarning,
            stacklevel=5,
        )
    return module


def is_spread(tensor: Any) -> bool:
    """Return whether a tensor is spread over processes, a DTensor."""
    return _is(tensor, "torch.distributed.tensor", "DTensor")


def _records_samples(module: Any) -> bool:
    return _is(module, "opacus.grad_sample.gsm_base", "AbstractGradSampleModule")


class HeldOutside:
    """What modules hold beside their parameters and buffers, and has to follow where these are swapped.

    - Lists, tuples and dictionaries of parameters that a module keeps as plain attributes, also within one another: the
      weights of a scripted recurrent net (an eager one keeps them up by itself), those that a penalty is to sum up.
    - The hooks of opacus keep what they need for each sample's gradient, which they compute at the next backward pass
      through this layer; further ones, as derivatives of the field make them, find nothing. They change no value.
    - The hooks of FSDP2 put its own parameters, gathered, in the place of those that are swapped in.
    """

    def __init__(self, module: nn.Module):
        self._names = {id(p): name for name, p in module.named_parameters()}
        self._kept = [
            (m, attribute)
            for m in module.modules()
            for attribute, value in _plain_attributes(m).items()
            if self._holds(value)
        ]
        hooked = any(_records_samples(m) or _is(m, "torch.distributed.fsdp", "FSDPModule") for m in module.modules())
        self._hooked = list(module.modules()) if hooked else []

    def _holds(self, value: Any, depth: int = 0) -> bool:
        if isinstance(value, nn.Parameter):
            return id(value) in self._names
        if type(value) not in (list, tuple, dict) or depth == DEEPEST or len(value) > LONGEST:
            return False
        return any(self._holds(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))

    def _with(self, value: Any, tensors: Mapping[str, Tensor], depth: int = 0) -> Any:
        """Return the same value, with these tensors in the place of parameters."""
        if not self._holds(value, depth):
            return value
        if isinstance(value, nn.Parameter):
            return tensors.get(self._names[id(value)], value)
        if isinstance(value, dict):
            return {key: self._with(item, tensors, depth + 1) for key, item in value.items()}
        return type(value)(self._with(item, tensors, depth + 1) for item in value)

    @contextmanager
    def following(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Run the block with these tensors, by the parameters' names, in such attributes; without those hooks."""
        kept = [(m, name, getattr(m, name)) for m, name in self._kept] if tensors else []
        kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks")
        hooks = [(h, dict(h)) for m in self._hooked for h in (getattr(m, kind) for kind in kinds)]
        try:
            for m, name, value in kept:
                setattr(m, name, self._with(value, tensors))
            for present, _ in hooks:
                for key in [key for key, hook in present.items() if _of_wrapper(hook)]:
                    del present[key]
            yield
        finally:
            for m, name, value in kept:
                setattr(m, name, value)
            for present, before in hooks:
                present.clear()
                present.update(before)


_OF_MODULES = frozenset(vars(nn.Module()))


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, torch.jit.ScriptModule):
        weights = getattr(module, "_flat_weights", None)
        return {} if weights is None else {"_flat_weights": weights}
    return {name: x for name, x in vars(module).items() if name not in _OF_MODULES and type(x) in (list, tuple, dict)}


def _of_wrapper(hook: Any) -> bool:
    module = getattr(getattr(hook, "func", hook), "__module__", None) or ""
    return module.startswith(("opacus.", "torch.distributed.fsdp."))


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
