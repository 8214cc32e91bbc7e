"""Entries of the table: functions that build a model, its loss and a batch, registered by package.

A new model is one entry in a module of `models/`, and its package a line of `requirements.txt`:

    @model("transformers")
    def gpt2():
        net = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2))
        ids = torch.randint(11, (2, 5))
        return net, lambda net, ids: net(ids, labels=ids).loss, ids

Weights are random and configurations tiny; nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gantools.batches import map_tensors

Loss = Callable[[Any, Any], Tensor]
Built = tuple[nn.Module, Loss, Any]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of the table.

    Attributes:
        name: unique, as printed.
        package: distribution that the model's code comes from, as in `requirements.txt`; "torch" where it is written
            here as its public file has it.
        make: returns the model, loss(model, batch) -> scalar, and one batch; may draw from torch's global generator.
        train: whether it is analysed in train mode; by default in eval mode, where dropout and sampling rest.
        refused: why gantools must refuse it, or None: a sentence for the table.
        tolerance: relative error of a product in float64 that is right; larger where the model computes in float32.
        reference: makes what the oracle differentiates, with the same parameters in the same order; by default `make`.
        finish: what is done to model, loss and batch before gantools is given them: wrappers, autocast, containers.
        nudge: standard deviation of what is added to each parameter; smaller where many layers would blow up.
        precisions: in which it is analysed.
        coarse: relative error of a product that is right in precisions other than float64.
    """

    name: str
    package: str
    make: Callable[[], Built]
    train: bool = False
    refused: str | None = None
    tolerance: float = 1e-5
    reference: Callable[[], Built] | None = None
    finish: Callable[[nn.Module, Loss, Any], Built] | None = None
    precisions: tuple[torch.dtype, ...] = (torch.float64, torch.float32)
    coarse: float = 2e-3
    nudge: float = 0.1

    def build(self, dtype: torch.dtype = torch.float32, plain: bool = False) -> Built:
        """Return the same model, loss and batch at each call, in this precision, away from zero initial weights.

        Args:
            dtype: of parameters and batch.
            plain: pass True for what the oracle differentiates.
        """
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net, loss, batch = self.reference() if plain and self.reference else self.make()
            net.train(self.train)
            with torch.no_grad():
                # Layers that begin at zero (LoRA, last layers of diffusion models) would leave most of J at zero.
                for p in net.parameters():
                    if p.is_floating_point() and not nn.parameter.is_lazy(p):
                        p.add_(self.nudge * torch.randn_like(p))
        net, batch = net._apply(lambda x: cast(x, dtype)), converted(batch, dtype)
        if plain or self.finish is None:
            return net, loss, batch
        net, loss, batch = self.finish(net, loss, batch)
        return net.train(self.train), loss, batch


ENTRIES: dict[str, Entry] = {}


def model(package: str, **options: Any) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
    """Register a function that builds a model under its own name; options are the fields of `Entry`."""

    def register(make: Callable[[], Built]) -> Callable[[], Built]:
        name = make.__name__.strip("_")
        if name in ENTRIES:
            raise ValueError(f"There are two entries {name!r}: give one another name.")
        ENTRIES[name] = Entry(name, package, make, **options)
        return make

    return register


def load(module: str) -> list[Entry]:
    """Return the entries of one module, which imports its packages."""
    name = f"compatibility.models.{module}"
    importlib.import_module(name)
    return [entry for entry in ENTRIES.values() if entry.make.__module__ == name]


def converted(batch: Any, dtype: torch.dtype) -> Any:
    """Return a batch whose floating-point tensors are of this precision; a graph of torch_geometric as well."""

    if hasattr(batch, "edge_index"):
        return batch.clone().apply(lambda x: cast(x, dtype))
    return map_tensors(lambda x: cast(x, dtype), batch)


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a real or complex tensor in this precision, others as they are; `Module.to` drops imaginary parts."""
    if x.is_complex():
        return x.to(dtype.to_complex()) if dtype is not torch.bfloat16 else x
    return x.to(dtype) if x.is_floating_point() else x


def scalar(output: Any) -> Tensor:
    """Return a loss of whatever a model returned: each tensor's mean square and a mean with fixed signs.

    The mean square alone of a normalised output is constant.
    """
    total = torch.zeros(())
    for x in _tensors(output):
        x = torch.view_as_real(x) if x.is_complex() else x
        signs = torch.cos(torch.arange(x.numel(), dtype=x.dtype)).view(x.shape)
        total = total + x.square().mean() + (signs * x).mean()
    return total


def on_output(net: nn.Module, batch: Any) -> Tensor:
    """Return `scalar` of the model's output; a tuple is its arguments, a dictionary its keyword arguments."""
    if isinstance(batch, dict):
        return scalar(net(**batch))
    return scalar(net(*batch) if isinstance(batch, tuple) else net(batch))


def own_loss(net: nn.Module, batch: dict[str, Any]) -> Tensor:
    """Return the loss that the model computes itself from keyword arguments, as those of Hugging Face do."""
    return net(**batch).loss


def classify(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the cross entropy of the model's logits of (inputs, classes)."""
    return nn.functional.cross_entropy(net(batch[0]), batch[1])


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        if output.is_floating_point() or output.is_complex():
            yield output
    elif hasattr(output, "values"):
        for item in output.values():
            yield from _tensors(item)
    elif isinstance(output, (tuple, list)):
        for item in output:
            yield from _tensors(item)
