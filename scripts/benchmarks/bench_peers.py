"""Measure PyHessian, hessian-eigenthings, curvlinops with ARPACK, and gantools, on the same models in one run.

    python scripts/benchmarks/bench_peers.py --cache build/peers \
        [--work mlp convnet density exact] [--json out.json] [--write]

The peers get an environment of their own in the cache folder: torch, NumPy and SciPy by constraints.txt, the peers with
--no-deps (otherwise one of them replaces a CPU torch by CUDA wheels). Every measurement is a process of its own; they
follow each other task by task, ours in turn with theirs. Seconds are of processor time, which a busy machine disturbs
least; g is that of one gradient of the same batch in the same process. --write puts the table into
docs/benchmarks.md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_problems import Problem, gradient_seconds, load, loss

from gantools.analysis import eigenvalues, hessian, index, spectral_density

ROOT = Path(__file__).resolve().parents[2]
PEERS = {"curvlinops": "curvlinops-for-pytorch", "hessian-eigenthings": "hessian-eigenthings", "pyhessian": "pyhessian"}
# Packages that the peers import, without those that they would replace.
BESIDE = [
    "backpack-for-pytorch",
    "einops",
    "einconv",
    "opt_einsum",
    "linear_operator",
    "jaxtyping",
    "typeguard",
    "wadler-lindig",
    "tqdm",
]
WORK = {
    "mlp": "10 leading, MLP 99 530",
    "convnet": "10 leading, ConvNet 267 530",
    "density": "density 10 x 80, MLP 99 530",
    "exact": "whole Hessian, 1 491",
}
START, END = "<!-- peers: by scripts/benchmarks/bench_peers.py -->", "<!-- end -->"
ACCURACY = 1e-4


def environment(cache: Path) -> tuple[Path, dict[str, str]]:
    """Make the peers' environment once; return its Python, and a sentence for every peer that cannot be had."""
    python = cache / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(cache / "venv")], check=True)
        constraints = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *constraints, "torch", "numpy", "scipy", "setuptools"], check=True)
        for package in [*BESIDE, *PEERS.values()]:
            subprocess.run([*pip, "--no-deps", package], check=False)
    missing = {}
    for peer in PEERS:
        module = {"hessian-eigenthings": "hessian_eigenthings"}.get(peer, peer)
        tried = subprocess.run([str(python), "-c", f"import {module}"], capture_output=True, text=True)
        if tried.returncode:
            missing[peer] = f"not installed: {tried.stderr.strip().splitlines()[-1]}"
    return python, missing


def run_peer(python: Path, peer: str, work: str, folder: Path, threads: int, limit: float) -> dict[str, Any]:
    """Return the measurement of one peer in a process of its own, or the reason why there is none."""
    command = [str(python), str(Path(__file__).with_name("peer_worker.py")), peer, work, "--folder", str(folder)]
    environ = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(
            [*command, "--threads", str(threads)], capture_output=True, text=True, env=environ, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"not done after {limit:.0f} s"}
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else {"reason": done.stderr[-200:]}


def ours(work: str, folder: Path, threads: int) -> dict[str, Any]:
    """Return the same measurement of gantools, set-up (operator, its checks, the choice of engine) timed apart."""
    torch.set_num_threads(threads)
    warm, x, y = load(folder, "small")
    eigenvalues(hessian(warm, loss, (x, y)), 3, tol=1e-3)
    name = {"density": "mlp", "exact": "small"}.get(work, work)
    problem = load(folder, name)
    before = gradient_seconds(problem)
    result = {"density": our_density, "exact": our_matrix}.get(work, our_eigenvalues)(problem, folder, work)
    return result | {"gradient": (before + gradient_seconds(problem)) / 2}


