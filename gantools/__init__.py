"""gantools: will this GAN training step converge, why does it rotate or diverge, and which method cures it?

Names are imported on first use (PEP 562): `import gantools` alone loads no torch, so that `gantools --help` and
TensorBoard, which imports every installed plugin at each start, stay fast.
"""

import importlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

from gantools.argument_kinds import checked

__version__ = "0.2.0"  # the one place; pyproject.toml reads it here

_NAMES = {
    "batches": "gantools.data.loaders",
    "Game": "gantools.games.game",
    "gan": "gantools.games.gan",
    "minimization": "gantools.games.game",
    "load": "gantools.runs.load",
    "replicated": "gantools.games.replicas",
    "sharded": "gantools.games.sharding.sharded",
    "split": "gantools.batches",
    "stacked": "gantools.games.copies.stacked",
    "watch": "gantools.watching.watch",
    "GantoolsError": "gantools.errors",
    "NonFiniteFieldError": "gantools.errors",
}

__all__ = [
    "Game",
    "GantoolsError",
    "NonFiniteFieldError",
    "__version__",
    "analysis",
    "batches",
    "board",
    "data",
    "gan",
    "load",
    "losses",
    "metrics",
    "minimization",
    "networks",
    "nn",
    "regularizers",
    "replicated",
    "schedules",
    "sharded",
    "split",
    "stacked",
    "trainers",
    "watch",
]

if TYPE_CHECKING:
    from gantools import analysis, board, data, losses, metrics, networks, nn, regularizers, schedules, trainers
    from gantools.batches import split
    from gantools.data.loaders import batches
    from gantools.errors import GantoolsError, NonFiniteFieldError
    from gantools.games.copies.stacked import stacked
    from gantools.games.game import Game, minimization
    from gantools.games.gan import gan
    from gantools.games.replicas import replicated
    from gantools.games.sharding.sharded import sharded
    from gantools.runs.load import load
    from gantools.watching.watch import watch


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value = checked(value) if isinstance(value, FunctionType) else value
        return value
    if name in __all__:
        return importlib.import_module(f"gantools.{name}")
    raise AttributeError(f"module 'gantools' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
