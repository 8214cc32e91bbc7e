"""Causes in the numbers: data, batches, precision, values that are not finite."""
