"""Another name of `gantools.games.analytic`, by which earlier versions knew it."""

from gantools.games.analytic import *  # noqa: F403
