"""Check the spectra and verdicts of training steps, at float32 states, against the same steps in float64.

    OMP_NUM_THREADS=1 python scripts/checks/check_update_operators.py [--cases 100]

Each case trains a small game in float32: GANs on ring8 and grid25 of width 8 and 16, a monotone game of two players, a
regression and a convex problem, under every base rule and several methods. At the state reached, the leading
eigenvalues of `update_operator` and what `stability` says of them are compared with numpy's eigenvalues of the dense
Jacobian of the same step, by plain autograd in a game built in float64 and put into the same state. Wrong is a
converged value, or a largest modulus, that is off by more than ten times its stated error, 1e-4 of it, and what numpy
itself makes of rounding; a step called stable whose modulus exceeds 1; and one said to repel that does not. Prints a
line for each case, and exits with 1 if one is wrong.
"""

import argparse
import dataclasses
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import gantools as gt
from gantools.analysis import Spectrum, Stability, eigenvalues, stability, update_operator
from gantools.analysis.eigen.uncertainty import margins
from gantools.batches import widened
from gantools.runs.config import Choice
from gantools.runs.configure import configure
from gantools.runs.experiment import build
from gantools.trainers import BASES, GameOptimizer, make

COUNT, TOLERANCE, SHOWN, BLOCK = 4, 1e-4, 3, 64
CAUTION = 10.0  # residuals bound errors to first order
TWICE = 1500  # order up to which LAPACK's own rounding is measured, by the eigenvalues of the transpose
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Case:
    """A small run: a game, the method and base rule that train it, and where training stops."""

    game: str
    method: str
    base: str
    step: int
    seed: int = 0
    width: int = 8
    depth: int = 2
    loss: str = "nonsaturating"
    lr: float | None = None

    def trained(self) -> tuple[GameOptimizer, GameOptimizer, tuple[Any, ...]]:
        """Return the optimizer after training in float32, the same in float64, and the batches of the next step."""
        optimizer, batches = self._made(wide=False)
        count = optimizer.batches_per_step
        for step in range(self.step):
            optimizer.step(*batches(step, count))
        twin, _ = self._made(wide=True)
        twin.game.load_vector(optimizer.game.vector().double())
        twin.game.load_buffers(optimizer.game.buffers())
        twin.load_state_dict(optimizer.state_dict())
        return optimizer, twin, batches(self.step, count)

    def _made(self, wide: bool) -> tuple[GameOptimizer, Any]:
        if self.game in OWN:
            return _own(self, wide)
        settings = {} if self.lr is None else {"lr": self.lr}
        experiment = build(
            configure(
                Choice(self.method, settings),
                base=Choice(self.base),
                data=Choice(self.game),
                network=Choice("mlp", {"width": self.width, "depth": self.depth}),
                loss=self.loss,
                seed=self.seed,
                batch_size=50 if self.game == "grid25" else 64,
                latent_size=4,
            ),
            wide=wide,
        )
        return experiment.optimizer, lambda step, count: experiment.stream.take(count)


def _own(case: Case, wide: bool) -> tuple[GameOptimizer, Any]:
    """Return the optimizer of a game without a data set of the registries, and its batches."""
    rng = torch.Generator().manual_seed(case.seed)
    game, batch = OWN[case.game](case.width, rng, torch.float64 if wide else torch.float32)
    optimizer = make(case.method, game, lr=case.lr or 1e-3, base=case.base)
    return optimizer, lambda step, count: (batch,) * count


def _regression(width: int, rng: torch.Generator, dtype: torch.dtype) -> tuple[gt.Game, Any]:
    """One player, ReLU units, some of them dead: no bound on the curvature."""
    model = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1))
    _drawn(model, rng)
    x = torch.randn(32, 3, generator=rng)
    batch = tuple(part.to(dtype) for part in (x, (x[:, :1] * x[:, 1:2]).sin()))
    return gt.minimization(model.to(dtype), lambda m, batch: (m(batch[0]) - batch[1]).square().mean()), batch


