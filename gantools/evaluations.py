"""Another name of `gantools.compare.cost`, by which earlier versions knew it."""

from gantools.compare.cost import *  # noqa: F403
