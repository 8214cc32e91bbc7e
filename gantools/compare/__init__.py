"""Comparison of optimizers on one game."""
