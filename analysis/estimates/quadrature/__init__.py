"""Stochastic Lanczos quadrature with brackets: measures of random probes, and what they say about all eigenvalues."""
