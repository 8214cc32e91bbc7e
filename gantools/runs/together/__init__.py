"""Runs of several seeds, stepped together in one program."""
