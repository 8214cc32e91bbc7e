"""Features of images for the metrics: a small classifier trained on the labelled data, or thumbnails."""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, silu

from gantools.data.seeds import derive_seed, random_stream
from gantools.data.sources import FiniteSource, Source
from gantools.errors import GantoolsError
from gantools.nn.init import blank


class Thumbnail(nn.Module):
    """Flatten samples, images (C, H, W) larger than 8 x 8 after averaging to 8 x 8: layout and colour, no texture."""

    def __init__(self):
        super().__init__()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4 and max(x.shape[2:]) > 8:
            x = adaptive_avg_pool2d(x, 8)
        return x.flatten(1)


class DigitFeatures(nn.Module):
    """Classifier of small images; `forward` gives the outputs of its second hidden layer, (B, features).

    They are standardised, each to mean 0 and variance 1 over the data set, because the scale of a classifier's features
    is an accident of its training: so distances are comparable between seeds, and the Fréchet distance of a constant
    from the data is about the number of features.

    Attributes:
        accuracy: scalar buffer, the accuracy on the fifth of the data that `train_features` held out; NaN before.
        mean: (features,) buffer, mean of the penultimate outputs over the data set.
        std: (features,) buffer, their standard deviation.
    """

    accuracy: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int, features: int = 64):
        super().__init__()
        n_in = int(torch.Size(shape).numel())
        self.hidden = blank(nn.Linear, n_in, 128)
        self.penultimate = blank(nn.Linear, 128, features)
        self.head = blank(nn.Linear, features, classes)
        self.register_buffer("accuracy", torch.tensor(float("nan")))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weights (He normal) from `rng`."""
        for layer in (self.hidden, self.penultimate, self.head):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)

    def forward(self, x: Tensor) -> Tensor:
        return (self._activations(x) - self.mean) / self.std

    def logits(self, x: Tensor) -> Tensor:
        """Return the class scores (B, classes)."""
        return self.head(self._activations(x))

    def standardise(self, x: Tensor) -> None:
        """Set `mean` and `std` to those of the penultimate outputs on x (N, *shape)."""
        activations = self._activations(x).double()
        self.mean.copy_(activations.mean(0))
        self.std.copy_(activations.std(0))

    def _activations(self, x: Tensor) -> Tensor:
        # silu, not relu: a rectified unit that is off on all data would have no variance to divide by.
        return silu(self.penultimate(silu(self.hidden(x.flatten(1)))))


def train_features(source: Source, seed: int = 0, steps: int = 600) -> DigitFeatures:
    """Train a classifier on four fifths of a labelled data set and return it in evaluation mode.

    Adam, batches of 128, cosine decay from 3e-3; about a second on a CPU core for the digits. Weights, split and
    batches depend on `seed` alone, and the global random state is left as it was. A source without labels raises
    `GantoolsError`. `DigitFeatures(source.shape, classes).load_state_dict(...)` restores it from a run.
    """
    if not isinstance(source, FiniteSource) or source.labels is None:
        raise GantoolsError(f"{source.name} has no labels to train features on: evaluate on samples, without features.")
    order = torch.from_numpy(random_stream(seed, "features", "split").permutation(len(source.samples)))
    held_out, kept = order[: len(order) // 5], order[len(order) // 5 :]
    training = FiniteSource(source.name, source.samples[kept], source.labels[kept])
    labels = source.labels[kept]
    model = DigitFeatures(source.shape, int(source.labels.max()) + 1)
    model.initialise(torch.Generator().manual_seed(derive_seed(seed, "features", "weights")))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    parameters = list(model.parameters())
    for step in range(steps):
        indices = training.indices(step, 128, seed)
        loss = cross_entropy(model.logits(training.select(indices)), labels[indices])
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        optimizer.step()
        schedule.step()
    model.eval().requires_grad_(False)
    model.standardise(source.select(order))
    predictions = model.logits(source.select(held_out)).argmax(1)
    model.accuracy.copy_((predictions == source.labels[held_out]).float().mean())
    return model
