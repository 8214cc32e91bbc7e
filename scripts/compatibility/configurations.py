"""What small models are wrapped in, computed in, made of and given: two hundred combinations.

Each compares a wrapped model with the oracle's plain one: wrapper x precision x layer x attention kernel x container.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from compatibility.configured_layers import ATTENTION, LAYERS, C, N, T
from compatibility.entries import Built, Entry, Loss

# Wrappers: a model to a model -----------------------------------------------------------------------------------------


class Checkpointed(nn.Module):
    """Runs a model under activation checkpointing."""

    def __init__(self, inner: nn.Module, reentrant: bool):
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant:
            x = x.clone().requires_grad_()  # it records nothing where no input requires a gradient
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


def distributed(net: nn.Module) -> nn.Module:
    """Return the model of one process in a group of its own."""
    one_process()
    return DistributedDataParallel(net)


def one_process() -> None:
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)


def averaged(net: nn.Module) -> nn.Module:
    return AveragedModel(net)


def traced(net: nn.Module) -> nn.Module:
    return torch.jit.trace(net, torch.randn(N, T, C).to(next(net.parameters()).dtype), check_trace=False)


def hooked(net: nn.Module) -> nn.Module:
    net.register_forward_hook(lambda module, args, output: output * 1.0)
    return net


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "none": lambda net: net,
    "compile": lambda net: torch.compile(net, backend="aot_eager"),
    "jit.script": torch.jit.script,
    "jit.trace": traced,
    "checkpoint": lambda net: Checkpointed(net, False),
    "reentrant checkpoint": lambda net: Checkpointed(net, True),
    "DDP, one rank": distributed,
    "DataParallel": DataParallel,
    "AveragedModel": averaged,
    "forward hook": hooked,
}

# Attention kernels: contexts in which a user calls a model ------------------------------------------------------------

KERNELS: dict[str, Callable[[], Any]] = {
    "default": nullcontext,
    "math": lambda: sdpa_kernel(SDPBackend.MATH),
    "flash": lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION),
    "flash or math": lambda: sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]),
    "efficient or math": lambda: sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]),
}

# Containers: a pair (x, y) to a batch, and back -----------------------------------------------------------------------

Pair = collections.namedtuple("Pair", ["x", "y"])


@dataclasses.dataclass
class Record:
    x: Tensor
    y: Tensor


class Graph:
    """Yields names with values when it is iterated over, as torch_geometric's Data does."""

    def __init__(self, **values: Any):
        self.__dict__.update(values)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.__dict__.items())


class Frozen(collections.abc.Mapping):
    """A mapping that cannot be changed."""

    def __init__(self, **values: Any):
        self.values_ = values

    def __getitem__(self, key: str) -> Any:
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def by_key(b: Any) -> tuple[Tensor, Tensor]:
    return b["x"], b["y"]


def by_name(b: Any) -> tuple[Tensor, Tensor]:
    return b.x, b.y


def in_order(b: Any) -> tuple[Tensor, Tensor]:
    return b[0], b[1]


def loader(x: Tensor, y: Tensor) -> DataLoader:
    return DataLoader(TensorDataset(x, y), batch_size=2)


CONTAINERS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Callable[[Any], tuple[Tensor, Tensor]]]] = {
    "tuple": (lambda x, y: (x, y), in_order),
    "list": (lambda x, y: [x, y], in_order),
    "dict": (lambda x, y: {"x": x, "y": y}, by_key),
    "OrderedDict": (lambda x, y: collections.OrderedDict(x=x, y=y), by_key),
    "UserDict": (lambda x, y: collections.UserDict(x=x, y=y), by_key),
    "defaultdict": (lambda x, y: collections.defaultdict(list, x=x, y=y), by_key),
    "frozen mapping": (lambda x, y: Frozen(x=x, y=y), by_key),
    "named tuple": (Pair, by_name),
    "dataclass": (Record, by_name),
    "object of pairs": (lambda x, y: Graph(x=x, y=y), by_name),
    "[x, {y}]": (lambda x, y: [x, {"y": y}], lambda b: (b[0], b[1]["y"])),
    "[x, [y, names]]": (lambda x, y: [x, [y, ["a.png"] * len(x)]], lambda b: (b[0], b[1][0])),
    "[x, y, names]": (lambda x, y: [x, y, ["a.png"] * len(x)], in_order),
    "nested dict": (lambda x, y: {"in": {"x": x}, "out": (y, None)}, lambda b: (b["in"]["x"], b["out"][0])),
    "DataLoader": (loader, in_order),
    "list of tuples": (lambda x, y: [(x[:1], y[:1]), (x[1:], y[1:])], in_order),
    "list of dicts": (lambda x, y: [{"x": x[:3], "y": y[:3]}, {"x": x[3:], "y": y[3:]}], by_key),
    "generator": (lambda x, y: ((x, y) for _ in range(1)), in_order),
}

