"""Batches of any structure: one told from several, split, mapped over, checked."""

import copy
import importlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError


def is_batch(value: Any) -> bool:
    """Return whether `value` is one batch: a tensor, a mapping, a tuple, or nothing to iterate over.

    A list that holds a tensor is one, whatever else is in it: images, labels and file names, as loaders make them. An
    object with keys and their values, or that yields names with values, as graphs of torch_geometric do, is one, and is
    passed on as it is. Every other iterable (a DataLoader, a list of batches) holds several batches; so does what a
    loader makes of samples that are pairs of pairs, `[[a, b], [c, d]]`: pass such a batch in a tuple, `tuple(batch)`.
    """
    if isinstance(value, (Tensor, Mapping, tuple, str, bytes)) or not isinstance(value, Iterable):
        return True
    if isinstance(value, list):
        return any(isinstance(item, Tensor) for item in value)
    if callable(getattr(value, "keys", None)) and hasattr(value, "__getitem__"):
        return True
    attributes = getattr(value, "__dict__", {}).values()
    if isinstance(value, Iterator) or not any(isinstance(x, Tensor) for x in attributes):
        return False
    first = next(iter(value), None)
    return isinstance(first, tuple) and len(first) == 2 and isinstance(first[0], str)


def each_batch(value: Any) -> Iterable[Any]:
    """Return an iterable that can be walked again and again: the several batches, or the one in a tuple.

    Raises:
        GantoolsError: for a one-shot iterator, which would be empty at the second product, for no batch at all, and for
            a list whose items have no key in common or not as many parts: they are the parts of one batch.
    """
    if is_batch(value):
        return (value,)
    if isinstance(value, Iterator):
        raise GantoolsError(
            f"{type(value).__name__} can be walked only once, but every product walks over all batches: "
            "pass a list of batches or a DataLoader."
        )
    if isinstance(value, list) and not value:
        raise GantoolsError("The list of batches is empty: pass at least one batch.")
    if isinstance(value, list) and (other := next((x for x in value if not _alike(x, value[0])), None)) is not None:
        raise GantoolsError(
            f"A list without a tensor holds several batches, but its items differ in form ({_form(value[0])} and "
            f"{_form(other)}). If they are the parts of one batch, pass it in a tuple, tuple(batch)."
        )
    return value


