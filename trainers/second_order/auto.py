r"""Consensus optimization whose weight and rate follow cheap estimates of the leading eigenvalues."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.random_vectors import normal_entries
from gantools.registry import setting
from gantools.schedules import value_at
from gantools.trainers.base_rules import Adam, BaseChoice, Momentum
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting
from gantools.trainers.per_player import require_weight
from gantools.trainers.second_order.ritz import Projection, project

# Weight and rate are kept as whole decibels above the settings, factors of 10^(1/10): a resumed run has the same bits.
GAMMA, RATE, SPENT = "auto:gamma", "auto:rate", "auto:spent"
# The sum of what the first estimates that asked for any asked for, and their number.
SUM, COUNT = ({name: f"{name}_{what}" for name in (GAMMA, RATE)} for what in ("sum", "count"))
SETTLING = 3  # estimates whose mean is the first choice: early second moments, and one batch, can mislead a single one
START = "auto:start"  # the vector that the next estimate starts from
STEP = 2  # evaluations that a step takes: the field, and a product with its transposed Jacobian
SMALLEST = 2  # decibels: nearer to what is asked for nothing changes, so that batches alone change nothing
UPWARDS = 2  # decibels by which a later estimate raises weight or rate at most; it may lower them at once
RANGE = 100  # decibels from the setting that an estimate may ask for, either way
# Decibels from the first choice. A weight that follows the spectrum freely runs away: a smaller one lets the
# field and its eigenvalues grow, which then ask for a smaller one yet, and a larger one makes them vanish.
BAND = {GAMMA: (-3, 6), RATE: (-20, 10)}
FLOOR = 1e-3  # of the median divisor: parameters below it hardly feel the batches, and their rows are noise
# With second moments, real eigenvalues may reach the edge of stability: an overshoot raises the divisor.
OVERSHOOT = 2.0


@OPTIMIZERS.register("auto")
@dataclasses.dataclass(eq=False)
class Auto(GameOptimizer):
    r"""Consensus whose weight and rate follow the leading eigenvalues, estimated as it trains.

    $$w' = w - h\,D^{-1}\big(\xi + \gamma\,J^{\mathsf T}\xi\big)$$

    with $D$ the divisors of the base rule (1 for plain steps). Near a stationary point this is
    $I - h\,(K + \gamma S)$ in balanced coordinates, with $K = D^{-1/2} J D^{-1/2}$ and
    $S = D^{-1/2} J^{\mathsf T} J D^{-1/2}$. From time to time both are projected on one Krylov space of m products
    $Ju$, which starts where the last one ended. Then

    $$\gamma = \frac{r\,|b| - a}{x^* S x / x^* x}, \qquad h = \min_\mu \frac{\mathrm{Re}\,\mu}{|\mu|^2}$$

    where $a \pm ib$, with vector x, is the pair of $K$ that turns fastest, which then attracts r times as much as it
    turns; $\mu$ goes through the leading eigenvalues of $K + \gamma S$. This rate, half of what is stable, damps a pair
    best: by $1/\sqrt{1 + r^2}$ a step. Real eigenvalues $\mu > 0$ bound it by $1/\mu$ for plain steps and by $2/\mu$,
    the edge of stability, where the base has second moments: an overshoot raises these (arXiv:2207.14484), and a
    smaller rate only lets the curvature grow until it is at the edge again (arXiv:2407.06183). On a bilinear game with
    singular value s the rule gives $\gamma = r / s$, $h = r / (s\,(1 + r^2))$, and the update's eigenvalues are
    $1 - h\gamma s^2 \mp ihs$, as of `consensus`.

    A base that remembers directions gets a smaller rate, by $1 - \beta_1$ for Adam and $(1 - \beta)^2$ for heavy ball.

    An estimate takes m + 2 gradients and products, and is made as soon as all of them stay within `share` of all that
    the run has taken. The first three choose weight and rate, by the mean of their logarithms; later ones move them by
    whole decibels (factors of 1.26), upwards by at most 2 an estimate, the weight within 1/2 and 4 times the first
    choice, the rate within 1/100 and 10 times. `update`, and so `update_operator`, is the step at the present ones.
    """

    base: BaseChoice = base_setting()
    gamma: float = setting(1.0, "weight of the squared norm of the field before the first estimate")
    ratio: float = setting(1.0, "r: how many times as much as it turns the fastest turning pair shall attract")
    products: int = setting(8, "m: products with the Jacobian in an estimate")
    share: float = setting(0.1, "largest part of all gradients and products that estimates take")

    second_order = adapts = True
    couples = "its estimates choose one weight and one rate for all of them"
    cost = "1 gradient + 1 product, with estimates 2.22 in all"
    paper = "the step: Mescheder et al. 2017, arXiv:1705.10461; the rule: this project"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_weight(self.gamma, "gamma")
        if not 0 < self.gamma < math.inf or not 0 < self.ratio < math.inf:
            raise GantoolsError(f"gamma = {self.gamma}, ratio = {self.ratio}: pass positive numbers.")
        if not 0 < self.share <= 0.5 or self.products < 1:
            raise GantoolsError(
                f"share = {self.share}, products = {self.products}: pass a share within (0, 0.5] and 1 product or more."
            )

    def init(self, w: Tensor) -> State:
        state = super().init(w)
        own = {GAMMA: 0, RATE: 0, SPENT: 0, **dict.fromkeys([*SUM.values(), *COUNT.values()], 0)}
        held = {START: normal_entries(0, 0, w.numel(), w.dtype, w.device)}
        return dataclasses.replace(state, counters={**state.counters, **own}, held=held)

    def gamma_at(self, state: State) -> float:
        """Return the weight of the next update."""
        return self.gamma * decibels(state.counters[GAMMA])

    def rates_at(self, state: State) -> dict[str, float]:
        factor = decibels(state.counters[RATE])
        return {player: factor * rate for player, rate in super().rates_at(state).items()}

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph, gamma = FieldGraph(self.game, w, state.buffers, batches[0]), self.gamma_at(state)
        direction = graph.value.vector + gamma * graph.transposed(graph.value.vector)
        info = dataclasses.replace(self.observe(graph.value), settings=named(gamma, self.rates_at(state)))
        return self.apply_base(w, self.by_player(direction), state, graph.value, info)

    # Estimates, which are no part of `update` -------------------------------------------------------------------------

    def taken_as_it_is(self, w: Tensor, state: State, batches: Sequence[Any]) -> tuple[Tensor, State]:
        note = None
        if self._affordable(state):
            state, note = self._estimated(state, batches[0])
        w, state = super().taken_as_it_is(w, state, batches)
        if note and state.info is not None:
            state = dataclasses.replace(state, info=dataclasses.replace(state.info, note=note))
        return w, state

    def _affordable(self, state: State) -> bool:
        """Return whether one more estimate leaves all of them within their share of what was evaluated so far."""
        steps = max(state.counters[player] for player in self.game.slices)
        spent = state.counters[SPENT] + min(self.products, self.game.num_parameters) + 2
        return spent <= self.share * (spent + STEP * steps)

    def _estimated(self, state: State, batch: Any) -> tuple[State, str | None]:
        """Return the state with the weight and rate of a new estimate, and a sentence on what changed."""
        w, game = self.game.vector(), self.game
        with torch.no_grad(), functional.twice_differentiable(game.module):
            D = self.denominator(w, state)
            root = D.clamp_min(FLOOR * D.median()).rsqrt()
            graph = FieldGraph(game, w, state.buffers, batch)
            found = project(graph.product, root, state.held[START], self.products)
        counters = {**state.counters, SPENT: state.counters[SPENT] + found.products + 2}
        if not bool(found.field.isfinite().all() and found.damping.isfinite().all()):
            return dataclasses.replace(state, counters=counters), None  # the step itself says where it arose
        reasons = self._weigh(found, counters), self._pace(found, counters, bool((D != 1).any()))
        after = dataclasses.replace(state, counters=counters)
        start = found.start(self.gamma_at(after))
        if bool(start.isfinite().all() and start.norm() > 0):
            after = dataclasses.replace(after, held={START: start})
        return after, self._note(state, after, "; ".join(filter(None, reasons)))

    def _weigh(self, found: Projection, counters: dict[str, int]) -> str | None:
        """Move the weight towards what the fastest turning pair asks for; return why, or None where it stays."""
        gamma, turning = found.weight(self.ratio)
        if gamma is None or (not gamma and counters[COUNT[GAMMA]] < SETTLING):
            return None  # what asks for no weight is no choice of one
        if not moved(counters, GAMMA, gamma / self.gamma):
            return None
        if not gamma:
            return "the fastest turning pair needs no weight to attract as much" if turning.imag else "nothing turns"
        much = "" if self.ratio == 1 else f"{self.ratio:g} times "
        return f"the fastest turning pair {shown(turning)} attracts {much}as much as it turns at gamma {gamma:.3g}"

    def _pace(self, found: Projection, counters: dict[str, int], adaptive: bool) -> str | None:
        """Move the rate towards what the leading eigenvalues at the new weight ask for; return why, or None."""
        best, decisive = found.rate(self.gamma * decibels(counters[GAMMA]), OVERSHOOT if adaptive else 1.0)
        best *= min(caution(rule, counters[player]) for player, rule in self.rules.items())
        given = max(super().rates_at(State({}, counters, {})).values())
        if not math.isfinite(best) or not given or not moved(counters, RATE, best / given):
            return None
        return f"the step's leading eigenvalue {shown(decisive)} asks for rate {best:.3g}"

    def _note(self, before: State, after: State, why: str) -> str | None:
        old, new = (named(self.gamma_at(s), self.rates_at(s)) for s in (before, after))
        changed = {name: f"{old[name]:.3g} -> {new[name]:.3g}" for name in new if new[name] != old[name]}
        words = [f"{name.removeprefix('auto/').replace('/', ' of ')} {text}" for name, text in changed.items()]
        return f"{', '.join(words)}, because {why}" if words else None


def caution(rule: Any, count: int) -> float:
    r"""Return the factor by which a base rule that remembers directions needs a smaller rate; 1 for others.

    With $m' = \beta m + (1 - \beta) d$, as in Adam, an eigenvalue's factor is $1 - h\mu - (h\mu)^2\beta/(1 - \beta)$
    and higher terms, so that $h\mu$ has to stay below $1 - \beta$; heavy ball, without the factor at d, takes steps as
    long as at the rate $h / (1 - \beta)$.
    """
    if isinstance(rule, Adam):
        return 1 - max(0.0, value_at(rule.betas[0], count))
    return (1 - max(0.0, value_at(rule.beta, count))) ** 2 if isinstance(rule, Momentum) else 1.0


def named(gamma: float, rates: Mapping[str, float]) -> dict[str, float]:
    """Return weight and rates by the names under which they are logged: one rate where all players have the same."""
    same = len(set(rates.values())) == 1
    own = {"auto/rate": next(iter(rates.values()))} if same else {f"auto/rate/{p}": rate for p, rate in rates.items()}
    return {"auto/gamma": gamma, **own}


def shown(value: complex) -> str:
    """Return an eigenvalue, or the pair that it is of, in three digits."""
    return f"{value.real:.3g} ± {abs(value.imag):.3g}i" if value.imag else f"{value.real:.3g}"


def decibels(count: int) -> float:
    """Return the factor of this many decibels."""
    return 10.0 ** (count / 10)


def moved(counters: dict[str, int], name: str, factor: float) -> bool:
    """Move a counter of decibels towards a factor, within its bounds; return whether it changed."""
    before, count = counters[name], counters[COUNT[name]]
    asked = round(max(-RANGE, min(RANGE, 10 * math.log10(factor)))) if factor > 0 else -RANGE
    if count < SETTLING:
        counters[COUNT[name]] += 1
        counters[SUM[name]] += asked
        counters[name] = round(counters[SUM[name]] / counters[COUNT[name]])
        return counters[name] != before
    first, (below, above) = round(counters[SUM[name]] / count), BAND[name]
    change = min(max(first + below, min(first + above, asked)) - before, UPWARDS)
    counters[name] += change if abs(change) >= SMALLEST else 0
    return counters[name] != before