def _ridge(width: int, rng: torch.Generator, dtype: torch.dtype) -> tuple[gt.Game, Any]:
    """One player, strongly convex, features of scales from 1 to 1e-4: most steps are stable."""
    model = nn.Linear(4 * width, 1)
    _drawn(model, rng)
    x = torch.randn(64, 4 * width, generator=rng) * torch.logspace(0, -4, 4 * width)
    batch = tuple(part.to(dtype) for part in (x, x.sum(1, keepdim=True).tanh()))

    def loss(model: Any, batch: Any) -> Tensor:
        return (model(batch[0]) - batch[1]).square().mean() + 0.1 * model.weight.square().sum()

    return gt.minimization(model.to(dtype), loss), batch


def _saddle(width: int, rng: torch.Generator, dtype: torch.dtype) -> tuple[gt.Game, Any]:
    """Two players, strongly monotone and rotating: some steps are stable, others are not."""
    players = {name: nn.Linear(2 * width, 1, bias=False) for name in ("x", "y")}
    for player in players.values():
        _drawn(player, rng)
    matrix = torch.randn(2 * width, 2 * width, generator=rng).to(dtype) / width**0.5

    def losses(players: Any, batch: Tensor) -> dict[str, Tensor]:
        x, y = players["x"].weight[0], players["y"].weight[0]
        value = x @ batch @ y.tanh()
        return {"x": value + 0.25 * x.square().sum(), "y": 0.25 * y.square().sum() - value}

    return gt.Game({name: player.to(dtype) for name, player in players.items()}, losses), matrix


def _drawn(module: nn.Module, rng: torch.Generator) -> None:
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=rng))


OWN = {"regression": _regression, "ridge": _ridge, "saddle": _saddle}
KNOWN = [
    Case("ring8", "consensus", "rmsprop", 2500, width=16, depth=4),
    *[Case("ring8", "simultaneous", "adam", step, lr=1e-3) for step in (1, 20, 600)],
]
METHODS = ("simultaneous", "alternating", "consensus", "extragradient", "optimistic", "lookahead", "jare")
RULES = ("adam", "rmsprop", *BASES)
GAMES = ("ring8", "saddle", "ridge", "grid25", "ridge", "regression")
OBJECTIVES = ("nonsaturating", "wasserstein", "hinge", "least_squares", "minimax")
STEPS = (1, 5, 20, 100, 300, 600, 1000)
RATES = (1e-3, None, 1e-2)


