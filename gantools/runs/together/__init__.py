"""Runs of several seeds or rates, stepped together in one program."""
