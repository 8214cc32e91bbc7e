"""Leading eigenvalues of a large model's Hessian whose parameters, and Krylov basis, are divided among processes.

    python scripts/benchmarks/processes/bench_sharded.py

A transformer of 100 M parameters in float32, divided by FSDP2's `fully_shard` without ever being whole, two processes
on CPUs that talk by gloo. Prints the eigenvalues, their residuals, the products, the time, each process's memory.
"""

import argparse
import os
import resource
import socket
import time
import weakref

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F

import gantools as gt
from gantools.games.sharding.division import Place
from gantools.random_vectors import normal_entries


class Transformer(nn.Module):
    """A decoder of tokens, norms first, without dropout."""

    def __init__(self, width: int, layers: int, words: int, length: int):
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True, "activation": "gelu"}
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, width // 64 or 1, 4 * width, **options) for _ in range(layers)
        )
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.words(tokens) + self.places.weight[:length]
        mask = torch.full((length, length), float("-inf")).triu(1)
        for layer in self.layers:
            x = layer(x, src_mask=mask)
        return self.last(self.norm(x))


def loss(model, tokens):
    """Return the cross entropy of each next token."""
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def model(settings) -> nn.Module:
    """Return the divided model; each process makes its own rows of each parameter only."""
    with torch.device("meta"):
        made = Transformer(settings.width, settings.layers, settings.words, settings.length)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in made.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(made, mesh=mesh)
    made.to_empty(device="cpu")
    with torch.no_grad():
        for key, (name, p) in enumerate(made.named_parameters()):
            local = p.to_local()
            if p.dim() == 1:
                local.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            elif local.numel():
                seeded = normal_entries(1000 * dist.get_rank() + key, 0, local.numel(), local.dtype, "cpu")
                local.copy_(0.02 * seeded.view(local.shape))
    return made.train()


class Gathered:
    """The most bytes of gathered tensors that were alive at once, within a `with` block."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> "Gathered":
        self._original = original = Place.gathered

        def gathered(place, piece):
            whole = original(place, piece)
            size = whole.untyped_storage().nbytes()
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(whole.untyped_storage(), self._freed, size)
            return whole

        Place.gathered = gathered
        return self

    def __exit__(self, *_) -> None:
        Place.gathered = self._original

    def _freed(self, size: int) -> None:
        self.now -= size


def measure(rank: int, port: int, settings) -> None:
    """Run one process."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=settings.processes)
    with Gathered() as gathered:
        search(rank, settings, gathered)
    dist.destroy_process_group()


def search(rank: int, settings, gathered: Gathered) -> None:
    """Compute the eigenvalues and print what they took."""
    started = time.perf_counter()
    net = model(settings)
    largest = max(p.numel() for p in net.parameters()) * 4
    generator = torch.Generator().manual_seed(rank)
    tokens = torch.randint(settings.words, (settings.batch, settings.length), generator=generator)
    # The checks take about as long as five products.
    H = gt.analysis.hessian(gt.sharded(gt.minimization(net, loss)), tokens, check=settings.check)
    made = time.perf_counter()
    if rank == 0:
        print(f"{H.n} parameters, {H.space.held} in each of {settings.processes} processes", flush=True)

    def tell(products, found=""):
        if rank == 0:
            spent = f"{time.perf_counter() - made:.0f} s, {time.process_time():.0f} s of its processor's"
            print(f"{products} products{found} after {spent}", flush=True)

    H.told = tell
    options = {"basis": settings.basis, "storage": settings.storage, "tol": settings.tol}
    options["progress"] = lambda products, good, k, limit: tell(products, f", {good} of {k}")
    s = gt.analysis.eigenvalues(H, settings.k, vectors=False, guard=False, **options)
    ended = time.perf_counter()
    if rank == 0:
        print(s.message)
        for value, residual, error in zip(s.values.tolist(), s.residuals.tolist(), s.errors.tolist(), strict=True):
            print(f"{value:12.5f}  residual {residual:.1e}  error at most {error:.1e}")
        count = s.matvecs + s.check_matvecs
        print(f"{count} products in {ended - made:.0f} s, set-up {made - started:.0f} s")
    dist.barrier()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"process {rank}: gathered at most {gathered.most / 2**20:.0f} MiB at once, the largest parameter has "
        f"{largest / 2**20:.0f} MiB, all {4 * H.n / 2**20:.0f} MiB; memory at most {peak:.2f} GiB",
        flush=True,
    )


def main() -> None:
    """Start the processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--words", type=int, default=9728)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1, help="sequences in each process")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--basis", type=int, default=22)
    parser.add_argument("--storage", default="bfloat16")
    parser.add_argument("--tol", type=float, default=2e-2)
    parser.add_argument("--check", action="store_true", help="judge the derivatives by differences before")
    settings = parser.parse_args()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(measure, (port, settings), nprocs=settings.processes)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