# Configurations -------------------------------------------------------------------------------------------------------

PRECISIONS = {
    "float64, float32": ((torch.float64, torch.float32), None),
    "bfloat16 autocast": ((torch.float32,), torch.bfloat16),
    "float16 autocast": ((torch.float32,), torch.float16),
    "bfloat16": ((torch.bfloat16,), None),
}
COARSE = 0.06  # relative error of a product that is right in half precision


def loss(net: nn.Module, pair: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(net(pair[0]).to(pair[1].dtype), pair[1])


def configuration(wrapper: str, precision: str, layer: str, kernel: str, container: str) -> Entry:
    """Return an entry for one combination."""
    dtypes, autocast = PRECISIONS[precision]
    fill, opened = CONTAINERS[container]

    def finish(net: nn.Module, loss: Loss, batch: Any) -> Built:
        def wrapped(net: nn.Module, batch: Any) -> Tensor:
            cast = torch.autocast("cpu", autocast) if autocast else nullcontext()
            with KERNELS[kernel](), cast:
                return loss(net, opened(batch))

        return WRAPPERS[wrapper](net), wrapped, fill(*batch)

    def make() -> Built:
        return LAYERS[layer](), loss, (torch.randn(N, T, C), torch.randn(N, 3))

    return Entry(
        " | ".join((wrapper, precision, layer, kernel, container)), "torch", make, finish=finish, precisions=dtypes,
        coarse=COARSE if dtypes[-1] is torch.bfloat16 or autocast else 2e-3, refused=refusal(container),
    )  # fmt: skip


def refusal(container: str) -> str | None:
    """Return why combinations with a container must be refused, or None."""
    return "a generator is empty at the second product" if container == "generator" else None


def combinations() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the combinations: all wrappers on all layers, precisions, kernels and containers, and mixtures of them."""
    both, containers = "float64, float32", itertools.cycle(("tuple", "dict", "list", "named tuple"))
    scripted = ("linear, tanh", "convolution, batch norm", "layer norm, GELU", "LSTM", "embedding", "transformer layer")
    everywhere = ("none", "compile", "checkpoint", "reentrant checkpoint", "DDP, one rank")
    for wrapper in WRAPPERS:
        for layer in LAYERS if wrapper in everywhere else scripted:
            yield wrapper, both, layer, "default", next(containers)
    for precision, layer in itertools.product(list(PRECISIONS)[1:], LAYERS):
        if layer != "complex" and (precision, layer) != ("float16 autocast", "LSTM"):  # PyTorch has none
            yield "none", precision, layer, "default", next(containers)
    for wrapper, layer in itertools.product(("compile", "checkpoint", "DDP, one rank"), scripted):
        yield wrapper, "bfloat16 autocast", layer, "default", "tuple"
    for wrapper, layer, kernel in itertools.product(("none", "checkpoint"), ATTENTION, list(KERNELS)[1:]):
        yield wrapper, both, layer, kernel, next(containers)
    for container in CONTAINERS:
        yield "none", both, "linear, tanh", "default", container
    for container in ("DataLoader", "list of dicts", "object of pairs", "[x, {y}]"):
        yield "checkpoint", both, "causal attention", "default", container
        yield "compile", both, "layer norm, GELU", "default", container


def load() -> list[Entry]:
    """Return all configurations, each once."""
    return [configuration(*found) for found in dict.fromkeys(combinations())]
