"""Causes in the players: layers, units, signs, a generator that ignores its latent."""
