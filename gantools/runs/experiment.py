"""Build what a configuration describes: a game, its optimizer, its batches; and sample its generator."""

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gantools import trainers
from gantools.batches import each_batch, widened
from gantools.data.drawn import with_draws
from gantools.data.seeds import derive_seed
from gantools.data.sources import FiniteSource, Source, make_source
from gantools.data.streams import GanBatches, IndexedStream, IteratedStream, repeatable
from gantools.errors import GantoolsError
from gantools.games.flat_vector import Layout
from gantools.games.game import Game
from gantools.games.gan import gan
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.registry import Registry, suggest
from gantools.regularizers import REGULARIZERS
from gantools.runs import sampling
from gantools.runs.code.stored import Code
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.user_file import Options, load_target, own_errors
from gantools.schedules import SCHEDULES
from gantools.trainers.averages import AVERAGES, Average
from gantools.trainers.base_rules import BASES
from gantools.trainers.optimizer import GameOptimizer

SMALL_GAME = 200_000


@dataclasses.dataclass
class Experiment:
    """A game on its device with everything that training and analysis need.

    Attributes:
        config: the configuration that it was built from.
        game: the players and their losses.
        batches: indexable `GanBatches`, or those of the user's function, the same in every pass.
        first: the first of a user's own batches.
        stream: the same batches in the order of training.
        source: the data set of a GAN from the registries, else None.
        device: where the game is.
        average: of the iterates, where one was asked for: the point that samples are taken at.
        code: the text of a user's file that it was built from.
        starts: vectors from which the next searches for eigenvalues start, by tag (`gantools.runs.looks`).
        wide: whether the game and the batches are in float64, whatever they were trained in.
    """

    config: TrainConfig
    game: Game
    batches: Any
    first: Any
    stream: IndexedStream | IteratedStream
    source: Source | None
    device: torch.device
    average: Average | None = None
    code: Code | None = None
    starts: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    wide: bool = False
    _saved: Mapping[str, Any] | None = None

    @cached_property
    def optimizer(self) -> GameOptimizer:
        """The game optimizer, built where it is first asked for: most analyses need none."""
        optimizer = make_optimizer(self.config.optimizer, self.game)
        if self._saved is not None:
            optimizer.load_state_dict(self._saved)
        return optimizer

    def load_optimizer(self, saved: Mapping[str, Any]) -> None:
        """Load the optimizer's state: now where the optimizer is built, else as soon as it is."""
        if "optimizer" in vars(self):
            self.optimizer.load_state_dict(saved)
        else:
            self._saved = saved

    def data_digest(self) -> str | None:
        """Return the SHA-256 of the samples of a finite data set: files can change while their names stay."""
        if not isinstance(self.source, FiniteSource):
            return None
        samples = self.source.samples.contiguous()
        found = hashlib.sha256(f"{samples.dtype} {tuple(samples.shape)}".encode())
        found.update(samples.numpy().data)
        return found.hexdigest()

    def reconfigure(self, config: TrainConfig) -> None:
        """Take a configuration that differs in the settings of the optimizer alone, which is built anew."""
        if config.optimizer != self.config.optimizer:
            vars(self).pop("optimizer", None)
            self._saved = None
        self.config = config

    def analysis_batch(self, size: int = 256, step: int = 0) -> Any:
        """Return the batch that spectra are computed on: always the same one, so that they differ by the point alone.

        Schedules of regularizers have their value after `step` updates in it: give that of the point looked at.

        For a GAN from the registries it has at least `size` samples (at most the data set's); for a user's own game it
        is the first of the batches.
        """
        if self.source is None:
            return self.first
        size = max(size, self.config.batch_size)
        if self.source.size is not None:
            size = min(size, self.source.size)
        config, regularizers = self.config, self.game.regularizers
        batches = GanBatches(self.source, size, config.latent_size, config.seed, self.device, regularizers, self.wide)
        return batches.numbered(0, step)

    def sample(self, n: int, seed: int = 0, averaged: bool = True) -> Tensor:
        """Return n samples of the generator (n, ...) on the CPU, in evaluation mode; the modules keep their mode.

        The average of the iterates is sampled where there is one, unless `averaged` is false. Latents are drawn from
        the seed for a GAN of the registries. A user's own says by its batches what latents (and labels) are: they are
        sampled, at most as many as there are.
        """
        return sampling.sample(self, n, seed, averaged)


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
    the threads wait for each other, and a step takes many times as long.
    """
    if threads or game.num_parameters < SMALL_GAME:
        torch.set_num_threads(threads or 1)


def build(config: TrainConfig, optimizer: bool = True, code: Code | None = None, wide: bool = False) -> Experiment:
    """Build what the configuration describes; parameters are drawn from its seed, as they were the first time.

    Args:
        config: the configuration of a run.
        optimizer: whether to build the optimizer at once, so that settings which do not fit it are refused here.
        code: the text of a user's file; by default as it is now.
        wide: whether to make the game and its batches, as they are drawn, float64.
    """
    device = resolve_device(config.device)
    if config.target:
        game, own, batches = load_own(config.target, device, code, _options(config), config.seed, wide)
        source, stream, first = None, IteratedStream(own, device, wide), _first(config.target, batches)
    else:
        source = make_source(config.data.name, **config.data.settings)
        game = _build_gan(config, source, device)
        if wide:
            _to_float64(game)
        batches = GanBatches(
            source, config.batch_size, config.latent_size, config.seed, device, game.regularizers, wide
        )
        stream = IndexedStream(batches)
        first = batches[0]  # a batch size that the data set refuses is refused now
    average = None if config.average.name == "none" else Average(game, made(AVERAGES, config.average))
    experiment = Experiment(config, game, batches, first, stream, source, device, average, code, wide=wide)
    if optimizer:
        _ = experiment.optimizer
    return experiment


def load_own(
    target: str,
    device: torch.device,
    code: Code | None = None,
    options: Options | None = None,
    seed: int = 0,
    wide: bool = False,
) -> tuple[Game, Any, Any]:
    """Return the game of FILE.py:FUNCTION on the device, its batches as returned, and the same in every pass.

    Args:
        target: FILE.py:FUNCTION.
        device: of the game and the batches in every pass.
        code: the text of the file; by default as it is now.
        options: what the command line chose for the game.
        seed: of what the regularizers among the options draw.
        wide: whether to make the game, and the batches in every pass, float64.
    """
    game, batches = load_target(target, code, options)
    batches = with_draws(batches, options.regularizers if options else (), seed)
    game.module.to(device)
    if wide:
        _to_float64(game)
    return game, batches, repeatable(batches, device, wide)


def _to_float64(game: Game) -> None:
    for tensor in (*game.module.parameters(), *game.module.buffers()):
        tensor.data = widened(tensor.data)
    game.layout = Layout(game.layout.names, game.layout.parameters, game.layout.owned)


def _options(config: TrainConfig) -> Options:
    return Options(config.own_loss, tuple(made(REGULARIZERS, choice) for choice in config.regularizers))


def _first(target: str, batches: Any) -> Any:
    with own_errors(target):
        for batch in each_batch(batches):
            return batch
    raise GantoolsError(f"{target} returned no batches to train on: the iterable is empty.")


def _build_gan(config: TrainConfig, source: Source, device: torch.device) -> Game:
    network = made(NETWORKS, config.network)
    rng = torch.Generator().manual_seed(derive_seed(config.seed, "parameters"))
    generator, discriminator = network.build(source.shape, config.activation, config.latent_size, rng)
    regularizers = [made(REGULARIZERS, choice) for choice in config.regularizers]
    return gan(generator.to(device), discriminator.to(device), LOSSES[config.loss], regularizers)


def make_optimizer(choice: Choice, game: Game) -> GameOptimizer:
    """Return the optimizer of a choice, whose base and schedules are choices of their own."""
    return trainers.make(choice.name, game, **{key: _built(value, key) for key, value in choice.settings.items()})


def made(registry: Registry[Any], choice: Choice) -> Any:
    """Return the registry's entry of this name with these settings."""
    entry = registry[choice.name]
    known = [f.name for f in dataclasses.fields(entry)]
    for key in choice.settings:
        if key not in known:
            raise suggest(f"setting of {registry.kind} {choice.name!r}", key, known)
    return entry(**{key: _built(value, key) for key, value in choice.settings.items()})


def _built(value: Any, key: str) -> Any:
    """Return the value of a setting: what a choice stands for, a base or a schedule, and a tuple for a list."""
    if isinstance(value, Choice):
        return made(BASES if key == "base" else SCHEDULES, value)
    if isinstance(value, dict):
        return {name: _built(part, key) for name, part in value.items()}
    return tuple(_built(part, key) for part in value) if isinstance(value, list) else value
