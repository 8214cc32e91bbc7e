"""Krylov methods: Krylov-Schur, thick-restart Lanczos, and least squares; they know nothing of models."""
