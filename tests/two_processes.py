"""What two processes of one group compute, for tests: a function run in both, and the results of both."""

import socket
import traceback

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_in_two(work, *arguments):
    """Return what `work(rank, *arguments)` returned in each of two processes of a gloo group."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = mp.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_process, args=(rank, port, results, work, arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=300) for _ in range(2))
    for process in processes:
        process.join(30)
    for rank in range(2):
        assert not isinstance(found[rank], str) or not found[rank].startswith("Traceback"), found[rank]
    return found[0], found[1]


def _process(rank, port, results, work, arguments):
    try:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
        results.put((rank, work(rank, *arguments)))
    except BaseException:
        results.put((rank, traceback.format_exc()))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def half(rank, batch):
    """Return a process's half of a batch: every second sample."""
    from gantools.batches import map_tensors

    return map_tensors(lambda x: x[rank::2] if x.dim() else x, batch)
