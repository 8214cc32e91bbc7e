"""What `gantools --version` says: versions, system and device, as a report of an error needs them."""

import platform

import torch

from gantools import __version__
from gantools.runs.experiment import resolve_device


def versions() -> str:
    """Return a line for gantools, PyTorch, Python with the system, and the device that `--device auto` takes."""
    device = resolve_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return "\n".join(
        [
            f"gantools {__version__}",
            f"PyTorch {torch.__version__}",
            f"Python {platform.python_version()}, {platform.platform()}",
            f"device {device} ({name})",
        ]
    )
