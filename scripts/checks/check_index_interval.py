"""Check coverage and width of the negative fraction's interval by many estimates of known spectra.

    python scripts/checks/check_index_interval.py [--cases 100] [--probes 4] [--steps 800]

The spectra: the Hessian of a trained classifier of 1 491 parameters (taken exactly first), a semicircle, and one with a
tenth of zeros. Normal probes look the same from every orthonormal basis, so the estimates are made of the diagonal
matrix of the eigenvalues: the same law, at no cost for products.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from gantools.analysis import LinearOperator, hessian, index

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from peer_problems import loss, trained  # noqa: E402


def classifier() -> np.ndarray:
    """Return all eigenvalues of the Hessian of the small classifier, float64."""
    model, x, y = trained("small")
    matrix = hessian(model.double(), loss, (x.double(), y)).dense().numpy()
    return np.linalg.eigvalsh((matrix + matrix.T) / 2)


def semicircle(n: int = 600) -> np.ndarray:
    """Return eigenvalues of a random symmetric matrix."""
    M = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return np.linalg.eigvalsh(((M + M.T) / (2 * n) ** 0.5).numpy())


def with_zeros(n: int = 400) -> np.ndarray:
    """Return a bulk of both signs, a tenth of exact zeros, and outliers."""
    bulk = 0.1 * np.random.default_rng(0).standard_normal(n - n // 10 - 5) ** 3
    return np.concatenate([bulk, np.zeros(n // 10), [1.0, 2, 3, 4, 5]])


def main() -> None:
    """Print a row for each spectrum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--probes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--spectra", nargs="+", default=["classifier", "semicircle", "zeros"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    makers = {"classifier": classifier, "semicircle": semicircle, "zeros": with_zeros}
    print("| spectrum | n | products | truth | covered | width: mean | largest |\n|---|--:|--:|--:|--:|--:|--:|")
    for name in arguments.spectra:
        values = torch.from_numpy(makers[name]())
        n, tau = len(values), 1e-9 * float(values.abs().max())
        # The smaller spectra get a quarter of n steps: with n of them there would be nothing left to estimate.
        steps = arguments.steps if name == "classifier" else n // 4
        A = LinearOperator(lambda u, v=values: v * u, n, matmat=lambda u, v=values: v[:, None] * u, symmetric=True)
        truth = float((values < -tau).double().mean())
        intervals = np.array(
            [
                index(A, tol=tau, method="estimate", probes=arguments.probes, steps=steps, seed=seed).interval[
                    "negative"
                ]
                for seed in range(arguments.cases)
            ]
        )
        covered = int(((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).sum())
        width = np.ptp(intervals, axis=1)
        print(
            f"| {name} | {n} | {arguments.probes * steps} | {truth:.4f} | {covered} of {arguments.cases} | "
            f"{width.mean():.4f} | {width.max():.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
