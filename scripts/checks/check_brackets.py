r"""Check the brackets of quadrature by three vectors in float32, on 200 spectra of six kinds and on real Hessians.

    python scripts/checks/check_brackets.py [--spectra 204] [--hessians 6]

Oracle: the masses of each probe on the eigenvectors of the same matrix, by LAPACK in float64; of a Hessian, those of
the Hessian of the float64 model. A bracket is violated where the mass below or up to a point lies outside; "slack
used" is by how much the masses leave a bracket whose weights are not widened, in parts of their widening, "margin
used" the least share of the nodes' margin at which none leaves. The last column is about the index itself: whether
its intervals at its own tolerance hold the true fractions, which at 95 % they may miss in one of twenty.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from gantools.analysis import LinearOperator, hessian
from gantools.analysis.estimates.index_estimate import estimated_index
from gantools.analysis.estimates.quadrature.known import find_known
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.analysis.estimates.quadrature.probes import Probing, draw

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from peer_problems import loss, tanh_network  # noqa: E402

Rng = np.random.Generator


def semicircle(n: int, rng: Rng) -> np.ndarray:
    """Return the eigenvalues of a random symmetric matrix."""
    M = rng.standard_normal((n, n))
    return np.linalg.eigvalsh(M + M.T) / np.sqrt(8 * n)


def outliers(n: int, rng: Rng) -> np.ndarray:
    """Return a bulk a hundredth of twelve outliers wide."""
    return np.concatenate([0.01 * rng.standard_normal(n - 12), np.geomspace(0.1, 1, 12)])


def zeros(n: int, rng: Rng) -> np.ndarray:
    """Return a heavy-tailed bulk, an atom at zero, and outliers."""
    return np.concatenate([0.1 * rng.standard_normal(n // 2) ** 3, np.zeros(n - n // 2 - 5), [1.0, 2, 3, 4, 5]])


def decay(n: int, rng: Rng) -> np.ndarray:
    """Return both signs decaying over many decades."""
    end = 10 ** rng.uniform(-9, -5)
    return np.concatenate([np.geomspace(end, 1, n // 2), -np.geomspace(end, 1e-2, n - n // 2)])


def lognormal(n: int, rng: Rng) -> np.ndarray:
    """Return sizes spread over decades, three in ten negative."""
    return rng.lognormal(-6, 2, n) * rng.choice([-1, 1], n, p=[0.3, 0.7])


def clusters(n: int, rng: Rng) -> np.ndarray:
    """Return six clusters, each as narrow as rounding."""
    return rng.choice([-2, -1e-3, 0, 1e-3, 0.5, 3.0], n) * (1 + 1e-6 * rng.random(n))


KINDS: dict[str, Callable[[int, Rng], np.ndarray]] = {
    f.__name__: f for f in (semicircle, outliers, zeros, decay, lognormal, clusters)
}


@dataclasses.dataclass
class Tally:
    """What one row of the table counts.

    Attributes:
        cases: spectra looked at.
        violated: those with a violated bracket.
        slack: the largest distance outside a bracket whose weights are not widened, in parts of their widening.
        margin: the largest share of the nodes' margin that was needed.
        widths: median width of each case's brackets.
        covered: of three intervals a case, how many hold the truth.
    """

    cases: int = 0
    violated: int = 0
    slack: float = 0.0
    margin: float = 0.0
    widths: list[float] = dataclasses.field(default_factory=list)
    covered: int = 0


def rotated(values: np.ndarray, rng: Rng) -> tuple[LinearOperator, np.ndarray]:
    """Return a float32 matrix with about these eigenvalues as an operator, and the same matrix in float64."""
    Q, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    single = torch.from_numpy((Q * values) @ Q.T).float()
    single = (single + single.T) / 2
    operator = LinearOperator(lambda u: single @ u, len(values), dtype=torch.float32, symmetric=True)
    return operator, single.double().numpy()


def networks(count: int) -> Iterator[tuple[LinearOperator, np.ndarray]]:
    """Yield Hessians of trained classifiers of 600 to 1 500 parameters in float32, and in float64 the whole matrix."""
    for seed in range(count):
        torch.manual_seed(seed)
        width = (16, 20, 28)[seed % 3]
        model = tanh_network(12, width, width, 5)
        if seed % 2:
            model = torch.nn.Sequential(*(torch.nn.ReLU() if isinstance(m, torch.nn.Tanh) else m for m in model))
        x, y = torch.randn(128, 12), torch.randint(0, 5, (128,))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range((60, 200, 600)[seed // 2 % 3]):
            optimizer.zero_grad()
            loss(model, (x, y)).backward()
            optimizer.step()
        operator = hessian(model, loss, (x, y), method="reverse")
        matrix = hessian(model.double(), loss, (x.double(), y)).dense().numpy()
        model.float()
        yield operator, (matrix + matrix.T) / 2


def look(operator: LinearOperator, matrix: np.ndarray, leading: int, steps: int, seed: int, row: Tally) -> None:
    """Compare the brackets of one probe, and the index, with the whole matrix, and count the result in a row."""
    found = Probing(operator, plan(operator, 1, steps, leading), seed).run()
    known, values = find_known(operator, leading, seed), np.linalg.eigvalsh(matrix)
    alive = np.ones(len(matrix)) if known.alive is None else known.alive.double().numpy()
    P = np.diag(alive)
    if known.vectors is not None:
        X = known.vectors.double().numpy()
        P = P - X.T @ X
    far = 10 * np.abs(values).max()  # where the part that is projected out is put
    inside, Q = np.linalg.eigh(P @ matrix @ P + far * (np.eye(len(matrix)) - P))
    mass = (Q.T @ P @ draw(operator, seed, 0).double().numpy()) ** 2
    cumulated = np.append(0.0, np.cumsum(mass / mass.sum()))
    sizes = np.geomspace(1e-7, 0.5, 60) * np.abs(values).max()
    points = np.unique(np.concatenate([-sizes, sizes, inside[inside < far / 2][::29]]))
    below, upto = (cumulated[np.searchsorted(inside, points, side)] for side in ("left", "right"))

    def outside(share: float, slack: bool) -> float:
        (m,) = found.measures
        m = dataclasses.replace(m, margin=share * m.margin, slack=m.slack if slack else 0.0)
        low, high = m.brackets(points).T
        return float(max((low - below).max(), (upto - high).max()))

    row.cases += 1
    row.violated += outside(1.0, True) > 1e-12
    row.slack = max(row.slack, outside(1.0, False) / found.measures[0].slack)
    row.margin = max(
        row.margin, next((s for s in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7) if outside(s, True) <= 1e-12), 1.0)
    )
    row.widths.append(float(np.median(np.ptp(found.measures[0].brackets(points), axis=1))))
    index = estimated_index(found, None, 0.95, seed)
    tau = index.tolerance
    truth = {"negative": (values < -tau).mean(), "positive": (values > tau).mean()}
    truth["zero"] = 1.0 - truth["negative"] - truth["positive"]
    row.covered += sum(index.interval[n][0] - 1e-9 <= truth[n] <= index.interval[n][1] + 1e-9 for n in truth)


def main() -> int:
    """Print a row for each kind; the exit code says whether any bracket was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", type=int, default=204)
    parser.add_argument("--hessians", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = {name: Tally() for name in [*KINDS, "Hessians"]}
    for case in range(arguments.spectra):
        rng = np.random.default_rng(case)
        name, n = list(KINDS)[case % len(KINDS)], int(rng.integers(200, 500))
        leading, steps = (0, 8, 20)[case // len(KINDS) % 3], int(n * rng.choice([0.2, 0.6, 1.0, 2.5]))
        look(*rotated(KINDS[name](n, rng), rng), leading, steps, case, rows[name])
    for case, (operator, matrix) in enumerate(networks(arguments.hessians)):
        for leading, steps in ((0, 300), (20, 300), (20, 1500)):
            look(operator, matrix, leading, steps, case, rows["Hessians"])
    print("| spectrum | cases | violated | slack used | margin used | width | intervals that hold |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, row in rows.items():
        if row.cases:
            print(
                f"| {name} | {row.cases} | {row.violated} | {row.slack:.2g} | {row.margin:.2g} | "
                f"{np.median(row.widths):.3f} | {row.covered} of {3 * row.cases} |"
            )
    return int(any(row.violated for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
