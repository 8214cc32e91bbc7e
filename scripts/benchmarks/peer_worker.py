"""One task of one peer, in the peers' environment; prints a line of JSON. Started by `bench_peers.py`.

Leading eigenvalues are accepted when all ten are within 1e-4 of float64 ARPACK on a plain double backward pass. Each
tool's tolerance (or size) is tuned for it: the loosest of the list that gets there counts, with its own time alone.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_problems import Problem, gradient_seconds, load, loss, worker_arguments
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

K, ACCURACY = 10, 1e-4
Attempt = Callable[[Any], tuple[np.ndarray, int]]


def reference(folder: Path, name: str) -> np.ndarray:
    """Return the ten eigenvalues of largest modulus, float64, by ARPACK to 1e-8; kept in the folder."""
    path = folder / f"{name}.npy"
    if not path.exists():
        model, x, y = load(folder, name, torch.float64)
        parameters = list(model.parameters())
        gradient = torch.autograd.grad(loss(model, (x, y)), parameters, create_graph=True)
        flat = torch.cat([g.reshape(-1) for g in gradient])

        def matvec(v: np.ndarray) -> np.ndarray:
            product = torch.autograd.grad(flat, parameters, torch.from_numpy(v.reshape(-1)), retain_graph=True)
            return torch.cat([p.reshape(-1) for p in product]).numpy()

        operator = LinearOperator((len(flat), len(flat)), matvec=matvec, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(len(flat))
        np.save(path, eigsh(operator, K, which="LM", tol=1e-8, v0=start, return_eigenvectors=False))
    values = np.load(path)
    return values[np.argsort(-np.abs(values))]


def worst_error(values: Iterable[float], truth: np.ndarray) -> float:
    """Return the largest relative error of the ten."""
    found = np.asarray(list(values), dtype=float)
    found = found[np.argsort(-np.abs(found))]
    return float(np.max(np.abs(found - truth) / np.abs(truth))) if len(found) == len(truth) else float("inf")


def loosest(settings: Iterable[Any], attempt: Attempt, truth: np.ndarray) -> dict[str, Any]:
    """Return the first setting that is accurate, its products and its time."""
    result: dict[str, Any] = {}
    for setting in settings:
        start = time.process_time()
        values, products = attempt(setting)
        seconds = time.process_time() - start
        result = {"setting": setting, "products": products, "seconds": seconds, "error": worst_error(values, truth)}
        if result["error"] <= ACCURACY:
            break
    return result


class Counted:
    """A peer's operator with its products counted."""

    def __init__(self, operator: Any, method: str):
        self.count = 0
        original = getattr(operator, method)

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return original(*args, **kwargs)

        setattr(operator, method, counting)


def curvlinops(problem: Problem, work: str, truth: np.ndarray | None) -> dict[str, Any]:
    """Measure curvlinops: SciPy's ARPACK around its operator, its quadrature, its operator times the identity."""
    from curvlinops import HessianLinearOperator
    from curvlinops.papyan2020traces.spectrum import lanczos_approximate_spectrum

    model, x, y = problem
    start = time.process_time()
    H = HessianLinearOperator(model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)])
    setup = time.process_time() - start
    if work == "density":
        start = time.process_time()
        lanczos_approximate_spectrum(H, 80, num_repeats=10)
        return {"products": None, "seconds": time.process_time() - start, "setup": setup}
    if work == "exact":
        start = time.process_time()
        H @ torch.eye(H.shape[1], dtype=x.dtype)
        return {"products": H.shape[1], "seconds": time.process_time() - start, "setup": setup}
    assert truth is not None
    S = H.to_scipy()

    def attempt(tol: float) -> tuple[np.ndarray, int]:
        counted = Counted(S, "_matvec")
        v0 = np.random.default_rng(0).standard_normal(S.shape[0])
        return eigsh(S, K, which="LM", tol=tol, v0=v0, return_eigenvectors=False), counted.count

    return loosest([1e-2, 5e-3, 2e-3, 1e-3, 1e-4], attempt, truth) | {"setup": setup}


def eigenthings(problem: Problem, work: str, truth: np.ndarray | None) -> dict[str, Any]:
    """Measure hessian-eigenthings: reorthogonalised Lanczos, whose size a user has to guess, and its quadrature."""
    from hessian_eigenthings import HessianOperator, lanczos, spectral_density

    model, x, y = problem
    H = HessianOperator(model, [(x, y)], loss)
    if work == "density":
        start = time.process_time()
        spectral_density(H, num_runs=10, lanczos_steps=80, seed=0)
        return {"products": 800, "seconds": time.process_time() - start}
    if work == "exact":
        return {"reason": "assembles no matrix"}
    assert truth is not None

    def attempt(size: int) -> tuple[np.ndarray, int]:
        found = lanczos(H, k=K, max_iter=size, tol=1e-4, reorthogonalize=True, seed=0)
        return found.eigenvalues.double().numpy(), size

    return loosest([30, 40, 50, 60, 80], attempt, truth)


def pyhessian(problem: Problem, work: str, truth: np.ndarray | None) -> dict[str, Any]:
    """Measure PyHessian: its power iteration and its quadrature."""
    import pyhessian as package

    model, x, y = problem
    H = package.hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    if work == "density":
        start = time.process_time()
        H.density(iter=80, n_v=10)
        return {"products": 800, "seconds": time.process_time() - start}
    if work == "exact":
        return {"reason": "assembles no matrix"}
    assert truth is not None
    module = sys.modules["pyhessian.hessian"]  # whose name the class of the same name hides

    def attempt(tol: float) -> tuple[np.ndarray, int]:
        counted = Counted(module, "hessian_vector_product")
        torch.manual_seed(0)
        return np.array(H.eigenvalues(maxIter=1000, tol=tol, top_n=K)[0]), counted.count

    return loosest([1e-5, 1e-6], attempt, truth)


def warm_up() -> None:
    """Let every process load what torch loads at first use."""
    model, x = nn.Linear(3, 2), torch.randn(4, 3)
    flat = torch.autograd.grad(model(x).square().sum(), list(model.parameters()), create_graph=True)
    torch.autograd.grad(flat[0].sum(), list(model.parameters()), allow_unused=True)


def to_numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Make the result fit for JSON."""
    return {key: value.tolist() if isinstance(value, np.generic | Tensor) else value for key, value in result.items()}


def main() -> None:
    """Run the task."""
    warnings.simplefilter("ignore")
    arguments = worker_arguments()
    torch.set_num_threads(arguments.threads)
    name = {"density": "mlp", "exact": "small"}.get(arguments.work, arguments.work)
    problem = load(arguments.folder, name)
    truth = reference(arguments.folder, name) if arguments.work == name else None
    warm_up()
    before = gradient_seconds(problem)
    peer = {"curvlinops": curvlinops, "hessian-eigenthings": eigenthings, "pyhessian": pyhessian}[arguments.peer]
    try:
        result = peer(problem, arguments.work, truth)
    except Exception as error:  # a crash of a peer is a result
        result = {"reason": f"crashed: {str(error).splitlines()[0].split('. ')[0][:100]}"}
    # The machine may be busier now than before: the unit is the mean of both.
    result["gradient"] = (before + gradient_seconds(problem)) / 2
    print(json.dumps(to_numbers(result)))


if __name__ == "__main__":
    main()