def _alike(one: Any, other: Any) -> bool:
    """Return whether two batches may belong to one loss: mappings with a key in common, as many parts."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return not one or not other or any(key in other for key in one)
    return _form(one) == _form(other)


def _form(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f"the keys {list(batch)}"
    return f"{len(batch)} parts" if type(batch) in (tuple, list) else f"a {type(batch).__name__}"


class Walk:
    """Several batches that analyses walk over repeatedly, and leave PyTorch's random state as it was.

    A DataLoader draws a seed for its workers at each pass, shuffled or not. A shuffled one draws another for its order,
    and goes on doing so: that is how it is found and refused.
    """

    def __init__(self, batches: Iterable[Any]):
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        state = torch.get_rng_state()
        begun = iter(self.batches)
        torch.set_rng_state(state)
        return begun


def walk(value: Any) -> Iterable[Any]:
    """Return what `each_batch` does, for an analysis: see `Walk`."""
    batches = each_batch(value)
    return batches if isinstance(batches, (tuple, list)) else Walk(batches)


class Parts(tuple[Any, ...]):
    """One batch in parts, for steps on more samples than memory holds at once.

    The field of the parts is their mean weighted by size, and so is its derivative of any order: each part's graph is
    made again when it is differentiated, so only one is in memory at a time. A method that differentiates the field
    takes the same step as on the whole batch; adding up its steps on the parts would give another one. Batch
    normalization sees the parts one by one, as it does in any accumulation.
    """

    __slots__ = ()


class Each(tuple[Any, ...]):
    """A batch for each copy of a game, in the order of the copies; see `gantools.stacked`."""

    def stacked(self) -> tuple[list[Tensor], list[int | None]] | None:
        """Return the tensors of the batches, each (S, ...), and where their copies lie; None where they do not stack.

        A number that is the same in all (how many updates were made, say) stays one: a loss may read it.
        """
        if "_stacked" not in vars(self):
            columns = list(zip(*map(tensors, self), strict=True)) if len(set(map(outline, self))) == 1 else None
            self._stacked = None if columns is None else _joined(columns)
        return self._stacked


def _joined(columns: list[tuple[Tensor, ...]]) -> tuple[list[Tensor], list[int | None]]:
    common = [not c[0].dim() and all(bool(x == c[0]) for x in c) for c in columns]
    values = [c[0].detach() if one else torch.stack(c).detach() for c, one in zip(columns, common, strict=True)]
    return values, [None if one else 0 for one in common]


def outline(batch: Any) -> str:
    """Return the form of a batch, with what is no tensor in it: numbers and text as such, objects by identity."""
    if isinstance(batch, Tensor):
        return f"{tuple(batch.shape)} {batch.dtype}"
    if isinstance(batch, Mapping):
        return repr({key: outline(value) for key, value in batch.items()})
    if isinstance(batch, (tuple, list)):
        return repr([outline(item) for item in batch])
    plain = isinstance(batch, (int, float, complex, str, bytes, type(None)))
    return repr(batch) if plain else f"{type(batch).__name__} {id(batch)}"


def split(batch: Any, count: int) -> Parts:
    """Return a batch in `count` parts of equal size; every count-th sample, so that a stratified batch stays so.

    A tensor without a dimension (the number of updates made, say) belongs to every part.

    Raises:
        GantoolsError: when it does not divide, or not every other tensor has the samples along its first dimension.

    >>> [len(part["real"]) for part in gt.split({"real": torch.zeros(10, 3)}, 2)]
    [5, 5]
    """
    size = batch_size(batch)
    shared = all(x.shape[0] == size for x in tensors(batch) if x.dim())
    if count < 1 or size % count or not shared:
        raise GantoolsError(
            f"A batch of {size} samples cannot be split into {count} equal parts: its size must be a multiple of "
            f"{count}, along the first dimension of every tensor."
        )
    return Parts(map_tensors(lambda x, k=k: x[k::count] if x.dim() else x, batch) for k in range(count))


def batch_size(batch: Any) -> int:
    """Return the first dimension of the first tensor of a batch; 1 when it holds no tensor with a dimension."""
    if isinstance(batch, Parts):
        return sum(map(batch_size, batch))
    for x in tensors(batch):
        if x.dim():
            return x.shape[0]
    return 1


def tensors(batch: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (Mapping, tuple, list)):
        for item in batch.values() if isinstance(batch, Mapping) else batch:
            yield from tensors(item)


def map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """Return the batch with `function` applied to each of its tensors, in containers of the same types."""
    # torch's pytree takes any mapping or tuple that it was not told of, Hugging Face's batches say, for a leaf.
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        items = {key: map_tensors(function, value) for key, value in batch.items()}
        if type(batch) is dict or not isinstance(batch, MutableMapping):
            return items
        same = copy.copy(batch)
        same.update(items)
        return same
    if isinstance(batch, (tuple, list)):
        mapped = [map_tensors(function, item) for item in batch]
        return type(batch)(*mapped) if hasattr(batch, "_fields") else type(batch)(mapped)
    return batch


def widened(tree: Any) -> Any:
    """Return a tree with its floating tensors in float64, its complex ones in complex128."""

    def wider(x: Tensor) -> Tensor:
        return x.to(torch.promote_types(x.dtype, torch.float64)) if x.is_floating_point() or x.is_complex() else x

    return map_tensors(wider, tree)


def first_samples(batch: Any, count: int) -> Any:
    """Return the first samples of a batch, of a batch in parts those of the first part.

    A batch whose tensors have not all as many samples along their first dimension is returned as it is.
    """
    if isinstance(batch, Parts):
        return first_samples(batch[0], count)
    size = batch_size(batch)
    if size <= count or not all(x.shape[0] == size for x in tensors(batch) if x.dim()):
        return batch
    return map_tensors(lambda x: x[:count] if x.dim() else x, batch)


def require_samples(batch: Any) -> None:
    """Refuse a batch with an empty tensor: its mean would be NaN."""
    for x in tensors(batch):
        if not x.numel():
            raise GantoolsError(f"The batch is empty (a tensor of shape {tuple(x.shape)}): pass at least one sample.")


def halves(batch: Any) -> tuple[Any, Any]:
    """Return the even and the odd samples of a batch: two independent estimates where one was drawn."""
    if isinstance(batch, (Parts, Each)):
        pairs = [halves(part) for part in batch]
        return type(batch)(even for even, _ in pairs), type(batch)(odd for _, odd in pairs)
    even, odd = split(batch, 2)
    return even, odd


def fingerprint(batch: Any) -> tuple[Any, ...]:
    """Return a hashable summary of a batch's numbers, equal when the same batch comes again."""
    real = (torch.view_as_real(x) if x.is_complex() else x for x in tensors(batch))
    # As hexadecimal text, since NaN differs from itself.
    return tuple((tuple(x.shape), float(x.double().sum()).hex()) for x in real)


class _Called(types.ModuleType):
    """This module, which is called as the public function `gantools.batches(loader, latent=...)` too.

    Importing a module makes it an attribute of its package, in the place of a function of that name.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("gantools.data.loaders").batches(*args, **kwargs)


sys.modules[__name__].__class__ = _Called
