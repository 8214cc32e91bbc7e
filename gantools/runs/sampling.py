"""Samples of the generator of a run, of the registries or of a user's file, and real ones to compare them with."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from gantools.batches import each_batch
from gantools.data.seeds import latent
from gantools.data.streams import placed
from gantools.errors import GantoolsError

SAMPLE_STREAM = "samples"
AT_ONCE = 512


def generates(experiment: Any) -> bool:
    """Return whether an experiment has a generator to sample: its game was made by `gantools.gan`."""
    return experiment.source is not None or (
        experiment.game.recipe is not None and isinstance(experiment.first, Mapping) and "latent" in experiment.first
    )


def sample(experiment: Any, n: int, seed: int = 0, averaged: bool = True) -> Tensor:
    """Return n samples of the generator, see `Experiment.sample`."""
    if not generates(experiment):
        raise GantoolsError(
            "This run trains a game that says of no player that it makes samples: what gantools.gan(generator, "
            'discriminator) makes, with batches of "real" and "latent", is sampled.'
        )
    generator, modes = experiment.game.players["generator"], experiment.game.modes()
    average = experiment.average if averaged else None
    try:
        generator.eval()
        with torch.no_grad(), average.applied() if average else nullcontext():
            inputs = _inputs(experiment, n, seed)
            return torch.cat([generator(*part).cpu() for part in inputs])
    finally:
        for module, training in modes.items():
            module.training = training


def _inputs(experiment: Any, n: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield what the generator is called with, for n samples: latents drawn from the seed, or those of the batches."""
    if experiment.source is not None:
        z = latent(0, n, experiment.config.latent_size, seed, SAMPLE_STREAM)
        z = placed(z, experiment.device, experiment.wide)
        yield from ((part,) for part in z.split(AT_ONCE))
        return
    for batch in each_batch(experiment.batches):
        parts = (batch["latent"][:n], *((batch["label"][:n],) if "label" in batch else ()))
        yield parts
        n -= len(parts[0])
        if n <= 0:
            return


def reference(experiment: Any, n: int) -> Tensor | None:
    """Return n real samples (n, ...) on the CPU, or as many as the user's batches hold; None without a generator."""
    if experiment.source is not None:
        return experiment.source.reference(n, 0)
    if not generates(experiment):
        return None
    found: list[Tensor] = []
    for batch in each_batch(experiment.batches):
        found.append(batch["real"].detach().cpu()[: n - sum(map(len, found))])
        if sum(map(len, found)) >= n:
            break
    return torch.cat(found)
