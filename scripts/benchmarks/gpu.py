"""Measure the library on a GPU: products, solvers, density, index, steps and memory, with peers in the same run.

    python scripts/benchmarks/gpu.py --json build/gpu.json [--stages ...] [--seconds 480] [--profile]
    python scripts/benchmarks/gpu.py --json build/gpu.json --table

Every stage is written to the file when it is done; the same command goes on with the stages that are missing, and
starts none after --seconds. TF32 stays off. --small --device cpu tries the script on tiny models.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from gpu_parts import measures
from gpu_parts.peers import PEERS, measured
from gpu_parts.problems import Problem, problem
from gpu_parts.table import table

MODELS = ("mlp", "resnet18", "gpt")
METHODS = ("reverse", "forward", "replay", "auto", "compiled")


class Run:
    """The stages of one run and the file that they are kept in.

    Args:
        path: the file.
        device: where the models live.
        small: whether to take tiny models.
    """

    def __init__(self, path: Path, device: torch.device, small: bool):
        self.path, self.device, self.small = path, device, small
        self.results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"stages": {}}
        self._current: tuple[str, Problem] | None = None
        self._product: dict[str, torch.Tensor] = {}

    def problem(self, name: str) -> Problem:
        """Return a model, made once for the stages that follow each other."""
        if self._current is None or self._current[0] != name:
            self._current = None
            self._product = {}
            self._current = name, problem(name, self.device, self.small)
        return self._current[1]

    def products(self, name: str, method: str) -> dict[str, Any]:
        """Measure the products of one method."""
        result, product = measures.products(self.problem(name), method, self._product.get(name))
        self._product.setdefault(name, product)
        return result

    def gradient(self, name: str) -> dict[str, Any]:
        """Measure the unit g."""
        p = self.problem(name)
        return {"seconds": measures.gradient_seconds(p), "parameters": p.size}

    def peer(self, name: str, peer: str) -> dict[str, Any]:
        """Measure a peer against the values that ours found."""
        return measured(self.problem(name), peer, self.results["stages"][f"leading {name}"]["truth"])

    def stages(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Return all stages by name, the most telling first."""
        found: dict[str, Callable[[], dict[str, Any]]] = {}
        for m in MODELS:
            found[f"gradient {m}"] = lambda m=m: self.gradient(m)
            for method in METHODS[:-1]:
                found[f"products {m} {method}"] = lambda m=m, method=method: self.products(m, method)
            found[f"leading {m}"] = lambda m=m: measures.leading(self.problem(m))
            found[f"density {m}"] = lambda m=m: measures.density(self.problem(m))
            found[f"index {m}"] = lambda m=m: measures.loss_surface_index(self.problem(m))
        found["dcgan"] = lambda: measures.game_steps(self.device, self.small)
        for m in MODELS:
            for peer in PEERS:
                found[f"peer {m} {peer}"] = lambda m=m, peer=peer: self.peer(m, peer)
        for m in MODELS:
            found[f"products {m} compiled"] = lambda m=m: self.products(m, "compiled")
        return found

    def measure(self, name: str, stage: Callable[[], dict[str, Any]]) -> None:
        """Run one stage and keep its result, or the reason why there is none."""
        start = time.perf_counter()
        try:
            result = stage()
        except Exception as error:  # one stage that fails must not cost the others
            result = {"reason": f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"}
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        result["stage_seconds"] = time.perf_counter() - start
        self.results["stages"][name] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.results, indent=1))
        print(name, json.dumps(result)[:300], flush=True)


def described(device: torch.device) -> dict[str, Any]:
    """Return the device, the versions and the commit."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    return {
        "device": name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or None,
    }


def profiled(run: Run, name: str) -> None:
    """Print where the time of ten leading eigenvalues goes."""
    from gantools.analysis import eigenvalues, hessian

    p = run.problem(name)
    H = hessian(p.model, p.loss, p.batch)
    eigenvalues(H, 3, tol=1e-2)
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if run.device.type == "cuda" else []
    with torch.profiler.profile(activities=activities) as profile:
        eigenvalues(H, 10, tol=1e-3)
    for key in ("self_cuda_time_total", "self_cpu_time_total") if run.device.type == "cuda" else ("cpu_time_total",):
        print(profile.key_averages().table(sort_by=key, row_limit=12, max_name_column_width=60))


def main() -> None:
    """Run the stages that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file of the results; added to where it exists")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny models, to try the script")
    parser.add_argument("--seconds", type=float, default=480, help="start no stage later")
    parser.add_argument("--stages", nargs="*", default=[""], help="parts of the names of the stages wanted")
    parser.add_argument("--profile", nargs="*", default=[], choices=MODELS, help="print profiles of these first")
    parser.add_argument("--table", action="store_true", help="only print the table of what was measured")
    arguments = parser.parse_args()
    start, device = time.perf_counter(), torch.device(arguments.device)
    run = Run(arguments.json, device, arguments.small)
    if arguments.table:
        print(table(run.results))
        return
    for name in arguments.profile:
        profiled(run, name)
    run.results |= described(device)
    for name, stage in run.stages().items():
        wanted = any(part in name for part in arguments.stages)
        if wanted and name not in run.results["stages"] and time.perf_counter() - start < arguments.seconds:
            run.measure(name, stage)
    print(table(run.results))


if __name__ == "__main__":
    main()
