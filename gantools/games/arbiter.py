r"""One judge, outside autograd, of what a game's field and its derivatives are.

Two questions, each asked once of a game and its losses, on the first few samples of a batch:

- *the field*: is it what plain autograd gives on the user's own modules, where they stand and at a point near by? It is
  not, where a loss captured parameters from outside, a module keeps weights outside its parameters, or a backward pass
  runs the module again.
- *its derivatives*: is $J u$, by reverse differentiation and by dual numbers, a central difference of the field, block
  by block of the players? It is not, where a function leaves PyTorch, or has a wrong rule.

Differences are taken in float64 whatever the game is in, at a point where no kink of an activation is met by design
(zero biases at zero inputs), and are trusted only as far as two step sizes agree.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.batches import widened
from gantools.games import functional
from gantools.games.field import Verdict, gradient
from gantools.games.plain_field import few, generators, require_field, same_draws, shift, sizes, undisturbed
from gantools.precision import sums_in_order
from gantools.random_vectors import normal_entries

if TYPE_CHECKING:
    from gantools.games.game import Game
    from gantools.games.replicas import Replicas

# Steps, relative to the size of the parameters, tried until two of them agree: in float64, and for losses that compute
# in float32 whatever they are given; the last also where parameters from outside keep all of it in float32.
STEPS = ((1e-5, 3e-6), (1e-3, 3e-4), (1e-7, 3e-8), (3e-2, 1e-2))
ACCURATE = 1e-4  # relative error of a product that is called right
WRONG = 2e-4  # relative error of one that is called wrong

REPEATS = 6  # a coin that a loss tosses falls otherwise among so many in 98 % of cases


def judge(game: Game, batch: Any, forward: bool = False) -> Verdict:
    """Judge the field of a game, once, and its derivatives by reverse differentiation; see `Verdict`.

    Cost, on a few samples (`scripts/checks/count_arbiter.py`): of one player 12 gradients, of two 14 of each player's
    loss, of three 16; one more for each player where dual numbers are judged too. More only where the first comparison
    is not clear, or a loss draws random numbers.

    Args:
        game: the game.
        batch: one batch.
        forward: whether to judge dual numbers too; loading their rules takes PyTorch 2 to 3 s in each process.

    Raises:
        GantoolsError: for a field that is not what plain autograd gives.
    """
    if game.verdict is not None and (game.verdict.both or not forward):
        return game.verdict
    if game.layout.stacked:
        # Of the first copy; the others have the same losses, and their fields are compared one by one.
        first: Any = game
        first.require_each(batch)
        game.verdict = judge(first.games[0], batch[0], forward)
        first.examine(batch, derivatives=True)
    elif game.replicas is not None:
        game.verdict = _agreed(game, game.replicas, batch, forward)
    else:
        require_field(game, batch)
        with undisturbed(game):
            before = {name: p.detach().clone() for name, p in game.named_parameters().items()}
            chosen = few(game, batch)
            written = tuple(name for name, p in game.named_parameters().items() if not torch.equal(p, before[name]))
            game.verdict = dataclasses.replace(_Judgement(game, chosen).verdict(forward), writes=written)
    return game.verdict


def _agreed(game: Game, replicas: Replicas, batch: Any, forward: bool) -> Verdict:
    """Return the worst of the verdicts of all processes, each on its part of the batch."""
    alone = game.alone
    with replicas.agreed():
        judge(alone, batch, forward)
    game.field_is_checked = True
    return max(
        replicas.gathered(alone.verdict),
        key=lambda v: (bool(v.writes), bool(v.wrong), not v.repeats, v.forward is False),
    )


class _Judgement:
    """Products of a game's Jacobian at a point near by, by differences and by autograd, block by block."""

    def __init__(self, game: Game, batch: Any):
        self.game = game
        buffers, w = game.buffers(), game.vector()
        point = w + shift(w)
        self.buffers, self.point, self.batch = widened(buffers), point.double(), widened(batch)
        try:
            self.value = self.field(self.point)
        except Exception:  # a tensor of another precision that the loss or the batch brings along
            self.buffers, self.point, self.batch = buffers, point, batch
            self.value = self.field(self.point)
        # Products below these (n,) may be the rounding of terms as large as the player's loss.
        self.noise = 100 * torch.finfo(self.point.dtype).eps / sizes(self.point)
        for player, part in game.slices.items():
            self.noise[part] *= self.losses[player].abs().to(self.noise)
        self.direction = sizes(self.point) * normal_entries(2, 0, len(w), self.point.dtype, self.point.device)
        self.weights = normal_entries(3, 0, len(w), self.point.dtype, self.point.device)
        self.pieces = game.layout.places
        self.differences: dict[tuple[str, float], Tensor] = {}  # by player and step

    def field(self, w: Tensor) -> Tensor:
        """Return the field at w (n,), differentiable where w is."""
        leaves = self.game.layout.unflatten(w, w.dtype)
        if not w.requires_grad:
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with same_draws(self.game):
            create_graph = w.requires_grad and not functional.is_dual(w)
            found = self.game.field_of(leaves, self.buffers, self.batch, create_graph)
        vector, self.losses = found.vector, found.losses
        return vector if w.requires_grad else vector.detach()

    def along(self, player: str) -> Tensor:
        """Return the direction (n,) in which only this player moves."""
        u = torch.zeros_like(self.point)
        part = self.game.slices[player]
        u[part] = self.direction[part]
        return u

    def verdict(self, forward: bool) -> Verdict:
        """Compare all blocks, of products by dual numbers too where `forward` says so."""
        try:
            products, pulled = self._reversed()
        except Exception as error:  # the field was evaluated before: what fails is its derivative
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return Verdict(None, 1.0, True, self._repeats(), str(functional.no_derivative(error)))
        worst, decided, right, wrong = 0.0, True, True if forward else None, ""
        for column in self.game.slices:
            u = self.along(column)
            product, pushed = products.get(column), self._pushed(u) if forward else None
            right = None if pushed is None else right
            for row, part in self.game.slices.items():
                got = pulled[row].dot(u) if product is None else product[part]
                found, sure = self._compare(column, row, got)
                if sure and found > WRONG and not wrong:
                    wrong = self._sentence(row, column, found)
                worst, decided = max(worst, found), decided and sure
                if pushed is not None:
                    found, sure = self._compare(column, row, pushed[part])
                    right = right and not (sure and found > WRONG)
        return Verdict(right, worst, decided, self._repeats(), wrong, forward)

    def _repeats(self) -> bool:
        leaves = self.game.layout.unflatten(self.point, self.point.dtype)
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        tolerance = torch.finfo(self.game.dtype).eps ** 0.75  # of parallel sums

        def value() -> Tensor:
            return self.game.field_of(leaves, self.buffers, self.batch).vector

        def same(reference: Tensor) -> bool:
            return bool((value() - reference).norm() <= tolerance * reference.norm())

        before = generators(self.game.device)
        first = same(self.value)
        # What draws from no global generator may have one of its own, or count.
        times = 2 if generators(self.game.device) == before else REPEATS
        if first and all(same(self.value) for _ in range(times - 1)):
            return True
        # A GPU's kernels may sum in any order, which shows in more digits where large terms cancel.
        with sums_in_order():
            reference = value()
            return all(same(reference) for _ in range(times))

    def _reversed(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r"""Return J u by column, u that of the player alone, by reverse differentiation; or J^T v by row.

        The second, where the derivative of $v \mapsto J^T v$, which is J, cannot be had by backward passes.
        """
        point, v = self.point.clone().requires_grad_(), self.weights.clone().requires_grad_()
        field = self.field(point)
        pulled = gradient((field * v).sum(), [point], create_graph=True)[0]
        try:
            return {column: gradient(pulled.dot(self.along(column)), [v])[0] for column in self.game.slices}, {}
        except RuntimeError as error:
            if not functional.lacks_derivative(error):
                raise
            sums = {row: field[part].dot(self.weights[part]) for row, part in self.game.slices.items()}
            return {}, {row: gradient(one, [point])[0] for row, one in sums.items()}

    def _pushed(self, u: Tensor) -> Tensor | None:
        try:
            return functional.forward_product(self.field, self.point, u)
        except RuntimeError:  # an operation without a rule
            return None

    def _compare(self, column: str, row: str, got: Tensor) -> tuple[float, bool]:
        """Return the relative error of a product, or of its sum with weights, and whether the differences could tell.

        An error of one parameter's entries that are small beside the others' counts relative to their own size, where
        two pairs of steps find it.
        """
        part, trials, local = self.game.slices[row], [], []
        if not bool(got.isfinite().all()):
            coarse, fine = (self._difference(column, step)[part] for step in STEPS[0])
            return math.inf, bool((coarse - fine).norm() <= 0.01 * fine.norm())
        if self._agrees(column, part, got):
            return 0.0, True
        for steps in STEPS:
            error, noise, size, floor = self._sizes(column, steps, part, part, got)
            relative = error / max(size, floor, 1e-300)
            local.append(self._local_error(column, steps, part, got) if got.dim() else 0.0)
            clear = noise <= min([0.01 * size + floor, *(found[0] for found in trials)])
            if clear and error <= ACCURATE * size + 3 * noise + floor and not local[-1]:
                return min(relative, ACCURATE), True
            trials.append((noise, error, relative))
        if sum(map(bool, local)) >= 2:
            return max(local), True
        # Steps that reach across a pole or a kink may agree with each other, but less closely than shorter ones.
        noise, error, relative = min(trials)
        return (relative, True) if error > 30 * noise else (0.0, False)

    def _agrees(self, column: str, part: slice, got: Tensor) -> bool:
        """Return whether a product is a single difference, parameter by parameter: that two errors agree is no chance.

        Where one of these is small beside rounding or truncation it takes more differences to tell.
        """
        found, product = self._difference(column, STEPS[0][0]), torch.zeros_like(self.point)
        if not got.dim():
            error = abs(float(found[part].dot(self.weights[part]) - got))
            return error <= ACCURATE * abs(float(got)) or error <= float(self.noise[part].norm())
        product[part] = got
        pieces = [piece for piece in self.pieces if part.start <= piece.start < part.stop]
        return all(
            float((found[p] - product[p]).norm()) <= ACCURATE * float(product[p].norm()) + float(self.noise[p].norm())
            for p in pieces
        )

    def _local_error(self, column: str, steps: tuple[float, float], part: slice, got: Tensor) -> float:
        """Return the largest relative error of one parameter's entries that is wrong for sure, or 0."""
        worst = 0.0
        for piece in self.pieces:
            if part.start <= piece.start < part.stop:
                there = got[piece.start - part.start : piece.stop - part.start]
                error, noise, size, floor = self._sizes(column, steps, piece, part, there)
                if error > max(WRONG * size, 30 * noise) + floor:
                    worst = max(worst, error / max(size, floor, 1e-300))
        return worst

    def _sizes(
        self, column: str, steps: tuple[float, float], piece: slice, part: slice, got: Tensor
    ) -> tuple[float, float, float, float]:
        """Return the error of a piece of a product, the noise of the differences, its size, and what counts as zero."""
        coarse, fine = (self._difference(column, step) for step in steps)
        value = float(self.value[piece].norm())
        apart, share = coarse - fine, ((piece.stop - piece.start) / (part.stop - part.start)) ** 0.5
        noise = max(float(apart[piece].norm()), share * float(apart[part].norm()))
        size = float(fine[piece].norm())
        floor = 1e-9 * value + 1e-9 * float(fine.norm()) + float(self.noise[piece].norm())
        error = float((fine[piece] - got).norm()) if got.dim() else float(fine[piece].dot(self.weights[piece]) - got)
        return abs(error), noise + 100 * torch.finfo(fine.dtype).eps * value / steps[1], size, floor

    def _difference(self, column: str, step: float) -> Tensor:
        if (column, step) not in self.differences:
            u = step * self.along(column)
            self.differences[column, step] = (self.field(self.point + u) - self.field(self.point - u)) / (2 * step)
        return self.differences[column, step]

    def _sentence(self, row: str, column: str, error: float) -> str:
        by = "its own parameters" if row == column else f"the parameters of {column!r}"
        text = f"The derivative of the field of player {row!r} by {by} is "
        if error == math.inf:
            return f"{text}NaN or infinite, although the field changes smoothly: a root or a norm at zero."
        return (
            f"{text}off by {error:.1%} of a central difference: something in the loss leaves PyTorch (NumPy, .item(), "
            ".data), or has a wrong derivative of its own (a custom or compiled function)."
        )
