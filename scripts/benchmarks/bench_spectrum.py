"""Measure products, time and accuracy of `eigenvalues` against SciPy's ARPACK on the same operators.

    python scripts/benchmarks/bench_spectrum.py [--problems gan mlp] [--k 10 20] [--repeats 3] [--json out.json]

Every row: the same operator, tolerance and number of eigenvalues; ARPACK at bases of 2 k + 1 (its default), 3 k, 4 k
and 6 k (our default for fields). Products are those of the solve, without our final residuals and checks. "missed" is
how many of the k leading eigenvalues of a reference are absent from the answer, the failure that no residual shows. The
reference is the whole matrix where n <= 2000, else ARPACK at tol = 1e-10 with a basis of 8 k.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import scipy.sparse.linalg as arpack
import torch
from peer_problems import tanh_network
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from gantools import gan
from gantools.analysis import LinearOperator, eigenvalues, spectrum
from gantools.analysis.krylov.selection import CRITERIA, criterion
from gantools.analysis.operators.jacobian import hessian, jacobian

ARPACK_NAMES = {"LR": "LA", "SR": "SA"}


@dataclass(frozen=True)
class Row:
    """One solve of one solver."""

    problem: str
    n: int
    k: int
    which: str
    solver: str
    basis: int
    products: int
    seconds: float
    error: float
    missed: int


def rotation(n: int, reflections: int, seed: int) -> Callable[[Tensor], Tensor]:
    """Return an orthogonal map as a product of Householder reflections, O(n) to apply to (n,) or (n, k)."""
    generator = torch.Generator().manual_seed(seed)
    unit = nn.functional.normalize(torch.randn(reflections, n, generator=generator, dtype=torch.float64), dim=1)

    def apply(u: Tensor, reverse: bool = False) -> Tensor:
        for h in unit.flip(0) if reverse else unit:
            h = h.to(u.dtype)
            u = u - 2 * (h[:, None] * (h @ u) if u.dim() == 2 else h * (h @ u))
        return u

    return apply


def synthetic_symmetric(n: int = 5_000) -> LinearOperator:
    """Return an operator with a dozen outliers, a bulk of both signs, and zeros, like Hessians of classifiers."""
    generator = torch.Generator().manual_seed(1)
    bulk = 0.02 * torch.randn(n - 30, generator=generator, dtype=torch.float64) ** 3
    outliers = torch.linspace(0.5, 8, 12, dtype=torch.float64) ** 1.3
    values = torch.cat([outliers, bulk, torch.zeros(18, dtype=torch.float64)])
    Q = rotation(n, 4, 2)
    return LinearOperator(lambda u: Q(values * Q(u, reverse=True)), n, symmetric=True)


def synthetic_game(n: int = 5_000) -> LinearOperator:
    """Return an operator with large real outliers and small complex pairs, like Jacobians of GANs: hard under LI."""
    generator = torch.Generator().manual_seed(3)
    pairs = n // 2 - 20
    outliers = torch.linspace(1, 12, 40, dtype=torch.float64)
    a = 0.02 * torch.randn(pairs, generator=generator, dtype=torch.float64) ** 3
    b = 0.05 * torch.randn(pairs, generator=generator, dtype=torch.float64) ** 3
    Q = rotation(n, 4, 4)

    def matvec(u: Tensor) -> Tensor:
        v = Q(u, reverse=True)
        even, odd = v[40::2], v[41::2]
        turned = torch.stack([a * even + b * odd, a * odd - b * even], dim=1).reshape(-1)
        return Q(torch.cat([outliers * v[:40], turned]))

    return LinearOperator(matvec, n)


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Return (count, 2) points of eight Gaussians on a circle."""
    angle = torch.randint(0, 8, (count,), generator=generator) * (torch.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2, generator=generator)


