"""Causes in the balance of the players: what keeps one of them from learning."""
