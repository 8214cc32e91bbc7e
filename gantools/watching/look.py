"""One look at a training loop: eigenvalues of the game and of the loop's own step, on copies of all that it reaches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantools import analysis
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.batches import is_batch
from gantools.errors import GantoolsError, NoDerivativeError
from gantools.games import arbiter
from gantools.games.game import Game
from gantools.games.plain_field import hooked
from gantools.trainers.torch_optim.hooks import require_no_hooks
from gantools.trainers.torch_optim.steps import TorchStep, Turns
from gantools.watching.copies import Copies
from gantools.watching.differences import StepOperator
from gantools.watching.dropout import DropoutOff, switched_off, told
from gantools.watching.stillness import StillLosses, choose_parameters, require_no_reads

WHOLE = 300  # largest number of parameters of which all eigenvalues are computed
ENDS = ("LM", "SR")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a look is taken at: the parts of a user's training loop.

    Attributes:
        players: modules by name.
        losses: `losses(players, batch)`, each player's; None to look at the step alone.
        optimizers: those of the loop, by any names.
        update: `update(batch)` makes one step of the loop; None for the optimizers' steps in closed form.
        turns: how often each optimizer moves in a step, see `TorchStep`.
        constraints: of the players, see `Game`.
    """

    players: Mapping[str, nn.Module]
    losses: Callable[[Any, Any], Mapping[str, Tensor]] | None
    optimizers: Mapping[str, torch.optim.Optimizer]
    update: Callable[..., Any] | None = None
    turns: Turns = None
    constraints: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for player, module in self.players.items():
            if any(isinstance(m, torch.jit.ScriptModule) for m in module.modules()):
                raise GantoolsError(
                    f"Player {player!r} holds a module compiled by torch.jit, of which no copy keeps the parameters "
                    "that the optimizers move: watch the module that it was made of, or use gantools.analysis, "
                    "jacobian(game, batch) and update_operator(optimizers, batch, game=game), which copy no module."
                )


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much a look computes.

    Attributes:
        k: eigenvalues at each end.
        tol: their relative tolerance.
        products: at most, in each search.
    """

    k: int = 6
    tol: float = 1e-3
    products: int = 200


@dataclasses.dataclass
class Memory:
    """What one look leaves to the next: start vectors, and the judgement of the losses' derivatives.

    Attributes:
        starts: by tag, a vector (n,) near the eigenvectors found last.
        verdict: of the arbiter.
    """

    starts: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    verdict: arbiter.Verdict | None = None


@dataclasses.dataclass(frozen=True)
class Look:
    """What was seen in one look.

    Attributes:
        step: the training step.
        spectra: by tag: "game/jacobian" (all eigenvalues of a small game) or "game/jacobian/LM" and "/SR" (its ends),
            and "game/update", the leading ones of the loop's own step.
        index: of the Jacobian, where the game is small.
        turns: how often each optimizer moves in a step, as assumed; empty for all together, or for the loop's own step.
        difference_error: relative error of the products with the loop's own step, by differences; None in closed form.
        notes: sentences on what could not be computed, or is to be known.
        metrics: the game's own success numbers.
        products: how many products with operators were made.
        seconds: duration of the look.
        left_out: how many looks were due before this one and did not fit the budget.
        caveat: what the loop's own step reads again and is a constant of the look; part of each verdict.
    """

    step: int
    spectra: dict[str, Spectrum]
    index: analysis.Index | None = None
    turns: dict[str, int] = dataclasses.field(default_factory=dict)
    difference_error: float | None = None
    notes: tuple[str, ...] = ()
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    products: int = 0
    seconds: float = 0.0
    left_out: int = 0
    caveat: str | None = None

    @property
    def spectral_radius(self) -> float | None:
        """The largest modulus of an eigenvalue of the loop's step; None where it could not be computed."""
        update = self.spectra.get("game/update")
        return None if update is None else float(update.values.abs().max())

    @property
    def verdict(self) -> str:
        """What the eigenvalues mean, in sentences."""
        lines = []
        if (update := self.spectra.get("game/update")) is not None:
            lines.append(" ".join(filter(None, (f"Your step: {_judged(update)}", self.caveat))))
        game = next((s for tag, s in reversed(self.spectra.items()) if tag.startswith("game/jacobian")), None)
        if game is not None:
            lines.append(f"The game, for plain gradient steps: {_judged(game)}")
        return "\n".join([*lines, *self.notes])

    def __str__(self) -> str:
        seen = ", ".join(f"{len(s)} of {s.n} eigenvalues of {tag}" for tag, s in self.spectra.items()) or "nothing"
        success = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        missed = f"; {self.left_out} looks before it did not fit the budget" if self.left_out else ""
        work = f"({self.products} products, {self.seconds:.2g} s{missed})"
        return f"step {self.step}: {seen} {work}{success}\n{self.verdict}"


def _judged(spectrum: Spectrum) -> str:
    try:
        return str(analysis.stability(spectrum))
    except GantoolsError as error:  # none converged
        return str(error)