def trained_gan(width: int, steps: int, dtype: torch.dtype) -> LinearOperator:
    """Return the Jacobian of a GAN on the ring after some steps of Adam, one optimizer for each player."""
    torch.manual_seed(0)
    game = gan(tanh_network(16, width, width, 2), tanh_network(2, width, width, 1))
    generator = torch.Generator().manual_seed(0)
    optimizers = [torch.optim.Adam(game.players[name].parameters(), lr=1e-3, betas=(0.5, 0.9)) for name in game.slices]

    def batch() -> dict[str, Tensor]:
        return {"real": ring(256, generator), "latent": torch.randn(256, 16, generator=generator)}

    for _ in range(steps):
        gradient = game.field(batch())
        parameters = game.parameters()
        for p, g in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
            p.grad = g.view_as(p)
        for optimizer in optimizers:
            optimizer.step()
    # A game caches its players' dtype: make a new one of the converted modules.
    converted = gan(*(game.players[name].to(dtype) for name in ("generator", "discriminator")))
    return jacobian(converted, {name: tensor.to(dtype) for name, tensor in batch().items()})


def trained_classifier(dtype: torch.dtype) -> LinearOperator:
    """Return the Hessian of a classifier, 99 530 parameters, random labels, after 200 steps of Adam."""
    torch.manual_seed(0)
    model = tanh_network(64, 256, 256, 64, 10)
    x, y = torch.randn(256, 64), torch.randint(0, 10, (256,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if loss.item() < 1.5:
            break
    model.to(dtype)
    return hessian(model, lambda m, batch: nn.functional.cross_entropy(m(batch[0]), batch[1]), (x.to(dtype), y))


PROBLEMS: dict[str, Callable[[], LinearOperator]] = {
    "synthetic-symmetric": synthetic_symmetric,
    "synthetic-game": synthetic_game,
    "gan-small": lambda: trained_gan(24, 500, torch.float64),
    "gan": lambda: trained_gan(152, 500, torch.float64),
    "gan-float32": lambda: trained_gan(152, 500, torch.float32),
    "mlp": lambda: trained_classifier(torch.float64),
    "mlp-float32": lambda: trained_classifier(torch.float32),
}


def solve_arpack(A: LinearOperator, k: int, which: str, tol: float, basis: int | None) -> np.ndarray:
    """Return the eigenvalues that converged in ARPACK."""
    dtype = np.float32 if A.dtype == torch.float32 else np.float64
    B = arpack.LinearOperator(A.shape, matvec=lambda u: (A @ torch.from_numpy(u.reshape(-1))).numpy(), dtype=dtype)
    start = np.random.default_rng(0).standard_normal(A.n).astype(dtype)
    solver, name = (arpack.eigsh, ARPACK_NAMES.get(which, which)) if A.symmetric else (arpack.eigs, which)
    try:
        return solver(B, k, which=name, ncv=basis, tol=tol, v0=start, maxiter=100)[0]
    except arpack.ArpackNoConvergence as failure:
        return failure.eigenvalues


def reference(A: LinearOperator, k: int, which: str) -> np.ndarray:
    """Return more than enough leading eigenvalues to judge an answer of k by."""
    if A.n <= 2000:
        values = spectrum(A).values.numpy()
    else:
        values = solve_arpack(A, k + 4, which, 1e-10 if A.dtype == torch.float64 else 1e-6, min(8 * k, A.n - 1))
    order = np.argsort(-CRITERIA[which](values), kind="stable")
    return values[order]


def judge(values: np.ndarray, truth: np.ndarray, k: int, which: str) -> tuple[float, int]:
    """Return the largest distance to an eigenvalue, relative to the spectrum, and how many of the k leading are missed.

    The reference holds only leading eigenvalues, so the distance is taken over values that lead as well.
    """
    scale = np.abs(truth).max()
    score = CRITERIA[which]
    best = np.sort(score(truth))[::-1][:k]
    margin = 1e-4 * np.abs(best).max()
    free = truth.astype(complex).copy()
    error = 0.0
    for value in values[score(values) >= best[-1] - margin]:
        nearest = int(np.abs(free - value).argmin())
        error = max(error, float(np.abs(free[nearest] - value) / scale))
        free[nearest] = np.inf
    found = np.sort(score(values))[::-1][:k]
    found = np.concatenate([found, np.full(k - len(found), -np.inf)])
    return error, int((found < best - margin).sum())


def measure(problem: str, A: LinearOperator, k: int, which: str, tol: float, repeats: int) -> list[Row]:
    """Solve with each, the fastest of `repeats` counting; in turns, so that a busy machine is busy for all."""
    name = criterion(which, A.symmetric)
    truth = reference(A, k, name)
    own = max(2 * k + 1, 20)
    ours = own if A.symmetric else max(6 * k, 2 * k + 20)

    def gantools_values() -> tuple[np.ndarray, int]:
        s = eigenvalues(A, k, which, tol=tol)
        return s.values.numpy(), s.matvecs

    def arpack_values(basis: int) -> tuple[np.ndarray, int]:
        before = A.matvecs
        return solve_arpack(A, k, name, tol, basis), A.matvecs - before

    bases = [own] if A.symmetric else [own, 3 * k, 4 * k, ours]
    solvers: dict[str, tuple[int, Callable[[], tuple[np.ndarray, int]]]] = {"gantools": (ours, gantools_values)}
    solvers |= {f"arpack, {basis}": (basis, partial(arpack_values, basis)) for basis in sorted(set(bases))}
    rows: dict[str, Row] = {}
    for _ in range(repeats):
        for solver, (basis, solve) in solvers.items():
            start = time.perf_counter()
            values, products = solve()
            seconds = time.perf_counter() - start
            if solver not in rows or seconds < rows[solver].seconds:
                error, missed = judge(values, truth, k, name)
                rows[solver] = Row(problem, A.n, k, which, solver, basis, products, seconds, error, missed)
    return list(rows.values())


def table(rows: list[Row]) -> str:
    """Return the rows in markdown."""
    lines = [
        "|problem|n|k|which|solver|basis|products|seconds|error / scale|missed|",
        "|---|--:|--:|---|---|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        lines.append(
            f"|{r.problem}|{r.n}|{r.k}|{r.which}|{r.solver}|{r.basis}|{r.products}|{r.seconds:.3f}|{r.error:.1e}|{r.missed}|"
        )
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """Return a Markdown table with one line for each case: products, ratios of products and time, what was missed.

    ARPACK's best is the basis with the fewest products among those that missed nothing.
    """
    lines = [
        "| problem | n | k | which | products: ours (basis) | ARPACK, our basis | its own | its best (basis) "
        "| products, ours / best | time, ours / best | missed: ours | ARPACK, our basis | its own |",
        "|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    cases: dict[tuple, list[Row]] = {}
    for r in rows:
        cases.setdefault((r.problem, r.n, r.k, r.which), []).append(r)
    for (problem, n, k, which), (ours, *others) in cases.items():
        own, same = others[0], next(r for r in others if r.basis == ours.basis)
        best = min((r for r in others if not r.missed), key=lambda r: r.products, default=same)
        cells = [problem, n, k, which, f"{ours.products} ({ours.basis})", same.products, own.products]
        cells += [f"{best.products} ({best.basis})", f"{ours.products / best.products:.2f}"]
        cells += [f"{ours.seconds / best.seconds:.2f}", ours.missed, same.missed, own.missed]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--problems", nargs="+", choices=PROBLEMS, default=["synthetic-symmetric", "synthetic-game", "gan", "mlp"]
    )
    parser.add_argument("--k", nargs="+", type=int, default=[10, 20])
    parser.add_argument("--which", nargs="+", default=["LM", "LR", "SR", "LI"])
    parser.add_argument("--tol", type=float, default=1e-6)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    threadpool_limits(arguments.threads)  # NumPy's and SciPy's BLAS have threads of their own
    rows: list[Row] = []
    for problem in arguments.problems:
        A = PROBLEMS[problem]()
        for k in arguments.k:
            for which in arguments.which:
                if not (A.symmetric and which == "LI"):
                    rows += measure(problem, A, k, which, arguments.tol, arguments.repeats)
                    print(summary(rows).splitlines()[-1], flush=True)
    print(table(rows), summary(rows), sep="\n\n")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump([asdict(row) for row in rows], file, indent=1)


if __name__ == "__main__":
    main()
