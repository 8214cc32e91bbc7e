"""The models of `bench_peers.py`, for every environment: this file imports nothing but torch."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

Problem = tuple[nn.Module, Tensor, Tensor]


def tanh_network(*widths: int) -> nn.Sequential:
    """Return a multilayer perceptron."""
    layers: list[nn.Module] = []
    for a, b in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def convolutional() -> nn.Sequential:
    """Return a ReLU network of four convolutions, 267 530 parameters, on 3 x 8 x 8 images."""
    layers: list[nn.Module] = []
    for a, b in ((3, 32), (32, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
        if b == 64:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 192), nn.ReLU(), nn.Linear(192, 10)]
    return nn.Sequential(*layers)


MODELS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...], int]] = {
    "mlp": (lambda: tanh_network(64, 256, 256, 64, 10), (64,), 10),
    "convnet": (convolutional, (3, 8, 8), 10),
    "small": (lambda: tanh_network(16, 28, 28, 7), (16,), 7),
}


def trained(name: str) -> Problem:
    """Return a model, inputs (256, ...) and random labels, after Adam has brought the loss below 1.5."""
    torch.manual_seed(0)
    make, shape, classes = MODELS[name]
    model = make()
    x, y = torch.randn(256, *shape), torch.randint(0, classes, (256,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3000):
        optimizer.zero_grad()
        value = loss(model, (x, y))
        value.backward()
        if value.item() < 1.5:
            break
        optimizer.step()
    optimizer.zero_grad()
    return model, x, y


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean cross-entropy."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def load(folder: Path, name: str, dtype: torch.dtype = torch.float32) -> Problem:
    """Return the problem, trained once and kept in the folder, so that every environment has the same numbers."""
    path = folder / f"{name}.pt"
    if not path.exists():
        model, x, y = trained(name)
        torch.save({"model": model.state_dict(), "x": x, "y": y}, path)
    saved = torch.load(path, weights_only=True)
    model = MODELS[name][0]()
    model.load_state_dict(saved["model"])
    return model.to(dtype), saved["x"].to(dtype), saved["y"]


def gradient_seconds(problem: Problem, repeats: int = 15) -> float:
    """Return the median time of one gradient of the batch: the unit g."""
    model, x, y = problem
    parameters, times = list(model.parameters()), []
    for _ in range(repeats):
        start = time.process_time()
        torch.autograd.grad(loss(model, (x, y)), parameters)
        times.append(time.process_time() - start)
    return sorted(times)[repeats // 2]


def worker_arguments() -> argparse.Namespace:
    """Return the arguments that the driver gave a worker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("work")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()
