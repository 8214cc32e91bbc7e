"""Examine the entries of one module, each in a process of its own, forked once its packages are imported.

    python scripts/compatibility/worker.py MODULE NAME...

prints one line of JSON for each entry as it ends; with "--names MODULE" it prints the names. A module is one of
`models/`, or "configurations".
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names are common

if TYPE_CHECKING:
    from compatibility.entries import Entry

LIMIT = 240.0  # seconds for one entry


def prepare() -> None:
    """Make torch quiet and single-threaded, and torchvision importable beside a PyTorch without CUDA."""
    import torch
    import torch._dynamo  # a second of imports that each process would make for itself

    import gantools.analysis  # noqa: F401

    torch.set_num_threads(1)
    # The wheel of torchvision links against CUDA, and fails to be imported where its detection kernels are unknown.
    if not hasattr(torch.ops.torchvision, "nms"):
        names = torch.library.Library("torchvision", "FRAGMENT")
        names.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        names.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(names)


KEPT: list[object] = []  # a library of operations lives as long as its object


def examined(entry: Entry) -> dict[str, Any]:
    """Return the result of an entry, examined in a forked process that is ended after `LIMIT` seconds."""
    from compatibility import examination
    from compatibility.examination import RAW, SLOW, Result

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            result = examination.examine(entry)
        except BaseException as error:  # of the entry itself: it cannot be built, or the oracle fails
            result = Result(entry.name, entry.package, "entry fails", says=f"{type(error).__name__}: {error}")
        os.write(writer, json.dumps(dataclasses.asdict(result)).encode())
        os._exit(0)
    os.close(writer)
    chunks, end = [], time.monotonic() + LIMIT
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        if not (chunk := os.read(reader, 1 << 16)):
            break
        chunks.append(chunk)
    else:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    os.close(reader)
    try:
        return json.loads(b"".join(chunks))
    except ValueError:
        slow = time.monotonic() >= end
        says = f"longer than {LIMIT:.0f} s" if slow else f"the process died of signal {os.WTERMSIG(status)}"
        return dataclasses.asdict(Result(entry.name, entry.package, SLOW if slow else RAW, says=says))


def main(module: str, names: list[str], listed: bool = False) -> None:
    """Print the results of a module's entries, or of those of these names; `listed`: print all names instead."""
    prepare()
    from compatibility import configurations, entries

    found = configurations.load() if module == "configurations" else entries.load(module)
    if listed:
        print(json.dumps([entry.name for entry in found]))
        return
    for entry in found:
        if not names or entry.name in names:
            print(json.dumps(examined(entry)), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--names":
        main(sys.argv[2], [], listed=True)
    else:
        main(sys.argv[1], sys.argv[2:])