def cases(count: int) -> list[Case]:
    """Return the first `count` cases: known ones, then 49 with each method under each base rule, and so on."""
    rest = [
        Case(
            GAMES[i % len(GAMES)],
            METHODS[i % 7],
            RULES[(i + i // 7) % 7],
            STEPS[(3 * i + 2 * (i // 7)) % 7],
            seed=i + 1,
            width=16 if i % 8 == 3 else 8,
            loss=OBJECTIVES[i % 5],
            lr=RATES[i // 2 % 3],
        )
        for i in range(count)
    ]
    return (KNOWN + rest)[:count]


def dense(twin: GameOptimizer, batches: tuple[Any, ...]) -> Array:
    """Return the Jacobian (n, n) of a step at the optimizer's present state, by backward passes for its rows."""
    game, state = twin.game, twin.state
    names, sizes = list(state.memory), [value.numel() for value in state.memory.values()]

    def step(z: Tensor) -> Tensor:
        w, *pieces = z.split([game.num_parameters, *sizes])
        memory = {name: piece.view_as(state.memory[name]) for name, piece in zip(names, pieces, strict=True)}
        now = dataclasses.replace(state, memory=memory)
        with game.frozen(follow=True):
            for _ in range(twin.period):
                w, now = twin.update(w, now, *batches)
        return torch.cat([w, *(now.memory[name].reshape(-1) for name in names)])

    z = torch.cat([game.vector(), *(value.reshape(-1) for value in state.memory.values())]).requires_grad_()
    after = step(z)
    blocks = torch.eye(len(z), dtype=z.dtype).split(BLOCK)
    rows = [torch.autograd.grad(after, z, block, retain_graph=True, is_grads_batched=True)[0] for block in blocks]
    return torch.cat(rows).numpy()


def complaint(s: Spectrum, verdict: Stability, truth: Array, rounding: float) -> str:
    """Return what is wrong with a spectrum and a verdict; empty if nothing is.

    Args:
        s: the leading eigenvalues.
        verdict: what `stability` says of them.
        truth: all eigenvalues, (n,).
        rounding: how far two computations of their largest modulus in float64 differ.
    """
    good = s.converged.numpy()
    values, errors = s.values.numpy().astype(complex)[good], CAUTION * s.errors.numpy()[good]
    for value, error in zip(values, errors, strict=True):
        off = np.abs(truth - value).min()
        if off > error + TOLERANCE * max(1.0, abs(value)) + rounding:
            return f"{value:.7g} is marked converged and off by {off:.1e}"
    top = float(np.abs(truth).max())
    if good.all() and not s.doubt and len(values):
        off = top - np.abs(values).max()
        if off > errors.max() + TOLERANCE * max(1.0, top) + rounding:
            return f"the largest modulus is {top:.7g}, which is missed by {off:.1e} without a doubt"
    border = TOLERANCE + rounding
    if verdict.stable and top > 1 + margins(s).max(initial=0.0) + verdict.tolerance + rounding:
        return f"called stable, with a modulus of {top:.9g}"
    if verdict.repelling and top < 1 - border:
        return f"{verdict.repelling} said to repel, with moduli up to {top:.9g}"
    return ""


def looked_at(case: Case) -> tuple[str, str]:
    """Return a line about a case, and what is wrong with it."""
    optimizer, twin, batches = case.trained()
    matrix = dense(twin, widened(batches))
    truth = np.linalg.eigvals(matrix)
    again = np.linalg.eigvals(matrix.T) if len(matrix) <= TWICE else truth
    rounding = abs(float(np.abs(truth).max() - np.abs(again).max()))
    U = update_operator(optimizer, *batches)
    s = eigenvalues(U, COUNT, "LM")
    words = ""
    if s.converged.any():
        verdict = stability(s)
        words = complaint(s, verdict, truth, rounding)
        said = "stable" if verdict.stable else f"repel {verdict.repelling}, undecided {verdict.undecided}"
    else:
        said = "no value converged"
    theirs = truth[np.argsort(-np.abs(truth))][:SHOWN]
    name = f"{case.game} {case.method} {case.base} step {case.step} seed {case.seed} width {case.width} lr {case.lr}"
    dtype = str(U.dtype).removeprefix("torch.")
    return f"{name}: n {U.n}, {dtype}; ours {_shown(s.values.numpy()[:SHOWN])}; float64 {_shown(theirs)}; {said}", words


def _shown(values: Array) -> str:
    return " ".join(f"{v.real:.6g}{v.imag:+.3g}j" if abs(v.imag) > 1e-12 else f"{v.real:.6g}" for v in values)


def check(chosen: Sequence[Case]) -> int:
    """Print what is found in each case; return how many are wrong."""
    wrong, begun = 0, time.monotonic()
    for number, case in enumerate(chosen, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            line, words = looked_at(case)
        wrong += bool(words)
        print(f"{number:3d} {line}{f' WRONG: {words}' if words else ''}", flush=True)
    print(f"{wrong} of {len(chosen)} wrong ({time.monotonic() - begun:.0f} s)")
    return wrong


def main() -> None:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sys.exit(check(cases(arguments.cases)) > 0)


if __name__ == "__main__":
    main()
