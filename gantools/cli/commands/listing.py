"""`gantools list`: what can be chosen by name."""

import dataclasses
from typing import Annotated

import tyro

from gantools.cli.registered import registered
from gantools.registry import suggest

# Each axis: the package that registers its entries, and the decorator that does so.
AXES = {
    "optimizers": ("gantools.trainers", "OPTIMIZERS.register"),
    "losses": ("gantools.losses", "LOSSES.register"),
    "data": ("gantools.data", "DATA.register"),
    "networks": ("gantools.networks", "NETWORKS.register"),
    "activations": ("gantools.nn", "register"),
    "regularizers": ("gantools.regularizers", "REGULARIZERS.register"),
    "bases": ("gantools.trainers", "BASES.register"),
    "schedules": ("gantools.schedules", "SCHEDULES.register"),
    "averages": ("gantools.trainers", "AVERAGES.register"),
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
        entries = registered(*AXES[axis])
        if not args.axis:
            print(f"{axis}:")
        width = max(map(len, entries)) + 2
        for name, entry in entries.items():
            notes = [] if not entry.paper or entry.paper.split()[-1] in entry.described else [entry.paper]
            notes += [entry.cost] if entry.cost else []
            print(f"  {name:<{width}}{entry.described}" + (f" [{'; '.join(notes)}]" if notes else ""))
        if not args.axis:
            print()
    return 0
