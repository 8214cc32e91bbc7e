"""Optimizers side by side on one game."""
