"""Images to learn from and others held out, split anew with each seed, and how far samples are from both."""

import dataclasses
import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from gantools.data.seeds import random_stream
from gantools.data.sources import FiniteSource, make_source
from gantools.metrics.distances import Thumbnail, density_coverage, kernel_distance, train_features

HELD = {"mnist5k": 1000, "faces": 25}
DRAWS = {"mnist5k": 1, "faces": 8}  # of as many samples as images are held out
LEAST = 1e-3  # kernel distances below it, of which training images have some too, are not told apart


@dataclasses.dataclass(frozen=True)
class Split:
    """A data set in two parts.

    Attributes:
        training: the images that players see.
        held: (m, 1, H, W), those that they do not.
        features: what samples are compared in; a classifier of the training images where they have labels.
        samples: number of samples to measure, a multiple of m.
    """

    training: FiniteSource
    held: Tensor
    features: nn.Module
    samples: int


@functools.lru_cache(maxsize=32)
def split(data: str, seed: int) -> Split:
    """Return the split of a data set that a seed draws; of each class the same part is held out."""
    source: Any = make_source(data)
    images = source.select(torch.arange(source.size))
    labels = torch.zeros(source.size, dtype=torch.int64) if source.labels is None else source.labels
    classes, stream = labels.unique(), random_stream(seed, data, "split")
    each = HELD[data] // len(classes)
    held, kept = [], []
    for number in classes:
        own = torch.from_numpy(stream.permutation((labels == number).nonzero().flatten().numpy()))
        held.append(own[:each])
        kept.append(own[each:])
    training = FiniteSource(data, images[torch.cat(kept)], source.labels[torch.cat(kept)] if len(classes) > 1 else None)
    features = train_features(training, seed) if len(classes) > 1 else Thumbnail()
    return Split(training, images[torch.cat(held)], features, HELD[data] * DRAWS[data])


@torch.no_grad()
def measured(samples: Tensor, parts: Split) -> dict[str, float]:
    """Return how far samples (n, 1, H, W) are from the images that were held out, and how near to those that were not.

    Returns:
        "coverage": with as many samples as there are images, the mean over the draws; "log kernel": log10 of the kernel
        distance; "copied": the median distance of a sample's pixels from the nearest training image, over that of the
        images held out.
    """
    real, fake = parts.features(parts.held), parts.features(samples)
    draws = [density_coverage(real, part)[1] for part in fake.split(len(real)) if len(part) == len(real)]
    seen = parts.training.select(torch.arange(len(parts.training.samples)))
    return {
        "coverage": sum(draws) / len(draws), "log kernel": math.log10(max(LEAST, kernel_distance(real, fake))),
        "copied": _nearest(samples, seen) / _nearest(parts.held, seen),
    }  # fmt: skip


def _nearest(images: Tensor, others: Tensor) -> float:
    """Return the median distance of images from the nearest of others."""
    return float(torch.cdist(images.flatten(1), others.flatten(1)).amin(1).median())


@functools.lru_cache(maxsize=32)
def yardsticks(data: str, seed: int) -> dict[str, float]:
    """Return what is measured of training images as if they were samples, and of a Gaussian fitted to their pixels."""
    parts = split(data, seed)
    seen = parts.training.reference(parts.samples, seed)
    rng = torch.Generator().manual_seed(seed)
    everything = parts.training.select(torch.arange(len(parts.training.samples)))
    mean, n = everything.mean(0), len(everything)
    weights = torch.randn(parts.samples, n, generator=rng) / (n - 1) ** 0.5
    fitted = mean + (weights @ (everything - mean).flatten(1)).reshape(-1, *mean.shape)
    found = {"data": measured(seen, parts), "Gaussian": measured(fitted.clamp(-1, 1), parts)}
    return {f"{name} {column}": value for name, own in found.items() for column, value in own.items()}
