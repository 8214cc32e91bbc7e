r"""The contract of a game optimizer: a pure map $(w, \mathrm{state}, \mathrm{batch}) \mapsto (w', \mathrm{state}')$.

`init` and `update` have no side effects, so an update can be linearised (`gantools.analysis.update_operator`),
compiled, reduced across machines and checkpointed. `step` is the thin mutable wrapper that moves the modules.
"""

import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from gantools.batches import is_batch
from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.detach_probe import require_dependence
from gantools.games.game import FieldValue, Game
from gantools.registry import Registry, setting, suggest
from gantools.schedules import Scheduled, value_at
from gantools.trainers.base_rules import Base, make_base
from gantools.trainers.per_player import LearningRate, player_rates
from gantools.trainers.state import State, StepInfo


def base_setting(default: str = "sgd") -> Any:
    """Return the dataclass field that every method has for its base rule."""
    return setting(default, "base update rule that the direction goes through")


@dataclasses.dataclass(eq=False)
class GameOptimizer:
    """Base class of the methods: subclasses are dataclasses of their settings and define `advance`.

    A method with base rules has a setting `base`. A learning rate, and other settings where they say so, may be a
    schedule (`gantools.schedules`), a function of the updates that the player has made.

    Attributes:
        rules: each player's base rule; the same one unless a method says otherwise.
        second_order: whether the step differentiates the field.
        cost: what one step costs at the default settings, in gradients (evaluations of the whole field) and products
            (with the Jacobian or its transpose).
        paper: where the method comes from.
    """

    game: Game
    lr: LearningRate = setting(1e-4, "learning rate: one for all players, or one for each")
    clip_norm: float | None = setting(None, "longest norm of each player's direction, before its base rule", True)

    second_order = False
    cost: ClassVar[str]
    paper: ClassVar[str]

    def __post_init__(self) -> None:
        if not isinstance(self.game, Game):
            raise GantoolsError(
                f"{type(self).__name__} moves a Game, but got a {type(self.game).__name__}: build one with "
                "gantools.gan, gantools.minimization or gantools.Game."
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise GantoolsError(f"clip_norm = {self.clip_norm} is not a length: pass a positive number, or None.")
        self.rates = player_rates(self.lr, self.game)
        self.rules: dict[str, Base] = dict.fromkeys(self.game.slices, make_base(getattr(self, "base", "sgd")))
        self._state: State | None = None
        self._examined = False
        self._kernels_fit: bool | None = None  # whether the usual kernels do; the first step finds out

    # The pure core ---------------------------------------------------------------------------------------------------

    @property
    def batches_per_step(self) -> int:
        """How many batches one step takes."""
        return 1

    @property
    def period(self) -> int:
        """After how many steps the map repeats; the update operator spans one period."""
        return 1

    def init(self, w: Tensor) -> State:
        """Return the state before the first step from the point `w` (n,)."""
        memory = {}
        for player, part in self.game.slices.items():
            memory |= {f"{player}:{key}": value for key, value in self.rules[player].init(w[part]).items()}
        return State(memory, dict.fromkeys(self.game.slices, 0), self.game.buffers())

    def update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        """Return the next point and state; differentiable in `w` and the memory where they require a gradient."""
        w, state = self.advance(w, state, *batches)
        return self.game.project(w), state

    def advance(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        """Return the next point, before the game's constraints, and state: what makes a method."""
        raise NotImplementedError

    def descend(
        self, w: Tensor, directions: Mapping[str, Tensor], state: State, value: FieldValue, info: StepInfo | None = None
    ) -> tuple[Tensor, State]:
        """Apply the base rule to each given player's direction, and note what the field's evaluation left behind."""
        w, state = self.move(w, directions, state)
        return w, dataclasses.replace(state, buffers=value.buffers, info=info or self.observe(value))

    def move(self, w: Tensor, directions: Mapping[str, Tensor], state: State) -> tuple[Tensor, State]:
        """Apply the base rule to each given player's direction; the other players stay where they are."""
        memory, counters = dict(state.memory), dict(state.counters)
        parts = []
        for player, part in self.game.slices.items():
            if player not in directions:
                parts.append(w[part])
                continue
            prefix = f"{player}:"
            own = {key.removeprefix(prefix): v for key, v in memory.items() if key.startswith(prefix)}
            direction = clipped(directions[player], self.clip_norm)
            rate = value_at(self.rates[player], counters[player])
            moved, own = self.rules[player].update(direction, own, counters[player], rate)
            memory |= {prefix + key: v for key, v in own.items()}
            counters[player] += 1
            parts.append(w[part] - moved)
        return torch.cat(parts), dataclasses.replace(state, memory=memory, counters=counters)

    def rates_at(self, state: State) -> dict[str, float]:
        """Return each player's learning rate for the next update."""
        return {player: value_at(rate, state.counters[player]) for player, rate in self.rates.items()}

    def scaled(self, weight: Scheduled, vector: Tensor, state: State) -> Tensor:
        """Return the vector (n,) times a weight, a number or what its schedule says for each player's next update."""
        parts = self.by_player(vector).items()
        return torch.cat([value_at(weight, state.counters[player]) * part for player, part in parts])

    def by_player(self, vector: Tensor) -> dict[str, Tensor]:
        """Split a vector (n,) into the players' parts."""
        return {player: vector[part] for player, part in self.game.slices.items()}

    def remember(self, state: State, name: str, vector: Tensor) -> State:
        """Return the state with a vector (n,) of the method's own in its memory, part by part, as "player:name"."""
        own = {f"{player}:{name}": part for player, part in self.by_player(vector).items()}
        return dataclasses.replace(state, memory={**state.memory, **own})

    def recall(self, state: State, name: str) -> Tensor:
        """Return the vector (n,) that the state remembers under this name."""
        return torch.cat([state.memory[f"{player}:{name}"] for player in self.game.slices])

    def observe(self, value: FieldValue) -> StepInfo:
        """Return the step's info from the field of all players."""
        parts = self.by_player(value.vector.detach())
        return StepInfo(value.losses, {player: part.norm() for player, part in parts.items()})

    # The mutable rim -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The present state; made at first use."""
        if self._state is None:
            self._state = self.init(self.game.vector())
        return self._state

    def step(self, batch: Any, *more: Any) -> StepInfo:
        """Move the modules' parameters and buffers by one step; return what was seen before the move."""
        w, state = self.propose(batch, *more)
        self.commit(w, state)
        assert state.info is not None
        return state.info

    def propose(self, *batches: Any) -> tuple[Tensor, State]:
        """Compute one step from the present parameters without taking it."""
        batches, reused = self.complete(batches)
        if self.second_order and not self._examined:
            require_dependence(self.game, batches[0])
            self._examined = True
        # The modules' own: an evaluation copies them, and so do `buffers` and `commit`.
        state = dataclasses.replace(self.state, buffers=self.game.live_buffers())
        w, state = self._evaluate(state, batches)
        if reused and state.info is not None:
            state = dataclasses.replace(state, info=dataclasses.replace(state.info, reused_batches=True))
        return w, state

    def _evaluate(self, state: State, batches: tuple[Any, ...]) -> tuple[Tensor, State]:
        w = self.game.vector()
        with torch.no_grad():
            if self._kernels_fit is None:
                random = torch.get_rng_state()
                try:
                    result = self.update(w, state, *batches)
                    self._kernels_fit = True
                    return result
                except RuntimeError as error:
                    # A penalty on the gradient of a network with attention: its fused kernel has no second derivative.
                    if "not implemented" not in str(error):
                        raise
                    torch.set_rng_state(random)
                    self._kernels_fit = False
            with nullcontext() if self._kernels_fit else functional.twice_differentiable(self.game.module):
                return self.update(w, state, *batches)

    def commit(self, w: Tensor, state: State) -> None:
        """Take a proposed step."""
        self.game.load_vector(w)
        self.game.load_buffers(state.buffers)
        self._state = state

    def complete(self, batches: tuple[Any, ...]) -> tuple[tuple[Any, ...], bool]:
        """Return as many batches as a step takes, from the given ones in turn, and whether any is used twice."""
        wanted = self.batches_per_step
        if not batches or len(batches) > wanted:
            raise GantoolsError(f"A step of {type(self).__name__} takes {wanted} batch(es), but got {len(batches)}.")
        if not all(map(is_batch, batches)):
            raise GantoolsError("A step takes single batches: pass them one by one, not in a list or loader.")
        return tuple(batches[i % len(batches)] for i in range(wanted)), len(batches) < wanted

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain tensors and numbers."""
        return {
            "base": self._base_names(),
            "memory": {key: value.detach().clone() for key, value in self.state.memory.items()},
            "counters": dict(self.state.counters),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` returned, of the same base and game and of a method with the same memory.

        Raises:
            GantoolsError: when base, names or shapes differ; nothing is changed then.
        """
        present = self.state
        if not isinstance(saved, Mapping) or not {"base", "memory", "counters"} <= set(saved):
            raise GantoolsError("This is not the state of a game optimizer: pass what its state_dict() returned.")
        base = self._base_names()
        shapes = {key: tuple(value.shape) for key, value in present.memory.items()}
        given = {key: tuple(value.shape) for key, value in saved["memory"].items()}
        if (base, shapes) != (saved["base"], given) or set(saved["counters"]) != set(present.counters):
            raise GantoolsError(
                f"The saved state ({saved['base']}: {_shape_list(given)}) does not fit {type(self).__name__} on this "
                f"game ({base}: {_shape_list(shapes)}): load it into the method and game that it came from."
            )
        memory = {key: saved["memory"][key].to(value).clone() for key, value in present.memory.items()}
        counters = {key: int(saved["counters"][key]) for key in present.counters}
        self._state = State(memory, counters, self.game.buffers())

    def _base_names(self) -> str:
        return ", ".join(sorted({type(rule).__name__ for rule in self.rules.values()}))


def _shape_list(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no tensors"


def clipped(direction: Tensor, longest: float | None) -> Tensor:
    """Return the direction, shortened to the norm `longest` where it is longer."""
    if longest is None:
        return direction
    norm = direction.norm()
    return torch.where(norm > longest, direction * (longest / norm.clamp_min(longest)), direction)


OPTIMIZERS: Registry[type[GameOptimizer]] = Registry("optimizer")


def make(name: str, game: Game, **settings: Any) -> GameOptimizer:
    """Return the optimizer of this registry name for the game; an unknown setting raises a sentence."""
    cls = OPTIMIZERS[name]
    known = [f.name for f in dataclasses.fields(cls) if f.name != "game"]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise suggest(f"setting of optimizer {name!r}", key, known)
    return cls(game, **settings)  # type: ignore[call-arg]
