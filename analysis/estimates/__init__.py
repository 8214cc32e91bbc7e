"""Stochastic estimates: spectral density, index, traces, effective dimension."""