def our_eigenvalues(problem: Problem, folder: Path, work: str) -> dict[str, Any]:
    """Return the loosest tolerance whose ten values are accurate, as for the peers."""
    model, x, y = problem
    truth = np.load(folder / f"{work}.npy")
    truth = truth[np.argsort(-np.abs(truth))]
    result: dict[str, Any] = {}
    for tol in (1e-2, 5e-3, 2e-3, 1e-3, 1e-4):
        start = time.process_time()
        H = hessian(model, loss, (x, y))
        setup = time.process_time() - start
        start = time.process_time()
        s = eigenvalues(H, 10, tol=tol)
        seconds = time.process_time() - start
        error = float(np.max(np.abs(s.values.numpy() - truth) / np.abs(truth)))
        result = {"setting": tol, "products": s.matvecs, "checks": s.check_matvecs, "seconds": seconds}
        result |= {"error": error, "setup": setup}
        if error <= ACCURACY:
            break
    return result


def our_density(problem: Problem, folder: Path, work: str) -> dict[str, Any]:
    """Return the time of 10 probes of 80 steps."""
    model, x, y = problem
    start = time.process_time()
    H = hessian(model, loss, (x, y))
    setup = time.process_time() - start
    start = time.process_time()
    d = spectral_density(H, probes=10, steps=80)
    return {"products": d.matvecs, "seconds": time.process_time() - start, "setup": setup}


def our_matrix(problem: Problem, folder: Path, work: str) -> dict[str, Any]:
    """Return the time of the whole matrix, and the counts in both precisions."""
    model, x, y = problem
    start = time.process_time()
    H = hessian(model, loss, (x, y), method="replay")
    setup = time.process_time() - start
    H.dense(chunk=64)
    start = time.process_time()
    H.dense(chunk=64)
    seconds = time.process_time() - start
    single = index(H).counts
    double = index(hessian(model.double(), loss, (x.double(), y))).counts
    model.float()
    return {"products": H.n, "seconds": seconds, "setup": setup, "counts": [single, double]}


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return the results in Markdown: products, time in gradients, set-up in brackets, accuracy."""
    solvers = ["pyhessian", "hessian-eigenthings", "curvlinops", "gantools"]
    names = ["PyHessian", "hessian-eigenthings", "curvlinops + ARPACK", "gantools"]
    lines = [f"| work | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for work, by_solver in results.items():
        lines.append(f"| {WORK[work]} | " + " | ".join(cell(by_solver[solver]) for solver in solvers) + " |")
    return "\n".join(lines)


def cell(result: dict[str, Any]) -> str:
    """Return one measurement in words."""
    if "reason" in result:
        return str(result["reason"])
    g, parts = result["gradient"], []
    if result.get("products"):
        checks = f" + {result['checks']}" if result.get("checks") else ""
        parts.append(f"{result['products']}{checks} products")
    parts.append(f"{result['seconds'] / g:.0f} g")
    if result.get("setup"):
        parts[-1] += f" (+ {result['setup'] / g:.0f} g)"
    if result.get("products") and "error" not in result:
        parts.append(f"{result['seconds'] / g / result['products']:.2f} g each")
    parts.append(f"{result['seconds']:.2f} s")
    if "error" in result:
        parts.append(f"error {result['error']:.0e}" + ("" if result["error"] <= ACCURACY else ", not reached"))
    return ", ".join(parts)


def write(text: str, path: Path) -> None:
    """Put the table between its marks."""
    page = path.read_text()
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{text}\n{END}{after}")


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the peers' environment and the models")
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1800, help="seconds a measurement may take")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="render the table into docs/benchmarks.md")
    parsed = parser.parse_args(None if arguments is None else list(arguments))
    parsed.cache.mkdir(parents=True, exist_ok=True)
    python, missing = environment(parsed.cache)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for work in parsed.work:
        results[work] = {}
        for peer in PEERS:
            if peer in missing or peer not in parsed.peers:
                results[work][peer] = {"reason": missing.get(peer, "not asked for")}
            else:
                results[work][peer] = run_peer(python, peer, work, parsed.cache, parsed.threads, parsed.limit)
            print(work, peer, results[work][peer], flush=True)
        results[work]["gantools"] = ours(work, parsed.cache, parsed.threads)
        print(work, "gantools", results[work]["gantools"], flush=True)
    print(table(results))
    if parsed.json:
        parsed.json.write_text(json.dumps(results, indent=1))
    if parsed.write:
        write(table(results), ROOT / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main()
