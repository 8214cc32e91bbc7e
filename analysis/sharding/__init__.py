"""Operators whose vectors are divided among processes: their space, and products with sharded games."""
