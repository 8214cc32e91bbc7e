"""Ten leading eigenvalues by other libraries, on the models of the GPU benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .measures import ACCURACY, K, clocked, worst_error
from .problems import Problem


def eigenthings(p: Problem, setting: int) -> list[float]:
    """Return the values by hessian-eigenthings: Lanczos with a number of steps that the user gives."""
    from hessian_eigenthings import HessianOperator, lanczos

    H = HessianOperator(p.model, [p.batch], p.loss)
    found = lanczos(H, k=K, max_iter=setting, seed=0)
    return [float(v) for v in found.eigenvalues]


def pyhessian(p: Problem, setting: int) -> list[float]:
    """Return the values by PyHessian: power iteration with deflation."""
    from pyhessian import hessian

    x, y = p.batch

    def criterion(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(output.flatten(0, -2), target.flatten())

    H = hessian(p.model, criterion, data=(x, y), cuda=x.is_cuda)
    return H.eigenvalues(maxIter=setting, tol=1e-4, top_n=K)[0]


def curvlinops(p: Problem, setting: int) -> list[float]:
    """Return the values by curvlinops' operator in SciPy's ARPACK."""
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    H = HessianLinearOperator(p.model, torch.nn.CrossEntropyLoss(), p.parameters, [p.batch], check_deterministic=False)
    start = np.random.default_rng(0).standard_normal(p.size).astype(np.float32)
    return eigsh(H.to_scipy(), K, which="LM", tol=10.0**-setting, v0=start, return_eigenvectors=False).tolist()


PEERS: dict[str, tuple[Callable[[Problem, int], list[float]], tuple[int, ...]]] = {
    "hessian-eigenthings": (eigenthings, (40, 80, 160)),
    "pyhessian": (pyhessian, (100,)),
    "curvlinops + ARPACK": (curvlinops, (2, 3)),
}


def measured(p: Problem, peer: str, truth: list[float]) -> dict[str, Any]:
    """Return the seconds and the error of a peer at its cheapest accurate setting, or the reason why there is none."""
    solve, settings = PEERS[peer]
    result: dict[str, Any] = {}
    for setting in settings:
        try:
            values, seconds = clocked(lambda s=setting: solve(p, s), p.batch[0].device)
        except Exception as error:  # a peer fails in its own ways, and the reason is part of the table
            return {"reason": (str(error).strip().splitlines() or [type(error).__name__])[0][:150]}
        result = {"setting": setting, "seconds": seconds, "error": worst_error(np.array(values), np.array(truth))}
        if result["error"] <= ACCURACY:
            break
    return result
