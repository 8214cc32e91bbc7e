"""`gantools list`: what can be chosen by name."""

import dataclasses
from typing import Annotated

import tyro

from gantools.data.sources import DATA
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.nn import ACTIVATIONS
from gantools.registry import suggest
from gantools.regularizers import REGULARIZERS
from gantools.schedules import SCHEDULES
from gantools.trainers.averages import AVERAGES
from gantools.trainers.base_rules import BASES
from gantools.trainers.optimizer import OPTIMIZERS

AXES = {
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "data": DATA,
    "networks": NETWORKS,
    "activations": ACTIVATIONS,
    "regularizers": REGULARIZERS,
    "bases": BASES,
    "schedules": SCHEDULES,
    "averages": AVERAGES,
}


@dataclasses.dataclass
class ListArguments:
    """What can be chosen by name.

    Attributes:
        axis: optimizers, losses, data, networks, activations, regularizers, bases, schedules, averages; all by default.
    """

    axis: Annotated[str, tyro.conf.Positional] = ""


def run(argv: list[str]) -> int:
    """Print the names of an axis with a line each."""
    args = tyro.cli(ListArguments, args=argv, prog="gantools list")
    if args.axis and args.axis not in AXES:
        raise suggest("axis", args.axis, AXES)
    for axis in [args.axis] if args.axis else AXES:
        registry = AXES[axis]
        if not args.axis:
            print(f"{axis}:")
        width = max(map(len, registry)) + 2
        for name in registry:
            paper = getattr(registry[name], "paper", "")
            described = registry.describe(name)
            notes = [] if not paper or paper.split()[-1] in described else [paper]
            notes += [cost] if (cost := getattr(registry[name], "cost", "")) else []
            print(f"  {name:<{width}}{described}" + (f" [{'; '.join(notes)}]" if notes else ""))
        if not args.axis:
            print()
    return 0
