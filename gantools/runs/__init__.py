"""Runs: configuration, what it builds, the training loop, and opening a finished run."""
