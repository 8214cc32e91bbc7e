"""What an analysis must leave as it was: a model's tensors, gradients, hooks and modes, and the random state."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


def fingerprint(net: nn.Module) -> dict[str, Any]:
    """Return everything that must stay, by name, bit for bit."""
    found: dict[str, Any] = {
        "random state of torch": torch.get_rng_state().numpy().tobytes(),
        "random state of NumPy": repr(np.random.get_state()),  # noqa: NPY002  it is that one which must stay
        "random state of Python": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
    }
    for name, module in net.named_modules():
        found[f"mode of {name or 'the model'}"] = module.training
        for hooks in HOOKS:
            found[f"{hooks} of {name or 'the model'}"] = [
                (key, id(hook)) for key, hook in (getattr(module, hooks, None) or {}).items()
            ]
    tensors = {**dict(net.named_parameters(remove_duplicate=False)), **dict(net.named_buffers(remove_duplicate=False))}
    for name, t in tensors.items():
        found[name] = id(t), t.requires_grad, t.is_leaf, _bits(t)
        found[f"gradient of {name}"] = None if t.grad is None else (id(t.grad), _bits(t.grad))
        found[f"hooks on {name}"] = [(key, id(hook)) for key, hook in (t._backward_hooks or {}).items()]
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of what differs."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def _bits(t: Tensor) -> Any:
    if isinstance(t, nn.parameter.UninitializedTensorMixin):
        return "uninitialised"
    t = t.detach()
    if t.layout != torch.strided:
        t = t.to_dense()
    if t.is_quantized:
        return str(t)
    return t.dtype, tuple(t.shape), t.data_ptr(), t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
