"""A user's own code in a run: stored, executed as it was stored, and only where it is trusted."""
