"""Another name of `gantools.data.classification`, by which earlier versions knew it."""

from gantools.data.classification import *  # noqa: F403
