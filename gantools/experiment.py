"""What a configuration describes, built: a game, its optimizer, its batches, and how to sample it."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from gantools import trainers
from gantools.batches import each_batch
from gantools.config import Choice, TrainConfig
from gantools.data import Source, derive_seed, latent, make_source
from gantools.errors import GantoolsError
from gantools.game import Game, gan
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.regularizers import REGULARIZERS
from gantools.streams import GanBatches, IndexedStream, IteratedStream, on_device, random_state_kept
from gantools.target import load_target, own_errors
from gantools.trainers.base import BASES
from gantools.trainers.optimizer import GameOptimizer

SAMPLE_STREAM = "samples"
SMALL_GAME = 200_000


@dataclasses.dataclass
class Experiment:
    """A game on its device with everything that training and analysis need.

    Attributes:
        batches: indexable `GanBatches`, or what the user's function returned.
        first: the first of a user's own batches.
        stream: the same batches in the order of training.
        source: the data set of a GAN from the registries, else None.
    """

    config: TrainConfig
    game: Game
    optimizer: GameOptimizer
    batches: Any
    first: Any
    stream: IndexedStream | IteratedStream
    source: Source | None
    device: torch.device

    def analysis_batch(self, size: int = 256) -> Any:
        """Return the batch that spectra are computed on: always the same one, so that they differ by the point alone.

        For a GAN from the registries it has at least `size` samples (at most the data set's); for a user's own game it
        is the first of the batches.
        """
        if self.source is None:
            return self.first
        size = max(size, self.config.batch_size)
        if self.source.size is not None:
            size = min(size, self.source.size)
        return GanBatches(self.source, size, self.config.latent_size, self.config.seed, self.device)[0]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return n samples of the generator (n, ...) on the CPU, in evaluation mode; the modules keep their mode."""
        if self.source is None:
            raise GantoolsError("Only a GAN from the registries is sampled: this run trains a game of your own file.")
        generator = self.game.players["generator"]
        modes = self.game.modes()
        z = latent(0, n, self.config.latent_size, seed, SAMPLE_STREAM).to(self.device)
        try:
            generator.eval()
            with torch.no_grad():
                return torch.cat([generator(part).cpu() for part in z.split(512)])
        finally:
            for module, training in modes.items():
                module.training = training


def resolve_device(name: str) -> torch.device:
    """Return the device of this name; "auto" is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GantoolsError(f"The device {name!r} cannot be used ({str(error).splitlines()[0]}): try cpu.") from None
    return device


def set_threads(game: Game, threads: int = 0) -> None:
    """Set PyTorch's CPU threads, for a program; 0: one for a small game, whatever was set before for a larger one.

    The kernels of a small game last microseconds: a second thread gains little on an idle machine, and on a busy one
    the threads wait for each other (ten times slower, measured with two busy cores).
    """
    if threads or game.num_parameters < SMALL_GAME:
        torch.set_num_threads(threads or 1)


def build(config: TrainConfig) -> Experiment:
    """Build what the configuration describes; parameters are drawn from its seed, as they were the first time."""
    device = resolve_device(config.device)
    if config.target:
        game, own = load_own(config.target, device)
        source, stream, batches = None, IteratedStream(own, device), on_device(own, device)
        first = _first(config.target, own, batches)
    else:
        source = make_source(config.data.name, **config.data.settings)
        game = _build_gan(config, source, device)
        batches = GanBatches(source, config.batch_size, config.latent_size, config.seed, device)
        stream = IndexedStream(batches)
        first = batches[0]  # a batch size that the data set refuses is refused now
    return Experiment(config, game, make_optimizer(config.optimizer, game), batches, first, stream, source, device)


def _first(target: str, own: Any, batches: Any) -> Any:
    """Return the first batch, the same one whenever the game is built: a shuffled loader gives another each time."""
    with own_errors(target), random_state_kept(own):
        for batch in each_batch(batches):
            return batch
    raise GantoolsError(f"{target} returned no batches to train on: the iterable is empty.")


def load_own(target: str, device: torch.device) -> tuple[Game, Any]:
    """Return the game of FILE.py:FUNCTION on the device, and its batches as they are."""
    game, batches = load_target(target)
    game.module.to(device)
    return game, batches


def _build_gan(config: TrainConfig, source: Source, device: torch.device) -> Game:
    network = NETWORKS[config.network.name](**config.network.settings)
    rng = torch.Generator().manual_seed(derive_seed(config.seed, "parameters"))
    generator, discriminator = network.build(source.shape, config.activation, config.latent_size, rng)
    regularizers = [REGULARIZERS[choice.name](**choice.settings) for choice in config.regularizers]
    return gan(generator.to(device), discriminator.to(device), LOSSES[config.loss], regularizers)


def make_optimizer(choice: Choice, game: Game) -> GameOptimizer:
    """Return the optimizer of a choice, whose setting "base" may be a choice of its own."""
    settings = dict(choice.settings)
    if isinstance(base := settings.get("base"), Choice):
        settings["base"] = BASES[base.name](**{k: _tuples(v) for k, v in base.settings.items()})
    return trainers.make(choice.name, game, **settings)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
