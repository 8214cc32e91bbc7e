"""Measurements of the GPU benchmark, one function a stage; each returns numbers that JSON can hold."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gantools as gt
from gantools.analysis import eigenvalues, hessian, index, jacobian, spectral_density

from .problems import Problem, dcgan

K, ACCURACY = 10, 1e-3
TOLERANCES = (1e-2, 1e-3, 1e-4)


def wait(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clocked(work: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    """Return the result of some work, and its seconds."""
    wait(device)
    start = time.perf_counter()
    result = work()
    wait(device)
    return result, time.perf_counter() - start


def median_seconds(work: Callable[[], Any], device: torch.device, repeats: int = 9) -> float:
    """Return the median seconds of some work after one warm-up."""
    work()
    return float(np.median([clocked(work, device)[1] for _ in range(repeats)]))


def peak(work: Callable[[], Any], device: torch.device) -> tuple[Any, float | None]:
    """Return the result of some work and the largest memory in GiB that was allocated meanwhile, None on a CPU."""
    if device.type != "cuda":
        return work(), None
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    result = work()
    return result, torch.cuda.max_memory_allocated(device) / 2**30


def gradient_seconds(p: Problem) -> float:
    """Return the seconds of one gradient of the batch: the unit g."""
    return median_seconds(lambda: torch.autograd.grad(p.loss(p.model, p.batch), p.parameters), p.batch[0].device)


def products(p: Problem, method: str, expected: Tensor | None) -> tuple[dict[str, Any], Tensor]:
    """Return set-up and product times of one method, alone and a column of ten; and one product, to be compared."""
    device = p.batch[0].device
    H, setup = clocked(lambda: hessian(p.model, p.loss, p.batch, method=method, check=False), device)
    generator = torch.Generator(device).manual_seed(1)
    u = torch.randn(H.n, generator=generator, device=device)
    product, first = clocked(lambda: H @ u, device)
    result: dict[str, Any] = {"setup": setup + first, "one": median_seconds(lambda: H @ u, device)}
    if expected is not None:
        result["differs"] = float((product - expected).norm() / expected.norm())
    block = torch.randn(H.n, 10, generator=generator, device=device)
    for _ in range(2):  # lets the operator choose how it multiplies a block
        H @ block
    result["column_of_ten"] = median_seconds(lambda: H @ block, device, 3) / 10
    return result, product


def leading(p: Problem) -> dict[str, Any]:
    """Return the seconds of ten leading eigenvalues at the loosest accurate tolerance, and the share of products."""
    device = p.batch[0].device
    H, setup = clocked(lambda: hessian(p.model, p.loss, p.batch), device)
    truth = eigenvalues(H, K, tol=1e-5).values.numpy()
    u = torch.randn(H.n, device=device)
    one = median_seconds(lambda: H @ u, device)
    result: dict[str, Any] = {"setup": setup, "truth": truth.tolist()}
    for tol in TOLERANCES:
        s, seconds = clocked(lambda tol=tol: eigenvalues(H, K, tol=tol, guard=False), device)
        error = worst_error(s.values.numpy(), truth)
        spent = s.matvecs + s.check_matvecs
        result |= {"tol": tol, "seconds": seconds, "products": spent, "error": error, "one": one}
        result["outside"] = 1 - spent * one / seconds
        if error <= ACCURACY:
            break
    return result


def worst_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the largest relative error of the ten, sorted by modulus."""
    if len(found) != len(truth):
        return float("inf")
    order = [np.sort(np.abs(np.asarray(v, dtype=float)))[::-1] for v in (found, truth)]
    return float(np.max(np.abs(order[0] - order[1]) / order[1]))


def density(p: Problem) -> dict[str, Any]:
    """Return seconds and memory of a density of two probes of 80 steps, over the products that it needs."""
    device = p.batch[0].device
    H = hessian(p.model, p.loss, p.batch)
    u = torch.randn(H.n, device=device)
    one = median_seconds(lambda: H @ u, device)
    (d, seconds), memory = peak(lambda: clocked(lambda: spectral_density(H, probes=2, steps=80), device), device)
    return {"seconds": seconds, "products": d.matvecs, "one": one, "memory": memory}


def loss_surface_index(p: Problem) -> dict[str, Any]:
    """Return seconds, memory and the headline of the index at its defaults."""
    device = p.batch[0].device
    H = hessian(p.model, p.loss, p.batch)
    (found, seconds), memory = peak(lambda: clocked(lambda: index(H), device), device)
    return {
        "seconds": seconds,
        "memory": memory,
        "products": H.matvecs,
        "text": str(found),
        "interval": {name: list(pair) for name, pair in found.interval.items()},
    }


def game_steps(device: torch.device, small: bool) -> dict[str, Any]:
    """Return seconds of steps of a DCGAN, and the memory of its Jacobian with twenty leading eigenvalues."""
    G, D = dcgan(device, 4 if small else 64)
    game = gt.gan(G, D, loss="nonsaturating")
    batch = {"real": torch.randn(64, 3, 64, 64, device=device), "latent": torch.randn(64, 100, 1, 1, device=device)}
    result: dict[str, Any] = {}
    for name in ("simultaneous", "consensus"):
        optimizer = gt.trainers.make(name, game, lr=1e-4, base=gt.trainers.Adam(betas=(0.5, 0.999)))
        result[name] = median_seconds(lambda o=optimizer: o.step(batch), device)

    def spectrum() -> tuple[Any, float]:
        J = jacobian(game, batch)
        return clocked(lambda: eigenvalues(J, 20, tol=1e-3, max_matvecs=200), device)

    (s, seconds), memory = peak(spectrum, device)
    return result | {"memory": memory, "seconds": seconds, "products": s.matvecs, "message": s.message}
