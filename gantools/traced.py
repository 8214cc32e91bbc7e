"""Functions recorded as straight lines of elementary operations, gradients within them included, and compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

BACKEND = "inductor"


def traced(function: Callable[..., Any], *examples: Tensor, **settings: Any) -> GraphModule:
    """Trace a function of tensors to elementary operations; what it calls of autograd becomes operations too.

    The shapes of all values are noted under one mode: PyTorch would make one for each value, with a copy of the stack,
    which takes twice the time.

    Args:
        function: of tensors like the examples; whatever else it reads becomes a constant.
        examples: it is run on them once.
        settings: of `torch.fx.experimental.proxy_tensor.make_fx`.
    """
    with tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True))):
        return make_fx(function, **settings)(*examples)


def compiled(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """Return a graph of tensors compiled for these shapes; random numbers are those that it draws as it is.

    Code that PyTorch's compiler made before is read from its cache on disk (`TORCHINDUCTOR_CACHE_DIR`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the compiler imports
        import torch._inductor.config as settings
        from torch._dynamo import lookup_backend

        with settings.patch(fallback_random=True), torch.no_grad():
            return lookup_backend(BACKEND)(graph, list(examples))