class Looker:
    """The computation of one look, part by part; a part that fails leaves a sentence in place of its result."""

    def __init__(self, subject: Subject, batches: tuple[Any, ...], effort: Effort, memory: Memory):
        self.subject, self.batches, self.effort, self.memory = subject, batches, effort, memory
        self.notes: list[str] = []
        self.spectra: dict[str, Spectrum] = {}
        self.products = 0
        self.failure: Exception | None = None
        self.dropout = DropoutOff()
        self.caveat: str | None = None

    def look(self, step: int) -> Look:
        """Return what is seen; `failure` holds the first error of a part."""
        index = turns = error = None
        if self.subject.losses is not None:
            game = self._tried("The game", self._game)
            if game is not None:
                index = self._tried("The game", lambda: self._jacobian(game))
                if self.subject.optimizers and self.subject.update is None:
                    turns = self._tried("The step of the optimizers", lambda: self._closed_form(game))
        if self.subject.update is not None:
            with DropoutOff() as dropout:
                error = self._tried("The step", self._differences)
            self.notes += [told("your step")] if dropout.met else []
        self.notes += [told("functions that your losses call")] if self.dropout.met else []
        notes = tuple(self.notes)
        found: dict[str, Any] = {"turns": turns or {}, "difference_error": error, "caveat": self.caveat}
        return Look(step, self.spectra, index, notes=notes, products=self.products, **found)

    def _tried(self, what: str, part: Callable[[], Any]) -> Any:
        try:
            return part()
        except Exception as error:  # whatever a user's code raises: training goes on
            self.failure = self.failure or error
            words = str(error) if isinstance(error, GantoolsError) else f"{type(error).__name__}: {error}"
            self.notes.append(f"{what} was not looked at: {words}")
            return None

    # The game --------------------------------------------------------------------------------------------------------

    def _game(self) -> Game:
        """Return the game on copies of the players; what moves is what the optimizers hold."""
        subject, copies = self.subject, Copies()
        players = {name: copies.of(module) for name, module in subject.players.items()}
        self.optimizers = copies.of(dict(subject.optimizers))
        if self.optimizers:
            self.notes += choose_parameters(players, subject.optimizers.values(), copies)
        if names := [name for name, module in subject.players.items() if hooked(module.parameters())]:
            self.notes.append(
                f"Hooks on the gradients of {', '.join(names)} (register_hook) are left out of the game, which is "
                "that of the losses alone: update=step sees your step with them."
            )
        if names := switched_off(players):
            self.notes.append(told(names))
        self.batches = copies.of(self.batches)
        game = Game(players, self.dropout.around(StillLosses(subject.losses, copies)), subject.constraints)
        if copies.shared:
            self.notes.append(
                f"Shared with the look, since it cannot be copied: {', '.join(sorted(set(copies.shared)))}."
            )
        if self.memory.verdict is None:
            require_no_reads(subject.players, game, self.batches[0])
        game.verdict, game.field_is_checked = self.memory.verdict, self.memory.verdict is not None
        return game

    def _jacobian(self, game: Game) -> analysis.Index | None:
        J = self._operator(game)
        self.memory.verdict = game.verdict
        if game.num_parameters <= WHOLE:
            self.spectra["game/jacobian"] = analysis.spectrum(J)
            index = analysis.index(J)
        else:
            index = None
            for which in ENDS if not J.symmetric else ("LM", "SA"):
                self._search(f"game/jacobian/{which}", J, which)
        self.products += J.matvecs
        return index

    def _operator(self, game: Game) -> LinearOperator:
        """Return the Jacobian by reverse differentiation; where PyTorch has no right one, by differences."""
        batch = self.batches[0]
        try:
            return analysis.jacobian(game, batch, method="reverse")
        except NoDerivativeError as error:
            J = analysis.jacobian(game, batch, method="difference")
            self.notes.append(f"The field is differentiated by central differences in looks. {error.finding}")
            return J

    def _closed_form(self, game: Game) -> dict[str, int]:
        require_no_hooks(self.subject.optimizers)  # the copies' parameters have none
        step = TorchStep(game, self.optimizers, self.subject.turns)
        if step.outside:
            self.notes.append(
                f"{step.outside} parameters of the optimizers are in no player, and constants of the look: pass their "
                "modules as players too."
            )
        batches = [batch for batch in self.batches if is_batch(batch)][: step.batches_per_step]
        wrong = game.verdict is not None and bool(game.verdict.wrong)  # which was told of the Jacobian
        U = analysis.update_operator(step, *batches, method="difference" if wrong else "auto")
        self._search("game/update", U, "LM")
        self.products += U.matvecs
        return step.turns

    def _differences(self) -> float:
        assert self.subject.update is not None
        U = StepOperator.of(self.subject.update, self.subject.optimizers, self.batches)
        self.caveat = U.function.unread
        self._search("game/update", U, "LM")
        self.products += U.matvecs
        if U.refusal is not None:
            self.notes.append(
                f"Your step runs on copies of its own dtypes, not of float64 ({U.refusal}): its eigenvalues are as "
                f"exact as differences in those are, and these differ by {U.error:.1%} from each other."
            )
        if not U.error < 0.01:
            self.notes.append(
                f"Differences of your step differ by {U.error:.1%} from each other: it has jumps or kinks, or draws "
                "numbers that are not put back; its eigenvalues are no surer than that."
            )
        return U.error

    def _search(self, tag: str, A: LinearOperator, which: str) -> None:
        k, effort = min(self.effort.k, A.n), self.effort
        start = self.memory.starts.get(tag)
        start = None if start is None or len(start) != A.n else start.to(device=A.device, dtype=A.dtype)
        s = analysis.eigenvalues(A, k, which, tol=effort.tol, max_matvecs=effort.products, guard=False, start=start)
        if (near := s.start()) is not None:
            self.memory.starts[tag] = near
        self.spectra[tag] = dataclasses.replace(s, vectors=None)


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return numbers by name as floats, without those that are not finite."""
    floats = {name: float(value) for name, value in values.items()}
    return {name: value for name, value in floats.items() if math.isfinite(value)}
