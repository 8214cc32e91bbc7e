"""Krylov methods: Krylov-Schur, thick-restart Lanczos, and least squares, independent of models."""
