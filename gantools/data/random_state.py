"""The global random state: saved, restored, and seeded for a program."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def _generators(batches: Any) -> list[torch.Generator]:
    """Return the generators that a loader, its samplers and its data set hold, each once."""
    holders = [batches, *(getattr(batches, name, None) for name in ("sampler", "batch_sampler", "dataset"))]
    holders.append(getattr(holders[2], "sampler", None))
    found = [value for holder in holders for value in getattr(holder, "__dict__", {}).values()]
    return list({id(value): value for value in found if isinstance(value, torch.Generator)}.values())


def random_state(batches: Any = None) -> dict[str, Any]:
    """Return the state of the global generators, and of those that batches hold, as plain tensors and numbers."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - a user's data set may draw from the legacy generator
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *map(float, rest)],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if batches is not None:
        state["own"] = [generator.get_state() for generator in _generators(batches)]
    return state


def set_random_state(state: dict[str, Any], batches: Any = None) -> None:
    """Put the global random generators, and those that batches hold, into a state that `random_state` returned."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), int(position), int(has_gauss), cached))  # noqa: NPY002
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if batches is not None:
        for generator, own in zip(_generators(batches), state["own"], strict=True):
            generator.set_state(own)


def seed_global_generators(seed: int) -> None:
    """Seed the global random generators: for programs, before a user's code runs; the library never calls it bare."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


@contextmanager
def random_state_kept(batches: Any = None) -> Iterator[None]:
    """Put the global random generators, and those that batches hold, back into their state after the block."""
    state, own = random_state(), [(g, g.get_state()) for g in _generators(batches)]
    try:
        yield
    finally:
        set_random_state(state)
        for generator, before in own:
            generator.set_state(before)
