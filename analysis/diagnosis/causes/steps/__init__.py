"""Causes in the steps: rates, momentum, rotation; found by trials."""
