r"""The contract of a game optimizer: a pure map $(w, \mathrm{state}, \mathrm{batch}) \mapsto (w', \mathrm{state}')$.

`init` and `update` have no side effects, so an update can be linearised (`gantools.analysis.update_operator`),
compiled, reduced across machines and checkpointed. `step` is a thin mutable wrapper, which moves the modules.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from gantools.batches import is_batch
from gantools.errors import GantoolsError
from gantools.games import arbiter, functional
from gantools.games.game import FieldValue, Game
from gantools.games.plain_field import require_field
from gantools.registry import Registry, setting, suggest
from gantools.schedules import Scheduled, value_at
from gantools.trainers import scales
from gantools.trainers.base_rules import Base, clipped, make_base
from gantools.trainers.per_player import LearningRate, player_rates, player_values
from gantools.trainers.state import State, StepInfo, require_fit


def base_setting(default: str = "sgd") -> Any:
    """Return the dataclass field of a method's base rule."""
    return setting(default, "base update rule, which makes a step of the direction: for all players, or for each")


@dataclasses.dataclass(eq=False)
class GameOptimizer:
    """Base class of game optimizers: a subclass is a dataclass of its settings and defines `_update`.

    A method with base rules has a setting `base`: one for all players, or a mapping from players to theirs. A learning
    rate, and any other setting of type `Scheduled`, may be a schedule (`gantools.schedules`): a function of the number
    of updates that the player has made.

    Attributes:
        game: the game whose players the steps move.
        lr: the learning rate as given, one for all players or one for each.
        clip_norm: the largest norm of each player's direction, longer ones are shortened; None for no bound.
        rates: the learning rate of each player, a number or a schedule.
        rules: the base rule of each player.
        second_order: whether a step differentiates the field.
        adapts: whether steps change the method's own settings between updates.
        memory_units: units of what the method itself remembers, by name, see `gantools.trainers.scales`.
        cost: of one step at the default settings, in gradients (of all players) and products (with J or its transpose).
        paper: the publication of the method.
        couples: why copies of a game cannot be trained together (`gantools.stacked`), as a clause; empty if they can.
    """

    game: Game
    lr: LearningRate = setting(1e-4, "learning rate: one for all players, or one for each")
    clip_norm: float | None = setting(
        None, "largest norm of each player's direction, which is shortened to it before the base rule", True
    )

    second_order = adapts = False
    memory_units: ClassVar[dict[str, scales.Unit]] = {}
    cost: ClassVar[str]
    paper: ClassVar[str]
    couples: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not isinstance(self.game, Game):
            raise GantoolsError(
                f"{type(self).__name__} moves a Game, but got a {type(self.game).__name__}: build one with "
                "gantools.gan, gantools.minimization or gantools.Game."
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise GantoolsError(f"clip_norm = {self.clip_norm} is not a length: pass a positive number, or None.")
        self.game.layout.require_separable(type(self).__name__, self.couples)
        self.rates = player_rates(self.lr, self.game)
        bases = player_values(getattr(self, "base", "sgd"), self.game, "base", "base rule")
        made = {id(base): make_base(base) for base in bases.values()}  # one object where one was given for all
        self.rules: dict[str, Base] = {player: made[id(base)] for player, base in bases.items()}
        self._state: State | None = None
        self._examined = False
        self.taken: Callable[..., tuple[Tensor, State]] | None = None  # what takes steps in place of `taken_as_it_is`
        self._kernels_fit: bool | None = None  # whether fused kernels have the derivatives; the first step finds out

    # Pure functions --------------------------------------------------------------------------------------------------

    @property
    def batches_per_step(self) -> int:
        """Number of batches that one step takes."""
        return 1

    @property
    def period(self) -> int:
        """Number of steps after which the map repeats; `update_operator` linearises one period."""
        return 1

    def init(self, w: Tensor) -> State:
        """Return the state before the first step from the point `w` (n,)."""
        memory = {}
        for player, part in self.game.slices.items():
            memory |= {f"{player}:{key}": value for key, value in self.rules[player].init(w[part]).items()}
        return State(memory, dict.fromkeys(self.game.slices, 0), self.game.buffers())

    def update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        """Return the next point and state; differentiable in `w` and the memory where they require a gradient."""
        w, state = self._update(w, state, *batches)
        return self.game.project(w), state

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        """Return the next point and state by the method's formula; `update` puts the point within the constraints."""
        raise NotImplementedError

    def apply_base(
        self,
        w: Tensor,
        directions: Mapping[str, Tensor],
        state: State,
        value: FieldValue | None = None,
        info: StepInfo | None = None,
    ) -> tuple[Tensor, State]:
        """Return `w` (n,) minus each player's step, within its constraint, and the state with the rules' new memory.

        Args:
            w: the point that the steps start from.
            directions: the direction of each player that steps, shaped like its part of `w`; the others stay.
            state: memory and counters before the step.
            value: the evaluation of the field behind the directions. The new state takes its buffers, and the info of
                the step from it; by default it keeps those of `state`.
            info: the info of the step where `value` is not of all players or not at the start.
        """
        steps, state = self.base_steps(directions, state, value, info)
        parts = self.by_player(w)
        parts |= {player: self.game.nearest(player, parts[player] - step) for player, step in steps.items()}
        return torch.cat(list(parts.values())), state

    def base_steps(
        self, directions: Mapping[str, Tensor], state: State, value: FieldValue | None, info: StepInfo | None = None
    ) -> tuple[dict[str, Tensor], State]:
        """Return the step to subtract for each player in `directions`, in order; see `apply_base`."""
        memory, counters, steps = dict(state.memory), dict(state.counters), {}
        rates = self.rates_at(state)
        for player in filter(directions.__contains__, self.game.slices):
            prefix, own = f"{player}:", state.memory_of(player)
            direction = clipped(directions[player], self.clip_norm, self.game.layout.copies)
            steps[player], own = self.rules[player].update(direction, own, counters[player], rates[player])
            memory |= {prefix + key: v for key, v in own.items()}
            counters[player] += 1
        state = dataclasses.replace(state, memory=memory, counters=counters)
        if value is not None:
            state = dataclasses.replace(state, buffers=value.buffers, info=info or self.observe(value))
        return steps, state

    def rates_at(self, state: State) -> dict[str, float]:
        """Return each player's learning rate for the next update."""
        return {player: value_at(rate, state.counters[player]) for player, rate in self.rates.items()}

    def scaled(self, weight: Scheduled, vector: Tensor, state: State) -> Tensor:
        """Return the vector (n,) times a weight, which may be a schedule of each player's number of updates."""
        parts = self.by_player(vector).items()
        return torch.cat([value_at(weight, state.counters[player]) * part for player, part in parts])

    def by_player(self, vector: Tensor) -> dict[str, Tensor]:
        """Split a vector (n,) into the players' parts."""
        return {player: vector[part] for player, part in self.game.slices.items()}

    def remember(self, state: State, name: str, vector: Tensor) -> State:
        """Return the state with this vector (n,) in its memory, each player's part under "player:name"."""
        own = {f"{player}:{name}": part for player, part in self.by_player(vector).items()}
        return dataclasses.replace(state, memory={**state.memory, **own})

    def recall(self, state: State, name: str) -> Tensor:
        """Return the vector (n,) that `remember` put into the state's memory under this name."""
        return torch.cat([state.memory[f"{player}:{name}"] for player in self.game.slices])

    def denominator(self, w: Tensor, state: State) -> Tensor:
        """Return the divisor of each parameter's step (n,), by a state's second moments; 1 where there are none."""
        return scales.base_denominator(self, w, state)

    def scales(self, w: Tensor, state: State) -> Tensor:
        """Return scales (m,), of parameters and then memory, that balance the step which ended in (w, state)."""
        return scales.step_scales(self, w, state)

    def observe(self, value: FieldValue) -> StepInfo:
        """Return the info of a step that starts where the field of all players has this value."""
        parts = self.by_player(value.vector.detach())
        return StepInfo(value.losses, {player: self.game.layout.norm(part) for player, part in parts.items()})

    # Mutable wrapper -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The present state, made at first use; its buffers are those after the last step, not any loaded since."""
        if self._state is None:
            self._state = self.init(self.game.vector())
        return self._state

    def step(self, batch: Any, *more: Any, check: Callable[[Tensor, State], None] | None = None) -> StepInfo:
        """Move the modules' parameters and buffers by one step; an error leaves them, and the state, as they were.

        Args:
            batch, more: the batches of the step; if they are fewer than `batches_per_step`, they are used in turn.
            check: called with the next point (n,) and state before they are taken; raises an error to refuse them.

        Returns:
            The losses and the norms of the field before the step.
        """
        w, state = self._next((batch, *more))
        assert state.info is not None
        if check is not None:
            check(w, state)
        self.game.load_vector(w)
        self.game.load_buffers(state.buffers)
        self._state = state
        return state.info

    def _next(self, batches: tuple[Any, ...]) -> tuple[Tensor, State]:
        """Return the point and state one step after the present ones; nothing is changed."""
        batches, reused = self.complete(batches)
        if not self._examined:
            # A resumed run examines its game once more, which must not shift its further random draws.
            with torch.random.fork_rng([self.game.device] if self.game.device.type == "cuda" else []):
                self._examine(batches[0])
            self._examined = True
        # The modules' own buffers: an evaluation copies them, and so do `buffers` and `load_buffers`.
        state = dataclasses.replace(self.state, buffers=self.game.live_buffers())
        w, state = (self.taken or self.taken_as_it_is)(self.game.vector(), state, batches)
        if reused and state.info is not None:
            state = dataclasses.replace(state, info=dataclasses.replace(state.info, reused_batches=True))
        return w, state

    def _examine(self, batch: Any) -> None:
        """Refuse, before the first step, a game whose field or derivatives would be wrong."""
        if self.second_order:
            arbiter.judge(self.game, batch).require_derivatives()
        else:
            require_field(self.game, batch)

    def taken_as_it_is(self, w: Tensor, state: State, batches: Sequence[Any]) -> tuple[Tensor, State]:
        """Return `update` from a point, without fused kernels if the first step met a missing derivative."""
        with torch.no_grad():
            if self._kernels_fit is None:
                random = torch.get_rng_state()
                try:
                    result = self.update(w, state, *batches)
                    self._kernels_fit = True
                    return result
                except RuntimeError as error:
                    # A penalty on the gradient of a network with attention: its fused kernel has no second derivative.
                    if not functional.lacks_derivative(error):
                        raise
                    torch.set_rng_state(random)
                    self._kernels_fit = False
            with nullcontext() if self._kernels_fit else functional.twice_differentiable(self.game.module):
                return self.update(w, state, *batches)

    def complete(self, batches: tuple[Any, ...]) -> tuple[tuple[Any, ...], bool]:
        """Return as many batches as a step takes, the given ones in turn, and whether any is used twice."""
        wanted = self.batches_per_step
        if not batches or len(batches) > wanted:
            raise GantoolsError(f"A step of {type(self).__name__} takes {wanted} batch(es), but got {len(batches)}.")
        if not all(map(is_batch, batches)):
            raise GantoolsError(f"A step takes single batches: {self.game.layout.how_to_pass}.")
        return tuple(batches[i % len(batches)] for i in range(wanted)), len(batches) < wanted

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain tensors and numbers."""
        return {
            "base": self._base_names(),
            "memory": {key: value.detach().clone() for key, value in self.state.memory.items()},
            "counters": dict(self.state.counters),
            "held": {key: value.detach().clone() for key, value in self.state.held.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned; base, game and names of the memory must be the same.

        Raises GantoolsError when base, names or shapes differ; nothing is changed then.
        """
        present = self.state
        require_fit(saved, present, self._base_names(), type(self).__name__)
        memory = {key: saved["memory"][key].to(value).clone() for key, value in present.memory.items()}
        counters = {key: int(saved["counters"][key]) for key in present.counters}
        held = {key: saved["held"][key].to(value).clone() for key, value in present.held.items()}
        self._state = State(memory, counters, self.game.buffers(), held=held)

    def _base_names(self) -> str:
        return ", ".join(sorted({type(rule).__name__ for rule in self.rules.values()}))


OPTIMIZERS: Registry[type[GameOptimizer]] = Registry("optimizer")


def make(name: str, game: Game, **settings: Any) -> GameOptimizer:
    """Return the optimizer of this name for the game; an error for an unknown name or setting suggests a known one."""
    cls = OPTIMIZERS[name]
    known = [f.name for f in dataclasses.fields(cls) if f.name != "game"]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise suggest(f"setting of optimizer {name!r}", key, known)
    return cls(game, **settings)  # type: ignore[call-arg]
