"""Eigenvalues with residuals, and tests for those that were missed."""
