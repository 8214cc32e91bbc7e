"""Ratios of a benchmark over the project's commits, each measured by the commit's own script on its own code."""
